//! Who takes part: consumers join, depend on each other, and leave, while events flow.

use crate::crash::crash_point;
use crate::error::{JoinError, LeaveError};
use crate::layout::{ConsumerEntry, MAX_CONSUMERS, NAME_BYTES, ProducerKind};
use crate::planted::{self, Twin, barrier};
use crate::recovery;
use crate::segment::{Blocker, Segment, consumer_byte};
use crate::sequence::sane;
use crate::sync::{Ordering, store_load_barrier, yield_now};
use std::sync::Arc;

/// The entry is nobody's.
pub const FREE: u32 = 0;
/// Somebody is about to take part.
pub const JOINING: u32 = 1;
/// Its consumer takes part.
pub const LIVE: u32 = 2;
/// It keeps the place of a consumer that has not come yet.
pub const HELD: u32 = 3;
/// Its consumer has died, and others depend on it.
pub const DEAD: u32 = 4;

/// In `kind`: producers wait for it.
pub const GATES: u32 = 1;
/// In `kind`: nobody waits for it.
pub const UNGATED: u32 = 2;
/// In `kind`: its place stays, and gates, while its process is away.
pub const DURABLE: u32 = 4;

/// On what terms a consumer takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether producers wait for it.
    pub gating: bool,
    /// Whether its place stays while its process is away.
    pub durable: bool,
    /// The most events a durable one may be behind while it is away; 0 is no limit.
    pub absent_limit: u64,
}

impl Terms {
    /// Takes part for as long as its process lives.
    pub fn ephemeral(gating: bool) -> Self {
        Self {
            gating,
            durable: false,
            absent_limit: 0,
        }
    }

