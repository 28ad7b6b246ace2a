//! Workers of one process that share their events: one of them at most waits on the ring, and the others rest until they
//! are of use. An event wakes one thread and not all.
//!
//! Source: Schmidt, O'Ryan, Kircher, Pyarali, Buschmann, "Leader/Followers", 2000. Differs: where handling an event takes
//! less than waking a thread, the leader keeps the lead, and one of the others looks from time to time whether it is
//! held up.

use super::WorkSequence;
use crate::planted::{self, Twin, order};
use crate::segment::{Blocker, Segment};
use crate::sync::{AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, Ordering};
use crate::wait::Alert;
use std::sync::PoisonError;
use std::time::Duration;

/// Handling that takes less is quick: waking another worker would take longer.
const QUICK: Duration = Duration::from_micros(3);
/// How long one that watches sleeps between looks.
#[cfg(not(loom))]
const WATCH: Duration = Duration::from_millis(1);

/// What the workers share.
pub struct WorkPool {
    /// The last sequence that was taken.
    sequence: WorkSequence,
    /// 1 while a worker waits on the ring, or is about to.
    seat: AtomicU32,
    /// Who rests, a bit an entry of the registry. Written under the lock.
    resting: AtomicU64,
    /// 1 while one that rests looks at the clock. Written under the lock.
    watching: AtomicU32,
    /// 1 when handling is quick. A hint.
    quick: AtomicU32,
    /// How many of those that rest were rung for, and have not got up yet.
    lobby: Mutex<u32>,
    bell: Condvar,
}

impl Default for WorkPool {
    fn default() -> Self {
        Self {
            sequence: WorkSequence::new(-1),
            seat: AtomicU32::new(0),
            resting: AtomicU64::new(0),
            watching: AtomicU32::new(0),
            quick: AtomicU32::new(0),
            lobby: Mutex::new(0),
            bell: Condvar::new(),
        }
    }
}

impl WorkPool {
    /// What was taken.
    pub fn sequence(&self) -> &WorkSequence {
        &self.sequence
    }

    /// Takes the seat, if it is free, for a worker that holds nothing: the sequence that it waits for on the ring from then
    /// on. `commit` moves that worker's sequence: others may have gone on since it looked last, and nobody moves on who
    /// has the seat.
    pub fn sit(&self, commit: impl FnOnce(i64)) -> Option<i64> {
        self.seat
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        let taken = self.sequence.taken();
        if !planted::is(Twin::SitHoldsOn) {
            commit(taken);
        }
        Some(taken + 1)
    }

    /// Gives the seat back. Who rests gets up if nobody would see the next event otherwise.
    pub fn rise(&self) {
        self.seat.swap(0, Ordering::AcqRel);
        // SYNC POINT: resting. Pairs with `rest`: either this one sees who rests, or that one sees the free seat.
        if self.resters() != 0 {
            self.ring();
        }
    }

    /// Who rests, as of now: of two read-modify-writes of one word the later sees all that came before the earlier.
    fn resters(&self) -> u64 {
        if planted::is(Twin::RestersReadPlain) {
            self.resting.load(Ordering::Relaxed)
        } else {
            self.resting.fetch_or(0, Ordering::AcqRel)
        }
    }

