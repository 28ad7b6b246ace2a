//! What is in a slot: its optional headers, and an event of one of the ring's types.

use super::Ring;
use crate::errors;
use crate::schema::SchemaInner;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::sync::Arc;

/// Slot header bits, as in the segment's header.
pub const STAMP: u32 = 1;
pub const TAG: u32 = 4;

/// One event type of a ring.
pub struct EventKind {
    pub schema: Arc<SchemaInner>,
    pub class: Py<PyType>,
    pub dtype: Py<PyAny>,
}

/// Where the parts of a slot are.
#[derive(Clone, Copy)]
pub struct SlotShape {
    /// Bytes of a slot.
    pub bytes: usize,
    /// Bytes of the event, the largest type's.
    pub event_bytes: usize,
    /// Where the event begins.
    pub event: usize,
    /// Where the publish time is, if there is one.
    pub stamp: Option<usize>,
    /// Where the type tag is, if there is one.
    pub tag: Option<usize>,
}

impl SlotShape {
    pub fn new(kinds: &[EventKind], stamped: bool) -> Self {
        let align = kinds.iter().map(|kind| kind.schema.align).max().unwrap_or(1).max(8);
        let event_bytes = kinds.iter().map(|kind| kind.schema.event_bytes).max().unwrap_or(0);
        let stamp = stamped.then_some(0);
        let tag = (kinds.len() > 1).then_some(if stamped { 8 } else { 0 });
        let headers: usize = tag.map_or(if stamped { 8 } else { 0 }, |tag| tag + 2);
        let event = headers.next_multiple_of(align);
        let bytes = (event + event_bytes).next_multiple_of(align).max(8);
        Self {
            bytes,
            event_bytes,
            event,
            stamp,
            tag,
        }
    }

    /// The publish time's distance from the event, for views; 0 is none.
    pub fn stamp_offset(&self) -> isize {
        self.stamp.map_or(0, |stamp| stamp as isize - self.event as isize)
    }

    pub fn headers(&self) -> u32 {
        self.stamp.map_or(0, |_| STAMP) | self.tag.map_or(0, |_| TAG)
    }
}

impl Ring {
    /// The bytes of the event in the slot of `sequence`.
    #[inline(always)]
    pub fn event(&self, sequence: i64) -> *mut u8 {
        // SAFETY: the event begins inside the slot.
        unsafe { self.segment.slot(sequence).add(self.slot.event) }
    }

    /// The type of the event in the slot at `slot`, as an index into `kinds`.
    #[inline(always)]
    pub fn kind_at(&self, slot: *const u8) -> usize {
        match self.slot.tag {
            None => 0,
            // SAFETY: the tag is inside the slot. Checked against the number of types, since a broken peer
            // may have written anything.
            Some(tag) => unsafe { slot.add(tag).cast::<u16>().read() as usize }.min(self.kinds.len() - 1),
        }
    }

    /// Writes the type tag of the slot of `sequence`, if slots have one.
    #[inline(always)]
    pub fn tag(&self, sequence: i64, kind: usize) {
        if let Some(tag) = self.slot.tag {
            // SAFETY: the tag is inside the slot, which is this producer's.
            unsafe { self.segment.slot(sequence).add(tag).cast::<u16>().write(kind as u16) };
        }
    }

    /// The index of the event type `class`.
    pub fn kind_of(&self, class: &Bound<'_, PyAny>) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.class.as_ptr() == class.as_ptr())
    }

    /// The ring's only event type, for verbs that were given none.
    ///
    /// # Errors
    /// The ring has several.
    pub fn only_kind(&self, py: Python<'_>, verb: &str) -> PyResult<usize> {
        if self.kinds.len() == 1 {
            return Ok(0);
        }
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.schema.name.as_str()).collect();
        let fact = format!("{} has {} event types ({})", self.label, names.len(), names.join(", "));
        let remedy = format!("name one: {verb}({}, ...)", names.first().unwrap_or(&"Type"));
        Err(errors::error(py, "SchemaError", (fact, remedy)))
    }
}
