//! Consumers that join and leave while events flow, and a shutdown against a publish.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::barrier::Done;
use ringbus_core::registry::cursor;
use ringbus_core::wait::{Alert, wait};
use ringbus_core::{Consumer, EventHandler, EventProcessor, Outcome, Segment, Sequencer, WaitStrategy};
use std::convert::Infallible;
use std::sync::Arc;
use support::{check, consume, join, join_all, multi, publish, read, single};

/// Whoever joins gets each sequence after its start, and no slot is overwritten before it was read.
fn join_while_events_flow<S: Sequencer + Send + 'static>(ring: &Arc<Segment>, mut producer: S, events: i64) {
    let publisher = thread::spawn(move || (0..events).map(|_| publish(&mut producer)).last());
    consume(&join(ring, "joiner"), events - 1);
    publisher.join().unwrap();
}

#[test]
fn a_joiner_of_a_single_producer_ring_misses_nothing_after_its_start() {
    check(|| {
        let (ring, producer) = single(1);
        join_while_events_flow(&ring, producer, 3);
    });
}

#[test]
fn a_joiner_of_a_multi_producer_ring_misses_nothing_after_its_start() {
    check(|| {
        let (ring, producer) = multi(1);
        join_while_events_flow(&ring, producer, 3);
    });
}

#[test]
fn a_joiner_between_two_producers_misses_nothing_after_its_start() {
    check(|| {
        let (ring, producer) = multi(1);
        let publishers = [producer.clone(), producer].map(|mut own| thread::spawn(move || publish(&mut own)));
        consume(&join(&ring, "joiner"), 1);
        join_all(publishers);
    });
}

#[test]
fn a_producer_that_waits_for_a_leaver_goes_on() {
    check(|| {
        let (ring, mut producer) = single(1);
        let leaver = join(&ring, "leaver");
        publish(&mut producer);
        let publisher = thread::spawn(move || publish(&mut producer));
        assert_eq!(read(&ring, 0), 0);
        leaver.leave().unwrap();
        assert_eq!(publisher.join().unwrap(), 1);
    });
}

#[test]
fn a_place_that_is_left_and_taken_again_gates_for_its_new_owner() {
    check(|| {
        let (ring, mut producer) = single(1);
        let leaver = join(&ring, "leaver");
        let publisher = thread::spawn(move || (publish(&mut producer), publish(&mut producer)));
        leaver.leave().unwrap();
        let joiner = join(&ring, "joiner");
        assert_eq!(joiner.index(), leaver.index());
        leaver.leave().unwrap();
        consume(&joiner, 1);
        publisher.join().unwrap();
    });
}

struct Counter<'a>(&'a mut i64);

impl EventHandler for Counter<'_> {
    type Error = Infallible;

    fn on_event(&mut self, sequence: i64, _end_of_batch: bool) -> Result<(), Infallible> {
        assert_eq!(sequence, *self.0, "an event was lost or doubled");
        *self.0 += 1;
        Ok(())
    }
}

fn handle_until(consumer: Consumer, alert: Alert) -> i64 {
    let mut handled = 0;
    let Ok(()) = EventProcessor::new(consumer, alert, WaitStrategy::BLOCKING, Counter(&mut handled)).run();
    handled
}

/// Waits until the consumer at `index` has what is published now, then halts it.
fn drain(ring: &Segment, index: usize, alert: &Alert) {
    let mut done = Done {
        segment: ring,
        index,
        target: cursor(ring),
    };
    assert_eq!(
        wait(ring, WaitStrategy::BLOCKING, &Alert::default(), None, &mut done),
        Outcome::Ready(())
    );
    alert.raise(ring);
}

#[test]
fn a_drain_right_after_the_publish_handles_all_of_it() {
    check(|| {
        let (ring, mut producer) = single(2);
        let (consumer, alert) = (join(&ring, "c"), Alert::default());
        let (index, own) = (consumer.index(), alert.clone());
        let processor = thread::spawn(move || handle_until(consumer, own));
        publish(&mut producer);
        publish(&mut producer);
        drain(&ring, index, &alert);
        assert_eq!(processor.join().unwrap(), 2);
    });
}

#[test]
fn a_drain_after_another_threads_publish_handles_all_of_it() {
    check(|| {
        let (ring, mut producer) = multi(1);
        let (consumer, alert) = (join(&ring, "c"), Alert::default());
        let (index, own) = (consumer.index(), alert.clone());
        let processor = thread::spawn(move || handle_until(consumer, own));
        let publisher = thread::spawn(move || publish(&mut producer));
        publisher.join().unwrap();
        drain(&ring, index, &alert);
        assert_eq!(processor.join().unwrap(), 1);
    });
}

#[test]
fn a_drain_is_woken_by_the_leave_of_whom_it_waits_for() {
    check(|| {
        let (ring, mut producer) = single(1);
        let leaver = join(&ring, "leaver");
        let index = leaver.index();
        publish(&mut producer);
        let thread = thread::spawn(move || leaver.leave().unwrap());
        drain(&ring, index, &Alert::default());
        thread.join().unwrap();
    });
}
