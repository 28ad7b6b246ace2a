//! Producers and consumers that each see every event: 1p1c ... 1p4c, 2p1c, 3p1c.

use super::{Way, publish, publish_all};
use crate::crew::{Crew, Handled};
use crate::event::{Event, Line, OfSize, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use disruptor::{Sequence, build_multi_producer, build_single_producer};
use std::marker::PhantomData;
use std::thread;
use std::time::Instant;

pub fn run<Y: Way>(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Stream::<Y>(options, PhantomData))
}

/// What a consumer's thread keeps.
pub struct Counter {
    pub handled: Handled,
    last: Sequence,
    crew: Crew,
}

impl Counter {
    /// Made on the consumer's own thread, which so meets the others before the clock starts.
    pub fn new(crew: Crew, events: u64) -> Self {
        crew.meet();
        Self {
            handled: Handled::default(),
            last: events as Sequence - 1,
            crew,
        }
    }

    #[inline(always)]
    pub fn count(&mut self, sequence: Sequence, end_of_batch: bool) {
        if end_of_batch {
            self.handled.batches += 1;
            if sequence == self.last {
                self.handled.events = sequence as u64 + 1;
                self.crew.is_done(self.handled);
            }
        }
    }
}

struct Stream<'a, Y>(&'a Options, PhantomData<Y>);

impl<Y: Way> OfSize for Stream<'_, Y> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let options = self.0;
        match (options.scenario_producers(), options.scenario_consumers()) {
            (1, 1) => one::<W, A, Y>(options),
            (1, consumers) => several_consumers::<W, A, Y>(options, consumers),
            (producers, _) => several_producers::<W, A, Y>(options, producers),
        }
    }
}

fn add_up<const W: usize, A: Line>(counter: &mut Counter, event: &Event<W, A>, sequence: Sequence, end: bool) {
    counter.handled.total = counter.handled.total.wrapping_add(event.sum());
    counter.count(sequence, end);
}

pub fn counter_of(crew: &Crew, options: &Options) -> impl FnOnce() -> Counter + Send + 'static {
    let (crew, events) = (crew.clone(), options.events);
    move || Counter::new(crew, events)
}

fn one<const W: usize, A: Line, Y: Way>(options: &Options) -> Outcome {
    let crew = Crew::new(2);
    let producer = build_single_producer(options.capacity, Event::<W, A>::new, Y::STRATEGY)
        .handle_events_and_state_with(add_up::<W, A>, counter_of(&crew, options))
        .build();
    publish::<Y, _>(producer, options, &crew, Event::fill)
}

fn several_consumers<const W: usize, A: Line, Y: Way>(options: &Options, consumers: usize) -> Outcome {
    let crew = Crew::new(consumers + 1);
    let mut builder = build_single_producer(options.capacity, Event::<W, A>::new, Y::STRATEGY).with_multi_consumer();
    for _ in 0..consumers {
        builder = builder.handle_events_and_state_with(add_up::<W, A>, counter_of(&crew, options));
    }
    publish::<Y, _>(builder.build(), options, &crew, Event::fill)
}

fn several_producers<const W: usize, A: Line, Y: Way>(options: &Options, producers: usize) -> Outcome {
    let crew = Crew::new(producers + 2);
    let original = build_multi_producer(options.capacity, Event::<W, A>::new, Y::STRATEGY)
        .handle_events_and_state_with(add_up::<W, A>, counter_of(&crew, options))
        .build();
    let threads: Vec<_> = (0..producers)
        .map(|first| {
            let (mut producer, options, crew) = (original.clone(), options.clone(), crew.clone());
            thread::spawn(move || {
                crew.meet();
                publish_all::<Y, _>(&mut producer, &options, (first as u64, producers as u64), Event::fill);
            })
        })
        .collect();
    crew.meet();
    let begin = Instant::now();
    for thread in threads {
        thread.join().expect("no producer panics");
    }
    drop(original);
    crew.outcome(options.events, begin)
}
