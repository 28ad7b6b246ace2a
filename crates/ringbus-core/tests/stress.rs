//! The protocol on the real machine: litmus tests, checksums under joins, leaves and failed claims.
//!
//! `RINGBUS_ROUNDS` says how many rounds or events; `make stress` asks for 10^7, `make tsan` runs them under
//! ThreadSanitizer, which sees every plain access to a slot.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::barrier::Done;
use ringbus_core::consumer::{WorkPool, WorkSequence, read_unless_lapped};
use ringbus_core::registry::cursor;
use ringbus_core::sync::{AtomicU64, Ordering, can_be_asymmetric, heavy_barrier, light_barrier, store_load_barrier};
use ringbus_core::wait::{Alert, wait};
use ringbus_core::{Consumer, Outcome, ProducerKind, Segment, SequenceBarrier, Sequencer, Start, WaitStrategy};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use support::{KINDS, Producer, barrier, geometry, get, join, put, ring, ring_of, rounds};

const QUICK: u64 = if cfg!(tsan) { 20_000 } else { 100_000 };

/// Two threads spin against each other only where each has a core; the others give it away.
const WAITS: [WaitStrategy; 2] = [WaitStrategy::Yielding, WaitStrategy::BLOCKING];

/// Rounds under way at once, each with plain numbers of its own.
const LANES: u64 = 16;

/// Plain numbers that the ring under test knows nothing of, a line each: the slots of another ring, which
/// nobody claims.
struct Plain(Arc<Segment>);

impl Plain {
    fn new() -> Arc<Self> {
        Arc::new(Self(ring_of(geometry(ProducerKind::Single, LANES, 128, 0)).0))
    }

    /// Sets the number of the round `sequence`.
    fn set(&self, sequence: i64) {
        put(&self.0, sequence, sequence);
    }

    fn assert_set(&self, sequence: i64) {
        assert_eq!(get::<i64>(&self.0, sequence), sequence, "a stale flag");
    }
}

/// Each handles the next sequence, up to `last`, and says so.
fn follow(consumer: &Consumer, last: i64, strategy: WaitStrategy, mut handle: impl FnMut(i64)) {
    let barrier = barrier(consumer);
    for sequence in consumer.sequence() + 1..=last {
        assert_eq!(barrier.wait_for(sequence, 1, strategy, None), Outcome::Ready(sequence));
        handle(sequence);
        consumer.commit(sequence);
    }
}

/// The flag that the producer sets before it publishes is never stale, and the flag that the consumer
/// sets before it commits is not either.
#[test]
fn litmus_message_passing_both_ways() {
    for kind in KINDS {
        for strategy in WAITS {
            let count = rounds(QUICK) as i64;
            let (segment, mut producer) = ring(kind, LANES);
            let (there, back) = (Plain::new(), Plain::new());
            let (seen, answer, consumer) = (Arc::clone(&there), Arc::clone(&back), join(&segment, "c"));
            let reader = thread::spawn(move || {
                follow(&consumer, count - 1, strategy, |sequence| {
                    seen.assert_set(sequence);
                    answer.set(sequence);
                });
            });
            for _ in 0..count {
                let (claimed, _) = producer.claim_all(1, strategy);
                if claimed >= LANES as i64 {
                    back.assert_set(claimed - LANES as i64);
                }
                there.set(claimed);
                producer.publish(claimed, claimed);
            }
            reader.join().unwrap();
        }
    }
}

