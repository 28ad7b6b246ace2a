//! Statements 16 to 22, and 25: handlers.

use crate::support::{KINDS, Producer, STRATEGIES, barrier, geometry, get, join, put, ring, ring_of};
use crate::{drain, soon, start, until};
use ringbus_core::registry::cursor;
use ringbus_core::sync::{AtomicI64, Ordering};
use ringbus_core::{
    Alert, Blocker, Consumer, EventHandler, EventProcessor, Outcome, ProducerKind, Sequencer, WaitStrategy,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

// 16
#[test]
fn a_halt_before_during_or_after_the_start_ends_the_thread() {
    for run in 0..2_000 {
        let (segment, _producer) = ring(KINDS[run % 2], 4);
        let alert = Alert::default();
        if run % 3 == 0 {
            alert.raise(&segment);
        }
        let (thread, journal) = start(join(&segment, "c"), &alert, STRATEGIES[run % 5], None);
        if run % 3 == 1 {
            for _ in 0..run {
                std::hint::spin_loop();
            }
        }
        alert.raise(&segment);
        thread.join().unwrap().unwrap();
        let journal = journal.recv().unwrap();
        assert_eq!((journal.starts, journal.shutdowns), (1, 1));
    }
}

// 17
#[test]
fn a_batch_is_never_empty_and_counts_events_alone() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 16);
    let consumer = join(&segment, "c");
    let (index, alert) = (consumer.index(), Alert::default());
    producer.try_claim(8).unwrap();
    for pads in [0..=1, 3..=3, 6..=7] {
        producer.abort(*pads.start(), *pads.end());
    }
    producer.publish(2, 2);
    producer.publish(4, 5);
    let (thread, journal) = start(consumer, &alert, WaitStrategy::BLOCKING, None);
    drain(&segment, index, &alert);
    thread.join().unwrap().unwrap();
    let journal = journal.recv().unwrap();
    assert_eq!(
        (journal.batches, journal.events),
        (vec![3], vec![(2, false), (4, false), (5, true)])
    );
}

// 17
#[test]
fn a_batch_of_pads_alone_calls_nothing() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 4);
    let consumer = join(&segment, "c");
    let (index, alert) = (consumer.index(), Alert::default());
    let (thread, journal) = start(consumer, &alert, WaitStrategy::BLOCKING, None);
    for _ in 0..100 {
        let (low, high) = producer.claim_all(3, WaitStrategy::BLOCKING);
        producer.abort(low, high);
    }
    drain(&segment, index, &alert);
    thread.join().unwrap().unwrap();
    let journal = journal.recv().unwrap();
    assert_eq!(
        (
            journal.batches.len(),
            journal.events.len(),
            segment.consumer(index).sequence.get()
        ),
        (0, 0, 299)
    );
}

// 18
#[test]
fn two_consumers_that_take_turns_share_the_events() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 2048);
        let workers: Vec<_> = (0..2_u64)
            .map(|own| {
                let consumer = join(&segment, &format!("worker-{own}"));
                thread::spawn(move || {
                    let barrier = barrier(&consumer);
                    (0..10_000)
                        .filter(|&sequence| {
                            barrier.wait_for(sequence, 1, WaitStrategy::BLOCKING, None);
                            let mine = get::<u64>(consumer.segment(), sequence) % 2 == own;
                            consumer.commit(sequence);
                            mine
                        })
                        .count()
                })
            })
            .collect();
        for value in 0..10_000 {
            producer.send(value, WaitStrategy::BLOCKING);
        }
        assert!(workers.into_iter().all(|worker| worker.join().unwrap() == 5_000));
    }
}

// 19
#[test]
fn the_end_of_a_diamond_waits_for_both_sides() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 4);
            let (left, right, end) = (join(&segment, "left"), join(&segment, "right"), join(&segment, "end"));
            end.depend_on(1 << left.index() | 1 << right.index());
            producer.fill(2);
            let barrier = barrier(&end);
            right.commit(1);
            assert_eq!(barrier.poll(0, i64::MAX), Err(Blocker::Consumer(left.index())));
            assert_eq!(barrier.wait_for(0, i64::MAX, strategy, soon(1)), Outcome::TimedOut);
            let held_up = thread::spawn(move || left.commit(1));
            assert_eq!(barrier.wait_for(0, i64::MAX, strategy, None), Outcome::Ready(1));
            held_up.join().unwrap();
        }
    }
}

