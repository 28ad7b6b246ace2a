//! Eviction of the slow: only of consumers that agreed to it, which cannot write the slots.
//!
//! A producer that waits for free slots keeps the time for which such a consumer, the slowest of all, has not moved though
//! it could. When that is longer than was agreed, the producer swaps the consumer's sequence for a number that no sequence
//! has. That one step is all there is to it: producers do not wait for such a number, and the consumer's next commit,
//! a compare-and-swap too, fails. So a commit either counts and was made in time, or its consumer is told.

use crate::crash::crash_point;
use crate::layout::MAX_CONSUMERS;
use crate::planted::{self, Twin};
use crate::registry::NEVER;
use crate::segment::{Blocker, Segment, consumer_byte};
use crate::sync::Ordering;
use std::time::{Duration, Instant};

/// The most time that may pass between two looks and count: a waiter that was stopped itself was nobody's victim.
const LONGEST_STEP: Duration = Duration::from_millis(100);

/// For how long this process has waited for those that may be evicted.
#[derive(Default)]
pub struct Patience(std::sync::Mutex<Vec<Waited>>);

/// One that holds producers up at a place where it could go on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Suspect {
    index: usize,
    generation: u64,
    sequence: i64,
    evict_after: Duration,
}

/// How long it has not moved.
#[derive(Clone, Copy)]
struct Waited {
    suspect: Suspect,
    time: Duration,
    looked: Instant,
}

impl Waited {
    /// Goes on from what was known of the same suspect, or begins.
    fn since(known: &[Self], suspect: Suspect, now: Instant) -> Self {
        let before = known.iter().find(|before| before.suspect == suspect);
        let time = before.map_or(Duration::ZERO, |before| {
            before.time + now.saturating_duration_since(before.looked).min(LONGEST_STEP)
        });
        Self {
            suspect,
            time,
            looked: now,
        }
    }

    /// In a model no time passes: whoever is looked at has been waited for long enough.
    fn is_over(&self) -> bool {
        cfg!(loom) || self.time >= self.suspect.evict_after
    }
}

impl Patience {
    /// Takes down who holds producers up now, and returns those that have done so for too long.
    fn exhausted_by(&self, suspects: &[Suspect]) -> Vec<Suspect> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        *known = suspects
            .iter()
            .map(|&suspect| Waited::since(&known, suspect, now))
            .collect();
        let over = known.iter().filter(|waited| waited.is_over());
        over.map(|waited| waited.suspect).collect()
    }
}

/// Called now and then by who waits for free slots, and for `blocker` to free them: evicts whoever has held producers up
/// for longer than was agreed.
///
/// Returns whether anybody was evicted.
pub fn look(segment: &Segment, blocker: Blocker) -> bool {
    if blocker == Blocker::Cursor {
        return false;
    }
    let suspects = suspects(segment);
    let evicted = segment
        .patience()
        .exhausted_by(&suspects)
        .iter()
        .filter(|suspect| evict(segment, suspect))
        .count();
    evicted > 0
}

/// Those of the slowest consumers that may be evicted and could go on.
fn suspects(segment: &Segment) -> Vec<Suspect> {
    let (slowest, _) = segment.minimum_gate(i64::MAX);
    let gating = segment.registry().gating.load(Ordering::Acquire);
    (0..MAX_CONSUMERS)
        .filter(|index| gating & (1 << index) != 0)
        .filter_map(|index| suspect(segment, index))
        .filter(|suspect| suspect.sequence == slowest && can_go_on(segment, suspect))
        .collect()
}

fn suspect(segment: &Segment, index: usize) -> Option<Suspect> {
    let entry = segment.consumer(index);
    let evict_after = entry.terms.evict_after.load(Ordering::Relaxed);
    (evict_after != 0 && evict_after != NEVER).then(|| Suspect {
        index,
        generation: entry.identity.generation.load(Ordering::Relaxed),
        sequence: entry.sequence.gate(),
        evict_after: Duration::from_nanos(evict_after),
    })
}

/// Whether it is its own fault: the next event is published, and those that it follows are done with it.
fn can_go_on(segment: &Segment, suspect: &Suspect) -> bool {
    let next = suspect.sequence + 1;
    let follows = segment
        .consumer(suspect.index)
        .identity
        .depends_on
        .load(Ordering::Acquire);
    crate::barrier::highest_published(segment, next, next).is_ok()
        && (0..MAX_CONSUMERS)
            .filter(|index| follows & (1 << index) != 0)
            .all(|index| segment.consumer(index).sequence.gate() >= next || planted::is(Twin::SlowForOthers))
}

/// Who has died, or is away and durable, is not slow: that is recovery's to see to.
fn evict(segment: &Segment, suspect: &Suspect) -> bool {
    let entry = segment.consumer(suspect.index);
    let is_there = segment.is_byte_held(consumer_byte(suspect.index));
    if !is_there || !entry.sequence.evict(suspect.sequence) {
        return false;
    }
    crash_point!("evict.evicted");
    segment.wake(Blocker::Consumer(suspect.index));
    crash_point!("evict.woken");
    true
}
