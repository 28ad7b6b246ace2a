//! Who may write where: producers claim sequences and publish them.
//!
//! Source: LMAX Disruptor 4.0, `SingleProducerSequencer` and `MultiProducerSequencer`. Differs: a claim
//! waits for capacity first and takes its sequences second, so that it can be refused, time out or be
//! interrupted without leaving a hole.

mod contention;
mod loan;
mod multi;
mod single;

pub use loan::{Loan, Returned};
pub use multi::MultiProducerSequencer;
pub use single::SingleProducerSequencer;

use crate::error::ClaimError;
use crate::layout::{INTENTS, MAX_SEQUENCE, ProducerKind};
use crate::planted::{self, Twin};
use crate::segment::{Blocker, Segment};
use crate::sequence::sane;
#[cfg(not(loom))]
use crate::sync::prefetch_for_write;
use crate::sync::{Ordering, store_load_barrier};
use crate::wait::{Alert, Condition, Outcome, WaitStrategy, wait};
use std::sync::Arc;
use std::time::Instant;

/// What both kinds of producers can do.
pub trait Sequencer {
    /// The ring.
    fn segment(&self) -> &Arc<Segment>;

    /// Claims `count` slots if they are free, and returns the highest sequence of them.
    ///
    /// # Errors
    /// Who has to move before they are free.
    fn poll_claim(&mut self, count: i64) -> Result<i64, Blocker>;

    /// Claims what is free of `most` slots: the half of them, the quarter and so on. The highest sequence and how many.
    fn poll_claim_part(&mut self, most: i64) -> Option<(i64, i64)> {
        let mut count = most;
        while count > 1 {
            count /= 2;
            if let Ok(high) = self.poll_claim(count) {
                return Some((high, count));
            }
        }
        None
    }

    /// Publishes the claimed sequences `low..=high` and wakes who waits for them.
    fn publish(&mut self, low: i64, high: i64);

    /// Gives a failed claim back: nobody sees its slots.
    fn abort(&mut self, low: i64, high: i64);

    /// The highest sequence claimed.
    fn claimed(&self) -> i64;

    /// Claims that are announced in a shared segment and not published yet.
    fn open_claims(&self) -> usize {
        0
    }

    /// Free slots now.
    fn remaining_capacity(&self) -> i64 {
        let claimed = self.claimed();
        store_load_barrier();
        let (gate, _) = self.segment().minimum_gate(claimed);
        self.segment().capacity() - (claimed - gate)
    }

    /// Checks that a claim of `count` can be made.
    ///
    /// # Errors
    /// A count out of range, the last sequence reached, or too many open claims.
    fn check(&self, count: i64) -> Result<(), ClaimError> {
        check_count(self.segment(), count, self.claimed())?;
        if self.open_claims() >= INTENTS {
            return Err(ClaimError::TooManyOpenClaims);
        }
        Ok(())
    }

    /// Claims `count` slots or says why not, without waiting.
    ///
    /// # Errors
    /// A count out of range, a full ring, or the last sequence reached.
    fn try_claim(&mut self, count: i64) -> Result<i64, ClaimError> {
        self.check(count)?;
        self.poll_claim(count).map_err(|_| ClaimError::Full)
    }

    /// Waits for `count` free slots and claims them.
    ///
    /// # Errors
    /// A count out of range, or the last sequence reached.
    fn claim(
        &mut self,
        count: i64,
        strategy: WaitStrategy,
        alert: &Alert,
        deadline: Option<Instant>,
    ) -> Result<Outcome<i64>, ClaimError>
    where
        Self: Sized,
    {
        self.check(count)?;
        let segment = Arc::clone(self.segment());
        Ok(wait(
            &segment,
            strategy,
            alert,
            deadline,
            &mut Capacity { sequencer: self, count },
        ))
    }
}

/// Checks that a claim of `count` makes sense when `claimed` is the highest sequence so far.
///
/// # Errors
/// A count out of range, or the last sequence reached.
#[inline]
pub fn check_count(segment: &Segment, count: i64, claimed: i64) -> Result<(), ClaimError> {
    if count < 1 || count > segment.capacity() {
        return Err(ClaimError::CountOutOfRange {
            count,
            capacity: segment.capacity(),
        });
    }
    if claimed > MAX_SEQUENCE - count {
        return Err(ClaimError::Exhausted);
    }
    Ok(())
}

/// Free slots, as something to wait for.
pub struct Capacity<'a, S> {
    /// Who claims.
    pub sequencer: &'a mut S,
    /// How many.
    pub count: i64,
}

impl<S: Sequencer> Condition for Capacity<'_, S> {
    type Output = i64;
    const CLAIMS: bool = true;

    fn poll(&mut self) -> Result<i64, Blocker> {
        self.sequencer.poll_claim(self.count)
    }
}

/// Free slots for a claim that is made later, by somebody else or under a lock: looks, and takes nothing.
pub struct Room<'a> {
    /// The ring.
    pub segment: &'a Segment,
    /// How many.
    pub count: i64,
    /// The highest sequence claimed, where only one producer knows it; `None` reads the cursor.
    pub claimed: Option<i64>,
}

impl Condition for Room<'_> {
    type Output = ();
    const CLAIMS: bool = true;

    fn poll(&mut self) -> Result<(), Blocker> {
        let claimed = self
            .claimed
            .unwrap_or_else(|| sane(self.segment.cursor().claimed.load(Ordering::Acquire)));
        store_load_barrier();
        let (gate, slowest) = self.segment.minimum_gate(claimed);
        let needed = claimed + self.count - self.segment.capacity();
        match slowest {
            Some(index) if needed > gate => Err(Blocker::Consumer(index)),
            _ if self.holds_open_claim(claimed, needed) => Err(Blocker::Cursor),
            _ => Ok(()),
        }
    }
}

impl Room<'_> {
    /// Whether one of the slots still belongs to a claim of the lap before.
    fn holds_open_claim(&self, claimed: i64, needed: i64) -> bool {
        let first = claimed - self.segment.capacity() + 1;
        self.segment.geometry().kind == ProducerKind::Multi && self.segment.published_up_to(first, needed) < needed
    }
}

/// How far a producer may claim when its slowest consumer is at `gate`.
#[inline]
fn reach(gate: i64, capacity: i64) -> i64 {
    let slack = i64::from(planted::is(Twin::WrapOffByOne));
    gate + capacity + slack
}

/// How many slots ahead of a claim one is fetched.
#[cfg(not(loom))]
const AHEAD: i64 = 4;

/// Has the slot of a claim to come fetched: whoever read it last has its line, and single claims come one by one.
#[inline(always)]
fn fetch_ahead(segment: &Segment, claimed: i64) {
    #[cfg(not(loom))]
    prefetch_for_write(segment.slot(claimed + AHEAD));
    #[cfg(loom)]
    let _ = (segment, claimed);
}
