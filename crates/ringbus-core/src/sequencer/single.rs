//! One producer: plain arithmetic, one release store to publish.

use super::{Sequencer, fetch_ahead, reach};
use crate::crash::crash_point;
use crate::error::ShareError;
use crate::planted::{self, Twin, barrier, order};
use crate::segment::{Blocker, SINGLE_PRODUCER_BYTE, Segment};
use crate::sequence::sane;
use crate::sync::{Ordering, write_barrier};
use std::sync::Arc;

/// Claims and publishes for the one producer of a ring.
pub struct SingleProducerSequencer {
    pub(super) segment: Arc<Segment>,
    pub(super) capacity: i64,
    /// The highest sequence claimed.
    pub(super) next: i64,
    /// A sequence that every consumer that gates has reached; only ever too low.
    pub(super) gate: i64,
    /// The process that holds the byte of the one producer, in a shared segment.
    process: Option<u32>,
}

impl SingleProducerSequencer {
    /// The producer of `segment`, going on from its cursor.
    pub fn new(segment: Arc<Segment>) -> Self {
        let next = sane(segment.cursor().published.load(Ordering::Acquire));
        let capacity = segment.capacity();
        let gate = segment.before_start();
        Self {
            segment,
            capacity,
            next,
            gate: gate.max(next - capacity),
            process: None,
        }
    }

    /// The one producer of `segment`, which may be a shared one: no other process can be it meanwhile.
    ///
    /// # Errors
    /// Another process is.
    pub fn enter(segment: Arc<Segment>) -> Result<Self, ShareError> {
        if segment.is_shared() && !segment.take_byte(SINGLE_PRODUCER_BYTE) {
            return Err(ShareError::OtherProducer);
        }
        crash_point!("enter.single");
        let mut sequencer = Self::new(segment);
        sequencer.process = sequencer.segment.is_shared().then(std::process::id);
        Ok(sequencer)
    }

    /// The highest sequence published.
    #[inline]
    pub fn published(&self) -> i64 {
        sane(self.segment.cursor().published.load(Ordering::Relaxed))
    }

    #[cold]
    fn look_at_consumers(&mut self, high: i64) -> Result<(), Blocker> {
        if planted::is(Twin::GateSkipped) {
            return Ok(());
        }
        // SYNC POINT: join. Pairs with the barrier of a joiner.
        barrier(Twin::BarrierDroppedInScan);
        let (gate, slowest) = self.segment.minimum_gate(self.published().min(self.next));
        self.gate = gate;
        if high > reach(gate, self.capacity) {
            return Err(slowest.map_or(Blocker::Cursor, Blocker::Consumer));
        }
        Ok(())
    }
}

impl Drop for SingleProducerSequencer {
    fn drop(&mut self) {
        if self.process == Some(std::process::id()) {
            self.segment.release_byte(SINGLE_PRODUCER_BYTE);
            crash_point!("exit.single");
        }
    }
}

impl Sequencer for SingleProducerSequencer {
    #[inline]
    fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    #[inline]
    fn claimed(&self) -> i64 {
        self.next
    }

    #[inline]
    fn poll_claim(&mut self, count: i64) -> Result<i64, Blocker> {
        let high = self.next + count;
        if high > reach(self.gate, self.capacity) {
            self.look_at_consumers(high)?;
        }
        // `claimed` never goes back: after a rewind it is too high, and a lapped reader is careful in vain.
        let claimed = &self.segment.cursor().claimed;
        if !planted::is(Twin::ClaimedStoredLate) && high > claimed.load(Ordering::Relaxed) {
            claimed.store(high, Ordering::Relaxed);
            crash_point!("claim.stored");
        }
        // SYNC POINT: lapped. Pairs with the read barrier of a reader that may be lapped.
        write_barrier();
        self.next = high;
        fetch_ahead(&self.segment, high);
        Ok(high)
    }

    #[inline]
    fn publish(&mut self, low: i64, high: i64) {
        debug_assert!(low <= high && high <= self.next);
        if planted::is(Twin::ClaimedStoredLate) {
            self.segment.cursor().claimed.store(high, Ordering::Relaxed);
        }
        // SYNC POINT: published. Pairs with the load in `barrier::highest_published`.
        crash_point!("publish.begun");
        self.segment
            .cursor()
            .published
            .store(high, order(Twin::PublishRelaxed, Ordering::Release));
        crash_point!("publish.stored");
        self.segment.wake(Blocker::Cursor);
        crash_point!("publish.announced");
    }

    fn abort(&mut self, low: i64, _high: i64) {
        self.next = low - 1;
        crash_point!("abort.rewound");
        if planted::is(Twin::RewindLowersClaimed) {
            self.segment.cursor().claimed.store(low - 1, Ordering::Relaxed);
        }
    }
}
