//! A reader that nobody waits for: what it gets is of one event, or it is told that it was lapped.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::consumer::read_unless_lapped;
use ringbus_core::sync::Ordering;
use ringbus_core::{Segment, Sequencer};
use support::{check, multi, single};

fn write_words(ring: &Segment, sequence: i64, value: u64) {
    for word in &ring.slot(sequence).words {
        word.store(value, Ordering::Relaxed);
    }
}

fn read_words(ring: &Segment, sequence: i64) -> [u64; 2] {
    [0, 1].map(|word: usize| ring.slot(sequence).words[word].load(Ordering::Relaxed))
}

fn publish(producer: &mut impl Sequencer) {
    let sequence = producer.try_claim(1).unwrap();
    write_words(producer.segment(), sequence, 10 + sequence as u64);
    producer.publish(sequence, sequence);
}

/// Sequence 0 is read while `overwrite` takes its slot again.
fn read_against<S: Sequencer + Send + 'static>(mut producer: S, overwrite: fn(&mut S)) {
    let ring = producer.segment().clone();
    publish(&mut producer);
    let writer = thread::spawn(move || overwrite(&mut producer));
    if let Ok(words) = read_unless_lapped(&ring, 0, || read_words(&ring, 0)) {
        assert_eq!(words, [10, 10], "torn, or of another event");
    }
    writer.join().unwrap();
}

#[test]
fn a_lapped_reader_of_a_single_producer_takes_nothing_torn() {
    check(|| read_against(single(1).1, publish));
}

#[test]
fn a_lapped_reader_of_a_multi_producer_ring_takes_nothing_torn() {
    check(|| read_against(multi(1).1, publish));
}

#[test]
fn a_rewound_claim_is_not_read_as_the_event_before_it() {
    check(|| {
        read_against(single(1).1, |producer| {
            let sequence = producer.try_claim(1).unwrap();
            write_words(producer.segment(), sequence, 99);
            producer.abort(sequence, sequence);
        });
    });
}

#[test]
fn a_claim_after_a_rewind_is_not_read_as_the_event_before_it() {
    check(|| {
        read_against(single(1).1, |producer| {
            let sequence = producer.try_claim(1).unwrap();
            write_words(producer.segment(), sequence, 99);
            producer.abort(sequence, sequence);
            publish(producer);
        });
    });
}
