//! The place of one consumer: read by producers and dependents, written by its owner.

use crate::layout::{MAX_SEQUENCE, SequenceLine};
use crate::planted::{Twin, order};
use crate::sync::Ordering;

/// A sequence that was read from memory which others write: whatever a broken peer left there, no sum or difference of
/// it with a capacity overflows.
#[inline(always)]
pub fn sane(sequence: i64) -> i64 {
    sequence.clamp(-1, MAX_SEQUENCE)
}

impl SequenceLine {
    /// The last sequence its consumer is done with; acquires what the consumer wrote up to there.
    #[inline]
    pub fn get(&self) -> i64 {
        // SYNC POINT: consumer sequence. Pairs with `set`.
        sane(self.value.load(order(Twin::GateReadRelaxed, Ordering::Acquire)))
    }

    /// Moves on to `value` and releases what the consumer wrote and read up to there.
    #[inline]
    pub fn set(&self, value: i64) {
        // SYNC POINT: consumer sequence. Pairs with `get`.
        self.value.store(value, order(Twin::CommitRelaxed, Ordering::Release));
    }
}