// 19, and: start, publish, shut down at once loses nothing
#[test]
fn a_start_a_publish_and_a_drain_at_once_lose_nothing() {
    for run in 0..2_000 {
        let (segment, mut producer) = ring(KINDS[run % 2], 16);
        let consumer = join(&segment, "c");
        let (index, alert) = (consumer.index(), Alert::default());
        let early = if run % 4 < 2 { 5 } else { 0 };
        for value in 0..early {
            assert!(producer.try_send(value).is_some());
        }
        let (thread, journal) = start(consumer, &alert, STRATEGIES[run % 5], None);
        for value in early..10 {
            assert!(producer.try_send(value).is_some());
        }
        drain(&segment, index, &alert);
        thread.join().unwrap().unwrap();
        let sequences: Vec<i64> = journal
            .recv()
            .unwrap()
            .events
            .iter()
            .map(|&(sequence, _)| sequence)
            .collect();
        assert_eq!(sequences, (0..10).collect::<Vec<i64>>());
    }
}

// 20
#[test]
fn a_publisher_goes_as_far_as_the_ring_and_waits() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 4);
            let consumer = join(&segment, "c");
            let published = Arc::new(AtomicI64::new(0));
            let count = Arc::clone(&published);
            let publisher = thread::spawn(move || {
                for value in 0..10 {
                    producer.send(value, strategy);
                    count.fetch_add(1, Ordering::AcqRel);
                }
            });
            until(|| published.load(Ordering::Acquire) == 4);
            assert_eq!(cursor(&segment), 3);
            consumer.commit(9);
            publisher.join().unwrap();
            assert_eq!(published.load(Ordering::Acquire), 10);
        }
    }
}

// 21
#[test]
fn a_sequence_that_is_released_early_is_visible_at_once() {
    struct Releasing(Consumer);
    impl EventHandler for Releasing {
        type Error = Infallible;
        fn on_event(&mut self, sequence: i64, _end_of_batch: bool) -> Result<(), Infallible> {
            self.0.commit(sequence - 1);
            assert_eq!(self.0.segment().minimum_gate(i64::MAX).0, sequence - 1);
            Ok(())
        }
    }
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let consumer = join(&segment, "c");
        let (index, alert) = (consumer.index(), Alert::default());
        producer.fill(10);
        let handler = Releasing(consumer.clone());
        let mut processor = EventProcessor::new(consumer, alert.clone(), WaitStrategy::BLOCKING, handler);
        let thread = thread::spawn(move || processor.run());
        drain(&segment, index, &alert);
        let Ok(()) = thread.join().unwrap();
        assert_eq!(segment.consumer(index).sequence.get(), 9);
    }
}

// 22, as far as the core goes: the sequence that failed is not committed
#[test]
fn a_handler_that_fails_ends_its_processor_before_that_sequence() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let consumer = join(&segment, "c");
        producer.fill(8);
        let (thread, journal) = start(consumer.clone(), &Alert::default(), WaitStrategy::BLOCKING, Some(5));
        assert_eq!(thread.join().unwrap(), Err("refused 5".to_owned()));
        let journal = journal.recv().unwrap();
        assert_eq!(
            (consumer.sequence(), journal.events.len(), journal.shutdowns),
            (4, 6, 1)
        );
    }
}

// 25
#[test]
fn many_producers_and_consumers_agree_on_every_event() {
    const EACH: i64 = 200_000;
    for kind in KINDS {
        let (segment, producer) = ring_of(geometry(kind, 65_536, size_of::<Event>() as u64, 0));
        let producers = producer.several(3);
        let events = EACH * producers.len() as i64;
        let consumers: Vec<_> = (0..3)
            .map(|number| {
                let consumer = join(&segment, &format!("consumer-{number}"));
                thread::spawn(move || count_mismatches(&consumer, events))
            })
            .collect();
        let publishers: Vec<_> = producers
            .into_iter()
            .map(|own| thread::spawn(move || publish_events(own, EACH)))
            .collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        assert!(consumers.into_iter().all(|consumer| consumer.join().unwrap() == 0));
    }
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug)]
struct Event {
    sequence: i64,
    a: i64,
    b: i64,
    s: [u8; 24],
}

impl Event {
    fn of(sequence: i64) -> Self {
        let mut s = [0; 24];
        let text = format!("wibble-{sequence}");
        s[..text.len()].copy_from_slice(text.as_bytes());
        Self {
            sequence,
            a: sequence + 13,
            b: sequence - 7,
            s,
        }
    }
}

fn publish_events(mut producer: Producer, count: i64) {
    for _ in 0..count {
        let (sequence, _) = producer.claim_all(1, WaitStrategy::BLOCKING);
        put(producer.segment(), sequence, Event::of(sequence));
        producer.publish(sequence, sequence);
    }
}

fn count_mismatches(consumer: &Consumer, events: i64) -> usize {
    let barrier = barrier(consumer);
    let (mut next, mut mismatches) = (0, 0);
    while next < events {
        let Outcome::Ready(last) = barrier.wait_for(next, i64::MAX, WaitStrategy::BLOCKING, None) else {
            continue;
        };
        let wrong = |sequence: &i64| get::<Event>(consumer.segment(), *sequence) != Event::of(*sequence);
        mismatches += (next..=last).filter(wrong).count();
        consumer.commit(last);
        next = last + 1;
    }
    mismatches
}
