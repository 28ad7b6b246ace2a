//! Any sequence of claims, publishes, failed claims, polls, joins and leaves, against a model of deques.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use proptest::prelude::*;
use ringbus_core::registry::cursor;
use ringbus_core::{ClaimError, Consumer, EventPoller, Polled, ProducerKind, Sequencer};
use std::collections::{BTreeMap, VecDeque};
use support::{Producer, geometry, get, join, put, ring_of};

const CONSUMERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Claim so many slots.
    Claim(i64),
    /// Publish one of the open claims.
    Publish(prop::sample::Index),
    /// Publish only the first slot of an open claim.
    PublishFirst(prop::sample::Index),
    /// Give one of the open claims up.
    Abort(prop::sample::Index),
    /// Let a consumer take at most so many.
    Poll(usize, i64),
    /// Let a consumer take until it has had enough.
    PollUntil(usize, i64),
    Join(usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_i64..6).prop_map(Step::Claim),
        6 => any::<prop::sample::Index>().prop_map(Step::Publish),
        1 => any::<prop::sample::Index>().prop_map(Step::PublishFirst),
        1 => any::<prop::sample::Index>().prop_map(Step::Abort),
        6 => (0..CONSUMERS, 1_i64..6).prop_map(|(who, limit)| Step::Poll(who, limit)),
        2 => (0..CONSUMERS, 1_i64..4).prop_map(|(who, enough)| Step::PollUntil(who, enough)),
        2 => (0..CONSUMERS).prop_map(Step::Join),
        1 => (0..CONSUMERS).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..120)
}

/// What the ring should be.
struct Model {
    kind: ProducerKind,
    capacity: i64,
    claimed: i64,
    /// Claims that are neither published nor given up, oldest first.
    open: Vec<(i64, i64)>,
    /// What came of each sequence; None is a Pad.
    done: BTreeMap<i64, Option<u64>>,
    /// The last sequence of each consumer that is there.
    consumers: [Option<i64>; CONSUMERS],
}

impl Model {
    fn new(kind: ProducerKind, capacity: i64, start: i64) -> Self {
        let (claimed, consumers) = (start - 1, [None; CONSUMERS]);
        Self {
            kind,
            capacity,
            claimed,
            open: Vec::new(),
            done: BTreeMap::new(),
            consumers,
        }
    }

    /// A slot is free when every consumer is past what it held, and what it held is published.
    fn has_room(&self, count: i64) -> bool {
        let needed = self.claimed + count - self.capacity;
        let oldest_open = self.open.iter().map(|&(low, _)| low).min();
        self.slowest().is_none_or(|gate| needed <= gate) && oldest_open.is_none_or(|low| needed < low)
    }

    fn slowest(&self) -> Option<i64> {
        self.consumers.iter().flatten().copied().min()
    }

    fn settle(&mut self, low: i64, high: i64, value: impl Fn(i64) -> Option<u64>) {
        self.done
            .extend((low..=high).map(|sequence| (sequence, value(sequence))));
        let at = self.open.iter().position(|&(open, _)| open == low).unwrap();
        if high == self.open[at].1 {
            self.open.remove(at);
        } else {
            self.open[at].0 = high + 1;
        }
    }

    /// What a consumer that is at `sequence` is to be handed: all up to the first gap, without the Pads.
    fn pending(&self, sequence: i64) -> VecDeque<(i64, u64)> {
        let results = (sequence + 1..).map_while(|next| Some((next, *self.done.get(&next)?)));
        results.filter_map(|(next, value)| Some((next, value?))).collect()
    }
}

struct Run {
    producer: Producer,
    pollers: [Option<EventPoller>; CONSUMERS],
    model: Model,
    value: u64,
}

