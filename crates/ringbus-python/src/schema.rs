//! The layout of an event, and the writing of a whole one from keyword arguments.
//!
//! A call site passes the same tuple of names every time. What the names mean is worked out once and kept as a
//! [`Shape`]; after that a call costs one comparison of pointers, the defaults, and one write a field.

use std::ptr;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use ringbus_core::sync::{AtomicPtr, Ordering};

use crate::field::{Field, Raised, Written, raise, raised};

/// Call sites with different names that one schema remembers. Others are worked out at each call.
const SHAPES: usize = 16;

/// What the keyword names of a call mean: the field of each value, in order.
struct Shape {
    /// Held, so that its address means these names for as long as the shape lives.
    names: Py<PyTuple>,
    /// Point into the schema's own fields.
    fields: Box<[*const Field]>,
    /// Every byte of the event is written by these fields: the defaults need not be copied first.
    whole: bool,
}

/// The layout of one event type.
pub struct SchemaInner {
    pub name: String,
    /// The bytes of an event: `dtype.itemsize`.
    pub event_bytes: usize,
    pub align: usize,
    /// An event in which every field has its default; a field without one is zero.
    pub defaults: Box<[u8]>,
    /// The Event subclass, set by `bind` and null again when that class is gone. Borrowed.
    pub type_object: AtomicPtr<ffi::PyTypeObject>,
    /// The fields in order.
    pub fields: Box<[Field]>,
    /// The NumPy structured type.
    pub dtype: Py<PyAny>,
    /// The layout as JSON, for the segment.
    pub json: String,
    /// FNV-1a over the fields' names, types, offsets and sizes.
    pub hash: u64,
    by_name: NameTable,
    any_required: bool,
    /// No padding between the fields.
    dense: bool,
    /// Set once each, never freed before the schema: who has loaded a shape may use it as long as the schema lives.
    shapes: [AtomicPtr<Shape>; SHAPES],
    /// The shape of the last call.
    latest: AtomicPtr<Shape>,
}

// SAFETY: the pointers in a shape point into `fields`, which never moves and never changes; Python objects are only
// touched by who is attached to the interpreter.
unsafe impl Send for SchemaInner {}
// SAFETY: as above; what changes is atomic.
unsafe impl Sync for SchemaInner {}

impl SchemaInner {
    /// The field that the interned string `name` names, if it is quickly found.
    #[inline(always)]
    pub fn quick(&self, name: *mut ffi::PyObject) -> Option<&Field> {
        // SAFETY: the fields of the table are this schema's.
        let field = unsafe { self.by_name.at(name).as_ref() };
        field.filter(|field| field.name.as_ptr() == name)
    }

    /// Copies the defaults to `dst`, then writes the keyword values.
    ///
    /// On an error a Python exception is set, and `dst` holds anything. A conversion may run Python code, and that may
    /// come back here: nothing is held that this could change.
    ///
    /// # Safety
    /// `dst` has `event_bytes` bytes; `values` has a live object for each of `kwnames`, a tuple of strings or null.
    #[inline]
    pub unsafe fn fill(
        &self,
        py: Python<'_>,
        dst: *mut u8,
        values: *const *mut ffi::PyObject,
        kwnames: *mut ffi::PyObject,
    ) -> Result<(), ()> {
        let latest = self.latest.load(Ordering::Acquire);
        // SAFETY: shapes live as long as the schema; the rest is the caller's promise.
        unsafe {
            let written = if !latest.is_null() && (*latest).names.as_ptr() == kwnames {
                self.write(py, dst, values, &*latest)
            } else {
                self.fill_other(py, dst, values, kwnames)
            };
            written.map_err(|Raised| ())
        }
    }

