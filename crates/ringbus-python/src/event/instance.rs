//! What the interpreter calls of an event: made, read, written, copied, freed.

use std::ffi::{c_int, c_void};
use std::ptr;

use numpy::PY_ARRAY_API;
use numpy::npyffi::PyArray_Descr;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::class::{bound_schema, schema_slot};
use super::{EventObject, allocate, data_of, published_ns, schema_of};
use crate::field::{raise, set_field};
use crate::schema::SchemaInner;

pub(super) unsafe extern "C" fn event_new(
    class: *mut ffi::PyTypeObject,
    _args: *mut ffi::PyObject,
    _kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this attached, with a subtype of Event.
    unsafe {
        let Some(schema) = bound_schema(Python::assume_attached(), class) else {
            return ptr::null_mut();
        };
        let event = allocate(class, schema);
        if !event.is_null() {
            ptr::copy_nonoverlapping(schema.defaults.as_ptr(), (*event).data, schema.event_bytes);
        }
        event.cast()
    }
}

pub(super) unsafe extern "C" fn event_init(
    event: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: Python calls this attached, with an event, a tuple, and a dictionary or null.
    unsafe {
        let py = Python::assume_attached();
        let Some(schema) = schema_of(event) else { return -1 };
        if ffi::PyTuple_GET_SIZE(args) != 0 {
            refuse_positional(py, schema);
            return -1;
        }
        let (names, values) = match keywords(py, kwargs) {
            Ok(pair) => pair,
            Err(error) => {
                error.restore(py);
                return -1;
            }
        };
        let pointers: Vec<_> = values.iter().map(Bound::as_ptr).collect();
        // Converted first: a conversion may run Python code after which the event's data are elsewhere.
        let mut converted = vec![0_u64; schema.event_bytes.div_ceil(8)];
        let scratch = converted.as_mut_ptr().cast::<u8>();
        if schema.fill(py, scratch, pointers.as_ptr(), names.as_ptr()).is_err() {
            return -1;
        }
        ptr::copy_nonoverlapping(scratch, data_of(event), schema.event_bytes);
        0
    }
}

/// The names and the values of a dictionary of keywords.
unsafe fn keywords(
    py: Python<'_>,
    kwargs: *mut ffi::PyObject,
) -> PyResult<(Bound<'_, PyTuple>, Vec<Bound<'_, PyAny>>)> {
    if kwargs.is_null() {
        return Ok((PyTuple::empty(py), Vec::new()));
    }
    // SAFETY: `kwargs` is a live dictionary.
    let kwargs = unsafe { Bound::from_borrowed_ptr(py, kwargs) }.cast_into::<PyDict>()?;
    let (names, values): (Vec<_>, Vec<_>) = kwargs.iter().unzip();
    Ok((PyTuple::new(py, names)?, values))
}

#[cold]
fn refuse_positional(py: Python<'_>, schema: &SchemaInner) {
    let first = schema
        .fields
        .first()
        .map_or_else(String::new, |field| field.name.bind(py).to_string());
    let fact = format!("{} takes its fields by name only", schema.name);
    raise(py, "SchemaError", (fact, format!("write {}({first}=...)", schema.name)));
}

/// Makes an event from keywords, without the tuple and the dictionary that `type.__call__` wants.
pub(super) unsafe extern "C" fn event_vectorcall(
    class: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this attached, with arguments as vectorcall has them, and with a bound class: `bind` sets this
    // function, and it is not inherited.
    unsafe {
        let py = Python::assume_attached();
        let class = class.cast::<ffi::PyTypeObject>();
        if !is_plain(class) {
            return call_slowly(py, class, args, nargsf, kwnames);
        }
        let schema = &**schema_slot(class);
        if ffi::PyVectorcall_NARGS(nargsf) != 0 {
            refuse_positional(py, schema);
            return ptr::null_mut();
        }
        let event = allocate(class, schema);
        if event.is_null() {
            return ptr::null_mut();
        }
        if schema.fill(py, (*event).data, args, kwnames).is_err() {
            ffi::Py_DECREF(event.cast());
            return ptr::null_mut();
        }
        event.cast()
    }
}

/// Does the class leave `__new__` and `__init__` as they are?
unsafe fn is_plain(class: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: `class` is a live type; functions are compared by address, and a false "no" is only slower.
    unsafe {
        let made = (*class)
            .tp_new
            .is_some_and(|own| ptr::fn_addr_eq(own, event_new as ffi::newfunc));
        made && (*class)
            .tp_init
            .is_some_and(|own| ptr::fn_addr_eq(own, event_init as ffi::initproc))
    }
}

