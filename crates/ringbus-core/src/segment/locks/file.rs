//! The lock files of this process: one descriptor each, in one table.

use super::PRESENCE;
use crate::crash::crash_point;
use crate::segment::folder::c_path;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// How often a lock file may be swept away under who opens it.
const SWEEPS: usize = 1000;

/// One lock file, as this process has it.
pub struct LockFile {
    file: OwnedFd,
    identity: (u64, u64),
    process: u32,
    /// Bytes this process holds: its own locks do not exclude its threads.
    held: Mutex<HashSet<i64>>,
}

/// What the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// To open the file.
    Opening = 0,
    /// To say which file it is.
    Looking = 1,
    /// To lock a byte of it.
    Locking = 2,
}

/// The step that the system refused, and its error number.
pub type Refused = (Step, i32);

fn refused(step: Step) -> Refused {
    (step, std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// The lock files of this process, and how many rings hold on to each. Opening and closing take place under
/// this lock: to close one descriptor after another one was opened would drop the locks of both.
type Table = HashMap<(u64, u64), (Arc<LockFile>, usize)>;

fn table() -> MutexGuard<'static, Table> {
    static TABLE: OnceLock<Mutex<Table>> = OnceLock::new();
    TABLE
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

fn known<'a>(table: &'a mut Table, path: &Path) -> Option<&'a mut (Arc<LockFile>, usize)> {
    let identity = identity_of(path)?;
    // In a child made by fork the parent's entries mean nothing: the locks are not the child's.
    table
        .get_mut(&identity)
        .filter(|(file, _)| file.process == std::process::id())
}

/// Opens the lock file at `path`, or shares the one this process has open. If `present`, it counts as attached from
/// then on; a watcher, who only looks, does not.
///
/// # Errors
/// What the system refused.
pub fn open(path: &Path, present: bool) -> Result<Arc<LockFile>, Refused> {
    let mut table = table();
    if let Some((file, holders)) = known(&mut table, path) {
        if present && !set(&file.file, libc::F_RDLCK, PRESENCE) {
            return Err(refused(Step::Locking));
        }
        *holders += 1;
        return Ok(Arc::clone(file));
    }
    let (file, identity) = open_new(path, present)?;
    let shared = Arc::new(LockFile {
        file,
        identity,
        process: std::process::id(),
        held: Mutex::default(),
    });
    // What a fork left in the place is kept open for ever: closing it is the child's right, and harmless.
    table.insert(identity, (Arc::clone(&shared), 1));
    Ok(shared)
}

/// Opens the file that this process has not open; again, when a sweep takes it away meanwhile.
fn open_new(path: &Path, present: bool) -> Result<(OwnedFd, (u64, u64)), Refused> {
    for _ in 0..SWEEPS {
        let file = open_file(path, true)?;
        let identity = identity_of_file(&file).ok_or_else(|| refused(Step::Looking))?;
        crash_point!("attach.opened");
        let locked = !present || set(&file, libc::F_RDLCK, PRESENCE);
        crash_point!("attach.present");
        if locked && identity_of(path) == Some(identity) {
            return Ok((file, identity));
        }
        std::thread::yield_now();
    }
    Err(refused(Step::Locking))
}

/// Undoes one [`open`]; the last one closes the descriptor.
pub fn close(shared: Arc<LockFile>) {
    let mut table = table();
    let Some((file, holders)) = table.get_mut(&shared.identity) else {
        return;
    };
    if !Arc::ptr_eq(file, &shared) {
        return;
    }
    *holders -= 1;
    if *holders == 0 {
        table.remove(&shared.identity);
    }
    // The last reference ends here, while the table is locked, and closes the descriptor.
    drop(shared);
}

/// Removes the lock file at `path`, which belongs to no ring, unless somebody is about to make its ring.
pub fn remove_orphan(path: &Path) -> bool {
    let mut table = table();
    if known(&mut table, path).is_some() {
        return false;
    }
    // Not open in this process: opening and closing it drops no lock of ours.
    open_file(path, false).is_ok_and(|file| set(&file, libc::F_WRLCK, PRESENCE) && std::fs::remove_file(path).is_ok())
}

/// Whether anybody, this process too, is attached to the ring of the lock file at `path`.
pub fn is_anybody_present(path: &Path) -> bool {
    let mut table = table();
    if let Some((file, _)) = known(&mut table, path) {
        return is_locked(&file.file, PRESENCE);
    }
    // Not open in this process: opening and closing it drops no lock of ours.
    open_file(path, false).is_ok_and(|file| is_locked(&file, PRESENCE))
}

impl LockFile {
    /// Whether anybody but this process is attached.
    pub fn is_another_present(&self) -> bool {
        let mut lock = region(libc::F_WRLCK, PRESENCE);
        // SAFETY: the descriptor is open, the structure whole.
        let asked = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
        asked == 0 && i32::from(lock.l_type) != libc::F_UNLCK
    }

    /// Takes `byte` for this process, if nobody alive has it.
    pub fn take(&self, byte: i64) -> bool {
        let mut held = self.held();
        if held.contains(&byte) || !set(&self.file, libc::F_WRLCK, byte) {
            return false;
        }
        held.insert(byte);
        true
    }

    /// Gives `byte` back.
    pub fn release(&self, byte: i64) {
        let mut held = self.held();
        if held.remove(&byte) {
            set(&self.file, libc::F_UNLCK, byte);
        }
    }

    /// Whether some process that is alive has `byte`.
    pub fn is_held(&self, byte: i64) -> bool {
        self.held().contains(&byte) || is_locked(&self.file, byte)
    }

    fn held(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the lock file for writing, whatever the ring is opened for: a lock that excludes needs it.
fn open_file(path: &Path, create: bool) -> Result<OwnedFd, Refused> {
    let name = c_path(path).map_err(|_| (Step::Opening, libc::EINVAL))?;
    let create = if create { libc::O_CREAT } else { 0 };
    // SAFETY: a terminated path; a new descriptor is this function's to own.
    unsafe {
        let file = libc::open(
            name.as_ptr(),
            libc::O_RDWR | create | libc::O_CLOEXEC | libc::O_NOFOLLOW,
            0o600,
        );
        if file < 0 {
            return Err(refused(Step::Opening));
        }
        Ok(OwnedFd::from_raw_fd(file))
    }
}

fn region(kind: libc::c_int, byte: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

fn set(file: &OwnedFd, kind: libc::c_int, byte: i64) -> bool {
    let lock = region(kind, byte);
    // SAFETY: the descriptor is open, the structure whole.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) == 0 }
}

/// Whether any process has a lock on `byte`.
fn is_locked(file: &OwnedFd, byte: i64) -> bool {
    let mut lock = region(libc::F_WRLCK, byte);
    // SAFETY: the descriptor is open, the structure whole and its pid 0, as the call wants it.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    asked == 0 && i32::from(lock.l_type) != libc::F_UNLCK
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path)
        .ok()
        .map(|facts| (facts.dev(), facts.ino()))
}

fn identity_of_file(file: &OwnedFd) -> Option<(u64, u64)> {
    // SAFETY: a zeroed stat is a valid one; the descriptor is open.
    unsafe {
        let mut facts: libc::stat = std::mem::zeroed();
        (libc::fstat(file.as_raw_fd(), &raw mut facts) == 0).then_some((facts.st_dev, facts.st_ino))
    }
}
