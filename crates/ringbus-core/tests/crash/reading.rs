//! What the survivor reads, and whether that is all that it should have got.

use crate::parent::{EVENTS, PATIENCE};
use crate::plain::get;
use ringbus_core::wait::Alert;
use ringbus_core::{Consumer, Outcome, Segment, SequenceBarrier, WaitStrategy};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

/// An event: who, which, and what both must come to.
pub type Event = [u64; 3];

/// Event `number` of `producer`.
pub fn event(producer: u64, number: u64) -> Event {
    [producer, number, producer ^ number ^ 0x5eed_0123_4567_89ab]
}

/// What was asked for, or what is wrong.
pub type Fact<T> = Result<T, String>;
/// A thread that reads until the last event.
pub type Reader = JoinHandle<Fact<Vec<Event>>>;

/// What the consumer has to wait for.
pub fn barrier(consumer: &Consumer) -> SequenceBarrier {
    SequenceBarrier::new(consumer.segment(), consumer.depends_on(), Alert::default())
}

/// Reads until the survivor's last event. While it reads, there may be a victim that takes its time: then the deadline is
/// that of the producers.
pub fn read_events(consumer: &Consumer, strategy: WaitStrategy, last: u64) -> Fact<Vec<Event>> {
    let (barrier, ring) = (barrier(consumer), consumer.segment());
    let (mut seen, last) = (Vec::new(), if last == 0 { EVENTS } else { last });
    loop {
        let next = consumer.sequence() + 1;
        match barrier.wait_for(next, i64::MAX, strategy, Some(Instant::now() + 4 * PATIENCE)) {
            Outcome::Ready(high) => {
                let pads = ring.has_pads();
                seen.extend(
                    (next..=high)
                        .filter(|&at| !pads || !ring.is_pad(at))
                        .map(|at| get::<Event>(ring, at)),
                );
                consumer.commit(high);
            }
            other => return Err(format!("the reader hung at {next}: {other:?}: {}", describe(ring))),
        }
        if seen.last() == Some(&event(2, last - 1)) {
            return Ok(seen);
        }
    }
}

/// Reads up to `target`, and leaves.
pub fn read_up_to(consumer: &Consumer, target: i64) -> Fact<()> {
    let barrier = barrier(consumer);
    while consumer.sequence() < target {
        let next = consumer.sequence() + 1;
        match barrier.wait_for(next, i64::MAX, WaitStrategy::BLOCKING, Some(Instant::now() + PATIENCE)) {
            Outcome::Ready(high) => {
                consumer.commit(high);
            }
            other => return Err(format!("who came back hung at {next} of {target}: {other:?}")),
        }
    }
    consumer.leave().map_err(text)
}

/// The cursors and the first entries, for a report.
pub fn describe(ring: &Segment) -> String {
    let entry = |index: usize| {
        let own = ring.consumer(index);
        let (state, kind) = (
            own.identity.state.load(Ordering::Relaxed),
            own.identity.kind.load(Ordering::Relaxed),
        );
        format!("[{index} state {state} kind {kind} at {}]", own.sequence.get())
    };
    let entries: Vec<_> = (0..4).map(entry).collect();
    format!(
        "claimed {} published {} gating {:b} taken {:b} {}",
        ring.cursor().claimed.load(Ordering::Relaxed),
        ring.cursor().published.load(Ordering::Relaxed),
        ring.registry().gating.load(Ordering::Relaxed),
        ring.registry().taken.load(Ordering::Relaxed),
        entries.join(" ")
    )
}

/// All that was acknowledged, nothing that was not written, each once and in order.
pub fn judge(seen: &[Event], acknowledged: &[String]) -> Fact<()> {
    if let Some(torn) = seen.iter().find(|own| **own != event(own[0], own[1])) {
        return Err(format!("a torn event: {torn:?}"));
    }
    for producer in [1, 2] {
        let numbers: Vec<u64> = seen.iter().filter(|own| own[0] == producer).map(|own| own[1]).collect();
        // The victim's number is used again after a claim that was given back, but never published twice.
        if !numbers.is_sorted_by(|a, b| a < b) {
            return Err(format!("producer {producer} came out of order or twice: {numbers:?}"));
        }
        if producer == 2 && numbers.iter().copied().ne(0..EVENTS) {
            return Err(format!("the survivor's events are not all there: {numbers:?}"));
        }
    }
    let lost = acknowledged
        .iter()
        .filter_map(|line| line.parse::<u64>().ok())
        .find(|&number| !seen.contains(&event(1, number)));
    lost.map_or(Ok(()), |number| {
        Err(format!("event {number} was acknowledged and is lost"))
    })
}

/// An error, for a report.
pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
