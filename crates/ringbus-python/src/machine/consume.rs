//! The loop of a compiled handler: wait, look, run machine code, commit. It holds no GIL, allocates nothing and takes
//! no lock (workers without a key: workers.rs).
//!
//! Source: LMAX Disruptor 4.0, `BatchEventProcessor` and `WorkProcessor`.

use super::code::{Events, Failure, Machine, Stop};
use crate::reader::Reader;
use crate::ring::Ring;
use ringbus_core::consumer::{Distance, WorkPool, worker_of};
use ringbus_core::sync::spin_hint;
use ringbus_core::{Outcome, SequenceBarrier};
use std::time::{Duration, Instant};

/// Looks before a wait counts as one.
const SPINS: u32 = 32;

/// Which events it handles.
pub enum Part {
    /// All: no worker.
    All,
    /// Those whose key falls to it; the place of the key's bytes for each event type.
    Key {
        number: u64,
        workers: u64,
        places: Vec<(usize, usize)>,
    },
    /// Whatever no other worker has taken.
    Free,
}

/// How a run ended.
pub enum Ended {
    /// The alert was raised.
    Halted,
    /// Nothing came for the time-out.
    TimedOut,
    /// Producers went on without it.
    Evicted,
    /// The consumer at this entry, which it follows, is gone.
    Died(usize),
    /// The ring is gone.
    Retired,
    /// The machine code failed at the sequence.
    Failed(i64, Failure),
}

/// A compiled handler's way through a ring.
pub struct Consumption<'a> {
    pub reader: &'a Reader,
    pub machine: &'a Machine,
    pub part: &'a Part,
    /// What it shares with other workers, if it takes what none of them has taken.
    pub pool: Option<&'a WorkPool>,
    pub barrier: SequenceBarrier,
    pub timeout: Option<Duration>,
}

/// Events handled, and why it stopped: at the event after `done`.
pub(super) struct Stopped {
    pub events: u64,
    done: i64,
    why: Stop,
}

/// Events handled, and the last sequence that is done with.
pub(super) type Handled = Result<(u64, i64), Stopped>;

