//! What a thread does that has to wait, where the peer leaves it to its user.

use crate::options::Refusal;
use disruptor::Sequence;
use disruptor::wait_strategies::WaitStrategy;
use std::cell::Cell;
use std::hint;
use std::thread;

/// Waits for one thing; a new one begins each wait.
pub trait Wait: Default + Send + 'static {
    fn idle(&mut self);
}

#[derive(Clone, Copy, Default)]
pub struct Spin;

impl Wait for Spin {
    #[inline(always)]
    fn idle(&mut self) {
        hint::spin_loop();
    }
}

/// Spins 100 times, then gives the core away each time, as the LMAX Disruptor does.
#[derive(Clone, Copy, Default)]
pub struct Yield {
    spins: u32,
}

impl Wait for Yield {
    #[inline(always)]
    fn idle(&mut self) {
        if self.spins < 100 {
            self.spins += 1;
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

/// The same for the crate `disruptor`, which has no wait that yields and asks its strategies without a state of theirs.
#[derive(Clone, Copy)]
pub struct Yielding;

thread_local! {
    static LOOKS: Cell<(Sequence, u32)> = const { Cell::new((-1, 0)) };
}

impl WaitStrategy for Yielding {
    #[inline]
    fn wait_for(&self, sequence: Sequence) {
        let (last, looks) = LOOKS.get();
        let looks = if last == sequence { looks + 1 } else { 0 };
        LOOKS.set((sequence, looks));
        if looks < 100 {
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

/// The refusal of a wait that a contestant does not have.
pub fn no_wait(wait: &str) -> Refusal {
    Refusal::NotHere(format!("there is no wait \"{wait}\" here: see --list"))
}
