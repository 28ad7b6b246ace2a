//! What is done for participants that have died. Death is proven by a byte lock that the kernel dropped, never by a
//! timer; whoever recovers holds the dead one's byte meanwhile.
//!
//! A producer that died between its claim and its publish leaves a hole. The first sequence at or under the cursor
//! that is not available, and that no intent of a live producer covers, is looked at again, and then swapped from
//! the word of the lap before to a Pad. Pads come first, the producer's line is freed last. A producer that is
//! alive but stopped between its intent and its claim holds this up.

use crate::crash::crash_point;
use crate::layout::{Intent, MAX_CONSUMERS, ProducerKind};
use crate::planted::{self, Twin};
use crate::registry::{self, DEAD, DURABLE, FREE, LIVE};
use crate::segment::{Blocker, Segment, consumer_byte, producer_byte};
use crate::sequence::sane;
use crate::sync::Ordering;

/// Looks whether `blocker` waits for somebody who has died, and if so does what that one cannot do any more.
///
/// Returns whether anything was done.
pub fn look(segment: &Segment, blocker: Blocker) -> bool {
    match blocker {
        Blocker::Consumer(index) => recover_consumer(segment, index),
        Blocker::Cursor => recover_producers(segment),
    }
}

/// Does what the dead cannot do any more, all of it.
///
/// Returns whether anything was done.
pub fn recover(segment: &Segment) -> bool {
    let consumers = (0..MAX_CONSUMERS)
        .filter(|&index| recover_consumer(segment, index))
        .count();
    recover_producers(segment) || consumers > 0
}

/// Whether the consumer at `index` is gone, dead or evicted, so that nobody may follow it past what it was done with.
pub fn is_gone(segment: &Segment, index: usize) -> bool {
    is_dead(segment, index) || segment.consumer(index).sequence.is_evicted()
}

/// Whether the consumer at `index` has died and was let go.
pub fn is_dead(segment: &Segment, index: usize) -> bool {
    segment.consumer(index).identity.state.load(Ordering::Acquire) == DEAD
}

/// Lets the consumer at `index` go if its process has died: its entry is freed, or kept for as long as others depend
/// on it, so that they are told. A durable one gates on, until it is further behind than its limit. Who is attached
/// read-only leaves all this to others.
pub fn recover_consumer(segment: &Segment, index: usize) -> bool {
    if segment.is_read_only() {
        return false;
    }
    let identity = &segment.consumer(index).identity;
    let (state, generation) = (
        identity.state.load(Ordering::Acquire),
        identity.generation.load(Ordering::Acquire),
    );
    if !matches!(state, LIVE | registry::JOINING) || is_alive(segment, consumer_byte(index)) {
        return false;
    }
    if is_kept(segment, index) || !seize(segment, consumer_byte(index)) {
        return false;
    }
    crash_point!("recover.consumer_byte");
    let same = identity.generation.load(Ordering::Acquire) == generation
        && identity.state.load(Ordering::Acquire) == state
        || planted::is(Twin::FreedWithoutGeneration);
    if same {
        let_go(segment, index);
    }
    segment.release_byte(consumer_byte(index));
    crash_point!("recover.consumer_released");
    same
}

