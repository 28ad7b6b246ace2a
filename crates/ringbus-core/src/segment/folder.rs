//! Where shared rings live: one folder a user, closed to everybody else.
//!
//! `RINGBUS_DIR`, or else a folder of the user's own in /dev/shm. A ring is a file of its name; beside it
//! stands its lock file, named after the ring and its instance, so that a ring that took the name of
//! another one has a lock file of its own.

use crate::error::ShareError;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What ends the names of fifos.
const FIFO: &str = ".wake";
/// Bytes of a ring's name.
pub const RING_NAME_BYTES: usize = 100;
/// What begins the names of files that are not complete yet.
const UNFINISHED: &str = ".new-";
/// What ends the names of lock files.
const LOCK: &str = ".lock";

/// The folder of this user's rings, made if it is missing.
///
/// # Errors
/// It cannot be made, belongs to somebody else, or is open to others.
pub fn folder() -> Result<PathBuf, ShareError> {
    let path = match std::env::var_os("RINGBUS_DIR").filter(|value| !value.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(format!("/dev/shm/ringbus-{}", user())),
    };
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(ShareError::io("making the folder", &path, &error)),
    }
    check_folder(&path)?;
    Ok(path)
}

fn check_folder(path: &Path) -> Result<(), ShareError> {
    let facts = std::fs::symlink_metadata(path).map_err(|error| ShareError::io("looking at", path, &error))?;
    let path = path.to_path_buf();
    if !facts.is_dir() {
        return Err(ShareError::NotPrivate {
            path,
            fact: "it is no folder".into(),
        });
    }
    if facts.uid() != user() {
        return Err(ShareError::NotPrivate {
            path,
            fact: format!("it belongs to user {}", facts.uid()),
        });
    }
    if facts.mode() & 0o077 != 0 {
        return Err(ShareError::NotPrivate {
            path,
            fact: format!("its mode is {:o}", facts.mode() & 0o777),
        });
    }
    Ok(())
}

/// Checks that `name` can be a ring's.
///
/// # Errors
/// Empty, too long, or with characters that a file name should not have.
pub fn check_name(name: &str) -> Result<(), ShareError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= RING_NAME_BYTES && name.bytes().all(fits) && !name.ends_with(LOCK) {
        return Ok(());
    }
    Err(ShareError::BadName { name: name.to_owned() })
}

/// The file of the ring `name`.
///
/// # Errors
/// As [`folder`] and [`check_name`].
pub fn ring_path(name: &str) -> Result<PathBuf, ShareError> {
    check_name(name)?;
    Ok(folder()?.join(name))
}

/// The lock file of the ring in `path` that has this instance number.
pub fn lock_path(path: &Path, instance: u64) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.{instance:016x}{LOCK}"))
}

/// The fifo by which a publisher wakes the event loop of the consumer at `entry`.
pub fn fifo_path(path: &Path, entry: usize, watch: u64) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.{entry}.{watch:016x}{FIFO}"))
}

/// The ring and the instance that a lock file of this name is for.
pub fn ring_of_lock(file: &str) -> Option<(&str, u64)> {
    let (ring, instance) = file.strip_prefix('.')?.strip_suffix(LOCK)?.rsplit_once('.')?;
    Some((ring, u64::from_str_radix(instance, 16).ok()?))
}

/// The ring that a fifo of this name is for.
pub fn ring_of_fifo(file: &str) -> Option<&str> {
    let (rest, _watch) = file.strip_prefix('.')?.strip_suffix(FIFO)?.rsplit_once('.')?;
    Some(rest.rsplit_once('.')?.0)
}

/// A name that nobody else uses, for a file that is not complete yet.
pub fn unfinished_path(path: &Path, instance: u64) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{UNFINISHED}{name}-{instance:016x}"))
}

/// The ring and the number of an unfinished segment's file.
pub fn ring_of_unfinished(file: &str) -> Option<(&str, u64)> {
    let (ring, instance) = file.strip_prefix(UNFINISHED)?.rsplit_once('-')?;
    Some((ring, u64::from_str_radix(instance, 16).ok()?))
}

/// The names of the rings in the folder.
///
/// # Errors
/// The folder cannot be read.
pub fn list() -> Result<Vec<String>, ShareError> {
    let path = folder()?;
    let entries = std::fs::read_dir(&path).map_err(|error| ShareError::io("reading", &path, &error))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check_name(name).is_ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The effective user.
pub fn user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// A path for the system.
///
/// # Errors
/// It has a NUL in it.
pub fn c_path(path: &Path) -> Result<CString, ShareError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| ShareError::BadName {
        name: path.display().to_string(),
    })
}
