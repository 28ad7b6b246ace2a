//! Who takes part in a ring, as messages say it.

use super::{CLEAR_NAME, Ring};
use ringbus_core::segment::consumer_byte;
use ringbus_core::sync::Ordering;
use ringbus_core::{MAX_CONSUMERS, Segment, registry};

impl Ring {
    /// The consumers that hold producers up the most, slowest first.
    pub fn laggards(&self) -> Vec<String> {
        let (cursor, gating) = (
            registry::cursor(&self.segment),
            self.segment.registry().gating.load(Ordering::Acquire),
        );
        let gates = (0..MAX_CONSUMERS).filter(|index| gating & (1 << index) != 0);
        let sequence = |index: usize| self.segment.consumer(index).sequence.get();
        let Some(slowest) = gates.clone().map(sequence).min() else {
            return Vec::new();
        };
        gates
            .filter(|&index| sequence(index) == slowest)
            .filter(|&index| registry::name_of(self.segment.consumer(index)) != CLEAR_NAME)
            .map(|index| describe(&self.segment, index, cursor))
            .collect()
    }
}

/// A consumer for a message: name, lag, and in a shared ring its process and what state that is in.
fn describe(segment: &Segment, index: usize, cursor: i64) -> String {
    let entry = segment.consumer(index);
    let (name, behind) = (registry::name_of(entry), cursor - entry.sequence.get());
    if !segment.is_shared() {
        return format!("{name} ({behind} behind)");
    }
    let pid = entry.identity.pid.load(Ordering::Relaxed);
    format!("{name} ({behind} behind, pid {pid}, {})", condition(segment, index))
}

/// What state the process of a consumer is in: "held" for one that has not come, "away" for a durable one,
/// "dead", "stopped" (by a signal or a debugger) or "alive".
pub fn condition(segment: &Segment, index: usize) -> &'static str {
    let identity = &segment.consumer(index).identity;
    match identity.state.load(Ordering::Acquire) {
        registry::HELD => return "held",
        registry::DEAD => return "dead",
        _ => {}
    }
    if !segment.is_byte_held(consumer_byte(index)) {
        let durable = identity.kind.load(Ordering::Relaxed) & registry::DURABLE != 0;
        return if durable { "away" } else { "dead" };
    }
    let pid = identity.pid.load(Ordering::Relaxed);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    if matches!(state, Some("T" | "t")) {
        "stopped"
    } else {
        "alive"
    }
}

/// Every consumer and producer of a ring and its process, for messages.
pub fn residents(segment: &Segment) -> Vec<String> {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    let cursor = registry::cursor(segment);
    let consumers = (0..MAX_CONSUMERS)
        .filter(|index| taken & (1 << index) != 0)
        .map(|index| format!("consumer {}", describe(segment, index, cursor)));
    let producers = (0..segment.geometry().producers as usize)
        .map(|line| segment.producer(line).owner.load(Ordering::Acquire))
        .filter(|&owner| owner != 0)
        .map(|owner| format!("producer of pid {owner}"));
    consumers.chain(producers).collect()
}