/// B waits for A alone and sees what the producer wrote and what A wrote.
#[test]
fn litmus_message_passing_through_a_chain_of_two_consumers() {
    for kind in KINDS {
        let count = rounds(QUICK) as i64;
        let (segment, mut producer) = ring(kind, LANES);
        let (first, second) = (join(&segment, "a"), join(&segment, "b"));
        second.depend_on(1 << first.index());
        let (of_producer, of_first) = (Plain::new(), Plain::new());
        let (seen_first, set_first) = (Arc::clone(&of_producer), Arc::clone(&of_first));
        let seen_second = Arc::clone(&of_producer);
        let threads = [
            thread::spawn(move || {
                follow(&first, count - 1, WaitStrategy::Yielding, |sequence| {
                    seen_first.assert_set(sequence);
                    set_first.set(sequence);
                });
            }),
            thread::spawn(move || {
                follow(&second, count - 1, WaitStrategy::Yielding, |sequence| {
                    seen_second.assert_set(sequence);
                    of_first.assert_set(sequence);
                });
            }),
        ];
        for _ in 0..count {
            let (claimed, _) = producer.claim_all(1, WaitStrategy::Yielding);
            of_producer.set(claimed);
            producer.publish(claimed, claimed);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// Two threads meet, each does `write` on its own side, then `look` at the other's, which says whether it
/// missed it: at least one must not.
fn store_buffering(count: i64, write: impl Fn(usize, i64) + Sync, missed: impl Fn(usize, i64) -> bool + Sync) {
    let met = [const { AtomicU64::new(0) }; 2].map(Arc::new);
    let side = |own: usize| {
        let mut rounds = Vec::new();
        for round in 0..count {
            meet(&met, own, 2 * round as u64 + 1);
            write(own, round);
            if missed(1 - own, round) {
                rounds.push(round);
            }
            meet(&met, own, 2 * round as u64 + 2);
        }
        rounds
    };
    let (left, right) = thread::scope(|scope| {
        let left = scope.spawn(|| side(0));
        (side(1), left.join().unwrap())
    });
    let both: Vec<_> = left.iter().filter(|round| right.binary_search(round).is_ok()).collect();
    assert!(both.is_empty(), "both looked too early in rounds {both:?}");
}

/// Each of two publishes, passes the barrier, and looks at the other's cursor.
#[test]
fn litmus_store_buffering() {
    for kind in KINDS {
        let (segments, producers): (Vec<_>, Vec<_>) = [ring(kind, 1024), ring(kind, 1024)].into_iter().unzip();
        let producers: Vec<_> = producers.into_iter().map(Mutex::new).collect();
        let publish = |own: usize, round: i64| {
            producers[own].lock().unwrap().try_send(round as u64).unwrap();
            store_load_barrier();
        };
        store_buffering(rounds(QUICK) as i64, publish, |other, round| {
            cursor(&segments[other]) < round
        });
    }
}

/// The pair of barriers of which one side costs nothing: who publishes, against who goes to sleep.
#[test]
fn litmus_store_buffering_with_the_cost_on_one_side() {
    let asymmetric = can_be_asymmetric();
    let words = [const { AtomicU64::new(0) }; 2].map(Line);
    let write = |own: usize, round: i64| {
        words[own].0.store(round as u64 + 1, Ordering::Relaxed);
        if own == 0 {
            light_barrier(asymmetric);
        } else {
            heavy_barrier(asymmetric);
        }
    };
    let missed = |other: usize, round: i64| words[other].0.load(Ordering::Relaxed) <= round as u64;
    store_buffering(rounds(QUICK).min(1_000_000) as i64, write, missed);
}

#[repr(align(128))]
struct Line(AtomicU64);

/// Waits until both sides are at `step`, so that they start at once.
fn meet(met: &[Arc<AtomicU64>; 2], own: usize, step: u64) {
    met[own].store(step, Ordering::Release);
    let mut turns = 0_u32;
    while met[1 - own].load(Ordering::Acquire) < step {
        turns += 1;
        if turns.is_multiple_of(64) {
            thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// A slot of four words that belong together.
type Row = [u64; 4];

fn row(value: u64) -> Row {
    [
        value,
        value.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        !value,
        value.rotate_left(17),
    ]
}

fn rows(kind: ProducerKind, capacity: u64) -> (Arc<Segment>, Producer) {
    ring_of(geometry(kind, capacity, size_of::<Row>() as u64, 0))
}

fn publish_rows(mut producer: Producer, values: std::ops::Range<u64>, batch: u64, fail: bool) {
    let mut next = values.start;
    for attempt in 0_u64.. {
        if next == values.end {
            break;
        }
        let count = batch.min(values.end - next) as i64;
        let (low, high) = producer.claim_all(count, WaitStrategy::BLOCKING);
        if fail && attempt.is_multiple_of(7) {
            (low..=high).for_each(|sequence| put(producer.segment(), sequence, row(u64::MAX)));
            producer.abort(low, high);
            continue;
        }
        for (sequence, value) in (low..=high).zip(next..) {
            put(producer.segment(), sequence, row(value));
        }
        producer.publish(low, high);
        next += count as u64;
    }
}

/// Handles until it has `events`; returns how many, their sum and how many of their rows were wrong.
fn sum_rows(consumer: &Consumer, events: u64, max_batch: i64) -> (u64, u64, u64) {
    let (segment, barrier) = (consumer.segment(), barrier(consumer));
    let (mut seen, mut sum, mut wrong) = (0, 0_u64, 0);
    while seen < events {
        let next = consumer.sequence() + 1;
        let Outcome::Ready(last) = barrier.wait_for(next, max_batch, WaitStrategy::BLOCKING, None) else {
            continue;
        };
        for sequence in (next..=last).filter(|&sequence| !segment.is_pad(sequence)) {
            let event: Row = get(segment, sequence);
            seen += 1;
            sum = sum.wrapping_add(event[0]);
            wrong += u64::from(event != row(event[0]) || event[0] == u64::MAX);
        }
        consumer.commit(last);
    }
    (seen, sum, wrong)
}

/// `producers` x `consumers`, the consumers one after the other where `chained`.
fn checksums(kind: ProducerKind, producers: usize, consumers: usize, chained: bool, fail: bool) {
    let each = rounds(QUICK).min(1_000_000) / producers as u64;
    let (segment, producer) = rows(kind, 256);
    let own = producer.several(producers);
    let events = each * own.len() as u64;
    let members: Vec<Consumer> = (0..consumers)
        .map(|number| join(&segment, &format!("c{number}")))
        .collect();
    for pair in members.windows(2).filter(|_| chained) {
        pair[1].depend_on(1 << pair[0].index());
    }
    let readers: Vec<_> = (1_i64..)
        .zip(members)
        .map(|(batch, consumer)| thread::spawn(move || sum_rows(&consumer, events, batch * 16)))
        .collect();
    let writers: Vec<_> = (0_u64..)
        .zip(own)
        .map(|(number, own)| {
            thread::spawn(move || publish_rows(own, number * each..(number + 1) * each, number + 1, fail))
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let expected = (events, (0..events).fold(0, u64::wrapping_add), 0);
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == expected));
}

#[test]
fn one_producer_and_three_consumers_agree() {
    checksums(ProducerKind::Single, 1, 3, false, false);
}

#[test]
fn three_producers_and_three_consumers_agree() {
    checksums(ProducerKind::Multi, 3, 3, false, false);
}

#[test]
fn three_producers_and_a_chain_of_three_agree() {
    checksums(ProducerKind::Multi, 3, 3, true, false);
}

#[test]
fn claims_that_fail_under_load_show_nobody_anything() {
    checksums(ProducerKind::Single, 1, 2, true, true);
    checksums(ProducerKind::Multi, 3, 2, true, true);
}

/// Consumers come and go while producers publish; who stays misses nothing, who comes misses nothing
/// between its start and its leave.
#[test]
fn joins_and_leaves_under_load_lose_nothing() {
    for kind in KINDS {
        let each = rounds(QUICK).min(1_000_000) / 2;
        let (segment, producer) = rows(kind, 64);
        let own = producer.several(2);
        let events = each * own.len() as u64;
        let resident = join(&segment, "resident");
        let resident = thread::spawn(move || sum_rows(&resident, events, 16));
        let guests: Vec<_> = (0..2)
            .map(|number| {
                let segment = Arc::clone(&segment);
                thread::spawn(move || visit(&segment, &format!("guest-{number}"), events as i64))
            })
            .collect();
        let writers: Vec<_> = (0_u64..)
            .zip(own)
            .map(|(number, own)| thread::spawn(move || publish_rows(own, number * each..(number + 1) * each, 1, false)))
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(
            resident.join().unwrap(),
            (events, (0..events).fold(0, u64::wrapping_add), 0)
        );
        for guest in guests {
            guest.join().unwrap();
        }
    }
}

/// Joins, takes some events in order, and leaves, until the last event.
fn visit(segment: &Arc<Segment>, name: &str, events: i64) {
    let mut seen = -1;
    while seen < events - 1 {
        let guest = join(segment, name);
        assert!(guest.sequence() >= seen, "a joiner was sent back");
        let last = (guest.sequence() + 50).min(events - 1);
        follow(&guest, last, WaitStrategy::BLOCKING, |sequence| {
            let event: Row = get(segment, sequence);
            assert_eq!(event, row(event[0]), "a slot was overwritten");
        });
        seen = last;
        guest.leave().unwrap();
    }
}

/// With nobody to gate them producers overwrite, but never each other's open claims.
#[test]
fn producers_without_consumers_do_not_meet_in_a_slot() {
    let each = rounds(QUICK).min(1_000_000) / 2;
    let (segment, producer) = rows(ProducerKind::Multi, 2);
    let writers: Vec<_> = producer
        .several(2)
        .into_iter()
        .map(|own| thread::spawn(move || publish_rows(own, 0..each, 1, false)))
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let last = cursor(&segment);
    assert_eq!(last, 2 * each as i64 - 1);
    assert!((last - 1..=last).all(|sequence| segment.is_available(sequence)));
}

/// Nobody waits for the reader: what it gets is whole and in order, or it is told that it was lapped.
#[test]
fn a_reader_that_is_lapped_never_gets_a_torn_row() {
    for kind in KINDS {
        let events = rounds(QUICK).min(1_000_000);
        let (segment, mut producer) = rows(kind, 8);
        let writer = thread::spawn(move || {
            for value in 0..events {
                let (sequence, _) = producer.claim_all(1, WaitStrategy::BLOCKING);
                put_words(producer.segment(), sequence, row(value));
                if kind == ProducerKind::Single && value % 5 == 0 {
                    producer.abort(sequence, sequence);
                    producer.claim_all(1, WaitStrategy::BLOCKING);
                    put_words(producer.segment(), sequence, row(value));
                }
                producer.publish(sequence, sequence);
            }
        });
        read_on(
            &Consumer::join(&segment, "ui", false, Start::Latest).unwrap(),
            events as i64,
        );
        writer.join().unwrap();
    }
}

fn put_words(segment: &Segment, sequence: i64, row: Row) {
    let words = segment.slot(sequence).cast::<AtomicU64>();
    for (index, value) in row.into_iter().enumerate() {
        // SAFETY: slots are as large as a row and aligned to eight.
        unsafe { &*words.add(index) }.store(value, Ordering::Relaxed);
    }
}

fn read_on(reader: &Consumer, events: i64) {
    let (segment, barrier) = (
        reader.segment(),
        SequenceBarrier::new(reader.segment(), 0, Alert::default()),
    );
    let mut next = reader.sequence() + 1;
    while next < events {
        let Outcome::Ready(_) = barrier.wait_for(next, 1, WaitStrategy::BLOCKING, None) else {
            continue;
        };
        let copy = || {
            let mut copied: Row = [0; 4];
            // SAFETY: a row takes a slot.
            unsafe { segment.copy_slot(next, copied.as_mut_ptr().cast()) };
            copied
        };
        match read_unless_lapped(segment, next, copy) {
            Ok(copied) => {
                assert_eq!(copied, row(next as u64), "torn, or of another event");
                next += 1;
            }
            Err(lapped) => {
                assert!(lapped.resume > next && lapped.resume <= events);
                next = lapped.resume;
            }
        }
    }
}

/// A drain right after the publish, while the consumers' threads come up.
#[test]
fn a_drain_loses_nothing() {
    for run in 0..rounds(QUICK).min(100_000) / 50 {
        let (segment, producer) = ring(KINDS[run as usize % 2], 8);
        let consumer = join(&segment, "c");
        let (index, alert) = (consumer.index(), Alert::default());
        let own = SequenceBarrier::new(&segment, 0, alert.clone());
        let reader = thread::spawn(move || {
            while let Outcome::Ready(last) = own.wait_for(consumer.sequence() + 1, 3, WaitStrategy::BLOCKING, None) {
                consumer.commit(last);
            }
            consumer.sequence()
        });
        let writers: Vec<_> = producer
            .several(2)
            .into_iter()
            .map(|mut own| thread::spawn(move || (0..10).for_each(|value| assert!(own.send(value, WAITS[1]) >= 0))))
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let target = cursor(&segment);
        let mut done = Done {
            segment: &segment,
            index,
            target,
        };
        assert_eq!(
            wait(&segment, WaitStrategy::BLOCKING, &Alert::default(), None, &mut done),
            Outcome::Ready(())
        );
        alert.raise(&segment);
        assert_eq!(reader.join().unwrap(), target);
    }
}

/// Takes whatever no other worker has taken, up to `last`; the numbers of what it read, and their sum.
fn work(consumer: &Consumer, shared: &WorkSequence, last: i64) -> (u64, u64) {
    let barrier = barrier(consumer);
    let (mut count, mut sum) = (0, 0);
    loop {
        let sequence = shared.take(|before| {
            consumer.commit(before);
        });
        consumer.commit(sequence - 1);
        if sequence > last {
            consumer.leave().unwrap();
            return (count, sum);
        }
        let outcome = barrier.wait_for(sequence, 1, WaitStrategy::BLOCKING, None);
        assert_eq!(outcome, Outcome::Ready(sequence));
        count += 1;
        sum += get::<u64>(consumer.segment(), sequence);
    }
}

/// What all workers have read.
fn total<const N: usize>(workers: [thread::JoinHandle<(u64, u64)>; N]) -> (u64, u64) {
    let shares = workers.map(|worker| worker.join().unwrap());
    shares
        .iter()
        .fold((0, 0), |total, share| (total.0 + share.0, total.1 + share.1))
}

/// A slot that is written again before its worker has read it changes the sum.
#[test]
fn workers_share_the_events_and_read_each_before_its_slot_is_written_again() {
    // No litmus test, and three threads that sleep in turn on a ring of four take their time.
    let events = rounds(QUICK).min(1_000_000);
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        let shared = Arc::new(WorkSequence::new(0));
        shared.start_at(cursor(&segment));
        let workers = ["a", "b"].map(|name| {
            let (own, shared) = (join(&segment, name), Arc::clone(&shared));
            thread::spawn(move || work(&own, &shared, events as i64 - 1))
        });
        for value in 0..events {
            producer.send(value, WaitStrategy::BLOCKING);
        }
        assert_eq!(total(workers), (events, events * (events - 1) / 2));
    }
}

/// Takes what no other worker of the pool has taken until `last` is handled; the numbers of what it read, and their sum.
fn work_in_pool(consumer: &Consumer, pool: &WorkPool, alert: &Alert, last: i64, pace: Duration) -> (u64, u64) {
    let segment = consumer.segment();
    let barrier = SequenceBarrier::new(segment, 0, alert.clone());
    let commit = |sequence| {
        consumer.commit(sequence);
    };
    let (mut count, mut sum) = (0, 0);
    while !alert.is_raised() {
        let is_readable = |wanted| barrier.poll(wanted, 1).is_ok();
        if let Some(sequence) = pool.sequence().take_readable(commit, is_readable) {
            pool.keep_watch();
            count += 1;
            sum += get::<u64>(segment, sequence);
            pool.note_pace(1, pace);
            if sequence == last {
                alert.raise(segment);
                pool.wake_all();
            }
            continue;
        }
        pool.move_on(segment);
        match pool.sit(commit) {
            None => pool.rest(segment, consumer.index(), alert),
            Some(wanted) => {
                barrier.wait_for(wanted, 1, WaitStrategy::BLOCKING, None);
                pool.rise();
            }
        }
    }
    consumer.leave().unwrap();
    (count, sum)
}

#[test]
fn workers_of_a_pool_share_the_events_and_read_each_before_its_slot_is_written_again() {
    let events = rounds(QUICK / 5).min(200_000);
    for (kind, pace) in KINDS.into_iter().zip([Duration::ZERO, Duration::from_millis(1)]) {
        let (segment, mut producer) = ring(kind, 4);
        let (pool, alert) = (Arc::new(WorkPool::default()), Alert::default());
        pool.sequence().start_at(cursor(&segment));
        let workers = ["a", "b", "c"].map(|name| {
            let (own, pool, alert) = (join(&segment, name), Arc::clone(&pool), alert.clone());
            thread::spawn(move || work_in_pool(&own, &pool, &alert, events as i64 - 1, pace))
        });
        for value in 0..events {
            producer.send(value, WaitStrategy::BLOCKING);
        }
        assert_eq!(total(workers), (events, events * (events - 1) / 2));
    }
}
