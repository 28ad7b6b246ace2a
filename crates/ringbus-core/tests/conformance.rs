//! How a Disruptor behaves: what the LMAX Disruptor's own tests say of the core, each a test here.
//!
//! Source: LMAX Disruptor 4.0, `src/test/java`. The comment above a test numbers its statement.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::barrier::Done;
use ringbus_core::consumer::read_unless_lapped;
use ringbus_core::futex::SLEEPER;
use ringbus_core::registry::cursor;
use ringbus_core::sequencer::Room;
use ringbus_core::sync::{AtomicI64, Ordering};
use ringbus_core::wait::{Alert, Condition, wait};
use ringbus_core::{
    Blocker, ClaimError, Consumer, EventHandler, EventPoller, EventProcessor, JoinError, LeaveError, Outcome, Polled,
    ProducerKind, Segment, SequenceBarrier, Sequencer, Start, WaitStrategy,
};
use std::convert::Infallible;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use support::{KINDS, Producer, STRATEGIES, barrier, geometry, get, join, put, ring, ring_of};

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

// 1
#[test]
fn the_first_claim_is_0_and_a_claim_of_4_gives_the_highest_of_them() {
    for kind in KINDS {
        assert_eq!(ring(kind, 16).1.try_claim(1), Ok(0));
        assert_eq!(ring(kind, 16).1.try_claim(4), Ok(3));
    }
}

// 2
#[test]
fn capacity_counts_down_from_the_slowest_consumer() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let _consumer = join(&segment, "c");
        assert!(has_room(&producer, 1) && has_room(&producer, 16) && !has_room(&producer, 17));
        producer.fill(1);
        assert!(has_room(&producer, 15) && !has_room(&producer, 16));
    }
}

// 3
#[test]
fn a_full_ring_refuses_until_the_consumer_moves() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 16);
            let consumer = join(&segment, "c");
            producer.fill(16);
            assert_eq!(producer.try_claim(1), Err(ClaimError::Full));
            assert_eq!(producer.try_send(0), None);
            assert_eq!(
                producer.claim(1, strategy, &Alert::default(), soon(1)),
                Ok(Outcome::TimedOut)
            );
            consumer.commit(0);
            assert_eq!(
                producer.claim(1, strategy, &Alert::default(), soon(1)),
                Ok(Outcome::Ready(16))
            );
            assert_eq!(
                producer.claim(1, strategy, &Alert::default(), soon(1)),
                Ok(Outcome::TimedOut)
            );
        }
    }
}

// 4
#[test]
fn remaining_capacity_counts_claims_published_or_not() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let _consumer = join(&segment, "c");
        for claims in 0..16 {
            assert_eq!(producer.remaining_capacity(), 16 - claims);
            producer.try_claim(1).unwrap();
        }
        assert_eq!(producer.remaining_capacity(), 0);
    }
}

// 5
#[test]
fn what_is_claimed_is_available_once_it_is_published() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        producer.try_claim(6).unwrap();
        assert!((0..6).all(|sequence| !is_readable(&segment, sequence)));
        producer.publish(0, 5);
        assert!((0..6).all(|sequence| is_readable(&segment, sequence)));
        assert!(!is_readable(&segment, 6));
    }
}

// 6
#[test]
fn what_was_wrapped_is_no_longer_available() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        producer.fill(1);
        assert!(read_unless_lapped(&segment, 0, || ()).is_ok());
        producer.fill(16);
        assert!(read_unless_lapped(&segment, 0, || ()).is_err());
        assert!(read_unless_lapped(&segment, 1, || ()).is_ok());
        assert!(kind == ProducerKind::Single || !segment.is_available(0) && segment.is_available(1));
    }
}

// 7
#[test]
fn a_claim_may_be_published_in_parts() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let barrier = SequenceBarrier::new(&segment, 0, Alert::default());
        producer.try_claim(10).unwrap();
        for sequence in 0..5 {
            producer.publish(sequence, sequence);
        }
        assert_eq!(
            barrier.wait_for(0, i64::MAX, WaitStrategy::BLOCKING, None),
            Outcome::Ready(4)
        );
        for sequence in 5..10 {
            producer.publish(sequence, sequence);
        }
        assert_eq!(
            barrier.wait_for(0, i64::MAX, WaitStrategy::BLOCKING, None),
            Outcome::Ready(9)
        );
    }
}

