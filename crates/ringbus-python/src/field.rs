//! One field of an event: where it lies, how it is read and how it is written.
//!
//! Every access is unaligned-safe, and a failed write leaves a Python exception set and its field as it was.

use std::ffi::{CString, c_int, c_void};
use std::ptr;

use numpy::PY_ARRAY_API;
use numpy::npyffi::{NpyTypes, PyArray_Check, PyArray_Descr, PyArrayObject};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

use crate::cell::GilCell;
use crate::errors;
use crate::event::data_of;

/// The bytes of the length that stands before the data of a blob.
const BLOB_PREFIX: usize = 4;

/// How the bytes of a field are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F64,
    F32,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    Text,
    Blob,
    Decimal,
    Enum,
    Array,
    Scalar,
}

impl Kind {
    /// The kind that the Python side calls `name`.
    fn parse(name: &str) -> PyResult<Self> {
        Ok(match name {
            "f8" => Self::F64,
            "f4" => Self::F32,
            "i1" => Self::I8,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            "u1" => Self::U8,
            "u2" => Self::U16,
            "u4" => Self::U32,
            "u8" => Self::U64,
            "bool" => Self::Bool,
            "text" => Self::Text,
            "blob" => Self::Blob,
            "decimal" => Self::Decimal,
            "enum" => Self::Enum,
            "array" => Self::Array,
            "scalar" => Self::Scalar,
            _ => return Err(PyValueError::new_err(format!("no field kind is called {name:?}"))),
        })
    }

    /// The lowest and the highest integer that fits, for the integer kinds.
    fn limits(self) -> (i128, i128) {
        match self {
            Self::I8 => (i8::MIN.into(), i8::MAX.into()),
            Self::I16 => (i16::MIN.into(), i16::MAX.into()),
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            _ => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    fn is_integer(self) -> bool {
        use Kind::{I8, I16, I32, I64, U8, U16, U32, U64};
        matches!(self, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
    }

    /// The bytes of a kind that always has as many; 0 for the others.
    fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 | Self::Decimal => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Text | Self::Blob | Self::Enum | Self::Array | Self::Scalar => 0,
        }
    }

    fn holds(self, number: i64) -> bool {
        let (low, high) = self.limits();
        (low..=high).contains(&number.into())
    }

    /// The name a user knows an integer kind by.
    fn word(self) -> &'static str {
        match self {
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            _ => "int64",
        }
    }
}

