//! A ring that other processes attach to by its name: built under another name, completed, and linked
//! into place, so that nobody ever sees half of one.

use super::folder::{self, c_path, lock_path, ring_path, unfinished_path, user};
use super::locks::Locks;
use super::{Access, Parts};
use crate::crash::crash_point;
use crate::error::ShareError;
use crate::layout::{Geometry, Header, LAYOUT_VERSION, MAGIC, Offsets};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// The mapping of a shared segment.
pub struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    pub(super) access: Access,
    pub(super) path: PathBuf,
    pub(super) instance: u64,
    pub(super) locks: Locks,
}

/// What a file says it is, checked.
pub struct Found {
    /// Its sizes.
    pub geometry: Geometry,
    /// Its number.
    pub instance: u64,
    /// Its schema, as JSON.
    pub schema: Vec<u8>,
    file: OwnedFd,
    path: PathBuf,
}

impl Found {
    /// Opens the ring `name` and reads what it is, from the file: nothing is mapped yet.
    ///
    /// # Errors
    /// There is none, it is not ours, or it is no ring of this layout.
    pub fn open(name: &str, read_only: bool) -> Result<Self, ShareError> {
        Self::open_at(ring_path(name)?, read_only)
    }

    fn open_at(path: PathBuf, read_only: bool) -> Result<Self, ShareError> {
        let file = open_ring(&path, read_only)?;
        let facts = std::fs::File::from(file);
        let metadata = facts
            .metadata()
            .map_err(|error| ShareError::io("looking at", &path, &error))?;
        if !metadata.is_file() {
            return Err(ShareError::layout(
                &path,
                "is no file",
                "something else".into(),
                "a ring".into(),
            ));
        }
        if metadata.uid() != user() {
            return Err(ShareError::NotPrivate {
                path,
                fact: format!("it belongs to user {}", metadata.uid()),
            });
        }
        let header = read_header(&facts, &path, metadata.len())?;
        let geometry = check_header(&header, &path, metadata.len())?;
        let offsets = geometry
            .offsets()
            .map_err(|why| ShareError::layout(&path, "sizes", why.to_string(), "sizes that go together".into()))?;
        let mut schema = vec![0; geometry.schema_bytes as usize];
        std::os::unix::fs::FileExt::read_exact_at(&facts, &mut schema, offsets.schema as u64)
            .map_err(|error| ShareError::io("reading", &path, &error))?;
        Ok(Self {
            geometry,
            instance: header.instance,
            schema,
            file: OwnedFd::from(facts),
            path,
        })
    }

    /// Whether anybody is attached to it.
    pub fn is_alive(&self) -> bool {
        Locks::is_anybody_present(&lock_path(&self.path, self.instance))
    }

    /// Maps it and is present from then on.
    ///
    /// # Errors
    /// The system refused.
    pub(super) fn map(self, access: Access) -> Result<(Mapping, Parts), ShareError> {
        let read_only = access == Access::Read;
        let locks = Locks::open(&lock_path(&self.path, self.instance), !read_only)?;
        let offsets = self.geometry.offsets().map_err(ShareError::Config)?;
        let base = map(&self.file, offsets.total, read_only, &self.path)?;
        let mapping = Mapping {
            base,
            bytes: offsets.total,
            access,
            path: self.path,
            instance: self.instance,
            locks,
        };
        mapping.protect(&offsets)?;
        let parts = mapping.parts(&offsets);
        Ok((mapping, parts))
    }
}

/// Waits for the ring `name` until `deadline`.
///
/// # Errors
/// As [`Found::open`]; when it does not come, that there is none.
pub fn wait_for_ring(name: &str, read_only: bool, deadline: Option<Instant>) -> Result<Found, ShareError> {
    loop {
        match Found::open(name, read_only) {
            Err(ShareError::NotFound { .. }) if deadline.is_some_and(|deadline| Instant::now() < deadline) => {
                std::thread::sleep(Duration::from_millis(2));
            }
            found => return found,
        }
    }
}

