//! Statements 23 and 24: what ends a wait.

use crate::support::{KINDS, STRATEGIES, join, ring};
use crate::{Journal, Recorder, drain};
use ringbus_core::{Alert, EventProcessor, Outcome, ProducerKind, SequenceBarrier, Sequencer, WaitStrategy};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

// 23
#[test]
fn a_wait_with_a_time_out_is_no_shorter_than_that() {
    let timeout = Duration::from_millis(500);
    thread::scope(|scope| {
        for kind in KINDS {
            for strategy in STRATEGIES {
                scope.spawn(move || {
                    let (segment, mut producer) = ring(kind, 16);
                    producer.fill(6);
                    let begin = Instant::now();
                    let barrier = SequenceBarrier::new(&segment, 0, Alert::default());
                    let outcome = barrier.wait_for(6, i64::MAX, strategy, Some(begin + timeout));
                    assert_eq!(outcome, Outcome::TimedOut);
                    assert!(begin.elapsed() >= timeout);
                });
            }
        }
    });
}

#[test]
fn a_processor_calls_on_timeout_while_nothing_comes() {
    for strategy in STRATEGIES {
        let (segment, _producer) = ring(ProducerKind::Single, 4);
        let (sender, journal) = mpsc::channel();
        let (alert, handler) = (Alert::default(), Recorder(sender, Journal::default()));
        let mut processor = EventProcessor::new(join(&segment, "c"), alert.clone(), strategy, handler)
            .timeout(Duration::from_millis(1))
            .max_batch(1);
        let thread = thread::spawn(move || processor.run());
        thread::sleep(Duration::from_millis(20));
        alert.raise(&segment);
        thread.join().unwrap().unwrap();
        assert!(journal.recv().unwrap().timeouts > 0);
    }
}

#[test]
fn a_time_out_longer_than_the_clock_is_no_time_out() {
    let (segment, mut producer) = ring(ProducerKind::Single, 4);
    let consumer = join(&segment, "c");
    let (index, alert) = (consumer.index(), Alert::default());
    let (sender, journal) = mpsc::channel();
    let handler = Recorder(sender, Journal::default());
    let processor = EventProcessor::new(consumer, alert.clone(), WaitStrategy::BLOCKING, handler);
    let mut processor = processor.timeout(Duration::MAX);
    let thread = thread::spawn(move || processor.run());
    producer.fill(1);
    drain(&segment, index, &alert);
    thread.join().unwrap().unwrap();
    assert_eq!(journal.recv().unwrap().events, [(0, true)]);
}

// 24
#[test]
fn an_alert_ends_every_wait() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 4);
            let upstream = join(&segment, "upstream");
            producer.fill(4);
            let alert = Alert::default();
            let ready = Barrier::new(4);
            thread::scope(|scope| {
                let waits: [Box<dyn FnOnce() -> bool + Send>; 3] = [
                    Box::new(|| {
                        let barrier = SequenceBarrier::new(&segment, 0, alert.clone());
                        ready.wait();
                        barrier.wait_for(4, 1, strategy, None) == Outcome::Alerted
                    }),
                    Box::new(|| {
                        let barrier = SequenceBarrier::new(&segment, 1 << upstream.index(), alert.clone());
                        ready.wait();
                        barrier.wait_for(0, 1, strategy, None) == Outcome::Alerted
                    }),
                    Box::new(|| {
                        ready.wait();
                        producer.claim(1, strategy, &alert, None) == Ok(Outcome::Alerted)
                    }),
                ];
                let threads = waits.map(|wait| scope.spawn(wait));
                ready.wait();
                thread::yield_now();
                alert.raise(&segment);
                assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
            });
        }
    }
}
