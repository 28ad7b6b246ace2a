// The event that every contestant moves: `Words` words of 64 bits, all written by the producer, all read by the consumer.
#pragma once

#include <cstddef>
#include <cstdint>

// Aligned so that none lies across two cache lines that could hold it whole.
template <std::size_t Words>
struct alignas(Words * 8 < 128 ? Words * 8 : 128) Event {
    std::uint64_t words[Words];
};

// Writes event number `value`: word i is value + i.
template <std::size_t Words>
inline void fill(Event<Words>& event, std::uint64_t value) {
    for (std::size_t word = 0; word < Words; ++word) {
        event.words[word] = value + word;
    }
}

template <std::size_t Words>
inline std::uint64_t sum(const Event<Words>& event) {
    std::uint64_t total = 0;
    for (std::size_t word = 0; word < Words; ++word) {
        total += event.words[word];
    }
    return total;
}
