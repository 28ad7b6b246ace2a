// Raw rings of one producer: the least that a ring can do on this machine, without claims that can fail, joins, deaths or
// errors. Each sequence has a line of 128 bytes of its own; each side keeps the last it saw of the other.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "event.hpp"

struct alignas(128) Sequence {
    std::atomic<std::int64_t> value{-1};
};

constexpr std::size_t kMostConsumers = 16;

template <std::size_t Words>
class Ring {
public:
    Ring(std::int64_t capacity, std::size_t consumers)
        : slots_(static_cast<std::size_t>(capacity)), mask_(capacity - 1), consumers_(consumers) {}

    Event<Words>& at(std::int64_t sequence) { return slots_[static_cast<std::size_t>(sequence & mask_)]; }
    std::int64_t capacity() const { return mask_ + 1; }
    const Sequence& cursor() const { return cursor_; }
    Sequence& consumer(std::size_t index) { return sequences_[index]; }

    // The producer's side: waits until `last` may be written. `gate` is the lowest consumer it has seen.
    template <class Wait>
    void wait_for_capacity(std::int64_t last, std::int64_t& gate, Wait& wait) {
        while (last - gate > capacity()) {
            gate = lowest();
            if (last - gate > capacity()) {
                wait.idle();
            }
        }
        wait.reset();
    }

    void publish(std::int64_t last) { cursor_.value.store(last, std::memory_order_release); }

    // A new pass begins: nobody uses the ring now.
    void reset() {
        cursor_.value.store(-1);
        for (auto& sequence : sequences_) {
            sequence.value.store(-1);
        }
    }

private:
    std::int64_t lowest() const {
        std::int64_t lowest = sequences_[0].value.load(std::memory_order_acquire);
        for (std::size_t index = 1; index < consumers_; ++index) {
            lowest = std::min(lowest, sequences_[index].value.load(std::memory_order_acquire));
        }
        return lowest;
    }

    std::vector<Event<Words>> slots_;
    std::int64_t mask_;
    std::size_t consumers_;
    Sequence cursor_;
    std::array<Sequence, kMostConsumers> sequences_;
};

// What a consumer follows: the cursor, or other consumers.
using Upstream = std::vector<const Sequence*>;

// Waits until `next` is there; gives the last that is.
template <class Wait>
std::int64_t wait_for(std::int64_t next, const Upstream& upstream, Wait& wait) {
    while (true) {
        std::int64_t available = upstream[0]->value.load(std::memory_order_acquire);
        for (std::size_t index = 1; index < upstream.size(); ++index) {
            available = std::min(available, upstream[index]->value.load(std::memory_order_acquire));
        }
        if (available >= next) {
            wait.reset();
            return available;
        }
        wait.idle();
    }
}
