//! Eviction of the slow, who may be as slow as loom likes: it takes nothing torn, and what it was evicted from does not count.
//!
//! No time passes in a model: whoever waits for free slots evicts at its first look.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::sync::{Ordering, read_barrier};
use ringbus_core::wait::Alert;
use ringbus_core::{
    Blocker, Consumer, Outcome, ProducerKind, Segment, Sequencer, SingleProducerSequencer, Start, Terms, WaitStrategy,
    eviction,
};
use std::sync::Arc;
use support::{barrier, check, check_within, geometry, join, wait_for};

/// A shared ring of `capacity` slots, and its producer.
fn shared(capacity: u64) -> (Arc<Segment>, SingleProducerSequencer) {
    let ring = Arc::new(Segment::shared(geometry(ProducerKind::Single, capacity)).unwrap());
    (
        Arc::clone(&ring),
        SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap(),
    )
}

fn join_evictable(ring: &Arc<Segment>) -> Consumer {
    let terms = Terms {
        evict_after: 1,
        ..Terms::ephemeral(true)
    };
    Consumer::join_as(ring, "evictable", terms, Start::Latest).unwrap()
}

/// Publishes an event, waiting for its slot.
fn publish(producer: &mut impl Sequencer) {
    let claimed = producer
        .claim(1, WaitStrategy::BLOCKING, &Alert::default(), None)
        .unwrap();
    let Outcome::Ready(sequence) = claimed else {
        unreachable!("nobody raises the alert")
    };
    for word in &producer.segment().slot(sequence).words {
        word.store(10 + sequence as u64, Ordering::Relaxed);
    }
    producer.publish(sequence, sequence);
}

/// Takes the events up to `last` as a consumer that may be evicted does: a copy, and a look whether it is whole. Whether
/// it got to the end.
fn consume(consumer: &Consumer, last: i64) -> bool {
    let (ring, barrier) = (consumer.segment(), barrier(consumer));
    for sequence in consumer.sequence() + 1..=last {
        wait_for(&barrier, sequence);
        let copy = [0, 1].map(|word: usize| ring.slot(sequence).words[word].load(Ordering::Relaxed));
        read_barrier();
        if consumer.is_evicted() {
            return false;
        }
        assert_eq!(copy, [10 + sequence as u64; 2], "torn, or of another event");
        if !consumer.commit(sequence) {
            return false;
        }
    }
    true
}

#[test]
fn who_is_evicted_takes_nothing_torn_and_is_told() {
    check(|| {
        let (ring, mut producer) = shared(2);
        let consumer = join_evictable(&ring);
        publish(&mut producer);
        publish(&mut producer);
        let publisher = thread::spawn(move || (publish(&mut producer), publish(&mut producer)));
        let done = consume(&consumer, 1);
        publisher.join().unwrap();
        assert_eq!(
            done,
            consumer.sequence() == 1,
            "a commit counts, or its consumer is told"
        );
    });
}

#[test]
fn who_is_evicted_while_it_joins_is_told() {
    check_within(2, || {
        let (ring, mut producer) = shared(1);
        let publisher = thread::spawn(move || (0..3).for_each(|_| publish(&mut producer)));
        let consumer = join_evictable(&ring);
        let done = consume(&consumer, 2);
        publisher.join().unwrap();
        assert_eq!(
            done,
            consumer.sequence() == 2,
            "a commit counts, or its consumer is told"
        );
    });
}

#[test]
fn who_follows_one_that_is_evicted_is_told() {
    check(|| {
        let (ring, mut producer) = shared(1);
        let (slow, follower) = (join_evictable(&ring), join(&ring, "follower"));
        follower.depend_on(1 << slow.index());
        publish(&mut producer);
        let publisher = thread::spawn(move || publish(&mut producer));
        let outcome = barrier(&follower).wait_for(0, 1, WaitStrategy::BLOCKING, None);
        assert_eq!(outcome, Outcome::Died(slow.index()));
        follower.leave().unwrap();
        publisher.join().unwrap();
    });
}

/// One that waits for others is not slow.
#[test]
fn who_cannot_go_on_is_not_evicted() {
    check(|| {
        let (ring, mut producer) = shared(1);
        let (upstream, follower) = (join(&ring, "upstream"), join_evictable(&ring));
        follower.depend_on(1 << upstream.index());
        publish(&mut producer);
        let (first, blocker) = (upstream.clone(), Blocker::Consumer(upstream.index()));
        let other = thread::spawn(move || first.commit(0));
        if eviction::look(&ring, blocker) {
            assert_eq!(upstream.sequence(), 0, "evicted for the slowness of another one");
        }
        other.join().unwrap();
        assert!(follower.is_evicted() || eviction::look(&ring, blocker));
    });
}