impl Mapping {
    /// Makes a complete segment that has no name yet, with `prepare` run on it before anybody can see it.
    ///
    /// # Errors
    /// The system refused: no space is ENOSPC here, not a signal later.
    pub(super) fn build(
        name: &str,
        geometry: &Geometry,
        schema: &[u8],
        prepare: impl FnOnce(&Parts),
    ) -> Result<(Unlinked, Parts), ShareError> {
        let path = ring_path(name)?;
        let offsets = geometry.offsets().map_err(ShareError::Config)?;
        let instance = random();
        let mut header = geometry.header().map_err(ShareError::Config)?;
        header.instance = instance;
        header.crc = header.checksum();
        // Present before there is a file: one that nobody is present for was left by the dead.
        let lock = Temporary(lock_path(&path, instance));
        let locks = Locks::open(&lock.0, true)?;
        let temporary = Temporary(unfinished_path(&path, instance));
        let file = create(&temporary.0)?;
        crash_point!("create.file");
        reserve(&file, offsets.total, &path)?;
        crash_point!("create.reserved");
        let base = map(&file, offsets.total, false, &path)?;
        let mapping = Self {
            base,
            bytes: offsets.total,
            access: Access::Write,
            path,
            instance,
            locks,
        };
        let parts = mapping.parts(&offsets);
        // SAFETY: the mapping is `offsets.total` bytes; every offset is inside it, and nobody else has it yet.
        unsafe {
            base.cast::<Header>().write(header);
            crash_point!("create.header");
            std::ptr::copy_nonoverlapping(schema.as_ptr(), base.add(offsets.schema).as_ptr(), schema.len());
            crash_point!("create.schema");
        }
        prepare(&parts);
        Ok((
            Unlinked {
                mapping,
                temporary,
                lock,
            },
            parts,
        ))
    }

    /// Whether the name still leads to this segment.
    pub fn is_linked(&self) -> bool {
        Found::open_at(self.path.clone(), true).is_ok_and(|found| found.instance == self.instance)
    }

    /// Whether the name leads nowhere, or to another segment. Where the system does not say, it has not.
    pub(super) fn has_lost_its_name(&self) -> bool {
        match Found::open_at(self.path.clone(), true) {
            Ok(found) => found.instance != self.instance,
            Err(ShareError::NotFound { .. }) => true,
            Err(_) => false,
        }
    }

    /// Takes the right to write from the pages that the access does not let this process write: the header and the
    /// schema, and the slots. The rest is words that everybody who takes part writes.
    fn protect(&self, offsets: &Offsets) -> Result<(), ShareError> {
        if self.access == Access::Consume {
            self.protect_pages(0, offsets.state)?;
            self.protect_pages(offsets.slots, offsets.total)?;
        }
        Ok(())
    }

    fn protect_pages(&self, from: usize, to: usize) -> Result<(), ShareError> {
        // SAFETY: inside the mapping; parts begin on pages (layout.rs). Nobody has a pointer to it that writes.
        let refused = unsafe { libc::mprotect(self.base.add(from).as_ptr().cast(), to - from, libc::PROT_READ) } != 0;
        if refused {
            return Err(ShareError::last("protecting", &self.path));
        }
        Ok(())
    }

