//! A claim that is open while user code fills the slots: published at the end of the `with`, or given back.

use crate::cell::GilCell;
use crate::errors;
use crate::event;
use crate::ring::{Ring, RingHandle};
use crate::view::{self, Lease, Place};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::ptr;
use std::sync::Arc;

/// One event or a run of slots, to be filled in place.
#[pyclass(frozen, module = "ringbus._core")]
pub struct Claim {
    handle: Py<RingHandle>,
    ring: Arc<Ring>,
    count: Option<i64>,
    kind: usize,
    reset: bool,
    timeout: Option<f64>,
    state: GilCell<State>,
}

enum State {
    New,
    Waiting,
    Open { low: i64, high: i64, given: Given },
    Done { low: i64, high: i64 },
}

/// What the user holds.
enum Given {
    Nothing,
    Event(Py<PyAny>),
    Object,
    Array {
        array: Py<PyAny>,
        lease: Py<Lease>,
        bounced: bool,
    },
}

impl Claim {
    pub fn new(handle: Py<RingHandle>, count: Option<i64>, kind: usize, reset: bool, timeout: Option<f64>) -> Self {
        let ring = Arc::clone(&handle.get().ring);
        Self {
            handle,
            ring,
            count,
            kind,
            reset,
            timeout,
            state: GilCell::new(State::New),
        }
    }

    fn opened(&self, py: Python<'_>, high: i64) -> PyResult<Py<PyAny>> {
        let low = high - self.count.unwrap_or(1) + 1;
        self.ring.open_claim.set(self.ring.is_single());
        *self.state.get_mut() = State::Open {
            low,
            high,
            given: Given::Nothing,
        };
        let given = self.give(py, low, high);
        match given {
            Ok((given, value)) => {
                *self.state.get_mut() = State::Open { low, high, given };
                Ok(value)
            }
            Err(error) => {
                self.abort(low, high);
                Err(error)
            }
        }
    }

    fn give(&self, py: Python<'_>, low: i64, high: i64) -> PyResult<(Given, Py<PyAny>)> {
        let ring = &self.ring;
        if ring.objects.is_some() {
            return Ok((Given::Object, ring.object(low).clone_ref(py)));
        }
        (low..=high).for_each(|sequence| ring.tag(sequence, self.kind));
        let Some(count) = self.count else {
            self.reset_slots(low, high);
            // SAFETY: the slot is this claim's; the view is given its own copy at the end.
            let view = unsafe {
                let view = event::new_view(py, &ring.kinds[self.kind].schema, ring.event(low), 0);
                Bound::from_owned_ptr_or_err(py, view)?.unbind()
            };
            return Ok((Given::Event(view.clone_ref(py)), view));
        };
        let wraps = ring.segment.index(low) as i64 + count > ring.segment.capacity();
        let lease = if wraps {
            Lease::own(py, ring, count as usize * ring.slot.event_bytes)?
        } else {
            Lease::slots(py, ring)?
        };
        let place = if wraps {
            Place {
                data: lease.get().memory(),
                count,
                stride: ring.kinds[self.kind].schema.event_bytes,
            }
        } else {
            Place {
                data: ring.event(low),
                count,
                stride: ring.slot.bytes,
            }
        };
        self.reset_place(&place);
        // SAFETY: the slots are this claim's, or the memory is the lease's own.
        let array = unsafe { view::array(py, &ring.kinds[self.kind].dtype, &place, &lease)? };
        Ok((
            Given::Array {
                array: array.clone_ref(py),
                lease,
                bounced: wraps,
            },
            array,
        ))
    }

    fn reset_slots(&self, low: i64, high: i64) {
        for sequence in low..=high {
            self.reset_place(&Place {
                data: self.ring.event(sequence),
                count: 1,
                stride: self.ring.slot.bytes,
            });
        }
    }

    fn reset_place(&self, place: &Place) {
        if !self.reset {
            return;
        }
        let defaults = &self.ring.kinds[self.kind].schema.defaults;
        let dense = place.stride == defaults.len();
        // SAFETY: the place has `count` events of this schema, `stride` bytes apart.
        unsafe {
            if dense && defaults.iter().all(|&byte| byte == 0) {
                ptr::write_bytes(place.data, 0, defaults.len() * place.count as usize);
                return;
            }
            for index in 0..place.count as usize {
                ptr::copy_nonoverlapping(defaults.as_ptr(), place.data.add(index * place.stride), defaults.len());
            }
        }
    }

    /// Takes what is open out of the claim; nothing where it is not open.
    fn close(&self) -> Option<(i64, i64, Given)> {
        let state = self.state.get_mut();
        let State::Open { low, high, .. } = *state else {
            return None;
        };
        match std::mem::replace(state, State::Done { low, high }) {
            State::Open { given, .. } => Some((low, high, given)),
            State::New | State::Waiting | State::Done { .. } => None,
        }
    }