// 8
#[test]
fn a_consumer_stops_before_a_gap() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 16);
    producer.try_claim(7).unwrap();
    producer.publish(3, 3);
    producer.publish(5, 5);
    let available: Vec<i64> = (0..7).filter(|&sequence| segment.is_available(sequence)).collect();
    assert_eq!(available, [3, 5]);
    assert!(!is_readable(&segment, 0));
    for sequence in 0..3 {
        producer.publish(sequence, sequence);
    }
    assert_eq!(
        SequenceBarrier::new(&segment, 0, Alert::default()).poll(0, i64::MAX),
        Ok(3)
    );
}

// 9, 12
#[test]
fn a_claim_of_an_impossible_count_is_refused_and_changes_nothing() {
    for kind in KINDS {
        for count in [0, -1, i64::MIN, 5, i64::MAX] {
            let (segment, mut producer) = ring(kind, 4);
            let refused = ClaimError::CountOutOfRange { count, capacity: 4 };
            assert_eq!(producer.try_claim(count), Err(refused));
            assert_eq!(
                producer.claim(count, WaitStrategy::BLOCKING, &Alert::default(), None),
                Err(refused)
            );
            assert_eq!(
                (producer.claimed(), cursor(&segment), producer.remaining_capacity()),
                (-1, -1, 4)
            );
            assert_eq!(producer.try_claim(4), Ok(3));
        }
    }
}

// 10
#[test]
fn after_many_laps_the_slots_hold_the_last_one() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 32);
        let consumer = join(&segment, "c");
        for value in 0..1032 {
            let sequence = producer.send(value, WaitStrategy::BLOCKING);
            consumer.commit(sequence);
        }
        let mut held: Vec<u64> = (0..32).map(|sequence| get(&segment, sequence)).collect();
        held.sort_unstable();
        assert_eq!(held, (1000..1032).collect::<Vec<u64>>());
    }
}

// 11
#[test]
fn exactly_as_many_are_published_as_there_are_slots() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 32);
        let _consumer = join(&segment, "c");
        assert!((0..32).all(|value| producer.try_send(value + 29) == Some(value as i64)));
        assert_eq!(producer.try_send(0), None);
        assert!((0..32).all(|sequence| get::<u64>(&segment, sequence) == sequence as u64 + 29));
    }
}

// 13, 15
#[test]
fn the_minimum_is_that_of_the_slowest_who_is_there() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
        let (a, b) = (join(&segment, "a"), join(&segment, "b"));
        producer.fill(10);
        a.commit(3);
        b.commit(7);
        assert_eq!(segment.minimum_gate(i64::MAX), (3, Some(a.index())));
        a.leave().unwrap();
        assert_eq!(segment.minimum_gate(i64::MAX), (7, Some(b.index())));
        a.leave().unwrap();
        b.leave().unwrap();
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
    }
}

// 15
#[test]
fn leaving_twice_does_not_take_the_place_of_who_came_after() {
    let (segment, _producer) = ring(ProducerKind::Multi, 16);
    let first = join(&segment, "first");
    first.leave().unwrap();
    let second = join(&segment, "second");
    assert_eq!(first.index(), second.index());
    first.leave().unwrap();
    assert_eq!(segment.minimum_gate(i64::MAX), (-1, Some(second.index())));
}

// 14
#[test]
fn a_consumer_starts_after_the_cursor() {
    for kind in KINDS {
        for start in [Start::Default, Start::Latest, Start::Oldest, Start::At(11)] {
            let (segment, mut producer) = ring(kind, 16);
            producer.fill(11);
            assert_eq!(Consumer::join(&segment, "c", true, start).unwrap().sequence(), 10);
        }
    }
}

#[test]
fn a_start_that_nobody_held_is_refused_and_leaves_no_trace() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        producer.fill(4);
        for wanted in [0, 3, 5] {
            let refused = Consumer::join(&segment, "c", true, Start::At(wanted)).err();
            assert_eq!(refused, Some(JoinError::StartNotHeld { wanted, first: 4 }));
        }
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
        join(&segment, "c");
    }
}

#[test]
fn a_place_that_is_held_gates_until_its_consumer_comes() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        Consumer::hold(&segment, "risk").unwrap();
        producer.fill(4);
        assert_eq!(producer.try_claim(1), Err(ClaimError::Full));
        assert_eq!(
            Consumer::hold(&segment, "risk").err(),
            Some(JoinError::NameTaken { name: "risk".into() })
        );
        let consumer = Consumer::join(&segment, "risk", true, Start::At(2)).unwrap();
        assert_eq!((consumer.sequence(), producer.remaining_capacity()), (1, 2));
        let again = Consumer::join(&segment, "risk", true, Start::Default).err();
        assert_eq!(again, Some(JoinError::NameTaken { name: "risk".into() }));
    }
}

