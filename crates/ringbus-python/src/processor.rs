//! The loop that hands events to a Python handler, native on a Python thread: no object is made that the
//! handler does not ask for.
//!
//! Source: LMAX Disruptor 4.0, `BatchEventProcessor` and `WorkProcessor`.

use crate::call::{self, Vectorcall};
use crate::cell::GilCell;
use crate::event;
use crate::reader::{LatencyFacts, Reader, ReaderFacts};
use crate::ring::{Ring, RingHandle};
use crate::view::{self, Lease, Place};
use crate::{enter, errors};
use pyo3::exceptions::PyKeyError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use ringbus_core::Outcome;
use ringbus_core::sync::{AtomicI64, Ordering};
use std::ptr;
use std::time::Duration;

/// What Python says of a handler.
#[derive(FromPyObject)]
struct HandlerFacts<'py> {
    callable: Bound<'py, PyAny>,
    /// Whether it takes arrays.
    batch: bool,
    /// Arguments it takes: 1 to 3, of a batch handler 1 or 2.
    arity: usize,
    on_start: Option<Py<PyAny>>,
    on_shutdown: Option<Py<PyAny>>,
    on_timeout: Option<Py<PyAny>>,
    on_batch_start: Option<Py<PyAny>>,
    /// `on_error(error, sequence, event) -> bool`: True goes on with the next event; no error is a decline.
    on_error: Py<PyAny>,
    /// The value that counts as a failure when it is returned.
    decline: Py<PyAny>,
    /// Seconds without an event after which `on_timeout` is called.
    timeout: Option<f64>,
    /// (number, workers, key): the key is a field's name, a callable, or None.
    worker: Option<(usize, usize, Option<Bound<'py, PyAny>>)>,
    /// What the workers without a key share.
    work: Option<Py<Work>>,
}

/// The next sequence that no worker has taken yet.
#[pyclass(frozen, module = "ringbus._core")]
pub struct Work(AtomicI64);

#[pymethods]
impl Work {
    #[new]
    fn new() -> Self {
        Self(AtomicI64::new(-1))
    }

    /// Begins after `sequence`; once, before the workers run.
    fn start_at(&self, sequence: i64) {
        self.0.store(sequence, Ordering::Release);
    }
}

/// Which events a worker handles.
enum Share {
    /// All: no worker.
    All,
    /// Those whose key's bytes fall to it.
    Bytes {
        number: u64,
        workers: u64,
        offset: usize,
        size: usize,
    },
    /// Those whose key, from Python, falls to it.
    Key {
        number: u64,
        workers: u64,
        key: Py<PyAny>,
        callable: bool,
    },
    /// Whatever no other has taken.
    Free { work: Py<Work>, mine: GilCell<Option<i64>> },
}

/// Whether a processor goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

/// One handler on one ring.
#[pyclass(frozen, weakref, module = "ringbus._core")]
pub struct Processor {
    reader: Reader,
    callable: Py<PyAny>,
    batch: bool,
    arity: usize,
    hooks: Hooks,
    on_error: Py<PyAny>,
    decline: Py<PyAny>,
    timeout: Option<Duration>,
    share: Share,
    /// A view for each event type, moved from slot to slot; null where there is none yet.
    views: GilCell<Vec<*mut ffi::PyObject>>,
    lease: GilCell<Option<Py<Lease>>>,
    /// The sequence that the handler is at.
    in_hand: GilCell<i64>,
    busy: GilCell<bool>,
    started: GilCell<bool>,
    shut_down: GilCell<bool>,
}

#[allow(clippy::struct_field_names, reason = "the names that Python knows them by")]
struct Hooks {
    on_start: Option<Py<PyAny>>,
    on_shutdown: Option<Py<PyAny>>,
    on_timeout: Option<Py<PyAny>>,
    on_batch_start: Option<Py<PyAny>>,
}

const NONE_IN_HAND: i64 = i64::MIN;

impl Processor {
    fn ring(&self) -> &Ring {
        &self.reader.ring
    }

