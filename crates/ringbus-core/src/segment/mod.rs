//! The memory a ring lives in, and where each part of it is.

#[cfg(not(loom))]
pub mod folder;
#[cfg(not(loom))]
pub mod locks;
#[cfg(loom)]
mod modelled;
#[cfg(not(loom))]
mod private;
#[cfg(not(loom))]
pub mod shared;

use crate::crash::crash_point;
use crate::error::ConfigError;
#[cfg(not(loom))]
use crate::error::ShareError;
use crate::futex::{SLEEPER, WATCHER};
#[cfg(not(loom))]
use crate::layout::Offsets;
use crate::layout::{
    ConsumerEntry, CursorLine, FutexLine, Geometry, MAX_CONSUMERS, ProducerKind, ProducerLine, RegistryLine, StateLine,
};
use crate::planted::{Twin, order};
use crate::sync::{AtomicU32, Mutex, Ordering, can_be_asymmetric};
#[cfg(not(loom))]
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
#[cfg(not(loom))]
use std::time::Instant;

#[cfg(loom)]
use modelled::Backing;
#[cfg(loom)]
pub use modelled::ModelSlot;

/// What holds the memory.
#[cfg(not(loom))]
enum Backing {
    Private(private::Private),
    Shared(shared::Mapping),
}

#[cfg(not(loom))]
impl Backing {
    fn is_private(&self) -> bool {
        matches!(self, Self::Private(_))
    }
}

/// In an available word: the slot is a Pad, which consumers step over.
pub const PAD: u32 = 1 << 31;

/// The byte of the lock file that the owner of consumer entry `index` holds.
pub fn consumer_byte(index: usize) -> i64 {
    1000 + index as i64
}

/// The byte of the lock file that the owner of producer line `index` holds.
pub fn producer_byte(index: usize) -> i64 {
    2000 + index as i64
}

/// The byte of the lock file that the process of the one producer of a single-producer ring holds.
pub const SINGLE_PRODUCER_BYTE: i64 = 2;

/// How private memory is to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Touch every page at creation.
    pub prefault: bool,
    /// Ask for huge pages.
    pub huge_pages: bool,
}

/// What kind of pages a segment got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The system's ordinary pages.
    Ordinary,
    /// Ordinary pages that the kernel may join to huge ones.
    Transparent,
    /// Reserved huge pages.
    Huge,
}

/// A word that somebody may wait on: what it is that has to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// The producers' cursor.
    Cursor,
    /// The consumer at this entry.
    Consumer(usize),
}

struct Parts {
    state: NonNull<StateLine>,
    cursor: NonNull<CursorLine>,
    cursor_futex: NonNull<FutexLine>,
    registry: NonNull<RegistryLine>,
    producers: NonNull<ProducerLine>,
    consumers: NonNull<ConsumerEntry>,
    available: NonNull<AtomicU32>,
    #[cfg(not(loom))]
    slots: NonNull<u8>,
    #[cfg(loom)]
    slots: NonNull<ModelSlot>,
}

impl Parts {
    /// The words that are not zero at the beginning.
    fn begin(&self, geometry: &Geometry) {
        // SAFETY: the parts are mapped and nobody else has them yet.
        unsafe {
            self.cursor
                .as_ref()
                .claimed
                .store(geometry.start - 1, Ordering::Relaxed);
            crash_point!("create.claimed");
            self.cursor
                .as_ref()
                .published
                .store(geometry.start - 1, Ordering::Relaxed);
            crash_point!("create.published");
            self.state.as_ref().ready.store(1, Ordering::Release);
            crash_point!("create.ready");
        }
    }
}

#[cfg(not(loom))]
fn parts_at(base: NonNull<u8>, offsets: &Offsets) -> Parts {
    // SAFETY: each offset is inside the mapping at `base` and aligned to what is there (layout.rs).
    unsafe {
        Parts {
            state: base.add(offsets.state).cast(),
            cursor: base.add(offsets.cursor).cast(),
            cursor_futex: base.add(offsets.cursor_futex).cast(),
            registry: base.add(offsets.registry).cast(),
            producers: base.add(offsets.producers).cast(),
            consumers: base.add(offsets.consumers).cast(),
            available: base.add(offsets.available).cast(),
            slots: base.add(offsets.slots),
        }
    }
}

