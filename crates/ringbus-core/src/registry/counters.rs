//! What a consumer counts; nothing relies on it.

use super::Consumer;
use crate::sync::Ordering;

impl Consumer {
    pub(super) fn clear_counters(&self) {
        let counters = &self.entry().counters;
        for counter in [
            &counters.events,
            &counters.batches,
            &counters.waits,
            &counters.blocked_ns,
            &counters.missed,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Adds to its counters; only its own thread does.
    #[inline]
    pub fn count_batch(&self, events: u64) {
        let counters = &self.entry().counters;
        counters.events.store(
            counters.events.load(Ordering::Relaxed).wrapping_add(events),
            Ordering::Relaxed,
        );
        counters.batches.store(
            counters.batches.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    /// Counts one wait.
    pub fn count_wait(&self) {
        let counters = &self.entry().counters;
        counters.waits.store(
            counters.waits.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    /// Adds to the time it has spent in waits. A long one is added bit by bit, so that who watches sees it.
    pub fn count_blocked(&self, blocked_ns: u64) {
        let counters = &self.entry().counters;
        counters.blocked_ns.store(
            counters.blocked_ns.load(Ordering::Relaxed).wrapping_add(blocked_ns),
            Ordering::Relaxed,
        );
    }

    /// Counts `events` that it was lapped by.
    pub fn count_missed(&self, events: u64) {
        let counters = &self.entry().counters;
        counters.missed.store(
            counters.missed.load(Ordering::Relaxed).wrapping_add(events),
            Ordering::Relaxed,
        );
    }
}
