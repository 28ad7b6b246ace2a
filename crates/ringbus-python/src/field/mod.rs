//! One field of an event: where it lies, how it is read and how it is written.
//!
//! Every access is unaligned-safe, and a failed write leaves a Python exception set and its field as it was.

mod arrays;
mod blob;
mod decimal;
mod enums;
mod kind;
mod numbers;
mod text;

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::cell::GilCell;
use crate::errors;
use crate::event::data_of;
use kind::{Extra, Kind, has_room, parse_extra};
use text::{Texts, WrittenTexts};

/// One field of an event.
pub struct Field {
    pub kind: Kind,
    pub required: bool,
    pub offset: usize,
    pub size: usize,
    pub extra: Extra,
    pub name: Py<PyString>,
    /// Event and field, for messages: `Trade.price`.
    pub label: String,
    /// The field's name for `PyGetSetDef`, which keeps no copy of it.
    pub c_name: CString,
    /// What its descriptor points to, made with the first class.
    pub definition: GilCell<Option<Box<ffi::PyGetSetDef>>>,
    /// Reads it: the getter of its descriptor.
    pub get: Getter,
    /// The texts read last.
    texts: GilCell<Option<Box<Texts>>>,
    /// The texts written last.
    written: GilCell<Option<Box<WrittenTexts>>>,
}

/// A Python exception is set.
pub struct Raised;

/// What a write comes to.
pub type Written = Result<(), Raised>;

impl Field {
    /// Builds a field from what the Python side says of it.
    pub fn new(
        event: &str,
        name: &Bound<'_, PyString>,
        kind: &str,
        place: (usize, usize),
        extra: &Bound<'_, PyAny>,
        required: bool,
    ) -> PyResult<Self> {
        let kind = Kind::parse(kind)?;
        let text = name.to_str()?;
        let extra = parse_extra(kind, extra)?;
        if !has_room(kind, &extra, place.1, name.py())? {
            return Err(PyValueError::new_err(format!(
                "{} bytes are no {kind:?} for {text}",
                place.1
            )));
        }
        Ok(Self {
            kind,
            required,
            offset: place.0,
            size: place.1,
            extra,
            name: PyString::intern(name.py(), text).unbind(),
            label: format!("{event}.{text}"),
            c_name: CString::new(text)?,
            definition: GilCell::new(None),
            get: getter(kind),
            texts: GilCell::new(None),
            written: GilCell::new(None),
        })
    }

    /// Writes `value` into the field of the event at `event`.
    ///
    /// # Safety
    /// Attached to the interpreter; `event` points at a whole event of this field's schema; `value` is a live object.
    #[inline(always)]
    pub unsafe fn write(&self, py: Python<'_>, event: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: the field lies inside the event (checked when the schema was made); the rest is the caller's promise.
        unsafe {
            let place = event.add(self.offset);
            if self.write_at_once(place, value) {
                Ok(())
            } else {
                self.write_any(py, place, value)
            }
        }
    }

    /// Writes what needs no conversion, and so runs no Python code; false for everything else.
    #[inline(always)]
    unsafe fn write_at_once(&self, place: *mut u8, value: *mut ffi::PyObject) -> bool {
        // SAFETY: `place` has room for the field, `value` is alive.
        unsafe {
            if self.kind == Kind::F64 && ffi::PyFloat_CheckExact(value) != 0 {
                place.cast::<f64>().write_unaligned(ffi::PyFloat_AS_DOUBLE(value));
                return true;
            }
            self.kind == Kind::Text
                && self
                    .written
                    .get_mut()
                    .as_ref()
                    .is_some_and(|written| written.write(place, self.size, value))
        }
    }

    /// Converts `value` first and looks for the event's data after that: a conversion may run Python code that ends the
    /// claim, and then the data are elsewhere.
    #[inline(never)]
    unsafe fn assign(&self, py: Python<'_>, event: *mut ffi::PyObject, value: *mut ffi::PyObject) -> Written {
        const WORDS: usize = 8;
        let (mut small, mut large) = ([0_u64; WORDS], Vec::new());
        let scratch = if self.size <= WORDS * 8 {
            small.as_mut_ptr()
        } else {
            large.resize(self.size.div_ceil(8), 0_u64);
            large.as_mut_ptr()
        };
        let scratch = scratch.cast::<u8>();
        // SAFETY: the scratch takes the field, and the event is alive with the field inside it.
        unsafe {
            self.write_any(py, scratch, value)?;
            ptr::copy_nonoverlapping(scratch, data_of(event).add(self.offset), self.size);
        }
        Ok(())
    }

