//! What NumPy knows how to read: arrays of a fixed shape, and scalars such as `datetime64`.

use super::{Extra, Field, Raised, Written, raised};
use crate::event::data_of;
use numpy::PY_ARRAY_API;
use numpy::npyffi::{NpyTypes, PyArray_Check, PyArray_Descr, PyArrayObject};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_void;
use std::ptr;

impl Field {
    /// Arrays of just the right type are copied; everything else is converted in Python first.
    pub(super) unsafe fn write_numpy(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
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

pub(super) unsafe extern "C" fn get_array(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`; NewFromDescr takes over one reference to the type, and the array it makes of a
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

pub(super) unsafe extern "C" fn get_scalar(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`; PyArray_Scalar copies the bytes, aligned or not.
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
