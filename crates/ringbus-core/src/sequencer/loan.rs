//! The words of a single producer, lent to a loop that claims and publishes one by one: machine code made at run time,
//! into which a function of the user's is inlined.
//!
//! Such a loop takes the steps of [`Loan::publish_each`], in this order, with these orderings. It may come back at any
//! time between two events.

use super::{Sequencer, SingleProducerSequencer, reach};
use crate::futex::WHO;
use crate::planted::{Twin, barrier, order};
use crate::segment::Blocker;
use crate::sync::{AtomicI64, AtomicU32, Ordering, light_barrier, write_barrier};

/// What the loop works on. Its layout is part of the machine code.
#[repr(C)]
pub struct Loan<'a> {
    /// Stored before a slot is written, so that who is lapped can tell. Written by this producer alone.
    claimed: &'a AtomicI64,
    /// Stored after a slot is written: release. Written by this producer alone.
    published: &'a AtomicI64,
    /// Has a bit of [`WHO`] when somebody may sleep: read after each publish, behind the barrier.
    armed: &'a AtomicU32,
    /// The highest sequence claimed; all up to it are published.
    next: i64,
    /// The highest sequence that there is room for.
    room: i64,
    /// Not 0 when the barrier before the look at `armed` is one for the compiler alone.
    asymmetric: i64,
}

/// Why a loop came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It has published as many as it should.
    Done,
    /// There is no more room, as far as it knows.
    Full,
    /// Somebody may sleep, and is to be woken.
    Armed,
    /// What fills the events said stop; that one is not published.
    Stopped,
}

impl Loan<'_> {
    /// Claims, has `fill` write and publishes, one by one, `count` of them at most.
    #[inline]
    pub fn publish_each(&mut self, count: i64, mut fill: impl FnMut(i64) -> bool) -> Returned {
        let last = self.next + count;
        let highest = self.claimed.load(Ordering::Relaxed);
        while self.next < last {
            if self.next >= self.room {
                return Returned::Full;
            }
            let sequence = self.next + 1;
            // `claimed` never goes back: after a rewind it is too high.
            self.claimed.store(sequence.max(highest), Ordering::Relaxed);
            // SYNC POINT: lapped. Pairs with the read barrier of a reader that may be lapped.
            write_barrier();
            if !fill(sequence) {
                return Returned::Stopped;
            }
            // SYNC POINT: published. Pairs with the load in `barrier::highest_published`.
            self.published
                .store(sequence, order(Twin::PublishRelaxed, Ordering::Release));
            self.next = sequence;
            // SYNC POINT: armed. Pairs with the barrier in `FutexLine::arm`.
            if self.asymmetric != 0 {
                light_barrier(true);
            } else {
                barrier(Twin::BarrierDroppedInWake);
            }
            if self.armed.load(Ordering::Relaxed) & WHO != 0 {
                return Returned::Armed;
            }
        }
        Returned::Done
    }

    /// The highest sequence that was published.
    #[inline]
    pub fn published(&self) -> i64 {
        self.next
    }
}

impl SingleProducerSequencer {
    /// Lends its words to `work`, and wakes who waits for what that has published.
    #[inline]
    pub fn lend<T>(&mut self, work: impl FnOnce(&mut Loan<'_>) -> T) -> T {
        let cursor = self.segment.cursor();
        let mut loan = Loan {
            claimed: &cursor.claimed,
            published: &cursor.published,
            armed: &self.segment.futex(Blocker::Cursor).armed,
            next: self.next,
            room: reach(self.gate, self.capacity),
            asymmetric: i64::from(self.segment.is_asymmetric()),
        };
        let result = work(&mut loan);
        self.next = loan.next;
        self.segment.wake(Blocker::Cursor);
        result
    }

    /// Claims the next sequence, if there is room, and gives it back: from then on the room is known.
    ///
    /// # Errors
    /// Who has to move before there is any.
    pub fn make_room(&mut self) -> Result<(), Blocker> {
        let high = self.poll_claim(1)?;
        self.abort(high, high);
        Ok(())
    }
}