#[test]
fn latest_is_never_refused_while_events_flow() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let alert = Alert::default();
        let own = alert.clone();
        let publisher = thread::spawn(move || {
            while !own.is_raised() {
                let _ = producer.claim(1, WaitStrategy::BLOCKING, &own, None).unwrap();
                producer.publish(producer.claimed(), producer.claimed());
            }
        });
        for _ in 0..2_000 {
            join(&segment, "c").leave().unwrap();
        }
        alert.raise(&segment);
        publisher.join().unwrap();
    }
}

#[test]
fn a_consumer_with_dependents_cannot_leave() {
    let (segment, _producer) = ring(ProducerKind::Single, 4);
    let (a, b) = (join(&segment, "a"), join(&segment, "b"));
    b.depend_on(1 << a.index());
    assert_eq!(
        a.leave(),
        Err(LeaveError::HasDependents {
            dependents: 1 << b.index()
        })
    );
    b.leave().unwrap();
    a.leave().unwrap();
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

// Where the reference falls short.

#[test]
fn a_claim_that_timed_out_or_was_halted_leaves_no_hole() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 4);
            let consumer = join(&segment, "c");
            producer.fill(3);
            let alert = Alert::default();
            assert_eq!(producer.claim(2, strategy, &alert, soon(1)), Ok(Outcome::TimedOut));
            alert.raise(&segment);
            assert_eq!(producer.claim(2, strategy, &alert, None), Ok(Outcome::Alerted));
            assert_eq!(producer.try_claim(4), Err(ClaimError::Full));
            assert_eq!((producer.claimed(), producer.remaining_capacity()), (2, 1));
            assert_eq!(producer.fill(1), 3);
            assert_eq!(barrier(&consumer).poll(0, i64::MAX), Ok(3));
        }
    }
}

#[test]
fn a_failed_claim_is_seen_by_nobody() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 8);
        let mut poller = EventPoller::new(join(&segment, "poller"));
        producer.fill(1);
        let high = producer.try_claim(2).unwrap();
        (high - 1..=high).for_each(|sequence| put(&segment, sequence, 666_u64));
        producer.abort(high - 1, high);
        producer.try_send(7).unwrap();
        let mut seen = Vec::new();
        let polled = poller.poll(i64::MAX, |sequence, end| {
            seen.push((get::<u64>(&segment, sequence), end));
            true
        });
        assert_eq!((polled, seen), (Polled::Processing(2), vec![(0, false), (7, true)]));
        assert_eq!(poller.poll(i64::MAX, |_, _| true), Polled::Idle);
        assert_eq!(poller.consumer().sequence(), cursor(&segment));
    }
}

#[test]
fn a_poller_over_pads_alone_is_idle_and_holds_nobody_up() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 4);
    let mut poller = EventPoller::new(join(&segment, "poller"));
    for _ in 0..3 {
        producer.try_claim(4).unwrap();
        let high = producer.claimed();
        producer.abort(high - 3, high);
        assert_eq!(
            poller.poll(1, |_, _| unreachable!("a Pad was handed out")),
            Polled::Idle
        );
    }
}

#[test]
fn a_poller_says_why_there_is_nothing() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        let (upstream, follower) = (join(&segment, "upstream"), join(&segment, "follower"));
        follower.depend_on(1 << upstream.index());
        let mut poller = EventPoller::new(follower);
        assert_eq!(poller.poll(1, |_, _| true), Polled::Idle);
        producer.fill(2);
        assert_eq!(poller.poll(1, |_, _| true), Polled::Gating);
        upstream.commit(1);
        assert_eq!(poller.poll(1, |_, _| true), Polled::Processing(1));
        assert_eq!(poller.poll(0, |_, _| true), Polled::Processing(1));
    }
}