    fn parts(&self, offsets: &Offsets) -> Parts {
        super::parts_at(self.base, offsets)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and every pointer into it dies with the Segment.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// A file that goes when this goes, unless it was kept.
struct Temporary(PathBuf);

impl Temporary {
    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

/// A complete segment without its name.
pub struct Unlinked {
    mapping: Mapping,
    temporary: Temporary,
    lock: Temporary,
}

impl Unlinked {
    /// Gives it its name, if nobody has it.
    ///
    /// # Errors
    /// The name exists, or the system refused.
    pub fn link(self) -> Result<Mapping, ShareError> {
        std::fs::hard_link(&self.temporary.0, &self.mapping.path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                ShareError::Exists {
                    path: self.mapping.path.clone(),
                }
            } else {
                ShareError::io("linking", &self.mapping.path, &error)
            }
        })?;
        crash_point!("create.linked");
        self.lock.keep();
        drop(self.temporary);
        crash_point!("create.named");
        Ok(self.mapping)
    }

    /// Gives it its name, whoever has it.
    ///
    /// # Errors
    /// The system refused.
    pub fn replace(self) -> Result<Mapping, ShareError> {
        std::fs::rename(&self.temporary.0, &self.mapping.path)
            .map_err(|error| ShareError::io("renaming to", &self.mapping.path, &error))?;
        crash_point!("create.renamed");
        self.temporary.keep();
        self.lock.keep();
        Ok(self.mapping)
    }
}

/// A descriptor that becomes readable when a publisher wakes the consumer at `entry`, and the number that names it.
///
/// # Errors
/// The system refused.
pub(super) fn open_fifo(path: &Path, entry: usize) -> Result<(OwnedFd, u64), ShareError> {
    let watch = random() | 1;
    let fifo = folder::fifo_path(path, entry, watch);
    let name = c_path(&fifo)?;
    // Open for both: a fifo without a writer would look readable for ever.
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a terminated path; a new descriptor is this function's to own.
    unsafe {
        if libc::mkfifo(name.as_ptr(), 0o600) != 0 {
            return Err(ShareError::last("making", &fifo));
        }
        crash_point!("watch.made");
        let file = libc::open(name.as_ptr(), flags);
        if file < 0 {
            Err(ShareError::last("opening", &fifo))
        } else {
            Ok((OwnedFd::from_raw_fd(file), watch))
        }
    }
}

/// Writes to the fifo of the consumer at `entry`; harmless when nobody reads it any more.
pub(super) fn write_fifo(path: &Path, entry: usize, watch: u64) {
    let Ok(name) = c_path(&folder::fifo_path(path, entry, watch)) else {
        return;
    };
    let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a terminated path, one readable byte, and a descriptor closed by who opened it.
    unsafe {
        let file = libc::open(name.as_ptr(), flags);
        if file >= 0 {
            libc::write(file, c"!".as_ptr().cast(), 1);
            crash_point!("wake.fifo");
            libc::close(file);
        }
    }
}

/// Takes the ring's files away. Whoever is attached keeps the memory.
///
/// # Errors
/// The system refused.
pub fn unlink(path: &Path, instance: u64) -> Result<(), ShareError> {
    std::fs::remove_file(path).map_err(|error| ShareError::io("removing", path, &error))?;
    crash_point!("unlink.removed");
    let _ = std::fs::remove_file(lock_path(path, instance));
    crash_point!("unlink.lock_removed");
    Ok(())
}

/// Removes what the dead left in the folder: rings that they did not complete, lock files and fifos of no ring.
///
/// # Errors
/// The folder cannot be read.
pub fn sweep() -> Result<usize, ShareError> {
    let folder = folder::folder()?;
    let entries = std::fs::read_dir(&folder).map_err(|error| ShareError::io("reading", &folder, &error))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    Ok(paths.filter(|path| sweep_file(path)).count())
}

fn sweep_file(path: &Path) -> bool {
    let name = path
        .file_name()
        .map_or(String::new(), |name| name.to_string_lossy().into_owned());
    if let Some((ring, instance)) = folder::ring_of_unfinished(&name) {
        let lock = lock_path(&path.with_file_name(ring), instance);
        return !Locks::is_anybody_present(&lock) && std::fs::remove_file(path).is_ok();
    }
    if let Some((ring, instance)) = folder::ring_of_lock(&name) {
        let is_orphan = match Found::open(ring, true) {
            Ok(found) => found.instance != instance,
            Err(error) => matches!(error, ShareError::NotFound { .. }),
        };
        return is_orphan && Locks::remove_orphan(path);
    }
    let ring = folder::ring_of_fifo(&name);
    ring.is_some_and(|ring| matches!(Found::open(ring, true), Err(ShareError::NotFound { .. })))
        && std::fs::remove_file(path).is_ok()
}

fn create(path: &Path) -> Result<OwnedFd, ShareError> {
    let name = c_path(path)?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: a terminated path; a new descriptor is this function's to own.
    unsafe {
        let file = libc::open(name.as_ptr(), flags, 0o600);
        if file < 0 {
            Err(ShareError::last("making", path))
        } else {
            Ok(OwnedFd::from_raw_fd(file))
        }
    }
}

fn open_ring(path: &Path, read_only: bool) -> Result<OwnedFd, ShareError> {
    let name = c_path(path)?;
    let access = if read_only { libc::O_RDONLY } else { libc::O_RDWR };
    // O_NONBLOCK: a fifo under this name must not hang us.
    // SAFETY: a terminated path; a new descriptor is this function's to own.
    unsafe {
        let file = libc::open(
            name.as_ptr(),
            access | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK,
        );
        if file >= 0 {
            return Ok(OwnedFd::from_raw_fd(file));
        }
    }
    let error = std::io::Error::last_os_error();
    if error.kind() == std::io::ErrorKind::NotFound {
        return Err(ShareError::NotFound {
            path: path.to_path_buf(),
        });
    }
    Err(ShareError::io("opening", path, &error))
}

fn reserve(file: &OwnedFd, bytes: usize, path: &Path) -> Result<(), ShareError> {
    // SAFETY: the descriptor is open.
    let errno = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
    if errno == 0 {
        return Ok(());
    }
    Err(ShareError::io(
        &format!("reserving {bytes} bytes for"),
        path,
        &std::io::Error::from_raw_os_error(errno),
    ))
}

fn map(file: &OwnedFd, bytes: usize, read_only: bool, path: &Path) -> Result<NonNull<u8>, ShareError> {
    let access = libc::PROT_READ | if read_only { 0 } else { libc::PROT_WRITE };
    // SAFETY: a new shared mapping of a file that is `bytes` long.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            access,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(ShareError::last("mapping", path));
    }
    NonNull::new(base.cast()).ok_or_else(|| ShareError::last("mapping", path))
}

