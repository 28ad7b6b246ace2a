//! Object rings: the claim is open while user code fills the slot's object.

use super::{Publisher, Refused};
use crate::errors;
use pyo3::ffi;
use pyo3::prelude::*;

impl Publisher {
    /// Object rings hold the claim open while user code fills the object.
    pub(super) unsafe fn publish_object<const TRY: bool>(
        &self,
        py: Python<'_>,
        positional: &[*mut ffi::PyObject],
        named: *const *mut ffi::PyObject,
        names: *mut ffi::PyObject,
    ) -> Result<bool, Refused> {
        let ring = &*self.ring;
        // SAFETY: alive as long as the call.
        let translator = positional
            .first()
            .map(|&value| unsafe { Borrowed::from_ptr(py, value) });
        if positional.len() > 1 || translator.as_ref().is_some_and(|value| !value.is_callable()) {
            let fact = format!(
                "{} holds objects: publish takes a translator, or attributes by name",
                ring.label
            );
            return Err(Some(errors::error(
                py,
                "SchemaError",
                (fact, "pass a function that fills the object"),
            )));
        }
        ring.check_open_claim(py)?;
        let sequence = match ring.try_claim(py, 1)? {
            Ok(sequence) => sequence,
            Err(_) if TRY => return Ok(false),
            Err(_) => ring.claim(py, 1, self.timeout)?,
        };
        ring.open_claim.set(ring.is_single());
        // SAFETY: the values go with the names.
        let filled = unsafe { fill_object(py, ring.object(sequence).bind(py), translator.as_deref(), named, names) };
        ring.open_claim.set(false);
        match filled {
            Ok(()) => ring.publish(sequence, sequence),
            Err(_) => ring.abort(sequence, sequence),
        }
        filled.map(|()| true).map_err(Some)
    }
}

unsafe fn fill_object(
    py: Python<'_>,
    object: &Bound<'_, PyAny>,
    translator: Option<&Bound<'_, PyAny>>,
    named: *const *mut ffi::PyObject,
    names: *mut ffi::PyObject,
) -> PyResult<()> {
    if let Some(translator) = translator {
        translator.call1((object,))?;
    }
    if !names.is_null() {
        // SAFETY: a tuple of names, with a value each.
        unsafe {
            for index in 0..ffi::PyTuple_GET_SIZE(names) {
                let name = ffi::PyTuple_GET_ITEM(names, index);
                if ffi::PyObject_SetAttr(object.as_ptr(), name, *named.add(index as usize)) != 0 {
                    return Err(PyErr::fetch(py));
                }
            }
        }
    }
    Ok(())
}
