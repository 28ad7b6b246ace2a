//! Round trips of one event, each timed.

use crate::event::{Event, Line};
use crate::histogram::Histogram;
use crate::report::Outcome;
use std::time::Instant;

/// Sends each event with the time in word 1; `exchange` returns what came back.
pub fn bounce<const W: usize, A: Line>(events: u64, mut exchange: impl FnMut(Event<W, A>) -> Event<W, A>) -> Outcome {
    let (mut latency, mut checksum) = (Histogram::new(), 0_u64);
    let begin = Instant::now();
    let now = || begin.elapsed().as_nanos() as u64;
    for number in 0..events {
        let answer = exchange(Event::timed(number, now()));
        latency.add(now() - answer.words[1]);
        checksum = checksum.wrapping_add(answer.timeless_sum());
    }
    let time = begin.elapsed();
    Outcome {
        latency: Some(latency),
        ..Outcome::of(events, time, checksum)
    }
}
