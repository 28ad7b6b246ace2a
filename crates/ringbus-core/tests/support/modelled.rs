//! What the loom tests share: small rings, and slots that loom watches for races.

#![allow(dead_code, reason = "each test program uses a part")]

use ringbus_core::sequencer::Returned;
use ringbus_core::wait::Alert;
use ringbus_core::{
    Consumer, Geometry, Memory, MultiProducerSequencer, Outcome, ProducerKind, Segment, SequenceBarrier, Sequencer,
    SingleProducerSequencer, Start, WaitStrategy,
};
use std::sync::Arc;

/// Runs `model` over every interleaving with at most three preemptions; LOOM_MAX_PREEMPTIONS asks for others.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(3, model);
}

/// As [`check`], with at most `preemptions`: two for models of three busy threads.
pub fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// The sizes of a ring of `capacity` slots.
pub fn geometry(kind: ProducerKind, capacity: u64) -> Geometry {
    Geometry {
        capacity,
        slot_bytes: 16,
        slot_header_bytes: 0,
        slot_headers: 0,
        kind,
        start: 0,
        producers: 1,
        schema_bytes: 0,
        schema_hash: 0,
    }
}

/// A ring of `capacity` slots.
pub fn ring(kind: ProducerKind, capacity: u64) -> Arc<Segment> {
    Arc::new(Segment::private(geometry(kind, capacity), &[], Memory::default()).unwrap())
}

/// A ring for one producer, and that producer.
pub fn single(capacity: u64) -> (Arc<Segment>, SingleProducerSequencer) {
    let ring = ring(ProducerKind::Single, capacity);
    (Arc::clone(&ring), SingleProducerSequencer::new(ring))
}

/// A ring for many producers, and the first of them.
pub fn multi(capacity: u64) -> (Arc<Segment>, MultiProducerSequencer) {
    let ring = ring(ProducerKind::Multi, capacity);
    (Arc::clone(&ring), MultiProducerSequencer::new(ring))
}

/// Waits for the ends of `threads` and returns what they returned.
pub fn join_all<T, const N: usize>(threads: [loom::thread::JoinHandle<T>; N]) -> [T; N] {
    threads.map(|thread| thread.join().unwrap())
}

/// Joins as a consumer that gates.
pub fn join(ring: &Arc<Segment>, name: &str) -> Consumer {
    Consumer::join(ring, name, true, Start::Latest).unwrap()
}

/// Writes the slot of `sequence`, as a producer that has claimed it.
pub fn write(ring: &Segment, sequence: i64) {
    // SAFETY: loom fails the model if anybody else is at the cell.
    ring.slot(sequence).cell.0.with_mut(|cell| unsafe { *cell = sequence });
}

/// Reads the slot of `sequence`, as a consumer that may.
pub fn read(ring: &Segment, sequence: i64) -> i64 {
    // SAFETY: as in `write`.
    ring.slot(sequence).cell.0.with(|cell| unsafe { *cell })
}

/// Claims a slot, sleeping until there is one, writes it and publishes it.
pub fn publish(producer: &mut impl Sequencer) -> i64 {
    let claimed = producer
        .claim(1, WaitStrategy::BLOCKING, &Alert::default(), None)
        .unwrap();
    let Outcome::Ready(sequence) = claimed else {
        unreachable!("nobody raises the alert")
    };
    write(producer.segment(), sequence);
    producer.publish(sequence, sequence);
    sequence
}

/// Publishes `count` slots one by one, as machine code does that is lent the words of the producer.
pub fn lend(producer: &mut SingleProducerSequencer, count: i64) {
    let ring = Arc::clone(producer.segment());
    let last = producer.claimed() + count;
    while producer.claimed() < last {
        let left = last - producer.claimed();
        let write = |sequence| {
            write(&ring, sequence);
            true
        };
        if producer.lend(|loan| loan.publish_each(left, write)) == Returned::Full {
            publish(producer);
        }
    }
}

/// Claims, writes and publishes a slot if there is one.
pub fn try_publish(producer: &mut impl Sequencer) -> Option<i64> {
    let sequence = producer.try_claim(1).ok()?;
    write(producer.segment(), sequence);
    producer.publish(sequence, sequence);
    Some(sequence)
}

/// A barrier behind what `consumer` depends on, that nobody halts.
pub fn barrier(consumer: &Consumer) -> SequenceBarrier {
    SequenceBarrier::new(consumer.segment(), consumer.depends_on(), Alert::default())
}

/// Sleeps until `sequence` is readable.
pub fn wait_for(barrier: &SequenceBarrier, sequence: i64) {
    assert_eq!(
        barrier.wait_for(sequence, 1, WaitStrategy::BLOCKING, None),
        Outcome::Ready(sequence)
    );
}

/// Takes the next sequences of `consumer` up to `last`, one after the other: each slot must hold its own.
pub fn consume(consumer: &Consumer, last: i64) {
    let barrier = barrier(consumer);
    for sequence in consumer.sequence() + 1..=last {
        wait_for(&barrier, sequence);
        assert_eq!(
            read(consumer.segment(), sequence),
            sequence,
            "a slot holds another event"
        );
        consumer.commit(sequence);
    }
}
