//! Workers: each event goes to one of them, and none is overwritten before.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::consumer::{WorkSequence, worker_of};
use ringbus_core::registry::cursor;
use ringbus_core::{Consumer, Outcome, ProducerKind, WaitStrategy};
use std::sync::{Arc, Barrier};
use std::thread;
use support::{KINDS, barrier, get, join, ring};

const EVENTS: i64 = 20_000;

/// Takes what is free until all events are taken; what it read in the slots.
fn work(consumer: &Consumer, work: &WorkSequence) -> Vec<u64> {
    let (segment, barrier) = (consumer.segment(), barrier(consumer));
    let mut read = Vec::new();
    loop {
        let sequence = work.take(|before| {
            consumer.commit(before);
        });
        consumer.commit(sequence - 1);
        if sequence >= EVENTS {
            // Nothing will come there: it must hold nobody up.
            consumer.commit(i64::MAX >> 1);
            return read;
        }
        let outcome = barrier.wait_for(sequence, 1, WaitStrategy::BLOCKING, None);
        assert_eq!(outcome, Outcome::Ready(sequence));
        read.push(get(segment, sequence));
    }
}

#[test]
fn two_workers_get_each_event_once_and_none_that_was_overwritten() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        let shared = Arc::new(WorkSequence::new(0));
        shared.start_at(cursor(&segment));
        let begin = Arc::new(Barrier::new(3));
        let threads = ["a", "b"].map(|name| {
            let (own, shared, begin) = (join(&segment, name), Arc::clone(&shared), Arc::clone(&begin));
            thread::spawn(move || {
                begin.wait();
                work(&own, &shared)
            })
        });
        begin.wait();
        for value in 0..EVENTS as u64 {
            producer.send(value, WaitStrategy::BLOCKING);
        }
        let mut read: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        read.sort_unstable();
        assert!(
            read.iter().copied().eq(0..EVENTS as u64),
            "some are missing or came twice"
        );
    }
}

#[test]
fn a_worker_gates_before_it_takes_its_next_one() {
    let (segment, _producer) = ring(ProducerKind::Multi, 4);
    let (shared, consumer) = (WorkSequence::new(-1), join(&segment, "c"));
    let other = || shared.take(|before| assert_eq!(before, -1));
    let taken = shared.take(|before| {
        consumer.commit(before);
        // Another one is quicker, between the two steps.
        assert_eq!(other(), 0);
    });
    assert_eq!((taken, consumer.sequence()), (1, -1));
}

#[test]
fn one_key_has_one_worker_and_many_keys_have_all() {
    let workers = |count: u64| (0..1000_u64).map(move |key| worker_of(&key.to_le_bytes(), count));
    assert!(workers(7).eq(workers(7)));
    assert!(workers(1).all(|worker| worker == 0));
    for worker in 0..7 {
        let share = workers(7).filter(|&other| other == worker).count();
        assert!((90..200).contains(&share), "worker {worker} has {share} of 1000 keys");
    }
}
