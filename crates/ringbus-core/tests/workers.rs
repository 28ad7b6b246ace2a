//! Workers: what each holds, and which key goes to whom. `stress.rs` and `loom_workers.rs` run them at once.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::consumer::{WorkPool, WorkSequence, worker_of};
use ringbus_core::{Alert, ProducerKind};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use support::{join, ring};

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

// -- pools ------------------------------------------------------------------------------------------------------------

/// A pool in which another worker has the seat, and one that rests, on a thread; both handle what is quick or not.
fn resting(quick: bool) -> (Arc<WorkPool>, thread::JoinHandle<()>) {
    let (segment, _producer) = ring(ProducerKind::Single, 4);
    let (pool, consumer) = (Arc::new(WorkPool::default()), join(&segment, "c"));
    pool.note_pace(
        1,
        if quick {
            Duration::ZERO
        } else {
            Duration::from_millis(1)
        },
    );
    assert_eq!(pool.sit(|_| {}), Some(0));
    let (own, began) = (Arc::clone(&pool), Arc::new(Barrier::new(2)));
    let begins = Arc::clone(&began);
    let rester = thread::spawn(move || {
        begins.wait();
        own.rest(&segment, consumer.index(), &Alert::default());
    });
    began.wait();
    (pool, rester)
}

#[test]
fn who_rests_gets_up_when_the_seat_is_given_back() {
    for quick in [false, true] {
        let (pool, rester) = resting(quick);
        assert_eq!(pool.sit(|_| {}), None, "the seat is taken");
        pool.rise();
        rester.join().unwrap();
        assert_eq!(pool.sit(|_| {}), Some(0));
    }
}

#[test]
fn who_rests_is_moved_on_and_holds_nothing() {
    let (segment, _producer) = ring(ProducerKind::Single, 4);
    let (pool, consumer) = (Arc::new(WorkPool::default()), join(&segment, "c"));
    let alert = Alert::default();
    assert_eq!(pool.sit(|_| {}), Some(0));
    thread::scope(|scope| {
        let rester = scope.spawn(|| pool.rest(&segment, consumer.index(), &alert));
        let taken = pool.sequence().take_readable(|_| {}, |_| true);
        assert_eq!(taken, Some(0));
        while consumer.sequence() < 0 {
            pool.move_on(&segment);
        }
        assert!(!rester.is_finished());
        alert.raise(&segment);
        pool.wake_all();
    });
}

#[test]
fn what_is_not_readable_is_not_taken() {
    let shared = WorkSequence::new(-1);
    let mut committed = Vec::new();
    assert_eq!(shared.take_readable(|before| committed.push(before), |_| false), None);
    assert_eq!(shared.take_readable(|before| committed.push(before), |_| true), Some(0));
    assert_eq!(shared.taken(), 0);
    assert_eq!(committed, [-1, -1]);
}
