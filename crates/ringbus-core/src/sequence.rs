//! The place of one consumer: read by producers and dependents, written by its owner.

use crate::layout::SequenceLine;
use crate::planted::{Twin, order};
use crate::sync::Ordering;

impl SequenceLine {
    /// The last sequence its consumer is done with; acquires what the consumer wrote up to there.
    #[inline]
    pub fn get(&self) -> i64 {
        // SYNC POINT: consumer sequence. Pairs with `set`.
        self.value.load(order(Twin::GateReadRelaxed, Ordering::Acquire))
    }

    /// Moves on to `value` and releases what the consumer wrote and read up to there.
    #[inline]
    pub fn set(&self, value: i64) {
        // SYNC POINT: consumer sequence. Pairs with `get`.
        self.value.store(value, order(Twin::CommitRelaxed, Ordering::Release));
    }
}
