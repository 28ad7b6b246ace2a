//! Integers, floats and truth values.

use super::{Field, Kind, Raised, Written, raised};
use crate::event::data_of;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::ffi::{c_int, c_void};

impl Field {
    pub(super) unsafe fn write_int(
        &self,
        py: Python<'_>,
        place: *mut u8,
        value: *mut ffi::PyObject,
        kind: Kind,
    ) -> Written {
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
    pub(super) unsafe fn signed(&self, py: Python<'_>, value: *mut ffi::PyObject, kind: Kind) -> Result<i64, Raised> {
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
    pub(super) unsafe fn float(&self, py: Python<'_>, value: *mut ffi::PyObject) -> Result<f64, Raised> {
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

    pub(super) unsafe fn write_f32(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
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

    pub(super) unsafe fn write_bool(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
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
}

fn numpy_bool(py: Python<'_>) -> PyResult<*mut ffi::PyTypeObject> {
    static BOOL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(BOOL.import(py, "numpy", "bool_")?.as_type_ptr())
}

/// A getter that reads one machine type and hands it to one function of Python's.
macro_rules! number_getter {
    ($name:ident, $stored:ty, $make:path, $wide:ty) => {
        pub(super) unsafe extern "C" fn $name(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
            // SAFETY: as for every `Getter`.
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

pub(super) unsafe extern "C" fn get_bool(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`.
    unsafe {
        let truth = data_of(event).add((*closure.cast::<Field>()).offset).read() != 0;
        ffi::PyBool_FromLong(truth.into())
    }
}
