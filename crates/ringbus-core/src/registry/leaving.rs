//! How a consumer follows others, and how it leaves.

use super::entries::{dependents, find};
use super::{Consumer, DURABLE, FREE};
use crate::crash::crash_point;
use crate::error::LeaveError;
use crate::planted::{self, Twin};
use crate::recovery;
use crate::segment::{Blocker, Registering, Segment, consumer_byte};
use crate::sync::Ordering;
use std::sync::Arc;

impl Consumer {
    /// Makes this consumer follow those in `entries`, a bit each. Look afterwards whether they are still there: from
    /// then on none of them goes unseen.
    pub fn depend_on(&self, entries: u64) {
        self.depend_on_with(&self.segment.registering(), entries);
    }

    /// As [`Consumer::depend_on`], for who holds the registrar's lock already: nobody leaves or is buried meanwhile.
    pub fn depend_on_with(&self, _held: &Registering<'_>, entries: u64) {
        self.entry().identity.depends_on.store(entries, Ordering::Release);
        crash_point!("join.depends");
        // SYNC POINT: follow. Pairs with the barrier in `recovery::let_go`.
        planted::barrier(Twin::BarrierDroppedInFollow);
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
        self.leave_with(&self.segment.registering())
    }

    /// As [`Consumer::leave`], for who holds the registrar's lock already.
    ///
    /// # Errors
    /// As [`Consumer::leave`].
    pub fn leave_with(&self, _held: &Registering<'_>) -> Result<(), LeaveError> {
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
        self.part_with(&self.segment.registering());
    }

    /// As [`Consumer::part`], for who holds the registrar's lock already.
    pub fn part_with(&self, _held: &Registering<'_>) {
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

    pub(super) fn free(&self) {
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
}

/// Takes the place of a durable consumer, or of one that has not come, away. False when nobody has that name.
///
/// # Errors
/// Somebody depends on it.
pub fn forget(segment: &Arc<Segment>, name: &str) -> Result<bool, LeaveError> {
    forget_with(&segment.registering(), segment, name)
}

/// As [`forget`], for who holds the registrar's lock of `segment` already.
///
/// # Errors
/// As [`forget`].
pub fn forget_with(_held: &Registering<'_>, segment: &Arc<Segment>, name: &str) -> Result<bool, LeaveError> {
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
