//! `Event`, the base of every event class, and `EventType`, the base of its metaclass.
//!
//! An event is a pointer to its data and room for a copy of them. A *view* points into a ring and is moved from slot to
//! slot by [`retarget`]; [`detach`] copies the data into the event's own room, which cannot fail. An event made by its
//! class points into its own room from the start.
//!
//! Both types are made from specs by hand: the class has no dictionary and no garbage collector's header, and its
//! instances are as long as their schema says. The metaclass has one word more than `type`, which holds the class's
//! schema. So an event keeps its class alive, and the class its schema.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::Arc;

use numpy::PY_ARRAY_API;
use numpy::npyffi::PyArray_Descr;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use ringbus_core::sync::{AtomicPtr, Ordering};

use crate::field::{getter, raise, set_field};
use crate::schema::{Schema, SchemaInner};

/// An event: a header, and room for the data behind it.
#[repr(C, align(16))]
pub struct EventObject {
    ob_base: ffi::PyObject,
    /// Where the data are: in a slot, or behind this header.
    data: *mut u8,
    /// Lives as long as the event's class.
    schema: *const SchemaInner,
    /// From `data` to the publish time in a ring; 0 when there is none.
    stamp_offset: isize,
    /// The bytes of the event's own data; 0 for a view.
    owned: usize,
    /// The publish time of an event that owns its data; 0 for none.
    published_ns: i64,
}

/// `ringbus._core.Event`.
static EVENT: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());
/// `ringbus._core.EventType`.
static EVENT_TYPE: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());

/// The room for the data of an event that owns them.
#[inline]
unsafe fn room(event: *mut EventObject) -> *mut u8 {
    // SAFETY: every event is allocated with `event_bytes` behind its header.
    unsafe { event.add(1).cast() }
}

/// An event of `class` whose data are not yet set; null with an exception set when there is no memory.
#[inline]
unsafe fn allocate(class: *mut ffi::PyTypeObject, schema: &SchemaInner) -> *mut EventObject {
    // SAFETY: attached; `class` is an Event class bound to `schema`, so its instances have this header.
    unsafe {
        let event = ffi::PyObject_Malloc(size_of::<EventObject>() + schema.event_bytes).cast::<EventObject>();
        if event.is_null() {
            return ffi::PyErr_NoMemory().cast();
        }
        ffi::PyObject_Init(event.cast(), class);
        (*event).data = room(event);
        (*event).schema = schema;
        (*event).stamp_offset = 0;
        (*event).owned = schema.event_bytes;
        (*event).published_ns = 0;
        event
    }
}

/// A view of the event at `data`: a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `data` has the bytes of an event of `schema` until the view is retargeted, detached or gone, and there is
/// an `i64` at `stamp_offset` from it, unless that is 0. The schema's class is kept alive by the caller.
pub unsafe fn new_view(
    py: Python<'_>,
    schema: &Arc<SchemaInner>,
    data: *mut u8,
    stamp_offset: isize,
) -> *mut ffi::PyObject {
    let class = schema.type_object.load(Ordering::Acquire);
    if class.is_null() {
        PyRuntimeError::new_err(format!("the class of {} events is gone; keep it alive", schema.name)).restore(py);
        return ptr::null_mut();
    }
    // SAFETY: the class is bound to the schema, and alive by the caller's promise.
    unsafe {
        let view = allocate(class, schema);
        if !view.is_null() {
            (*view).data = data;
            (*view).stamp_offset = stamp_offset;
            (*view).owned = 0;
        }
        view.cast()
    }
}

/// Points a view at another slot.
///
/// # Safety
/// `view` was made by [`new_view`] and not detached; `data` is as there.
#[inline]
pub unsafe fn retarget(view: *mut ffi::PyObject, data: *mut u8) {
    // SAFETY: a view is an event.
    unsafe { (*view.cast::<EventObject>()).data = data }
}

/// Gives a view its own copy of the data and of the publish time. Nothing is allocated; an event that owns its data
/// stays as it is.
///
/// # Safety
/// Attached; `view` is an event whose data can still be read.
#[expect(
    clippy::unnecessary_wraps,
    reason = "callers handle it as they do every step that touches an event"
)]
pub unsafe fn detach(view: *mut ffi::PyObject) -> Result<(), ()> {
    // SAFETY: the room behind the header has the schema's bytes, and does not overlap what a view points at.
    unsafe {
        let event = view.cast::<EventObject>();
        if (*event).owned != 0 {
            return Ok(());
        }
        let bytes = (*(*event).schema).event_bytes;
        ptr::copy_nonoverlapping((*event).data, room(event), bytes);
        (*event).published_ns = published_ns(event);
        (*event).data = room(event);
        (*event).owned = bytes;
    }
    Ok(())
}

