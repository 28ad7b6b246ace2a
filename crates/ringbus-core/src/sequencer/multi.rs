//! Any number of producers: a compare-and-swap to claim, a word a slot to publish.

use super::contention::Contention;
use super::{Sequencer, fetch_ahead, reach};
use crate::crash::{self, crash_point};
use crate::error::ShareError;
use crate::layout::{INTENTS, MAX_SEQUENCE, ProducerLine};
use crate::planted::{self, Twin, barrier, order};
use crate::recovery;
use crate::segment::{Blocker, Segment, producer_byte};
use crate::sequence::sane;
use crate::sync::{AtomicI64, Ordering, write_barrier};
use std::sync::Arc;

/// How many available words a producer looks at in advance: it shall not look at a whole ring at once.
const LOOK_AHEAD: i64 = 256;

/// Claims and publishes for one of many producers. Copies share the cache of the slowest consumer; in a shared segment
/// each has a line of its own, where it says what it is about to claim.
pub struct MultiProducerSequencer {
    segment: Arc<Segment>,
    capacity: i64,
    line: Option<Line>,
    /// A sequence that every consumer that gates has reached, and up to which all is published; only ever
    /// too low. Written and read by every producer of the process: release and acquire, since it stands for
    /// the consumers' sequences and the available words.
    gate: Arc<Gate>,
    contention: Contention,
}

/// A word on a line of its own.
#[repr(align(128))]
struct Gate(AtomicI64);

impl MultiProducerSequencer {
    /// A producer of `segment`.
    pub fn new(segment: Arc<Segment>) -> Self {
        Self::enter(segment).expect("a private segment has room for every producer")
    }

    /// A producer of `segment`, which may be a shared one.
    ///
    /// # Errors
    /// Every line is taken by a live producer.
    pub fn enter(segment: Arc<Segment>) -> Result<Self, ShareError> {
        let claimed = sane(segment.cursor().claimed.load(Ordering::Acquire));
        let gate = segment.before_start().max(claimed - segment.capacity());
        let line = if segment.is_shared() {
            Some(Line::take(&segment)?)
        } else {
            None
        };
        Ok(Self {
            capacity: segment.capacity(),
            segment,
            line,
            gate: Arc::new(Gate(AtomicI64::new(gate))),
            contention: Contention::default(),
        })
    }

    /// Another producer of the same process.
    ///
    /// # Errors
    /// As [`MultiProducerSequencer::enter`].
    pub fn another(&self) -> Result<Self, ShareError> {
        let line = if self.segment.is_shared() {
            Some(Line::take(&self.segment)?)
        } else {
            None
        };
        Ok(Self {
            segment: Arc::clone(&self.segment),
            capacity: self.capacity,
            line,
            gate: Arc::clone(&self.gate),
            contention: Contention::default(),
        })
    }

    /// A consumer that joined late, or no consumer at all, does not vouch for claims that were open before:
    /// their slots must not be taken either. Everything up to `known` is published.
    #[cold]
    fn look_at_consumers(&self, claimed: i64, high: i64, known: i64) -> Result<(), Blocker> {
        if planted::is(Twin::GateSkipped) {
            return Ok(());
        }
        if high > MAX_SEQUENCE {
            return Err(Blocker::Cursor);
        }
        // What is a lap behind the cursor was published, or nobody could have claimed its slot again.
        let known = known.max(self.claimed().min(claimed) - self.capacity);
        // SYNC POINT: join. Pairs with the barrier of a joiner.
        barrier(Twin::BarrierDroppedInScan);
        let (gate, slowest) = self.segment.minimum_gate(claimed);
        let gate = gate.min((high - self.capacity).max(known + LOOK_AHEAD));
        let published = if planted::is(Twin::OpenClaimOverrun) {
            gate
        } else {
            self.segment.published_up_to(known + 1, gate)
        };
        // SYNC POINT: gate cache. Pairs with the load in `poll_claim`.
        self.gate.0.store(published, Ordering::Release);
        if high <= reach(published, self.capacity) {
            return Ok(());
        }
        Err(if published < gate {
            Blocker::Cursor
        } else {
            slowest.map_or(Blocker::Cursor, Blocker::Consumer)
        })
    }

