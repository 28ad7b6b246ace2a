//! Entries: whose they are, who follows them, and which are free.

use super::FREE;
use super::identity::name_of;
use crate::crash::crash_point;
use crate::error::JoinError;
use crate::layout::MAX_CONSUMERS;
use crate::recovery;
use crate::segment::{Segment, consumer_byte};
use crate::sync::{Ordering, yield_now};

/// The entry that has `name`, held or live. One that is free may still have the name of who left it.
pub fn find(segment: &Segment, name: &str) -> Option<usize> {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    let is_free = |index: usize| segment.consumer(index).identity.state.load(Ordering::Acquire) == FREE;
    (0..MAX_CONSUMERS)
        .filter(|&index| taken & (1 << index) != 0 && !is_free(index))
        .find(|&index| name_of(segment.consumer(index)) == name)
}

/// The entries that depend on the one at `index`, a bit each.
pub fn dependents(segment: &Segment, index: usize) -> u64 {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    (0..MAX_CONSUMERS)
        .filter(|&other| taken & (1 << other) != 0)
        .filter(|&other| segment.consumer(other).identity.depends_on.load(Ordering::Acquire) & (1 << index) != 0)
        .fold(0, |set, other| set | 1 << other)
}

/// Takes the byte of a place whose owner is away. Who looks whether that one is dead has the byte for a moment.
pub(super) fn take_place(segment: &Segment, index: usize) -> bool {
    const LOOKS: u32 = if cfg!(loom) { 2 } else { 100 };
    (0..LOOKS).any(|look| {
        if look > 0 {
            yield_now();
        }
        segment.take_byte(consumer_byte(index))
    })
}

/// A free entry, whose byte this process has from here on. One that was taken by somebody who died before it said
/// anything is free too.
pub(super) fn take_entry(segment: &Segment) -> Result<usize, JoinError> {
    if let Some(index) = take_free_entry(segment) {
        return Ok(index);
    }
    // The dead whom nobody waits for were not let go yet.
    recovery::recover_consumers(segment);
    take_free_entry(segment).ok_or(JoinError::RegistryFull)
}

fn take_free_entry(segment: &Segment) -> Option<usize> {
    let taken = &segment.registry().taken;
    (0..MAX_CONSUMERS)
        .filter(|&index| segment.consumer(index).identity.state.load(Ordering::Acquire) == FREE)
        .find(|&index| segment.take_byte(consumer_byte(index)))
        .inspect(|&index| {
            crash_point!("join.byte");
            taken.fetch_or(1 << index, Ordering::AcqRel);
            crash_point!("join.taken");
        })
}
