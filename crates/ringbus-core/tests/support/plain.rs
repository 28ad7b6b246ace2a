//! What the tests on real memory share: rings, one type for both producers, and slots of one number.

#![allow(dead_code, reason = "each test program uses a part")]

use ringbus_core::wait::Alert;
use ringbus_core::{
    Blocker, Consumer, Geometry, Memory, MultiProducerSequencer, Outcome, ProducerKind, Segment, SequenceBarrier,
    Sequencer, SingleProducerSequencer, Start, WaitStrategy,
};
use std::sync::Arc;

/// Both kinds of rings.
pub const KINDS: [ProducerKind; 2] = [ProducerKind::Single, ProducerKind::Multi];

/// Every way to wait.
pub const STRATEGIES: [WaitStrategy; 5] = [
    WaitStrategy::BusySpin,
    WaitStrategy::Yielding,
    WaitStrategy::SLEEPING,
    WaitStrategy::BLOCKING,
    WaitStrategy::PHASED_BACKOFF,
];

/// A geometry of slots of `slot_bytes`, from sequence `start` on.
pub fn geometry(kind: ProducerKind, capacity: u64, slot_bytes: u64, start: i64) -> Geometry {
    Geometry {
        capacity,
        slot_bytes,
        slot_header_bytes: 0,
        slot_headers: 0,
        kind,
        start,
        producers: 1,
        schema_bytes: 0,
        schema_hash: 0,
    }
}

/// A ring of slots of eight bytes and its first producer.
pub fn ring(kind: ProducerKind, capacity: u64) -> (Arc<Segment>, Producer) {
    ring_of(geometry(kind, capacity, 8, 0))
}

/// A ring and its first producer.
pub fn ring_of(geometry: Geometry) -> (Arc<Segment>, Producer) {
    let segment = Arc::new(Segment::private(geometry, &[], Memory::default()).unwrap());
    (Arc::clone(&segment), Producer::new(segment))
}

/// Joins as a consumer that gates.
pub fn join(segment: &Arc<Segment>, name: &str) -> Consumer {
    Consumer::join(segment, name, true, Start::Latest).unwrap()
}

/// A barrier behind what `consumer` depends on, that nobody halts.
pub fn barrier(consumer: &Consumer) -> SequenceBarrier {
    SequenceBarrier::new(consumer.segment(), consumer.depends_on(), Alert::default())
}

/// A producer of either kind.
pub enum Producer {
    /// The only one.
    Single(SingleProducerSequencer),
    /// One of many.
    Multi(MultiProducerSequencer),
}

impl Producer {
    /// A producer of the kind that `segment` is for.
    pub fn new(segment: Arc<Segment>) -> Self {
        match segment.geometry().kind {
            ProducerKind::Single => Self::Single(SingleProducerSequencer::new(segment)),
            ProducerKind::Multi => Self::Multi(MultiProducerSequencer::new(segment)),
        }
    }

    /// `producers` of them for a multi-producer ring, itself alone for the other.
    pub fn several(self, producers: usize) -> Vec<Self> {
        match self {
            Self::Single(_) => vec![self],
            Self::Multi(own) => (0..producers).map(|_| Self::Multi(own.clone())).collect(),
        }
    }

    /// Claims `count`, waiting as long as it takes; the lowest and the highest sequence.
    pub fn claim_all(&mut self, count: i64, strategy: WaitStrategy) -> (i64, i64) {
        match self.claim(count, strategy, &Alert::default(), None).unwrap() {
            Outcome::Ready(high) => (high - count + 1, high),
            other => unreachable!("nobody raises the alert: {other:?}"),
        }
    }

    /// Publishes `value` in the next slot, waiting for it.
    pub fn send(&mut self, value: u64, strategy: WaitStrategy) -> i64 {
        let (sequence, _) = self.claim_all(1, strategy);
        put(self.segment(), sequence, value);
        self.publish(sequence, sequence);
        sequence
    }

    /// Publishes `value` in the next slot if there is one.
    pub fn try_send(&mut self, value: u64) -> Option<i64> {
        let sequence = self.try_claim(1).ok()?;
        put(self.segment(), sequence, value);
        self.publish(sequence, sequence);
        Some(sequence)
    }

    /// Claims and publishes `count` slots at once, each with its own sequence in it; there must be room.
    pub fn fill(&mut self, count: i64) -> i64 {
        let high = self.try_claim(count).unwrap();
        let low = high - count + 1;
        (low..=high).for_each(|sequence| put(self.segment(), sequence, sequence as u64));
        self.publish(low, high);
        high
    }
}

impl Sequencer for Producer {
    fn segment(&self) -> &Arc<Segment> {
        match self {
            Self::Single(own) => own.segment(),
            Self::Multi(own) => own.segment(),
        }
    }

    fn poll_claim(&mut self, count: i64) -> Result<i64, Blocker> {
        match self {
            Self::Single(own) => own.poll_claim(count),
            Self::Multi(own) => own.poll_claim(count),
        }
    }

    fn publish(&mut self, low: i64, high: i64) {
        match self {
            Self::Single(own) => own.publish(low, high),
            Self::Multi(own) => own.publish(low, high),
        }
    }

    fn abort(&mut self, low: i64, high: i64) {
        match self {
            Self::Single(own) => own.abort(low, high),
            Self::Multi(own) => own.abort(low, high),
        }
    }

    fn claimed(&self) -> i64 {
        match self {
            Self::Single(own) => own.claimed(),
            Self::Multi(own) => own.claimed(),
        }
    }
}

/// Writes the slot of `sequence`, as the producer that has claimed it.
pub fn put<T: Copy>(segment: &Segment, sequence: i64, value: T) {
    assert!(size_of::<T>() as u64 <= segment.geometry().slot_bytes);
    // SAFETY: the slot is as large; the protocol under test lets nobody else at it, and ThreadSanitizer looks on.
    unsafe { segment.slot(sequence).cast::<T>().write_unaligned(value) };
}

/// Reads the slot of `sequence`, as a consumer that may.
pub fn get<T: Copy>(segment: &Segment, sequence: i64) -> T {
    assert!(size_of::<T>() as u64 <= segment.geometry().slot_bytes);
    // SAFETY: as in `put`; every bit pattern the tests put there is a T.
    unsafe { segment.slot(sequence).cast::<T>().read_unaligned() }
}

/// The number in `RINGBUS_ROUNDS`, or `default`.
pub fn rounds(default: u64) -> u64 {
    std::env::var("RINGBUS_ROUNDS").map_or(default, |rounds| rounds.parse().expect("RINGBUS_ROUNDS is a number"))
}