/// What a kind needs beside offset and size.
pub enum Extra {
    None,
    /// The members of an enumeration by number, and how the number is stored.
    Enum {
        class: Py<PyType>,
        members: Py<PyDict>,
        storage: Kind,
    },
    /// The decimal places.
    Places(u32),
    /// A NumPy type (for an array with its shape), its parts, and a function that makes an array of just that type.
    Numpy {
        dtype: Py<PyAny>,
        base: Py<PyAny>,
        shape: Vec<isize>,
        pack: Py<PyAny>,
    },
}

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

    unsafe fn write_int(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject, kind: Kind) -> Written {
        // SAFETY: `place` has room for the field, `value` is alive.
        unsafe {
            if kind == Kind::U64 {
                let number = self.unsigned(py, value)?;
                place.cast::<u64>().write_unaligned(number);
                return Ok(());
            }
            let number = self.signed(py, value, kind)?;
            match kind {
                Kind::I8 | Kind::U8 => place.write(number as u8),
                Kind::I16 | Kind::U16 => place.cast::<u16>().write_unaligned(number as u16),
                Kind::I32 | Kind::U32 => place.cast::<u32>().write_unaligned(number as u32),
                _ => place.cast::<i64>().write_unaligned(number),
            }
        }
        Ok(())
    }

    /// `value` as an integer that fits `kind`, which is any but u64.
    #[inline]
    unsafe fn signed(&self, py: Python<'_>, value: *mut ffi::PyObject, kind: Kind) -> Result<i64, Raised> {
        // SAFETY: `value` is alive.
        unsafe {
            if ffi::PyLong_Check(value) == 0 {
                let index = self.index(py, value, kind)?;
                return self.signed(py, index.as_ptr(), kind);
            }
            let mut overflow: c_int = 0;
            let number = ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow);
            if overflow == 0 && (kind == Kind::I64 || kind.holds(number)) {
                return Ok(number);
            }
            Err(self.out_of_range(py, value, kind))
        }
    }

    unsafe fn unsigned(&self, py: Python<'_>, value: *mut ffi::PyObject) -> Result<u64, Raised> {
        // SAFETY: `value` is alive.
        unsafe {
            if ffi::PyLong_Check(value) == 0 {
                let index = self.index(py, value, Kind::U64)?;
                return self.unsigned(py, index.as_ptr());
            }
            let number = ffi::PyLong_AsUnsignedLongLong(value);
            if number == u64::MAX && !ffi::PyErr_Occurred().is_null() {
                ffi::PyErr_Clear();
                return Err(self.out_of_range(py, value, Kind::U64));
            }
            Ok(number)
        }
    }

    /// What `__index__` of something that is no int says.
    #[cold]
    unsafe fn index<'py>(
        &self,
        py: Python<'py>,
        value: *mut ffi::PyObject,
        kind: Kind,
    ) -> Result<Bound<'py, PyAny>, Raised> {
        // SAFETY: `value` is alive; PyNumber_Index returns a new reference or null with an exception set.
        unsafe {
            if ffi::PyIndex_Check(value) == 0 {
                let remedy = if ffi::PyFloat_Check(value) != 0 {
                    "round it and pass an int"
                } else {
                    "pass an int"
                };
                return Err(self.refuse(py, value, &format!("takes an int ({})", kind.word()), remedy));
            }
            Bound::from_owned_ptr_or_err(py, ffi::PyNumber_Index(value)).map_err(|error| raised(py, error))
        }
    }

    #[cold]
    unsafe fn out_of_range(&self, py: Python<'_>, value: *mut ffi::PyObject, kind: Kind) -> Raised {
        let (low, high) = kind.limits();
        let limit = format!("takes an int from {low} to {high} ({})", kind.word());
        // SAFETY: `value` is alive.
        unsafe { self.refuse(py, value, &limit, "pass a number in the range or declare a wider field") }
    }

    /// `value` as a double, for what is not a float itself.
    #[cold]
    unsafe fn float(&self, py: Python<'_>, value: *mut ffi::PyObject) -> Result<f64, Raised> {
        // SAFETY: `value` is alive, and its type's number methods may be absent but are then null.
        unsafe {
            let methods = (*ffi::Py_TYPE(value)).tp_as_number;
            if methods.is_null() || ((*methods).nb_float.is_none() && (*methods).nb_index.is_none()) {
                return Err(self.refuse(py, value, "takes a float", "pass a number"));
            }
            let number = ffi::PyFloat_AsDouble(value);
            if number.to_bits() != (-1.0_f64).to_bits() || ffi::PyErr_Occurred().is_null() {
                return Ok(number);
            }
            if ffi::PyLong_Check(value) != 0 && ffi::PyErr_ExceptionMatches(ffi::PyExc_OverflowError) != 0 {
                ffi::PyErr_Clear();
                return Err(self.refuse(py, value, "takes a float of at most 1.8e308", "pass a smaller number"));
            }
            Err(Raised)
        }
    }

    unsafe fn write_f32(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: `place` has room for the field, `value` is alive.
        unsafe {
            let number = if ffi::PyFloat_Check(value) != 0 {
                ffi::PyFloat_AS_DOUBLE(value)
            } else {
                self.float(py, value)?
            };
            let short = number as f32;
            if short.is_infinite() && number.is_finite() {
                let remedy = "pass a smaller number or declare the field float";
                return Err(self.refuse(py, value, "takes a float of at most 3.4e38 (float32)", remedy));
            }
            place.cast::<f32>().write_unaligned(short);
        }
        Ok(())
    }

    unsafe fn write_bool(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: `place` has room for the field, `value` is alive.
        unsafe {
            let is_bool = ffi::PyBool_Check(value) != 0
                || ffi::Py_TYPE(value) == numpy_bool(py).map_err(|error| raised(py, error))?;
            if !is_bool {
                return Err(self.refuse(py, value, "takes True or False", "pass bool(value)"));
            }
            let truth = ffi::PyObject_IsTrue(value);
            if truth < 0 {
                return Err(Raised);
            }
            place.write(u8::from(truth == 1));
        }
        Ok(())
    }

    /// UTF-8, padded with zeros as NumPy's `S` does.
    #[inline]
    unsafe fn write_text(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: `place` has room for `size` bytes, and the string's buffer lives as long as the string.
        unsafe {
            if ffi::PyUnicode_Check(value) == 0 {
                return Err(self.refuse(py, value, "takes a str", "pass str(value)"));
            }
            let mut length: ffi::Py_ssize_t = 0;
            let bytes = ffi::PyUnicode_AsUTF8AndSize(value, &raw mut length).cast::<u8>();
            if bytes.is_null() {
                return Err(self.not_utf8(py, value));
            }
            let length = length as usize;
            if length > self.size {
                return Err(self.too_long(py, value, length));
            }
            if length > 0 && *bytes.add(length - 1) == 0 {
                let limit = "takes text that does not end in \"\\0\", which pads a shorter text";
                return Err(self.refuse(py, value, limit, "strip it, or declare a blob"));
            }
            copy_text(place, self.size, bytes, length);
            if (8..=Texts::LONGEST).contains(&self.size) && ffi::PyUnicode_CheckExact(value) != 0 {
                let kept = Bound::from_borrowed_ptr(py, value).unbind();
                let words = Texts::words(place, self.size);
                if let Some(text) = self
                    .written
                    .get_mut()
                    .get_or_insert_with(WrittenTexts::new)
                    .keep(words, kept)
                {
                    text.drop_ref(py);
                }
            }
        }
        Ok(())
    }

    #[cold]
    unsafe fn not_utf8(&self, py: Python<'_>, value: *mut ffi::PyObject) -> Raised {
        let cause = PyErr::take(py);
        // SAFETY: `value` is alive.
        unsafe {
            self.refuse(
                py,
                value,
                "takes text that UTF-8 can hold",
                "replace the lone surrogates",
            );
        }
        chain(py, cause)
    }

    #[cold]
    unsafe fn too_long(&self, py: Python<'_>, value: *mut ffi::PyObject, length: usize) -> Raised {
        let (what, unit) = if self.kind == Kind::Blob {
            ("blob", "bytes")
        } else {
            ("text", "bytes of UTF-8")
        };
        let limit = format!("takes at most {} {unit} (this has {length})", self.capacity());
        // SAFETY: `value` is alive.
        unsafe { self.refuse(py, value, &limit, &format!("shorten it or declare {what}({length})")) }
    }

    /// The length, then the bytes, then zeros: so that a trailing zero of the data is kept.
    unsafe fn write_blob(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        // SAFETY: the buffer is released on every way out; `place` has room for the field.
        unsafe {
            if ffi::PyObject_CheckBuffer(value) == 0 {
                return Err(self.refuse(
                    py,
                    value,
                    "takes bytes, bytearray, memoryview or another buffer",
                    "encode it",
                ));
            }
            let mut view: ffi::Py_buffer = std::mem::zeroed();
            if ffi::PyObject_GetBuffer(value, &raw mut view, ffi::PyBUF_SIMPLE) < 0 {
                let cause = PyErr::take(py);
                self.refuse(py, value, "takes a contiguous buffer", "pass bytes(value)");
                return Err(chain(py, cause));
            }
            let length = view.len as usize;
            if length <= self.capacity() {
                place.cast::<u32>().write_unaligned((length as u32).to_le());
                copy_padded(
                    place.add(BLOB_PREFIX),
                    self.size - BLOB_PREFIX,
                    view.buf.cast::<u8>(),
                    length,
                );
            }
            ffi::PyBuffer_Release(&raw mut view);
            if length > self.capacity() {
                return Err(self.too_long(py, value, length));
            }
        }
        Ok(())
    }

    /// The bytes that a blob or a text can hold.
    fn capacity(&self) -> usize {
        if self.kind == Kind::Blob {
            self.size - BLOB_PREFIX
        } else {
            self.size
        }
    }

    unsafe fn write_decimal(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        let Extra::Places(places) = self.extra else {
            return Err(Raised);
        };
        // SAFETY: `place` has room for eight bytes, `value` is alive.
        unsafe {
            let bound = Bound::from_borrowed_ptr(py, value);
            let known = ffi::PyLong_Check(value) != 0 || is_decimal(&bound).map_err(|error| raised(py, error))?;
            if !known {
                let remedy = "pass a Decimal or an int; Decimal(str(value)) makes one of a float";
                return Err(self.refuse(py, value, "takes a Decimal", remedy));
            }
            let text = bound.str().map_err(|error| raised(py, error))?;
            let text = text.to_str().map_err(|error| raised(py, error))?;
            let number = parse_decimal(text, places).map_err(|wrong| self.refuse_decimal(py, value, wrong, places))?;
            place.cast::<i64>().write_unaligned(number);
        }
        Ok(())
    }

    #[cold]
    unsafe fn refuse_decimal(
        &self,
        py: Python<'_>,
        value: *mut ffi::PyObject,
        wrong: NotDecimal,
        places: u32,
    ) -> Raised {
        let (limit, remedy) = match wrong {
            NotDecimal::NotFinite => (
                "takes a finite Decimal".to_owned(),
                "declare the field float to hold it",
            ),
            NotDecimal::Places => (
                format!("takes at most {places} decimal places"),
                "round it with quantize() or declare more places",
            ),
            NotDecimal::Range => (
                format!("takes at most {} either way", scaled(i64::MAX, places)),
                "pass a smaller number or declare fewer places",
            ),
        };
        // SAFETY: `value` is alive.
        unsafe { self.refuse(py, value, &limit, remedy) }
    }

    unsafe fn write_enum(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        let Extra::Enum { class, storage, .. } = &self.extra else {
            return Err(Raised);
        };
        // SAFETY: `place` has room for the stored kind, `value` is alive.
        unsafe {
            if ffi::Py_TYPE(value).cast() != class.as_ptr() {
                let name = class
                    .bind(py)
                    .name()
                    .map_or_else(|_| "member".to_owned(), |name| name.to_string());
                let limit = format!("takes a member of {name}");
                return Err(self.refuse(py, value, &limit, &format!("pass {name}(number) or {name}[name]")));
            }
            let number = Bound::from_borrowed_ptr(py, value).getattr(pyo3::intern!(py, "_value_"));
            let number = number.map_err(|error| raised(py, error))?;
            self.write_int(py, place, number.as_ptr(), *storage)
        }
    }

    /// Arrays of just the right type are copied; everything else is converted in Python first.
    unsafe fn write_numpy(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        let Extra::Numpy { base, shape, pack, .. } = &self.extra else {
            return Err(Raised);
        };
        // SAFETY: an array that `fits` has `size` contiguous bytes; they may overlap `place`, which `copy` allows.
        unsafe {
            if fits(py, value, base, shape) {
                ptr::copy(
                    (*value.cast::<PyArrayObject>()).fields.data.cast::<u8>(),
                    place,
                    self.size,
                );
                return Ok(());
            }
            let packed = pack.bind(py).call1((Bound::from_borrowed_ptr(py, value),));
            let packed = packed.map_err(|error| raised(py, error))?;
            if !fits(py, packed.as_ptr(), base, shape) {
                return Err(self.refuse(py, value, "takes an array of its own type", "report this as a bug"));
            }
            ptr::copy(
                (*packed.as_ptr().cast::<PyArrayObject>()).fields.data.cast::<u8>(),
                place,
                self.size,
            );
        }
        Ok(())
    }

    /// Sets a `FieldError`: this field `limit`, and got `value`; `remedy`.
    #[cold]
    unsafe fn refuse(&self, py: Python<'_>, value: *mut ffi::PyObject, limit: &str, remedy: &str) -> Raised {
        // SAFETY: `value` is alive.
        let value = unsafe { Bound::from_borrowed_ptr(py, value) };
        raise(py, "FieldError", (&self.label, value, limit, remedy))
    }
}