    /// Handles what is readable now. `None` means stop; otherwise the sequences it is done with.
    fn batch(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        if self.busy.get() {
            let fact = format!("consumer {:?} is asked to run inside its own handler", self.reader.name);
            return Err(errors::error(py, "ClaimError", (fact, "let the handler return first")));
        }
        self.busy.set(true);
        if self.reader.is_gating() {
            self.ring().set_handling(true);
        }
        let done = self.batch_unguarded(py);
        if self.reader.is_gating() {
            self.ring().set_handling(false);
        }
        self.busy.set(false);
        self.in_hand.set(NONE_IN_HAND);
        done
    }

    fn batch_unguarded(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        if let Share::Free { work, mine } = &self.share {
            return self.work(py, work.get(), mine);
        }
        let first = self.reader.sequence() + 1;
        match self.reader.poll(first) {
            Err(_) => Ok(Some(0)),
            Ok(Err(lapped)) => Ok(Some(self.reader.lapped(first, lapped) - first)),
            Ok(Ok(last)) => {
                if self.handle(py, first, last) == Flow::Stop {
                    return Ok(None);
                }
                Ok(Some(self.reader.sequence() + 1 - first))
            }
        }
    }

    fn handle(&self, py: Python<'_>, first: i64, last: i64) -> Flow {
        let handled = if !self.reader.is_gating() {
            self.handle_copies(py, first, last)
        } else if self.batch {
            self.handle_runs(py, first, last)
        } else {
            self.handle_events(py, first, last)
        };
        let (Ok((events, _)) | Err((events, _))) = handled;
        if events > 0 {
            self.reader.count_batch(events);
        }
        match handled {
            Ok((_, done)) => match self.reader.commit(py, done.max(self.reader.sequence())) {
                Ok(()) => Flow::Continue,
                Err(error) => self.failed(py, error, done, None),
            },
            Err((_, done)) => {
                self.reader.commit_quietly(done.max(self.reader.sequence()));
                Flow::Stop
            }
        }
    }

