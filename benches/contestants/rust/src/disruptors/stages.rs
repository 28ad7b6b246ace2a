//! Consumers that follow each other and write to the event: pipeline3, diamond3.

use super::streams::{Counter, counter_of};
use super::{Way, publish_all};
use crate::crew::Crew;
use crate::event::{Line, OfSize, Staged, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use disruptor::{Producer, Sequence, build_single_producer};
use std::marker::PhantomData;
use std::time::Instant;

pub fn run<Y: Way>(options: &Options) -> Result<Outcome, Refusal> {
    if options.size < 32 {
        return Err(Refusal::NotHere(format!(
            "--size is {}: the stages need 3 words",
            options.size
        )));
    }
    with_size(options, Stages::<Y>(options, PhantomData))
}

struct Stages<'a, Y>(&'a Options, PhantomData<Y>);

impl<Y: Way> OfSize for Stages<'_, Y> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let options = self.0;
        match options.scenario.as_str() {
            "pipeline3" => pipeline::<W, A, Y>(options),
            _ => diamond::<W, A, Y>(options),
        }
    }
}

fn pipeline<const W: usize, A: Line, Y: Way>(options: &Options) -> Outcome {
    let crew = Crew::new(4);
    let producer = build_single_producer(options.capacity, Staged::<W, A>::new, Y::STRATEGY)
        .handle_events_and_state_with(first, counter_of(&crew, options))
        .and_then()
        .handle_events_and_state_with(second, counter_of(&crew, options))
        .and_then()
        .handle_events_and_state_with(add_up, counter_of(&crew, options))
        .build();
    publish::<W, A, Y>(producer, options, &crew)
}

fn diamond<const W: usize, A: Line, Y: Way>(options: &Options) -> Outcome {
    let crew = Crew::new(4);
    let producer = build_single_producer(options.capacity, Staged::<W, A>::new, Y::STRATEGY)
        .handle_events_and_state_with(first, counter_of(&crew, options))
        .handle_events_and_state_with(beside, counter_of(&crew, options))
        .and_then()
        .handle_events_and_state_with(add_up, counter_of(&crew, options))
        .build();
    publish::<W, A, Y>(producer, options, &crew)
}

fn first<const W: usize, A: Line>(counter: &mut Counter, event: &Staged<W, A>, sequence: Sequence, end: bool) {
    // SAFETY: word 0 is the producer's; word 1 is this stage's alone, and read by those after it.
    unsafe { event.write(1, event.read(0) + 1) };
    counter.count(sequence, end);
}

fn second<const W: usize, A: Line>(counter: &mut Counter, event: &Staged<W, A>, sequence: Sequence, end: bool) {
    // SAFETY: word 1 is that of the stage before; word 2 is this stage's alone, and read by the one after it.
    unsafe { event.write(2, event.read(1) + 1) };
    counter.count(sequence, end);
}

fn beside<const W: usize, A: Line>(counter: &mut Counter, event: &Staged<W, A>, sequence: Sequence, end: bool) {
    // SAFETY: word 0 is the producer's; word 2 is this stage's alone, and read by the one after it.
    unsafe { event.write(2, event.read(0) + 2) };
    counter.count(sequence, end);
}

fn add_up<const W: usize, A: Line>(counter: &mut Counter, event: &Staged<W, A>, sequence: Sequence, end: bool) {
    // SAFETY: this is the last stage.
    counter.handled.total = counter.handled.total.wrapping_add(unsafe { event.sum() });
    counter.count(sequence, end);
}

fn publish<const W: usize, A: Line, Y: Way>(
    mut producer: impl Producer<Staged<W, A>>,
    options: &Options,
    crew: &Crew,
) -> Outcome {
    crew.meet();
    let begin = Instant::now();
    publish_all::<Y, _>(&mut producer, options, (0, 1), |event: &mut Staged<W, A>, value| {
        let event = event.get_mut();
        event.fill(value);
        event.words[1] = 0;
        event.words[2] = 0;
    });
    drop(producer);
    crew.outcome(options.events, begin)
}
