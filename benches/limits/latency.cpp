// How long an event is on its way: there and back, and from its scheduled time.

#include <sys/prctl.h>
#include <time.h>

#include <atomic>
#include <thread>

#include "histogram.hpp"
#include "ring.hpp"
#include "scenarios.hpp"

namespace {

// Sends `value` with the time it is sent in word 1.
template <class Wait, std::size_t Words>
void send(Ring<Words>& ring, std::int64_t sequence, std::int64_t& gate, Wait& wait, std::uint64_t value, std::int64_t at) {
    ring.wait_for_capacity(sequence, gate, wait);
    fill(ring.at(sequence), value);
    ring.at(sequence).words[1] = static_cast<std::uint64_t>(at);
    ring.publish(sequence);
}

// The sum without word 1, which is a time.
template <std::size_t Words>
std::uint64_t timeless_sum(const Event<Words>& event) {
    return sum(event) - event.words[1];
}

template <class Wait, std::size_t Words>
void answer(Ring<Words>& asked, Ring<Words>& answered, std::int64_t events) {
    Wait wait;
    std::int64_t gate = -1;
    const Upstream upstream{&asked.cursor()};
    for (std::int64_t next = 0; next < events; ++next) {
        wait_for(next, upstream, wait);
        answered.wait_for_capacity(next, gate, wait);
        answered.at(next) = asked.at(next);
        asked.consumer(0).value.store(next, std::memory_order_release);
        answered.publish(next);
    }
}

template <class Wait, std::size_t Words>
Result ask(Ring<Words>& asked, Ring<Words>& answered, std::int64_t events) {
    Wait wait;
    Histogram histogram;
    Result result;
    std::int64_t gate = -1;
    const Upstream upstream{&answered.cursor()};
    const std::int64_t begin = now_ns();
    for (std::int64_t next = 0; next < events; ++next) {
        const std::int64_t sent = now_ns();
        send(asked, next, gate, wait, static_cast<std::uint64_t>(next), sent);
        wait_for(next, upstream, wait);
        histogram.add(now_ns() - sent);
        result.checksum += timeless_sum(answered.at(next));
        answered.consumer(0).value.store(next, std::memory_order_release);
    }
    result.seconds = static_cast<double>(now_ns() - begin) / 1e9;
    result.events = events;
    result.latency = histogram.buckets();
    return result;
}

template <class Wait, std::size_t Words>
Result bounce(const Options& options, std::int64_t events) {
    Ring<Words> asked(options.capacity, 1);
    Ring<Words> answered(options.capacity, 1);
    std::thread other([&] { answer<Wait>(asked, answered, events); });
    const Result result = ask<Wait>(asked, answered, events);
    other.join();
    return result;
}

// Whoever is late sends at once: no event is left out.
void sleep_until(std::int64_t at) {
    if (now_ns() >= at) {
        return;
    }
    const timespec when{at / 1'000'000'000, at % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr);
}

struct Schedule {
    std::int64_t start;
    std::int64_t warmup_ns;
    std::int64_t total_ns;
    double rate;

    std::int64_t at(std::int64_t number) const {
        return start + static_cast<std::int64_t>(static_cast<double>(number) * 1e9 / rate);
    }
    std::int64_t events() const { return static_cast<std::int64_t>(static_cast<double>(total_ns) / 1e9 * rate); }
};

template <class Wait, std::size_t Words>
std::int64_t send_on_time(Ring<Words>& ring, const Schedule& schedule) {
    prctl(PR_SET_TIMERSLACK, 1);
    Wait wait;
    std::int64_t gate = -1;
    std::int64_t next = 0;
    for (; next < schedule.events() && now_ns() < schedule.start + schedule.total_ns; ++next) {
        sleep_until(schedule.at(next));
        send(ring, next, gate, wait, static_cast<std::uint64_t>(next), schedule.at(next));
    }
    return next;
}

template <class Wait, std::size_t Words>
void receive(Ring<Words>& ring, const Schedule& schedule, const std::atomic<std::int64_t>& sent, Histogram& histogram,
             std::uint64_t& total) {
    Wait wait;
    for (std::int64_t next = 0;;) {
        const std::int64_t available = ring.cursor().value.load(std::memory_order_acquire);
        if (available < next) {
            if (next == sent.load(std::memory_order_acquire)) {
                return;
            }
            wait.idle();
            continue;
        }
        wait.reset();
        for (; next <= available; ++next) {
            const auto& event = ring.at(next);
            const auto scheduled = static_cast<std::int64_t>(event.words[1]);
            if (scheduled >= schedule.start + schedule.warmup_ns) {
                histogram.add(now_ns() - scheduled);
            }
            total += timeless_sum(event);
        }
        ring.consumer(0).value.store(available, std::memory_order_release);
    }
}

template <class Wait, std::size_t Words>
Result pace(const Options& options) {
    Ring<Words> ring(options.capacity, 1);
    const auto ns = [](double seconds) { return static_cast<std::int64_t>(seconds * 1e9); };
    const Schedule schedule{now_ns() + 10'000'000, ns(options.warmup), ns(options.warmup + options.seconds), options.rate};
    std::atomic<std::int64_t> sent{-1};
    Histogram histogram;
    Result result;
    std::thread reader([&] { receive<Wait>(ring, schedule, sent, histogram, result.checksum); });
    const std::int64_t count = send_on_time<Wait>(ring, schedule);
    sent.store(count, std::memory_order_release);
    reader.join();
    result.seconds = static_cast<double>(now_ns() - schedule.start) / 1e9;
    result.events = count;
    result.sent = count;
    result.latency = histogram.buckets();
    return result;
}

}  // namespace

Result run_pingpong(const Options& options) {
    return with_words(options, [&]<std::size_t Words>() {
        return with_wait(options, [&]<class Wait>() {
            bounce<Wait, Words>(options, std::max<std::int64_t>(1, options.events / 10));
            return bounce<Wait, Words>(options, options.events);
        });
    });
}

Result run_paced(const Options& options) {
    return with_words(options, [&]<std::size_t Words>() {
        return with_wait(options, [&]<class Wait>() { return pace<Wait, Words>(options); });
    });
}
