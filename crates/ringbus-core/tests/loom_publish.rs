//! Claim, publish, wait and wrap of both sequencers, in every interleaving.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::Sequencer;
use support::{
    check, check_within, consume, join, join_all, lend, multi, publish, single, try_publish, wait_for, write,
};

#[test]
fn what_a_single_producer_wrote_is_seen() {
    check(|| {
        let (ring, mut producer) = single(2);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || (publish(&mut producer), publish(&mut producer)));
        consume(&consumer, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn what_a_loop_wrote_that_was_lent_the_words_is_seen() {
    check(|| {
        let (ring, mut producer) = single(2);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || lend(&mut producer, 2));
        consume(&consumer, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn a_loop_that_was_lent_the_words_waits_for_the_slot_to_be_read() {
    check(|| {
        let (ring, mut producer) = single(1);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || lend(&mut producer, 2));
        consume(&consumer, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn what_two_producers_wrote_is_seen_in_order() {
    check(|| {
        let (ring, producer) = multi(2);
        let consumer = join(&ring, "c");
        let publishers = [producer.clone(), producer].map(|mut own| thread::spawn(move || publish(&mut own)));
        consume(&consumer, 1);
        let mut sequences = join_all(publishers);
        sequences.sort_unstable();
        assert_eq!(sequences, [0, 1], "a sequence was claimed twice");
    });
}

#[test]
fn every_slot_of_a_batch_is_published() {
    check(|| {
        let (ring, mut producer) = multi(2);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || {
            assert_eq!(producer.try_claim(2), Ok(1));
            write(producer.segment(), 0);
            write(producer.segment(), 1);
            producer.publish(0, 1);
        });
        consume(&consumer, 1);
        publisher.join().unwrap();
    });
}

#[test]
fn a_single_producer_waits_for_the_slot_to_be_read() {
    check(|| {
        let (ring, mut producer) = single(1);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || [(); 3].map(|()| publish(&mut producer)));
        consume(&consumer, 2);
        publisher.join().unwrap();
    });
}

#[test]
fn two_producers_wait_for_the_slot_to_be_read() {
    check(|| {
        let (ring, producer) = multi(1);
        let consumer = join(&ring, "c");
        let publishers = [producer.clone(), producer].map(|mut own| thread::spawn(move || publish(&mut own)));
        consume(&consumer, 1);
        join_all(publishers);
    });
}

#[test]
fn a_producer_waits_for_the_slowest_of_two_consumers() {
    check_within(2, || {
        let (ring, mut producer) = single(1);
        let consumers = [join(&ring, "a"), join(&ring, "b")];
        let threads = consumers.map(|consumer| thread::spawn(move || consume(&consumer, 1)));
        publish(&mut producer);
        publish(&mut producer);
        join_all(threads);
    });
}

#[test]
fn a_gate_that_another_producer_read_may_be_relied_on() {
    check(|| {
        let (ring, mut producer) = multi(1);
        let consumer = join(&ring, "c");
        publish(&mut producer);
        let publishers = [producer.clone(), producer].map(|mut own| thread::spawn(move || try_publish(&mut own)));
        consume(&consumer, 0);
        let claimed = join_all(publishers);
        assert!(
            claimed.iter().flatten().all(|&sequence| sequence == 1),
            "the ring has room for one"
        );
    });
}

#[test]
fn without_consumers_an_open_claim_keeps_its_slot() {
    check(|| {
        let (_ring, producer) = multi(1);
        let publishers = [producer.clone(), producer].map(|mut own| thread::spawn(move || publish(&mut own)));
        join_all(publishers);
    });
}

#[test]
fn a_consumer_that_joined_late_does_not_give_an_open_claim_away() {
    check(|| {
        let (ring, mut late) = multi(1);
        let mut early = late.clone();
        assert_eq!(early.try_claim(1), Ok(0));
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || {
            write(early.segment(), 0);
            early.publish(0, 0);
        });
        assert_eq!(publish(&mut late), 1);
        wait_for(&support::barrier(&consumer), 1);
        consume(&consumer, 1);
        publisher.join().unwrap();
    });
}
