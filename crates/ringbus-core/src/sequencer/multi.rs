//! Any number of producers: a compare-and-swap to claim, a word a slot to publish.

use super::{Sequencer, reach};
use crate::planted::{self, Twin, barrier, order};
use crate::segment::{Blocker, Segment};
use crate::sync::{AtomicI64, Ordering, write_barrier};
use std::sync::Arc;

/// How many available words a producer looks at in advance: it shall not look at a whole ring at once.
const LOOK_AHEAD: i64 = 256;

/// Claims and publishes for one of many producers. Copies share the cache of the slowest consumer.
#[derive(Clone)]
pub struct MultiProducerSequencer {
    segment: Arc<Segment>,
    capacity: i64,
    /// A sequence that every consumer that gates has reached, and up to which all is published; only ever
    /// too low. Written and read by every producer of the process: release and acquire, since it stands for
    /// the consumers' sequences and the available words.
    gate: Arc<AtomicI64>,
}

impl MultiProducerSequencer {
    /// A producer of `segment`.
    pub fn new(segment: Arc<Segment>) -> Self {
        let gate = segment.before_start().max(segment.cursor().claimed.load(Ordering::Acquire) - segment.capacity());
        Self { capacity: segment.capacity(), segment, gate: Arc::new(AtomicI64::new(gate)) }
    }

    /// A consumer that joined late, or no consumer at all, does not vouch for claims that were open before:
    /// their slots must not be taken either. Everything up to `known` is published.
    #[cold]
    fn look_at_consumers(&self, claimed: i64, high: i64, known: i64) -> Result<(), Blocker> {
        if planted::is(Twin::GateSkipped) {
            return Ok(());
        }
        // SYNC POINT: join. Pairs with the barrier of a joiner.
        barrier(Twin::BarrierDroppedInScan);
        let (gate, slowest) = self.segment.minimum_gate(claimed);
        let gate = gate.min((high - self.capacity).max(known + LOOK_AHEAD));
        let published =
            if planted::is(Twin::OpenClaimOverrun) { gate } else { self.segment.published_up_to(known + 1, gate) };
        // SYNC POINT: gate cache. Pairs with the load in `poll_claim`.
        self.gate.store(published, Ordering::Release);
        if high <= reach(published, self.capacity) {
            return Ok(());
        }
        Err(if published < gate { Blocker::Cursor } else { slowest.map_or(Blocker::Cursor, Blocker::Consumer) })
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
                self.look_at_consumers(claimed, high, gate)?;
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
