//! How a Disruptor behaves: what the LMAX Disruptor's own tests say of the core, each a test here.
//!
//! Source: LMAX Disruptor 4.0, `src/test/java`. The comment above a test numbers its statement.
#![cfg(not(loom))]

mod better;
mod joining;
mod processing;
mod sequencing;
#[path = "../support/plain.rs"]
mod support;
mod waits;

use ringbus_core::barrier::Done;
use ringbus_core::registry::cursor;
use ringbus_core::sequencer::Room;
use ringbus_core::wait::{Condition, wait};
use ringbus_core::{
    Alert, Consumer, EventHandler, EventProcessor, Outcome, Segment, SequenceBarrier, Sequencer, WaitStrategy,
};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use support::Producer;

/// Whether a consumer at the cursor may read `sequence`.
fn is_readable(segment: &Arc<Segment>, sequence: i64) -> bool {
    SequenceBarrier::new(segment, 0, Alert::default())
        .poll(sequence, 1)
        .is_ok()
}

/// Whether there is room for `count` now; takes nothing.
fn has_room(producer: &Producer, count: i64) -> bool {
    let claimed = matches!(producer, Producer::Single(_)).then(|| producer.claimed());
    Room {
        segment: producer.segment(),
        count,
        claimed,
    }
    .poll()
    .is_ok()
}

#[allow(clippy::unnecessary_wraps, reason = "a wait takes an optional deadline")]
fn soon(milliseconds: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

/// Waits, yielding, until `condition` holds.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// What a handler was called with.
#[derive(Default)]
struct Journal {
    starts: u32,
    shutdowns: u32,
    timeouts: u32,
    batches: Vec<i64>,
    events: Vec<(i64, bool)>,
    fail_at: Option<i64>,
}

struct Recorder(mpsc::Sender<Journal>, Journal);

impl EventHandler for Recorder {
    type Error = String;

    fn on_event(&mut self, sequence: i64, end_of_batch: bool) -> Result<(), String> {
        self.1.events.push((sequence, end_of_batch));
        if self.1.fail_at == Some(sequence) {
            Err(format!("refused {sequence}"))
        } else {
            Ok(())
        }
    }

    fn on_start(&mut self) {
        self.1.starts += 1;
    }

    fn on_shutdown(&mut self) {
        self.1.shutdowns += 1;
        self.0.send(std::mem::take(&mut self.1)).unwrap();
    }

    fn on_batch_start(&mut self, size: i64) {
        self.1.batches.push(size);
    }

    fn on_timeout(&mut self, _sequence: i64) {
        self.1.timeouts += 1;
    }
}

/// Starts a processor on a thread; its journal comes when it has ended.
fn start(
    consumer: Consumer,
    alert: &Alert,
    strategy: WaitStrategy,
    fail_at: Option<i64>,
) -> (thread::JoinHandle<Result<(), String>>, mpsc::Receiver<Journal>) {
    let (sender, receiver) = mpsc::channel();
    let handler = Recorder(
        sender,
        Journal {
            fail_at,
            ..Journal::default()
        },
    );
    let mut processor = EventProcessor::new(consumer, alert.clone(), strategy, handler);
    (thread::spawn(move || processor.run()), receiver)
}

/// Waits until the consumer at `index` has what is published now, then halts it.
fn drain(segment: &Segment, index: usize, alert: &Alert) {
    let mut done = Done {
        segment,
        index,
        target: cursor(segment),
    };
    assert_eq!(
        wait(segment, WaitStrategy::BLOCKING, &Alert::default(), None, &mut done),
        Outcome::Ready(())
    );
    alert.raise(segment);
}
