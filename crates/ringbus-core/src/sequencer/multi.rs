//! Any number of producers: a compare-and-swap to claim, a word a slot to publish.

use super::{Sequencer, reach};
use crate::planted::{self, Twin, order};
use crate::segment::{Blocker, Segment};
use crate::sync::{AtomicI64, Ordering, store_load_barrier, write_barrier};
use std::sync::Arc;

/// Claims and publishes for one of many producers. Copies share the cache of the slowest consumer.
#[derive(Clone)]
pub struct MultiProducerSequencer {
    segment: Arc<Segment>,
    capacity: i64,
    /// A sequence that every consumer that gates has reached; only ever too low. Written and read by
    /// every producer of the process: release and acquire, since it stands for the consumers' sequences.
    gate: Arc<AtomicI64>,
}

impl MultiProducerSequencer {
    /// A producer of `segment`.
    pub fn new(segment: Arc<Segment>) -> Self {
        let gate = segment.before_start().max(segment.cursor().claimed.load(Ordering::Acquire) - segment.capacity());
        Self { capacity: segment.capacity(), segment, gate: Arc::new(AtomicI64::new(gate)) }
    }

    #[cold]
    fn look_at_consumers(&self, claimed: i64, high: i64) -> Result<(), Blocker> {
        if planted::is(Twin::GateSkipped) {
            return Ok(());
        }
        // SYNC POINT: join. Pairs with the barrier of a joiner.
        store_load_barrier();
        let (gate, slowest) = self.segment.minimum_gate(claimed);
        // SYNC POINT: gate cache. Pairs with the load in `poll_claim`.
        self.gate.store(gate, Ordering::Release);
        if high > reach(gate, self.capacity) {
            return Err(slowest.map_or(Blocker::Cursor, Blocker::Consumer));
        }
        Ok(())
    }

    fn take(&self, claimed: i64, high: i64) -> bool {
        let cursor = &self.segment.cursor().claimed;
        if planted::is(Twin::ClaimNotAtomic) {
            cursor.store(high, Ordering::Release);
            return true;
        }
        cursor.compare_exchange_weak(claimed, high, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Sequencer for MultiProducerSequencer {
    #[inline]
    fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    #[inline]
    fn claimed(&self) -> i64 {
        self.segment.cursor().claimed.load(Ordering::Acquire)
    }

    #[inline]
    fn poll_claim(&mut self, count: i64) -> Result<i64, Blocker> {
        loop {
            let claimed = self.segment.cursor().claimed.load(Ordering::Relaxed);
            let high = claimed + count;
            let gate = self.gate.load(order(Twin::GateCacheRelaxed, Ordering::Acquire));
            if high > reach(gate, self.capacity) {
                self.look_at_consumers(claimed, high)?;
            }
            if self.take(claimed, high) {
                // SYNC POINT: lapped. Pairs with the read barrier of a reader that may be lapped.
                write_barrier();
                return Ok(high);
            }
            crate::sync::spin_hint();
        }
    }

    #[inline]
    fn publish(&mut self, low: i64, high: i64) {
        let first = if planted::is(Twin::BatchMarksLastOnly) { high } else { low };
        for sequence in first..=high {
            self.segment.mark_available(sequence);
        }
        self.segment.wake(Blocker::Cursor);
    }

    fn abort(&mut self, low: i64, high: i64) {
        let pads = &self.segment.state().pads;
        if !planted::is(Twin::PadBeforeCount) {
            pads.fetch_add((high - low + 1) as u64, Ordering::AcqRel);
        }
        for sequence in low..=high {
            self.segment.mark_pad(sequence);
        }
        if planted::is(Twin::PadBeforeCount) {
            pads.fetch_add((high - low + 1) as u64, Ordering::AcqRel);
        }
        self.segment.wake(Blocker::Cursor);
    }
}
