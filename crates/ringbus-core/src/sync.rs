//! The one place that names atomics, so that loom can replace them.
//!
//! No access here or elsewhere is SeqCst; the only sequentially consistent step is
//! [`store_load_barrier`].
#![allow(clippy::disallowed_types)]

#[cfg(not(loom))]
use std::sync as imported;
#[cfg(not(loom))]
pub use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{Ordering, fence},
};

#[cfg(loom)]
use loom::sync as imported;
#[cfg(loom)]
pub use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{Ordering, fence},
};

// Aliases, since the lint that keeps atomics in this file looks through a re-export.

/// An atomic `i64`.
pub type AtomicI64 = imported::atomic::AtomicI64;
/// An atomic `u32`.
pub type AtomicU32 = imported::atomic::AtomicU32;
/// An atomic `u64`.
pub type AtomicU64 = imported::atomic::AtomicU64;
/// An atomic pointer.
pub type AtomicPtr<T> = imported::atomic::AtomicPtr<T>;

/// Orders every earlier store before every later load, on this thread and against every other thread
/// that passes the same barrier (Dekker's pattern: arm and check, join and read, claim and scan).
///
/// Where it stands: publish before the look at `armed`; arm before the second look; a join before the
/// second look at the cursor; a producer before its scan of the registry.
#[inline(always)]
pub fn store_load_barrier() {
    imp::store_load_barrier();
}

#[cfg(all(not(loom), not(tsan), target_arch = "x86_64"))]
mod imp {
    #[inline(always)]
    pub fn store_load_barrier() {
        // SAFETY: adds nothing to the word at the top of the stack, which is mapped. A locked instruction
        // is a full barrier on x86-64 and takes about half the time of `mfence`; without `nomem` the
        // compiler moves no memory access across it.
        unsafe { core::arch::asm!("lock or dword ptr [rsp], 0", options(nostack)) };
    }
}

#[cfg(any(loom, all(not(tsan), not(target_arch = "x86_64"))))]
mod imp {
    use super::{Ordering, fence};

    #[inline(always)]
    pub fn store_load_barrier() {
        fence(Ordering::SeqCst);
    }
}

/// ThreadSanitizer does not model fences: a read-modify-write of one shared word orders the same.
#[cfg(all(not(loom), tsan))]
mod imp {
    use super::{AtomicU32, Ordering};

    static BARRIER: AtomicU32 = AtomicU32::new(0);

    pub fn store_load_barrier() {
        BARRIER.fetch_add(1, Ordering::AcqRel);
    }
}

/// One side of a store-load barrier whose cost the other side bears: where `asymmetric`, it only keeps the compiler
/// from moving accesses, and [`heavy_barrier`] runs a barrier on every core that runs this process.
///
/// For a private ring, whose publishers pass here with each event and whose sleepers pay a system call anyway.
#[inline(always)]
pub fn light_barrier(asymmetric: bool) {
    if asymmetric {
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    } else {
        store_load_barrier();
    }
}

/// The other side of [`light_barrier`].
#[inline]
pub fn heavy_barrier(asymmetric: bool) {
    store_load_barrier();
    #[cfg(not(any(loom, tsan)))]
    if asymmetric {
        // SAFETY: takes three numbers. It cannot fail in a process that has registered, as `can_be_asymmetric` did.
        unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) };
    }
    #[cfg(any(loom, tsan))]
    let _ = asymmetric;
}

/// Whether this process may use the asymmetric pair. Neither loom nor ThreadSanitizer knows it: both check the
/// symmetric one.
pub fn can_be_asymmetric() -> bool {
    #[cfg(not(any(loom, tsan)))]
    // SAFETY: takes three numbers; the kernel refuses what it does not know.
    unsafe {
        libc::syscall(
            libc::SYS_membarrier,
            libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
            0,
            0,
        ) == 0
    }
    #[cfg(any(loom, tsan))]
    false
}

/// Orders the stores before it before the stores after it, for readers that pass [`read_barrier`].
///
/// A producer stores `claimed`, passes this, and writes the slot; a reader that may be lapped copies the
/// slot, passes [`read_barrier`], and reads `claimed`.
#[inline(always)]
pub fn write_barrier() {
    #[cfg(not(tsan))]
    if !crate::planted::is(crate::planted::Twin::WriteBarrierDropped) {
        fence(Ordering::Release);
    }
}

/// See [`write_barrier`].
#[inline(always)]
pub fn read_barrier() {
    #[cfg(not(tsan))]
    if !crate::planted::is(crate::planted::Twin::ReadBarrierDropped) {
        fence(Ordering::Acquire);
    }
}

/// Has the processor fetch the line at `place` to be written soon. Nothing waits for it; any address will do.
#[cfg(not(loom))]
#[inline(always)]
pub fn prefetch_for_write(place: *const u8) {
    // SAFETY: a hint, which reads and writes nothing a program could see, and does not fault.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}

/// One turn of a spin: tells the processor, or loom, that this thread waits for another.
#[inline(always)]
pub fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Keeps off for a while without giving the core away; under loom, for one turn.
pub fn pause_for(time: std::time::Duration) {
    let begin = std::time::Instant::now();
    loop {
        spin_hint();
        if cfg!(loom) || begin.elapsed() >= time {
            return;
        }
    }
}

/// Gives the rest of the time slice away.
#[inline]
pub fn yield_now() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}
