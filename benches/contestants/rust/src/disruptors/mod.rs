//! The crate `disruptor`: spinning as it offers it, and yielding by a strategy of ours.

mod pingpong;
mod stages;
mod streams;

use crate::crew::Crew;
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use crate::waits::{Spin, Wait, Yield, Yielding, no_wait};
use disruptor::wait_strategies::WaitStrategy;
use disruptor::{BusySpin, Producer};
use std::time::Instant;

pub const NAME: &str = "disruptor-4.4.0";

/// How both sides of a disruptor wait.
trait Way: Copy + Send + 'static {
    type Strategy: WaitStrategy + 'static;
    type Idle: Wait;
    const STRATEGY: Self::Strategy;

    /// Publishes one event.
    fn publish<E>(producer: &mut impl Producer<E>, write: impl Fn(&mut E) + Copy);

    /// Waits for that many slots, and publishes them; `write` gets the index in the batch.
    fn publish_batch<E>(producer: &mut impl Producer<E>, count: usize, write: impl Fn(&mut E, u64) + Copy);
}

#[derive(Clone, Copy)]
struct Spins;

impl Way for Spins {
    type Strategy = BusySpin;
    type Idle = Spin;
    const STRATEGY: BusySpin = BusySpin;

    #[inline(always)]
    fn publish<E>(producer: &mut impl Producer<E>, write: impl Fn(&mut E) + Copy) {
        producer.publish(write);
    }

    #[inline(always)]
    fn publish_batch<E>(producer: &mut impl Producer<E>, count: usize, write: impl Fn(&mut E, u64) + Copy) {
        producer.batch_publish(count, |events| write_each(events, write));
    }
}

#[derive(Clone, Copy)]
struct Yields;

impl Way for Yields {
    type Strategy = Yielding;
    type Idle = Yield;
    const STRATEGY: Yielding = Yielding;

    #[inline(always)]
    fn publish<E>(producer: &mut impl Producer<E>, write: impl Fn(&mut E) + Copy) {
        let mut wait = Yield::default();
        while producer.try_publish(write).is_err() {
            wait.idle();
        }
    }

    #[inline(always)]
    fn publish_batch<E>(producer: &mut impl Producer<E>, count: usize, write: impl Fn(&mut E, u64) + Copy) {
        let mut wait = Yield::default();
        while producer
            .try_batch_publish(count, |events| write_each(events, write))
            .is_err()
        {
            wait.idle();
        }
    }
}

/// Writes each event of a batch, which gets its index in it.
#[inline(always)]
fn write_each<'a, E: 'a>(events: impl Iterator<Item = &'a mut E>, write: impl Fn(&mut E, u64)) {
    for (index, event) in events.enumerate() {
        write(event, index as u64);
    }
}

pub fn run(options: &Options) -> Result<Outcome, Refusal> {
    match options.wait.as_str() {
        "spin" => run_as::<Spins>(options),
        "yield" => run_as::<Yields>(options),
        wait => Err(no_wait(wait)),
    }
}

fn run_as<Y: Way>(options: &Options) -> Result<Outcome, Refusal> {
    match options.scenario.as_str() {
        "pipeline3" | "diamond3" => stages::run::<Y>(options),
        "pingpong" => pingpong::run::<Y>(options),
        _ => streams::run::<Y>(options),
    }
}

/// Publishes the events of one of several producers: numbers `first`, `first + step`, ...
fn publish_all<Y: Way, E>(
    producer: &mut impl Producer<E>,
    options: &Options,
    (first, step): (u64, u64),
    write: impl Fn(&mut E, u64) + Copy,
) {
    let count = options.events / step;
    let batch = options.batch as u64;
    if batch == 1 {
        for index in 0..count {
            Y::publish(producer, |event| write(event, first + index * step));
        }
        return;
    }
    for index in (0..count).step_by(options.batch) {
        let claimed = batch.min(count - index) as usize;
        Y::publish_batch(producer, claimed, |event, offset| {
            write(event, first + (index + offset) * step)
        });
    }
}

/// The one producer's part of a run: from the first claim until its consumers have ended.
fn publish<Y: Way, E>(
    mut producer: impl Producer<E>,
    options: &Options,
    crew: &Crew,
    write: impl Fn(&mut E, u64) + Copy,
) -> Outcome {
    crew.meet();
    let begin = Instant::now();
    publish_all::<Y, _>(&mut producer, options, (0, 1), write);
    drop(producer);
    crew.outcome(options.events, begin)
}
