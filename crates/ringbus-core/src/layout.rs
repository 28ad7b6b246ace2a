//! The memory layout, one version number for all of it: named structures, offsets, magic.
//!
//! Every line is 128 bytes, on x86-64 (whose prefetcher pairs lines) and on aarch64 alike. Only
//! fixed-width little-endian integers. A page of zeros is a valid beginning of every part.

use crate::error::ConfigError;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64};

/// The first eight bytes of every segment.
pub const MAGIC: [u8; 8] = *b"RINGBUS\0";
/// Counts up with every change of this file that an attached peer could notice.
pub const LAYOUT_VERSION: u32 = 3;
/// The distance, in bytes, that keeps two words from sharing a cache line.
pub const LINE_BYTES: usize = 128;
/// Parts begin on pages.
pub const PAGE_BYTES: usize = 4096;
/// Entries of the consumer registry; one bit each in a 64-bit set.
pub const MAX_CONSUMERS: usize = if cfg!(loom) { 3 } else { 64 };
/// Bytes of a consumer's name.
pub const NAME_BYTES: usize = 64;
/// Sequences at or past this are refused: 2,923 years at 100 million events a second from 0.
pub const MAX_SEQUENCE: i64 = (1 << 62) - 1;
/// The most slots of a ring.
pub const MAX_CAPACITY: u64 = 1 << 32;

/// How many producers a ring admits at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProducerKind {
    /// One open claim at a time.
    Single = 1,
    /// Any number, by compare-and-swap of the cursor.
    Multi = 2,
}

/// What a ring is, written once before anybody else sees it. Plain fields: never written again.
#[repr(C, align(128))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`LAYOUT_VERSION`].
    pub layout_version: u32,
    /// [`LINE_BYTES`].
    pub line_bytes: u32,
    /// [`PAGE_BYTES`].
    pub page_bytes: u32,
    /// [`ProducerKind`] as a number.
    pub producer_kind: u32,
    /// Slots, a power of two.
    pub capacity: u64,
    /// Bytes from one slot to the next.
    pub slot_bytes: u64,
    /// Bytes of a slot's headers, before the event.
    pub slot_header_bytes: u32,
    /// Which slot headers there are, a bit each: 1 publish time, 2 trace context, 4 type tag.
    pub slot_headers: u32,
    /// The first sequence of the ring.
    pub start: i64,
    /// Identifies the schema.
    pub schema_hash: u64,
    /// Bytes of the schema, as JSON.
    pub schema_bytes: u64,
    /// Producer lines.
    pub producers: u32,
    /// Consumer entries.
    pub consumers: u32,
    /// Bytes of the whole segment.
    pub total_bytes: u64,
    /// A number of this segment's own: another one under the same name has another.
    pub instance: u64,
    /// [`Header::WORD_ORDER`], as the machine that made the segment writes it.
    pub word_order: u32,
    /// CRC-32 of the header with this field 0.
    pub crc: u32,
}

impl Header {
    /// Reads otherwise on a machine with another word order.
    pub const WORD_ORDER: u32 = 0x0102_0304;

    /// What `crc` has to be.
    pub fn checksum(&self) -> u32 {
        let header = Self { crc: 0, ..*self };
        // SAFETY: a header is plain integers without padding between them; the rest of its lines is zero.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const header).cast::<u8>(), HEADER_BYTES) };
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 }
            })
        })
    }
}

/// Bytes of a header's fields.
const HEADER_BYTES: usize = std::mem::offset_of!(Header, crc) + 4;

/// The name is gone.
pub const RETIRED: u32 = 1;
/// The name may be gone: who reads this looks at it.
pub const ANNOUNCED: u32 = 2;

/// The words of the header that change: `ready` is written last at creation.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct StateLine {
    /// 1 once the segment is complete. Written by the creator (release), read by who attaches (acquire).
    pub ready: AtomicU32,
    /// [`ANNOUNCED`] while somebody is about to take the name away, [`RETIRED`] once it is gone. Written by whoever
    /// unlinks or replaces, read by everybody.
    pub replaced: AtomicU32,
    /// Pads ever made, raised before the first one shows. Written by producers and recoverers, read by
    /// consumers once a batch.
    pub pads: AtomicU64,
}

/// The cursor: two words, each on a line of its own. Consumers that wait read `published` all the time; a single producer
/// would have to fetch their line twice for each event if `claimed` lay on it.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct CursorLines {
    /// The highest sequence ever claimed; never goes back, not even when a claim is rewound. Written by producers
    /// before they write a slot; read by producers, and by readers that may be lapped.
    pub claimed: AtomicI64,
    apart: [u64; LINE_BYTES / 8 - 1],
    /// The highest sequence published; single producer only. Written by the producer (release), read by
    /// consumers (acquire).
    pub published: AtomicI64,
}

/// Which entries of the registry are in use, on a line of its own; read by producers seldom.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct RegistryLine {
    /// A bit for each entry that gates the producers. Set by a joiner, cleared by a leaver; read by producers.
    pub gating: AtomicU64,
    /// A bit for each entry taken.
    pub taken: AtomicU64,
}

