//! The verbs of a producer. `publish` and `try_publish` are raw vectorcall functions: per event they make no
//! Python object, and a call site pays for its names once.

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

type FastCall = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

struct Methods([ffi::PyMethodDef; 2]);
// SAFETY: never written; the pointers in it are to static strings and functions.
unsafe impl Sync for Methods {}

static METHODS: Methods = Methods([
    method(
        c"publish",
        publish::<false>,
        c"publish(**fields) or publish(event) or publish(translator)",
    ),
    method(
        c"try_publish",
        publish::<true>,
        c"try_publish(**fields) or try_publish(event) or try_publish(translator)",
    ),
]);

const fn method(name: &'static std::ffi::CStr, call: FastCall, doc: &'static std::ffi::CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionFastWithKeywords: call,
        },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: doc.as_ptr(),
    }
}

/// Gives `class`, a subclass of Publisher, the two hot verbs as methods of its own: the interpreter calls a
/// method fastest where it finds it on the object's own class.
#[pyfunction]
pub fn install_verbs(class: &Bound<'_, PyType>) -> PyResult<()> {
    if !class.is_subclass_of::<Publisher>()? {
        return Err(PyTypeError::new_err("install_verbs takes a subclass of Publisher"));
    }
    for definition in &METHODS.0 {
        // SAFETY: the definition is static; the class is a type whose objects begin with a Publisher.
        let descriptor = unsafe {
            let made = ffi::PyDescr_NewMethod(class.as_type_ptr(), ptr::from_ref(definition).cast_mut());
            Bound::from_owned_ptr_or_err(class.py(), made)?
        };
        // SAFETY: static, and terminated.
        let name = unsafe { std::ffi::CStr::from_ptr(definition.ml_name) };
        class.setattr(name.to_string_lossy().as_ref(), descriptor)?;
    }
    Ok(())
}