fn parse_extra(kind: Kind, extra: &Bound<'_, PyAny>) -> PyResult<Extra> {
    Ok(match kind {
        Kind::Decimal => Extra::Places(extra.extract()?),
        Kind::Enum => {
            let (class, members, storage): (Py<PyType>, Py<PyDict>, String) = extra.extract()?;
            Extra::Enum {
                class,
                members,
                storage: Kind::parse(&storage)?,
            }
        }
        Kind::Array | Kind::Scalar => {
            let (dtype, base, shape, pack) = extra.extract()?;
            Extra::Numpy {
                dtype,
                base,
                shape,
                pack,
            }
        }
        _ => Extra::None,
    })
}

/// Has a field of `size` bytes the size of its kind?
fn has_room(kind: Kind, extra: &Extra, size: usize, py: Python<'_>) -> PyResult<bool> {
    Ok(match (kind, extra) {
        (Kind::Text, _) => size > 0,
        (Kind::Blob, _) => size > BLOB_PREFIX,
        (Kind::Enum, Extra::Enum { storage, .. }) => storage.is_integer() && storage.width() == size,
        (_, Extra::Numpy { dtype, .. }) => dtype.bind(py).getattr("itemsize")?.extract::<usize>()? == size,
        _ => kind.width() == size,
    })
}