    /// Writes what is not a float for a field of floats.
    #[inline(never)]
    unsafe fn write_any(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: `place` has room for the field, `value` is alive.
        unsafe {
            match self.kind {
                Kind::Text => return self.write_text(py, place, value),
                Kind::F64 => place.cast::<f64>().write_unaligned(self.float(py, value)?),
                Kind::I64 => place.cast::<i64>().write_unaligned(self.signed(py, value, Kind::I64)?),
                _ => return self.write_other(py, place, value),
            }
        }
        Ok(())
    }

    /// The kinds that are rarer on the hot path.
    unsafe fn write_other(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: `place` has room for the field, `value` is alive.
        unsafe {
            match self.kind {
                Kind::F32 => self.write_f32(py, place, value),
                Kind::Bool => self.write_bool(py, place, value),
                Kind::Blob => self.write_blob(py, place, value),
                Kind::Decimal => self.write_decimal(py, place, value),
                Kind::Enum => self.write_enum(py, place, value),
                Kind::Array | Kind::Scalar => self.write_numpy(py, place, value),
                kind => self.write_int(py, place, value, kind),
            }
        }
    }

    /// Sets a `FieldError`: this field `limit`, and got `value`; `remedy`.
    #[cold]
    unsafe fn refuse(&self, py: Python<'_>, value: *mut ffi::PyObject, limit: &str, remedy: &str) -> Raised {
        // SAFETY: `value` is alive.
        let value = unsafe { Bound::from_borrowed_ptr(py, value) };
        raise(py, "FieldError", (&self.label, value, limit, remedy))
    }
}

/// Copies `length` bytes to `place` and fills the rest of its `size` bytes with zeros.
#[inline]
unsafe fn copy_padded(place: *mut u8, size: usize, bytes: *const u8, length: usize) {
    // SAFETY: the caller has checked that `length <= size`, and that both places have that many bytes.
    unsafe {
        ptr::copy(bytes, place, length);
        ptr::write_bytes(place.add(length), 0, size - length);
    }
}

/// Sets an error of `ringbus.errors`, built from its facts.
#[cold]
pub fn raise<'py>(py: Python<'py>, class: &str, facts: impl pyo3::call::PyCallArgs<'py>) -> Raised {
    raised(py, errors::error(py, class, facts))
}

/// Sets an exception that is at hand.
#[cold]
pub fn raised(py: Python<'_>, error: PyErr) -> Raised {
    error.restore(py);
    Raised
}

/// Makes `cause` the cause of the exception that is set.
#[cold]
fn chain(py: Python<'_>, cause: Option<PyErr>) -> Raised {
    if let Some(error) = PyErr::take(py) {
        error.set_cause(py, cause);
        error.restore(py);
    }
    Raised
}

/// A getter of a descriptor: the event, and the field as its closure.
///
/// # Safety
/// Attached; Python has checked the type of the event; the closure is the field, which is alive as long as the type.
pub type Getter = unsafe extern "C" fn(*mut ffi::PyObject, *mut c_void) -> *mut ffi::PyObject;

/// A new reference, or null with the exception set.
fn handed(py: Python<'_>, made: PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    made.map_or_else(
        |error| {
            error.restore(py);
            ptr::null_mut()
        },
        Bound::into_ptr,
    )
}

/// The getter of a kind.
pub fn getter(kind: Kind) -> Getter {
    match kind {
        Kind::F64 => numbers::get_f64,
        Kind::F32 => numbers::get_f32,
        Kind::I8 => numbers::get_i8,
        Kind::I16 => numbers::get_i16,
        Kind::I32 => numbers::get_i32,
        Kind::I64 => numbers::get_i64,
        Kind::U8 => numbers::get_u8,
        Kind::U16 => numbers::get_u16,
        Kind::U32 => numbers::get_u32,
        Kind::U64 => numbers::get_u64,
        Kind::Bool => numbers::get_bool,
        Kind::Text => text::get_text,
        Kind::Blob => blob::get_blob,
        Kind::Decimal => decimal::get_decimal,
        Kind::Enum => enums::get_enum,
        Kind::Array => arrays::get_array,
        Kind::Scalar => arrays::get_scalar,
    }
}

/// The setter of every kind; a deletion comes as null.
pub unsafe extern "C" fn set_field(
    event: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    closure: *mut c_void,
) -> c_int {
    // SAFETY: Python has checked the type of `event`; the closure is the field, alive as long as the type.
    unsafe {
        let py = Python::assume_attached();
        let field = &*closure.cast::<Field>();
        if value.is_null() {
            let fact = format!("{} cannot be deleted", field.label);
            raise(py, "SchemaError", (fact, "assign its default instead"));
            return -1;
        }
        if field.write_at_once(data_of(event).add(field.offset), value) || field.assign(py, event, value).is_ok() {
            0
        } else {
            -1
        }
    }
}
