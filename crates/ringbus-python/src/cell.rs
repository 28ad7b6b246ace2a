//! What the GIL protects: cells that only code that is attached to the interpreter touches.

use std::cell::Cell;

/// A value that only the holder of the GIL reads or writes, never across a call that may release it.
pub struct GilCell<T>(Cell<T>);

// SAFETY: the module declares that it needs the GIL (`gil_used`), and every access takes place while it is
// held: no two threads touch the value at the same time.
unsafe impl<T> Sync for GilCell<T> {}
// SAFETY: as above.
unsafe impl<T> Send for GilCell<T> {}

impl<T> GilCell<T> {
    pub const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    /// The value, for as long as no Python code runs.
    #[allow(clippy::mut_from_ref, reason = "the GIL makes the access exclusive")]
    #[inline(always)]
    pub fn get_mut(&self) -> &mut T {
        // SAFETY: the GIL is held, and no caller keeps the reference across a call that may release it or
        // that comes back here.
        unsafe { &mut *self.0.as_ptr() }
    }
}

impl<T: Copy> GilCell<T> {
    #[inline(always)]
    pub fn get(&self) -> T {
        self.0.get()
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        self.0.set(value);
    }
}
