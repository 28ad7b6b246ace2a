//! How a consumer takes part: its entry is taken, it gates, and it begins, while events flow.

use super::entries::{find, take_entry, take_place};
use super::identity::{check_name, write_name};
use super::{Consumer, DURABLE, HELD, JOINING, LIVE, NEVER, Start, Terms, cursor};
use crate::crash::crash_point;
use crate::error::JoinError;
use crate::planted::{self, Twin, barrier};
use crate::recovery;
use crate::segment::{Blocker, Registering, Segment, consumer_byte};
use crate::sync::Ordering;
use std::sync::Arc;

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
        Self::join_with(&segment.registering(), segment, name, terms, start)
    }

    /// As [`Consumer::join_as`], for who holds the registrar's lock of `segment` already.
    ///
    /// # Errors
    /// As [`Consumer::join`].
    pub fn join_with(
        _held: &Registering<'_>,
        segment: &Arc<Segment>,
        name: &str,
        terms: Terms,
        start: Start,
    ) -> Result<Self, JoinError> {
        check_name(name)?;
        if terms.evict_after != 0 && segment.may_write_slots() {
            return Err(JoinError::MayWriteSlots);
        }
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
        if consumer.is_evicted() {
            segment.registry().gating.fetch_and(!(1 << index), Ordering::AcqRel);
            crash_point!("return.let_go");
        }
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
        self.agree(terms);
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

    /// Writes its terms. One whose place could be evicted commits by compare-and-swap from then on, whatever is agreed now:
    /// somebody may have looked at the old terms, and be about to evict it.
    fn agree(&mut self, terms: Terms) {
        let line = &self.entry().terms;
        line.absent_limit.store(terms.absent_limit, Ordering::Relaxed);
        crash_point!("join.limit");
        let evict_after = match terms.evict_after {
            0 if self.evictable => NEVER,
            after => after,
        };
        line.evict_after.store(evict_after, Ordering::Relaxed);
        crash_point!("join.patience");
        self.evictable = evict_after != 0;
    }

    /// Keeps a place for a consumer that comes later: it gates from now on.
    ///
    /// # Errors
    /// As [`Consumer::join`].
    pub fn hold(segment: &Arc<Segment>, name: &str) -> Result<Self, JoinError> {
        Self::hold_with(&segment.registering(), segment, name)
    }

    /// As [`Consumer::hold`], for who holds the registrar's lock of `segment` already.
    ///
    /// # Errors
    /// As [`Consumer::join`].
    pub fn hold_with(_held: &Registering<'_>, segment: &Arc<Segment>, name: &str) -> Result<Self, JoinError> {
        check_name(name)?;
        if find(segment, name).is_some() {
            return Err(JoinError::NameTaken { name: name.to_owned() });
        }
        let consumer = Self::enter(segment, name, Terms::ephemeral(true), HELD)?;
        segment.release_byte(consumer_byte(consumer.index));
        crash_point!("hold.released");
        Ok(consumer)
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
        let mut consumer = Self::at(segment, index, terms.gating);
        consumer.evictable = false;
        consumer.agree(terms);
        let identity = &consumer.entry().identity;
        identity.kind.store(terms.kind(), Ordering::Relaxed);
        crash_point!("join.kind");
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
            // One that was stopped since may be evicted by now.
            self.move_to(cursor(&self.segment));
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
}
