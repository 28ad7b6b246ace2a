//! Workers: each event goes to one of several consumers.
//!
//! Source: LMAX Disruptor 3.4, `WorkProcessor`; Fowler, Noll, Vo, "FNV hash history", 1991, for the share of a key.

use crate::planted::{self, Twin};
use crate::sync::{AtomicI64, Ordering};

/// The next sequence that no worker has taken yet, of workers that take whatever comes.
///
/// Written and read by every worker: release and acquire, since it stands for what the others hold.
pub struct WorkSequence(AtomicI64);

impl WorkSequence {
    /// Begins after `sequence`.
    pub fn new(sequence: i64) -> Self {
        Self(AtomicI64::new(sequence))
    }

    /// Begins after `sequence`; once, before the workers run.
    pub fn start_at(&self, sequence: i64) {
        self.0.store(sequence, Ordering::Release);
    }

    /// The last sequence that was taken.
    pub fn taken(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    /// Takes the next one if it is readable, for a worker that holds none; `commit` as for [`WorkSequence::take`].
    pub fn take_readable(&self, mut commit: impl FnMut(i64), mut is_readable: impl FnMut(i64) -> bool) -> Option<i64> {
        let mut before = self.taken();
        loop {
            commit(before);
            if !is_readable(before + 1) {
                return None;
            }
            match self
                .0
                .compare_exchange_weak(before, before + 1, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(before + 1),
                Err(now) => before = now,
            }
        }
    }

    /// Takes the next one for a worker that holds none. `commit` moves that worker's sequence, by which it gates.
    ///
    /// What lies before is another's, or done: the worker holds nothing up to there. It says so before it takes the next
    /// one, so that it gates all the time.
    pub fn take(&self, commit: impl FnOnce(i64)) -> i64 {
        let before = self.0.load(Ordering::Acquire);
        if planted::is(Twin::WorkHeldLate) {
            let taken = self.0.fetch_add(1, Ordering::AcqRel) + 1;
            commit(self.0.load(Ordering::Acquire));
            return taken;
        }
        commit(before);
        if planted::is(Twin::WorkTakenTwice) {
            self.0.store(before + 1, Ordering::Release);
            return before + 1;
        }
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// Which of `workers` an event with these bytes as its key goes to: always the same (FNV-1a).
#[inline]
pub fn worker_of(key: &[u8], workers: u64) -> u64 {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) % workers
}