fn read_header(file: &std::fs::File, path: &Path, bytes: u64) -> Result<Header, ShareError> {
    let mut raw = [0_u8; size_of::<Header>()];
    if bytes < raw.len() as u64 {
        let expected = format!("at least {} bytes", raw.len());
        return Err(ShareError::layout(
            path,
            "is too short for a ring",
            format!("{bytes} bytes"),
            expected,
        ));
    }
    std::os::unix::fs::FileExt::read_exact_at(file, &mut raw, 0)
        .map_err(|error| ShareError::io("reading", path, &error))?;
    // SAFETY: a header is plain integers: any bytes are one.
    Ok(unsafe { raw.as_ptr().cast::<Header>().read_unaligned() })
}

fn check_header(header: &Header, path: &Path, bytes: u64) -> Result<Geometry, ShareError> {
    let wrong = |fact: &str, found: String, expected: String| Err(ShareError::layout(path, fact, found, expected));
    if header.magic != MAGIC {
        return wrong(
            "is no ring",
            format!("magic {:02x?}", header.magic),
            format!("{MAGIC:02x?}"),
        );
    }
    if header.word_order != Header::WORD_ORDER {
        let found = format!("{:#x}", header.word_order);
        return wrong(
            "is of a machine with another word order",
            found,
            format!("{:#x}", Header::WORD_ORDER),
        );
    }
    if header.layout_version != LAYOUT_VERSION {
        let remedy = format!("version {LAYOUT_VERSION}");
        return wrong(
            "has another layout",
            format!("version {}", header.layout_version),
            remedy,
        );
    }
    if header.crc != header.checksum() {
        let (found, expected) = (format!("{:#010x}", header.crc), format!("{:#010x}", header.checksum()));
        return wrong("has a header whose checksum is wrong", found, expected);
    }
    let Some(geometry) = Geometry::from_header(header) else {
        return wrong(
            "has sizes that no ring has",
            format!("{header:?}"),
            "sizes that go together".into(),
        );
    };
    if header.total_bytes != bytes {
        return wrong(
            "has been cut or grown",
            format!("{bytes} bytes"),
            format!("{} bytes", header.total_bytes),
        );
    }
    Ok(geometry)
}

fn random() -> u64 {
    let mut number = [0_u8; 8];
    // SAFETY: eight writable bytes; a refusal leaves zeros, and then the clock makes the difference.
    unsafe { libc::getrandom(number.as_mut_ptr().cast(), 8, 0) };
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64);
    u64::from_le_bytes(number) ^ clock
}
