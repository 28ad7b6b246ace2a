//! Litmus tests: what memory-model.md promises, over variables that the ring knows nothing of.
//!
//! Source: Alglave, Maranget, Tautschnig, "Herding cats", 2014, for the names of the shapes.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::cell::UnsafeCell;
use loom::thread;
use ringbus_core::registry::cursor;
use ringbus_core::sync::{AtomicU32, Ordering, store_load_barrier};
use ringbus_core::{ProducerKind, Sequencer};
use std::sync::Arc;
use support::{barrier, check, consume, join, multi, publish, ring, single, wait_for};

/// A plain variable and a flag without any ordering, both beside the ring.
#[derive(Default)]
struct Aside {
    data: UnsafeCell<i64>,
    ready: AtomicU32,
}

impl Aside {
    fn set(&self) {
        // SAFETY: loom fails the model if anybody else is at the cell.
        self.data.with_mut(|data| unsafe { *data = 42 });
        self.ready.store(1, Ordering::Relaxed);
    }

    fn assert_set(&self) {
        assert_eq!(self.ready.load(Ordering::Relaxed), 1, "a stale flag");
        // SAFETY: as in `set`.
        assert_eq!(self.data.with(|data| unsafe { *data }), 42, "stale data");
    }
}

fn message_passing<S: Sequencer + Send + 'static>(mut producer: S) {
    let ring = Arc::clone(producer.segment());
    let (aside, consumer) = (Arc::new(Aside::default()), join(&ring, "c"));
    let theirs = Arc::clone(&aside);
    let publisher = thread::spawn(move || {
        theirs.set();
        publish(&mut producer);
    });
    wait_for(&barrier(&consumer), 0);
    aside.assert_set();
    publisher.join().unwrap();
}

#[test]
fn message_passing_single() {
    check(|| message_passing(single(1).1));
}

#[test]
fn message_passing_multi() {
    check(|| message_passing(multi(1).1));
}

/// P sets and publishes; A waits for P, sets its own and commits; B waits for A alone and sees both.
#[test]
fn message_passing_through_a_chain_of_two_consumers() {
    check(|| {
        let (ring, mut producer) = single(1);
        let (first, second) = (join(&ring, "a"), join(&ring, "b"));
        second.depend_on(1 << first.index());
        let (of_producer, of_first) = (Arc::new(Aside::default()), Arc::new(Aside::default()));
        let (theirs, own) = (Arc::clone(&of_producer), Arc::clone(&of_first));
        let publisher = thread::spawn(move || {
            theirs.set();
            publish(&mut producer);
        });
        let follower = thread::spawn(move || {
            wait_for(&barrier(&first), 0);
            own.set();
            first.commit(0);
        });
        wait_for(&barrier(&second), 0);
        of_producer.assert_set();
        of_first.assert_set();
        publisher.join().unwrap();
        follower.join().unwrap();
    });
}

/// What a consumer wrote before it committed, the producer that takes the slot again sees.
#[test]
fn message_passing_back_to_the_producer() {
    check(|| {
        let (ring, mut producer) = single(1);
        let consumer = join(&ring, "c");
        let aside = Arc::new(Aside::default());
        let own = Arc::clone(&aside);
        publish(&mut producer);
        let reader = thread::spawn(move || {
            own.set();
            consume(&consumer, 0);
        });
        publish(&mut producer);
        aside.assert_set();
        reader.join().unwrap();
    });
}

/// Each of two publishes on its own ring, passes the barrier, and looks at the other's: at least one sees
/// the other.
fn store_buffering(kind: ProducerKind, publish: fn(&Arc<ringbus_core::Segment>)) {
    let rings = [ring(kind, 1), ring(kind, 1)];
    let [ours, theirs] = rings.clone();
    let other = thread::spawn(move || {
        publish(&theirs);
        store_load_barrier();
        cursor(&ours)
    });
    publish(&rings[0]);
    store_load_barrier();
    let seen = (cursor(&rings[1]), other.join().unwrap());
    assert_ne!(seen, (-1, -1), "both looked before either had published");
}

#[test]
fn store_buffering_single() {
    check(|| {
        store_buffering(ProducerKind::Single, |ring| {
            publish(&mut ringbus_core::SingleProducerSequencer::new(Arc::clone(ring)));
        });
    });
}

#[test]
fn store_buffering_multi() {
    check(|| {
        store_buffering(ProducerKind::Multi, |ring| {
            publish(&mut ringbus_core::MultiProducerSequencer::new(Arc::clone(ring)));
        });
    });
}
