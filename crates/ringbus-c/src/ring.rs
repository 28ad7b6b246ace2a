//! A ring that the program is attached to.

use crate::failure::{Code, Failure, answer};
use crate::fork;
use crate::handle::{self, Handle, Kind};
use crate::options::{self, AttachOptions, Info, Slots};
use ringbus_core::segment::Access;
use ringbus_core::{Alert, ProducerKind, Segment, inspect, registry, residents};
use std::ffi::{CString, c_char};
use std::sync::Arc;
use std::time::{Duration, Instant};

const READ_ONLY: u64 = 1;
/// `RINGBUS_FOREVER`, for who waits for a ring.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Slot header bits, as in the segment's header.
const STAMP: u32 = 1;
const TYPE: u32 = 4;

/// An attachment, and what all that was made from it share.
pub struct Ring {
    pub segment: Arc<Segment>,
    /// Ends the waits of its producers and consumers.
    pub alert: Alert,
    pub name: Arc<str>,
    schema: CString,
}

impl Kind for Ring {
    const TAG: u64 = u64::from_le_bytes(*b"rb ring\0");
    const NAME: &'static str = "ringbus_ring";
}

impl Ring {
    fn attach(name: &str, options: &AttachOptions) -> Result<Self, Failure> {
        options::check_flags(options.flags, READ_ONLY)?;
        fork::register();
        let deadline = options::deadline(options.wait_ns).or_else(|| Instant::now().checked_add(FOREVER));
        let access = if options.flags & READ_ONLY == 0 {
            Access::Write
        } else {
            Access::Read
        };
        let segment = Segment::attach(name, access, deadline)?;
        let hash = segment.geometry().schema_hash;
        if options.schema_hash != 0 && options.schema_hash != hash {
            let wanted = options.schema_hash;
            let text = format!(
                "{name:?} has a schema of hash {hash:#018x}, not {wanted:#018x}; build against the events of that ring"
            );
            return Err(Failure::new(Code::Layout, text));
        }
        let schema = CString::new(segment.schema()).unwrap_or_default();
        Ok(Self {
            segment: Arc::new(segment),
            alert: Alert::default(),
            name: name.into(),
            schema,
        })
    }

    /// Refuses what would write to a ring that is attached read-only.
    pub fn check_writable(&self, what: &str) -> Result<(), Failure> {
        if !self.segment.is_read_only() {
            return Ok(());
        }
        let text = format!(
            "{:?} is attached read-only and cannot {what}; attach without RINGBUS_ATTACH_READ_ONLY",
            self.name
        );
        Err(Failure::new(Code::ReadOnly, text))
    }

    fn info(&self) -> Info {
        let geometry = self.segment.geometry();
        let flags = [
            geometry.kind == ProducerKind::Multi,
            geometry.slot_headers & STAMP != 0,
            geometry.slot_headers & TYPE != 0,
            self.segment.is_read_only(),
        ];
        Info {
            size: size_of::<Info>() as u64,
            flags: (0..).zip(flags).map(|(bit, flag)| u64::from(flag) << bit).sum(),
            capacity: geometry.capacity,
            slot_bytes: geometry.slot_bytes,
            event_offset: geometry.slot_header_bytes.into(),
            start: geometry.start,
            schema_hash: geometry.schema_hash,
            instance: self.segment.instance(),
        }
    }

    fn slots(&self) -> Slots {
        let geometry = self.segment.geometry();
        let has_type = geometry.slot_headers & TYPE != 0;
        let stamp = stamp_offset(&self.segment);
        Slots {
            base: self.segment.slot(0),
            mask: geometry.capacity - 1,
            stride: geometry.slot_bytes,
            event_offset: geometry.slot_header_bytes.into(),
            stamp_offset: stamp.map_or(-1, |offset| offset as i64),
            type_offset: match (has_type, stamp) {
                (false, _) => -1,
                (true, Some(_)) => 8,
                (true, None) => 0,
            },
        }
    }

    fn remaining_capacity(&self) -> i64 {
        inspect::remaining_capacity(&self.segment).max(0)
    }
}

