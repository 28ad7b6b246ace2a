// How a thread waits for a sequence of another: spinning, or giving the core away after some looks.
#pragma once

#include <sched.h>

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
inline void relax() { _mm_pause(); }
#elif defined(__aarch64__)
inline void relax() { asm volatile("yield"); }
#else
inline void relax() {}
#endif

struct Spin {
    void idle() { relax(); }
    void reset() {}
};

struct Yield {
    static constexpr std::uint32_t kLooks = 100;
    std::uint32_t looks = 0;

    void idle() {
        if (++looks < kLooks) {
            relax();
        } else {
            sched_yield();
        }
    }
    void reset() { looks = 0; }
};
