//! Bounded queues that events are moved through by value: crossbeam-channel and rtrb.
//!
//! A consumer that shall see every event has a queue of its own; a stage passes events on through the next queue.

mod crossbeam;
mod graphs;
mod paced;
mod pingpong;
mod rtrb;

use crate::options::{Options, Refusal};
use crate::report::Outcome;
use crate::waits::{Spin, Yield, no_wait};

pub const CROSSBEAM: &str = "crossbeam-0.5.17";
pub const RTRB: &str = "rtrb-0.4.1";

/// A kind of queue, and how its ends wait.
pub trait Pipe: 'static {
    type Sender<E: Copy + Send + 'static>: Sender<E>;
    type Receiver<E: Copy + Send + 'static>: Receiver<E>;

    fn open<E: Copy + Send + 'static>(capacity: usize) -> (Self::Sender<E>, Self::Receiver<E>);
}

pub trait Sender<E>: Send + 'static {
    /// Waits for room.
    fn send(&mut self, event: E);

    /// Sends so many events; `make` gets the index of each.
    fn send_all(&mut self, count: usize, make: impl Fn(u64) -> E) {
        for index in 0..count {
            self.send(make(index as u64));
        }
    }
}

pub trait Receiver<E>: Send + 'static {
    /// Waits for an event; None once the senders are gone and all is read.
    fn receive(&mut self) -> Option<E>;

    /// Waits for events, and hands over those that are there; 0 at the end.
    fn receive_all(&mut self, mut handle: impl FnMut(&E)) -> u64 {
        self.receive().map_or(0, |event| {
            handle(&event);
            1
        })
    }
}

pub fn run_crossbeam(options: &Options) -> Result<Outcome, Refusal> {
    match options.wait.as_str() {
        "spin" => run_shared::<crossbeam::Polling<Spin>>(options),
        "yield" => run_shared::<crossbeam::Polling<Yield>>(options),
        "block" => run_shared::<crossbeam::Blocking>(options),
        wait => Err(no_wait(wait)),
    }
}

pub fn run_rtrb(options: &Options) -> Result<Outcome, Refusal> {
    match options.wait.as_str() {
        "spin" => run_alone::<rtrb::Rtrb<Spin>>(options),
        "yield" => run_alone::<rtrb::Rtrb<Yield>>(options),
        wait => Err(no_wait(wait)),
    }
}

/// What needs one sender and one receiver for each queue.
fn run_alone<P: Pipe>(options: &Options) -> Result<Outcome, Refusal> {
    match options.scenario.as_str() {
        "pingpong" => pingpong::run::<P>(options),
        "paced" => paced::run_alone::<P>(options),
        _ => graphs::run_alone::<P>(options),
    }
}

/// What may share the ends of a queue too.
fn run_shared<P: SharedPipe>(options: &Options) -> Result<Outcome, Refusal> {
    match options.scenario.as_str() {
        "2p1c" | "3p1c" => graphs::run_shared::<P>(options),
        "16x16" => paced::run_shared::<P>(options),
        _ => run_alone::<P>(options),
    }
}

/// A kind of queue whose ends can be shared.
pub trait SharedPipe: Pipe {
    fn share_sender<E: Copy + Send + 'static>(sender: &Self::Sender<E>) -> Self::Sender<E>;
    fn share_receiver<E: Copy + Send + 'static>(receiver: &Self::Receiver<E>) -> Self::Receiver<E>;
}
