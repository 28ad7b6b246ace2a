//! Schedules of paced producers, and sleep that ends on time.

use crate::options::Options;
use std::time::Duration;

/// When each event is due, in ns of the monotonic clock.
#[derive(Clone, Copy)]
pub struct Schedule {
    start: u64,
    warmup: u64,
    total: u64,
    rate: f64,
    producers: u64,
}

/// The quarters of the measured time.
pub const WINDOWS: usize = 4;

impl Schedule {
    /// Begins 10 ms from now, when all threads are there.
    pub fn new(options: &Options, producers: usize) -> Self {
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        Self {
            start: now_ns() + 10_000_000,
            warmup: ns(options.warmup),
            total: ns(options.warmup + options.seconds),
            rate: options.rate,
            producers: producers as u64,
        }
    }

    /// How many events producer `producer` has.
    pub fn events_of(&self, producer: u64) -> u64 {
        let all = (self.total as f64 / 1e9 * self.rate).round() as u64;
        (all + self.producers - 1 - producer) / self.producers
    }

    /// The number of a producer's event: they take turns, so that their phases are spread evenly.
    pub fn number_of(&self, producer: u64, index: u64) -> u64 {
        index * self.producers + producer
    }

    /// When event number `number` is due.
    pub fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * 1e9 / self.rate) as u64
    }

    /// Whether a producer that is behind has to stop.
    pub fn is_over(&self) -> bool {
        now_ns() >= self.start + self.total
    }

    /// The window that an event counts in; None for those that warm up.
    pub fn window_of(&self, due: u64) -> Option<usize> {
        let since = (due - self.start).checked_sub(self.warmup)?;
        let length = (self.total - self.warmup).max(1);
        Some((since as usize * WINDOWS / length as usize).min(WINDOWS - 1))
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(now_ns().saturating_sub(self.start))
    }
}

/// The monotonic clock.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place for the answer is valid, and the clock exists everywhere.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps of this thread end at most 1 ns late by the kernel's own choice, not 50 us.
pub fn sleep_precisely() {
    // SAFETY: sets a number of this thread; no memory is handed over.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Sleeps until `due`; who is late does not sleep.
pub fn sleep_until(due: u64) {
    if now_ns() >= due {
        return;
    }
    let time = libc::timespec {
        tv_sec: (due / 1_000_000_000) as i64,
        tv_nsec: (due % 1_000_000_000) as i64,
    };
    // SAFETY: the time is valid; the rest is not asked for.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const time,
            std::ptr::null_mut(),
        )
    };
}
