//! A consumer on the caller's own loop, blocking or on an event loop.
//!
//! Source: LMAX Disruptor 4.0, `EventPoller`.

use crate::cell::GilCell;
use crate::consumer::ConsumerBase;
use crate::reader::{Reader, ReaderFacts};
use crate::ring::RingHandle;
use crate::view::{self, Lease, Place};
use crate::{enter, errors};
use pyo3::prelude::*;
use ringbus_core::consumer::Lapped;
use ringbus_core::futex::WATCHER;
use ringbus_core::{Blocker, Outcome, recovery};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

/// Takes events one by one or in batches.
#[pyclass(frozen, subclass, extends = ConsumerBase, module = "ringbus._core")]
pub struct Poller {
    reader: Arc<Reader>,
    /// The next sequence to look at.
    next: GilCell<i64>,
    /// The last sequence known to be readable.
    readable: GilCell<i64>,
}

impl Poller {
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.ring.check_fork(py)?;
        if self.reader.has_left() {
            let what = format!("poller {:?}", self.reader.name);
            return Err(errors::error(py, "ClosedError", (what,)));
        }
        Ok(())
    }

    /// The sequence of the next event of a type it takes, if one is readable. Gives up after a ring of others: who asks
    /// looks at time-outs and signals before it goes on.
    fn seek(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        for _ in 0..=self.reader.ring.segment.capacity() {
            self.reader.check_evicted(py)?;
            let next = self.next.get();
            if next > self.readable.get() {
                match self.reader.poll(next) {
                    Err(_) => return Ok(None),
                    Ok(Err(lapped)) => {
                        self.next.set(self.reader.lapped(next, lapped));
                        continue;
                    }
                    Ok(Ok(last)) => self.readable.set(last),
                }
            }
            match self.is_taken(next) {
                Ok(true) => return Ok(Some(next)),
                Ok(false) => {
                    self.next.set(next + 1);
                    // What was handed out before in the same call is not done with yet.
                    if self.reader.sequence() == next - 1 {
                        self.reader.commit(py, next)?;
                    }
                }
                Err(lapped) => self.next.set(self.reader.lapped(next, lapped)),
            }
        }
        Ok(None)
    }

    /// Whether there is an event at `sequence`, of a type it takes. Where this consumer reads copies, the slot is
    /// copied first, and what is told is true of the copy.
    fn is_taken(&self, sequence: i64) -> Result<bool, Lapped> {
        let ring = &self.reader.ring;
        let pad = ring.segment.is_pad(sequence);
        let slot = if self.reader.copies() {
            self.reader.copy_slot(sequence)?
        } else {
            ring.segment.slot(sequence)
        };
        Ok(!pad && self.reader.takes(ring.kind_at(slot)))
    }

    /// The slot of `sequence`, which [`Self::seek`] has just found, or its copy where this consumer reads copies.
    fn slot(&self, sequence: i64) -> *mut u8 {
        if self.reader.copies() {
            self.reader.copied()
        } else {
            self.reader.ring.segment.slot(sequence)
        }
    }

    fn cannot_watch(&self, py: Python<'_>) -> PyErr {
        let (name, ring) = (&self.reader.name, &self.reader.ring.label);
        let fact = format!("{name:?} waits on an event loop, and {ring} is attached read-only");
        errors::error(
            py,
            "ConfigurationError",
            (fact, "attach without read_only=True, or poll"),
        )
    }

    /// Is done with what was handed out before.
    fn commit_handed(&self, py: Python<'_>) -> PyResult<()> {
        let handed = self.next.get() - 1;
        if handed > self.reader.sequence() {
            self.reader.commit(py, handed)?;
        }
        Ok(())
    }

    fn take_one(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(sequence) = self.seek(py)? else {
            return Ok(None);
        };
        let slot = self.slot(sequence);
        let event = if self.reader.ring.objects.is_some() {
            self.reader.ring.object(sequence).clone_ref(py)
        } else {
            self.reader.own_event(py, slot)?
        };
        self.reader.count_latency(slot, self.reader.now());
        self.next.set(sequence + 1);
        Ok(Some(event))
    }

    /// `take_one`, as a batch of one.
    fn take_counted(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let event = self.take_one(py)?;
        if event.is_some() {
            self.reader.count_batch(1);
        }
        Ok(event)
    }

    /// True when something may be readable, False on a time-out or when the ring is closed.
    fn wait_some(&self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<bool> {
        loop {
            if self.seek(py)?.is_some() {
                return Ok(true);
            }
            if self.reader.ring.is_closed() {
                return Ok(self.seek(py)?.is_some());
            }
            let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Ok(false);
            }
            let outcome = self.reader.wait(py, self.next.get(), timeout)?;
            py.check_signals()?;
            if let Outcome::Died(index) = outcome {
                return Err(self.reader.died(py, index));
            }
            if outcome == Outcome::Alerted {
                self.check(py)?;
                if self.reader.ring.shared && !self.reader.ring.is_closed() {
                    self.reader.ring.check(py)?;
                }
                if !self.reader.ring.is_closed() {
                    self.reader.alert.clear();
                }
            }
        }
    }
}