impl Consumption<'_> {
    pub(super) fn ring(&self) -> &Ring {
        &self.reader.ring
    }

    /// Handles what comes until something else has to be done.
    pub fn run(&self) -> Ended {
        let (mut distance, mut events) = (Distance::default(), 0);
        loop {
            if self.reader.alert.is_raised() {
                return Ended::Halted;
            }
            match self.step() {
                Ok(0) => {
                    let over = match self.pool {
                        Some(pool) => self.wait_turn(pool),
                        None => self.wait(&mut distance, events),
                    };
                    if let Some(ended) = over {
                        return ended;
                    }
                    events = 0;
                }
                Ok(done) => events += done,
                Err(ended) => return ended,
            }
        }
    }

    /// Handles what is readable now: the sequences it is done with.
    pub fn step(&self) -> Result<i64, Ended> {
        let stepped = match self.pool {
            Some(pool) => self.share(pool),
            None => self.step_in_order(),
        };
        if self.reader.is_evicted() {
            return Err(Ended::Evicted);
        }
        stepped
    }

    fn step_in_order(&self) -> Result<i64, Ended> {
        let first = self.reader.sequence() + 1;
        match self.reader.poll_behind(&self.barrier, first) {
            Err(_) => Ok(0),
            Ok(Err(lapped)) => Ok(self.reader.lapped(first, lapped) - first),
            Ok(Ok(last)) => {
                self.handle(first, last)?;
                Ok(self.reader.sequence() + 1 - first)
            }
        }
    }

    /// The sequence it waits for.
    pub fn wanted(&self) -> i64 {
        match self.pool {
            Some(pool) => pool.sequence().taken() + 1,
            None => self.reader.sequence() + 1,
        }
    }

    #[inline]
    fn wait(&self, distance: &mut Distance, events: i64) -> Option<Ended> {
        let wanted = self.wanted();
        distance.keep();
        for look in 0..SPINS {
            if self.reader.is_readable(&self.barrier, wanted) {
                distance.found_at(look, events);
                return None;
            }
            spin_hint();
        }
        *distance = Distance::default();
        self.wait_slowly(wanted)
    }

    #[cold]
    pub(super) fn wait_slowly(&self, wanted: i64) -> Option<Ended> {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.reader.count_wait();
        match self.reader.wait_behind(&self.barrier, wanted, deadline) {
            Outcome::Ready(()) => None,
            Outcome::TimedOut => Some(Ended::TimedOut),
            Outcome::Died(index) => Some(Ended::Died(index)),
            Outcome::Alerted if self.reader.alert.is_raised() => Some(Ended::Halted),
            Outcome::Alerted => Some(Ended::Retired),
        }
    }

    /// Handles `first..=last`, counts, and commits.
    #[inline]
    fn handle(&self, first: i64, last: i64) -> Result<(), Ended> {
        let handled = if self.reader.copies() {
            self.handle_copies(first, last)
        } else if self.is_plain() {
            self.handle_all(first, last)
        } else {
            self.handle_runs(first, last)
        };
        match handled {
            Ok((events, done)) => {
                self.count(events);
                self.reader.commit_quietly(done);
                Ok(())
            }
            Err(stopped) => {
                self.count(stopped.events);
                self.reader.commit_quietly(stopped.done.max(self.reader.sequence()));
                Err(ended(stopped))
            }
        }
    }

    pub(super) fn count(&self, events: u64) {
        if events > 0 {
            self.reader.count_batch(events);
        }
    }

    /// Whether every sequence is an event of one type that it takes.
    #[inline]
    fn is_plain(&self) -> bool {
        self.ring().kinds.len() == 1
            && matches!(self.part, Part::All)
            && !self.ring().segment.has_pads()
            && !self.reader.counts_latency()
    }

    /// Runs the code over `first..=last`, cut at the wrap alone.
    #[inline]
    fn handle_all(&self, first: i64, last: i64) -> Handled {
        let mut low = first;
        while low <= last {
            let high = last.min(self.wrap(low));
            self.run_code(0, low, high, high == last, (low - first) as u64)?;
            low = high + 1;
        }
        Ok(((last - first + 1) as u64, last))
    }

    /// The last sequence whose slot comes after that of `low` in memory.
    #[inline]
    fn wrap(&self, low: i64) -> i64 {
        let segment = &self.ring().segment;
        low + segment.capacity() - 1 - segment.index(low) as i64
    }

    /// Runs the code over `low..=high`, which lie in a row. `before` events of the batch are handled already.
    #[inline(always)]
    fn run_code(&self, kind: usize, low: i64, high: i64, ends_batch: bool, before: u64) -> Result<(), Stopped> {
        let ring = self.ring();
        let events = Events {
            data: ring.event(low),
            stride: ring.slot.bytes,
            count: high - low + 1,
            first: low,
            ends_batch,
        };
        // SAFETY: the slots are published and gate until this batch is committed; this thread alone runs the code.
        unsafe { self.machine.run(kind, &events, &self.reader.alert) }.map_err(|(done, why)| Stopped {
            events: before + done as u64,
            done: low + done - 1,
            why,
        })
    }

    /// Runs the code over what it takes of `first..=last`, cut at the wrap, at Pads, where the type changes, and where
    /// another worker's events lie.
    pub(super) fn handle_runs(&self, first: i64, last: i64) -> Handled {
        let end = (first..=last).rev().find(|&sequence| self.is_taken(sequence));
        let Some(end) = end else { return Ok((0, last)) };
        let (mut next, mut events) = (first, 0);
        while let Some(low) = (next..=end).find(|&sequence| self.is_taken(sequence)) {
            let kind = self.kind(low);
            let fits = |&sequence: &i64| self.kind(sequence) == kind && self.is_taken(sequence);
            let most = end.min(self.wrap(low));
            let high = (low + 1..=most).take_while(fits).last().unwrap_or(low);
            self.count_latencies(low, high);
            self.run_code(kind, low, high, high == end, events)?;
            events += (high - low + 1) as u64;
            next = high + 1;
        }
        Ok((events, last))
    }

    fn kind(&self, sequence: i64) -> usize {
        self.ring().kind_at(self.ring().segment.slot(sequence))
    }

    fn count_latencies(&self, low: i64, high: i64) {
        if self.reader.counts_latency() {
            let now = self.reader.now();
            (low..=high).for_each(|sequence| self.reader.count_latency(self.ring().segment.slot(sequence), now));
        }
    }

    /// Whether the event at `sequence` is one, of a type it takes, and its part.
    fn is_taken(&self, sequence: i64) -> bool {
        let kind = self.kind(sequence);
        if self.ring().segment.is_pad(sequence) || !self.takes(kind) {
            return false;
        }
        self.is_own(kind, sequence)
    }

    /// Whether the event at `sequence` is its part.
    fn is_own(&self, kind: usize, sequence: i64) -> bool {
        match self.part {
            Part::All | Part::Free => true,
            Part::Key {
                number,
                workers,
                places,
            } => {
                let (offset, size) = places[kind];
                // SAFETY: the field is inside the event.
                let bytes = unsafe { std::slice::from_raw_parts(self.ring().event(sequence).add(offset), size) };
                worker_of(bytes, *workers) == *number
            }
        }
    }

    fn takes(&self, kind: usize) -> bool {
        self.reader.takes(kind) && self.machine.takes(kind)
    }

    /// For a consumer that reads copies: each event is copied first, so that none is torn.
    pub(super) fn handle_copies(&self, first: i64, last: i64) -> Handled {
        let (ring, mut events) = (self.ring(), 0);
        for sequence in first..=last {
            if self.reader.alert.is_raised() {
                return Err(Stopped {
                    events,
                    done: sequence - 1,
                    why: Stop::Halted,
                });
            }
            // Read before the copy is checked, so that both are of this lap.
            let pad = ring.segment.is_pad(sequence);
            let slot = match self.reader.copy_slot(sequence) {
                Ok(slot) => slot,
                // What lies from there to `last` is not missed: it is looked at again.
                Err(lapped) => return Ok((events, self.reader.lapped(sequence, lapped) - 1)),
            };
            let kind = ring.kind_at(slot);
            if pad || !self.takes(kind) || !self.is_own(kind, sequence) {
                continue;
            }
            self.reader.count_latency(slot, self.reader.now());
            self.run_copy(kind, slot, sequence, sequence == last)
                .map_err(|why| Stopped {
                    events,
                    done: sequence - 1,
                    why,
                })?;
            events += 1;
        }
        Ok((events, last))
    }

    fn run_copy(&self, kind: usize, slot: *mut u8, sequence: i64, ends_batch: bool) -> Result<(), Stop> {
        let events = Events {
            data: slot.wrapping_add(self.ring().slot.event),
            stride: self.ring().slot.bytes,
            count: 1,
            first: sequence,
            ends_batch,
        };
        // SAFETY: the copy is this consumer's own; this thread alone runs the code.
        unsafe { self.machine.run(kind, &events, &self.reader.alert) }.map_err(|(_, why)| why)
    }

    /// Goes on after the sequence at which it failed.
    pub fn skip(&self, sequence: i64) {
        self.reader.count_batch(1);
        if self.pool.is_none() {
            self.reader.commit_quietly(sequence);
        }
    }
}

pub(super) fn ended(stopped: Stopped) -> Ended {
    match stopped.why {
        Stop::Failed(failure) => Ended::Failed(stopped.done + 1, failure),
        Stop::Halted | Stop::Ended => Ended::Halted,
    }
}