#[test]
fn an_open_claim_keeps_its_slot_though_no_consumer_gates_it() {
    let (segment, producer) = ring(ProducerKind::Multi, 4);
    let [mut open, mut other] = <[Producer; 2]>::try_from(producer.several(2)).ok().unwrap();
    assert_eq!(open.try_claim(1), Ok(0));
    assert_eq!(other.fill(3), 3);
    assert_eq!(
        (other.poll_claim(1), has_room(&other, 1)),
        (Err(Blocker::Cursor), false)
    );
    let late = join(&segment, "late");
    assert_eq!(
        (other.poll_claim(1), has_room(&other, 1)),
        (Err(Blocker::Cursor), false)
    );
    put(&segment, 0, 0_u64);
    open.publish(0, 0);
    assert!(has_room(&other, 4) && !has_room(&other, 5));
    assert_eq!((other.fill(4), barrier(&late).poll(4, i64::MAX)), (7, Ok(7)));
    assert_eq!(other.poll_claim(1), Err(Blocker::Consumer(late.index())));
}

#[test]
fn a_reader_that_was_lapped_is_told_so_on_both_kinds_of_rings() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 8);
        let reader = Consumer::join(&segment, "ui", false, Start::Latest).unwrap();
        for value in 0..20 {
            assert!(producer.try_send(value).is_some());
        }
        let Outcome::Ready(_) = barrier(&reader).wait_for(0, 4, WaitStrategy::BLOCKING, soon(1_000)) else {
            panic!("a lapped reader waits for what will never come again");
        };
        let lapped = read_unless_lapped(&segment, 0, || ()).unwrap_err();
        assert!((12..=20).contains(&lapped.resume), "{lapped:?}");
        assert_eq!(
            read_unless_lapped(&segment, lapped.resume, || get::<u64>(&segment, lapped.resume)).unwrap(),
            14
        );
    }
}

#[test]
fn a_reader_is_not_sent_past_what_is_published_by_a_claim_that_was_taken_back() {
    let (segment, mut producer) = ring(ProducerKind::Single, 8);
    producer.fill(2);
    producer.try_claim(8).unwrap();
    producer.abort(2, 9);
    assert_eq!(read_unless_lapped(&segment, 1, || ()).unwrap_err().resume, 2);
    assert_eq!(producer.fill(1), 2);
    assert!(read_unless_lapped(&segment, 2, || get::<u64>(&segment, 2)).is_ok_and(|value| value == 2));
}

/// A waiter of a blocking strategy arms the word of whoever blocks it; nobody who spins does.
#[test]
fn every_wait_of_a_blocking_strategy_sleeps() {
    for kind in KINDS {
        for strategy in [WaitStrategy::BLOCKING, WaitStrategy::PHASED_BACKOFF] {
            let (segment, mut producer) = ring(kind, 4);
            let (slowest, upstream) = (join(&segment, "slowest").index(), join(&segment, "upstream").index());
            producer.fill(4);
            let alert = Alert::default();
            let sleeps_on = |blocker| segment.futex(blocker).armed.load(Ordering::Acquire) & SLEEPER != 0;
            thread::scope(|scope| {
                let at = |depends_on| SequenceBarrier::new(&segment, depends_on, alert.clone());
                let (at_cursor, behind) = (at(0), at(1 << upstream));
                let waits = [
                    scope.spawn(move || at_cursor.wait_for(4, 1, strategy, None)),
                    scope.spawn(move || behind.wait_for(0, 1, strategy, None)),
                    scope.spawn(|| producer.claim(1, strategy, &alert, None).unwrap()),
                ];
                let blockers = [Blocker::Cursor, Blocker::Consumer(upstream), Blocker::Consumer(slowest)];
                until(|| blockers.into_iter().all(sleeps_on));
                alert.raise(&segment);
                assert!(waits.into_iter().all(|wait| wait.join().unwrap() == Outcome::Alerted));
            });
        }
    }
}

#[test]
fn a_drain_waits_for_a_consumer_whose_thread_has_not_come_up() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let consumer = join(&segment, "c");
        producer.fill(10);
        let mut done = Done {
            segment: &segment,
            index: consumer.index(),
            target: cursor(&segment),
        };
        let early = wait(&segment, WaitStrategy::BLOCKING, &Alert::default(), soon(1), &mut done);
        assert_eq!(early, Outcome::TimedOut);
        consumer.commit(9);
        assert_eq!(
            wait(&segment, WaitStrategy::BLOCKING, &Alert::default(), None, &mut done),
            Outcome::Ready(())
        );
    }
}

#[test]
fn a_new_producer_goes_on_from_the_cursor() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        let consumer = join(&segment, "c");
        producer.fill(3);
        let mut next = Producer::new(Arc::clone(&segment));
        assert_eq!((next.fill(1), next.try_claim(1)), (3, Err(ClaimError::Full)));
        consumer.commit(3);
        assert_eq!(next.fill(4), 7);
    }
}
