//! Handles: what C has a pointer to.

use crate::failure::{Code, Failure};
use crate::fork;

/// A kind of handle.
pub trait Kind {
    /// Tells this kind from others, and from what is no handle.
    const TAG: u64;
    /// For messages.
    const NAME: &'static str;
}

/// What C has a pointer to.
#[repr(C)]
pub struct Handle<T> {
    tag: u64,
    generation: u32,
    value: T,
}

impl<T: Kind> Handle<T> {
    /// A pointer to give to C.
    pub fn give(value: T) -> *mut Self {
        Box::into_raw(Box::new(Self {
            tag: T::TAG,
            generation: fork::generation(),
            value,
        }))
    }
}

/// What `handle` stands for.
///
/// # Safety
/// `handle` is null or points to 16 readable bytes, and if it is a handle nobody closes it meanwhile.
#[inline]
pub unsafe fn get<'a, T: Kind>(handle: *const Handle<T>) -> Result<&'a T, Failure> {
    check(handle)?;
    // SAFETY: the tag says that it is a handle of this kind.
    Ok(unsafe { &(*handle).value })
}

/// As [`get`], to change it.
///
/// # Safety
/// As for [`get`]; no other thread is in a call with this handle.
#[inline]
pub unsafe fn get_mut<'a, T: Kind>(handle: *mut Handle<T>) -> Result<&'a mut T, Failure> {
    check(handle)?;
    // SAFETY: as in `get`, and nobody else has it.
    Ok(unsafe { &mut (*handle).value })
}

/// Takes the handle back; C must not use it after this.
///
/// # Safety
/// As for [`get_mut`].
pub unsafe fn take<T: Kind>(handle: *mut Handle<T>) -> Result<T, Failure> {
    check(handle)?;
    // SAFETY: made by `give`; the tag is cleared, so that a second close is told as long as the memory is not used anew.
    unsafe {
        (&raw mut (*handle).tag).write_volatile(0);
        Ok(Box::from_raw(handle).value)
    }
}

#[inline]
fn check<T: Kind>(handle: *const Handle<T>) -> Result<(), Failure> {
    if handle.is_null() || !handle.is_aligned() {
        return Err(no_handle::<T>());
    }
    // SAFETY: by the contract of the callers: 16 readable bytes.
    let (tag, generation) = unsafe { ((*handle).tag, (*handle).generation) };
    if tag != T::TAG {
        return Err(no_handle::<T>());
    }
    if generation != fork::generation() {
        return Err(forked::<T>());
    }
    Ok(())
}

#[cold]
fn no_handle<T: Kind>() -> Failure {
    let text = format!(
        "the pointer is no {}, or was closed; pass what ringbus gave out",
        T::NAME
    );
    Failure::new(Code::Invalid, text)
}

#[cold]
fn forked<T: Kind>() -> Failure {
    let text = format!(
        "the {} is from before a fork, and this is process {}; attach anew in the child",
        T::NAME,
        std::process::id()
    );
    Failure::new(Code::Forked, text)
}
