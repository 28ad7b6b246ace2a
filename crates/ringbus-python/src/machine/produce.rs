//! The loop of a source: claim, run machine code, publish. It holds no GIL, allocates nothing and takes no lock.

use super::code::{Events, Failure, Machine, Return, Slots, Stop};
use crate::ring::{Ring, monotonic_ns};
use ringbus_core::sequencer::{Capacity, check_count};
use ringbus_core::sync::{AtomicI64, Ordering};
use ringbus_core::wait::wait;
use ringbus_core::{Alert, ClaimError, Outcome, Sequencer, SingleProducerSequencer, WaitStrategy};
use std::ptr;
use std::time::{Duration, Instant};

/// Events that machine code publishes by itself before the count of them is brought up to date.
const LOOK: i64 = 1024;

/// How a source ended.
pub enum Ended {
    /// It has published as many as it should.
    Limit,
    /// The machine code has no more events.
    Done,
    /// The alert was raised, or the ring is gone.
    Halted,
    /// The ring was full for longer than the time-out.
    TimedOut,
    /// No claim is possible.
    Refused(ClaimError),
    /// The machine code failed at the sequence.
    Failed(i64, Failure),
}

/// A source's way through a ring.
pub struct Production<'a> {
    pub ring: &'a Ring,
    pub machine: &'a Machine,
    /// The type of its events.
    pub kind: usize,
    /// Events a claim.
    pub batch: i64,
    /// Events in all.
    pub limit: i64,
    /// Whether each slot gets the defaults first.
    pub reset: bool,
    pub alert: &'a Alert,
    pub strategy: WaitStrategy,
    pub timeout: Option<Duration>,
    /// Events published; written by this thread alone.
    pub published: &'a AtomicI64,
}

impl Production<'_> {
    /// Publishes until something ends it.
    pub fn run<S: Sequencer>(&self, sequencer: &mut S) -> Ended {
        let mut left = self.limit;
        while left > 0 {
            if self.is_halted() {
                return Ended::Halted;
            }
            let count = self.batch.min(left);
            let high = match sequencer.poll_claim(count) {
                Ok(high) => high,
                Err(_) => match self.wait(sequencer, count) {
                    Ok(high) => high,
                    Err(ended) => return ended,
                },
            };
            let low = high - count + 1;
            if let Err((done, why)) = self.fill(low, high) {
                return self.close(sequencer, (low, high), done, why);
            }
            self.publish(sequencer, low, high);
            left -= count;
        }
        Ended::Limit
    }

    /// As [`Self::run`], where the machine code claims and publishes each event by itself.
    pub fn run_each(&self, sequencer: &mut SingleProducerSequencer) -> Ended {
        let slots = self.slots();
        let mut left = self.limit;
        while left > 0 {
            if self.is_halted() {
                return Ended::Halted;
            }
            let before = sequencer.claimed();
            // SAFETY: the slots are of this kind, the sequencer's producer alone writes them, and this thread runs the code.
            let returned = sequencer.lend(|loan| unsafe {
                self.machine
                    .publish(self.kind, loan, &slots, left.min(LOOK), self.alert)
            });
            let made = sequencer.claimed() - before;
            left -= made;
            self.published
                .store(self.published.load(Ordering::Relaxed) + made, Ordering::Relaxed);
            match returned {
                Err(Return::Stopped(why)) => return ended(why, sequencer.claimed() + 1),
                Err(Return::Full) if sequencer.make_room().is_err() => match self.wait(sequencer, 1) {
                    Ok(high) => sequencer.abort(high, high),
                    Err(ended) => return ended,
                },
                _ => {}
            }
        }
        Ended::Limit
    }

    fn slots(&self) -> Slots {
        let defaults = &self.ring.kinds[self.kind].schema.defaults;
        Slots {
            data: self.ring.event(0),
            stride: self.ring.slot.bytes,
            mask: self.ring.segment.capacity() - 1,
            defaults: if self.reset { defaults.as_ptr() } else { ptr::null() },
        }
    }

    /// Whether it shall end, or the ring is gone.
    fn is_halted(&self) -> bool {
        self.alert.is_raised() || self.ring.shared && self.ring.segment.is_retired()
    }

    #[cold]
    fn wait<S: Sequencer>(&self, sequencer: &mut S, count: i64) -> Result<i64, Ended> {
        check_count(&self.ring.segment, count, sequencer.claimed()).map_err(Ended::Refused)?;
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut room = Capacity { sequencer, count };
        match wait(&self.ring.segment, self.strategy, self.alert, deadline, &mut room) {
            Outcome::Ready(high) => Ok(high),
            Outcome::TimedOut => Err(Ended::TimedOut),
            Outcome::Alerted | Outcome::Died(_) => Err(Ended::Halted),
        }
    }

    /// Has the machine code fill `low..=high`, which are claimed, cut at the wrap.
    #[inline(always)]
    fn fill(&self, low: i64, high: i64) -> Result<(), (i64, Stop)> {
        let segment = &self.ring.segment;
        let mut next = low;
        while next <= high {
            let end = high.min(next + segment.capacity() - 1 - segment.index(next) as i64);
            self.prepare(next, end);
            let events = Events {
                data: self.ring.event(next),
                stride: self.ring.slot.bytes,
                count: end - next + 1,
                first: next,
                ends_batch: end == high,
            };
            // SAFETY: the slots are claimed, hence this thread's to write; it alone runs the code.
            unsafe { self.machine.run(self.kind, &events, self.alert) }
                .map_err(|(done, why)| (next - low + done, why))?;
            next = end + 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn prepare(&self, low: i64, high: i64) {
        if !self.reset && self.ring.slot.tag.is_none() {
            return;
        }
        let defaults = &self.ring.kinds[self.kind].schema.defaults;
        for sequence in low..=high {
            self.ring.tag(sequence, self.kind);
            if self.reset {
                // SAFETY: the slot is this producer's, and takes the largest event.
                unsafe { ptr::copy_nonoverlapping(defaults.as_ptr(), self.ring.event(sequence), defaults.len()) };
            }
        }
    }

    #[inline(always)]
    fn publish<S: Sequencer>(&self, sequencer: &mut S, low: i64, high: i64) {
        if let Some(stamp) = self.ring.slot.stamp {
            let now = monotonic_ns();
            for sequence in low..=high {
                // SAFETY: the publish time is inside the slot, which is this producer's until it is published.
                unsafe { self.ring.segment.slot(sequence).add(stamp).cast::<i64>().write(now) };
            }
        }
        sequencer.publish(low, high);
        let published = self.published.load(Ordering::Relaxed) + high - low + 1;
        self.published.store(published, Ordering::Relaxed);
    }

    /// Publishes the first `done` of a claim, and gives the others back.
    #[cold]
    fn close<S: Sequencer>(&self, sequencer: &mut S, (low, high): (i64, i64), done: i64, why: Stop) -> Ended {
        if done > 0 {
            self.publish(sequencer, low, low + done - 1);
        }
        sequencer.abort(low + done, high);
        ended(why, low + done)
    }
}

/// What it means that machine code stopped at `sequence`.
fn ended(why: Stop, sequence: i64) -> Ended {
    match why {
        Stop::Halted => Ended::Halted,
        Stop::Ended => Ended::Done,
        Stop::Failed(failure) => Ended::Failed(sequence, failure),
    }
}
