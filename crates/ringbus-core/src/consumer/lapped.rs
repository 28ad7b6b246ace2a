//! Reads by a consumer that does not gate: it may be lapped, is told so, and never sees torn data.
//!
//! Source: Boehm, "Can seqlocks get along with programming language memory models?", 2012.

use crate::planted::{self, Twin};
use crate::segment::Segment;
use crate::sync::{Ordering, read_barrier};

/// The slot was claimed again before or while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapped {
    /// The sequence to go on from.
    pub resume: i64,
}

/// Runs `copy`, and gives what it copied only if no producer had claimed the slot of `sequence` again.
///
/// `sequence` is published. `copy` reads the slot by atomic words.
///
/// # Errors
/// The reader was lapped.
pub fn read_unless_lapped<T>(segment: &Segment, sequence: i64, copy: impl FnOnce() -> T) -> Result<T, Lapped> {
    if !planted::is(Twin::LappedCheckSkipped) {
        check(segment, sequence)?;
    }
    let copied = copy();
    // SYNC POINT: lapped. Pairs with the write barrier of a producer's claim.
    read_barrier();
    if !planted::is(Twin::LappedCheckSkipped) {
        check(segment, sequence)?;
    }
    Ok(copied)
}

fn check(segment: &Segment, sequence: i64) -> Result<(), Lapped> {
    let claimed = segment.cursor().claimed.load(Ordering::Relaxed);
    if claimed < sequence + segment.capacity() {
        return Ok(());
    }
    // A quarter of the ring ahead of the producer, so that it is not lapped again at once.
    let oldest = claimed - segment.capacity() + 1;
    Err(Lapped { resume: (oldest + segment.capacity() / 4).max(sequence + 1) })
}
