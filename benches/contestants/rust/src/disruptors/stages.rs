//! Consumers that follow each other and write to the event: pipeline3, diamond3.

use super::streams::{Counter, counter_of};
use super::{Way, publish};
use crate::crew::Crew;
use crate::event::{Line, OfSize, Staged, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use disruptor::{Sequence, build_single_producer};
use std::marker::PhantomData;

pub fn run<Y: Way>(options: &Options) -> Result<Outcome, Refusal> {
    options.check_stages()?;
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
    publish::<Y, _>(producer, options, &crew, write)
}

fn diamond<const W: usize, A: Line, Y: Way>(options: &Options) -> Outcome {
    let crew = Crew::new(4);
    let producer = build_single_producer(options.capacity, Staged::<W, A>::new, Y::STRATEGY)
        .handle_events_and_state_with(first, counter_of(&crew, options))
        .handle_events_and_state_with(beside, counter_of(&crew, options))
        .and_then()
        .handle_events_and_state_with(add_up, counter_of(&crew, options))
        .build();
    publish::<Y, _>(producer, options, &crew, write)
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

fn write<const W: usize, A: Line>(event: &mut Staged<W, A>, value: u64) {
    let event = event.get_mut();
    event.fill(value);
    event.words[1] = 0;
    event.words[2] = 0;
}