/// Where the publish time is in a slot, if it has one that fits.
pub fn stamp_offset(segment: &Segment) -> Option<usize> {
    let geometry = segment.geometry();
    (geometry.slot_headers & STAMP != 0 && geometry.slot_header_bytes >= 8).then_some(0)
}

/// What ended a wait because the ring was unlinked or replaced, or because of the alert.
pub fn alerted(segment: &Segment, name: &str) -> Failure {
    if segment.is_retired() {
        let text = format!("the ring {name:?} was unlinked or replaced; attach anew");
        return Failure::new(Code::Replaced, text);
    }
    Failure::plain(
        Code::Alerted,
        c"ringbus_alert ended the wait; ringbus_clear_alert takes it back",
    )
}

/// A claim that did not get its slots in time: who holds it up.
pub fn claim_timed_out(segment: &Segment, name: &str, count: i64, timeout_ns: i64) -> Failure {
    let names: Vec<String> = inspect::laggards(segment)
        .into_iter()
        .map(|index| residents::describe(segment, index))
        .collect();
    let who = if names.is_empty() {
        "a claim that is not published".to_owned()
    } else {
        names.join(", ")
    };
    let text = format!(
        "claiming {count} of {name:?} took more than {timeout_ns} ns; held up by {who}; wait longer, or look at those"
    );
    Failure::new(Code::TimedOut, text)
}

/// Attaches to a ring.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_attach(
    name: *const c_char,
    options: *const AttachOptions,
    ring: *mut *mut Handle<Ring>,
) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        let (name, options, ring) = unsafe {
            (
                options::text(name, "name")?,
                options::read(options)?,
                out(ring, "ring")?,
            )
        };
        *ring = Handle::give(Ring::attach(name, &options)?);
        Ok(0)
    })
}

/// The place that the caller wants an answer in.
///
/// # Safety
/// `place` is null, or a place of the caller's that may be written to.
pub unsafe fn out<'a, T>(place: *mut T, what: &str) -> Result<&'a mut T, Failure> {
    // SAFETY: by contract.
    unsafe { place.as_mut() }.ok_or_else(|| Failure::invalid(format!("{what} is null; pass where it shall be written")))
}

/// Gives a ring back.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_detach(ring: *mut Handle<Ring>) -> i32 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::take(ring) }.map(|_| 0))
}

/// What a ring is.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_get_info(ring: *const Handle<Ring>, info: *mut Info) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        let (facts, size) = unsafe { (handle::get(ring)?.info(), out(info.cast::<u64>(), "info")?) };
        if *size < 8 {
            let text = format!("info->size is {size}, less than 8; set it to sizeof(ringbus_info)");
            return Err(Failure::invalid(text));
        }
        let bytes = (*size).min(facts.size) as usize;
        // SAFETY: the caller says that so many bytes are there.
        unsafe { std::ptr::copy_nonoverlapping((&raw const facts).cast::<u8>(), info.cast(), bytes) };
        Ok(0)
    })
}

/// Where the slots are.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_get_slots(ring: *const Handle<Ring>, slots: *mut Slots) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        unsafe { *out(slots, "slots")? = handle::get(ring)?.slots() };
        Ok(0)
    })
}

/// The schema.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_schema(ring: *const Handle<Ring>) -> *const c_char {
    let mut schema = std::ptr::null();
    answer(|| {
        // SAFETY: by contract.
        schema = unsafe { handle::get(ring) }?.schema.as_ptr();
        Ok(0)
    });
    schema
}

/// The cursor.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_cursor(ring: *const Handle<Ring>) -> i64 {
    // SAFETY: by contract.
    answer(|| Ok(registry::cursor(&unsafe { handle::get(ring) }?.segment)))
}

/// Free slots.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_remaining_capacity(ring: *const Handle<Ring>) -> i64 {
    // SAFETY: by contract.
    answer(|| Ok(unsafe { handle::get(ring) }?.remaining_capacity()))
}

/// Ends waits.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_alert(ring: *const Handle<Ring>) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        let ring = unsafe { handle::get(ring) }?;
        ring.alert.raise(&ring.segment);
        Ok(0)
    })
}

/// Undoes `ringbus_alert`.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_clear_alert(ring: *const Handle<Ring>) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        unsafe { handle::get(ring) }?.alert.clear();
        Ok(0)
    })
}
