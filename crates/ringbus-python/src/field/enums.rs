//! Members of an enumeration, by their number.

use super::{Extra, Field, Raised, Written, chain, getter, raise, raised};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_void;
use std::ptr;

impl Field {
    pub(super) unsafe fn write_enum(&self, py: Python<'_>, place: *mut u8, value: *mut ffi::PyObject) -> Written {
        let Extra::Enum { class, storage, .. } = &self.extra else {
            return Err(Raised);
        };
        // SAFETY: `place` has room for the stored kind, `value` is alive.
        unsafe {
            if ffi::Py_TYPE(value).cast() != class.as_ptr() {
                let name = class
                    .bind(py)
                    .name()
                    .map_or_else(|_| "member".to_owned(), |name| name.to_string());
                let limit = format!("takes a member of {name}");
                return Err(self.refuse(py, value, &limit, &format!("pass {name}(number) or {name}[name]")));
            }
            let number = Bound::from_borrowed_ptr(py, value).getattr(pyo3::intern!(py, "_value_"));
            let number = number.map_err(|error| raised(py, error))?;
            self.write_int(py, place, number.as_ptr(), *storage)
        }
    }

    /// What the enumeration makes of a number that none of its members has (a `Flag` combines some). Takes `number`.
    #[cold]
    unsafe fn composed(&self, py: Python<'_>, number: *mut ffi::PyObject) -> *mut ffi::PyObject {
        let Extra::Enum { class, .. } = &self.extra else {
            return ptr::null_mut();
        };
        // SAFETY: the caller hands its reference over.
        let number = unsafe { Bound::from_owned_ptr(py, number) };
        if let Some(error) = PyErr::take(py) {
            error.restore(py);
            return ptr::null_mut();
        }
        match class.bind(py).call1((&number,)) {
            Ok(member) => member.into_ptr(),
            Err(error) => {
                let limit = format!(
                    "holds a member of {}",
                    class
                        .bind(py)
                        .name()
                        .map_or_else(|_| "its enum".into(), |n| n.to_string())
                );
                raise(
                    py,
                    "FieldError",
                    (&self.label, number, limit, "add a member with this number"),
                );
                chain(py, Some(error));
                ptr::null_mut()
            }
        }
    }
}

pub(super) unsafe extern "C" fn get_enum(event: *mut ffi::PyObject, closure: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: as for every `Getter`; PyDict_GetItemWithError returns a borrowed reference.
    unsafe {
        let field = &*closure.cast::<Field>();
        let Extra::Enum { members, storage, .. } = &field.extra else {
            return ptr::null_mut();
        };
        let number = getter(*storage)(event, closure);
        if number.is_null() {
            return number;
        }
        let member = ffi::PyDict_GetItemWithError(members.as_ptr(), number);
        if member.is_null() {
            return field.composed(Python::assume_attached(), number);
        }
        ffi::Py_INCREF(member);
        ffi::Py_DECREF(number);
        member
    }
}
