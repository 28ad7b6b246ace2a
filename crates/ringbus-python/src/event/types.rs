//! The two types, made from specs by hand.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::EventObject;
use super::class::{type_clear, type_dealloc, type_traverse};
use super::instance::{event_copy, event_dealloc, event_init, event_new, event_published, event_record, event_sizeof};
use crate::schema::SchemaInner;

/// One entry of a type's spec.
fn slot(number: c_int, function: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot {
        slot: number,
        pfunc: function,
    }
}

fn method(name: &'static std::ffi::CStr, function: ffi::PyCFunction, doc: &'static std::ffi::CStr) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: function },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: doc.as_ptr(),
    }
}

/// The methods and the attributes of Event; the interpreter keeps pointers to them for ever.
fn members() -> (*mut ffi::PyMethodDef, *mut ffi::PyGetSetDef) {
    let methods = Box::leak(Box::new([
        method(
            c"copy",
            event_copy,
            c"Return an event of its own with the same fields and publish time.",
        ),
        method(
            c"record",
            event_record,
            c"Return the fields as a NumPy record (`numpy.void`), copied.",
        ),
        method(
            c"__sizeof__",
            event_sizeof,
            c"Return the bytes that the event takes, data included.",
        ),
        ffi::PyMethodDef::zeroed(),
    ]));
    let published = ffi::PyGetSetDef {
        name: c"published_ns".as_ptr(),
        get: Some(event_published),
        set: None,
        doc: c"When it was published, on the clock of time.monotonic_ns(); 0 when the ring does not stamp.".as_ptr(),
        closure: ptr::null_mut(),
    };
    let attributes = Box::leak(Box::new([published, ffi::PyGetSetDef::default()]));
    (methods.as_mut_ptr(), attributes.as_mut_ptr())
}

pub(super) fn make_event(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let (methods, attributes) = members();
    let mut slots = [
        slot(ffi::Py_tp_new, event_new as *mut c_void),
        slot(ffi::Py_tp_init, event_init as *mut c_void),
        slot(ffi::Py_tp_dealloc, event_dealloc as *mut c_void),
        slot(ffi::Py_tp_methods, methods.cast()),
        slot(ffi::Py_tp_getset, attributes.cast()),
        slot(
            ffi::Py_tp_doc,
            c"The native part of an event.".as_ptr().cast_mut().cast(),
        ),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"ringbus._core.Event".as_ptr(),
        basicsize: size_of::<EventObject>() as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE) as c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: attached; the spec is copied, and what it points to lives for ever.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec)) }
}

pub(super) fn make_event_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut slots = [
        slot(ffi::Py_tp_dealloc, type_dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, type_traverse as *mut c_void),
        slot(ffi::Py_tp_clear, type_clear as *mut c_void),
        slot(
            ffi::Py_tp_doc,
            c"The native part of the metaclass of events."
                .as_ptr()
                .cast_mut()
                .cast(),
        ),
        slot(0, ptr::null_mut()),
    ];
    let flags =
        ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_TYPE_SUBCLASS;
    // SAFETY: attached; the sizes are those of `type` in this interpreter, and one word.
    unsafe {
        let base = &raw mut ffi::PyType_Type;
        let mut spec = ffi::PyType_Spec {
            name: c"ringbus._core.EventType".as_ptr(),
            basicsize: ((*base).tp_basicsize + size_of::<*const SchemaInner>() as ffi::Py_ssize_t) as c_int,
            itemsize: (*base).tp_itemsize as c_int,
            flags: flags as c_uint,
            slots: slots.as_mut_ptr(),
        };
        let bases = PyTuple::new(py, [py.get_type::<PyType>()])?;
        Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr()))
    }
}
