//! Claims that fail: Pads on a multi-producer ring, a rewind on a single-producer one.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::{EventPoller, Polled, Sequencer};
use support::{barrier, check, consume, join, multi, publish, single, wait_for};

#[test]
fn a_pad_is_never_seen_without_its_count() {
    check(|| {
        let (ring, mut producer) = multi(2);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || {
            assert_eq!(producer.try_claim(1), Ok(0));
            producer.abort(0, 0);
        });
        wait_for(&barrier(&consumer), 0);
        assert!(ring.has_pads() && ring.is_pad(0), "a Pad was taken for an event");
        publisher.join().unwrap();
    });
}

#[test]
fn a_dependent_knows_a_pad_too() {
    check(|| {
        let (ring, mut producer) = multi(2);
        let (first, second) = (join(&ring, "a"), join(&ring, "b"));
        second.depend_on(1 << first.index());
        let publisher = thread::spawn(move || {
            assert_eq!(producer.try_claim(1), Ok(0));
            producer.abort(0, 0);
        });
        let follower = thread::spawn(move || {
            wait_for(&barrier(&first), 0);
            first.commit(0);
        });
        wait_for(&barrier(&second), 0);
        assert!(ring.has_pads() && ring.is_pad(0), "a Pad was taken for an event");
        publisher.join().unwrap();
        follower.join().unwrap();
    });
}

#[test]
fn a_poller_steps_over_a_pad_beside_an_event() {
    check(|| {
        let (ring, producer) = multi(2);
        let mut poller = EventPoller::new(join(&ring, "c"));
        let (mut failing, mut working) = (producer.clone(), producer);
        let failed = thread::spawn(move || {
            let sequence = failing.try_claim(1).unwrap();
            failing.abort(sequence, sequence);
            sequence
        });
        let published = publish(&mut working);
        let mut seen = Vec::new();
        while seen.is_empty() {
            poller.poll(2, |sequence, _| {
                seen.push(sequence);
                true
            });
            thread::yield_now();
        }
        let pad = failed.join().unwrap();
        assert_eq!(
            poller.poll(2, |_, _| unreachable!("nothing but a Pad is left")),
            Polled::Idle
        );
        assert_eq!((seen, pad), (vec![published], 1 - published));
    });
}

#[test]
fn a_rewound_claim_is_never_seen() {
    check(|| {
        let (ring, mut producer) = single(1);
        let consumer = join(&ring, "c");
        let publisher = thread::spawn(move || {
            let sequence = producer.try_claim(1).unwrap();
            ring.slot(sequence).cell.0.with_mut(|_| {});
            producer.abort(sequence, sequence);
            (publish(&mut producer), publish(&mut producer))
        });
        consume(&consumer, 1);
        assert_eq!(publisher.join().unwrap(), (0, 1));
    });
}
