//! Where the reference falls short.

use crate::support::{KINDS, Producer, STRATEGIES, barrier, get, join, put, ring};
use crate::{has_room, soon, until};
use ringbus_core::barrier::Done;
use ringbus_core::consumer::read_unless_lapped;
use ringbus_core::futex::SLEEPER;
use ringbus_core::registry::cursor;
use ringbus_core::sync::Ordering;
use ringbus_core::wait::wait;
use ringbus_core::{
    Alert, Blocker, ClaimError, Consumer, EventPoller, Outcome, Polled, ProducerKind, SequenceBarrier, Sequencer,
    Start, WaitStrategy,
};
use std::sync::Arc;
use std::thread;

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
