//! Who takes part: consumers join, depend on each other, and leave, while events flow.

use crate::error::{JoinError, LeaveError};
use crate::layout::{ConsumerEntry, MAX_CONSUMERS, NAME_BYTES, ProducerKind};
use crate::planted::{self, Twin, barrier};
use crate::segment::{Blocker, Segment};
use crate::sync::Ordering;
use std::sync::Arc;

/// The entry is nobody's.
pub const FREE: u32 = 0;
/// Its consumer takes part.
pub const LIVE: u32 = 2;
/// It keeps the place of a consumer that has not come yet.
pub const HELD: u32 = 3;

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the place that is held for it, or else after the cursor.
    Default,
    /// After the cursor.
    Latest,
    /// At the first sequence that is held for it.
    Oldest,
    /// At this sequence.
    At(i64),
}

/// One consumer's place in the registry.
#[derive(Clone)]
pub struct Consumer {
    segment: Arc<Segment>,
    index: usize,
    generation: u64,
    gating: bool,
}

impl Consumer {
    /// Joins the ring. From here on, if `gating`, no producer overwrites what this consumer has not done.
    ///
    /// # Errors
    /// A name that is taken, empty or too long; no free entry; a start that is not held.
    pub fn join(segment: &Arc<Segment>, name: &str, gating: bool, start: Start) -> Result<Self, JoinError> {
        check_name(name)?;
        let _registrar = segment.registrar().lock();
        let entry = match find(segment, name) {
            Some(index) if segment.consumer(index).identity.state.load(Ordering::Acquire) == HELD => Some(index),
            Some(_) => return Err(JoinError::NameTaken { name: name.to_owned() }),
            None => None,
        };
        let consumer = match entry {
            Some(index) => Self::at(segment, index, true),
            None => Self::enter(segment, name, gating, LIVE)?,
        };
        if let Err(error) = consumer.begin(start, entry.is_some()) {
            if entry.is_none() {
                consumer.free();
            }
            return Err(error);
        }
        consumer.entry().identity.state.store(LIVE, Ordering::Release);
        Ok(consumer)
    }

    /// Keeps a place for a consumer that comes later: it gates from now on.
    ///
    /// # Errors
    /// As [`Consumer::join`].
    pub fn hold(segment: &Arc<Segment>, name: &str) -> Result<Self, JoinError> {
        check_name(name)?;
        let _registrar = segment.registrar().lock();
        if find(segment, name).is_some() {
            return Err(JoinError::NameTaken { name: name.to_owned() });
        }
        Self::enter(segment, name, true, HELD)
    }

    fn at(segment: &Arc<Segment>, index: usize, gating: bool) -> Self {
        let generation = segment.consumer(index).identity.generation.load(Ordering::Relaxed);
        Self { segment: Arc::clone(segment), index, generation, gating }
    }

    fn enter(segment: &Arc<Segment>, name: &str, gating: bool, state: u32) -> Result<Self, JoinError> {
        let index = take_entry(segment)?;
        segment.consumer(index).identity.generation.fetch_add(1, Ordering::Relaxed);
        let consumer = Self::at(segment, index, gating);
        let identity = &consumer.entry().identity;
        write_name(consumer.entry(), name);
        identity.depends_on.store(0, Ordering::Relaxed);
        identity.kind.store(if gating { 1 } else { 2 }, Ordering::Relaxed);
        consumer.clear_counters();
        consumer.enter_at_cursor();
        identity.state.store(state, Ordering::Release);
        Ok(consumer)
    }

    /// Stores the own sequence, passes the barrier, reads the cursor again and starts there. A producer's
    /// scan either sees the first store, or its cursor is what the second look sees.
    fn enter_at_cursor(&self) {
        let sequence = &self.entry().sequence;
        sequence.set(cursor(&self.segment));
        if !self.gating {
            return;
        }
        self.segment.registry().gating.fetch_or(1 << self.index, Ordering::AcqRel);
        // SYNC POINT: join. Pairs with the barrier before a producer's scan of the registry.
        barrier(Twin::BarrierDroppedInJoin);
        if !planted::is(Twin::JoinWithoutSecondLook) {
            sequence.set(cursor(&self.segment));
        }
        if !planted::is(Twin::JoinWithoutWake) {
            // A producer may sleep on what the first look said.
            self.segment.wake(Blocker::Consumer(self.index));
        }
    }

    fn begin(&self, start: Start, held: bool) -> Result<(), JoinError> {
        let first = self.sequence() + 1;
        let wanted = match start {
            Start::Default | Start::Oldest => return Ok(()),
            Start::Latest if !held => return Ok(()),
            Start::Latest => cursor(&self.segment) + 1,
            Start::At(sequence) => sequence,
        };
        let last = if held { cursor(&self.segment) + 1 } else { first };
        if wanted < first || wanted > last {
            return Err(JoinError::StartNotHeld { wanted, first });
        }
        self.commit(wanted - 1);
        Ok(())
    }

    /// Makes this consumer follow those in `entries`, a bit each.
    pub fn depend_on(&self, entries: u64) {
        self.entry().identity.depends_on.store(entries, Ordering::Release);
    }

    /// The entries it follows, a bit each; 0 is the cursor.
    pub fn depends_on(&self) -> u64 {
        self.entry().identity.depends_on.load(Ordering::Acquire)
    }

