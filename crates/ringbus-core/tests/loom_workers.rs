//! Workers that take whatever comes: each event goes to one of them, which reads it before its slot is written again.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::Consumer;
use ringbus_core::consumer::WorkSequence;
use std::sync::Arc;
use support::{barrier, check_within, join, join_all, publish, read, single, wait_for};

const EVENTS: i64 = 2;

/// Takes and reads events until all are taken; how many.
fn work(consumer: &Consumer, shared: &WorkSequence) -> i64 {
    let barrier = barrier(consumer);
    let mut taken = 0;
    loop {
        let sequence = shared.take(|before| {
            consumer.commit(before);
        });
        consumer.commit(sequence - 1);
        if sequence >= EVENTS {
            consumer.leave().unwrap();
            return taken;
        }
        wait_for(&barrier, sequence);
        assert_eq!(
            read(consumer.segment(), sequence),
            sequence,
            "a slot holds another event"
        );
        taken += 1;
    }
}

#[test]
fn two_workers_read_each_event_once() {
    check_within(2, || {
        let (ring, mut producer) = single(1);
        let shared = Arc::new(WorkSequence::new(-1));
        let workers = ["a", "b"].map(|name| {
            let (own, shared) = (join(&ring, name), Arc::clone(&shared));
            thread::spawn(move || work(&own, &shared))
        });
        for _ in 0..EVENTS {
            publish(&mut producer);
        }
        let [a, b] = join_all(workers);
        assert_eq!(a + b, EVENTS, "an event was taken twice");
    });
}
