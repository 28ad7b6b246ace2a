//! `fork()`: the child has a copy of the memory and none of the locks, so every handle is void there.

use ringbus_core::sync::{AtomicU32, Ordering};
use std::sync::Once;

static GENERATION: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Counts up in each child.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has the system count forks; once a process.
pub fn register() {
    static ONCE: Once = Once::new();
    // SAFETY: the handler only adds to an atomic word, which is safe after a fork.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}
