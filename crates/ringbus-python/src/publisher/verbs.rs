//! The hot verbs as raw vectorcall functions, and how a class gets them.

use super::Publisher;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ptr;

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
