//! The place of one consumer: read by producers and dependents, written by its owner.

use crate::layout::{MAX_SEQUENCE, SequenceLine};
use crate::planted::{self, Twin, order};
use crate::sync::Ordering;

/// From here on a word says that its consumer was evicted: what it was done with is the rest, less one.
const EVICTED: i64 = MAX_SEQUENCE + 1;

/// A sequence that was read from memory which others write: whatever a broken peer left there, no sum or difference of
/// it with a capacity overflows.
#[inline(always)]
pub fn sane(sequence: i64) -> i64 {
    sequence.clamp(-1, MAX_SEQUENCE)
}

impl SequenceLine {
    #[inline]
    fn load(&self) -> i64 {
        // SYNC POINT: consumer sequence. Pairs with `set`.
        self.value.load(order(Twin::GateReadRelaxed, Ordering::Acquire))
    }

    /// The last sequence its consumer is done with, evicted or not; acquires what the consumer wrote up to there.
    #[inline]
    pub fn get(&self) -> i64 {
        match self.load() {
            evicted @ EVICTED.. => evicted - EVICTED - 1,
            sequence => sane(sequence),
        }
    }

    /// What producers go by: as [`SequenceLine::get`], but one that was evicted holds nobody up.
    #[inline]
    pub fn gate(&self) -> i64 {
        sane(self.load())
    }

    /// Whether its consumer was evicted.
    #[inline]
    pub fn is_evicted(&self) -> bool {
        self.load() >= EVICTED
    }

    /// Moves on to `value` and releases what the consumer wrote and read up to there.
    #[inline]
    pub fn set(&self, value: i64) {
        // SYNC POINT: consumer sequence. Pairs with `get`.
        self.value.store(value, order(Twin::CommitRelaxed, Ordering::Release));
    }

    /// As [`SequenceLine::set`], for a consumer that may be evicted: false when it was.
    #[inline]
    pub fn advance(&self, value: i64) -> bool {
        if planted::is(Twin::CommitOverEviction) {
            self.set(value);
            return true;
        }
        let now = self.value.load(Ordering::Relaxed);
        // SYNC POINT: consumer sequence. Pairs with `get`.
        now < EVICTED
            && self
                .value
                .compare_exchange(now, value, Ordering::Release, Ordering::Relaxed)
                .is_ok()
    }

    /// Evicts its consumer, unless it has moved on from `sequence`.
    pub fn evict(&self, sequence: i64) -> bool {
        // SYNC POINT: consumer sequence. Acquires what the consumer read up to there, which may be overwritten now.
        (-1..MAX_SEQUENCE).contains(&sequence)
            && self
                .value
                .compare_exchange(sequence, EVICTED + 1 + sequence, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}
