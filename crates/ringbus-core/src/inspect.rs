//! What a ring says of itself to who only looks: how far it is published, who takes part, and who holds it up.
//!
//! Everything here is read while it changes: each number was true at some moment of the call.

use crate::layout::{ConsumerEntry, MAX_CONSUMERS, MAX_SEQUENCE, ProducerKind};
use crate::registry::{DEAD, DURABLE, GATES, HELD, NEVER, cursor, name_of};
use crate::segment::{Segment, consumer_byte, producer_byte};
use crate::sync::{Ordering, store_load_barrier};
use std::time::Duration;

/// The highest sequence that is published; what is below it may still be claimed.
pub fn published(segment: &Segment) -> i64 {
    let cursor = cursor(segment);
    if segment.geometry().kind == ProducerKind::Single {
        return cursor;
    }
    let floor = (cursor - segment.capacity()).max(segment.before_start());
    (floor + 1..=cursor)
        .rev()
        .find(|&sequence| segment.is_available(sequence))
        .unwrap_or(floor)
}

/// Whether `sequence` is published and not overwritten.
pub fn is_available(segment: &Segment, sequence: i64) -> bool {
    if sequence <= segment.before_start() {
        return false;
    }
    match segment.geometry().kind {
        ProducerKind::Single => {
            let published = cursor(segment);
            sequence <= published && sequence > published - segment.capacity()
        }
        ProducerKind::Multi => segment.is_available(sequence),
    }
}

/// Free slots behind the cursor; [`Sequencer::remaining_capacity`](crate::Sequencer::remaining_capacity) knows of the
/// claims of a single producer too.
pub fn remaining_capacity(segment: &Segment) -> i64 {
    let claimed = cursor(segment);
    store_load_barrier();
    segment.capacity() - (claimed - segment.minimum_gate(claimed).0)
}

/// The consumers that hold producers up: of those that gate, the ones that are furthest behind.
pub fn laggards(segment: &Segment) -> Vec<usize> {
    let gating = segment.registry().gating.load(Ordering::Acquire);
    let gates: Vec<(usize, i64)> = bits(gating)
        .map(|index| (index, segment.consumer(index).sequence.gate()))
        .filter(|&(_, sequence)| sequence < MAX_SEQUENCE)
        .collect();
    let slowest = gates.iter().map(|&(_, sequence)| sequence).min();
    gates
        .into_iter()
        .filter(|&(_, sequence)| Some(sequence) == slowest)
        .map(|(index, _)| index)
        .collect()
}

/// The first sequence that nobody can pass because it is claimed and not published: not even the slowest consumer, or,
/// where there is none, the producers themselves. `None` with a single producer, which knows its own open claim.
pub fn open_claim_in_the_way(segment: &Segment) -> Option<i64> {
    if segment.geometry().kind == ProducerKind::Single {
        return None;
    }
    let claimed = cursor(segment);
    let (gate, slowest) = segment.minimum_gate(claimed);
    let (passed, last) = match slowest {
        Some(_) => (gate, claimed.min(gate + 1)),
        None => (claimed - segment.capacity(), claimed),
    };
    let hole = segment.published_up_to(passed.max(segment.before_start()) + 1, last) + 1;
    (hole <= last).then_some(hole)
}

/// The process that has announced a claim of `sequence`, in a shared ring.
pub fn claimant(segment: &Segment, sequence: i64) -> Option<u64> {
    let covers = |line: &usize| {
        segment.producer(*line).intents.iter().any(|intent| {
            let (low, high) = (intent.low.load(Ordering::Acquire), intent.high.load(Ordering::Acquire));
            low > 0 && low - 1 <= sequence && sequence < high
        })
    };
    let line = (0..segment.geometry().producers as usize).find(covers)?;
    Some(segment.producer(line).owner.load(Ordering::Acquire))
}

/// What state the process of a consumer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has not come yet; its place is held.
    Held,
    /// Its place is kept while it is gone.
    Away,
    /// It has died, or left others that depend on it behind.
    Dead,
    /// It held producers up for longer than was agreed, and has not left yet.
    Evicted,
    /// A signal or a debugger has stopped it.
    Stopped,
    /// It runs.
    Alive,
}

impl Condition {
    /// It as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Away => "away",
            Self::Dead => "dead",
            Self::Evicted => "evicted",
            Self::Stopped => "stopped",
            Self::Alive => "alive",
        }
    }
}

