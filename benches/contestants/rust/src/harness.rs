//! What filling and adding up cost alone, with no ring and no other thread.

use crate::event::{Event, Line, OfSize, with_size};
use crate::options::{Options, Refusal};
use crate::report::Outcome;
use std::arch::asm;
use std::time::Instant;

pub fn run(options: &Options) -> Result<Outcome, Refusal> {
    with_size(options, Loop(options.events))
}

struct Loop(u64);

impl OfSize for Loop {
    type Result = Outcome;

    fn run<const W: usize, A: Line>(self) -> Outcome {
        let mut event = Event::<W, A>::new();
        let mut checksum = 0_u64;
        let begin = Instant::now();
        for value in 0..self.0 {
            event.fill(value);
            // SAFETY: no instruction; it only says that the event's memory may be read and written here.
            unsafe { asm!("/* {} */", in(reg) &raw mut event, options(nostack, preserves_flags)) };
            checksum = checksum.wrapping_add(event.sum());
        }
        Outcome::of(self.0, begin.elapsed(), checksum)
    }
}
