// Latencies in log-linear buckets, 128 a power of two, exact up to 255 ns.
// Source: HdrHistogram (Gil Tene).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "options.hpp"

class Histogram {
public:
    void add(std::int64_t value) {
        const auto positive = static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
        ++counts_[index_of(positive)];
    }

    Buckets buckets() const {
        Buckets found;
        for (std::size_t index = 0; index < counts_.size(); ++index) {
            if (counts_[index] != 0) {
                found.emplace_back(lowest_of(index), counts_[index]);
            }
        }
        return found;
    }

private:
    static constexpr int kBits = 7;
    static constexpr std::size_t kHalf = std::size_t{1} << kBits;

    static int shift_of(std::uint64_t value) {
        return value < 2 * kHalf ? 0 : 63 - __builtin_clzll(value) - kBits;
    }
    static std::size_t index_of(std::uint64_t value) {
        const int shift = shift_of(value);
        return static_cast<std::size_t>(shift) * kHalf + static_cast<std::size_t>(value >> shift);
    }
    static std::uint64_t lowest_of(std::size_t index) {
        if (index < 2 * kHalf) {
            return index;
        }
        const std::size_t shift = index / kHalf - 1;
        return (index - shift * kHalf) << shift;
    }

    std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>((64 - kBits) * kHalf + kHalf);
};
