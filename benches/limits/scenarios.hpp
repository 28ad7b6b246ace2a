// The scenarios on raw rings. Each takes the options and gives what one timed pass came to.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "options.hpp"
#include "wait.hpp"

Result run_harness(const Options& options);
Result run_stream(const Options& options);
Result run_pingpong(const Options& options);
Result run_paced(const Options& options);

inline std::int64_t now_ns() {
    using namespace std::chrono;
    return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] inline void not_here(const char* what, const std::string& value) {
    std::fprintf(stderr, "the raw rings have no %s \"%s\"\n", what, value.c_str());
    std::exit(kNotHere);
}

// Calls `body` with the number of words of an event as a constant.
template <class Body>
Result with_words(const Options& options, Body body) {
    switch (options.size) {
        case 16: return body.template operator()<2>();
        case 32: return body.template operator()<4>();
        case 64: return body.template operator()<8>();
        case 128: return body.template operator()<16>();
        case 256: return body.template operator()<32>();
        case 512: return body.template operator()<64>();
        case 1024: return body.template operator()<128>();
        default: not_here("size", std::to_string(options.size));
    }
}

// Calls `body` with the way of waiting as a type.
template <class Body>
Result with_wait(const Options& options, Body body) {
    if (options.wait == "spin") {
        return body.template operator()<Spin>();
    }
    if (options.wait == "yield") {
        return body.template operator()<Yield>();
    }
    not_here("wait", options.wait);
}
