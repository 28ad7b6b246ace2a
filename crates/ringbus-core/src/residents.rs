//! Who takes part in a ring and in what state, in words for people.

use crate::layout::MAX_CONSUMERS;
use crate::registry;
use crate::segment::{Segment, consumer_byte};
use crate::sync::Ordering;

/// The entries that hold producers up the most.
pub fn slowest(segment: &Segment) -> Vec<usize> {
    let gating = segment.registry().gating.load(Ordering::Acquire);
    let gates = (0..MAX_CONSUMERS).filter(|index| gating & (1 << index) != 0);
    let sequence = |index: usize| segment.consumer(index).sequence.get();
    let Some(slowest) = gates.clone().map(sequence).min() else {
        return Vec::new();
    };
    gates.filter(|&index| sequence(index) == slowest).collect()
}

/// A consumer for a message: name, lag, and in a shared ring its process and what state that is in.
pub fn describe(segment: &Segment, index: usize) -> String {
    let entry = segment.consumer(index);
    let (name, behind) = (
        registry::name_of(entry),
        registry::cursor(segment) - entry.sequence.get(),
    );
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
    let consumers = (0..MAX_CONSUMERS)
        .filter(|index| taken & (1 << index) != 0)
        .map(|index| format!("consumer {}", describe(segment, index)));
    let producers = (0..segment.geometry().producers as usize)
        .map(|line| segment.producer(line).owner.load(Ordering::Acquire))
        .filter(|&owner| owner != 0)
        .map(|owner| format!("producer of pid {owner}"));
    consumers.chain(producers).collect()
}

/// How a consumer that another one depends on went: it left, or its process died.
pub fn end_of(segment: &Segment, index: usize) -> String {
    let entry = segment.consumer(index);
    let (pid, at) = (entry.identity.pid.load(Ordering::Relaxed), entry.sequence.get());
    if pid == u64::from(std::process::id()) {
        format!("it left at sequence {at}")
    } else {
        format!("its process {pid} died at sequence {at}")
    }
}
