//! `fork()`: the child has a copy of the memory and none of the threads, so every handle is void there.

use pyo3::prelude::*;
use ringbus_core::sync::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Counts up in each child.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has the system count forks; once a process.
pub fn register() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: the handler only adds to an atomic word, which is safe after a fork.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

/// What a handle of process `owner` answers in a child.
pub fn error(py: Python<'_>, what: &str, owner: u32) -> PyErr {
    crate::errors::error(py, "ForkedError", (what, owner))
}
