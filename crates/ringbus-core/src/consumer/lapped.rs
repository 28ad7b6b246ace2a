//! Reads by a consumer that does not gate: it may be lapped, is told so, and never sees torn data.
//!
//! Source: Boehm, "Can seqlocks get along with programming language memory models?", 2012.

use crate::barrier::SequenceBarrier;
use crate::planted::{self, Twin};
use crate::registry::cursor;
use crate::segment::{Blocker, Segment};
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

/// How far a consumer that does not gate may read from `wanted` on, or that it was lapped.
///
/// # Errors
/// Nothing is published there yet.
pub fn poll_unless_lapped(barrier: &SequenceBarrier, wanted: i64, limit: i64) -> Result<Result<i64, Lapped>, Blocker> {
    // Lapped first: the available word of a slot that was written again does not show `wanted` any more.
    if let Err(lapped) = check(barrier.segment(), wanted) {
        // What is not published yet cannot have been overwritten: `claimed` is ahead of what this thread sees, or wrong.
        return if cursor(barrier.segment()) < wanted {
            Err(Blocker::Cursor)
        } else {
            Ok(Err(lapped))
        };
    }
    barrier.poll(wanted, limit).map(Ok)
}

fn check(segment: &Segment, sequence: i64) -> Result<(), Lapped> {
    let claimed = segment.cursor().claimed.load(Ordering::Relaxed);
    if claimed < sequence + segment.capacity() {
        return Ok(());
    }
    // A quarter of the ring ahead of the producer, so that it is not lapped again at once; but not past what
    // is published, since a rewound claim does not count.
    let oldest = claimed - segment.capacity() + 1;
    let next = cursor(segment) + 1;
    Err(Lapped {
        resume: (oldest + segment.capacity() / 4).min(next).max(sequence + 1),
    })
}