/// A word that waiters sleep on, on a line of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct FutexLine {
    /// Bit 0: somebody may sleep; bit 1: somebody watches. Set by waiters before their second look, cleared by
    /// whoever wakes, who counts the wake in the bits above.
    pub armed: AtomicU32,
    #[cfg(loom)]
    pub(crate) bed: crate::futex::Bed,
}

/// A sequence on a line of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct SequenceLine {
    /// The last sequence its consumer is done with. Written by that consumer (release), read by producers
    /// and by dependents (acquire). One that may be evicted moves it by compare-and-swap, and so does who evicts it,
    /// to a number that no sequence has.
    pub value: AtomicI64,
}

/// What a consumer counts about itself, on a line of its own. Written by its consumer alone, read by anybody.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct CounterLine {
    /// Events handled.
    pub events: AtomicU64,
    /// Batches handled.
    pub batches: AtomicU64,
    /// Waits that did not find what they waited for at once, or in a first short look.
    pub waits: AtomicU64,
    /// Time in such waits, ns.
    pub blocked_ns: AtomicU64,
    /// Events that a consumer that does not gate was lapped by.
    pub missed: AtomicU64,
}

/// Who a consumer is. Written by the joiner while the entry is its own alone, read by anybody.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct IdentityLine {
    /// 0 free, 1 joining, 2 live, 3 held for one that has not come yet, 4 dead, kept while others depend on it.
    pub state: AtomicU32,
    /// A bit each: 1 gates, 2 does not gate, 4 durable.
    pub kind: AtomicU32,
    /// Counts up each time the entry is taken.
    pub generation: AtomicU64,
    /// The entries it depends on, a bit each; 0 means the cursor.
    pub depends_on: AtomicU64,
    /// Process id, for people to read.
    pub pid: AtomicU64,
    /// Start time of that process in clock ticks since boot, for people to read.
    pub start_time: AtomicU64,
    /// Inode of its pid namespace, for people to read.
    pub pid_namespace: AtomicU64,
    /// Names the fifo that wakes its event loop; 0 is none. Written by its owner, read by publishers.
    pub watch: AtomicU64,
    /// UTF-8, padded with zeros.
    #[cfg(not(loom))]
    pub name: [AtomicU64; NAME_BYTES / 8],
    /// Written by who has the entry to itself: nothing for a model to interleave.
    #[cfg(loom)]
    pub(crate) name: std::sync::Mutex<String>,
}

/// On what terms it takes part. Written by the joiner before it gates, read by who waits for it.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct TermsLine {
    /// Of a durable consumer that is away: the most events it may be behind before it is let go; 0 is no limit.
    pub absent_limit: AtomicU64,
    /// How long producers wait for it before they evict it, ns; 0 is for ever.
    pub evict_after: AtomicU64,
}

/// One consumer: five lines.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct ConsumerEntry {
    /// Who it is.
    pub identity: IdentityLine,
    /// Where it is.
    pub sequence: SequenceLine,
    /// What it counted.
    pub counters: CounterLine,
    /// Who waits for it.
    pub futex: FutexLine,
    /// What was agreed.
    pub terms: TermsLine,
}

/// Open claims that one producer may have at once.
pub const INTENTS: usize = 7;

/// What a producer is about to claim, or has claimed and not published: a claim that is covered by the
/// intent of a live producer is left to it. Both are the sequence + 1, and 0 is none. Written by the
/// producer as low = none, high, low; read by who recovers as low, high, low.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Intent {
    /// The lowest sequence + 1; 0 is none.
    pub low: AtomicI64,
    /// The highest sequence + 1.
    pub high: AtomicI64,
}

/// One producer, number set at creation.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct ProducerLine {
    /// 0 free, otherwise the owner's process id. Written by who takes or recovers the line.
    pub owner: AtomicU64,
    /// Counts up each time the line is taken.
    pub generation: AtomicU64,
    /// One for each open claim.
    pub intents: [Intent; INTENTS],
}

/// The sizes that everything else of a segment follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Slots, a power of two.
    pub capacity: u64,
    /// Bytes from one slot to the next.
    pub slot_bytes: u64,
    /// Bytes of a slot's headers.
    pub slot_header_bytes: u32,
    /// Which slot headers there are.
    pub slot_headers: u32,
    /// Single or multi.
    pub kind: ProducerKind,
    /// The first sequence.
    pub start: i64,
    /// Producer lines.
    pub producers: u32,
    /// Bytes of the schema.
    pub schema_bytes: u64,
    /// Identifies the schema.
    pub schema_hash: u64,
}

/// Byte offsets of each part from the beginning of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The schema. It and the header are on pages of their own, which nobody writes after creation.
    pub schema: usize,
    /// [`StateLine`].
    pub state: usize,
    /// [`CursorLines`].
    pub cursor: usize,
    /// [`FutexLine`] of the cursor.
    pub cursor_futex: usize,
    /// [`RegistryLine`].
    pub registry: usize,
    /// [`ProducerLine`]s.
    pub producers: usize,
    /// [`ConsumerEntry`]s.
    pub consumers: usize,
    /// Available words, multi-producer only.
    pub available: usize,
    /// Slots.
    pub slots: usize,
    /// Bytes of the whole segment.
    pub total: usize,
}

