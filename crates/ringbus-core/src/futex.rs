//! A word to sleep on. Linux futexes; under loom a mutex and a condition variable that behave alike.
//!
//! Source: futex(2); Drepper, "Futexes are tricky", 2011.

use crate::crash::crash_point;
use crate::layout::FutexLine;
use crate::planted::{self, Twin};
use crate::sync::{Ordering, heavy_barrier, light_barrier};
use std::time::Duration;

/// A thread may sleep on the word.
pub const SLEEPER: u32 = 1;
/// A descriptor is to be written to when the word is woken (asyncio).
pub const WATCHER: u32 = 2;
/// The bits that say who waits; those above them count the wakes.
pub const WHO: u32 = SLEEPER | WATCHER;

impl FutexLine {
    /// Says that the caller is about to sleep. Look again afterwards, then [`FutexLine::sleep`].
    ///
    /// `asymmetric` as for every [`FutexLine::take`] of this word. Returns the ticket to sleep with. It is void after the next wake, even if somebody else arms the
    /// word again: that one waits for something else.
    #[inline]
    pub fn arm(&self, how: u32, asymmetric: bool) -> u32 {
        let ticket = self.armed.fetch_or(how, Ordering::AcqRel) | how;
        crash_point!("wait.armed");
        // SYNC POINT: armed. Pairs with the barrier in `take`.
        if !planted::is(Twin::BarrierDroppedInArm) {
            heavy_barrier(asymmetric);
        }
        ticket
    }

    /// After a publish or commit: who, if anybody, is to be woken. Nobody costs one barrier and one load.
    ///
    /// Returns the bits that were set; they are cleared, and every ticket so far is void.
    #[inline]
    pub fn take(&self, asymmetric: bool) -> u32 {
        // SYNC POINT: armed. Pairs with the barrier in `arm`: either this load sees the bit, or the
        // waiter's second look sees what was stored before.
        if !planted::is(Twin::BarrierDroppedInWake) {
            light_barrier(asymmetric);
        }
        let armed = self.armed.load(Ordering::Relaxed);
        if armed & WHO == 0 || planted::is(Twin::WakeSkipped) {
            return 0;
        }
        self.disarm(armed)
    }

    #[cold]
    fn disarm(&self, mut armed: u32) -> u32 {
        while armed & WHO != 0 {
            let woken = (armed | WHO).wrapping_add(1);
            match self
                .armed
                .compare_exchange_weak(armed, woken, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => {
                    crash_point!("wake.disarmed");
                    return armed & WHO;
                }
                Err(now) => armed = now,
            }
        }
        0
    }
}

#[cfg(not(loom))]
impl FutexLine {
    /// Sleeps while `ticket` holds, at most `timeout`. May return early.
    pub fn sleep(&self, ticket: u32, timeout: Duration) {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().min(1 << 30) as libc::time_t,
            tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
        };
        // SAFETY: the word lives as long as `self`; the kernel only reads it and the time-out.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                std::ptr::from_ref(&self.armed),
                libc::FUTEX_WAIT,
                ticket,
                &raw const timeout,
            )
        };
    }

    /// Wakes every thread that sleeps on the word, in this process or another.
    pub fn wake(&self) {
        // SAFETY: as in `sleep`; FUTEX_WAKE reads nothing.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                std::ptr::from_ref(&self.armed),
                libc::FUTEX_WAKE,
                i32::MAX,
            )
        };
    }
}

#[cfg(loom)]
mod bed {
    use super::{Duration, FutexLine, Ordering, SLEEPER};
    use crate::planted::{self, Twin};

    /// What stands for the kernel's queue of sleepers.
    #[derive(Debug)]
    pub struct Bed {
        lock: loom::sync::Mutex<()>,
        sleepers: loom::sync::Condvar,
    }

    impl Default for Bed {
        fn default() -> Self {
            Self {
                lock: loom::sync::Mutex::new(()),
                sleepers: loom::sync::Condvar::new(),
            }
        }
    }

    impl FutexLine {
        /// Sleeps while `ticket` holds. There is no time-out: a lost wake-up is a deadlock that loom reports.
        pub fn sleep(&self, ticket: u32, _timeout: Duration) {
            let guard = self.bed.lock.lock().unwrap();
            let armed = self.armed.load(Ordering::Relaxed);
            if armed == ticket || planted::is(Twin::SleepOnAnyArming) && armed & SLEEPER != 0 {
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
