//! Events at a given rate: one to one, and several producers to several consumers.

use super::{Pipe, Receiver, Sender, SharedPipe};
use crate::event::{Event, Line, OfSize, with_size};
use crate::histogram::Histogram;
use crate::options::{Options, Refusal};
use crate::pace::{Schedule, WINDOWS, now_ns, sleep_precisely, sleep_until};
use crate::report::Outcome;
use std::marker::PhantomData;
use std::thread::{self, JoinHandle};

pub fn run_alone<P: Pipe>(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Alone::<P>(options, PhantomData))
}

pub fn run_shared<P: SharedPipe>(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Shared::<P>(options, PhantomData))
}

/// What a consumer came to.
struct Received {
    total: u64,
    windows: Vec<Histogram>,
}

struct Alone<'a, P>(&'a Options, PhantomData<P>);

impl<P: Pipe> OfSize for Alone<'_, P> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let schedule = Schedule::new(self.0, 1);
        let (sender, receiver) = P::open::<Event<W, A>>(self.0.capacity);
        let consumers = vec![receive(receiver, schedule)];
        let producers = vec![send(vec![sender], schedule, 0)];
        outcome(producers, consumers, schedule)
    }
}

struct Shared<'a, P>(&'a Options, PhantomData<P>);

impl<P: SharedPipe> OfSize for Shared<'_, P> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let Options {
            producers,
            consumers,
            capacity,
            ..
        } = *self.0;
        let schedule = Schedule::new(self.0, producers);
        let queues = if self.0.mode == "all" { consumers } else { 1 };
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..queues).map(|_| P::open::<Event<W, A>>(capacity)).unzip();
        let consumers = (0..consumers)
            .map(|index| receive(P::share_receiver(&receivers[index % queues]), schedule))
            .collect();
        let producers = (0..producers)
            .map(|index| send(senders.iter().map(P::share_sender).collect(), schedule, index as u64))
            .collect();
        drop(senders);
        drop(receivers);
        outcome(producers, consumers, schedule)
    }
}

/// A producer with a schedule of its own; it says how many it sent.
fn send<const W: usize, A: Line, S: Sender<Event<W, A>>>(
    mut senders: Vec<S>,
    schedule: Schedule,
    producer: u64,
) -> JoinHandle<u64> {
    thread::spawn(move || {
        sleep_precisely();
        let count = schedule.events_of(producer);
        for index in 0..count {
            let number = schedule.number_of(producer, index);
            let due = schedule.due(number);
            sleep_until(due);
            if schedule.is_over() {
                return index;
            }
            for sender in &mut senders {
                sender.send(Event::timed(number, due));
            }
        }
        count
    })
}

fn receive<const W: usize, A: Line>(
    mut receiver: impl Receiver<Event<W, A>>,
    schedule: Schedule,
) -> JoinHandle<Received> {
    thread::spawn(move || {
        let mut windows = vec![Histogram::new(); WINDOWS];
        let mut total = 0_u64;
        while let Some(event) = receiver.receive() {
            let due = event.words[1];
            if let Some(window) = schedule.window_of(due) {
                windows[window].add(now_ns() - due);
            }
            total = total.wrapping_add(event.timeless_sum());
        }
        Received { total, windows }
    })
}

fn outcome(producers: Vec<JoinHandle<u64>>, consumers: Vec<JoinHandle<Received>>, schedule: Schedule) -> Outcome {
    let sent: Vec<u64> = producers
        .into_iter()
        .map(|producer| producer.join().expect("no producer panics"))
        .collect();
    let mut windows = vec![Histogram::new(); WINDOWS];
    let mut checksum = 0_u64;
    for consumer in consumers {
        let received = consumer.join().expect("no consumer panics");
        checksum = checksum.wrapping_add(received.total);
        for (window, more) in windows.iter_mut().zip(&received.windows) {
            window.merge(more);
        }
    }
    let mut latency = Histogram::new();
    for window in &windows {
        latency.merge(window);
    }
    let events = sent.iter().sum();
    Outcome {
        latency: Some(latency),
        windows,
        sent,
        ..Outcome::of(events, schedule.elapsed(), checksum)
    }
}