/// `type.__call__`, for a class that has its own `__new__` or `__init__`.
unsafe fn call_slowly(
    py: Python<'_>,
    class: *mut ffi::PyTypeObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let called = (|| {
        // SAFETY: as vectorcall promises: the positional arguments, then one for each name.
        unsafe {
            let positional = ffi::PyVectorcall_NARGS(nargsf) as usize;
            let given = |index: usize| Bound::from_borrowed_ptr(py, *args.add(index));
            let tuple = PyTuple::new(py, (0..positional).map(given))?;
            let dict = PyDict::new(py);
            if !kwnames.is_null() {
                let names = Bound::from_borrowed_ptr(py, kwnames).cast_into_unchecked::<PyTuple>();
                for (index, name) in names.iter().enumerate() {
                    dict.set_item(name, given(positional + index))?;
                }
            }
            let call = ffi::PyType_Type
                .tp_call
                .ok_or_else(|| PyRuntimeError::new_err("type cannot be called"))?;
            Bound::from_owned_ptr_or_err(py, call(class.cast(), tuple.as_ptr(), dict.as_ptr()))
        }
    })();
    called.map_or_else(
        |error: PyErr| {
            error.restore(py);
            ptr::null_mut()
        },
        Bound::into_ptr,
    )
}

/// Reads an attribute: a field at once, anything else as every object does.
///
/// The descriptors of the fields say the same, by way of a search through the classes.
pub(super) unsafe extern "C" fn event_getattro(
    event: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: an instance has a schema, which lives as long as its class.
    unsafe {
        match (*(*event.cast::<EventObject>()).schema).quick(name) {
            Some(field) => (field.get)(event, ptr::from_ref(field).cast_mut().cast()),
            None => ffi::PyObject_GenericGetAttr(event, name),
        }
    }
}

/// Writes an attribute, in the same way.
pub(super) unsafe extern "C" fn event_setattro(
    event: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        match (*(*event.cast::<EventObject>()).schema).quick(name) {
            Some(field) => set_field(event, value, ptr::from_ref(field).cast_mut().cast()),
            None => ffi::PyObject_GenericSetAttr(event, name, value),
        }
    }
}

pub(super) unsafe extern "C" fn event_dealloc(event: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; an event holds nothing but its class.
    unsafe {
        let class = ffi::Py_TYPE(event);
        ffi::PyObject_Free(event.cast());
        ffi::Py_DECREF(class.cast());
    }
}

pub(super) unsafe extern "C" fn event_copy(event: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: `event` is an event; the new one's room has the same size.
    unsafe {
        let own = event.cast::<EventObject>();
        let Some(schema) = (*own).schema.as_ref() else {
            return ptr::null_mut();
        };
        let copy = allocate(ffi::Py_TYPE(event), schema);
        if !copy.is_null() {
            ptr::copy_nonoverlapping((*own).data, (*copy).data, schema.event_bytes);
            (*copy).published_ns = published_ns(own);
        }
        copy.cast()
    }
}

pub(super) unsafe extern "C" fn event_record(event: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: `event` is an event; PyArray_Scalar copies the data.
    unsafe {
        let own = event.cast::<EventObject>();
        let dtype = (*(*own).schema).dtype.as_ptr().cast::<PyArray_Descr>();
        PY_ARRAY_API.PyArray_Scalar(
            Python::assume_attached(),
            (*own).data.cast::<c_void>(),
            dtype,
            ptr::null_mut(),
        )
    }
}

pub(super) unsafe extern "C" fn event_sizeof(event: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: `event` is an event.
    unsafe {
        let bytes = (*event.cast::<EventObject>())
            .schema
            .as_ref()
            .map_or(0, |schema| schema.event_bytes);
        ffi::PyLong_FromSize_t(size_of::<EventObject>() + bytes)
    }
}

pub(super) unsafe extern "C" fn event_published(event: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: `event` is an event.
    unsafe { ffi::PyLong_FromLongLong(published_ns(event.cast())) }
}

/// Makes an event of `cls` from the bytes of a record and a publish time.
#[pyfunction]
pub(super) fn event_from_bytes<'py>(
    cls: &Bound<'py, PyType>,
    data: PyBuffer<u8>,
    published_ns: i64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = cls.py();
    // SAFETY: attached; the bytes are counted before they are copied.
    unsafe {
        let Some(schema) = bound_schema(py, cls.as_type_ptr()) else {
            return Err(PyErr::fetch(py));
        };
        if data.item_count() != schema.event_bytes || !data.is_c_contiguous() {
            let fact = format!(
                "{} bytes are no {}, which has {}",
                data.item_count(),
                schema.name,
                schema.event_bytes
            );
            return Err(PyValueError::new_err(fact));
        }
        let event = allocate(cls.as_type_ptr(), schema);
        let made = Bound::from_owned_ptr_or_err(py, event.cast())?;
        ptr::copy_nonoverlapping(
            data.buf_ptr().cast::<u8>().cast_const(),
            (*event).data,
            schema.event_bytes,
        );
        (*event).published_ns = published_ns;
        Ok(made)
    }
}
