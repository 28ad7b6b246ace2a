//! Calls of Python code from a thread that the interpreter may not outlive.
//!
//! Before 3.14 the interpreter ends a daemon thread that asks for the GIL too late by `pthread_exit`, which unwinds
//! the stack: an abort of the process as soon as it meets a frame that cannot be unwound, or that catches it. So the
//! thread is parked where that unwinding meets the first of our frames; it ends with the process.

use pyo3::ffi;
use pyo3::prelude::*;
use std::hint::black_box;
use std::mem;
use std::ptr;

/// Parks the thread when it is unwound.
struct Park;

impl Drop for Park {
    #[cold]
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// A vectorcall function whose caller is ready to be unwound.
pub type Vectorcall = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

unsafe extern "C-unwind" {
    // The interpreter's own, not the inline copy of `ffi`: that one promises not to unwind.
    fn PyObject_Vectorcall(
        callable: *mut ffi::PyObject,
        arguments: *const *mut ffi::PyObject,
        count: usize,
        names: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// The function that calls anything.
fn any() -> Vectorcall {
    // Link-time optimization merges this symbol with that of `ffi`, and believes its promise, wherever it sees which
    // function it is that is called.
    black_box(PyObject_Vectorcall)
}

/// The quickest way to call `callable`.
///
/// # Safety
/// Attached.
pub unsafe fn function_of(callable: *mut ffi::PyObject) -> Vectorcall {
    // SAFETY: attached. The two types differ in that the caller of the one is ready to be unwound.
    unsafe {
        ffi::PyVectorcall_Function(callable).map_or_else(any, |function| {
            mem::transmute::<ffi::vectorcallfunc, Vectorcall>(function)
        })
    }
}

/// `function(callable, arguments, count, NULL)`: a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `function` is of `callable`, and the arguments are as the vectorcall protocol wants them.
#[inline(always)]
pub unsafe fn vectorcall(
    function: Vectorcall,
    callable: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
) -> *mut ffi::PyObject {
    let park = Park;
    // SAFETY: as in the caller.
    let result = unsafe { function(callable, arguments, count, ptr::null_mut()) };
    mem::forget(park);
    result
}

/// Calls `callable` with `arguments`.
///
/// # Errors
/// What it raises.
pub fn call<const N: usize>(py: Python<'_>, callable: &Py<PyAny>, arguments: [&Py<PyAny>; N]) -> PyResult<Py<PyAny>> {
    let arguments = arguments.map(Py::as_ptr);
    // SAFETY: attached; the arguments are alive during the call.
    unsafe {
        let result = vectorcall(any(), callable.as_ptr(), arguments.as_ptr(), N);
        Bound::from_owned_ptr_or_err(py, result).map(Bound::unbind)
    }
}
