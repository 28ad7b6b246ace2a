//! Events one by one.

use super::{Flow, Handled, Processor, Share};
use crate::call::{self, Vectorcall};
use crate::event;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr;

const OFFSET: usize = ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;

impl Processor {
    /// Hands `first..=last` out one by one.
    pub(super) fn handle_events(&self, py: Python<'_>, first: i64, last: i64) -> Handled {
        let ring = self.ring();
        let plain = self.arity == 1
            && ring.kinds.len() == 1
            && matches!(self.share, Share::All)
            && !ring.segment.has_pads()
            && !self.reader.counts_latency();
        let end = if plain { last } else { self.last_taken(py, first, last) };
        if self.hooks.wants_batch_start() {
            let size = (first..=end).filter(|&sequence| self.is_taken(py, sequence)).count();
            if size > 0 && self.hooks.batch_start(py, size as i64, first) == Flow::Stop {
                return Err((0, first - 1));
            }
        }
        if plain {
            self.each::<true>(py, first, end, last)
        } else {
            self.each::<false>(py, first, end, last)
        }
    }

    #[inline(always)]
    fn each<const PLAIN: bool>(&self, py: Python<'_>, first: i64, end: i64, last: i64) -> Handled {
        let callable = self.callable.as_ptr();
        // SAFETY: attached; the callable is alive as long as `self`.
        let call = unsafe { call::function_of(callable) };
        let mut events = 0;
        // What follows the last event that is taken may be one whose key fails.
        for sequence in first..=last {
            if !PLAIN {
                match self.takes(py, sequence) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => match self.key_failed(py, error, sequence) {
                        Flow::Continue => continue,
                        Flow::Stop => return Err((events, sequence - 1)),
                    },
                }
            }
            if self.reader.alert.is_raised() {
                return Err((events, sequence - 1));
            }
            self.in_hand.set(sequence);
            let slot = self.ring().segment.slot(sequence);
            if !PLAIN && self.reader.counts_latency() {
                self.reader.count_latency(slot, self.reader.now());
            }
            let flow = if !PLAIN && self.ring().objects.is_some() {
                self.call_object(py, call, sequence, sequence == end)
            } else {
                self.call_event::<PLAIN>(py, call, sequence, slot, sequence == end)
            };
            if flow == Flow::Stop {
                return Err((events, sequence - 1));
            }
            events += 1;
        }
        Ok((events, last))
    }

    /// Calls the handler with a view of the event in `slot`.
    #[inline(always)]
    pub(super) fn call_event<const PLAIN: bool>(
        &self,
        py: Python<'_>,
        call: Vectorcall,
        sequence: i64,
        slot: *mut u8,
        end_of_batch: bool,
    ) -> Flow {
        let ring = self.ring();
        let kind = if PLAIN { 0 } else { ring.kind_at(slot) };
        // SAFETY: attached. The view is this processor's; nobody else retargets it. It is given its own copy
        // before the slot is given up if anybody else still refers to it.
        unsafe {
            let data = slot.add(ring.slot.event);
            let mut view = *self.views.get_mut().get_unchecked(kind);
            if view.is_null() {
                view = event::new_view(py, &ring.kinds[kind].schema, data, ring.slot.stamp_offset());
                if view.is_null() {
                    return self.hooks.failed(py, PyErr::fetch(py), sequence, None);
                }
                self.views.get_mut()[kind] = view;
            } else {
                event::retarget(view, data);
            }
            let result = if PLAIN {
                let mut arguments = [ptr::null_mut(), view];
                call::vectorcall(call, self.callable.as_ptr(), arguments.as_mut_ptr().add(1), 1 | OFFSET)
            } else {
                self.call_with(call, view, sequence, end_of_batch)
            };
            let declined = result == self.decline.as_ptr();
            if !result.is_null() && !declined {
                ffi::Py_DECREF(result);
                if ffi::Py_REFCNT(view) == 1 {
                    return Flow::Continue;
                }
            }
            // Somebody keeps the view, or the handler failed: the view owns its data from here on.
            self.views.get_mut()[kind] = ptr::null_mut();
            event::detach(view);
            let view = Bound::from_owned_ptr(py, view);
            self.outcome(py, result, declined, sequence, Some(view.unbind()))
        }
    }

    fn call_object(&self, py: Python<'_>, call: Vectorcall, sequence: i64, end_of_batch: bool) -> Flow {
        let object = self.ring().object(sequence).clone_ref(py);
        // SAFETY: attached; the object is alive.
        let result = unsafe { self.call_with(call, object.as_ptr(), sequence, end_of_batch) };
        let declined = result == self.decline.as_ptr();
        if !result.is_null() && !declined {
            // SAFETY: the result is a reference of ours.
            unsafe { ffi::Py_DECREF(result) };
            return Flow::Continue;
        }
        self.outcome(py, result, declined, sequence, Some(object))
    }

    unsafe fn call_with(
        &self,
        call: Vectorcall,
        first: *mut ffi::PyObject,
        sequence: i64,
        end_of_batch: bool,
    ) -> *mut ffi::PyObject {
        // SAFETY: attached; the arguments are alive during the call, and `arity` of them are passed.
        unsafe {
            let number = if self.arity > 1 {
                ffi::PyLong_FromLongLong(sequence)
            } else {
                ptr::null_mut()
            };
            if self.arity > 1 && number.is_null() {
                return ptr::null_mut();
            }
            let end = if end_of_batch { ffi::Py_True() } else { ffi::Py_False() };
            let mut arguments = [ptr::null_mut(), first, number, end];
            let arguments = arguments.as_mut_ptr().add(1);
            let result = call::vectorcall(call, self.callable.as_ptr(), arguments, self.arity | OFFSET);
            ffi::Py_XDECREF(number);
            result
        }
    }

    /// What a call that raised, was declined, or had its view kept means.
    fn outcome(
        &self,
        py: Python<'_>,
        result: *mut ffi::PyObject,
        declined: bool,
        sequence: i64,
        event: Option<Py<PyAny>>,
    ) -> Flow {
        if result.is_null() {
            return self.hooks.failed(py, PyErr::fetch(py), sequence, event);
        }
        if declined {
            // SAFETY: the result is a reference of ours.
            unsafe { ffi::Py_DECREF(result) };
            return self.hooks.refused(py, None, sequence, event);
        }
        Flow::Continue
    }
}