    fn abort(&self, low: i64, high: i64) {
        self.ring.open_claim.set(false);
        self.ring.abort(low, high);
        *self.state.get_mut() = State::Done { low, high };
    }

    /// Takes back what was given. True when somebody keeps a view of the slots.
    fn take_back(&self, given: Given, low: i64) -> bool {
        match given {
            Given::Nothing | Given::Object => false,
            Given::Event(view) => {
                // SAFETY: an event; from here on its data are its own.
                unsafe { event::detach(view.as_ptr()) };
                false
            }
            Given::Array { array, lease, bounced } => {
                // The array itself is held here and by the `as` variable; the lease here and by the array.
                let kept = view::references(&array) > 2 || view::references(&lease) > 2;
                if bounced && !kept && !self.ring.is_forked() {
                    self.copy_in(lease.get(), low);
                }
                // SAFETY: made by `view::array`.
                unsafe { view::empty(&array) };
                kept
            }
        }
    }

    fn copy_in(&self, lease: &Lease, low: i64) {
        let bytes = self.ring.kinds[self.kind].schema.event_bytes;
        for index in 0..self.count.unwrap_or(1) {
            // SAFETY: the slots are this claim's; the lease's memory has an event each.
            unsafe {
                let source = lease.memory().add(index as usize * bytes);
                ptr::copy_nonoverlapping(source, self.ring.event(low + index), bytes);
            }
        }
    }

    fn misused(&self, py: Python<'_>, fact: &str) -> PyErr {
        let fact = format!("a claim on {} {fact}", self.ring.label);
        errors::error(py, "ClaimError", (fact, "use each claim once, in a with statement"))
    }
}

#[pymethods]
impl Claim {
    /// Claims without waiting; False when the slots are not free.
    fn _try(&self, py: Python<'_>) -> PyResult<bool> {
        self.ring.check(py)?;
        self.ring.check_open_claim(py)?;
        let high = match self.ring.try_claim(py, self.count.unwrap_or(1))? {
            Ok(high) => high,
            Err(blocker) => {
                self.ring.refused(blocker);
                return Ok(false);
            }
        };
        let low = high - self.count.unwrap_or(1) + 1;
        self.ring.open_claim.set(self.ring.is_single());
        *self.state.get_mut() = State::Open {
            low,
            high,
            given: Given::Nothing,
        };
        Ok(true)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.state.get_mut() {
            State::New => {
                self.ring.check(py)?;
                // Another thread may come here while this one waits.
                *self.state.get_mut() = State::Waiting;
                match self.ring.claim(py, self.count.unwrap_or(1), self.timeout) {
                    Ok(high) => self.opened(py, high),
                    Err(error) => {
                        *self.state.get_mut() = State::New;
                        Err(error)
                    }
                }
            }
            State::Waiting => Err(self.misused(py, "is being made by another thread")),
            State::Open {
                high,
                given: Given::Nothing,
                ..
            } => {
                let high = *high;
                self.opened(py, high)
            }
            State::Open { .. } => Err(self.misused(py, "is open already")),
            State::Done { .. } => Err(self.misused(py, "was used before")),
        }
    }

    #[pyo3(signature = (kind, error, traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let _ = traceback;
        let Some((low, high, given)) = self.close() else {
            return Err(self.misused(py, "is not open"));
        };
        let kept = self.take_back(given, low);
        if let Err(forked) = self.ring.check_fork(py) {
            return if kind.is_none() { Err(forked) } else { Ok(false) };
        }
        if !kind.is_none() {
            self.abort(low, high);
            if kept {
                let note = "a view of the claimed slots is still referred to: do not write to it any more";
                error.call_method1("add_note", (note,))?;
            }
            return Ok(false);
        }
        if kept {
            self.abort(low, high);
            let who = format!("a claim on {}", self.ring.label);
            return Err(errors::error(py, "KeptViewError", (who, low)));
        }
        self.ring.open_claim.set(false);
        self.ring.publish(low, high);
        *self.state.get_mut() = State::Done { low, high };
        Ok(false)
    }

    /// The first sequence of the claim; None before it is made.
    #[getter]
    fn first(&self) -> Option<i64> {
        match self.state.get_mut() {
            State::New | State::Waiting => None,
            State::Open { low, .. } | State::Done { low, .. } => Some(*low),
        }
    }

    /// The last sequence of the claim; None before it is made.
    #[getter]
    fn last(&self) -> Option<i64> {
        match self.state.get_mut() {
            State::New | State::Waiting => None,
            State::Open { high, .. } | State::Done { high, .. } => Some(*high),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.handle)
    }
}

impl Drop for Claim {
    /// A claim that was made and never left is given back; who keeps its event or array cannot write the slots any more.
    fn drop(&mut self) {
        if let Some((low, high, given)) = self.close() {
            self.take_back(given, low);
            if !self.ring.is_forked() {
                self.abort(low, high);
            }
        }
    }
}
