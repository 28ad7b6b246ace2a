//! A word to sleep on. Linux futexes; under loom a mutex and a condition variable that behave alike.
//!
//! Source: futex(2); Drepper, "Futexes are tricky", 2011.

use crate::layout::FutexLine;
use crate::planted::{self, Twin};
use crate::sync::{Ordering, store_load_barrier};
use std::time::Duration;

/// A thread may sleep on the word.
pub const SLEEPER: u32 = 1;
/// A descriptor is to be written to when the word is woken (asyncio).
pub const WATCHER: u32 = 2;

impl FutexLine {
    /// Says that the caller is about to sleep. Look again afterwards, then [`FutexLine::sleep`].
    #[inline]
    pub fn arm(&self, how: u32) {
        self.armed.fetch_or(how, Ordering::AcqRel);
        // SYNC POINT: armed. Pairs with the barrier in `take`.
        store_load_barrier();
    }

    /// After a publish or commit: who, if anybody, is to be woken. Nobody costs one barrier and one load.
    ///
    /// Returns the bits that were set; they are cleared.
    #[inline]
    pub fn take(&self) -> u32 {
        // SYNC POINT: armed. Pairs with the barrier in `arm`: either this load sees the bit, or the
        // waiter's second look sees what was stored before.
        store_load_barrier();
        if self.armed.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        if planted::is(Twin::WakeSkipped) {
            return 0;
        }
        self.armed.swap(0, Ordering::AcqRel)
    }
}

#[cfg(not(loom))]
impl FutexLine {
    /// Sleeps while the word keeps the bit it was armed with, at most `timeout`. May return early.
    pub fn sleep(&self, timeout: Duration) {
        let value = self.armed.load(Ordering::Relaxed);
        if value & SLEEPER == 0 {
            return;
        }
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().min(1 << 30) as libc::time_t,
            tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
        };
        // SAFETY: the word lives as long as `self`; the kernel only reads it and the time-out.
        unsafe {
            libc::syscall(libc::SYS_futex, std::ptr::from_ref(&self.armed), libc::FUTEX_WAIT, value, &raw const timeout)
        };
    }

    /// Wakes every thread that sleeps on the word, in this process or another.
    pub fn wake(&self) {
        // SAFETY: as in `sleep`; FUTEX_WAKE reads nothing.
        unsafe { libc::syscall(libc::SYS_futex, std::ptr::from_ref(&self.armed), libc::FUTEX_WAKE, i32::MAX) };
    }
}

#[cfg(loom)]
mod bed {
    use super::{Duration, FutexLine, Ordering, SLEEPER};

    /// What stands for the kernel's queue of sleepers.
    #[derive(Debug)]
    pub struct Bed {
        lock: loom::sync::Mutex<()>,
        sleepers: loom::sync::Condvar,
    }

    impl Default for Bed {
        fn default() -> Self {
            Self { lock: loom::sync::Mutex::new(()), sleepers: loom::sync::Condvar::new() }
        }
    }

    impl FutexLine {
        /// Sleeps while the word is armed. There is no time-out: a lost wake-up is a deadlock that loom reports.
        pub fn sleep(&self, _timeout: Duration) {
            let guard = self.bed.lock.lock().unwrap();
            if self.armed.load(Ordering::Relaxed) & SLEEPER != 0 {
                drop(self.bed.sleepers.wait(guard).unwrap());
            }
        }

        /// Wakes every sleeper.
        pub fn wake(&self) {
            let _guard = self.bed.lock.lock().unwrap();
            self.bed.sleepers.notify_all();
        }
    }
}

#[cfg(loom)]
pub use bed::Bed;
