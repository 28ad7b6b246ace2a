//! Claims: by whom, when there is room, and how a producer waits for it.

use super::Ring;
use crate::{enter, errors};
use pyo3::prelude::*;
use ringbus_core::sequencer::{Room, check_count};
use ringbus_core::wait::LATER_LOOKS;
use ringbus_core::{
    Blocker, ClaimError, MultiProducerSequencer, Outcome, ProducerKind, Sequencer, SingleProducerSequencer, eviction,
    recovery, registry, wait,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who may claim.
pub enum Producers {
    /// Nobody of this process has published yet: in a shared ring it has no producer's place so far.
    None,
    Single(SingleProducerSequencer),
    Multi(MultiProducerSequencer),
}

impl Ring {
    /// Whether the ring is of the single-producer kind.
    #[inline(always)]
    pub fn is_single(&self) -> bool {
        self.segment.geometry().kind == ProducerKind::Single
    }

    /// Takes a producer's place in the ring, at the first claim.
    ///
    /// # Errors
    /// The ring is read-only here, another process is its one producer, or every place is taken.
    #[cold]
    pub fn open_producer(&self, py: Python<'_>) -> PyResult<()> {
        if !self.segment.may_write_slots() {
            let fact = format!("{} is attached read-only", self.label);
            return Err(errors::error(
                py,
                "ClaimError",
                (fact, "attach without read_only= to publish"),
            ));
        }
        let segment = Arc::clone(&self.segment);
        *self.producers.get_mut() = if self.is_single() {
            Producers::Single(SingleProducerSequencer::enter(segment).map_err(|why| errors::share(py, &why))?)
        } else {
            Producers::Multi(MultiProducerSequencer::enter(segment).map_err(|why| errors::share(py, &why))?)
        };
        Ok(())
    }

    /// Claims `count` slots if they are free; the GIL is held.
    #[inline(always)]
    pub fn poll_claim(&self, count: i64) -> Result<i64, Blocker> {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.poll_claim(count),
            Producers::Multi(sequencer) => sequencer.poll_claim(count),
            Producers::None => Err(Blocker::Cursor),
        }
    }

    /// Claims what is free of `most` slots; the highest sequence and how many. The GIL is held.
    pub fn poll_claim_part(&self, most: i64) -> Option<(i64, i64)> {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.poll_claim_part(most),
            Producers::Multi(sequencer) => sequencer.poll_claim_part(most),
            Producers::None => None,
        }
    }

    /// The highest sequence claimed; the GIL is held.
    pub fn claimed(&self) -> i64 {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.claimed(),
            Producers::Multi(sequencer) => sequencer.claimed(),
            Producers::None => registry::cursor(&self.segment),
        }
    }

    /// Publishes `low..=high`; the GIL is held.
    #[inline(always)]
    pub fn publish(&self, low: i64, high: i64) {
        if let Some(stamp) = self.slot.stamp {
            let now = monotonic_ns();
            for sequence in low..=high {
                // SAFETY: the publish time is inside the slot, which is this producer's until it is published.
                unsafe { self.segment.slot(sequence).add(stamp).cast::<i64>().write(now) };
            }
        }
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.publish(low, high),
            Producers::Multi(sequencer) => sequencer.publish(low, high),
            Producers::None => {}
        }
    }

    /// Gives `low..=high` back unseen; the GIL is held.
    pub fn abort(&self, low: i64, high: i64) {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.abort(low, high),
            Producers::Multi(sequencer) => sequencer.abort(low, high),
            Producers::None => {}
        }
    }

    /// Refuses a claim while another one of a single producer is open.
    #[inline(always)]
    pub fn check_open_claim(&self, py: Python<'_>) -> PyResult<()> {
        if !self.open_claim.get() {
            return Ok(());
        }
        let fact = format!("a claim on {} is open, and it has one producer", self.label);
        Err(errors::error(
            py,
            "ClaimError",
            (fact, "leave the claim first, or make the ring with producers=\"multi\""),
        ))
    }

    /// Waits for `count` free slots and claims them.
    ///
    /// # Errors
    /// A count out of range, a time-out, a closed or failed ring, a signal.
    #[inline]
    pub fn claim(&self, py: Python<'_>, count: i64, timeout: Option<f64>) -> PyResult<i64> {
        self.check_open_claim(py)?;
        if let Ok(high) = self.try_claim(py, count)? {
            return Ok(high);
        }
        let deadline = enter::deadline(py, timeout)?;
        self.claim_until(py, count, deadline, timeout)
    }

    /// Claims `count` slots if they are free.
    ///
    /// # Errors
    /// A count out of range.
    #[inline(always)]
    pub fn try_claim(&self, py: Python<'_>, count: i64) -> PyResult<Result<i64, Blocker>> {
        if matches!(self.producers.get_mut(), Producers::None) {
            self.open_producer(py)?;
        }
        if count != 1 || self.shared || self.segment.geometry().start > 1 << 61 {
            self.check_claim(count)
                .map_err(|reason| errors::claim(py, reason, &self.label))?;
        }
        Ok(self.poll_claim(count))
    }

    /// After a claim that does not wait was refused on account of `blocker`: now and then, looks whether that one is dead,
    /// or to be evicted, as every wait does.
    #[cold]
    pub fn refused(&self, blocker: Blocker) {
        let looked = self.looked.get_mut();
        if self.shared && looked.is_none_or(|looked| looked.elapsed() >= LATER_LOOKS) {
            *looked = Some(Instant::now());
            recovery::look(&self.segment, blocker);
            eviction::look(&self.segment, blocker);
        }
    }

    /// Says that this thread is inside a handler, or, at the end of it, not any more.
    pub fn set_handling(&self, inside: bool) {
        // SAFETY: takes nothing and cannot fail.
        let thread = unsafe { libc::pthread_self() };
        let handling = self.handling.get_mut();
        if inside {
            handling.push(thread);
        } else if let Some(place) = handling.iter().rposition(|&other| other == thread) {
            handling.swap_remove(place);
        }
    }

    /// Refuses to wait for free slots inside a handler that holds them up itself.
    fn check_handling(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: takes nothing and cannot fail.
        if !self.handling.get_mut().contains(&unsafe { libc::pthread_self() }) {
            return Ok(());
        }
        let fact = format!(
            "{} is full, and a handler of its own would wait for itself to go on",
            self.label
        );
        Err(errors::error(
            py,
            "ClaimError",
            (fact, "use try_publish in a handler, or another ring"),
        ))
    }

    fn check_claim(&self, count: i64) -> Result<(), ClaimError> {
        match self.producers.get_mut() {
            Producers::Multi(sequencer) => sequencer.check(count),
            _ => check_count(&self.segment, count, self.claimed()),
        }
    }

    /// Waits for `count` free slots until `deadline`, and claims them; an error says what `timeout` had been.
    ///
    /// # Errors
    /// A count out of range, a time-out, a closed or failed ring, a signal.
    #[cold]
    pub fn claim_until(
        &self,
        py: Python<'_>,
        count: i64,
        deadline: Option<Instant>,
        timeout: Option<f64>,
    ) -> PyResult<i64> {
        self.check_handling(py)?;
        loop {
            let claimed = self.is_single().then(|| self.claimed());
            let until = self.next_look_at_orphans(deadline);
            let outcome = enter::wait(py, until, |until| {
                let mut room = Room {
                    segment: &self.segment,
                    count,
                    claimed,
                };
                wait::wait(&self.segment, self.wait, &self.alert, until, &mut room)
            })?;
            self.check(py)?;
            self.check_open_claim(py)?;
            if let Ok(high) = self.poll_claim(count) {
                return Ok(high);
            }
            if outcome == Outcome::TimedOut && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(self.claim_timeout(py, count, timeout));
            }
            self.check_claim(count)
                .map_err(|reason| errors::claim(py, reason, &self.label))?;
        }
    }

    /// Until when a wait that ends at `deadline` may go on: those that were dropped and could not leave hold the producers
    /// up, and are asked again.
    fn next_look_at_orphans(&self, deadline: Option<Instant>) -> Option<Instant> {
        self.let_orphans_leave(Duration::ZERO);
        if self.orphans.get_mut().is_empty() {
            return deadline;
        }
        let next = Instant::now() + LATER_LOOKS;
        Some(deadline.map_or(next, |deadline| deadline.min(next)))
    }

    /// The error of a claim that took too long.
    pub fn claim_timeout(&self, py: Python<'_>, count: i64, timeout: Option<f64>) -> PyErr {
        let slots = if count == 1 { "slot" } else { "slots" };
        let what = format!("claiming {count} {slots} of {}", self.label);
        errors::error(py, "WaitTimeout", (what, timeout.unwrap_or(0.0), self.laggards()))
    }
}

/// `CLOCK_MONOTONIC` in ns.
#[inline]
pub fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
