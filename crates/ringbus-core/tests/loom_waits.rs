//! Sleeping and waking: a lost wake-up is a deadlock, which loom reports.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::wait::Alert;
use ringbus_core::{Outcome, SequenceBarrier, Sequencer, WaitStrategy};
use support::{barrier, check, check_within, consume, join, join_all, multi, publish, single, wait_for, write};

#[test]
fn a_sleeping_consumer_is_woken_by_the_publish() {
    check(|| {
        let (ring, mut producer) = single(1);
        let consumer = join(&ring, "c");
        let sleeper = thread::spawn(move || consume(&consumer, 0));
        publish(&mut producer);
        sleeper.join().unwrap();
    });
}

#[test]
fn a_sleeping_consumer_is_woken_by_whichever_producer_fills_the_gap() {
    check(|| {
        let (ring, producer) = multi(2);
        let consumer = join(&ring, "c");
        let (mut early, mut late) = (producer.clone(), producer);
        assert_eq!((early.try_claim(1), late.try_claim(1)), (Ok(0), Ok(1)));
        let publishers = [(early, 0), (late, 1)].map(|(mut own, sequence)| {
            thread::spawn(move || {
                write(own.segment(), sequence);
                own.publish(sequence, sequence);
            })
        });
        consume(&consumer, 1);
        join_all(publishers);
    });
}

#[test]
fn a_sleeping_producer_is_woken_by_the_commit() {
    check(|| {
        let (ring, mut producer) = single(1);
        let consumer = join(&ring, "c");
        publish(&mut producer);
        let sleeper = thread::spawn(move || publish(&mut producer));
        consume(&consumer, 0);
        assert_eq!(sleeper.join().unwrap(), 1);
    });
}

#[test]
fn a_sleeping_producer_is_woken_by_the_publish_of_an_open_claim() {
    check(|| {
        let (_ring, mut open) = multi(1);
        let mut waiting = open.clone();
        assert_eq!(open.try_claim(1), Ok(0));
        let sleeper = thread::spawn(move || publish(&mut waiting));
        write(open.segment(), 0);
        open.publish(0, 0);
        assert_eq!(sleeper.join().unwrap(), 1);
    });
}

/// One wants the event that is published, the other the one after it: both sleep on one word, and the
/// second arms it again after the first was woken and before it sleeps.
#[test]
fn two_sleepers_on_one_word_do_not_keep_each_other_asleep() {
    check_within(2, || {
        let (ring, mut producer) = single(1);
        let consumers = [join(&ring, "a"), join(&ring, "b")];
        let sleepers = consumers.map(|consumer| thread::spawn(move || consume(&consumer, 1)));
        publish(&mut producer);
        publish(&mut producer);
        join_all(sleepers);
    });
}

#[test]
fn a_dependent_of_two_does_not_sleep_on_the_one_that_is_done() {
    check(|| {
        let (ring, mut producer) = single(1);
        let (first, second, last) = (join(&ring, "a"), join(&ring, "b"), join(&ring, "c"));
        last.depend_on(1 << first.index() | 1 << second.index());
        publish(&mut producer);
        let upstream = [first, second].map(|consumer| thread::spawn(move || consume(&consumer, 0)));
        consume(&last, 0);
        join_all(upstream);
    });
}

#[test]
fn a_halt_wakes_a_sleeping_consumer() {
    check(|| {
        let (ring, _producer) = single(1);
        let alert = Alert::default();
        let barrier = SequenceBarrier::new(&ring, 0, alert.clone());
        let sleeper = thread::spawn(move || barrier.wait_for(0, 1, WaitStrategy::BLOCKING, None));
        alert.raise(&ring);
        assert_eq!(sleeper.join().unwrap(), Outcome::Alerted);
    });
}

#[test]
fn a_halt_wakes_a_sleeping_dependent_and_a_sleeping_producer() {
    check(|| {
        let (ring, mut producer) = single(1);
        let (upstream, follower) = (join(&ring, "a"), join(&ring, "b"));
        follower.depend_on(1 << upstream.index());
        publish(&mut producer);
        let alert = Alert::default();
        let behind = SequenceBarrier::new(&ring, follower.depends_on(), alert.clone());
        let dependent = thread::spawn(move || behind.wait_for(0, 1, WaitStrategy::BLOCKING, None));
        let own = alert.clone();
        let claimer = thread::spawn(move || producer.claim(1, WaitStrategy::BLOCKING, &own, None).unwrap());
        alert.raise(&ring);
        assert_eq!(dependent.join().unwrap(), Outcome::Alerted);
        assert_eq!(claimer.join().unwrap(), Outcome::Alerted);
    });
}

#[test]
fn every_strategy_ends_when_the_event_is_there() {
    for strategy in [WaitStrategy::BusySpin, WaitStrategy::Yielding, WaitStrategy::SLEEPING] {
        check(move || {
            let (ring, mut producer) = single(1);
            let consumer = join(&ring, "c");
            let publisher = thread::spawn(move || publish(&mut producer));
            assert_eq!(barrier(&consumer).wait_for(0, 1, strategy, None), Outcome::Ready(0));
            wait_for(&barrier(&consumer), 0);
            publisher.join().unwrap();
        });
    }
}
