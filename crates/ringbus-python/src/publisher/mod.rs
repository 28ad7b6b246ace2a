//! The verbs of a producer. `publish` and `try_publish` are raw vectorcall functions: per event they make no
//! Python object, and a call site pays for its names once.

mod objects;
mod rows;
mod verbs;

pub use verbs::install_verbs;

use crate::cell::GilCell;
use crate::claim::Claim;
use crate::event;
use crate::ring::{Producers, Ring, RingHandle};
use crate::{enter, errors, view};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyType;
use ringbus_core::Sequencer;
use rows::Rows;
use std::ptr;
use std::sync::Arc;

/// Bytes of an event that is filled on the stack; a larger one takes a buffer from a pool.
pub const STACK_BYTES: usize = 512;

/// Publishes to one ring, with one time-out.
#[pyclass(frozen, subclass, weakref, module = "ringbus._core")]
pub struct Publisher {
    pub handle: Py<RingHandle>,
    pub ring: Arc<Ring>,
    pub timeout: Option<f64>,
    pool: GilCell<Vec<Box<[u64]>>>,
}

/// An error, or None where the interpreter has it already.
type Refused = Option<PyErr>;

impl Publisher {
    #[inline(always)]
    unsafe fn publish_any<const TRY: bool>(
        &self,
        py: Python<'_>,
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Result<bool, Refused> {
        let ring = &*self.ring;
        ring.check(py)?;
        if count == 0 && ring.plain {
            let schema = &*ring.kinds[0].schema;
            let mut scratch = [const { std::mem::MaybeUninit::<u64>::uninit() }; STACK_BYTES / 8];
            let scratch = scratch.as_mut_ptr();
            // SAFETY: a plain ring's events fit the scratch; the values go with the names.
            return unsafe {
                schema.fill(py, scratch.cast(), args, names).map_err(|()| None)?;
                if self.send_plain(scratch.cast(), schema.event_bytes) {
                    return Ok(true);
                }
                self.send::<TRY>(py, scratch.cast(), 0, schema.event_bytes)
            };
        }
        if count == 1 && !names.is_null() && ring.fits_stack {
            // SAFETY: as in the caller.
            return unsafe { self.publish_typed::<TRY>(py, args, names) };
        }
        // SAFETY: as in the caller.
        unsafe { self.publish_slowly::<TRY>(py, args, count, names) }
    }

    /// An event type and fields by name.
    unsafe fn publish_typed<const TRY: bool>(
        &self,
        py: Python<'_>,
        args: *const *mut ffi::PyObject,
        names: *mut ffi::PyObject,
    ) -> Result<bool, Refused> {
        let ring = &*self.ring;
        // SAFETY: there is one positional value, alive as long as the call.
        let first = unsafe { Borrowed::from_ptr(py, *args) };
        let Some(kind) = ring.kind_of(&first) else {
            // SAFETY: as in the caller.
            return unsafe { self.publish_slowly::<TRY>(py, args, 1, names) };
        };
        let schema = &*ring.kinds[kind].schema;
        let mut scratch = [const { std::mem::MaybeUninit::<u64>::uninit() }; STACK_BYTES / 8];
        let scratch = scratch.as_mut_ptr();
        // SAFETY: the ring's events fit the scratch; the values go with the names.
        unsafe {
            schema.fill(py, scratch.cast(), args.add(1), names).map_err(|()| None)?;
            self.send::<TRY>(py, scratch.cast(), kind, schema.event_bytes)
        }
    }

    /// `send` for a ring whose slots have no headers, as long as there is a free slot. False: nothing was done.
    #[inline(always)]
    unsafe fn send_plain(&self, scratch: *const u8, bytes: usize) -> bool {
        let ring = &*self.ring;
        if ring.open_claim.get() {
            return false;
        }
        // SAFETY: the slot is this producer's until it is published, and takes an event.
        let copy = |sequence| unsafe { copy_words(scratch, ring.event(sequence), bytes) };
        match ring.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.poll_claim(1).is_ok_and(|sequence| {
                copy(sequence);
                sequencer.publish(sequence, sequence);
                true
            }),
            Producers::Multi(sequencer) => sequencer.poll_claim(1).is_ok_and(|sequence| {
                copy(sequence);
                sequencer.publish(sequence, sequence);
                true
            }),
            Producers::None => false,
        }
    }