    /// Hands `first..=last` out one by one. Gives the events handled and the last sequence done; as an error, to
    /// stop.
    fn handle_events(&self, py: Python<'_>, first: i64, last: i64) -> Result<(u64, i64), (u64, i64)> {
        let ring = self.ring();
        let plain = self.arity == 1
            && ring.kinds.len() == 1
            && matches!(self.share, Share::All)
            && !ring.segment.has_pads()
            && !self.reader.counts_latency();
        let end = if plain { last } else { self.last_taken(py, first, last) };
        if let Some(hook) = &self.hooks.on_batch_start {
            let size = (first..=end).filter(|&sequence| self.is_taken(py, sequence)).count();
            if size > 0 && self.call_hook(py, hook, Some(size as i64), first) == Flow::Stop {
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
    fn each<const PLAIN: bool>(
        &self,
        py: Python<'_>,
        first: i64,
        end: i64,
        last: i64,
    ) -> Result<(u64, i64), (u64, i64)> {
        let callable = self.callable.as_ptr();
        // SAFETY: attached; the callable is alive as long as `self`.
        let call = unsafe { call::function_of(callable) };
        let mut events = 0;
        for sequence in first..=end {
            if !PLAIN && !self.is_taken(py, sequence) {
                continue;
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
    fn call_event<const PLAIN: bool>(
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
                    return self.failed(py, PyErr::fetch(py), sequence, None);
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
            let kept = event::detach(view);
            let view = Bound::from_owned_ptr(py, view);
            if kept.is_err() {
                return self.failed(py, PyErr::fetch(py), sequence, None);
            }
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
            return self.failed(py, PyErr::fetch(py), sequence, event);
        }
        if declined {
            // SAFETY: the result is a reference of ours.
            unsafe { ffi::Py_DECREF(result) };
            return self.refused(py, None, sequence, event);
        }
        Flow::Continue
    }

    #[cold]
    fn failed(&self, py: Python<'_>, error: PyErr, sequence: i64, event: Option<Py<PyAny>>) -> Flow {
        self.refused(py, Some(error), sequence, event)
    }

    /// Asks the policy; no error means that the handler declined.
    #[cold]
    fn refused(&self, py: Python<'_>, error: Option<PyErr>, sequence: i64, event: Option<Py<PyAny>>) -> Flow {
        let error = error.map_or_else(|| py.None(), |error| error.into_value(py).into_any());
        let event = event.unwrap_or_else(|| py.None());
        let answer = number(py, sequence).and_then(|at| call::call(py, &self.on_error, [&error, &at, &event]));
        match answer.and_then(|answer| answer.is_truthy(py)) {
            Ok(true) => Flow::Continue,
            Ok(false) => Flow::Stop,
            Err(error) => {
                error.write_unraisable(py, Some(self.on_error.bind(py)));
                Flow::Stop
            }
        }
    }

    /// Hands `first..=last` out as arrays, cut at the wrap, at Pads and where the type changes.
    fn handle_runs(&self, py: Python<'_>, first: i64, last: i64) -> Result<(u64, i64), (u64, i64)> {
        let (mut next, mut events) = (first, 0);
        while let Some((low, high)) = self.next_run(py, next, last) {
            if self.reader.alert.is_raised() {
                return Err((events, low - 1));
            }
            self.in_hand.set(low);
            let size = high - low + 1;
            if let Some(hook) = &self.hooks.on_batch_start
                && self.call_hook(py, hook, Some(size), low) == Flow::Stop
            {
                return Err((events, low - 1));
            }
            if self.reader.counts_latency() {
                let now = self.reader.now();
                (low..=high).for_each(|sequence| self.reader.count_latency(self.ring().segment.slot(sequence), now));
            }
            if self.handle_run(py, low, size) == Flow::Stop {
                return Err((events, low - 1));
            }
            events += size as u64;
            next = high + 1;
        }
        Ok((events, last))
    }

    fn next_run(&self, py: Python<'_>, next: i64, last: i64) -> Option<(i64, i64)> {
        let segment = &self.ring().segment;
        let low = (next..=last).find(|&sequence| self.is_taken(py, sequence))?;
        let end = last.min(low + segment.capacity() - segment.index(low) as i64 - 1);
        if self.ring().kinds.len() == 1 && !segment.has_pads() && matches!(self.share, Share::All) {
            return Some((low, end));
        }
        let kind = self.ring().kind_at(segment.slot(low));
        let fits = |&sequence: &i64| self.ring().kind_at(segment.slot(sequence)) == kind && self.is_taken(py, sequence);
        let high = (low + 1..=end).take_while(fits).last().unwrap_or(low);
        Some((low, high))
    }

    fn handle_run(&self, py: Python<'_>, low: i64, size: i64) -> Flow {
        let ring = self.ring();
        let lease = match self
            .lease
            .get_mut()
            .take()
            .map_or_else(|| Lease::slots(py, &self.reader.ring), Ok)
        {
            Ok(lease) => lease,
            Err(error) => return self.failed(py, error, low, None),
        };
        let kind = &ring.kinds[ring.kind_at(ring.segment.slot(low))];
        let place = Place {
            data: ring.event(low),
            count: size,
            stride: ring.slot.bytes,
        };
        // SAFETY: the slots gate until this batch is committed; afterwards nobody has a view of them.
        let array = match unsafe { view::array(py, &kind.dtype, &place, &lease) } {
            Ok(array) => array,
            Err(error) => return self.failed(py, error, low, None),
        };
        let result = self.call_batch(py, &array, low);
        let raised = result.is_err();
        let flow = self.batch_outcome(py, result, low, &array);
        // A failure that halts has the array in its traceback, and the slots stay uncommitted.
        let released = !raised || flow == Flow::Continue;
        if view::references(&array) > 1 && released {
            return self.kept(py, low);
        }
        drop(array);
        if view::references(&lease) > 1 && released {
            return self.kept(py, low);
        }
        if !raised {
            *self.lease.get_mut() = Some(lease);
        }
        flow
    }

    fn call_batch(&self, py: Python<'_>, array: &Py<PyAny>, first: i64) -> PyResult<Py<PyAny>> {
        if self.arity == 1 {
            return call::call(py, &self.callable, [array]);
        }
        call::call(py, &self.callable, [array, &number(py, first)?])
    }

    fn batch_outcome(&self, py: Python<'_>, result: PyResult<Py<PyAny>>, low: i64, array: &Py<PyAny>) -> Flow {
        match result {
            Ok(result) if result.is(&self.decline) => self.refused(py, None, low, array.call_method0(py, "copy").ok()),
            Ok(_) => Flow::Continue,
            Err(error) => self.failed(py, error, low, array.call_method0(py, "copy").ok()),
        }
    }

    /// A view that was kept always halts, whatever the policy.
    fn kept(&self, py: Python<'_>, low: i64) -> Flow {
        let error = errors::error(py, "KeptViewError", (format!("consumer {:?}", self.reader.name), low));
        self.failed(py, error, low, None);
        Flow::Stop
    }

    /// For a consumer that does not gate: each event is copied first, so that none is torn.
    fn handle_copies(&self, py: Python<'_>, first: i64, last: i64) -> Result<(u64, i64), (u64, i64)> {
        if self.batch {
            return self.handle_copied_run(py, first, last);
        }
        let callable = self.callable.as_ptr();
        // SAFETY: attached; the callable is alive as long as `self`.
        let call = unsafe { call::function_of(callable) };
        let end = self.last_taken(py, first, last);
        if let Some(hook) = &self.hooks.on_batch_start
            && end >= first
            && self.call_hook(py, hook, Some(end - first + 1), first) == Flow::Stop
        {
            return Err((0, first - 1));
        }
        let mut events = 0;
        for sequence in first..=last {
            if self.reader.alert.is_raised() {
                return Err((events, sequence - 1));
            }
            // Read before the copy is checked, so that both are of this lap.
            let pad = self.ring().segment.is_pad(sequence);
            let slot = match self.reader.copy_slot(sequence) {
                Ok(slot) => slot,
                Err(lapped) => return Ok((events, self.reader.lapped(sequence, lapped) - 1)),
            };
            if pad || !self.reader.takes(self.ring().kind_at(slot)) {
                continue;
            }
            self.in_hand.set(sequence);
            self.reader.count_latency(slot, self.reader.now());
            if self.call_event::<false>(py, call, sequence, slot, sequence == end) == Flow::Stop {
                return Err((events, sequence - 1));
            }
            events += 1;
        }
        Ok((events, last))
    }

    /// Copies as many slots of one type as are readable into memory of the batch's own.
    fn handle_copied_run(&self, py: Python<'_>, first: i64, last: i64) -> Result<(u64, i64), (u64, i64)> {
        const MOST: i64 = 1024;
        let (ring, bytes) = (self.ring(), self.ring().slot.bytes);
        let last = last.min(first + MOST - 1);
        let lease = match Lease::own(py, &self.reader.ring, (last - first + 1) as usize * bytes) {
            Ok(lease) => lease,
            Err(error) => return self.failed_run(py, error, first),
        };
        let (mut count, mut next, mut begin, mut kind) = (0_usize, first, first, None);
        while next <= last {
            let pad = ring.segment.is_pad(next);
            let slot = match self.reader.copy_slot(next) {
                Ok(slot) => slot,
                Err(lapped) if count == 0 => return Ok((0, self.reader.lapped(next, lapped) - 1)),
                Err(_) => break,
            };
            let this = ring.kind_at(slot);
            let taken = !pad && self.reader.takes(this);
            if count > 0 && (!taken || kind != Some(this)) {
                break;
            }
            if taken {
                if count == 0 {
                    (begin, kind) = (next, Some(this));
                }
                self.reader.count_latency(slot, self.reader.now());
                // SAFETY: the lease's memory takes every slot from `first` to `last`.
                unsafe { ptr::copy_nonoverlapping(slot, lease.get().memory().add(count * bytes), bytes) };
                count += 1;
            }
            next += 1;
        }
        let Some(kind) = kind else { return Ok((0, next - 1)) };
        // SAFETY: the memory is the lease's own.
        let data = unsafe { lease.get().memory().add(ring.slot.event) };
        let place = Place {
            data,
            count: count as i64,
            stride: bytes,
        };
        // SAFETY: as above.
        let array = match unsafe { view::array(py, &ring.kinds[kind].dtype, &place, &lease) } {
            Ok(array) => array,
            Err(error) => return self.failed_run(py, error, begin),
        };
        let result = self.call_batch(py, &array, begin);
        match self.batch_outcome(py, result, begin, &array) {
            Flow::Continue => Ok((count as u64, next - 1)),
            Flow::Stop => Err((0, begin - 1)),
        }
    }

    fn failed_run(&self, py: Python<'_>, error: PyErr, first: i64) -> Result<(u64, i64), (u64, i64)> {
        self.failed(py, error, first, None);
        Err((0, first - 1))
    }

    /// Takes the next sequence that no other worker has, and handles it when it is there.
    fn work(&self, py: Python<'_>, work: &Work, mine: &GilCell<Option<i64>>) -> PyResult<Option<i64>> {
        let mut done = 0;
        loop {
            let sequence = mine.get().unwrap_or_else(|| {
                // What lies before is another's, or done: this worker holds nothing up to there. Stored before
                // the next one is taken, so that it gates all the time.
                self.reader.commit_quietly(work.0.load(Ordering::Acquire));
                work.0.fetch_add(1, Ordering::AcqRel) + 1
            });
            if mine.get().is_none() {
                mine.set(Some(sequence));
                self.reader.commit(py, sequence - 1)?;
            }
            if self.reader.poll(sequence).is_err() || done >= self.reader.max_batch.min(1024) {
                return Ok(Some(done));
            }
            if !self.ring().segment.is_pad(sequence) {
                match self.handle_events(py, sequence, sequence) {
                    Ok((events, _)) if events > 0 => self.reader.count_batch(events),
                    Ok(_) => {}
                    Err(_) => return Ok(None),
                }
            }
            mine.set(None);
            done += 1;
        }
    }

    /// Whether the event at `sequence` is one, of a type this handler takes, and its share.
    fn is_taken(&self, py: Python<'_>, sequence: i64) -> bool {
        let ring = self.ring();
        let slot = ring.segment.slot(sequence);
        if ring.segment.is_pad(sequence) || !self.reader.takes(ring.kind_at(slot)) {
            return false;
        }
        match &self.share {
            Share::All | Share::Free { .. } => true,
            Share::Bytes {
                number,
                workers,
                offset,
                size,
            } => {
                // SAFETY: the field is inside the event.
                let bytes = unsafe { std::slice::from_raw_parts(ring.event(sequence).add(*offset), *size) };
                fold(bytes) % workers == *number
            }
            Share::Key {
                number,
                workers,
                key,
                callable,
            } => {
                // A key that cannot be had falls to the first worker, whose handler will see the event.
                self.key_of(py, sequence, key, *callable).unwrap_or(0) % workers == *number
            }
        }
    }

    fn key_of(&self, py: Python<'_>, sequence: i64, key: &Py<PyAny>, callable: bool) -> PyResult<u64> {
        let event = if self.ring().objects.is_some() {
            self.ring().object(sequence).clone_ref(py)
        } else {
            self.reader.own_event(py, self.ring().segment.slot(sequence))?
        };
        let value = if callable {
            call::call(py, key, [&event])?
        } else {
            event.bind(py).getattr(key.bind(py).cast()?)?.unbind()
        };
        Ok(value.bind(py).hash()? as u64)
    }

    fn last_taken(&self, py: Python<'_>, first: i64, last: i64) -> i64 {
        (first..=last)
            .rev()
            .find(|&sequence| self.is_taken(py, sequence))
            .unwrap_or(first - 1)
    }

    /// Calls a life-cycle method, with the number it takes if it takes one.
    fn call_hook(&self, py: Python<'_>, hook: &Py<PyAny>, argument: Option<i64>, sequence: i64) -> Flow {
        let answer = match argument {
            Some(argument) => number(py, argument).and_then(|argument| call::call(py, hook, [&argument])),
            None => call::call(py, hook, []),
        };
        match answer {
            Ok(_) => Flow::Continue,
            Err(error) => self.failed(py, error, sequence, None),
        }
    }

    fn start(&self, py: Python<'_>) -> Flow {
        if self.started.get() {
            return Flow::Continue;
        }
        self.started.set(true);
        match &self.hooks.on_start {
            Some(hook) => self.call_hook(py, hook, None, self.reader.sequence()),
            None => Flow::Continue,
        }
    }

    fn shutdown(&self, py: Python<'_>) {
        if self.shut_down.get() || !self.started.get() {
            return;
        }
        self.shut_down.set(true);
        if let Some(hook) = &self.hooks.on_shutdown {
            self.call_hook(py, hook, None, self.reader.sequence());
        }
    }

    fn wanted(&self) -> i64 {
        match &self.share {
            Share::Free { mine, .. } => mine.get().unwrap_or_else(|| self.reader.sequence() + 1),
            _ => self.reader.sequence() + 1,
        }
    }

    /// Whether a wait that ended so may go on: not when what it depends on has died, or the ring is gone.
    fn goes_on(&self, py: Python<'_>, outcome: Outcome<()>) -> PyResult<bool> {
        if let Outcome::Died(index) = outcome {
            // No policy goes on from this.
            return Err(self.reader.died(py, index));
        }
        if outcome == Outcome::Alerted && self.ring().shared && !self.reader.alert.is_raised() {
            self.ring().check(py)?;
        }
        Ok(true)
    }

    fn run_until_halted(&self, py: Python<'_>) -> PyResult<()> {
        while !self.reader.alert.is_raised() {
            let events = self.reader.events();
            match self.batch(py)? {
                None => break,
                Some(0) => {
                    let outcome = self.reader.wait(py, self.wanted(), self.timeout)?;
                    if !self.goes_on(py, outcome)? {
                        break;
                    }
                    if outcome == Outcome::TimedOut
                        && let Some(hook) = &self.hooks.on_timeout
                        && self.call_hook(py, hook, Some(self.wanted() - 1), self.wanted() - 1) == Flow::Stop
                    {
                        break;
                    }
                }
                // No handler was called: nothing has let other threads run.
                Some(_) if self.reader.events() == events => py.detach(std::thread::yield_now),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn number(py: Python<'_>, number: i64) -> PyResult<Py<PyAny>> {
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

const OFFSET: usize = ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;

/// FNV-1a.
fn fold(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

fn share(py: Python<'_>, ring: &Ring, facts: &HandlerFacts<'_>) -> PyResult<Share> {
    let Some((number, workers, key)) = &facts.worker else {
        return Ok(Share::All);
    };
    let (number, workers) = (*number as u64, *workers as u64);
    let Some(key) = key else {
        let work = facts.work.as_ref().map(|work| work.clone_ref(py));
        let work = work.ok_or_else(|| PyKeyError::new_err("workers without a key share their work"))?;
        return Ok(Share::Free {
            work,
            mine: GilCell::new(None),
        });
    };
    let field = key
        .extract::<String>()
        .ok()
        .filter(|_| ring.kinds.len() == 1)
        .and_then(|name| {
            ring.kinds[0]
                .schema
                .fields
                .iter()
                .find(|field| field.label == name)
                .map(|field| (field.offset, field.size))
        });
    Ok(match field {
        Some((offset, size)) => Share::Bytes {
            number,
            workers,
            offset,
            size,
        },
        None => Share::Key {
            number,
            workers,
            key: key.clone().unbind(),
            callable: key.is_callable(),
        },
    })
}

#[pymethods]
impl Processor {
    #[new]
    fn new(py: Python<'_>, ring: Py<RingHandle>, reader: ReaderFacts<'_>, handler: HandlerFacts<'_>) -> PyResult<Self> {
        let share = share(py, &ring.get().ring, &handler)?;
        enter::deadline(py, handler.timeout)?;
        // A time that no clock reaches is none.
        let timeout = handler
            .timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if handler.batch && ring.get().ring.objects.is_some() {
            let fact = format!(
                "{:?} is a batch handler, and {} holds objects",
                reader.name,
                ring.get().ring.label
            );
            return Err(errors::error(
                py,
                "ConfigurationError",
                (fact, "take the objects one by one"),
            ));
        }
        let reader = Reader::join(py, ring, &reader)?;
        let views = vec![ptr::null_mut(); reader.ring.kinds.len()];
        Ok(Self {
            callable: handler.callable.unbind(),
            batch: handler.batch,
            arity: handler.arity,
            hooks: Hooks {
                on_start: handler.on_start,
                on_shutdown: handler.on_shutdown,
                on_timeout: handler.on_timeout,
                on_batch_start: handler.on_batch_start,
            },
            on_error: handler.on_error,
            decline: handler.decline,
            timeout,
            share,
            views: GilCell::new(views),
            lease: GilCell::new(None),
            in_hand: GilCell::new(NONE_IN_HAND),
            busy: GilCell::new(false),
            started: GilCell::new(false),
            shut_down: GilCell::new(false),
            reader,
        })
    }

    /// Its entry in the registry.
    #[getter]
    fn index(&self) -> usize {
        self.reader.index()
    }

    #[getter]
    fn name(&self) -> &str {
        &self.reader.name
    }

    /// The last sequence it is done with.
    #[getter]
    fn sequence(&self) -> i64 {
        self.reader.sequence()
    }

    /// Events it was lapped by.
    #[getter]
    fn missed(&self) -> u64 {
        self.reader.missed()
    }

    /// Events handed to the handler.
    #[getter]
    fn events(&self) -> u64 {
        self.reader.events()
    }

    /// Whether it has left the ring.
    #[getter]
    fn left(&self) -> bool {
        self.reader.has_left()
    }

    /// Follows the consumers in `entries`, a bit each; 0 is the cursor.
    fn depend_on(&self, entries: u64) {
        self.reader.depend_on(entries);
    }

    /// Is done with everything up to `sequence`, at most the one before that in hand.
    fn release(&self, py: Python<'_>, sequence: i64) -> PyResult<()> {
        self.ring().check_fork(py)?;
        let (at, most) = (self.reader.sequence(), self.in_hand.get() - 1);
        if self.in_hand.get() == NONE_IN_HAND || sequence > most || matches!(self.share, Share::Free { .. }) {
            let fact = format!("consumer {:?} cannot release sequence {sequence} now", self.reader.name);
            let remedy = "inside a handler, release up to the sequence before the one in hand";
            return Err(errors::error(py, "ClaimError", (fact, remedy)));
        }
        if sequence > at {
            self.reader.commit_quietly(sequence);
        }
        Ok(())
    }

    /// Ends `run`, as soon as the event in hand is done.
    fn halt(&self) {
        self.reader.alert.raise(&self.ring().segment);
    }

    /// Calls `on_start`, hands out events until it is halted or fails, and calls `on_shutdown`.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.ring().check_fork(py)?;
        let result = if self.start(py) == Flow::Continue {
            self.run_until_halted(py)
        } else {
            Ok(())
        };
        self.shutdown(py);
        result
    }

    /// Calls `on_start` the first time.
    fn begin(&self, py: Python<'_>) -> bool {
        self.start(py) == Flow::Continue
    }

    /// Calls `on_shutdown`, once, if `on_start` was called.
    fn end(&self, py: Python<'_>) {
        self.shutdown(py);
    }

    /// Hands out what is there now. The sequences done; None when its policy said stop.
    fn step(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.ring().check_fork(py)?;
        self.batch(py)
    }

    /// Leaves the ring: producers do not wait for it any more.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.leave(py)
    }

    /// Leaves the ring though others depend on it: they are told once they have handled what it was done with.
    fn part(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.part(py)
    }

    /// (count, min, mean, (p50, p90, p99, p99.9), max) of the latency in ns; None where nothing is stamped.
    fn latency(&self) -> Option<LatencyFacts> {
        self.reader.latency()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.reader.handle)?;
        visit.call(&self.callable)?;
        visit.call(&self.on_error)?;
        if let Share::Key { key, .. } = &self.share {
            visit.call(key)?;
        }
        let hooks = &self.hooks;
        for hook in [
            &hooks.on_start,
            &hooks.on_shutdown,
            &hooks.on_timeout,
            &hooks.on_batch_start,
        ] {
            visit.call(hook)?;
        }
        Ok(())
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        for view in self.views.get_mut().drain(..) {
            // SAFETY: attached, since objects are only freed so; the reference is ours, or null.
            unsafe { ffi::Py_XDECREF(view) };
        }
    }
}

/// Runs several processors in order on this thread until one is halted or fails: a whole graph without a
/// change of threads.
#[pyfunction]
pub fn run_serial(py: Python<'_>, processors: Vec<Py<Processor>>) -> PyResult<()> {
    let processors: Vec<&Processor> = processors.iter().map(Py::get).collect();
    let Some(first) = processors.first() else { return Ok(()) };
    first.ring().check_fork(py)?;
    let mut result = Ok(());
    if processors.iter().all(|processor| processor.start(py) == Flow::Continue) {
        result = run_in_turn(py, &processors);
    }
    for processor in processors {
        processor.shutdown(py);
    }
    result
}

fn run_in_turn(py: Python<'_>, processors: &[&Processor]) -> PyResult<()> {
    let own: u64 = processors
        .iter()
        .fold(0, |set, processor| set | processor.reader.entry_bit());
    let upstream = |processor: &Processor| processor.reader.barrier.get_mut().depends_on() & !own;
    let alike = processors
        .iter()
        .all(|processor| upstream(processor) == upstream(processors[0]));
    while !processors.iter().any(|processor| processor.reader.alert.is_raised()) {
        let mut moved = 0;
        for processor in processors {
            match processor.batch(py)? {
                None => return Ok(()),
                Some(done) => moved += done,
            }
        }
        if moved == 0 {
            wait_for_more(py, processors, first_wanted(processors, own), alike)?;
        }
    }
    Ok(())
}

/// Of those that depend on nothing of the group, the one that wants the lowest sequence: workers that share theirs hold
/// different ones.
fn first_wanted<'a>(processors: &[&'a Processor], own: u64) -> &'a Processor {
    let is_root = |processor: &&&Processor| processor.reader.barrier.get_mut().depends_on() & own == 0;
    processors
        .iter()
        .filter(is_root)
        .min_by_key(|processor| processor.wanted())
        .unwrap_or(&processors[0])
}

/// `first` depends on nothing of the group. Where others wait for something else than it, a look each millisecond stands in
/// for a wait on several words at once. When nothing came for the shortest time-out, all are told.
fn wait_for_more(py: Python<'_>, processors: &[&Processor], first: &Processor, alike: bool) -> PyResult<()> {
    let pause = Duration::from_millis(1);
    let shortest = processors.iter().filter_map(|processor| processor.timeout).min();
    let timeout = if alike {
        shortest
    } else {
        Some(shortest.map_or(pause, |timeout| timeout.min(pause)))
    };
    let outcome = first.reader.wait(py, first.wanted(), timeout)?;
    if !first.goes_on(py, outcome)? {
        first.reader.alert.raise(&first.ring().segment);
    }
    if outcome == Outcome::TimedOut && (alike || shortest.is_some_and(|shortest| shortest <= pause)) {
        for processor in processors.iter().filter(|processor| processor.timeout.is_some()) {
            if let Some(hook) = &processor.hooks.on_timeout {
                processor.call_hook(py, hook, Some(processor.wanted() - 1), processor.wanted() - 1);
            }
        }
    }
    Ok(())
}