    /// `fill` for a call whose names are not those of the last one.
    #[inline(never)]
    unsafe fn fill_other(
        &self,
        py: Python<'_>,
        dst: *mut u8,
        values: *const *mut ffi::PyObject,
        kwnames: *mut ffi::PyObject,
    ) -> Written {
        // SAFETY: `kwnames` is null or a tuple of strings; the rest is the caller's promise.
        unsafe {
            if kwnames.is_null() || ffi::PyTuple_GET_SIZE(kwnames) == 0 {
                if self.any_required {
                    return Err(self.refuse_missing(py, &[]));
                }
                ptr::copy_nonoverlapping(self.defaults.as_ptr(), dst, self.event_bytes);
                return Ok(());
            }
            if let Some(shape) = self.known(kwnames) {
                return self.write(py, dst, values, shape);
            }
            let names = Bound::from_borrowed_ptr(py, kwnames).cast_into_unchecked::<PyTuple>();
            let shape = Box::new(self.resolve(&names)?);
            match self.remember(shape) {
                Ok(shape) => self.write(py, dst, values, shape),
                Err(shape) => self.write(py, dst, values, &shape),
            }
        }
    }

    #[inline]
    unsafe fn write(&self, py: Python<'_>, dst: *mut u8, values: *const *mut ffi::PyObject, shape: &Shape) -> Written {
        // SAFETY: the shape has one field for each value, and its fields are this schema's.
        unsafe {
            if !shape.whole {
                ptr::copy_nonoverlapping(self.defaults.as_ptr(), dst, self.event_bytes);
            }
            for (index, field) in shape.fields.iter().enumerate() {
                (**field).write(py, dst, *values.add(index))?;
            }
        }
        Ok(())
    }

    /// The shape of these names, if it is known: by identity of the tuple, else by identity of each name.
    unsafe fn known(&self, kwnames: *mut ffi::PyObject) -> Option<&Shape> {
        for place in &self.shapes {
            // SAFETY: a shape that was stored lives as long as the schema.
            let Some(shape) = (unsafe { place.load(Ordering::Acquire).as_ref() }) else {
                break;
            };
            if shape.names.as_ptr() == kwnames {
                self.latest.store(ptr::from_ref(shape).cast_mut(), Ordering::Release);
                return Some(shape);
            }
        }
        for place in &self.shapes {
            // SAFETY: as above; both are tuples.
            unsafe {
                let shape = place.load(Ordering::Acquire).as_ref()?;
                if same_names(shape.names.as_ptr(), kwnames) {
                    return Some(shape);
                }
            }
        }
        None
    }

    /// Keeps a shape if there is room for one more.
    fn remember(&self, shape: Box<Shape>) -> Result<&Shape, Box<Shape>> {
        let raw = Box::into_raw(shape);
        for place in &self.shapes {
            let stored = place.compare_exchange(ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Acquire);
            if stored.is_ok() {
                self.latest.store(raw, Ordering::Release);
                // SAFETY: it was just made, and is freed with the schema only.
                return Ok(unsafe { &*raw });
            }
        }
        // SAFETY: nobody else has seen it.
        Err(unsafe { Box::from_raw(raw) })
    }

    /// Works out what the names mean; unknown and missing names are errors.
    fn resolve(&self, names: &Bound<'_, PyTuple>) -> Result<Shape, Raised> {
        let py = names.py();
        let mut fields = Vec::with_capacity(names.len());
        for name in names.iter_borrowed() {
            fields.push(self.field(py, name.as_ptr())?);
        }
        if self
            .fields
            .iter()
            .any(|field| field.required && !fields.contains(&ptr::from_ref(field)))
        {
            return Err(self.refuse_missing(py, &fields));
        }
        let whole = self.dense && fields.len() == self.fields.len();
        Ok(Shape {
            names: names.clone().unbind(),
            fields: fields.into_boxed_slice(),
            whole,
        })
    }

    /// The field of this name; an error is set if there is none.
    fn field(&self, py: Python<'_>, name: *mut ffi::PyObject) -> Result<*const Field, Raised> {
        if let Some(field) = self.fields.iter().find(|field| field.name.as_ptr() == name) {
            return Ok(field);
        }
        // SAFETY: the names of keywords are live strings.
        let name = unsafe { Bound::from_borrowed_ptr(py, name) };
        let text: String = name.extract().map_err(|error: PyErr| raised(py, error))?;
        let found = self
            .fields
            .iter()
            .find(|field| field.name.bind(py).to_str().is_ok_and(|own| own == text));
        found.map(ptr::from_ref).ok_or_else(|| self.refuse_unknown(py, &text))
    }