impl Run {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Claim(count) => self.claim(count),
            Step::Publish(index) => self.finish(index, false, false),
            Step::PublishFirst(index) => self.finish(index, true, false),
            Step::Abort(index) => self.finish(index, false, true),
            Step::Poll(who, limit) => self.poll(who, limit, i64::MAX),
            Step::PollUntil(who, enough) => self.poll(who, i64::MAX, enough),
            Step::Join(who) => self.join(who),
            Step::Leave(who) => self.leave(who),
        }
        let segment = self.producer.segment();
        assert_eq!(
            segment.minimum_gate(i64::MAX).0,
            self.model.slowest().unwrap_or(i64::MAX)
        );
        assert_eq!(self.producer.claimed(), self.model.claimed);
    }

    fn claim(&mut self, count: i64) {
        if self.model.kind == ProducerKind::Single && !self.model.open.is_empty() {
            return;
        }
        let capacity = self.model.capacity;
        let expected = if (1..=capacity).contains(&count) {
            if self.model.has_room(count) {
                Ok(self.model.claimed + count)
            } else {
                Err(ClaimError::Full)
            }
        } else {
            Err(ClaimError::CountOutOfRange { count, capacity })
        };
        assert_eq!(self.producer.try_claim(count), expected);
        if let Ok(high) = expected {
            self.model.open.push((high - count + 1, high));
            self.model.claimed = high;
        }
    }

    fn finish(&mut self, index: prop::sample::Index, first_alone: bool, abort: bool) {
        if self.model.open.is_empty() {
            return;
        }
        let (low, high) = self.model.open[index.index(self.model.open.len())];
        if abort {
            self.producer.abort(low, high);
            return self.give_up(low, high);
        }
        let high = if first_alone { low } else { high };
        let base = self.value;
        self.value += (high - low + 1) as u64;
        let value = |sequence: i64| base + (sequence - low) as u64;
        (low..=high).for_each(|sequence| put(self.producer.segment(), sequence, value(sequence)));
        self.producer.publish(low, high);
        self.model.settle(low, high, |sequence| Some(value(sequence)));
    }

    fn give_up(&mut self, low: i64, high: i64) {
        if self.model.kind == ProducerKind::Multi {
            self.model.settle(low, high, |_| None);
        } else {
            self.model.open.clear();
            self.model.claimed = low - 1;
        }
    }

    fn poll(&mut self, who: usize, limit: i64, enough: i64) {
        let (Some(poller), Some(before)) = (&mut self.pollers[who], self.model.consumers[who]) else {
            return;
        };
        let mut queue = self.model.pending(before);
        let segment = poller.consumer().segment().clone();
        let mut seen = Vec::new();
        let polled = poller.poll(limit, |sequence, end| {
            seen.push((sequence, get::<u64>(&segment, sequence), end));
            (seen.len() as i64) < enough
        });
        let handled = if let Polled::Processing(handled) = polled {
            handled
        } else {
            0
        };
        assert_eq!(handled, seen.len() as i64);
        assert!(handled > 0 || queue.is_empty(), "events were there");
        let ends = seen.iter().filter(|&&(.., end)| end).count();
        assert!(ends <= 1 && (ends == 0 || seen.last().is_some_and(|&(.., end)| end)));
        assert!(
            ends == 1 || handled == 0 || handled == enough,
            "a batch without its end"
        );
        for (at, value, _) in seen {
            assert_eq!(queue.pop_front(), Some((at, value)));
        }
        let now = poller.consumer().sequence();
        self.model.consumers[who] = Some(now);
        assert_eq!(self.model.pending(now), queue, "an event was stepped over");
    }

    fn join(&mut self, who: usize) {
        let name = format!("consumer-{who}");
        let segment = self.producer.segment().clone();
        if self.pollers[who].is_some() {
            assert!(Consumer::join(&segment, &name, true, ringbus_core::Start::Latest).is_err());
            return;
        }
        let consumer = join(&segment, &name);
        assert_eq!(consumer.sequence(), cursor(&segment));
        self.model.consumers[who] = Some(consumer.sequence());
        self.pollers[who] = Some(EventPoller::new(consumer));
    }

    fn leave(&mut self, who: usize) {
        if let Some(poller) = self.pollers[who].take() {
            poller.consumer().leave().unwrap();
            poller.consumer().leave().unwrap();
            self.model.consumers[who] = None;
        }
    }
}

fn run(kind: ProducerKind, capacity: i64, start: i64, steps: &[Step]) {
    let (_segment, producer) = ring_of(geometry(kind, capacity as u64, 8, start));
    let pollers = [const { None }; CONSUMERS];
    let mut run = Run {
        producer,
        pollers,
        model: Model::new(kind, capacity, start),
        value: 0,
    };
    for step in steps {
        run.step(step);
    }
}

fn starts() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0),
        Just(3),
        Just((1 << 31) - 5),
        Just((1 << 32) - 5),
        Just((1 << 61) - 5)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_single_producer_ring_is_a_deque_for_each_consumer(
        capacity in prop::sample::select(vec![1_i64, 2, 4, 8]), start in starts(), steps in steps()
    ) {
        run(ProducerKind::Single, capacity, start, &steps);
    }

    #[test]
    fn a_multi_producer_ring_is_a_deque_for_each_consumer(
        capacity in prop::sample::select(vec![1_i64, 2, 4, 8]), start in starts(), steps in steps()
    ) {
        run(ProducerKind::Multi, capacity, start, &steps);
    }
}