    /// Claims a slot, copies the filled event into it, and publishes: no Python code in between.
    #[inline(always)]
    unsafe fn send<const TRY: bool>(
        &self,
        py: Python<'_>,
        scratch: *const u8,
        kind: usize,
        bytes: usize,
    ) -> Result<bool, Refused> {
        let ring = &*self.ring;
        // Again: what filled the scratch may have closed the ring, or failed it.
        ring.check(py)?;
        ring.check_open_claim(py)?;
        let sequence = if TRY {
            match ring.try_claim(py, 1)? {
                Ok(sequence) => sequence,
                Err(blocker) => {
                    ring.refused(blocker);
                    return Ok(false);
                }
            }
        } else {
            match ring.try_claim(py, 1)? {
                Ok(sequence) => sequence,
                Err(_) => ring.claim(py, 1, self.timeout)?,
            }
        };
        // SAFETY: the slot is this producer's until it is published, and takes the largest event.
        unsafe { ptr::copy_nonoverlapping(scratch, ring.event(sequence), bytes) };
        ring.tag(sequence, kind);
        ring.publish(sequence, sequence);
        Ok(true)
    }

    #[inline(never)]
    unsafe fn publish_slowly<const TRY: bool>(
        &self,
        py: Python<'_>,
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Result<bool, Refused> {
        let ring = &*self.ring;
        // SAFETY: `args` holds `count` positional values.
        let positional = unsafe { std::slice::from_raw_parts(args, count as usize) };
        // SAFETY: each is alive as long as the call.
        let value = |index: usize| unsafe { Borrowed::from_ptr(py, positional[index]) };
        // SAFETY: the named values come after the positional ones.
        let named = unsafe { args.add(count as usize) };
        // SAFETY: `names` is null or a tuple.
        let nameless = names.is_null() || unsafe { ffi::PyTuple_GET_SIZE(names) } == 0;
        if ring.objects.is_some() {
            // SAFETY: the values go with the names.
            return unsafe { self.publish_object::<TRY>(py, positional, named, names) };
        }
        let kind = if count > 0 {
            ring.kind_of(&value(0))
        } else {
            Some(ring.only_kind(py, "publish")?)
        };
        match (count, kind) {
            (0 | 1, Some(kind)) => {
                let schema = &*ring.kinds[kind].schema;
                let mut buffer = self.borrow_buffer(schema.event_bytes);
                let scratch = buffer.as_mut_ptr().cast::<u8>();
                // SAFETY: the buffer takes an event; the values go with the names.
                let sent = unsafe {
                    schema
                        .fill(py, scratch, named, names)
                        .map_err(|()| None)
                        .and_then(|()| self.send::<TRY>(py, scratch, kind, schema.event_bytes))
                };
                self.pool.get_mut().push(buffer);
                sent
            }
            (1, None) if nameless => self.publish_one::<TRY>(py, &value(0)),
            (2, Some(kind)) if nameless && is_translator(&value(1)) => self.translate::<TRY>(py, kind, &value(1)),
            _ => Err(Some(self.misused(py, count, &value(0))?)),
        }
    }

    fn misused(&self, py: Python<'_>, count: isize, first: &Bound<'_, PyAny>) -> PyResult<PyErr> {
        let fact = format!(
            "publish on {} takes fields by name, an event, a translator, or an event type and fields; it got {count} \
             positional argument(s), the first {}",
            self.ring.label,
            first.repr()?
        );
        Ok(errors::error(
            py,
            "SchemaError",
            (fact, "name the fields, as in publish(price=1.0)"),
        ))
    }

    fn publish_one<const TRY: bool>(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> Result<bool, Refused> {
        if let Some(kind) = self.ring.kind_of(value.get_type().as_any()) {
            // By way of a scratch event: while this waits for a slot, others may change the instance or move its data.
            let bytes = self.ring.kinds[kind].schema.event_bytes;
            let mut buffer = self.borrow_buffer(bytes);
            let scratch = buffer.as_mut_ptr().cast::<u8>();
            // SAFETY: an event of one of the ring's types has the bytes of its schema, and the buffer takes them.
            let sent = unsafe {
                ptr::copy_nonoverlapping(event::data_of(value.as_ptr()), scratch, bytes);
                self.send::<TRY>(py, scratch, kind, bytes)
            };
            self.pool.get_mut().push(buffer);
            return sent;
        }
        if is_translator(value) {
            let kind = self.ring.only_kind(py, "publish")?;
            return self.translate::<TRY>(py, kind, value);
        }
        let names: Vec<&str> = self.ring.kinds.iter().map(|kind| kind.schema.name.as_str()).collect();
        let fact = format!(
            "{} takes {}, and was given {}",
            self.ring.label,
            names.join(" or "),
            value.repr()?
        );
        Err(Some(errors::error(
            py,
            "SchemaError",
            (fact, "publish an event of the ring, its fields, or a translator"),
        )))
    }

    /// Has `translator` fill a scratch event, then sends it.
    fn translate<const TRY: bool>(
        &self,
        py: Python<'_>,
        kind: usize,
        translator: &Bound<'_, PyAny>,
    ) -> Result<bool, Refused> {
        let schema = &self.ring.kinds[kind].schema;
        let mut buffer = self.borrow_buffer(schema.event_bytes);
        let scratch = buffer.as_mut_ptr().cast::<u8>();
        // SAFETY: the buffer takes an event; the view is given its own copy before the buffer is given back.
        let filled = unsafe {
            ptr::copy_nonoverlapping(schema.defaults.as_ptr(), scratch, schema.event_bytes);
            let view = event::new_view(py, schema, scratch, 0);
            Bound::from_owned_ptr_or_err(py, view).map_err(Some).and_then(|view| {
                let called = translator.call1((&view,)).map_err(Some);
                if ffi::Py_REFCNT(view.as_ptr()) > 1 {
                    event::detach(view.as_ptr());
                }
                called
            })
        };
        // SAFETY: as above.
        let sent = filled.and_then(|_| unsafe { self.send::<TRY>(py, scratch, kind, schema.event_bytes) });
        self.pool.get_mut().push(buffer);
        sent
    }

    fn borrow_buffer(&self, bytes: usize) -> Box<[u64]> {
        match self.pool.get_mut().pop() {
            Some(buffer) if buffer.len() * 8 >= bytes => buffer,
            _ => vec![0; bytes.div_ceil(8).max(1)].into_boxed_slice(),
        }
    }
}

/// Copies word by word: the words were just written one by one, and a wider load would wait for all of them.
///
/// # Safety
/// Both take `bytes` bytes, and begin at a multiple of 8.
#[inline(always)]
unsafe fn copy_words(source: *const u8, target: *mut u8, bytes: usize) {
    let words = bytes / 8;
    // SAFETY: the caller's promise. Volatile, so that the loop stays one.
    unsafe {
        for word in 0..words {
            target
                .cast::<u64>()
                .add(word)
                .write_volatile(source.cast::<u64>().add(word).read());
        }
        if !bytes.is_multiple_of(8) {
            ptr::copy_nonoverlapping(source.add(words * 8), target.add(words * 8), bytes % 8);
        }
    }
}

fn is_translator(value: &Bound<'_, PyAny>) -> bool {
    value.is_callable() && !value.is_instance_of::<PyType>()
}

#[pymethods]
impl Publisher {
    #[new]
    #[pyo3(signature = (ring, timeout))]
    fn new(py: Python<'_>, ring: Py<RingHandle>, timeout: Option<f64>) -> PyResult<Self> {
        enter::deadline(py, timeout)?;
        let shared = Arc::clone(&ring.get().ring);
        Ok(Self {
            handle: ring,
            ring: shared,
            timeout,
            pool: GilCell::new(Vec::new()),
        })
    }

    /// The ring's native handle.
    #[getter]
    fn _ring(&self, py: Python<'_>) -> Py<RingHandle> {
        self.handle.clone_ref(py)
    }

    /// The longest wait of its verbs, in seconds; None waits for ever.
    #[getter]
    fn timeout(&self) -> Option<f64> {
        self.timeout
    }

    /// A claim of `count` slots (None: one, as an event) of the type at index `kind`, not made yet.
    #[pyo3(signature = (count, kind, reset, timeout))]
    fn _claim(
        &self,
        py: Python<'_>,
        count: Option<i64>,
        kind: usize,
        reset: bool,
        timeout: Option<f64>,
    ) -> PyResult<Claim> {
        enter::deadline(py, timeout)?;
        Ok(Claim::new(self.handle.clone_ref(py), count, kind, reset, timeout))
    }

    /// Copies a structured array whose type is that of the event type at `kind`; the last sequence.
    #[pyo3(signature = (array, kind, timeout))]
    fn _publish_rows(
        &self,
        py: Python<'_>,
        array: &Bound<'_, PyAny>,
        kind: usize,
        timeout: Option<f64>,
    ) -> PyResult<i64> {
        self.ring.check(py)?;
        self.ring.check_open_claim(py)?;
        let bytes = self.ring.kinds[kind].schema.event_bytes;
        let rows = view::rows(array)?;
        if rows.itemsize != bytes {
            return Err(PyTypeError::new_err(
                "publish_batch takes an array of the event's dtype",
            ));
        }
        let rows = Rows {
            data: rows.data,
            count: rows.count as i64,
            stride: rows.stride,
            bytes,
        };
        self.send_rows(py, &rows, kind, timeout)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.handle)
    }
}
