//! Event classes: each is bound to its schema, which it holds in a word of its own.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use ringbus_core::sync::Ordering;

use super::instance::{event_dealloc, event_getattro, event_setattro, event_vectorcall};
use super::{EVENT, EVENT_TYPE, EventObject};
use crate::field::{getter, raise, set_field};
use crate::schema::{Schema, SchemaInner};

/// The word of an Event class that holds its schema; null in a class that is not bound.
#[inline]
pub(super) unsafe fn schema_slot(class: *mut ffi::PyTypeObject) -> *mut *const SchemaInner {
    // SAFETY: the metaclass of every Event class extends `type` by this word.
    unsafe { class.cast::<u8>().offset(ffi::PyType_Type.tp_basicsize).cast() }
}

/// The schema of a class, if its metaclass has room for one and it is bound.
#[inline]
unsafe fn schema_of_class<'a>(class: *mut ffi::PyTypeObject) -> Option<&'a SchemaInner> {
    let meta = EVENT_TYPE.load(Ordering::Relaxed);
    // SAFETY: the slot is read only where the metaclass has it.
    unsafe {
        if ffi::PyObject_TypeCheck(class.cast(), meta) == 0 {
            return None;
        }
        (*schema_slot(class)).as_ref()
    }
}

/// The class of an instance that is about to be made, or an error that says what it lacks.
pub(super) unsafe fn bound_schema<'a>(py: Python<'_>, class: *mut ffi::PyTypeObject) -> Option<&'a SchemaInner> {
    // SAFETY: `class` is a live type.
    unsafe {
        let schema = schema_of_class(class);
        if schema.is_none() {
            let name = Bound::from_borrowed_ptr(py, class.cast())
                .cast_into_unchecked::<PyType>()
                .name();
            let name = name.map_or_else(|_| "Event".to_owned(), |name| name.to_string());
            raise(
                py,
                "SchemaError",
                (format!("{name} has no fields"), "derive a class that declares some"),
            );
        }
        schema
    }
}

/// Ties an Event class to its schema: gives it a descriptor for each field, and makes calling it fast. `methods` says
/// whether the class has methods of its own.
#[pyfunction]
pub(super) fn bind(cls: &Bound<'_, PyType>, schema: &Bound<'_, Schema>, methods: bool) -> PyResult<()> {
    let py = cls.py();
    let class = cls.as_type_ptr();
    let inner = Arc::clone(&schema.get().inner);
    check_class(cls, &inner)?;
    for field in &inner.fields {
        let definition = field.definition.get_mut().get_or_insert_with(|| {
            Box::new(ffi::PyGetSetDef {
                name: field.c_name.as_ptr(),
                get: Some(getter(field.kind)),
                set: Some(set_field),
                doc: ptr::null(),
                closure: ptr::from_ref(field).cast_mut().cast(),
            })
        });
        // SAFETY: the definition, its name and its field live as long as the class, which the descriptor keeps
        // alive. `type` itself sets the attribute, so that a metaclass may refuse others.
        unsafe {
            let descriptor = ffi::PyDescr_NewGetSet(class, &raw mut **definition);
            let descriptor = Bound::from_owned_ptr_or_err(py, descriptor)?;
            let set = ffi::PyType_Type
                .tp_setattro
                .ok_or_else(|| PyRuntimeError::new_err("type is frozen"))?;
            if set(class.cast(), field.name.as_ptr(), descriptor.as_ptr()) < 0 {
                return Err(PyErr::fetch(py));
            }
        }
    }
    // SAFETY: the class was checked; its slot takes over one reference to the schema and is emptied when it dies.
    unsafe {
        inner.type_object.store(class, Ordering::Release);
        *schema_slot(class) = Arc::into_raw(inner);
        set_size(class, &schema.get().inner);
        forgo_collector(class);
        quicken(class, methods);
        allow_vectorcall(ffi::Py_TYPE(class.cast()));
    }
    Ok(())
}

/// Gives the class its quick ways to call and to reach attributes, where it does not have its own.
///
/// A class with methods reads its attributes as every class does: the interpreter calls a method without making an
/// object of it only then, and that outweighs the descriptors of several fields.
unsafe fn quicken(class: *mut ffi::PyTypeObject, methods: bool) {
    // SAFETY: attached, and the class is bound to its schema.
    unsafe {
        (*class).tp_vectorcall = Some(event_vectorcall);
        let read = ffi::PyObject_GenericGetAttr as ffi::getattrofunc;
        if !methods && (*class).tp_getattro.is_some_and(|own| ptr::fn_addr_eq(own, read)) {
            (*class).tp_getattro = Some(event_getattro);
        }
        let write = ffi::PyObject_GenericSetAttr as ffi::setattrofunc;
        if (*class).tp_setattro.is_some_and(|own| ptr::fn_addr_eq(own, write)) {
            (*class).tp_setattro = Some(event_setattro);
        }
    }
}

