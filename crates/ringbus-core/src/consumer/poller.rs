//! The caller's loop: asks for what is there, handles it, and goes on.
//!
//! Source: LMAX Disruptor 4.0, `EventPoller`.

use crate::barrier::SequenceBarrier;
use crate::registry::Consumer;
use crate::wait::Alert;

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// So many events were handled, at least 1.
    Processing(i64),
    /// Events are published, but those the consumer depends on are not done with them.
    Gating,
    /// Nothing new.
    Idle,
}

/// A consumer without a thread of its own.
pub struct EventPoller {
    consumer: Consumer,
    barrier: SequenceBarrier,
}

impl EventPoller {
    /// Polls as `consumer`, behind what it depends on.
    pub fn new(consumer: Consumer) -> Self {
        let barrier = SequenceBarrier::new(consumer.segment(), consumer.depends_on(), Alert::default());
        Self { consumer, barrier }
    }

    /// Hands at most `limit` sequences to `handle(sequence, end_of_batch)`, until it says `false`. Steps over
    /// Pads, which count towards the limit.
    ///
    /// What was handed out is committed at the end, the last one too.
    pub fn poll(&mut self, limit: i64, mut handle: impl FnMut(i64, bool) -> bool) -> Polled {
        loop {
            let next = self.consumer.sequence() + 1;
            let Ok(last) = self.barrier.poll(next, limit) else {
                let published = crate::barrier::highest_published(self.consumer.segment(), next, next).is_ok();
                return if published { Polled::Gating } else { Polled::Idle };
            };
            let handled = self.hand_out(next, last, &mut handle);
            if handled > 0 {
                return Polled::Processing(handled);
            }
        }
    }

    fn hand_out(&self, first: i64, last: i64, handle: &mut impl FnMut(i64, bool) -> bool) -> i64 {
        let segment = self.consumer.segment();
        let pads = segment.has_pads();
        let is_event = |sequence: &i64| !pads || !segment.is_pad(*sequence);
        let end = if pads {
            (first..=last).rev().find(is_event)
        } else {
            Some(last)
        };
        let (mut handled, mut done) = (0, last);
        for sequence in (first..=last).filter(is_event) {
            handled += 1;
            if !handle(sequence, Some(sequence) == end) {
                done = sequence;
                break;
            }
        }
        self.consumer.commit(done);
        handled
    }

    /// The consumer it polls as.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }
}
