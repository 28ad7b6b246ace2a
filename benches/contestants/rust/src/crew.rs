//! What the threads of a run share: where they meet, and what they come to.

use crate::report::Outcome;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Instant;

/// What one consumer handled.
#[derive(Clone, Copy, Default)]
pub struct Handled {
    pub total: u64,
    pub events: u64,
    pub batches: u64,
}

/// One run: all its threads meet before the clock starts, each consumer says when it is done.
#[derive(Clone)]
pub struct Crew {
    gate: Arc<Barrier>,
    done: Arc<Mutex<Vec<(Handled, Instant)>>>,
}

impl Crew {
    pub fn new(threads: usize) -> Self {
        Self {
            gate: Arc::new(Barrier::new(threads)),
            done: Arc::default(),
        }
    }

    pub fn meet(&self) {
        self.gate.wait();
    }

    pub fn is_done(&self, handled: Handled) {
        let now = Instant::now();
        self.done.lock().expect("no consumer panics").push((handled, now));
    }

    /// What the run came to, once all threads have ended.
    pub fn outcome(&self, events: u64, begin: Instant) -> Outcome {
        let done = self.done.lock().expect("no consumer panics");
        let end = done.iter().map(|(_, at)| *at).max().expect("there is a consumer");
        let handled: u64 = done.iter().map(|(handled, _)| handled.events).sum();
        let batches: u64 = done.iter().map(|(handled, _)| handled.batches).sum();
        let checksum = done
            .iter()
            .fold(0_u64, |sum, (handled, _)| sum.wrapping_add(handled.total));
        Outcome {
            mean_batch: (batches > 0).then(|| handled as f64 / batches as f64),
            ..Outcome::of(events, end - begin, checksum)
        }
    }
}
