//! The table of locks as a list of C functions, so that all copies of this code in a process can use one of them.
//!
//! A copy that others can use exports `ringbus_lock_table_v1`, which returns its [`own_table`]. The first of them in the
//! order in which the process loaded its files is the one (`loaded.rs`). The list below is version 1 and never changes; a
//! version 2 would have a symbol of its own.

use super::file::{self, LockFile, Step};
use super::loaded;
use crate::error::ShareError;
use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The functions of one table of locks. Paths are terminated; a file is what `open` returned; a byte is that of the lock
/// file; answers are 0 or 1. Any thread may call them, and none of them unwinds.
#[repr(C)]
pub struct LockTable {
    /// 1.
    pub version: u32,
    /// Bytes of this structure.
    pub bytes: u32,
    /// Opens the file, and counts as attached if `present`. Null: refused, and why.
    pub open: unsafe extern "C" fn(path: *const c_char, present: u32, refusal: *mut Refusal) -> *const c_void,
    /// Undoes one `open`.
    pub close: unsafe extern "C" fn(file: *const c_void),
    /// Takes a byte, if nobody alive has it.
    pub take: unsafe extern "C" fn(file: *const c_void, byte: i64) -> u32,
    /// Gives a byte back.
    pub release: unsafe extern "C" fn(file: *const c_void, byte: i64),
    /// Whether some process that is alive has the byte.
    pub is_held: unsafe extern "C" fn(file: *const c_void, byte: i64) -> u32,
    /// Whether another process is attached.
    pub is_another_present: unsafe extern "C" fn(file: *const c_void) -> u32,
    /// Whether any process is attached.
    pub is_anybody_present: unsafe extern "C" fn(path: *const c_char) -> u32,
    /// Removes a file that belongs to no ring.
    pub remove_orphan: unsafe extern "C" fn(path: *const c_char) -> u32,
}

/// Why a table did not open a file.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Refusal {
    /// The system's error number.
    pub errno: i32,
    /// What was refused: 0 opening it, 1 looking at it, 2 locking it.
    pub step: u32,
}

impl Refusal {
    pub(super) fn error(&self, path: &Path) -> ShareError {
        let what = match self.step {
            0 => "opening",
            1 => "looking at",
            _ => "locking",
        };
        ShareError::io(what, path, &std::io::Error::from_raw_os_error(self.errno))
    }
}

/// The table that this process uses: found at the first shared ring, and kept.
pub(super) fn table() -> &'static LockTable {
    static TABLE: OnceLock<&'static LockTable> = OnceLock::new();
    TABLE.get_or_init(|| loaded::first_table().unwrap_or(&OWN))
}

/// The table of this copy of the code.
pub fn own_table() -> &'static LockTable {
    &OWN
}

static OWN: LockTable = LockTable {
    version: 1,
    bytes: size_of::<LockTable>() as u32,
    open,
    close,
    take,
    release,
    is_held,
    is_another_present,
    is_anybody_present,
    remove_orphan,
};

unsafe extern "C" fn open(path: *const c_char, present: u32, refusal: *mut Refusal) -> *const c_void {
    // SAFETY: the path is terminated, by contract.
    let path = unsafe { path_of(path) };
    match file::open(path, present != 0) {
        Ok(file) => Arc::into_raw(file).cast(),
        Err((step, errno)) => {
            let step = step as u32;
            // SAFETY: the caller's own, by contract.
            unsafe { refusal.write(Refusal { errno, step }) };
            std::ptr::null()
        }
    }
}

unsafe extern "C" fn close(file: *const c_void) {
    // SAFETY: `open` gave it out, and the caller gives it back.
    file::close(unsafe { Arc::from_raw(file.cast::<LockFile>()) });
}

unsafe extern "C" fn take(file: *const c_void, byte: i64) -> u32 {
    // SAFETY: open, by contract; so in those below.
    unsafe { file_of(file) }.take(byte).into()
}

unsafe extern "C" fn release(file: *const c_void, byte: i64) {
    // SAFETY: open, by contract.
    unsafe { file_of(file) }.release(byte);
}

unsafe extern "C" fn is_held(file: *const c_void, byte: i64) -> u32 {
    // SAFETY: open, by contract.
    unsafe { file_of(file) }.is_held(byte).into()
}

unsafe extern "C" fn is_another_present(file: *const c_void) -> u32 {
    // SAFETY: open, by contract.
    unsafe { file_of(file) }.is_another_present().into()
}

unsafe extern "C" fn is_anybody_present(path: *const c_char) -> u32 {
    // SAFETY: the path is terminated, by contract.
    file::is_anybody_present(unsafe { path_of(path) }).into()
}

unsafe extern "C" fn remove_orphan(path: *const c_char) -> u32 {
    // SAFETY: the path is terminated, by contract.
    file::remove_orphan(unsafe { path_of(path) }).into()
}

/// # Safety
/// `open` gave `file` out, and it was not closed.
unsafe fn file_of<'a>(file: *const c_void) -> &'a LockFile {
    // SAFETY: by contract.
    unsafe { &*file.cast() }
}

/// # Safety
/// `path` is terminated.
unsafe fn path_of<'a>(path: *const c_char) -> &'a Path {
    // SAFETY: by contract.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

const _: () = assert!(Step::Opening as u32 == 0 && Step::Looking as u32 == 1 && Step::Locking as u32 == 2);