    #[cold]
    fn refuse_unknown(&self, py: Python<'_>, name: &str) -> Raised {
        let names = self.names(py);
        let near = names.iter().map(|own| (distance(own, name), own)).min();
        let remedy = match near {
            Some((steps, own)) if steps <= 1 + name.chars().count() / 4 => format!("did you mean {own:?}?"),
            _ => format!("its fields are {}", names.join(", ")),
        };
        raise(
            py,
            "SchemaError",
            (format!("{} has no field {name:?}", self.name), remedy),
        )
    }

    #[cold]
    fn refuse_missing(&self, py: Python<'_>, given: &[*const Field]) -> Raised {
        let missing = self
            .fields
            .iter()
            .filter(|field| field.required && !given.contains(&ptr::from_ref(*field)));
        let missing: Vec<_> = missing.map(|field| field.name.bind(py).to_string()).collect();
        let fact = format!(
            "{} needs {}, which {} no default",
            self.name,
            missing.join(", "),
            have(missing.len())
        );
        let remedy = format!(
            "pass {}",
            missing
                .iter()
                .map(|name| format!("{name}="))
                .collect::<Vec<_>>()
                .join(", ")
        );
        raise(py, "SchemaError", (fact, remedy))
    }

    fn names(&self, py: Python<'_>) -> Vec<String> {
        self.fields
            .iter()
            .map(|field| field.name.bind(py).to_string())
            .collect()
    }
}

impl Drop for SchemaInner {
    fn drop(&mut self) {
        for place in &self.shapes {
            let shape = place.load(Ordering::Acquire);
            if !shape.is_null() {
                // SAFETY: only the schema owns its shapes, and nobody uses the schema any more.
                drop(unsafe { Box::from_raw(shape) });
            }
        }
    }
}

fn have(count: usize) -> &'static str {
    if count == 1 { "has" } else { "have" }
}

/// Do both tuples hold the same string objects?
unsafe fn same_names(one: *mut ffi::PyObject, other: *mut ffi::PyObject) -> bool {
    // SAFETY: both are tuples, and only items that exist are read.
    unsafe {
        let size = ffi::PyTuple_GET_SIZE(one);
        size == ffi::PyTuple_GET_SIZE(other)
            && (0..size).all(|index| ffi::PyTuple_GET_ITEM(one, index) == ffi::PyTuple_GET_ITEM(other, index))
    }
}

/// The edits (insert, delete, replace) that lead from one name to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, from) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// FNV-1a, 64 bits.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What the Python side says of a field: name, kind, NumPy type, offset, bytes, extra, required, default or None.
type FieldFacts<'py> = (
    Bound<'py, PyString>,
    String,
    String,
    usize,
    usize,
    Bound<'py, PyAny>,
    bool,
    Option<Bound<'py, PyAny>>,
);

/// The layout of one event type, for `bind` and for rings.
#[pyclass(frozen, module = "ringbus._core")]
pub struct Schema {
    pub inner: Arc<SchemaInner>,
}