#[pymethods]
impl Poller {
    #[new]
    fn new(py: Python<'_>, ring: Py<RingHandle>, reader: ReaderFacts<'_>) -> PyResult<PyClassInitializer<Self>> {
        let reader = Arc::new(Reader::join(py, ring, &reader)?);
        reader.ring.add_closing(&reader.alert);
        let sequence = reader.sequence();
        let own = Self {
            reader: Arc::clone(&reader),
            next: GilCell::new(sequence + 1),
            readable: GilCell::new(sequence),
        };
        Ok(ConsumerBase::of(&reader).add_subclass(own))
    }

    /// Whether it has left the ring.
    #[getter]
    fn closed(&self) -> bool {
        self.reader.has_left()
    }

    /// Whether its ring is closed: nothing is published any more.
    #[getter]
    fn ring_closed(&self) -> bool {
        self.reader.ring.is_closed()
    }

    /// Follows the consumers in `entries`, a bit each.
    fn _depend_on(&self, py: Python<'_>, entries: u64) -> PyResult<()> {
        self.reader.depend_on(py, entries)
    }

    /// The next event, as an object of its own; None when there is none now. What was handed out before
    /// is done with.
    fn _try_next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.check(py)?;
        self.commit_handed(py)?;
        self.take_counted(py)
    }

    /// As `_try_next`, but waits; None on a time-out or when the ring is closed and empty.
    #[pyo3(signature = (timeout))]
    fn _next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.check(py)?;
        self.commit_handed(py)?;
        if self.wait_some(py, enter::deadline(py, timeout)?)? {
            self.take_counted(py)
        } else {
            Ok(None)
        }
    }

    /// The next event and its sequence; None when there is none now.
    fn _try_numbered(&self, py: Python<'_>) -> PyResult<Option<(i64, Py<PyAny>)>> {
        self.check(py)?;
        self.commit_handed(py)?;
        let Some(sequence) = self.seek(py)? else {
            return Ok(None);
        };
        let Some(event) = self.take_one(py)? else {
            return Ok(None);
        };
        self.reader.count_batch(1);
        Ok(Some((sequence, event)))
    }

    /// Up to `most` events after waiting for the first, as objects of their own, done with. The objects of an object
    /// ring are the slots' own, so they are done with at the next call.
    #[pyo3(signature = (most, timeout))]
    fn _take(&self, py: Python<'_>, most: usize, timeout: Option<f64>) -> PyResult<Vec<Py<PyAny>>> {
        self.check(py)?;
        self.commit_handed(py)?;
        let mut events = Vec::new();
        if most == 0 || !self.wait_some(py, enter::deadline(py, timeout)?)? {
            return Ok(events);
        }
        // No more than a ring of them was ever there, whatever the words of a segment say.
        let most = most.min(self.reader.ring.segment.capacity() as usize);
        while events.len() < most {
            let Some(event) = self.take_one(py)? else { break };
            events.push(event);
        }
        if !events.is_empty() {
            self.reader.count_batch(events.len() as u64);
        }
        if self.reader.ring.objects.is_none() {
            self.commit_handed(py)?;
        }
        Ok(events)
    }

    /// Up to `most` events of one type after waiting for the first, copied to an array; None without any.
    #[pyo3(signature = (most, timeout))]
    fn _take_rows(&self, py: Python<'_>, most: usize, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.check(py)?;
        let ring = &self.reader.ring;
        if ring.objects.is_some() {
            let fact = format!("take_array needs structured slots, and {} holds objects", ring.label);
            return Err(errors::error(py, "SchemaError", (fact, "use take")));
        }
        self.commit_handed(py)?;
        if most == 0 || !self.wait_some(py, enter::deadline(py, timeout)?)? {
            return Ok(None);
        }
        let Some(first) = self.seek(py)? else { return Ok(None) };
        let kind = ring.kind_at(self.slot(first));
        let bytes = ring.kinds[kind].schema.event_bytes;
        let room = most.min((self.readable.get() - first + 1) as usize);
        let lease = Lease::own(py, ring, room * bytes)?;
        let mut count = 0;
        while count < room {
            let Some(sequence) = self.seek(py)? else { break };
            let slot = self.slot(sequence);
            if ring.kind_at(slot) != kind {
                break;
            }
            // SAFETY: the lease's memory takes `room` events; the event is inside the slot.
            unsafe {
                let target = lease.get().memory().add(count * bytes);
                ptr::copy_nonoverlapping(slot.add(ring.slot.event), target, bytes);
            }
            self.reader.count_latency(slot, self.reader.now());
            self.next.set(sequence + 1);
            count += 1;
        }
        self.commit_handed(py)?;
        self.reader.count_batch(count as u64);
        let place = Place {
            data: lease.get().memory(),
            count: count as i64,
            stride: bytes,
        };
        // SAFETY: the memory is the lease's own.
        unsafe { view::array(py, &ring.kinds[kind].dtype, &place, &lease).map(Some) }
    }

    /// Whether other processes may take part in its ring, and die.
    #[getter]
    fn shared(&self) -> bool {
        self.reader.ring.shared
    }

    /// Has `descriptor`, an eventfd, written to once something may be readable. True when it is already. `late` says
    /// that the last wait lasted: then this looks for the dead, as every wait does.
    #[pyo3(signature = (descriptor, late=false))]
    fn _arm(&self, py: Python<'_>, descriptor: i32, late: bool) -> PyResult<bool> {
        self.check(py)?;
        self.commit_handed(py)?;
        let segment = &self.reader.ring.segment;
        loop {
            if self.seek(py)?.is_some() || self.reader.ring.is_closed() {
                return Ok(true);
            }
            if self.reader.ring.shared {
                self.reader.ring.check(py)?;
            }
            let Err(blocker) = self.reader.poll(self.next.get()) else {
                continue;
            };
            if late {
                recovery::look(segment, blocker);
            }
            if let Blocker::Consumer(index) = blocker
                && recovery::is_gone(segment, index)
            {
                return Err(self.reader.died(py, index));
            }
            if !segment.is_shared() {
                segment.watch(blocker, descriptor);
            }
            segment.arm(blocker, WATCHER);
            match self.reader.poll(self.next.get()) {
                Err(still) if still == blocker => return Ok(self.reader.ring.is_closed()),
                _ => {}
            }
        }
    }

    /// A descriptor for `_arm`: readable once something may be. Its owner closes it with `_close_watch`.
    fn _open_watch(&self, py: Python<'_>) -> PyResult<i32> {
        self.check(py)?;
        let segment = &self.reader.ring.segment;
        if segment.is_read_only() {
            return Err(self.cannot_watch(py));
        }
        let descriptor = segment
            .open_watch(self.reader.index())
            .map_err(|why| errors::share(py, &why))?;
        Ok(descriptor.into_raw_fd())
    }

    /// Undoes `_open_watch`.
    fn _close_watch(&self, descriptor: i32) {
        let segment = &self.reader.ring.segment;
        if !self.reader.ring.is_forked() {
            segment.unwatch(descriptor);
            segment.close_watch(self.reader.index());
        }
        // SAFETY: the descriptor came from `_open_watch`, whose caller gives it back here, once.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }

    /// Is done with what was handed out.
    fn _commit(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        self.commit_handed(py)
    }

    /// Takes back that the last event was handed out: it is handed out again.
    fn _rewind(&self, sequence: i64) {
        self.next
            .set(sequence.max(self.reader.sequence() + 1).min(self.next.get()));
    }

    /// Leaves the ring: producers do not wait for it any more, and a wait of another thread in it ends.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.ring.check_fork(py)?;
        self.reader.leave(py)?;
        self.reader.ring.remove_closing(&self.reader.alert);
        self.reader.alert.raise(&self.reader.ring.segment);
        Ok(())
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.reader.ring.remove_closing(&self.reader.alert);
    }
}
