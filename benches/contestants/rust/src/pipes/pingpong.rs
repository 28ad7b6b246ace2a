//! One event through two queues, there and back.

use super::{Pipe, Receiver, Sender};
use crate::event::{Event, Line, OfSize, with_size};
use crate::histogram::Histogram;
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use std::marker::PhantomData;
use std::thread;
use std::time::Instant;

pub fn run<P: Pipe>(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Bounce::<P>(options, PhantomData))
}

struct Bounce<'a, P>(&'a Options, PhantomData<P>);

impl<P: Pipe> OfSize for Bounce<'_, P> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let Options { events, capacity, .. } = *self.0;
        let (mut ask, mut asked) = P::open::<Event<W, A>>(capacity);
        let (mut answer, mut answered) = P::open::<Event<W, A>>(capacity);
        let partner = thread::spawn(move || {
            while let Some(event) = asked.receive() {
                answer.send(event);
            }
        });
        let (mut latency, mut checksum) = (Histogram::new(), 0_u64);
        let begin = Instant::now();
        let now = || begin.elapsed().as_nanos() as u64;
        for number in 0..events {
            ask.send(Event::timed(number, now()));
            let answer = answered.receive().expect("the partner answers all");
            latency.add(now() - answer.words[1]);
            checksum = checksum.wrapping_add(answer.timeless_sum());
        }
        let time = begin.elapsed();
        drop(ask);
        partner.join().expect("the partner does not panic");
        Outcome {
            latency: Some(latency),
            ..Outcome::of(events, time, checksum)
        }
    }
}