/// The state of the consumer at `index`.
pub fn condition(segment: &Segment, index: usize) -> Condition {
    let identity = &segment.consumer(index).identity;
    match identity.state.load(Ordering::Acquire) {
        HELD => return Condition::Held,
        DEAD => return Condition::Dead,
        _ => {}
    }
    if segment.is_byte_held(consumer_byte(index)) {
        return if segment.consumer(index).sequence.is_evicted() {
            Condition::Evicted
        } else if is_stopped(identity.pid.load(Ordering::Relaxed)) {
            Condition::Stopped
        } else {
            Condition::Alive
        };
    }
    if identity.kind.load(Ordering::Relaxed) & DURABLE != 0 {
        Condition::Away
    } else {
        Condition::Dead
    }
}

fn is_stopped(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    matches!(after_name.split_whitespace().next(), Some("T" | "t"))
}

/// What an entry of the registry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerFacts {
    /// Its entry.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// One of the states in [`crate::registry`].
    pub state: u32,
    /// The last sequence it is done with.
    pub sequence: i64,
    /// Whether producers wait for it.
    pub gating: bool,
    /// Whether its place stays while it is away.
    pub durable: bool,
    /// The entries it follows, a bit each; 0 is the cursor.
    pub depends_on: u64,
    /// Events handled.
    pub events: u64,
    /// Batches handled.
    pub batches: u64,
    /// Waits that did not find what they waited for at once.
    pub waits: u64,
    /// Time in such waits.
    pub blocked_ns: u64,
    /// Events it was lapped by, or missed while it was away.
    pub missed: u64,
    /// Its process.
    pub pid: u64,
    /// How long producers wait for it; `None` is for ever.
    pub evict_after: Option<Duration>,
}

impl ConsumerFacts {
    fn of(index: usize, entry: &ConsumerEntry) -> Self {
        let (identity, counters) = (&entry.identity, &entry.counters);
        let kind = identity.kind.load(Ordering::Relaxed);
        Self {
            index,
            name: name_of(entry),
            state: identity.state.load(Ordering::Acquire),
            sequence: entry.sequence.get(),
            gating: kind & GATES != 0,
            durable: kind & DURABLE != 0,
            depends_on: identity.depends_on.load(Ordering::Relaxed),
            events: counters.events.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            waits: counters.waits.load(Ordering::Relaxed),
            blocked_ns: counters.blocked_ns.load(Ordering::Relaxed),
            missed: counters.missed.load(Ordering::Relaxed),
            pid: identity.pid.load(Ordering::Relaxed),
            evict_after: match entry.terms.evict_after.load(Ordering::Relaxed) {
                0 | NEVER => None,
                after => Some(Duration::from_nanos(after)),
            },
        }
    }
}

/// Every consumer that takes part, or whose place is kept.
pub fn consumers(segment: &Segment) -> Vec<ConsumerFacts> {
    bits(segment.registry().taken.load(Ordering::Acquire))
        .map(|index| consumer(segment, index))
        .collect()
}

/// The consumer at `index`.
pub fn consumer(segment: &Segment, index: usize) -> ConsumerFacts {
    ConsumerFacts::of(index, segment.consumer(index))
}

/// What a producer's line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFacts {
    /// Its line.
    pub line: usize,
    /// Its process.
    pub pid: u64,
    /// Whether that process lives.
    pub is_alive: bool,
    /// Claims it has announced and not published.
    pub open_claims: usize,
}

/// Every producer that has a line. The one producer of a single-producer ring has none.
pub fn producers(segment: &Segment) -> Vec<ProducerFacts> {
    let facts = |line: usize| {
        let words = segment.producer(line);
        let pid = words.owner.load(Ordering::Acquire);
        let open = |low: i64| low > 0;
        (pid != 0).then(|| ProducerFacts {
            line,
            pid,
            is_alive: segment.is_byte_held(producer_byte(line)),
            open_claims: words
                .intents
                .iter()
                .filter(|intent| open(intent.low.load(Ordering::Relaxed)))
                .count(),
        })
    };
    (0..segment.geometry().producers as usize).filter_map(facts).collect()
}

fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..MAX_CONSUMERS).filter(move |index| set & (1 << index) != 0)
}