    /// Before an event is handled: sees to it that somebody will see the next one.
    #[inline]
    pub fn keep_watch(&self) {
        if self.resting.load(Ordering::Relaxed) != 0 && self.seat.load(Ordering::Relaxed) == 0 {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        // SYNC POINT: watching. Pairs with `look`, as the seat with `rest`.
        if self.is_quick() && self.watching.fetch_or(0, Ordering::AcqRel) != 0 {
            return;
        }
        let mut rung = self.lock();
        if *rung < self.resting.load(Ordering::Relaxed).count_ones() && !planted::is(Twin::BellNotRung) {
            *rung += 1;
            self.bell.notify_one();
        }
    }

    /// Whether handling an event took less than waking another worker, as of late.
    #[inline]
    pub fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) != 0
    }

    /// Says how long `events` took to handle.
    pub fn note_pace(&self, events: u32, took: Duration) {
        let quick = u32::from(events > 0 && took < QUICK * events);
        if (quick != 0) != self.is_quick() {
            self.quick.store(quick, Ordering::Relaxed);
        }
    }

    /// Those that rest hold nothing of what was taken: producers and dependents need not wait for them.
    pub fn move_on(&self, segment: &Segment) {
        // SYNC POINT: resting. Pairs with `rest`: either this one sees who rests, or that one sees what was taken.
        if self.resters() == 0 {
            return;
        }
        let lobby = self.lock();
        let mut resting = self.resting.load(Ordering::Relaxed);
        let taken = self.sequence.taken();
        while resting != 0 {
            move_one_on(segment, resting.trailing_zeros() as usize, taken);
            resting &= resting - 1;
        }
        drop(lobby);
    }

    /// Rests as the consumer at `index`, which holds nothing, until it is of use, or `alert` is raised. Returns at once
    /// when nobody has the seat.
    pub fn rest(&self, segment: &Segment, index: usize, alert: &Alert) {
        let mut rung = self.lock();
        // SYNC POINT: resting. Pairs with `rise` and with `move_on`.
        self.resting
            .fetch_or(1 << index, order(Twin::RestersAddedRelaxed, Ordering::AcqRel));
        move_one_on(segment, index, self.sequence.taken());
        let mut watch = self.begin_watch();
        while !alert.is_raised() && !self.is_of_use(&mut rung, watch.as_mut()) {
            if watch.as_ref().is_some_and(|watch| watch.is_idle) {
                watch = None;
            }
            rung = self.sleep(rung, watch.as_mut());
        }
        if watch.is_some() {
            self.watching.store(0, Ordering::Relaxed);
        }
        self.resting.fetch_and(!(1 << index), Ordering::AcqRel);
        if alert.is_raised() {
            // It was perhaps the one that was rung for, or that watched: the others look for themselves.
            self.bell.notify_all();
        }
        drop(rung);
    }

    /// Where handling is quick, one of those that rest watches.
    fn begin_watch(&self) -> Option<Watch> {
        if !self.is_quick() || self.watching.load(Ordering::Relaxed) != 0 {
            return None;
        }
        self.watching.store(1, Ordering::Relaxed);
        Some(Watch {
            seen: self.sequence.taken(),
            is_due: false,
            is_idle: false,
        })
    }

    /// Whether one that rests has to get up: it was rung for, or nobody sees the next event.
    fn is_of_use(&self, rung: &mut u32, watch: Option<&mut Watch>) -> bool {
        if *rung > 0 {
            *rung -= 1;
            return true;
        }
        let is_seat_free = self.seat.load(Ordering::Relaxed) == 0;
        match watch {
            Some(watch) if watch.is_due => self.look(watch, is_seat_free),
            // The leader handles something quick, and comes back.
            Some(_) => false,
            None => is_seat_free && self.watching.load(Ordering::Relaxed) == 0,
        }
    }

    /// A look at the clock's turn: whether the leader is held up. When there was nothing to do, the watch ends.
    fn look(&self, watch: &mut Watch, is_seat_free: bool) -> bool {
        let taken = self.sequence.taken();
        let still = taken == watch.seen;
        watch.seen = taken;
        watch.is_due = false;
        if still && !is_seat_free {
            watch.is_idle = true;
            // SYNC POINT: watching. Pairs with `ring`, which looks at it after the seat was given back.
            self.watching.swap(0, Ordering::AcqRel);
            return self.seat.load(Ordering::Relaxed) == 0;
        }
        still
    }

    fn sleep<'a>(&'a self, rung: MutexGuard<'a, u32>, watch: Option<&mut Watch>) -> MutexGuard<'a, u32> {
        #[cfg(not(loom))]
        if let Some(watch) = watch {
            let (rung, slept) = self
                .bell
                .wait_timeout(rung, WATCH)
                .unwrap_or_else(PoisonError::into_inner);
            watch.is_due = slept.timed_out();
            return rung;
        }
        #[cfg(loom)]
        let _ = watch;
        self.bell.wait(rung).unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everybody that rests look at the alert.
    pub fn wake_all(&self) {
        let rung = self.lock();
        self.bell.notify_all();
        drop(rung);
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.lobby.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one that watches has seen.
struct Watch {
    /// What was taken at its last look.
    seen: i64,
    /// Whether it is time for the next one.
    is_due: bool,
    /// Whether it ended, since there was nothing to do.
    is_idle: bool,
}

fn move_one_on(segment: &Segment, index: usize, taken: i64) {
    let sequence = &segment.consumer(index).sequence;
    if sequence.get() < taken && !planted::is(Twin::RestHoldsOn) && sequence.advance(taken) {
        segment.wake(Blocker::Consumer(index));
    }
}