/// Says how large instances are, so that Python refuses to give an event a class of another layout.
unsafe fn set_size(class: *mut ffi::PyTypeObject, schema: &SchemaInner) {
    let bytes = size_of::<EventObject>() + schema.event_bytes;
    // SAFETY: the class has no instances and no derived classes yet.
    unsafe { (*class).tp_basicsize = bytes as ffi::Py_ssize_t };
}

/// Takes a class out of the hands of the garbage collector: its instances refer to nothing but the class.
///
/// Every class that is made in Python is marked as collected, and so would be each event: a longer header, and a
/// collection each 700 events that are kept.
unsafe fn forgo_collector(class: *mut ffi::PyTypeObject) {
    // SAFETY: the class has no instances yet, and no room in them for references (checked by `check_class`).
    unsafe {
        (*class).tp_flags &= !ffi::Py_TPFLAGS_HAVE_GC;
        (*class).tp_traverse = None;
        (*class).tp_clear = None;
        (*class).tp_free = Some(ffi::PyObject_Free);
        if (*class).tp_finalize.is_none() && (*class).tp_del.is_none() {
            (*class).tp_dealloc = Some(event_dealloc);
        }
        ffi::PyType_Modified(class);
    }
}

/// A class can be bound once, and its instances must have the header of Event and nothing more.
fn check_class(cls: &Bound<'_, PyType>, schema: &SchemaInner) -> PyResult<()> {
    let class = cls.as_type_ptr();
    // SAFETY: attached, and the types are alive.
    unsafe {
        let meta = EVENT_TYPE.load(Ordering::Relaxed);
        if ffi::PyObject_TypeCheck(class.cast(), meta) == 0
            || ffi::PyType_IsSubtype(class, EVENT.load(Ordering::Relaxed)) == 0
        {
            return Err(PyValueError::new_err(format!("{} is no Event class", schema.name)));
        }
        if !(*schema_slot(class)).is_null() || !schema.type_object.load(Ordering::Relaxed).is_null() {
            return Err(PyValueError::new_err(format!("{} is bound already", schema.name)));
        }
        let plain = (*class).tp_basicsize == (*(*class).tp_base).tp_basicsize;
        if !plain || (*class).tp_dictoffset != 0 || (*class).tp_weaklistoffset != 0 {
            let fact = format!(
                "a base of {} gives its instances a __dict__ or slots of their own",
                schema.name
            );
            raise(cls.py(), "SchemaError", (fact, "give every mixin `__slots__ = ()`"));
            return Err(PyErr::fetch(cls.py()));
        }
    }
    Ok(())
}

/// Lets classes of this metaclass be called by vectorcall. Python 3.11 drops the flag for a metaclass written in Python.
unsafe fn allow_vectorcall(meta: *mut ffi::PyTypeObject) {
    // SAFETY: the metaclass is alive and has the layout of `type`; one that has its own `__call__` is left alone.
    unsafe {
        let plain = match ((*meta).tp_call, ffi::PyType_Type.tp_call) {
            (Some(own), Some(call)) => ptr::fn_addr_eq(own, call),
            _ => false,
        };
        if plain && (*meta).tp_vectorcall_offset == ffi::PyType_Type.tp_vectorcall_offset {
            (*meta).tp_flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL;
        }
    }
}

pub(super) unsafe extern "C" fn type_dealloc(class: *mut ffi::PyObject) {
    // SAFETY: the last reference to the class is gone, and with it every event; the schema hears of it first. A heap
    // type that has its own `tp_dealloc` drops the reference to the type of the object itself.
    unsafe {
        let slot = schema_slot(class.cast());
        let schema = std::mem::replace(&mut *slot, ptr::null());
        if let Some(bound) = schema.as_ref() {
            bound.type_object.store(ptr::null_mut(), Ordering::Release);
        }
        let meta = ffi::Py_TYPE(class);
        if let Some(dealloc) = ffi::PyType_Type.tp_dealloc {
            dealloc(class);
        }
        ffi::Py_DECREF(meta.cast());
        if !schema.is_null() {
            drop(Arc::from_raw(schema));
        }
    }
}

pub(super) unsafe extern "C" fn type_traverse(
    class: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this with a live class; since 3.9 an instance of a heap type visits its type.
    unsafe {
        let stop = visit(ffi::Py_TYPE(class).cast(), arg);
        match ffi::PyType_Type.tp_traverse {
            Some(traverse) if stop == 0 => traverse(class, visit, arg),
            _ => stop,
        }
    }
}

pub(super) unsafe extern "C" fn type_clear(class: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this with a live class.
    unsafe { ffi::PyType_Type.tp_clear.map_or(0, |clear| clear(class)) }
}