    fn take(&self, claimed: i64, high: i64) -> bool {
        let cursor = &self.segment.cursor().claimed;
        if planted::is(Twin::ClaimNotAtomic) {
            cursor.store(high, Ordering::Release);
            return true;
        }
        cursor
            .compare_exchange_weak(claimed, high, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The planted twin of a claim.
    #[cold]
    fn take_by_addition(&mut self, count: i64) -> i64 {
        let low = self.segment.cursor().claimed.fetch_add(count, Ordering::AcqRel) + 1;
        if let Some(line) = &mut self.line {
            line.announce(low, low + count - 1);
        }
        low + count - 1
    }
}

impl Clone for MultiProducerSequencer {
    /// As [`MultiProducerSequencer::another`], for private segments.
    fn clone(&self) -> Self {
        self.another().expect("a private segment has room for every producer")
    }
}

impl Sequencer for MultiProducerSequencer {
    #[inline]
    fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    #[inline]
    fn claimed(&self) -> i64 {
        sane(self.segment.cursor().claimed.load(Ordering::Acquire))
    }

    #[inline]
    fn poll_claim(&mut self, count: i64) -> Result<i64, Blocker> {
        loop {
            let claimed = self.segment.cursor().claimed.load(Ordering::Relaxed);
            let high = claimed.saturating_add(count);
            let gate = self.gate.0.load(order(Twin::GateCacheRelaxed, Ordering::Acquire));
            if high > reach(gate, self.capacity) {
                self.look_at_consumers(claimed, high, gate)?;
            }
            // SYNC POINT: intent. Pairs with `recovery::covers`, behind a read of the cursor.
            if planted::is(Twin::ClaimByAddition) {
                let high = self.take_by_addition(count);
                crash_point!("claim.taken");
                return Ok(high);
            }
            let intent = self.line.as_mut().map(|line| line.announce(claimed + 1, high));
            if self.take(claimed, high) {
                crash_point!("claim.taken");
                // SYNC POINT: lapped. Pairs with the read barrier of a reader that may be lapped.
                write_barrier();
                self.contention.won();
                // The next compare-and-swap waits for every store before it, hence for the lines of the slot.
                fetch_ahead(&self.segment, high);
                return Ok(high);
            }
            crash_point!("claim.lost");
            if let (Some(line), Some(intent)) = (&mut self.line, intent)
                && !planted::is(Twin::IntentKept)
            {
                line.withdraw(intent);
            }
            self.contention.lost();
        }
    }

    #[inline]
    fn publish(&mut self, low: i64, high: i64) {
        let first = if planted::is(Twin::BatchMarksLastOnly) {
            high
        } else {
            low
        };
        for sequence in first..=high {
            self.segment.mark_available(sequence);
            crash_point!("publish.marked");
        }
        if let Some(line) = &mut self.line {
            line.done(low);
        }
        self.segment.wake(Blocker::Cursor);
        crash_point!("publish.woken");
    }

    fn open_claims(&self) -> usize {
        self.line.as_ref().map_or(0, |line| line.open.count_ones() as usize)
    }

    fn abort(&mut self, low: i64, high: i64) {
        let pads = &self.segment.state().pads;
        if !planted::is(Twin::PadBeforeCount) {
            pads.fetch_add((high - low + 1) as u64, Ordering::AcqRel);
            crash_point!("abort.counted");
        }
        for sequence in low..=high {
            self.segment.mark_pad(sequence);
            crash_point!("abort.padded");
        }
        if let Some(line) = &mut self.line {
            line.done(low);
        }
        if planted::is(Twin::PadBeforeCount) {
            pads.fetch_add((high - low + 1) as u64, Ordering::AcqRel);
        }
        self.segment.wake(Blocker::Cursor);
        crash_point!("abort.woken");
    }
}

/// A producer's line in a shared segment.
struct Line {
    segment: Arc<Segment>,
    index: usize,
    /// The intents in use, a bit each.
    open: u32,
    /// Where the claims of those in use begin.
    lows: [i64; INTENTS],
    /// Whose it is: a child made by fork has a copy that means nothing.
    process: u32,
}

impl Line {
    fn take(segment: &Arc<Segment>) -> Result<Self, ShareError> {
        let producers = segment.geometry().producers;
        for looked_for_the_dead in [false, true] {
            let free = (0..producers as usize).find(|&index| Self::take_free(segment, index));
            if let Some(index) = free {
                return Ok(Self {
                    segment: Arc::clone(segment),
                    index,
                    open: 0,
                    lows: [0; INTENTS],
                    process: std::process::id(),
                });
            }
            if !looked_for_the_dead {
                recovery::recover_producers(segment);
            }
        }
        Err(ShareError::ProducersFull { producers })
    }

    /// The byte first, the line second: a line with an owner whose byte nobody holds is a dead one's.
    fn take_free(segment: &Segment, index: usize) -> bool {
        let line = segment.producer(index);
        if line.owner.load(Ordering::Acquire) != 0 || !segment.take_byte(producer_byte(index)) {
            return false;
        }
        crash_point!("enter.byte");
        if line.owner.load(Ordering::Acquire) != 0 {
            segment.release_byte(producer_byte(index));
            return false;
        }
        line.generation.fetch_add(1, Ordering::Relaxed);
        crash_point!("enter.generation");
        line.owner.store(u64::from(std::process::id()), Ordering::Release);
        crash_point!("enter.owner");
        true
    }

    #[inline]
    fn words(&self) -> &ProducerLine {
        self.segment.producer(self.index)
    }

    /// Says that `low..=high` are about to be claimed. The caller has made sure that an intent is free.
    #[inline]
    fn announce(&mut self, low: i64, high: i64) -> usize {
        let place = (self.open.trailing_ones() as usize).min(INTENTS - 1);
        let intent = &self.words().intents[place];
        intent.low.store(0, Ordering::Relaxed);
        crash_point!("intent.none");
        intent.high.store(high + 1, Ordering::Release);
        crash_point!("intent.high");
        intent.low.store(low + 1, Ordering::Release);
        crash_point!("intent.low");
        self.lows[place] = low;
        self.open |= 1 << place;
        place
    }

    #[inline]
    fn withdraw(&mut self, place: usize) {
        self.words().intents[place].low.store(0, Ordering::Release);
        crash_point!("intent.withdrawn");
        self.open &= !(1 << place);
    }

    /// The claim that begins at `low` is published or given back.
    #[inline]
    fn done(&mut self, low: i64) {
        let found = (0..INTENTS).find(|&place| self.open & (1 << place) != 0 && self.lows[place] == low);
        if let Some(place) = found {
            self.withdraw(place);
        }
    }
}

impl Drop for Line {
    /// Open claims stay announced: who recovers makes Pads of them.
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        if self.open == 0 && !crash::has_died() {
            self.words().owner.store(0, Ordering::Release);
            crash_point!("exit.owner");
        }
        self.segment.release_byte(producer_byte(self.index));
        crash_point!("exit.byte");
    }
}