/// A durable consumer that is away and not too far behind. One that died before it was a consumer has nothing to keep.
fn is_kept(segment: &Segment, index: usize) -> bool {
    let entry = segment.consumer(index);
    if !has_place(segment, index) || entry.sequence.is_evicted() {
        return false;
    }
    let limit = entry.terms.absent_limit.load(Ordering::Relaxed);
    let behind = registry::cursor(segment) - entry.sequence.get();
    limit == 0 || behind < i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Whether the owner of `byte` lives, which the kernel knows.
fn is_alive(segment: &Segment, byte: i64) -> bool {
    segment.is_byte_held(byte) && !planted::is(Twin::DeathByTime)
}

/// Takes the byte of a dead one, which nobody else can have meanwhile.
fn seize(segment: &Segment, byte: i64) -> bool {
    segment.take_byte(byte) || planted::is(Twin::DeathByTime)
}

/// Whether the consumer at `index` is a durable one that has joined.
fn has_place(segment: &Segment, index: usize) -> bool {
    let identity = &segment.consumer(index).identity;
    identity.state.load(Ordering::Acquire) == LIVE && identity.kind.load(Ordering::Relaxed) & DURABLE != 0
}

/// Takes the consumer at `index` out; the caller holds its byte.
pub(crate) fn let_go(segment: &Segment, index: usize) {
    let identity = &segment.consumer(index).identity;
    segment.registry().gating.fetch_and(!(1 << index), Ordering::AcqRel);
    crash_point!("recover.ungated");
    #[cfg(not(loom))]
    segment.close_watch(index);
    if has_place(segment, index) {
        // Its place stays, so that it is told what it missed; it does not gate any more.
    } else {
        identity.state.store(DEAD, Ordering::Release);
        crash_point!("recover.dead");
        // SYNC POINT: follow. Pairs with the barrier in `Consumer::depend_on`: who begins to follow it meanwhile is
        // seen here, or sees that it is dead.
        planted::barrier(Twin::BarrierDroppedInLetGo);
        if registry::dependents(segment, index) == 0 {
            identity.depends_on.store(0, Ordering::Relaxed);
            crash_point!("recover.alone");
            identity.state.store(FREE, Ordering::Release);
            crash_point!("recover.free");
            segment.registry().taken.fetch_and(!(1 << index), Ordering::AcqRel);
            crash_point!("recover.untaken");
        }
    }
    segment.wake(Blocker::Consumer(index));
    crash_point!("recover.consumer_woken");
}

/// Lets every consumer go whose process has died, waited for or not; the caller holds the registrar's lock.
pub fn recover_consumers(segment: &Segment) {
    for index in 0..MAX_CONSUMERS {
        recover_consumer(segment, index);
    }
    bury(segment);
}

/// Frees the entries of the dead on which nobody depends any more; the caller holds the registrar's lock.
pub fn bury(segment: &Segment) {
    // Whoever is buried may be the last that depended on another one.
    let is_buried = |index: &usize| is_dead(segment, *index) && registry::dependents(segment, *index) == 0;
    while let Some(index) = (0..MAX_CONSUMERS).find(is_buried) {
        let identity = &segment.consumer(index).identity;
        identity.depends_on.store(0, Ordering::Relaxed);
        crash_point!("bury.alone");
        identity.state.store(FREE, Ordering::Release);
        crash_point!("bury.free");
        segment.registry().taken.fetch_and(!(1 << index), Ordering::AcqRel);
        crash_point!("bury.untaken");
    }
}

/// Makes Pads of what dead producers claimed and never published, and frees their lines.
///
/// Returns whether anything was done.
pub fn recover_producers(segment: &Segment) -> bool {
    if segment.geometry().kind != ProducerKind::Multi || segment.is_read_only() {
        return false;
    }
    let dead: Vec<usize> = (0..segment.geometry().producers as usize)
        .filter(|&line| take_dead(segment, line))
        .collect();
    if planted::is(Twin::FreedBeforePads) {
        for &line in &dead {
            free_line(segment, line);
        }
    }
    let padded = !dead.is_empty() && pad_holes(segment, &dead);
    for &line in &dead {
        if no_hole_of(segment, line) || planted::is(Twin::FreedWithHoles) {
            free_line(segment, line);
        }
        segment.release_byte(producer_byte(line));
        crash_point!("recover.producer_released");
    }
    padded
}

/// Takes the byte of a line whose owner has died.
fn take_dead(segment: &Segment, line: usize) -> bool {
    let owner = &segment.producer(line).owner;
    if owner.load(Ordering::Acquire) == 0 || is_alive(segment, producer_byte(line)) {
        return false;
    }
    if !seize(segment, producer_byte(line)) {
        return false;
    }
    crash_point!("recover.producer_byte");
    if owner.load(Ordering::Acquire) == 0 {
        segment.release_byte(producer_byte(line));
        return false;
    }
    true
}

fn free_line(segment: &Segment, line: usize) {
    for intent in &segment.producer(line).intents {
        intent.low.store(0, Ordering::Release);
        crash_point!("recover.intent_cleared");
    }
    segment.producer(line).owner.store(0, Ordering::Release);
    crash_point!("recover.line_freed");
}

/// Whether everything that the dead owner of `line` meant to claim is available, or was never claimed.
fn no_hole_of(segment: &Segment, line: usize) -> bool {
    let claimed = sane(segment.cursor().claimed.load(Ordering::Acquire));
    // What is a lap behind the cursor was published, or nobody could have claimed its slot again.
    let oldest = claimed - segment.capacity() + 1;
    segment.producer(line).intents.iter().all(|intent| {
        let (low, high) = (intent.low.load(Ordering::Acquire), intent.high.load(Ordering::Acquire));
        let (first, last) = (sane(low) - 1, sane(high) - 1);
        first < 0 || (first.max(oldest)..=last.min(claimed)).all(|sequence| !is_hole(segment, sequence))
    })
}

/// Whether `sequence` is claimed and neither published nor overwritten by a later lap.
fn is_hole(segment: &Segment, sequence: i64) -> bool {
    segment.is_behind(sequence)
}

fn pad_holes(segment: &Segment, dead: &[usize]) -> bool {
    let claimed = sane(segment.cursor().claimed.load(Ordering::Acquire));
    let first = (claimed - segment.capacity() + 1).max(segment.before_start() + 1);
    let mut padded = false;
    for sequence in first..=claimed {
        if !is_hole(segment, sequence) {
            continue;
        }
        match pad(segment, dead, sequence) {
            Padded::Yes => padded = true,
            Padded::No => {}
            // A live producer may still be about to claim: what follows waits for it.
            Padded::Covered => break,
        }
    }
    if padded {
        segment.wake(Blocker::Cursor);
        crash_point!("recover.producers_woken");
    }
    padded
}

enum Padded {
    Yes,
    No,
    Covered,
}

fn pad(segment: &Segment, dead: &[usize], sequence: i64) -> Padded {
    let before = segment.available_word(sequence);
    if (0..segment.geometry().producers as usize)
        .any(|line| !dead.contains(&line) && is_covered(segment, line, sequence))
    {
        return Padded::Covered;
    }
    if !is_hole(segment, sequence) || segment.available_word(sequence) != before {
        return Padded::No;
    }
    segment.state().pads.fetch_add(1, Ordering::AcqRel);
    crash_point!("recover.counted");
    if planted::is(Twin::PadStoredPlain) {
        segment.mark_pad(sequence);
        return Padded::Yes;
    }
    let swapped = segment.swap_to_pad(sequence, before);
    crash_point!("recover.padded");
    if swapped { Padded::Yes } else { Padded::No }
}

/// Whether the owner of `line` is alive and may mean to publish `sequence` itself. Another one that recovers
/// counts as the owner: it is at work.
fn is_covered(segment: &Segment, line: usize, sequence: i64) -> bool {
    let producer = segment.producer(line);
    !planted::is(Twin::IntentsIgnored)
        && producer.owner.load(Ordering::Acquire) != 0
        && producer.intents.iter().any(|intent| covers(intent, sequence))
        && segment.is_byte_held(producer_byte(line))
}

fn covers(intent: &Intent, sequence: i64) -> bool {
    let low = intent.low.load(Ordering::Acquire);
    let high = intent.high.load(Ordering::Acquire);
    if intent.low.load(Ordering::Acquire) != low {
        return true;
    }
    low != 0 && low <= sequence + 1 && sequence < high
}
