//! One event through two queues, there and back.

use super::{Pipe, Receiver, Sender};
use crate::event::{Event, Line, OfSize, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use crate::trips::bounce;
use std::marker::PhantomData;
use std::thread;

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
        let outcome = bounce(events, |event| {
            ask.send(event);
            answered.receive().expect("the partner answers all")
        });
        drop(ask);
        partner.join().expect("the partner does not panic");
        outcome
    }
}
