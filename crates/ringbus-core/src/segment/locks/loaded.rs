//! Which copies of this code the process has loaded, and which of them came first.
//!
//! Neither the name of a file nor the scope it was loaded into tells: Python loads its modules out of each other's
//! sight, and a wheel may carry a library under a name of its own. So every loaded file is asked. The loader appends to
//! its list, so whoever comes first is the same for all copies at any time, and is kept from being unloaded.

use super::table::LockTable;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::Range;

const SYMBOL: &CStr = c"ringbus_lock_table_v1";

/// A file that the process has loaded.
struct Loaded {
    /// Empty for the program itself.
    name: CString,
    addresses: Vec<Range<usize>>,
}

/// The table of the first file that has one to share.
pub(super) fn first_table() -> Option<&'static LockTable> {
    let files = loaded_files();
    let owner_of = |address: usize| {
        let has_it = |file: &Loaded| file.addresses.iter().any(|range| range.contains(&address));
        files.iter().position(has_it)
    };
    let found = files.iter().filter_map(exported);
    let (first, address) = found.filter_map(|address| Some((owner_of(address)?, address))).min()?;
    keep(&files[first]);
    // SAFETY: a function of this name takes nothing and returns a table, and its file stays loaded.
    let table = unsafe {
        let give = std::mem::transmute::<usize, unsafe extern "C" fn() -> *const LockTable>(address);
        give().as_ref()
    }?;
    (table.version == 1 && table.bytes as usize >= size_of::<LockTable>()).then_some(table)
}

fn loaded_files() -> Vec<Loaded> {
    let mut files: Vec<Loaded> = Vec::new();
    // SAFETY: `collect` takes the list for what it is, and keeps no pointer of the loader's.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut files).cast()) };
    files
}

unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: usize, files: *mut c_void) -> c_int {
    // SAFETY: the loader's facts are valid during the call; `files` is what `loaded_files` passed.
    let (info, files) = unsafe { (&*info, &mut *files.cast::<Vec<Loaded>>()) };
    // SAFETY: the loader says where its file's headers are, and how many.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let name = if info.dlpi_name.is_null() {
        CString::default()
    } else {
        // SAFETY: a name of the loader's is terminated.
        unsafe { CStr::from_ptr(info.dlpi_name) }.to_owned()
    };
    let mapped = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let addresses = mapped.map(|header| {
        let begin = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        begin..begin.wrapping_add(header.p_memsz as usize)
    });
    files.push(Loaded {
        name,
        addresses: addresses.collect(),
    });
    0
}

/// The address that the symbol has for who asks this file: its own, or that of a file it needs.
fn exported(file: &Loaded) -> Option<usize> {
    let handle = reopen(file, 0)?;
    // SAFETY: an open handle and a terminated name.
    let address = unsafe { libc::dlsym(handle, SYMBOL.as_ptr()) };
    // SAFETY: an open handle, closed once. The file stays, since others have it open.
    unsafe { libc::dlclose(handle) };
    (!address.is_null()).then_some(address as usize)
}

/// Keeps the file loaded for as long as the process lives.
fn keep(file: &Loaded) {
    reopen(file, libc::RTLD_NODELETE);
}

/// A handle of a file that is loaded; none when it is not any more.
fn reopen(file: &Loaded, how: c_int) -> Option<*mut c_void> {
    let name = if file.name.is_empty() {
        std::ptr::null()
    } else {
        file.name.as_ptr()
    };
    // SAFETY: a terminated name, or null for the program. Nothing is loaded, so nothing is run.
    let handle = unsafe { libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD | how) };
    (!handle.is_null()).then_some(handle)
}