/// The memory of one ring.
pub struct Segment {
    parts: Parts,
    geometry: Geometry,
    mask: u64,
    shift: u32,
    watchers: std::sync::Mutex<Vec<(Blocker, i32)>>,
    registrar: Mutex<()>,
    /// Whether sleepers bear the cost of the barrier between them and publishers: only where all are of this process.
    asymmetric: bool,
    backing: Backing,
}

// SAFETY: everything behind the pointers is atomic, or (slots) handed out by the protocol to one writer at
// a time; the backing memory lives as long as the Segment.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// Makes a segment that only this process has.
    ///
    /// # Errors
    /// Sizes that make no sense, or no memory.
    pub fn private(geometry: Geometry, schema: &[u8], memory: Memory) -> Result<Self, ConfigError> {
        #[cfg(not(loom))]
        let (backing, parts) = {
            let (memory, parts) = private::Private::new(&geometry, schema, memory)?;
            (Backing::Private(memory), parts)
        };
        #[cfg(loom)]
        let (backing, parts) = Backing::new(&geometry, schema, memory)?;
        parts.begin(&geometry);
        Ok(Self::over(parts, geometry, backing))
    }

    fn over(parts: Parts, geometry: Geometry, backing: Backing) -> Self {
        Self {
            parts,
            geometry,
            mask: geometry.capacity - 1,
            shift: geometry.capacity.trailing_zeros(),
            watchers: std::sync::Mutex::new(Vec::new()),
            registrar: Mutex::new(()),
            asymmetric: backing.is_private() && can_be_asymmetric(),
            backing,
        }
    }

    /// The sizes it was made with.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Slots.
    #[inline]
    pub fn capacity(&self) -> i64 {
        self.geometry.capacity as i64
    }

    /// The sequence before the first one.
    #[inline]
    pub fn before_start(&self) -> i64 {
        self.geometry.start - 1
    }

    /// What pages it got.
    #[cfg(not(loom))]
    pub fn pages(&self) -> Pages {
        match &self.backing {
            Backing::Private(memory) => memory.pages(),
            Backing::Shared(_) => Pages::Ordinary,
        }
    }

    /// The words of the header that change.
    #[inline]
    pub fn state(&self) -> &StateLine {
        // SAFETY: points into the backing memory, aligned, alive as long as `self`.
        unsafe { self.parts.state.as_ref() }
    }

    /// The cursor.
    #[inline]
    pub fn cursor(&self) -> &CursorLine {
        // SAFETY: as in `state`.
        unsafe { self.parts.cursor.as_ref() }
    }

    /// The registry's bit sets.
    #[inline]
    pub fn registry(&self) -> &RegistryLine {
        // SAFETY: as in `state`.
        unsafe { self.parts.registry.as_ref() }
    }

    /// Whether the ring was unlinked or replaced.
    #[inline(always)]
    pub fn is_retired(&self) -> bool {
        self.state().replaced.load(Ordering::Relaxed) != 0
    }

    /// The producer line `index`, modulo their number.
    #[inline]
    pub fn producer(&self, index: usize) -> &ProducerLine {
        // SAFETY: the index is below the number of lines; otherwise as in `state`.
        unsafe {
            self.parts
                .producers
                .add(index % self.geometry.producers.max(1) as usize)
                .as_ref()
        }
    }

    /// The consumer entry `index`, modulo their number.
    #[inline]
    pub fn consumer(&self, index: usize) -> &ConsumerEntry {
        // SAFETY: the index is below the number of entries; otherwise as in `state`.
        unsafe { self.parts.consumers.add(index % MAX_CONSUMERS).as_ref() }
    }

    /// The place of `sequence` in the ring.
    #[inline]
    pub fn index(&self, sequence: i64) -> usize {
        (sequence as u64 & self.mask) as usize
    }

    /// The bytes of the slot of `sequence`, its headers first.
    #[cfg(not(loom))]
    #[inline]
    pub fn slot(&self, sequence: i64) -> *mut u8 {
        // SAFETY: the index is below the capacity, so the offset is inside the slots.
        unsafe {
            self.parts
                .slots
                .add(self.index(sequence) * self.geometry.slot_bytes as usize)
                .as_ptr()
        }
    }

    /// The modelled slot of `sequence`.
    #[cfg(loom)]
    pub fn slot(&self, sequence: i64) -> &ModelSlot {
        // SAFETY: the index is below the capacity.
        unsafe { self.parts.slots.add(self.index(sequence)).as_ref() }
    }

    #[inline]
    fn available(&self, sequence: i64) -> &AtomicU32 {
        debug_assert!(self.geometry.kind == ProducerKind::Multi);
        // SAFETY: the index is below the capacity, and multi-producer segments have a word for each slot.
        unsafe { self.parts.available.add(self.index(sequence)).as_ref() }
    }

    /// What the available word of `sequence` is once it is published: its lap + 1, never with the Pad bit.
    #[inline]
    fn lap(&self, sequence: i64) -> u32 {
        ((sequence.wrapping_sub(self.geometry.start) >> self.shift) as u32).wrapping_add(1) & !PAD
    }

    /// Marks `sequence` published (multi-producer).
    #[inline]
    pub fn mark_available(&self, sequence: i64) {
        // SYNC POINT: available. Pairs with `is_available`.
        self.available(sequence)
            .store(self.lap(sequence), order(Twin::AvailableRelaxed, Ordering::Release));
    }

    /// Marks `sequence` a Pad (multi-producer). The count is raised before the first one shows.
    pub fn mark_pad(&self, sequence: i64) {
        self.available(sequence)
            .store(self.lap(sequence) | PAD, Ordering::Release);
    }

    /// Whether `sequence` is published (multi-producer); a Pad counts.
    #[inline]
    pub fn is_available(&self, sequence: i64) -> bool {
        // SYNC POINT: available. Pairs with `mark_available`.
        let word = self
            .available(sequence)
            .load(order(Twin::AvailableReadRelaxed, Ordering::Acquire));
        word & !PAD == self.lap(sequence)
    }

    /// Whether `sequence` was published, by now maybe overwritten by a later lap (multi-producer); a Pad
    /// counts, and so does what lies one lap before the first sequence.
    #[inline]
    pub fn was_published(&self, sequence: i64) -> bool {
        // SYNC POINT: available. Pairs with `mark_available`.
        let word = self
            .available(sequence)
            .load(order(Twin::AvailableReadRelaxed, Ordering::Acquire));
        (word & !PAD).wrapping_sub(self.lap(sequence)) & !PAD < PAD / 2
    }

    /// The last sequence of `first..=last` up to which all of them were published; `first - 1` if none.
    #[inline]
    pub fn published_up_to(&self, first: i64, last: i64) -> i64 {
        let mut next = first;
        while next <= last && self.was_published(next) {
            next += 1;
        }
        next - 1
    }

    /// Whether the published `sequence` is a Pad.
    #[inline]
    pub fn is_pad(&self, sequence: i64) -> bool {
        self.geometry.kind == ProducerKind::Multi && self.available(sequence).load(Ordering::Relaxed) & PAD != 0
    }

    /// The available word of `sequence` (multi-producer).
    pub fn available_word(&self, sequence: i64) -> u32 {
        self.available(sequence).load(Ordering::Acquire)
    }

    /// Whether the slot of `sequence` still shows the lap before (multi-producer).
    pub fn is_behind(&self, sequence: i64) -> bool {
        self.available_word(sequence) & !PAD == self.lap(sequence).wrapping_sub(1) & !PAD
    }

    /// Makes `sequence` a Pad if its available word is still `before` (multi-producer).
    pub fn swap_to_pad(&self, sequence: i64, before: u32) -> bool {
        let pad = self.lap(sequence) | PAD;
        self.available(sequence)
            .compare_exchange(before, pad, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether the ring ever had a Pad. Look after the wait that showed the sequences in question.
    #[inline]
    pub fn has_pads(&self) -> bool {
        self.state().pads.load(Ordering::Relaxed) != 0
    }

    /// The lowest sequence of all consumers that gate, and whose it is; `default` when there are none.
    ///
    /// The caller has passed `store_load_barrier` since it read the cursor.
    pub fn minimum_gate(&self, default: i64) -> (i64, Option<usize>) {
        let mut entries = self.registry().gating.load(Ordering::Acquire);
        let mut lowest = (default, None);
        while entries != 0 {
            let index = entries.trailing_zeros() as usize;
            entries &= entries - 1;
            let sequence = self.consumer(index).sequence.get();
            if sequence < lowest.0 || lowest.1.is_none() {
                lowest = (sequence.min(default), Some(index));
            }
        }
        lowest
    }

    /// Says that the caller is about to wait for `blocker`; see [`FutexLine::arm`]. Who may only read says nothing, and
    /// looks again when its sleep is over.
    #[inline]
    pub fn arm(&self, blocker: Blocker, how: u32) -> u32 {
        if self.is_read_only() {
            return self.futex(blocker).armed.load(Ordering::Relaxed);
        }
        self.futex(blocker).arm(how, self.asymmetric)
    }

    /// The word on which waiters for `blocker` sleep.
    #[inline]
    pub fn futex(&self, blocker: Blocker) -> &FutexLine {
        match blocker {
            // SAFETY: as in `state`.
            Blocker::Cursor => unsafe { self.parts.cursor_futex.as_ref() },
            Blocker::Consumer(index) => &self.consumer(index).futex,
        }
    }

    /// After `blocker` moved: wakes whoever waits for it.
    #[inline]
    pub fn wake(&self, blocker: Blocker) {
        let who = self.futex(blocker).take(self.asymmetric);
        if who != 0 {
            self.wake_slowly(blocker, who);
        }
    }

    #[cold]
    fn wake_slowly(&self, blocker: Blocker, who: u32) {
        if who & SLEEPER != 0 {
            self.futex(blocker).wake();
            crash_point!("wake.sleepers");
        }
        if who & WATCHER != 0 {
            self.notify_watchers(blocker);
            crash_point!("wake.watchers");
        }
    }

    /// Wakes every waiter of the ring, for a halt or a close.
    pub fn wake_all(&self) {
        if self.is_read_only() {
            return;
        }
        self.wake(Blocker::Cursor);
        for index in 0..MAX_CONSUMERS {
            self.wake(Blocker::Consumer(index));
        }
    }

    /// Has `descriptor` (an eventfd) written to when `blocker` is woken and was armed with
    /// [`WATCHER`](crate::futex::WATCHER).
    pub fn watch(&self, blocker: Blocker, descriptor: i32) {
        let mut watchers = self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !watchers.contains(&(blocker, descriptor)) {
            watchers.push((blocker, descriptor));
        }
    }

    /// Undoes every [`Segment::watch`] of `descriptor`.
    pub fn unwatch(&self, descriptor: i32) {
        self.watchers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain(|&(_, watched)| watched != descriptor);
    }

    fn notify_watchers(&self, blocker: Blocker) {
        let watchers = self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for &(_, descriptor) in watchers.iter().filter(|(watched, _)| *watched == blocker) {
            let one = 1_u64;
            // SAFETY: eight readable bytes; a descriptor that is gone gives EBADF, one that is full EAGAIN,
            // and then its owner has a notice pending already.
            #[cfg(not(loom))]
            unsafe {
                libc::write(descriptor, (&raw const one).cast(), 8)
            };
            #[cfg(loom)]
            let _ = (descriptor, one);
        }
        drop(watchers);
        #[cfg(not(loom))]
        if let Backing::Shared(mapping) = &self.backing {
            self.write_fifos(&mapping.path);
        }
    }
}

#[cfg(not(loom))]
impl Segment {
    /// Copies the slot of `sequence` to `target`, word by word, while a producer may write it.
    ///
    /// What was copied is whole only if `claimed`, read after [`crate::sync::read_barrier`], shows that no
    /// producer had claimed the slot again.
    ///
    /// # Safety
    /// `target` takes `slot_bytes` bytes and is aligned to 8.
    pub unsafe fn copy_slot(&self, sequence: i64, target: *mut u8) {
        use crate::sync::AtomicU64;
        let source = self.slot(sequence).cast::<AtomicU64>();
        let target = target.cast::<u64>();
        for word in 0..self.geometry.slot_bytes as usize / 8 {
            // SAFETY: slots are 8-aligned and a multiple of 8 long; the target is as large by contract.
            unsafe { target.add(word).write((*source.add(word)).load(Ordering::Relaxed)) };
        }
    }
}

/// How a shared ring is made when its name exists.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse, unless nobody lives in it and it has the same schema and sizes: then go on from its cursor.
    Resume,
    /// Begin anew; who is attached is told.
    Replace,
}