impl Geometry {
    /// Checks the sizes.
    ///
    /// # Errors
    /// Capacity no power of two or out of range, slot size 0, a start below 0 or too near the end.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.capacity.is_power_of_two() {
            return Err(ConfigError::CapacityNotPowerOfTwo {
                capacity: self.capacity,
            });
        }
        if self.capacity > MAX_CAPACITY {
            return Err(ConfigError::CapacityTooLarge {
                capacity: self.capacity,
                slot_bytes: self.slot_bytes,
            });
        }
        if self.start < 0 || self.start > MAX_SEQUENCE - (1 << 32) {
            return Err(ConfigError::StartOutOfRange { start: self.start });
        }
        Ok(())
    }

    /// Where each part begins.
    ///
    /// # Errors
    /// As [`Geometry::check`], or when the whole would not fit an address space.
    pub fn offsets(&self) -> Result<Offsets, ConfigError> {
        self.check()?;
        let too_large = || ConfigError::CapacityTooLarge {
            capacity: self.capacity,
            slot_bytes: self.slot_bytes,
        };
        let bytes = |count: u64, size: usize| count.checked_mul(size as u64).ok_or_else(too_large);
        let mut at = 0_u64;
        let mut part = |size: u64, align: usize| -> Result<usize, ConfigError> {
            let begin = at.checked_next_multiple_of(align as u64).ok_or_else(too_large)?;
            at = begin.checked_add(size).ok_or_else(too_large)?;
            usize::try_from(begin).map_err(|_| too_large())
        };
        part(size_of::<Header>() as u64, LINE_BYTES)?;
        let schema = part(self.schema_bytes, LINE_BYTES)?;
        let state = part(size_of::<StateLine>() as u64, PAGE_BYTES)?;
        let cursor = part(size_of::<CursorLines>() as u64, LINE_BYTES)?;
        let cursor_futex = part(size_of::<FutexLine>() as u64, LINE_BYTES)?;
        let registry = part(size_of::<RegistryLine>() as u64, LINE_BYTES)?;
        let producers = part(bytes(u64::from(self.producers), size_of::<ProducerLine>())?, LINE_BYTES)?;
        let consumers = part(bytes(MAX_CONSUMERS as u64, size_of::<ConsumerEntry>())?, LINE_BYTES)?;
        let words = if self.kind == ProducerKind::Multi {
            self.capacity
        } else {
            0
        };
        let available = part(bytes(words, 4)?, PAGE_BYTES)?;
        let slots = part(
            self.capacity.checked_mul(self.slot_bytes).ok_or_else(too_large)?,
            PAGE_BYTES,
        )?;
        let total = part(0, PAGE_BYTES)?;
        if total as u64 > 1 << 46 {
            return Err(too_large());
        }
        Ok(Offsets {
            schema,
            state,
            cursor,
            cursor_futex,
            registry,
            producers,
            consumers,
            available,
            slots,
            total,
        })
    }

    /// The sizes that a header names, if they go together.
    pub fn from_header(header: &Header) -> Option<Self> {
        let kind = match header.producer_kind {
            1 => ProducerKind::Single,
            2 => ProducerKind::Multi,
            _ => return None,
        };
        let geometry = Self {
            capacity: header.capacity,
            slot_bytes: header.slot_bytes,
            slot_header_bytes: header.slot_header_bytes,
            slot_headers: header.slot_headers,
            kind,
            start: header.start,
            producers: header.producers,
            schema_bytes: header.schema_bytes,
            schema_hash: header.schema_hash,
        };
        let fits = header.consumers == MAX_CONSUMERS as u32
            && header.line_bytes == LINE_BYTES as u32
            && header.page_bytes == PAGE_BYTES as u32
            && geometry.slot_bytes >= 8
            && geometry.slot_bytes.is_multiple_of(8)
            && u64::from(geometry.slot_header_bytes) <= geometry.slot_bytes
            && (1..=1024).contains(&geometry.producers)
            && geometry.schema_bytes <= 1 << 24;
        let total = geometry.offsets().ok()?.total as u64;
        (fits && total == header.total_bytes).then_some(geometry)
    }

    /// The header that says all this.
    ///
    /// # Errors
    /// As [`Geometry::offsets`].
    pub fn header(&self) -> Result<Header, ConfigError> {
        Ok(Header {
            magic: MAGIC,
            layout_version: LAYOUT_VERSION,
            line_bytes: LINE_BYTES as u32,
            page_bytes: PAGE_BYTES as u32,
            producer_kind: self.kind as u32,
            capacity: self.capacity,
            slot_bytes: self.slot_bytes,
            slot_header_bytes: self.slot_header_bytes,
            slot_headers: self.slot_headers,
            start: self.start,
            schema_hash: self.schema_hash,
            schema_bytes: self.schema_bytes,
            producers: self.producers,
            consumers: MAX_CONSUMERS as u32,
            total_bytes: self.offsets()?.total as u64,
            instance: 0,
            word_order: Header::WORD_ORDER,
            crc: 0,
        })
    }
}
