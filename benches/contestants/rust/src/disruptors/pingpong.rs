//! One event through two rings, there and back.

use super::Way;
use crate::event::{Event, Line, OfSize, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use crate::trips::bounce;
use crate::waits::Wait;
use disruptor::{Polling, Sequence, build_single_producer};
use std::marker::PhantomData;

pub fn run<Y: Way>(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Bounce::<Y>(options, PhantomData))
}

struct Bounce<'a, Y>(&'a Options, PhantomData<Y>);

impl<Y: Way> OfSize for Bounce<'_, Y> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let Options { events, capacity, .. } = *self.0;
        let (mut answers, back) = build_single_producer(capacity, Event::<W, A>::new, Y::STRATEGY).new_event_poller();
        let mut answer = back.build();
        let mut ask = build_single_producer(capacity, Event::<W, A>::new, Y::STRATEGY)
            .handle_events_with(move |event: &Event<W, A>, _: Sequence, _| {
                Y::publish(&mut answer, |slot| *slot = *event);
            })
            .build();
        bounce(events, |event| {
            Y::publish(&mut ask, |slot| *slot = event);
            receive::<_, Y>(|| match answers.poll() {
                Ok(mut guard) => (&mut guard).next().copied(),
                Err(Polling::NoEvents | Polling::Shutdown) => None,
            })
        })
    }
}

/// Looks until there is something.
#[inline(always)]
fn receive<T, Y: Way>(mut look: impl FnMut() -> Option<T>) -> T {
    let mut wait = Y::Idle::default();
    loop {
        if let Some(found) = look() {
            return found;
        }
        wait.idle();
    }
}
