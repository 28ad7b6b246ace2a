//! As fast as they can: 1p1c ... 1p4c, 2p1c, 3p1c, pipeline3, diamond3.

use super::{Pipe, Receiver, Sender, SharedPipe};
use crate::crew::{Crew, Handled};
use crate::event::{Event, Line, OfSize, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use std::marker::PhantomData;
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub fn run_alone<P: Pipe>(options: &Options) -> Result<Outcome, Refusal> {
    if options.scenario.ends_with('3') {
        options.check_stages()?;
    }
    with_size(options, Alone::<P>(options, PhantomData))
}

pub fn run_shared<P: SharedPipe>(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Shared::<P>(options, PhantomData))
}

struct Alone<'a, P>(&'a Options, PhantomData<P>);

impl<P: Pipe> OfSize for Alone<'_, P> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let options = self.0;
        match options.scenario.as_str() {
            "pipeline3" => pipeline::<W, A, P>(options),
            "diamond3" => diamond::<W, A, P>(options),
            _ => fan_out::<W, A, P>(options, options.scenario_consumers()),
        }
    }
}

fn fan_out<const W: usize, A: Line, P: Pipe>(options: &Options, consumers: usize) -> Outcome {
    let crew = Crew::new(consumers + 1);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..consumers).map(|_| P::open(options.capacity)).unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .map(|receiver| add_up::<W, A>(&crew, receiver))
        .collect();
    send_and_finish(senders, threads, &crew, options, Event::<W, A>::of)
}

fn pipeline<const W: usize, A: Line, P: Pipe>(options: &Options) -> Outcome {
    let crew = Crew::new(4);
    let (start, first) = P::open::<Event<W, A>>(options.capacity);
    let (after_first, second) = P::open::<Event<W, A>>(options.capacity);
    let (after_second, last) = P::open::<Event<W, A>>(options.capacity);
    let threads = vec![
        stage(&crew, first, after_first, |event| event.words[1] = event.words[0] + 1),
        stage(&crew, second, after_second, |event| event.words[2] = event.words[1] + 1),
        add_up(&crew, last),
    ];
    send_and_finish(vec![start], threads, &crew, options, Event::unstaged)
}

fn diamond<const W: usize, A: Line, P: Pipe>(options: &Options) -> Outcome {
    let crew = Crew::new(4);
    let (to_left, left) = P::open::<Event<W, A>>(options.capacity);
    let (to_right, right) = P::open::<Event<W, A>>(options.capacity);
    let (after_left, from_left) = P::open::<Event<W, A>>(options.capacity);
    let (after_right, from_right) = P::open::<Event<W, A>>(options.capacity);
    let threads = vec![
        stage(&crew, left, after_left, |event| event.words[1] = event.words[0] + 1),
        stage(&crew, right, after_right, |event| event.words[2] = event.words[0] + 2),
        join(&crew, from_left, from_right),
    ];
    send_and_finish(vec![to_left, to_right], threads, &crew, options, Event::unstaged)
}

struct Shared<'a, P>(&'a Options, PhantomData<P>);

impl<P: SharedPipe> OfSize for Shared<'_, P> {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let options = self.0;
        let producers = options.scenario_producers();
        let crew = Crew::new(producers + 2);
        let (sender, receiver) = P::open::<Event<W, A>>(options.capacity);
        let mut threads = vec![add_up(&crew, receiver)];
        for first in 0..producers as u64 {
            let (sender, options, crew) = (P::share_sender(&sender), options.clone(), crew.clone());
            threads.push(thread::spawn(move || {
                crew.meet();
                send_all(vec![sender], &options, (first, producers as u64), Event::of);
            }));
        }
        drop(sender);
        crew.meet();
        finish(threads, &crew, options, Instant::now())
    }
}

/// Sends event numbers `first`, `first + step`, ... to each of the senders, which then are gone.
fn send_all<E: Copy, S: Sender<E>>(
    mut senders: Vec<S>,
    options: &Options,
    (first, step): (u64, u64),
    make: impl Fn(u64) -> E,
) {
    let count = options.events / step;
    if options.batch == 1 && senders.len() == 1 {
        for index in 0..count {
            senders[0].send(make(first + index * step));
        }
        return;
    }
    for begin in (0..count).step_by(options.batch) {
        let batch = (options.batch as u64).min(count - begin) as usize;
        for sender in &mut senders {
            sender.send_all(batch, |index| make(first + (begin + index) * step));
        }
    }
}

fn add_up<const W: usize, A: Line>(crew: &Crew, mut receiver: impl Receiver<Event<W, A>>) -> JoinHandle<()> {
    let crew = crew.clone();
    thread::spawn(move || {
        crew.meet();
        let mut handled = Handled::default();
        loop {
            let found = receiver.receive_all(|event| handled.total = handled.total.wrapping_add(event.sum()));
            if found == 0 {
                return crew.is_done(handled);
            }
            handled.events += found;
            handled.batches += 1;
        }
    })
}

fn stage<E: Copy + Send + 'static>(
    crew: &Crew,
    mut receiver: impl Receiver<E>,
    mut sender: impl Sender<E>,
    write: impl Fn(&mut E) + Send + 'static,
) -> JoinHandle<()> {
    let crew = crew.clone();
    thread::spawn(move || {
        crew.meet();
        let mut pass_on = |event: &E| {
            let mut event = *event;
            write(&mut event);
            sender.send(event);
        };
        while receiver.receive_all(&mut pass_on) > 0 {}
    })
}

/// The end of a diamond: word 1 comes from the left, word 2 from the right.
fn join<const W: usize, A: Line>(
    crew: &Crew,
    mut left: impl Receiver<Event<W, A>>,
    mut right: impl Receiver<Event<W, A>>,
) -> JoinHandle<()> {
    let crew = crew.clone();
    thread::spawn(move || {
        crew.meet();
        let mut handled = Handled::default();
        while let Some(mut event) = left.receive() {
            event.words[2] = right.receive().expect("both sides get every event").words[2];
            handled.total = handled.total.wrapping_add(event.sum());
        }
        crew.is_done(handled);
    })
}

/// The one producer's part of a run: from the first event until the others have ended.
fn send_and_finish<E: Copy, S: Sender<E>>(
    senders: Vec<S>,
    threads: Vec<JoinHandle<()>>,
    crew: &Crew,
    options: &Options,
    make: impl Fn(u64) -> E,
) -> Outcome {
    crew.meet();
    let begin = Instant::now();
    send_all(senders, options, (0, 1), make);
    finish(threads, crew, options, begin)
}

fn finish(threads: Vec<JoinHandle<()>>, crew: &Crew, options: &Options, begin: Instant) -> Outcome {
    for thread in threads {
        thread.join().expect("no thread panics");
    }
    crew.outcome(options.events, begin)
}
