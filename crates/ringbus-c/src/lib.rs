//! The C interface of ringbus. What each function promises is said once, in `ringbus.h`.
//!
//! A handle is a box with a tag, so that null, a handle of another kind and most that were closed are found. Nothing
//! allocates or locks between a claim and a commit.

mod consumer;
mod failure;
mod fork;
mod handle;
mod options;
mod producer;
mod ring;

use ringbus_core::segment::locks::{LockTable, own_table};
use std::ffi::{CStr, c_char};

const ABI_VERSION: u32 = 1;

/// `RINGBUS_ABI_VERSION` of the library.
#[unsafe(no_mangle)]
pub extern "C" fn ringbus_abi_version() -> u32 {
    ABI_VERSION
}

/// The version of ringbus.
#[unsafe(no_mangle)]
pub extern "C" fn ringbus_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };
    VERSION.as_ptr()
}

/// The table of locks of this library, for other copies of ringbus in the process.
#[unsafe(no_mangle)]
pub extern "C" fn ringbus_lock_table_v1() -> *const LockTable {
    own_table()
}