unsafe extern "C" fn publish<const TRY: bool>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls this attached, with `slf` of the class the method was installed on.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, slf).cast_unchecked::<Publisher>())
    };
    let publisher = slf.get();
    // SAFETY: `args` holds `count` positional values, then one for each of `names`.
    let done = unsafe { publisher.publish_any::<TRY>(py, args, count, names) };
    match done {
        Ok(_) if !TRY => {
            // SAFETY: None, whose reference is given away.
            unsafe { ffi::Py_NewRef(ffi::Py_None()) }
        }
        // SAFETY: True or False, whose reference is given away.
        Ok(published) => unsafe { ffi::Py_NewRef(if published { ffi::Py_True() } else { ffi::Py_False() }) },
        Err(error) => {
            if let Some(error) = error {
                error.restore(py);
            }
            ptr::null_mut()
        }
    }
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
                Err(_) => return Ok(false),
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

    /// Object rings hold the claim open while user code fills the object.
    unsafe fn publish_object<const TRY: bool>(
        &self,
        py: Python<'_>,
        positional: &[*mut ffi::PyObject],
        named: *const *mut ffi::PyObject,
        names: *mut ffi::PyObject,
    ) -> Result<bool, Refused> {
        let ring = &*self.ring;
        // SAFETY: alive as long as the call.
        let translator = positional
            .first()
            .map(|&value| unsafe { Borrowed::from_ptr(py, value) });
        if positional.len() > 1 || translator.as_ref().is_some_and(|value| !value.is_callable()) {
            let fact = format!(
                "{} holds objects: publish takes a translator, or attributes by name",
                ring.label
            );
            return Err(Some(errors::error(
                py,
                "SchemaError",
                (fact, "pass a function that fills the object"),
            )));
        }
        ring.check_open_claim(py)?;
        let sequence = match ring.try_claim(py, 1)? {
            Ok(sequence) => sequence,
            Err(_) if TRY => return Ok(false),
            Err(_) => ring.claim(py, 1, self.timeout)?,
        };
        ring.open_claim.set(ring.is_single());
        // SAFETY: the values go with the names.
        let filled = unsafe { fill_object(py, ring.object(sequence).bind(py), translator.as_deref(), named, names) };
        ring.open_claim.set(false);
        match filled {
            Ok(()) => ring.publish(sequence, sequence),
            Err(_) => ring.abort(sequence, sequence),
        }
        filled.map(|()| true).map_err(Some)
    }

    fn borrow_buffer(&self, bytes: usize) -> Box<[u64]> {
        match self.pool.get_mut().pop() {
            Some(buffer) if buffer.len() * 8 >= bytes => buffer,
            _ => vec![0; bytes.div_ceil(8).max(1)].into_boxed_slice(),
        }
    }

    /// Copies rows into slots, as many at a time as are free.
    fn send_rows(&self, py: Python<'_>, rows: &Rows, kind: usize, timeout: Option<f64>) -> PyResult<i64> {
        let ring = &*self.ring;
        let deadline = enter::deadline(py, timeout)?;
        let (mut sent, mut last) = (0, ring.claimed());
        while sent < rows.count {
            ring.check(py)?;
            let left = rows.count - sent;
            let count = left.min(ring.segment.capacity());
            let left_of_timeout = deadline.map(|deadline| {
                deadline
                    .saturating_duration_since(std::time::Instant::now())
                    .as_secs_f64()
            });
            let (high, count) = match ring.try_claim(py, count)? {
                Ok(high) => (high, count),
                Err(_) => self
                    .claim_what_is_free(py, count, left_of_timeout)
                    .inspect_err(|error| {
                        note(py, error, &format!("{sent} of {} events were published", rows.count));
                    })?,
            };
            let low = high - count + 1;
            // SAFETY: the slots are this producer's; the rows are alive and as long as an event.
            unsafe { rows.copy_to(ring, sent, low, count) };
            (low..=high).for_each(|sequence| ring.tag(sequence, kind));
            ring.publish(low, high);
            sent += count;
            last = high;
        }
        Ok(last)
    }

    fn claim_what_is_free(&self, py: Python<'_>, most: i64, timeout: Option<f64>) -> PyResult<(i64, i64)> {
        let ring = &*self.ring;
        ring.check_open_claim(py)?;
        let mut count = most;
        while count > 1 {
            count /= 2;
            if let Ok(high) = ring.try_claim(py, count)? {
                return Ok((high, count));
            }
        }
        // A quarter at a time, so that a slow consumer is not waited for once an event.
        let count = (ring.segment.capacity() / 4).clamp(1, most);
        Ok((ring.claim(py, count, timeout)?, count))
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

fn note(py: Python<'_>, error: &PyErr, text: &str) {
    // A note that cannot be added must not hide the error itself.
    let _ = error.value(py).call_method1("add_note", (text,));
}

unsafe fn fill_object(
    py: Python<'_>,
    object: &Bound<'_, PyAny>,
    translator: Option<&Bound<'_, PyAny>>,
    named: *const *mut ffi::PyObject,
    names: *mut ffi::PyObject,
) -> PyResult<()> {
    if let Some(translator) = translator {
        translator.call1((object,))?;
    }
    if !names.is_null() {
        // SAFETY: a tuple of names, with a value each.
        unsafe {
            for index in 0..ffi::PyTuple_GET_SIZE(names) {
                let name = ffi::PyTuple_GET_ITEM(names, index);
                if ffi::PyObject_SetAttr(object.as_ptr(), name, *named.add(index as usize)) != 0 {
                    return Err(PyErr::fetch(py));
                }
            }
        }
    }
    Ok(())
}

/// The rows of a one-dimensional structured array.
struct Rows {
    data: *const u8,
    count: i64,
    stride: isize,
    /// Bytes of an event.
    bytes: usize,
}

impl Rows {
    /// # Safety
    /// `low..low + count` are the caller's slots, and the array is alive.
    unsafe fn copy_to(&self, ring: &Ring, first: i64, low: i64, count: i64) {
        let dense = ring.slot.bytes == self.bytes && self.stride == self.bytes as isize;
        let mut done = 0;
        while done < count {
            let index = ring.segment.index(low + done) as i64;
            let run = if dense {
                (count - done).min(ring.segment.capacity() - index)
            } else {
                1
            };
            // SAFETY: the run ends at the end of the ring at the latest; rows are `stride` apart.
            unsafe {
                let source = self.data.offset((first + done) as isize * self.stride);
                ptr::copy_nonoverlapping(source, ring.event(low + done), self.bytes * run as usize);
            }
            done += run;
        }
    }
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