    /// Leaves the ring; whoever waits for this consumer goes on. Harmless if it has left already.
    ///
    /// # Errors
    /// Somebody depends on it.
    pub fn leave(&self) -> Result<(), LeaveError> {
        let _registrar = self.segment.registrar().lock();
        if self.has_left() {
            return Ok(());
        }
        let dependents = dependents(&self.segment, self.index);
        if dependents != 0 {
            return Err(LeaveError::HasDependents { dependents });
        }
        self.free();
        Ok(())
    }

    fn has_left(&self) -> bool {
        let taken = self.segment.registry().taken.load(Ordering::Acquire) & (1 << self.index) != 0;
        !taken || self.entry().identity.generation.load(Ordering::Relaxed) != self.generation
    }

    fn free(&self) {
        let bit = 1_u64 << self.index;
        self.segment.registry().gating.fetch_and(!bit, Ordering::AcqRel);
        self.entry().identity.depends_on.store(0, Ordering::Relaxed);
        self.entry().identity.state.store(FREE, Ordering::Release);
        self.segment.registry().taken.fetch_and(!bit, Ordering::AcqRel);
        if !planted::is(Twin::LeaveWithoutWake) {
            self.segment.wake(Blocker::Consumer(self.index));
        }
    }

    /// Its entry in the registry.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether producers wait for it.
    #[inline]
    pub fn is_gating(&self) -> bool {
        self.gating
    }

    /// The ring it takes part in.
    #[inline]
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Its words in the segment.
    #[inline]
    pub fn entry(&self) -> &ConsumerEntry {
        self.segment.consumer(self.index)
    }

    /// The last sequence it is done with.
    #[inline]
    pub fn sequence(&self) -> i64 {
        self.entry().sequence.get()
    }

    /// Is done with everything up to `sequence`: releases it, and wakes who waits for this consumer.
    #[inline]
    pub fn commit(&self, sequence: i64) {
        self.entry().sequence.set(sequence);
        if !planted::is(Twin::CommitWakeSkipped) {
            self.segment.wake(Blocker::Consumer(self.index));
        }
    }

    fn clear_counters(&self) {
        let counters = &self.entry().counters;
        for counter in
            [&counters.events, &counters.batches, &counters.waits, &counters.blocked_ns, &counters.missed]
        {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Adds to its counters; only its own thread does.
    #[inline]
    pub fn count_batch(&self, events: u64) {
        let counters = &self.entry().counters;
        counters.events.store(counters.events.load(Ordering::Relaxed) + events, Ordering::Relaxed);
        counters.batches.store(counters.batches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Counts one wait that took `blocked_ns`.
    pub fn count_wait(&self, blocked_ns: u64) {
        let counters = &self.entry().counters;
        counters.waits.store(counters.waits.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        counters.blocked_ns.store(counters.blocked_ns.load(Ordering::Relaxed) + blocked_ns, Ordering::Relaxed);
    }

    /// Counts `events` that it was lapped by.
    pub fn count_missed(&self, events: u64) {
        let counters = &self.entry().counters;
        counters.missed.store(counters.missed.load(Ordering::Relaxed) + events, Ordering::Relaxed);
    }
}

/// The highest sequence claimed (multi) or published (single): where a joiner starts after.
pub fn cursor(segment: &Segment) -> i64 {
    match segment.geometry().kind {
        ProducerKind::Single => segment.cursor().published.load(Ordering::Acquire),
        ProducerKind::Multi => segment.cursor().claimed.load(Ordering::Acquire),
    }
}

/// The entry that has `name`, held or live.
pub fn find(segment: &Segment, name: &str) -> Option<usize> {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    (0..MAX_CONSUMERS).find(|&index| taken & (1 << index) != 0 && name_of(segment.consumer(index)) == name)
}

/// The entries that depend on the one at `index`, a bit each.
pub fn dependents(segment: &Segment, index: usize) -> u64 {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    (0..MAX_CONSUMERS)
        .filter(|&other| taken & (1 << other) != 0)
        .filter(|&other| segment.consumer(other).identity.depends_on.load(Ordering::Acquire) & (1 << index) != 0)
        .fold(0, |set, other| set | 1 << other)
}

fn take_entry(segment: &Segment) -> Result<usize, JoinError> {
    let taken = &segment.registry().taken;
    loop {
        let set = taken.load(Ordering::Acquire);
        let index = (!set).trailing_zeros() as usize;
        if index >= MAX_CONSUMERS {
            return Err(JoinError::RegistryFull);
        }
        if taken.fetch_or(1 << index, Ordering::AcqRel) & (1 << index) == 0 {
            return Ok(index);
        }
    }
}

fn check_name(name: &str) -> Result<(), JoinError> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(JoinError::NameLength { bytes: name.len() });
    }
    Ok(())
}

#[cfg(not(loom))]
fn write_name(entry: &ConsumerEntry, name: &str) {
    let mut bytes = [0_u8; NAME_BYTES];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    for (word, chunk) in entry.identity.name.iter().zip(bytes.chunks_exact(8)) {
        word.store(u64::from_le_bytes(std::array::from_fn(|byte| chunk[byte])), Ordering::Relaxed);
    }
}

/// The name in an entry.
#[cfg(not(loom))]
pub fn name_of(entry: &ConsumerEntry) -> String {
    let bytes: Vec<u8> =
        entry.identity.name.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[cfg(loom)]
fn write_name(_entry: &ConsumerEntry, _name: &str) {}

/// Names are not modelled.
#[cfg(loom)]
pub fn name_of(_entry: &ConsumerEntry) -> String {
    String::new()
}