    fn kind(self) -> u32 {
        (if self.gating { GATES } else { UNGATED }) | if self.durable { DURABLE } else { 0 }
    }
}

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
        Self::join_as(segment, name, Terms::ephemeral(gating), start)
    }

    /// Joins the ring on these terms, at the place that is held for it if there is one.
    ///
    /// # Errors
    /// As [`Consumer::join`].
    pub fn join_as(segment: &Arc<Segment>, name: &str, terms: Terms, start: Start) -> Result<Self, JoinError> {
        check_name(name)?;
        let _registering = segment.registering();
        let Some(index) = Self::place_of(segment, name)? else {
            let consumer = Self::enter(segment, name, terms, JOINING)?;
            if let Err(error) = consumer.begin(start, false) {
                consumer.free();
                return Err(error);
            }
            consumer.entry().identity.state.store(LIVE, Ordering::Release);
            crash_point!("join.live");
            return Ok(consumer);
        };
        crash_point!("return.byte");
        let consumer = Self::at(segment, index, true);
        if let Err(error) = consumer.begin(start, true) {
            segment.release_byte(consumer_byte(index));
            crash_point!("return.refused");
            return Err(error);
        }
        Ok(consumer.come_back(terms))
    }

    /// The entry that is held for `name`, whose byte this process has from here on.
    fn place_of(segment: &Arc<Segment>, name: &str) -> Result<Option<usize>, JoinError> {
        let Some(index) = find(segment, name) else {
            return Ok(None);
        };
        let taken = || JoinError::NameTaken { name: name.to_owned() };
        let identity = &segment.consumer(index).identity;
        let state = identity.state.load(Ordering::Acquire);
        let away = state == LIVE && identity.kind.load(Ordering::Relaxed) & DURABLE != 0;
        if state == HELD || away {
            return if take_place(segment, index) {
                Ok(Some(index))
            } else {
                Err(taken())
            };
        }
        // Those that depend on a dead one may have died too.
        recovery::recover_consumers(segment);
        if find(segment, name).is_some() {
            Err(taken())
        } else {
            Ok(None)
        }
    }

    /// Takes the place that was held; one that was let go meanwhile begins after the cursor, and is told what it
    /// missed.
    fn come_back(mut self, terms: Terms) -> Self {
        let identity = &self.entry().identity;
        identity.generation.fetch_add(1, Ordering::Relaxed);
        crash_point!("return.generation");
        identity.kind.store(terms.kind(), Ordering::Relaxed);
        crash_point!("return.kind");
        identity.absent_limit.store(terms.absent_limit, Ordering::Relaxed);
        crash_point!("return.limit");
        self.generation = self.entry().identity.generation.load(Ordering::Relaxed);
        self.gating = terms.gating;
        let gates = self.segment.registry().gating.load(Ordering::Acquire) & (1 << self.index) != 0;
        if !gates {
            let left_at = self.sequence();
            self.enter_at_cursor();
            self.count_missed((self.sequence() - left_at).max(0) as u64);
            crash_point!("return.missed");
        } else if !terms.gating {
            self.segment
                .registry()
                .gating
                .fetch_and(!(1 << self.index), Ordering::AcqRel);
            crash_point!("return.ungated");
            self.segment.wake(Blocker::Consumer(self.index));
            crash_point!("return.woken");
        }
        self.entry().identity.write_owner();
        crash_point!("return.owner");
        self.entry().identity.state.store(LIVE, Ordering::Release);
        crash_point!("return.live");
        self
    }

    /// Keeps a place for a consumer that comes later: it gates from now on.
    ///
    /// # Errors
    /// As [`Consumer::join`].
    pub fn hold(segment: &Arc<Segment>, name: &str) -> Result<Self, JoinError> {
        check_name(name)?;
        let _registering = segment.registering();
        if find(segment, name).is_some() {
            return Err(JoinError::NameTaken { name: name.to_owned() });
        }
        let consumer = Self::enter(segment, name, Terms::ephemeral(true), HELD)?;
        segment.release_byte(consumer_byte(consumer.index));
        crash_point!("hold.released");
        Ok(consumer)
    }

    fn at(segment: &Arc<Segment>, index: usize, gating: bool) -> Self {
        let generation = segment.consumer(index).identity.generation.load(Ordering::Relaxed);
        Self {
            segment: Arc::clone(segment),
            index,
            generation,
            gating,
        }
    }

    /// The byte is taken before the entry is written: an entry that is not free and whose byte nobody holds is a dead
    /// one's.
    fn enter(segment: &Arc<Segment>, name: &str, terms: Terms, state: u32) -> Result<Self, JoinError> {
        let index = take_entry(segment)?;
        segment
            .consumer(index)
            .identity
            .generation
            .fetch_add(1, Ordering::Relaxed);
        crash_point!("join.generation");
        let consumer = Self::at(segment, index, terms.gating);
        let identity = &consumer.entry().identity;
        identity.kind.store(terms.kind(), Ordering::Relaxed);
        crash_point!("join.kind");
        identity.absent_limit.store(terms.absent_limit, Ordering::Relaxed);
        crash_point!("join.limit");
        identity.state.store(JOINING, Ordering::Release);
        crash_point!("join.joining");
        write_name(consumer.entry(), name);
        crash_point!("join.named");
        identity.depends_on.store(0, Ordering::Relaxed);
        crash_point!("join.alone");
        identity.write_owner();
        crash_point!("join.owner");
        consumer.clear_counters();
        crash_point!("join.counters");
        consumer.enter_at_cursor();
        identity.state.store(state, Ordering::Release);
        crash_point!("join.state");
        Ok(consumer)
    }

    /// Stores the own sequence, passes the barrier, reads the cursor again and starts there. A producer's
    /// scan either sees the first store, or its cursor is what the second look sees.
    fn enter_at_cursor(&self) {
        let sequence = &self.entry().sequence;
        sequence.set(cursor(&self.segment));
        crash_point!("join.first_look");
        if !self.gating {
            return;
        }
        self.segment
            .registry()
            .gating
            .fetch_or(1 << self.index, Ordering::AcqRel);
        crash_point!("join.gating");
        // SYNC POINT: join. Pairs with the barrier before a producer's scan of the registry.
        barrier(Twin::BarrierDroppedInJoin);
        if !planted::is(Twin::JoinWithoutSecondLook) {
            sequence.set(cursor(&self.segment));
            crash_point!("join.second_look");
        }
        if !planted::is(Twin::JoinWithoutWake) {
            // A producer may sleep on what the first look said.
            self.segment.wake(Blocker::Consumer(self.index));
            crash_point!("join.woken");
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

    /// Makes this consumer follow those in `entries`, a bit each. Look afterwards whether they are still there: from
    /// then on none of them goes unseen.
    pub fn depend_on(&self, entries: u64) {
        // Nobody leaves or is buried meanwhile.
        let _registering = self.segment.registering();
        self.entry().identity.depends_on.store(entries, Ordering::Release);
        crash_point!("join.depends");
        // SYNC POINT: follow. Pairs with the barrier in `recovery::let_go`.
        store_load_barrier();
    }

    /// The entries it follows, a bit each; 0 is the cursor.
    pub fn depends_on(&self) -> u64 {
        self.entry().identity.depends_on.load(Ordering::Acquire)
    }

    /// Leaves the ring; whoever waits for this consumer goes on. Harmless if it has left already. The place of a durable
    /// one stays.
    ///
    /// # Errors
    /// Somebody depends on it.
    pub fn leave(&self) -> Result<(), LeaveError> {
        let _registering = self.segment.registering();
        if self.has_left() {
            return Ok(());
        }
        if self.entry().identity.kind.load(Ordering::Relaxed) & DURABLE != 0 {
            self.segment.release_byte(consumer_byte(self.index));
            crash_point!("leave.away");
            return Ok(());
        }
        let dependents = dependents(&self.segment, self.index);
        if dependents != 0 {
            return Err(LeaveError::HasDependents { dependents });
        }
        self.free();
        recovery::bury(&self.segment);
        Ok(())
    }

    /// Leaves though others depend on it: they handle what it was done with, and are told then.
    pub fn part(&self) {
        let _registering = self.segment.registering();
        if !self.has_left() {
            recovery::let_go(&self.segment, self.index);
            self.segment.release_byte(consumer_byte(self.index));
            crash_point!("part.byte");
        }
    }

    fn has_left(&self) -> bool {
        if recovery::is_dead(&self.segment, self.index) {
            return true;
        }
        let taken = self.segment.registry().taken.load(Ordering::Acquire) & (1 << self.index) != 0;
        !taken || self.entry().identity.generation.load(Ordering::Relaxed) != self.generation
    }

    fn free(&self) {
        let bit = 1_u64 << self.index;
        self.segment.registry().gating.fetch_and(!bit, Ordering::AcqRel);
        crash_point!("leave.ungated");
        self.entry().identity.depends_on.store(0, Ordering::Relaxed);
        crash_point!("leave.alone");
        self.entry().identity.state.store(FREE, Ordering::Release);
        crash_point!("leave.free");
        self.segment.registry().taken.fetch_and(!bit, Ordering::AcqRel);
        crash_point!("leave.untaken");
        self.segment.release_byte(consumer_byte(self.index));
        crash_point!("leave.byte");
        if !planted::is(Twin::LeaveWithoutWake) {
            self.segment.wake(Blocker::Consumer(self.index));
            crash_point!("leave.woken");
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
        crash_point!("commit.stored");
        if !planted::is(Twin::CommitWakeSkipped) {
            self.segment.wake(Blocker::Consumer(self.index));
            crash_point!("commit.woken");
        }
    }

    fn clear_counters(&self) {
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

/// The highest sequence claimed (multi) or published (single): where a joiner starts after.
pub fn cursor(segment: &Segment) -> i64 {
    sane(match segment.geometry().kind {
        ProducerKind::Single => segment.cursor().published.load(Ordering::Acquire),
        ProducerKind::Multi => segment.cursor().claimed.load(Ordering::Acquire),
    })
}

/// Takes the place of a durable consumer, or of one that has not come, away. False when nobody has that name.
///
/// # Errors
/// Somebody depends on it.
pub fn forget(segment: &Arc<Segment>, name: &str) -> Result<bool, LeaveError> {
    let _registering = segment.registering();
    let Some(index) = find(segment, name) else {
        return Ok(false);
    };
    let dependents = dependents(segment, index);
    if dependents != 0 {
        return Err(LeaveError::HasDependents { dependents });
    }
    let consumer = Consumer::at(segment, index, true);
    if !segment.take_byte(consumer_byte(index)) {
        return Ok(false);
    }
    crash_point!("forget.byte");
    consumer.free();
    Ok(true)
}

/// The entry that has `name`, held or live. One that is free may still have the name of who left it.
pub fn find(segment: &Segment, name: &str) -> Option<usize> {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    let is_free = |index: usize| segment.consumer(index).identity.state.load(Ordering::Acquire) == FREE;
    (0..MAX_CONSUMERS)
        .filter(|&index| taken & (1 << index) != 0 && !is_free(index))
        .find(|&index| name_of(segment.consumer(index)) == name)
}

/// The entries that depend on the one at `index`, a bit each.
pub fn dependents(segment: &Segment, index: usize) -> u64 {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    (0..MAX_CONSUMERS)
        .filter(|&other| taken & (1 << other) != 0)
        .filter(|&other| segment.consumer(other).identity.depends_on.load(Ordering::Acquire) & (1 << index) != 0)
        .fold(0, |set, other| set | 1 << other)
}

/// Takes the byte of a place whose owner is away. Who looks whether that one is dead has the byte for a moment.
fn take_place(segment: &Segment, index: usize) -> bool {
    const LOOKS: u32 = if cfg!(loom) { 2 } else { 100 };
    (0..LOOKS).any(|look| {
        if look > 0 {
            yield_now();
        }
        segment.take_byte(consumer_byte(index))
    })
}

/// A free entry, whose byte this process has from here on. One that was taken by somebody who died before it said
/// anything is free too.
fn take_entry(segment: &Segment) -> Result<usize, JoinError> {
    if let Some(index) = take_free_entry(segment) {
        return Ok(index);
    }
    // The dead whom nobody waits for were not let go yet.
    recovery::recover_consumers(segment);
    take_free_entry(segment).ok_or(JoinError::RegistryFull)
}

fn take_free_entry(segment: &Segment) -> Option<usize> {
    let taken = &segment.registry().taken;
    (0..MAX_CONSUMERS)
        .filter(|&index| segment.consumer(index).identity.state.load(Ordering::Acquire) == FREE)
        .find(|&index| segment.take_byte(consumer_byte(index)))
        .inspect(|&index| {
            crash_point!("join.byte");
            taken.fetch_or(1 << index, Ordering::AcqRel);
            crash_point!("join.taken");
        })
}

fn check_name(name: &str) -> Result<(), JoinError> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(JoinError::NameLength { bytes: name.len() });
    }
    Ok(())
}

#[cfg(not(loom))]
impl crate::layout::IdentityLine {
    /// Says whose the entry is, for people to read.
    fn write_owner(&self) {
        self.pid.store(u64::from(std::process::id()), Ordering::Relaxed);
        self.start_time.store(own_start_time(), Ordering::Relaxed);
        self.pid_namespace.store(own_pid_namespace(), Ordering::Relaxed);
    }
}

#[cfg(loom)]
impl crate::layout::IdentityLine {
    fn write_owner(&self) {}
}

/// The start time of this process in clock ticks since boot; 0 where /proc does not say.
#[cfg(not(loom))]
fn own_start_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name
        .split_whitespace()
        .nth(19)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(0)
}

/// The inode of this process's pid namespace; 0 where /proc does not say.
#[cfg(not(loom))]
fn own_pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino())
}

#[cfg(not(loom))]
fn write_name(entry: &ConsumerEntry, name: &str) {
    let mut bytes = [0_u8; NAME_BYTES];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    for (word, chunk) in entry.identity.name.iter().zip(bytes.chunks_exact(8)) {
        word.store(
            u64::from_le_bytes(std::array::from_fn(|byte| chunk[byte])),
            Ordering::Relaxed,
        );
        crash_point!("join.name_word");
    }
}

/// The name in an entry.
#[cfg(not(loom))]
pub fn name_of(entry: &ConsumerEntry) -> String {
    let bytes: Vec<u8> = entry
        .identity
        .name
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .collect();
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[cfg(loom)]
fn write_name(entry: &ConsumerEntry, name: &str) {
    name.clone_into(&mut entry.identity.name.lock().unwrap());
}

/// The name in an entry.
#[cfg(loom)]
pub fn name_of(entry: &ConsumerEntry) -> String {
    entry.identity.name.lock().unwrap().clone()
}
