//! Blobs: the length, then the bytes, then zeros, so that a trailing zero of the data is kept.

use super::{Field, Kind, Raised, Written, chain, copy_padded};
use crate::event::data_of;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_void;

/// The bytes of the length that stands before the data of a blob.
pub(super) const BLOB_PREFIX: usize = 4;

impl Field {
    /// The length, then the bytes, then zeros: so that a trailing zero of the data is kept.
    pub(super) unsafe fn write_blob(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
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

    #[cold]
    pub(super) unsafe fn too_long(&self, py: Python<'_>, value: *mut ffi::PyObject, length: usize) -> Raised {
        let (what, unit) = if self.kind == Kind::Blob {
            ("blob", "bytes")
        } else {
            ("text", "bytes of UTF-8")
        };
        let limit = format!("takes at most {} {unit} (this has {length})", self.capacity());
        // SAFETY: `value` is alive.
        unsafe { self.refuse(py, value, &limit, &format!("shorten it or declare {what}({length})")) }
    }
}

pub(super) unsafe extern "C" fn get_blob(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`; a length that another process wrote is cut to the field.
    unsafe {
        let field = &*closure.cast::<Field>();
        let place = data_of(event).add(field.offset);
        let length = u32::from_le(place.cast::<u32>().read_unaligned()) as usize;
        let length = length.min(field.capacity()) as ffi::Py_ssize_t;
        ffi::PyBytes_FromStringAndSize(place.add(BLOB_PREFIX).cast(), length)
    }
}
