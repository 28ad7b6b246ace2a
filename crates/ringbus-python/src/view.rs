//! NumPy views of slots, and the lease by which it is known whether somebody kept one.
//!
//! Every array that is made from a view, a column or a part of it, has the lease as its base (NumPy
//! collapses chains of views to the owner of the memory). So after the batch the lease's reference count
//! says whether one is still alive.

use crate::ring::Ring;
use numpy::npyffi::{self, NpyTypes, PY_ARRAY_API, PyArrayObject, npy_intp};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr;
use std::sync::Arc;

/// What the views of one batch or claim have as their base: it keeps the memory alive.
#[pyclass(frozen, module = "ringbus._core")]
pub struct Lease {
    _ring: Arc<Ring>,
    /// Memory of the lease's own, for views that cannot be on the slots.
    memory: Option<Box<[u64]>>,
}

impl Lease {
    /// A lease on the slots of `ring`.
    pub fn slots(py: Python<'_>, ring: &Arc<Ring>) -> PyResult<Py<Self>> {
        Py::new(
            py,
            Self {
                _ring: Arc::clone(ring),
                memory: None,
            },
        )
    }

    /// A lease on `bytes` bytes of its own.
    pub fn own(py: Python<'_>, ring: &Arc<Ring>, bytes: usize) -> PyResult<Py<Self>> {
        let memory = vec![0; bytes.div_ceil(8)].into_boxed_slice();
        Py::new(
            py,
            Self {
                _ring: Arc::clone(ring),
                memory: Some(memory),
            },
        )
    }

    /// The memory of its own.
    pub fn memory(&self) -> *mut u8 {
        self.memory
            .as_ref()
            .map_or(ptr::null_mut(), |memory| memory.as_ptr().cast_mut().cast())
    }
}

/// Where the events of a view are.
pub struct Place {
    /// The first event.
    pub data: *mut u8,
    /// How many.
    pub count: i64,
    /// Bytes from one to the next.
    pub stride: usize,
}

/// A structured array over `place`, whose base is `lease`.
///
/// # Safety
/// The place is memory of `lease`, with events of `dtype`.
pub unsafe fn array(py: Python<'_>, dtype: &Py<PyAny>, place: &Place, lease: &Py<Lease>) -> PyResult<Py<PyAny>> {
    let mut dims = place.count as npy_intp;
    let mut strides = place.stride as npy_intp;
    // SAFETY: the reference to the descriptor is given away, as NumPy wants it; dims and strides are read
    // only; the caller vouches for the memory.
    unsafe {
        let class = npyffi::get_type_object(py, NpyTypes::PyArray_Type);
        let made = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            class,
            dtype.clone_ref(py).into_ptr().cast(),
            1,
            &raw mut dims,
            &raw mut strides,
            place.data.cast(),
            npyffi::NPY_ARRAY_WRITEABLE,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, made)?;
        let base = lease.clone_ref(py).into_ptr();
        if PY_ARRAY_API.PyArray_SetBaseObject(py, made.cast(), base) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array.unbind())
    }
}

/// Takes the elements of an array that nobody should use any more away from it: it is empty from here on.
///
/// # Safety
/// `array` was made by [`array`].
pub unsafe fn empty(array: &Py<PyAny>) {
    // SAFETY: a one-dimensional array has one dimension to write.
    unsafe { *(*array.as_ptr().cast::<PyArrayObject>()).fields.dimensions = 0 };
}

/// References to `object`.
pub fn references(object: &Py<impl Sized>) -> isize {
    // SAFETY: the object is alive.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// The rows of an array of one dimension.
pub struct RawRows {
    pub data: *const u8,
    pub count: usize,
    pub stride: isize,
    pub itemsize: usize,
}

/// The rows of `array`.
///
/// # Errors
/// No array, or not of one dimension.
pub fn rows(array: &Bound<'_, PyAny>) -> PyResult<RawRows> {
    let itemsize = array.getattr("itemsize")?.extract()?;
    // SAFETY: checked to be an array before its fields are read.
    unsafe {
        let class = npyffi::get_type_object(array.py(), NpyTypes::PyArray_Type);
        let raw = array.as_ptr().cast::<PyArrayObject>();
        if ffi::PyObject_TypeCheck(array.as_ptr(), class) == 0 || (*raw).fields.nd != 1 {
            return Err(PyTypeError::new_err(
                "publish_batch takes a NumPy array of one dimension",
            ));
        }
        let fields = &(*raw).fields;
        Ok(RawRows {
            data: fields.data.cast_const().cast(),
            count: *fields.dimensions as usize,
            stride: *fields.strides,
            itemsize,
        })
    }
}