#[pymethods]
impl Schema {
    #[new]
    #[pyo3(signature = (name, dtype, fields, layout))]
    fn new(name: String, dtype: Bound<'_, PyAny>, fields: Vec<FieldFacts<'_>>, layout: &str) -> PyResult<Self> {
        let event_bytes: usize = dtype.getattr("itemsize")?.extract()?;
        let align = dtype.getattr("alignment")?.extract()?;
        let mut defaults = vec![0_u8; event_bytes].into_boxed_slice();
        let mut hash = fnv(0xcbf2_9ce4_8422_2325, &(event_bytes as u64).to_le_bytes());
        let mut built = Vec::with_capacity(fields.len());
        for (label, kind, stored, offset, size, extra, required, default) in fields {
            if offset.checked_add(size).is_none_or(|end| end > event_bytes) {
                return Err(PyValueError::new_err(format!(
                    "field {label} ends behind the event of {event_bytes} bytes"
                )));
            }
            let field = Field::new(&name, &label, &kind, (offset, size), &extra, required)?;
            if let Some(default) = default {
                // SAFETY: attached; the field ends inside `defaults`, as was just checked; `default` is alive.
                let written = unsafe { field.write(dtype.py(), defaults.as_mut_ptr(), default.as_ptr()) };
                written.map_err(|Raised| PyErr::fetch(dtype.py()))?;
            }
            let identity = format!("{label}\0{kind}\0{stored}\0{offset}\0{size}\0");
            hash = fnv(hash, identity.as_bytes());
            built.push(field);
        }
        let json = format!(
            "{},\"defaults\":\"{}\"}}",
            layout.strip_suffix('}').unwrap_or(layout),
            hex(&defaults)
        );
        Ok(Self {
            inner: Arc::new(assemble(
                (name, json),
                (event_bytes, align),
                defaults,
                built,
                hash,
                dtype.unbind(),
            )),
        })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// The bytes of an event.
    #[getter]
    fn event_bytes(&self) -> usize {
        self.inner.event_bytes
    }

    #[getter]
    fn alignment(&self) -> usize {
        self.inner.align
    }

    /// The layout as JSON, as it is stored in a segment.
    #[getter]
    fn json(&self) -> &str {
        &self.inner.json
    }

    /// 64 bits over the fields' names, types, offsets and sizes.
    #[getter]
    fn hash(&self) -> u64 {
        self.inner.hash
    }

    /// The bytes of an event in which every field has its default.
    #[getter]
    fn defaults<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.defaults)
    }

    fn __repr__(&self) -> String {
        format!(
            "<Schema {}: {} bytes, {} fields>",
            self.inner.name,
            self.inner.event_bytes,
            self.inner.fields.len()
        )
    }
}

fn assemble(
    (name, json): (String, String),
    (event_bytes, align): (usize, usize),
    defaults: Box<[u8]>,
    fields: Vec<Field>,
    hash: u64,
    dtype: Py<PyAny>,
) -> SchemaInner {
    let fields = fields.into_boxed_slice();
    SchemaInner {
        any_required: fields.iter().any(|field| field.required),
        dense: fields.iter().map(|field| field.size).sum::<usize>() == event_bytes,
        by_name: NameTable::new(&fields),
        fields,
        type_object: AtomicPtr::new(ptr::null_mut()),
        shapes: [const { AtomicPtr::new(ptr::null_mut()) }; SHAPES],
        latest: AtomicPtr::new(ptr::null_mut()),
        name,
        event_bytes,
        align,
        defaults,
        dtype,
        json,
        hash,
    }
}

/// Fields by the addresses of their interned names, each in a place of its own.
struct NameTable {
    entries: Box<[*const Field]>,
    factor: usize,
    /// Leaves as many bits of the product as the length has.
    shift: u32,
}

impl NameTable {
    /// The largest table, as a multiple of the number of fields. Beyond it, the last of two names that meet is in it.
    const SPARSEST: usize = 16;

    /// Finds a factor and a length for which no two names meet.
    fn new(fields: &[Field]) -> Self {
        let mut length = fields.len().next_power_of_two().max(2);
        loop {
            for attempt in 0..32_usize {
                let factor = 0x9e37_79b9_7f4a_7c15_usize.wrapping_mul(2 * attempt + 1);
                let (table, clashes) = Self::filled(fields, length, factor);
                if clashes == 0 || length >= Self::SPARSEST * fields.len().max(1) {
                    return table;
                }
            }
            length *= 2;
        }
    }

    fn filled(fields: &[Field], length: usize, factor: usize) -> (Self, usize) {
        let entries = vec![ptr::null(); length].into_boxed_slice();
        let mut table = Self {
            entries,
            factor,
            shift: usize::BITS - length.trailing_zeros(),
        };
        let mut clashes = 0;
        for field in fields {
            let place = table.place(field.name.as_ptr());
            clashes += usize::from(!table.entries[place].is_null());
            table.entries[place] = field;
        }
        (table, clashes)
    }

    #[inline(always)]
    fn place(&self, name: *mut ffi::PyObject) -> usize {
        (name as usize).wrapping_mul(self.factor) >> self.shift
    }

    #[inline(always)]
    fn at(&self, name: *mut ffi::PyObject) -> *const Field {
        // SAFETY: the shift leaves a number below the length.
        unsafe { *self.entries.get_unchecked(self.place(name)) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Schema>()
}
