//! `Event`, the base of every event class, and `EventType`, the base of its metaclass.
//!
//! An event is a pointer to its data and room for a copy of them. A *view* points into a ring and is moved from slot to
//! slot by [`retarget`]; [`detach`] copies the data into the event's own room, which cannot fail. An event made by its
//! class points into its own room from the start.
//!
//! Both types are made from specs by hand: the class has no dictionary and no garbage collector's header, and its
//! instances are as long as their schema says. The metaclass has one word more than `type`, which holds the class's
//! schema. So an event keeps its class alive, and the class its schema.

mod class;
mod instance;
mod types;

use std::ptr;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use ringbus_core::sync::{AtomicPtr, Ordering};

use crate::schema::SchemaInner;

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
pub unsafe fn detach(view: *mut ffi::PyObject) {
    // SAFETY: the room behind the header has the schema's bytes, and does not overlap what a view points at.
    unsafe {
        let event = view.cast::<EventObject>();
        if (*event).owned != 0 {
            return;
        }
        let bytes = (*(*event).schema).event_bytes;
        ptr::copy_nonoverlapping((*event).data, room(event), bytes);
        (*event).published_ns = published_ns(event);
        (*event).data = room(event);
        (*event).owned = bytes;
    }
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

/// Adds the types and functions of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for (place, made, name) in [
        (&EVENT, types::make_event(py)?, "Event"),
        (&EVENT_TYPE, types::make_event_type(py)?, "EventType"),
    ] {
        module.add(name, &made)?;
        place.store(made.into_ptr().cast(), Ordering::Release);
    }
    module.add_function(wrap_pyfunction!(class::bind, module)?)?;
    module.add_function(wrap_pyfunction!(instance::event_from_bytes, module)?)
}
