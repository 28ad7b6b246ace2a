//! Proof of life: byte locks that the kernel drops when their process is gone.
//!
//! Locks of fcntl(2) belong to the process, not to the descriptor: a child made by fork does not have them, and a
//! process that closes any descriptor of the file loses all of them. So each process opens a lock file once,
//! keeps it in a table, and closes it with its last ring. They are set with `F_SETLK` and looked at with
//! `F_OFD_GETLK`, which sees the caller's own locks too. A process may have this code more than once, in the Python
//! module and in the C library: all copies use the table of one of them (`table.rs`).
//!
//! Bytes: 0 whoever is attached (shared), 1 who joins or leaves, 2 the one producer, 1000 + i consumer i,
//! 2000 + i producer line i.

mod file;
mod loaded;
mod table;

pub use table::{LockTable, own_table};

use super::folder::c_path;
use crate::crash::crash_point;
use crate::error::ShareError;
use std::ffi::c_void;
use std::path::Path;
use std::ptr::NonNull;
use table::{Refusal, table};

const PRESENCE: i64 = 0;
const REGISTRAR: i64 = 1;

/// A ring's hold on its lock file.
pub struct Locks {
    table: &'static LockTable,
    /// What `table` gave out for the file.
    file: NonNull<c_void>,
}

// SAFETY: the file is a table's, whose functions any thread may call.
unsafe impl Send for Locks {}
// SAFETY: as above.
unsafe impl Sync for Locks {}

impl Locks {
    /// Opens the lock file at `path`, or shares the one this process has open. If `present`, it counts as attached from
    /// then on; a watcher, who only looks, does not.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, present: bool) -> Result<Self, ShareError> {
        let (table, name) = (table(), c_path(path)?);
        let mut refusal = Refusal::default();
        // SAFETY: a terminated path, and a refusal to be written to.
        let file = unsafe { (table.open)(name.as_ptr(), u32::from(present), &raw mut refusal) };
        match NonNull::new(file.cast_mut()) {
            Some(file) => Ok(Self { table, file }),
            None => Err(refusal.error(path)),
        }
    }

    /// Removes the lock file at `path`, which belongs to no ring, unless somebody is about to make its ring.
    pub fn remove_orphan(path: &Path) -> bool {
        // SAFETY: a terminated path.
        c_path(path).is_ok_and(|name| unsafe { (table().remove_orphan)(name.as_ptr()) } != 0)
    }

    /// Whether anybody, this process too, is attached to the ring of the lock file at `path`.
    pub fn is_anybody_present(path: &Path) -> bool {
        // SAFETY: a terminated path.
        c_path(path).is_ok_and(|name| unsafe { (table().is_anybody_present)(name.as_ptr()) } != 0)
    }

    /// Whether anybody but this process is attached.
    pub fn is_another_present(&self) -> bool {
        // SAFETY: the file is open, as in the next three.
        unsafe { (self.table.is_another_present)(self.file.as_ptr()) != 0 }
    }

    /// Takes `byte` for this process, if nobody alive has it.
    pub fn take(&self, byte: i64) -> bool {
        // SAFETY: the file is open.
        unsafe { (self.table.take)(self.file.as_ptr(), byte) != 0 }
    }

    /// Gives `byte` back.
    pub fn release(&self, byte: i64) {
        // SAFETY: the file is open.
        unsafe { (self.table.release)(self.file.as_ptr(), byte) }
    }

    /// Whether some process that is alive has `byte`.
    pub fn is_held(&self, byte: i64) -> bool {
        // SAFETY: the file is open.
        unsafe { (self.table.is_held)(self.file.as_ptr(), byte) != 0 }
    }

    /// Takes the byte of who joins or leaves, if nobody has it.
    pub fn registrar(&self) -> Option<RegistrarGuard<'_>> {
        if !self.take(REGISTRAR) {
            return None;
        }
        crash_point!("registrar.taken");
        Some(RegistrarGuard { locks: self })
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // SAFETY: the file is open, and nobody uses it after this.
        unsafe { (self.table.close)(self.file.as_ptr()) }
    }
}

/// Holds the registrar's byte.
pub struct RegistrarGuard<'a> {
    locks: &'a Locks,
}

impl Drop for RegistrarGuard<'_> {
    fn drop(&mut self) {
        self.locks.release(REGISTRAR);
        crash_point!("registrar.released");
    }
}
