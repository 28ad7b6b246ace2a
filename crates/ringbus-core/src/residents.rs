//! Who takes part in a ring and in what state, in words for people.

use crate::inspect::{ConsumerFacts, claimant, condition, consumer, consumers, producers};
use crate::registry;
use crate::segment::Segment;

/// The consumer at `index` for a message: name, lag, and in a shared ring its process and what state that is in.
pub fn describe(segment: &Segment, index: usize) -> String {
    describe_facts(segment, &consumer(segment, index))
}

fn describe_facts(segment: &Segment, facts: &ConsumerFacts) -> String {
    let (name, behind) = (&facts.name, registry::cursor(segment) - facts.sequence);
    if !segment.is_shared() {
        return format!("{name} ({behind} behind)");
    }
    let state = condition(segment, facts.index).word();
    format!("{name} ({behind} behind, pid {}, {state})", facts.pid)
}

/// An open claim for a message: its sequence, and in a shared ring the process that has announced it.
pub fn describe_claim(segment: &Segment, sequence: i64) -> String {
    let pid = claimant(segment, sequence).map_or_else(String::new, |pid| format!(", pid {pid}"));
    format!("an open claim (sequence {sequence}{pid})")
}

/// Every consumer and producer of a ring and its process, for messages.
pub fn residents(segment: &Segment) -> Vec<String> {
    let consumers = consumers(segment)
        .into_iter()
        .map(|facts| format!("consumer {}", describe_facts(segment, &facts)));
    let producers = producers(segment)
        .into_iter()
        .map(|facts| format!("producer of pid {}", facts.pid));
    consumers.chain(producers).collect()
}

/// How a consumer that another one depends on went: it was evicted, it left, or its process died.
pub fn end_of(segment: &Segment, index: usize) -> String {
    let facts = consumer(segment, index);
    if segment.consumer(index).sequence.is_evicted() {
        format!("it was too slow and evicted at sequence {}", facts.sequence)
    } else if facts.pid == u64::from(std::process::id()) {
        format!("it left at sequence {}", facts.sequence)
    } else {
        format!("its process {} died at sequence {}", facts.pid, facts.sequence)
    }
}