/// Where the data of an event are.
///
/// # Safety
/// `event` is an instance of an Event class.
#[inline]
pub unsafe fn data_of(event: *mut ffi::PyObject) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { (*event.cast::<EventObject>()).data }
}

/// The schema of an event; `None` for what is no event.
///
/// # Safety
/// `object` is alive, and stays so while the schema is used.
#[inline]
pub unsafe fn schema_of<'a>(object: *mut ffi::PyObject) -> Option<&'a SchemaInner> {
    let base = EVENT.load(Ordering::Relaxed);
    // SAFETY: instances of Event have its header; a schema lives as long as the class.
    unsafe {
        let is_event = !base.is_null() && ffi::PyObject_TypeCheck(object, base) != 0;
        if is_event {
            (*object.cast::<EventObject>()).schema.as_ref()
        } else {
            None
        }
    }
}

unsafe fn published_ns(event: *mut EventObject) -> i64 {
    // SAFETY: a stamp offset leads to an i64 beside the data.
    unsafe {
        match ((*event).owned, (*event).stamp_offset) {
            (0, 0) => 0,
            (0, offset) => (*event).data.offset(offset).cast::<i64>().read_unaligned(),
            _ => (*event).published_ns,
        }
    }
}

/// The word of an Event class that holds its schema; null in a class that is not bound.
#[inline]
unsafe fn schema_slot(class: *mut ffi::PyTypeObject) -> *mut *const SchemaInner {
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
unsafe fn bound_schema<'a>(py: Python<'_>, class: *mut ffi::PyTypeObject) -> Option<&'a SchemaInner> {
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

unsafe extern "C" fn event_new(
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

unsafe extern "C" fn event_init(
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
unsafe extern "C" fn event_vectorcall(
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
unsafe extern "C" fn event_getattro(event: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: an instance has a schema, which lives as long as its class.
    unsafe {
        match (*(*event.cast::<EventObject>()).schema).quick(name) {
            Some(field) => (field.get)(event, ptr::from_ref(field).cast_mut().cast()),
            None => ffi::PyObject_GenericGetAttr(event, name),
        }
    }
}

/// Writes an attribute, in the same way.
unsafe extern "C" fn event_setattro(
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

unsafe extern "C" fn event_dealloc(event: *mut ffi::PyObject) {
    // SAFETY: the last reference is gone; an event holds nothing but its class.
    unsafe {
        let class = ffi::Py_TYPE(event);
        ffi::PyObject_Free(event.cast());
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn event_copy(event: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
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

unsafe extern "C" fn event_record(event: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
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

unsafe extern "C" fn event_sizeof(event: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: `event` is an event.
    unsafe {
        let bytes = (*event.cast::<EventObject>())
            .schema
            .as_ref()
            .map_or(0, |schema| schema.event_bytes);
        ffi::PyLong_FromSize_t(size_of::<EventObject>() + bytes)
    }
}

unsafe extern "C" fn event_published(event: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: `event` is an event.
    unsafe { ffi::PyLong_FromLongLong(published_ns(event.cast())) }
}

/// Makes an event of `cls` from the bytes of a record and a publish time.
#[pyfunction]
fn event_from_bytes<'py>(
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

/// Ties an Event class to its schema: gives it a descriptor for each field, and makes calling it fast. `methods` says
/// whether the class has methods of its own.
#[pyfunction]
fn bind(cls: &Bound<'_, PyType>, schema: &Bound<'_, Schema>, methods: bool) -> PyResult<()> {
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

unsafe extern "C" fn type_dealloc(class: *mut ffi::PyObject) {
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

unsafe extern "C" fn type_traverse(class: *mut ffi::PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: the collector calls this with a live class; since 3.9 an instance of a heap type visits its type.
    unsafe {
        let stop = visit(ffi::Py_TYPE(class).cast(), arg);
        match ffi::PyType_Type.tp_traverse {
            Some(traverse) if stop == 0 => traverse(class, visit, arg),
            _ => stop,
        }
    }
}

unsafe extern "C" fn type_clear(class: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this with a live class.
    unsafe { ffi::PyType_Type.tp_clear.map_or(0, |clear| clear(class)) }
}

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

fn make_event(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
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

fn make_event_type(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
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

/// Adds the types and functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for (place, made, name) in [
        (&EVENT, make_event(py)?, "Event"),
        (&EVENT_TYPE, make_event_type(py)?, "EventType"),
    ] {
        module.add(name, &made)?;
        place.store(made.into_ptr().cast(), Ordering::Release);
    }
    module.add_function(wrap_pyfunction!(bind, module)?)?;
    module.add_function(wrap_pyfunction!(event_from_bytes, module)?)
}