/// `copy_padded` for bytes that lie elsewhere, without calls for the few bytes that a text mostly has.
#[inline(always)]
unsafe fn copy_text(place: *mut u8, size: usize, bytes: *const u8, length: usize) {
    // SAFETY: `length <= size`; no word that is read ends behind `length`, none that is written behind `size`.
    unsafe {
        if !(8..=32).contains(&size) {
            return copy_padded(place, size, bytes, length);
        }
        let word = |at: usize| place.add(at).cast::<u64>();
        word(0).write_unaligned(0);
        if size > 16 {
            word(8).write_unaligned(0);
            word(size - 16).write_unaligned(0);
        }
        word(size - 8).write_unaligned(0);
        copy_short(place, bytes, length);
    }
}

/// Copies up to 32 bytes by words, of which the last one overlaps the one before.
#[inline(always)]
unsafe fn copy_short(place: *mut u8, bytes: *const u8, length: usize) {
    // SAFETY: no word ends behind `length`.
    unsafe {
        let word = |at: usize| {
            place
                .add(at)
                .cast::<u64>()
                .write_unaligned(bytes.add(at).cast::<u64>().read_unaligned());
        };
        let half = |at: usize| {
            place
                .add(at)
                .cast::<u32>()
                .write_unaligned(bytes.add(at).cast::<u32>().read_unaligned());
        };
        if length >= 8 {
            word(0);
            if length > 16 {
                word(8);
                word(length - 16);
            }
            word(length - 8);
        } else if length >= 4 {
            half(0);
            half(length - 4);
        } else if length > 0 {
            *place = *bytes;
            *place.add(length / 2) = *bytes.add(length / 2);
            *place.add(length - 1) = *bytes.add(length - 1);
        }
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

/// Is `value` a C-contiguous array of this type and shape?
unsafe fn fits(py: Python<'_>, value: *mut ffi::PyObject, base: &Py<PyAny>, shape: &[isize]) -> bool {
    // SAFETY: `value` is alive; the dimensions are read only when there are that many.
    unsafe {
        if PyArray_Check(py, value) == 0 {
            return false;
        }
        let array = value.cast::<PyArrayObject>();
        let descr = (*array).fields.descr;
        let same_type = descr.cast::<ffi::PyObject>() == base.as_ptr()
            || PY_ARRAY_API.PyArray_EquivTypes(py, descr, base.as_ptr().cast::<PyArray_Descr>()) != 0;
        let dimensions = (*array).fields.nd as usize;
        same_type
            && (*array).fields.flags & numpy::npyffi::NPY_ARRAY_C_CONTIGUOUS != 0
            && dimensions == shape.len()
            && (0..dimensions).all(|axis| *(*array).fields.dimensions.add(axis) == shape[axis])
    }
}

/// Why a decimal cannot be stored.
enum NotDecimal {
    NotFinite,
    Places,
    Range,
}

/// The integer that `text` (as `str(Decimal)` or `str(int)` writes it) is at `places` decimal places.
fn parse_decimal(text: &str, places: u32) -> Result<i64, NotDecimal> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once('E').unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotDecimal::NotFinite);
    }
    let significant = digits.trim_end_matches('0');
    let zeros = (digits.len() - significant.len()) as i64;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let exponent: i64 = exponent.parse().map_err(|_| NotDecimal::Range)?;
    let shift = exponent - fraction.len() as i64 + zeros + i64::from(places);
    if shift < 0 {
        return Err(NotDecimal::Places);
    }
    if shift > 18 || significant.len() > 19 {
        return Err(NotDecimal::Range);
    }
    let magnitude: i128 = significant.parse().map_err(|_| NotDecimal::Range)?;
    let magnitude = magnitude * 10_i128.pow(shift as u32);
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| NotDecimal::Range)
}