#[cfg(not(loom))]
impl Segment {
    /// Makes the shared ring `name`, or goes on with one that was left behind.
    ///
    /// # Errors
    /// Somebody lives in it, it is another ring, or the system refused.
    pub fn create(name: &str, geometry: Geometry, schema: &[u8], existing: Existing) -> Result<Self, ShareError> {
        geometry.check().map_err(ShareError::Config)?;
        if existing == Existing::Resume
            && let Some(segment) = Self::resume(name, &geometry, schema)?
        {
            return Ok(segment);
        }
        let old = if existing == Existing::Replace {
            Self::attach(name, false, None).ok()
        } else {
            None
        };
        let (built, parts) = shared::Mapping::build(name, &geometry, schema, |parts| parts.begin(&geometry))?;
        let mapping = if existing == Existing::Replace {
            built.replace()?
        } else {
            built.link()?
        };
        if let Some(old) = old {
            old.retire();
        }
        Ok(Self::over(parts, geometry, Backing::Shared(mapping)))
    }

    fn resume(name: &str, geometry: &Geometry, schema: &[u8]) -> Result<Option<Self>, ShareError> {
        let found = match shared::Found::open(name, false) {
            Ok(found) => found,
            Err(ShareError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let path = folder::ring_path(name)?;
        if found.is_alive() {
            return Err(ShareError::Exists { path });
        }
        if found.geometry
            != (Geometry {
                start: found.geometry.start,
                ..*geometry
            })
            || found.schema != schema
        {
            let (found, expected) = (format!("{:?}", found.geometry), format!("{geometry:?}"));
            return Err(ShareError::layout(
                &path,
                "is another ring that was left behind",
                found,
                expected,
            ));
        }
        Self::mapped(found, false).map(Some)
    }

    /// Attaches to the shared ring `name`, waiting for it until `deadline`.
    ///
    /// # Errors
    /// There is none, or it is none of ours.
    pub fn attach(name: &str, read_only: bool, deadline: Option<Instant>) -> Result<Self, ShareError> {
        Self::mapped(shared::wait_for_ring(name, read_only, deadline)?, read_only)
    }

    fn mapped(found: shared::Found, read_only: bool) -> Result<Self, ShareError> {
        let geometry = found.geometry;
        let (mapping, parts) = found.map(read_only)?;
        Ok(Self::over(parts, geometry, Backing::Shared(mapping)))
    }

    /// Tells whoever is attached that the ring was unlinked or replaced.
    pub fn retire(&self) {
        if self.is_read_only() {
            return;
        }
        self.state().replaced.store(1, Ordering::Release);
        crash_point!("retire.said");
        self.wake_all();
        crash_point!("retire.woken");
        if let Backing::Shared(mapping) = &self.backing {
            let _ = std::fs::remove_file(folder::lock_path(&mapping.path, mapping.instance));
            crash_point!("retire.lock_removed");
        }
    }

    /// Wakes every event loop that waits in another process or in this one. Who was not meant looks and waits again.
    #[cold]
    fn write_fifos(&self, path: &std::path::Path) {
        let taken = self.registry().taken.load(Ordering::Acquire);
        for index in (0..MAX_CONSUMERS).filter(|index| taken & (1 << index) != 0) {
            let watch = self.consumer(index).identity.watch.load(Ordering::Acquire);
            if watch != 0 {
                shared::write_fifo(path, index, watch);
            }
        }
    }

    /// A descriptor that becomes readable when the consumer at `index`, armed as a watcher, is woken, from whatever
    /// process.
    ///
    /// # Errors
    /// The system refused.
    pub fn open_watch(&self, index: usize) -> Result<OwnedFd, ShareError> {
        let Backing::Shared(mapping) = &self.backing else {
            // SAFETY: a new descriptor is this function's to own.
            unsafe {
                let file = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
                let made = if file < 0 {
                    None
                } else {
                    Some(OwnedFd::from_raw_fd(file))
                };
                return made.ok_or_else(|| ShareError::last("making", std::path::Path::new("an eventfd")));
            }
        };
        let (file, watch) = shared::open_fifo(&mapping.path, index)?;
        self.consumer(index).identity.watch.store(watch, Ordering::Release);
        crash_point!("watch.stored");
        Ok(file)
    }

    /// Undoes [`Segment::open_watch`], or does it for a consumer that has died.
    pub fn close_watch(&self, index: usize) {
        if let Backing::Shared(mapping) = &self.backing {
            let watch = self.consumer(index).identity.watch.swap(0, Ordering::AcqRel);
            crash_point!("watch.cleared");
            if watch != 0 {
                let _ = std::fs::remove_file(folder::fifo_path(&mapping.path, index, watch));
                crash_point!("watch.removed");
            }
        }
    }

    /// Takes the name away and tells whoever is attached.
    ///
    /// # Errors
    /// The system refused, or another ring has the name now.
    pub fn unlink(&self) -> Result<(), ShareError> {
        let Backing::Shared(mapping) = &self.backing else {
            return Ok(());
        };
        if !mapping.is_linked() {
            return Err(ShareError::NotFound {
                path: mapping.path.clone(),
            });
        }
        shared::unlink(&mapping.path, mapping.instance)?;
        self.retire();
        Ok(())
    }

    fn locks(&self) -> Option<&locks::Locks> {
        match &self.backing {
            Backing::Private(_) => None,
            Backing::Shared(mapping) => Some(&mapping.locks),
        }
    }

    /// Whether other processes may take part.
    #[inline]
    pub fn is_shared(&self) -> bool {
        matches!(self.backing, Backing::Shared(_))
    }

    /// Whether this process may only read it.
    pub fn is_read_only(&self) -> bool {
        matches!(&self.backing, Backing::Shared(mapping) if mapping.read_only)
    }

    /// The number of a shared segment, which another one under the same name does not have; 0 for a private one.
    pub fn instance(&self) -> u64 {
        match &self.backing {
            Backing::Private(_) => 0,
            Backing::Shared(mapping) => mapping.instance,
        }
    }

    /// Whether any process but this one is attached.
    pub fn is_another_present(&self) -> bool {
        self.locks().is_some_and(locks::Locks::is_another_present)
    }

    /// The schema, as it was stored at creation.
    pub fn schema(&self) -> Vec<u8> {
        let Ok(offsets) = self.geometry.offsets() else {
            return Vec::new();
        };
        let base = self.parts.slots.as_ptr();
        // SAFETY: the schema lies before the slots, inside the mapping, and is never written after creation.
        unsafe {
            let schema = base.sub(offsets.slots).add(offsets.schema);
            std::slice::from_raw_parts(schema, self.geometry.schema_bytes as usize).to_vec()
        }
    }

    /// Takes a byte of the lock file: true when nobody alive has it.
    pub fn take_byte(&self, byte: i64) -> bool {
        self.locks().is_none_or(|locks| locks.take(byte))
    }

    /// Gives a byte back.
    pub fn release_byte(&self, byte: i64) {
        if let Some(locks) = self.locks() {
            locks.release(byte);
        }
    }

    /// Whether somebody alive has the byte. In a private segment everybody is alive.
    pub fn is_byte_held(&self, byte: i64) -> bool {
        self.locks().is_none_or(|locks| locks.is_held(byte))
    }

    /// Excludes others, of this process and of others, from joining and leaving.
    pub(crate) fn registering(&self) -> impl Drop + '_ {
        struct Both<'a>(
            Option<locks::RegistrarGuard<'a>>,
            #[expect(dead_code)] std::sync::MutexGuard<'a, ()>,
        );
        impl Drop for Both<'_> {
            fn drop(&mut self) {
                self.0.take();
            }
        }
        let own = self.registrar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Both(self.locks().map(locks::Locks::registrar), own)
    }
}

