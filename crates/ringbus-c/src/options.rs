//! The structures of `ringbus.h`, and what they mean to the core.

use crate::failure::Failure;
use ringbus_core::{Start, WaitStrategy};
use std::ffi::{CStr, c_char};
use std::time::{Duration, Instant};

/// As `ringbus_wait`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Wait {
    pub kind: u32,
    pub spins: u32,
    pub first_ns: u64,
    pub second_ns: u64,
}

/// As `ringbus_attach_options`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct AttachOptions {
    pub size: u64,
    pub flags: u64,
    pub wait_ns: i64,
    pub schema_hash: u64,
}

/// As `ringbus_info`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Info {
    pub size: u64,
    pub flags: u64,
    pub capacity: u64,
    pub slot_bytes: u64,
    pub event_offset: u64,
    pub start: i64,
    pub schema_hash: u64,
    pub instance: u64,
}

/// As `ringbus_slots`.
#[repr(C)]
pub struct Slots {
    pub base: *mut u8,
    pub mask: u64,
    pub stride: u64,
    pub event_offset: u64,
    pub stamp_offset: i64,
    pub type_offset: i64,
}

/// As `ringbus_consumer_options`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ConsumerOptions {
    pub size: u64,
    pub flags: u64,
    pub absent_limit: u64,
    pub start: u64,
    pub start_at: i64,
    pub depends_on: *const *const c_char,
    pub depends_on_count: u64,
    pub wait: Wait,
}

// Version 1 of the interface has these sizes, and grows at the ends alone.
const _: () = assert!(size_of::<Wait>() == 24 && size_of::<AttachOptions>() == 32 && size_of::<Info>() == 64);
const _: () = assert!(size_of::<Slots>() == 48 && size_of::<ConsumerOptions>() == 80);

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            size: 0,
            flags: 0,
            absent_limit: 0,
            start: 0,
            start_at: 0,
            depends_on: std::ptr::null(),
            depends_on_count: 0,
            wait: Wait::default(),
        }
    }
}

/// A structure that begins with its size.
///
/// # Safety
/// `#[repr(C)]`, a `u64` first, and any bytes are one.
pub unsafe trait Sized64: Copy + Default {}
// SAFETY: integers alone.
unsafe impl Sized64 for AttachOptions {}
// SAFETY: integers, a raw pointer, and a structure of integers.
unsafe impl Sized64 for ConsumerOptions {}

/// What the caller gave; the defaults where it gave null, or less than there is now.
///
/// # Safety
/// `given` is null, or as long as its first member says.
pub unsafe fn read<T: Sized64>(given: *const T) -> Result<T, Failure> {
    let mut options = T::default();
    if given.is_null() {
        return Ok(options);
    }
    // SAFETY: the first member is there, by contract.
    let size = unsafe { given.cast::<u64>().read_unaligned() };
    if size < 8 || size > size_of::<T>() as u64 {
        let most = size_of::<T>();
        return Err(Failure::invalid(format!(
            "the options say that they are {size} bytes, not 8 to {most}; set size to sizeof, and use a library as new as the header"
        )));
    }
    // SAFETY: so many bytes are there, and they fit.
    unsafe { std::ptr::copy_nonoverlapping(given.cast::<u8>(), (&raw mut options).cast(), size as usize) };
    Ok(options)
}

/// # Safety
/// `text` is null or terminated.
pub unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::invalid(format!("{what} is null; pass a text")));
    }
    // SAFETY: terminated, by contract.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|why| Failure::invalid(format!("{what} is no UTF-8 ({why}); pass UTF-8")))
}

/// Refuses flags that this version does not know.
pub fn check_flags(flags: u64, known: u64) -> Result<(), Failure> {
    if flags & !known == 0 {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "flags are {flags:#x}, of which only {known:#x} are known; use a library as new as the header"
    )))
}

/// When a wait of `timeout_ns` is over; `None` is never.
pub fn deadline(timeout_ns: i64) -> Option<Instant> {
    let timeout = Duration::from_nanos(u64::try_from(timeout_ns).ok()?);
    Instant::now().checked_add(timeout)
}

impl ConsumerOptions {
    /// Where it begins.
    pub fn start(&self) -> Result<Start, Failure> {
        Ok(match self.start {
            0 => Start::Default,
            1 => Start::Latest,
            2 => Start::Oldest,
            3 => Start::At(self.start_at),
            other => return Err(Failure::invalid(format!("start is {other}; use one of ringbus_start"))),
        })
    }

    /// The names of those it depends on.
    ///
    /// # Safety
    /// `depends_on` has as many terminated texts as `depends_on_count` says.
    pub unsafe fn depends_on(&self) -> Result<Vec<&str>, Failure> {
        if self.depends_on_count > 64 || (self.depends_on.is_null() && self.depends_on_count > 0) {
            let count = self.depends_on_count;
            return Err(Failure::invalid(format!(
                "depends_on has {count} names; pass an array of at most 64"
            )));
        }
        (0..self.depends_on_count as usize)
            // SAFETY: by contract.
            .map(|index| unsafe { text(*self.depends_on.add(index), "a name in depends_on") })
            .collect()
    }
}

impl Wait {
    /// The strategy that it means.
    pub fn strategy(&self) -> Result<WaitStrategy, Failure> {
        let or = |given_ns: u64, default_us: u64| {
            if given_ns == 0 {
                Duration::from_micros(default_us)
            } else {
                Duration::from_nanos(given_ns)
            }
        };
        Ok(match self.kind {
            0 if self.spins == 0 => WaitStrategy::BLOCKING,
            0 => WaitStrategy::Blocking { spins: self.spins },
            1 => WaitStrategy::BusySpin,
            2 => WaitStrategy::Yielding,
            3 => WaitStrategy::Sleeping {
                longest: or(self.first_ns, 100),
            },
            4 => WaitStrategy::PhasedBackoff {
                spin: or(self.first_ns, 10),
                yielding: or(self.second_ns, 90),
            },
            other => {
                return Err(Failure::invalid(format!(
                    "the kind of wait is {other}; use one of ringbus_wait_kind"
                )));
            }
        })
    }
}
