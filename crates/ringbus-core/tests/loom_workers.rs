//! Workers that take whatever comes: each event goes to one of them, which reads it before its slot is written again.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::consumer::{WorkPool, WorkSequence};
use ringbus_core::{Consumer, SequenceBarrier};
use std::sync::Arc;
use support::{barrier, check, check_within, join, join_all, publish, read, single, wait_for};

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

/// Takes the next event of a pool, if it is there.
fn take(consumer: &Consumer, pool: &WorkPool, barrier: &SequenceBarrier) -> Option<i64> {
    pool.sequence().take_readable(
        |before| {
            consumer.commit(before);
        },
        |wanted| wanted < EVENTS && barrier.poll(wanted, 1).is_ok(),
    )
}

fn wait_turn(consumer: &Consumer, pool: &WorkPool, barrier: &SequenceBarrier) {
    let segment = consumer.segment();
    pool.move_on(segment);
    let commit = |taken| {
        consumer.commit(taken);
    };
    if let Some(wanted) = pool.sit(commit) {
        if wanted < EVENTS {
            wait_for(barrier, wanted);
        }
        pool.rise();
    } else {
        pool.rest(segment, consumer.index(), barrier.alert());
    }
}

/// As [`work`], of a pool: waits on the ring with the seat, and rests without it.
fn work_in_pool(consumer: &Consumer, pool: &WorkPool) -> i64 {
    let (barrier, segment) = (barrier(consumer), consumer.segment());
    let mut handled = 0;
    loop {
        if let Some(sequence) = take(consumer, pool, &barrier) {
            pool.keep_watch();
            assert_eq!(read(segment, sequence), sequence, "a slot holds another event");
            handled += 1;
            continue;
        }
        if pool.sequence().taken() == EVENTS - 1 {
            break;
        }
        wait_turn(consumer, pool, &barrier);
    }
    pool.move_on(segment);
    pool.wake_all();
    consumer.leave().unwrap();
    handled
}

#[test]
fn two_workers_of_a_pool_read_each_event_once() {
    check_within(2, || {
        let (ring, mut producer) = single(1);
        let pool = Arc::new(WorkPool::default());
        let workers = ["a", "b"].map(|name| {
            let (own, pool) = (join(&ring, name), Arc::clone(&pool));
            thread::spawn(move || work_in_pool(&own, &pool))
        });
        for _ in 0..EVENTS {
            publish(&mut producer);
        }
        let [a, b] = join_all(workers);
        assert_eq!(a + b, EVENTS, "an event was taken twice");
    });
}

#[test]
fn who_waits_on_the_ring_for_a_pool_holds_nothing() {
    check(|| {
        let (ring, mut producer) = single(1);
        let pool = Arc::new(WorkPool::default());
        let other = join(&ring, "other");
        let worker = {
            let (own, pool) = (join(&ring, "own"), Arc::clone(&pool));
            thread::spawn(move || work_in_pool(&own, &pool))
        };
        publish(&mut producer);
        let taken = take(&other, &pool, &barrier(&other));
        other.commit(pool.sequence().taken());
        other.leave().unwrap();
        publish(&mut producer);
        assert_eq!(worker.join().unwrap() + taken.map_or(0, |_| 1), EVENTS);
    });
}

#[test]
fn somebody_of_a_pool_sees_the_next_event_while_one_is_handled() {
    check_within(2, || {
        let (ring, mut producer) = single(2);
        let pool = Arc::new(WorkPool::default());
        let both = Arc::new(Both::default());
        let workers = ["a", "b"].map(|name| {
            let (own, pool, both) = (join(&ring, name), Arc::clone(&pool), Arc::clone(&both));
            thread::spawn(move || handle_together(&own, &pool, &both))
        });
        publish(&mut producer);
        publish(&mut producer);
        join_all(workers);
    });
}

/// Two that wait for each other.
#[derive(Default)]
struct Both {
    here: loom::sync::Mutex<u32>,
    came: loom::sync::Condvar,
}

impl Both {
    fn meet(&self) {
        let mut here = self.here.lock().unwrap();
        *here += 1;
        self.came.notify_all();
        while *here < 2 {
            here = self.came.wait(here).unwrap();
        }
    }
}

/// Handles one event, which takes until another worker handles the other.
fn handle_together(consumer: &Consumer, pool: &WorkPool, both: &Both) {
    let barrier = barrier(consumer);
    loop {
        if take(consumer, pool, &barrier).is_some() {
            pool.keep_watch();
            both.meet();
            return;
        }
        wait_turn(consumer, pool, &barrier);
    }
}
