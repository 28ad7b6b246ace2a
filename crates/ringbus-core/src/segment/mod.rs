//! The memory a ring lives in, and where each part of it is.

mod available;
mod bytes;
#[cfg(not(loom))]
pub mod folder;
#[cfg(not(loom))]
pub mod locks;
#[cfg(loom)]
mod modelled;
#[cfg(not(loom))]
mod named;
#[cfg(not(loom))]
mod private;
#[cfg(not(loom))]
pub mod shared;
mod wakes;

pub use available::PAD;
#[cfg(not(loom))]
pub use bytes::Registering;
pub use bytes::{SINGLE_PRODUCER_BYTE, consumer_byte, producer_byte};
#[cfg(loom)]
pub use modelled::{ModelSlot, Registering};
#[cfg(not(loom))]
pub use named::{Access, Existing};

use crate::crash::crash_point;
use crate::error::ConfigError;
use crate::eviction::Patience;
#[cfg(not(loom))]
use crate::layout::Offsets;
use crate::layout::{
    ConsumerEntry, CursorLines, FutexLine, Geometry, MAX_CONSUMERS, MAX_SEQUENCE, ProducerLine, RegistryLine, StateLine,
};
use crate::sync::{AtomicU32, Mutex, Ordering, can_be_asymmetric};
use std::ptr::NonNull;

#[cfg(loom)]
use modelled::Backing;

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
    cursor: NonNull<CursorLines>,
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
    patience: Patience,
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
            patience: Patience::default(),
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
    pub fn cursor(&self) -> &CursorLines {
        // SAFETY: as in `state`.
        unsafe { self.parts.cursor.as_ref() }
    }

    /// The registry's bit sets.
    #[inline]
    pub fn registry(&self) -> &RegistryLine {
        // SAFETY: as in `state`.
        unsafe { self.parts.registry.as_ref() }
    }

    /// For how long this process has waited for consumers that may be evicted.
    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Whether the ring was unlinked or replaced.
    #[inline(always)]
    pub fn is_retired(&self) -> bool {
        let said = self.state().replaced.load(Ordering::Relaxed);
        said != 0 && self.has_lost_its_name(said)
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

    /// The lowest sequence of all consumers that gate, and whose it is; `default` when there are none.
    ///
    /// The caller has passed `store_load_barrier` since it read the cursor.
    pub fn minimum_gate(&self, default: i64) -> (i64, Option<usize>) {
        let mut entries = self.registry().gating.load(Ordering::Acquire);
        let mut lowest = (default, None);
        while entries != 0 {
            let index = entries.trailing_zeros() as usize;
            entries &= entries - 1;
            let sequence = self.consumer(index).sequence.gate();
            if sequence < MAX_SEQUENCE && (sequence < lowest.0 || lowest.1.is_none()) {
                lowest = (sequence.min(default), Some(index));
            }
        }
        lowest
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
}
