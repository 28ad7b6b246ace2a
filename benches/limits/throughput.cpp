// How many events a second: one producer, and consumers that follow it or each other.

#include <functional>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

#include "ring.hpp"
#include "scenarios.hpp"

namespace {

// The stages of a graph write words 1 and 2; the producer leaves them to them.
enum class Stage { kSum, kFirst, kSecond, kBeside };

struct Step {
    Stage stage;
    std::vector<std::size_t> after;  // the consumers it follows; none is the cursor
};

std::vector<Step> graph_of(const Options& options) {
    if (options.scenario == "1p1c") {
        return {{Stage::kSum, {}}};
    }
    if (options.scenario == "1p2c" || options.scenario == "1pnc") {
        const auto consumers = options.scenario == "1p2c" ? 2 : static_cast<std::size_t>(options.consumers);
        return std::vector<Step>(consumers, Step{Stage::kSum, {}});
    }
    if (options.scenario == "pipeline3") {
        return {{Stage::kFirst, {}}, {Stage::kSecond, {0}}, {Stage::kSum, {1}}};
    }
    if (options.scenario == "diamond3") {
        return {{Stage::kFirst, {}}, {Stage::kBeside, {}}, {Stage::kSum, {0, 1}}};
    }
    not_here("scenario", options.scenario);
}

template <Stage stage, std::size_t Words>
void handle(Event<Words>& event, std::uint64_t& total) {
    if constexpr (stage == Stage::kSum) {
        total += sum(event);
    } else if constexpr (stage == Stage::kFirst) {
        event.words[1] = event.words[0] + 1;
    } else if constexpr (Words > 2) {
        event.words[2] = stage == Stage::kSecond ? event.words[1] + 1 : event.words[0] + 2;
    }
}

struct Handled {
    std::uint64_t total = 0;
    std::int64_t batches = 0;
};

template <Stage stage, class Wait, std::size_t Words>
Handled consume_as(Ring<Words>& ring, Sequence& own, const Upstream& upstream, std::int64_t events) {
    Handled handled;
    Wait wait;
    for (std::int64_t next = 0; next < events;) {
        const std::int64_t available = wait_for(next, upstream, wait);
        for (; next <= available; ++next) {
            handle<stage>(ring.at(next), handled.total);
        }
        own.value.store(available, std::memory_order_release);
        ++handled.batches;
    }
    return handled;
}

template <class Wait, std::size_t Words>
Handled consume(Stage stage, Ring<Words>& ring, Sequence& own, const Upstream& upstream, std::int64_t events) {
    switch (stage) {
        case Stage::kFirst: return consume_as<Stage::kFirst, Wait>(ring, own, upstream, events);
        case Stage::kSecond: return consume_as<Stage::kSecond, Wait>(ring, own, upstream, events);
        case Stage::kBeside: return consume_as<Stage::kBeside, Wait>(ring, own, upstream, events);
        default: return consume_as<Stage::kSum, Wait>(ring, own, upstream, events);
    }
}

template <bool stages, std::size_t Words>
void produce_one(Event<Words>& event, std::int64_t number) {
    fill(event, static_cast<std::uint64_t>(number));
    if constexpr (stages) {
        event.words[1] = 0;
        if constexpr (Words > 2) {
            event.words[2] = 0;
        }
    }
}

template <bool stages, class Wait, std::size_t Words>
void produce(Ring<Words>& ring, std::int64_t events, std::int64_t batch) {
    Wait wait;
    std::int64_t gate = -1;
    for (std::int64_t next = 0; next < events;) {
        const std::int64_t last = std::min(next + batch, events) - 1;
        ring.wait_for_capacity(last, gate, wait);
        for (; next <= last; ++next) {
            produce_one<stages>(ring.at(next), next);
        }
        ring.publish(last);
    }
}

template <class Wait, std::size_t Words>
Result pass(Ring<Words>& ring, const std::vector<Step>& graph, const Options& options, std::int64_t events) {
    ring.reset();
    std::vector<Handled> handled(graph.size());
    std::latch ready(static_cast<std::ptrdiff_t>(graph.size() + 1));
    std::vector<std::thread> threads;
    for (std::size_t index = 0; index < graph.size(); ++index) {
        threads.emplace_back([&, index] {
            Upstream upstream;
            for (const auto other : graph[index].after) {
                upstream.push_back(&ring.consumer(other));
            }
            if (upstream.empty()) {
                upstream.push_back(&ring.cursor());
            }
            ready.arrive_and_wait();
            handled[index] = consume<Wait>(graph[index].stage, ring, ring.consumer(index), upstream, events);
        });
    }
    ready.arrive_and_wait();
    const std::int64_t begin = now_ns();
    if (graph.size() == 3 && graph[0].stage == Stage::kFirst) {
        produce<true, Wait>(ring, events, options.batch);
    } else {
        produce<false, Wait>(ring, events, options.batch);
    }
    for (auto& thread : threads) {
        thread.join();
    }
    Result result;
    result.seconds = static_cast<double>(now_ns() - begin) / 1e9;
    result.events = events;
    for (const auto& one : handled) {
        result.checksum += one.total;
    }
    result.mean_batch = static_cast<double>(events) / static_cast<double>(handled.back().batches);
    return result;
}

}  // namespace

Result run_stream(const Options& options) {
    const auto graph = graph_of(options);
    return with_words(options, [&]<std::size_t Words>() {
        return with_wait(options, [&]<class Wait>() {
            Ring<Words> ring(options.capacity, graph.size());
            pass<Wait>(ring, graph, options, std::max<std::int64_t>(1, options.events / 10));
            return pass<Wait>(ring, graph, options, options.events);
        });
    });
}

// What filling and adding up cost alone, with no ring and no other thread.
Result run_harness(const Options& options) {
    return with_words(options, [&]<std::size_t Words>() {
        Event<Words> event{};
        Result result;
        const std::int64_t begin = now_ns();
        for (std::int64_t next = 0; next < options.events; ++next) {
            fill(event, static_cast<std::uint64_t>(next));
            asm volatile("" : : "r"(&event) : "memory");
            result.checksum += sum(event);
        }
        result.seconds = static_cast<double>(now_ns() - begin) / 1e9;
        result.events = options.events;
        return result;
    });
}