/// `number` with its last `places` digits behind the point.
fn scaled(number: i64, places: u32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let places = places as usize;
    let digits = format!("{:0width$}", number.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

fn decimal_type(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    DECIMAL.import(py, "decimal", "Decimal")
}

fn is_decimal(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.is_instance(decimal_type(value.py())?)
}

fn numpy_bool(py: Python<'_>) -> PyResult<*mut ffi::PyTypeObject> {
    static BOOL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(BOOL.import(py, "numpy", "bool_")?.as_type_ptr())
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
pub type Getter = unsafe extern "C" fn(*mut ffi::PyObject, *mut c_void) -> *mut ffi::PyObject;

/// A getter that reads one machine type and hands it to one function of Python's.
macro_rules! number_getter {
    ($name:ident, $stored:ty, $make:path, $wide:ty) => {
        unsafe extern "C" fn $name(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
            // SAFETY: Python has checked the type of `event`; the closure is the field, alive as long as the type.
            unsafe {
                let place = data_of(event).add((*closure.cast::<Field>()).offset);
                $make(<$wide>::from(place.cast::<$stored>().read_unaligned()))
            }
        }
    };
}

number_getter!(get_f64, f64, ffi::PyFloat_FromDouble, f64);
number_getter!(get_f32, f32, ffi::PyFloat_FromDouble, f64);
number_getter!(get_i8, i8, ffi::PyLong_FromLong, std::ffi::c_long);
number_getter!(get_i16, i16, ffi::PyLong_FromLong, std::ffi::c_long);
number_getter!(get_i32, i32, ffi::PyLong_FromLong, std::ffi::c_long);
number_getter!(get_i64, i64, ffi::PyLong_FromLongLong, i64);
number_getter!(get_u8, u8, ffi::PyLong_FromLong, std::ffi::c_long);
number_getter!(get_u16, u16, ffi::PyLong_FromLong, std::ffi::c_long);
number_getter!(get_u32, u32, ffi::PyLong_FromLongLong, i64);
number_getter!(get_u64, u64, ffi::PyLong_FromUnsignedLongLong, u64);

unsafe extern "C" fn get_bool(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`.
    unsafe {
        let truth = data_of(event).add((*closure.cast::<Field>()).offset).read() != 0;
        ffi::PyBool_FromLong(truth.into())
    }
}

unsafe extern "C" fn get_text(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`.
    unsafe {
        let field = &*closure.cast::<Field>();
        let place = data_of(event).add(field.offset);
        if field.size > Texts::LONGEST {
            // Decoders look at their input more than once, and another process may write the slot meanwhile.
            let copy = std::slice::from_raw_parts(place, field.size).to_vec();
            return field.decode(copy.as_ptr());
        }
        let words = Texts::words(place, field.size);
        if let Some(text) = field.texts.get_mut().as_ref().and_then(|texts| texts.find(&words)) {
            return ffi::Py_NewRef(text.as_ptr());
        }
        // Copied once: what is kept under these words is what was read, even if somebody writes the slot meanwhile.
        let mut copy = [0_u8; Texts::LONGEST];
        ptr::copy_nonoverlapping(place, copy.as_mut_ptr(), field.size);
        let words = Texts::words(copy.as_ptr(), field.size);
        let text = field.decode(copy.as_ptr());
        if !text.is_null() {
            let py = Python::assume_attached();
            let kept = Bound::from_borrowed_ptr(py, text).unbind();
            let replaced = field.texts.get_mut().get_or_insert_with(Texts::new).keep(words, kept);
            // Where PyO3 has not attached itself, a plain drop would only put it on a list.
            if let Some(text) = replaced {
                text.drop_ref(py);
            }
        }
        text
    }
}

/// The texts that one field was read as last, by their bytes: events mostly say the same few symbols.
struct Texts([(Words, Option<Py<PyAny>>); Texts::ENTRIES]);

/// The bytes of a short text.
type Words = [u64; Texts::WORDS];

impl Texts {
    const WORDS: usize = 4;
    const LONGEST: usize = Self::WORDS * 8;
    const ENTRIES: usize = 64;

    fn new() -> Box<Self> {
        Box::new(Self([const { ([0; Self::WORDS], None) }; Self::ENTRIES]))
    }

    #[inline(always)]
    fn find(&self, words: &Words) -> Option<&Py<PyAny>> {
        let (known, text) = &self.0[Self::index(words)];
        text.as_ref().filter(|_| known == words)
    }

    /// Keeps a text, and gives back the one that it replaces.
    fn keep(&mut self, words: Words, text: Py<PyAny>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.0[Self::index(&words)], (words, Some(text))).1
    }

    /// The bytes of a short field as words: alike where the fields are.
    #[inline(always)]
    unsafe fn words(place: *const u8, size: usize) -> Words {
        // SAFETY: no word that is read ends behind `size`.
        unsafe {
            let word = |at: usize| place.add(at).cast::<u64>().read_unaligned();
            match size {
                8..=16 => [word(0), word(size - 8), 0, 0],
                17..=32 => [word(0), word(8), word(size - 16), word(size - 8)],
                _ => {
                    let mut words = [0; Self::WORDS];
                    ptr::copy_nonoverlapping(place, words.as_mut_ptr().cast::<u8>(), size);
                    words
                }
            }
        }
    }

    #[inline(always)]
    fn index(words: &Words) -> usize {
        let mixed = words
            .iter()
            .fold(0_u64, |mixed, word| (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (mixed >> 58) as usize
    }
}

/// The texts that were written to one field last, by the identity of the string: a call site mostly passes the same few
/// objects. Each is held, so that its address stays its own.
struct WrittenTexts([(Words, Option<Py<PyAny>>); WrittenTexts::ENTRIES]);

impl WrittenTexts {
    const ENTRIES: usize = 8;

    fn new() -> Box<Self> {
        Box::new(Self([const { ([0; Texts::WORDS], None) }; Self::ENTRIES]))
    }

    #[inline(always)]
    fn index(text: *mut ffi::PyObject) -> usize {
        (text as usize >> 4) % Self::ENTRIES
    }

    /// Writes the bytes that `text` was found to have, if it is one of these.
    ///
    /// # Safety
    /// `place` has room for `size` bytes, which is the field's.
    #[inline(always)]
    unsafe fn write(&self, place: *mut u8, size: usize, text: *mut ffi::PyObject) -> bool {
        let (words, known) = &self.0[Self::index(text)];
        if known.as_ref().is_none_or(|known| known.as_ptr() != text) {
            return false;
        }
        // SAFETY: no word that is written ends behind `size`, which is 8 to 32.
        unsafe {
            let word = |at: usize| place.add(at).cast::<u64>();
            word(0).write_unaligned(words[0]);
            if size > 16 {
                word(8).write_unaligned(words[1]);
                word(size - 16).write_unaligned(words[2]);
                word(size - 8).write_unaligned(words[3]);
            } else {
                word(size - 8).write_unaligned(words[1]);
            }
        }
        true
    }

    /// Keeps a text, and gives back the one that it replaces.
    fn keep(&mut self, words: Words, text: Py<PyAny>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.0[Self::index(text.as_ptr())], (words, Some(text))).1
    }
}

/// The length of a text without the zeros that pad it, eight bytes at a time.
#[inline]
unsafe fn text_length(place: *const u8, size: usize) -> usize {
    let mut length = size;
    // SAFETY: reads stay inside the `size` bytes of the field.
    unsafe {
        while length >= 8 {
            let word = u64::from_le(place.add(length - 8).cast::<u64>().read_unaligned());
            if word != 0 {
                return length - (word.leading_zeros() / 8) as usize;
            }
            length -= 8;
        }
        while length > 0 && *place.add(length - 1) == 0 {
            length -= 1;
        }
    }
    length
}

unsafe extern "C" fn get_blob(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`; a length that another process wrote is cut to the field.
    unsafe {
        let field = &*closure.cast::<Field>();
        let place = data_of(event).add(field.offset);
        let length = u32::from_le(place.cast::<u32>().read_unaligned()) as usize;
        let length = length.min(field.capacity()) as ffi::Py_ssize_t;
        ffi::PyBytes_FromStringAndSize(place.add(BLOB_PREFIX).cast(), length)
    }
}

unsafe extern "C" fn get_decimal(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`; getters are called attached to the interpreter.
    let (py, field, number) = unsafe {
        let field = &*closure.cast::<Field>();
        let place = data_of(event).add(field.offset);
        (Python::assume_attached(), field, place.cast::<i64>().read_unaligned())
    };
    let Extra::Places(places) = field.extra else {
        return ptr::null_mut();
    };
    let made = decimal_type(py).and_then(|class| class.call1((scaled(number, places),)));
    handed(py, made)
}

unsafe extern "C" fn get_enum(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`; PyDict_GetItemWithError returns a borrowed reference.
    unsafe {
        let field = &*closure.cast::<Field>();
        let Extra::Enum { members, storage, .. } = &field.extra else {
            return ptr::null_mut();
        };
        let number = getter(*storage)(event, closure);
        if number.is_null() {
            return number;
        }
        let member = ffi::PyDict_GetItemWithError(members.as_ptr(), number);
        if member.is_null() {
            return field.composed(Python::assume_attached(), number);
        }
        ffi::Py_INCREF(member);
        ffi::Py_DECREF(number);
        member
    }
}

unsafe extern "C" fn get_array(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`; NewFromDescr takes over one reference to the type, and the array it makes of a
    // sub-array type has its shape, and so `size` bytes.
    unsafe {
        let field = &*closure.cast::<Field>();
        let Extra::Numpy { dtype, .. } = &field.extra else {
            return ptr::null_mut();
        };
        let py = Python::assume_attached();
        let class = numpy::npyffi::get_type_object(py, NpyTypes::PyArray_Type);
        ffi::Py_INCREF(dtype.as_ptr());
        let null = ptr::null_mut();
        let dtype = dtype.as_ptr().cast::<PyArray_Descr>();
        let array =
            PY_ARRAY_API.PyArray_NewFromDescr(py, class, dtype, 0, null, null, ptr::null_mut(), 0, ptr::null_mut());
        if !array.is_null() {
            let place = data_of(event).add(field.offset);
            ptr::copy_nonoverlapping(
                place,
                (*array.cast::<PyArrayObject>()).fields.data.cast::<u8>(),
                field.size,
            );
        }
        array
    }
}

unsafe extern "C" fn get_scalar(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as in `number_getter`; PyArray_Scalar copies the bytes, aligned or not.
    unsafe {
        let field = &*closure.cast::<Field>();
        let Extra::Numpy { dtype, .. } = &field.extra else {
            return ptr::null_mut();
        };
        let place = data_of(event).add(field.offset).cast::<c_void>();
        let dtype = dtype.as_ptr().cast::<PyArray_Descr>();
        PY_ARRAY_API.PyArray_Scalar(Python::assume_attached(), place, dtype, ptr::null_mut())
    }
}

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
        Kind::F64 => get_f64,
        Kind::F32 => get_f32,
        Kind::I8 => get_i8,
        Kind::I16 => get_i16,
        Kind::I32 => get_i32,
        Kind::I64 => get_i64,
        Kind::U8 => get_u8,
        Kind::U16 => get_u16,
        Kind::U32 => get_u32,
        Kind::U64 => get_u64,
        Kind::Bool => get_bool,
        Kind::Text => get_text,
        Kind::Blob => get_blob,
        Kind::Decimal => get_decimal,
        Kind::Enum => get_enum,
        Kind::Array => get_array,
        Kind::Scalar => get_scalar,
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

impl Field {
    /// The text at `place`: a new reference, or null with an exception set.
    #[inline(never)]
    unsafe fn decode(&self, place: *const u8) -> *mut ffi::PyObject {
        // SAFETY: `place` has the bytes of the field, and the length stays inside it.
        unsafe {
            let length = text_length(place, self.size);
            let text = ffi::PyUnicode_DecodeUTF8(place.cast(), length as ffi::Py_ssize_t, ptr::null());
            if text.is_null() {
                self.not_text(Python::assume_attached(), place, length)
            } else {
                text
            }
        }
    }

    /// Sets the error of text that is no UTF-8, with the decoder's as its cause.
    #[cold]
    unsafe fn not_text(&self, py: Python<'_>, place: *const u8, length: usize) -> *mut ffi::PyObject {
        let cause = PyErr::take(py);
        // SAFETY: the bytes lie inside the field.
        let bytes = unsafe { std::slice::from_raw_parts(place, length) };
        let value = pyo3::types::PyBytes::new(py, bytes);
        let remedy = "write it as UTF-8, or read the column of a NumPy view";
        raise(py, "FieldError", (&self.label, value, "holds text as UTF-8", remedy));
        chain(py, cause);
        ptr::null_mut()
    }

    /// What the enumeration makes of a number that none of its members has (a `Flag` combines some). Takes `number`.
    #[cold]
    unsafe fn composed(&self, py: Python<'_>, number: *mut ffi::PyObject) -> *mut ffi::PyObject {
        let Extra::Enum { class, .. } = &self.extra else {
            return ptr::null_mut();
        };
        // SAFETY: the caller hands its reference over.
        let number = unsafe { Bound::from_owned_ptr(py, number) };
        if let Some(error) = PyErr::take(py) {
            error.restore(py);
            return ptr::null_mut();
        }
        match class.bind(py).call1((&number,)) {
            Ok(member) => member.into_ptr(),
            Err(error) => {
                let limit = format!(
                    "holds a member of {}",
                    class
                        .bind(py)
                        .name()
                        .map_or_else(|_| "its enum".into(), |n| n.to_string())
                );
                raise(
                    py,
                    "FieldError",
                    (&self.label, number, limit, "add a member with this number"),
                );
                chain(py, Some(error));
                ptr::null_mut()
            }
        }
    }
}