#[cfg(loom)]
impl Segment {
    /// Whether threads stand for processes.
    pub fn is_shared(&self) -> bool {
        !self.backing.is_private()
    }

    /// Nobody is attached read-only in a model.
    pub fn is_read_only(&self) -> bool {
        false
    }

    /// A modelled segment in which threads stand for processes.
    ///
    /// # Errors
    /// As [`Segment::private`].
    pub fn shared(geometry: Geometry) -> Result<Self, ConfigError> {
        let (mut backing, parts) = Backing::new(&geometry, &[], Memory::default())?;
        backing.share();
        parts.begin(&geometry);
        Ok(Self::over(parts, geometry, backing))
    }

    /// As in a real segment.
    pub fn take_byte(&self, byte: i64) -> bool {
        self.backing.is_private() || self.backing.bytes().lock().unwrap().insert(byte)
    }

    /// As in a real segment. Also how a model kills the owner of a byte.
    pub fn release_byte(&self, byte: i64) {
        if !self.backing.is_private() {
            self.backing.bytes().lock().unwrap().remove(&byte);
        }
    }

    /// As in a real segment.
    pub fn is_byte_held(&self, byte: i64) -> bool {
        self.backing.is_private() || self.backing.bytes().lock().unwrap().contains(&byte)
    }

    pub(crate) fn registering(&self) -> impl Drop + '_ {
        self.registrar.lock().unwrap()
    }
}
