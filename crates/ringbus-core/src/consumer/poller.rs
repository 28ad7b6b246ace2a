//! The caller's loop: asks for what is there, handles it, and goes on.
//!
//! Source: LMAX Disruptor 4.0, `EventPoller`.

use crate::barrier::SequenceBarrier;
use crate::registry::Consumer;
use crate::wait::Alert;

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// So many sequences were handled.
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

    /// Hands at most `limit` sequences to `handle(sequence, end_of_batch)`, until it says `false`.
    ///
    /// What was handed out is committed at the end, the last one too.
    pub fn poll(&mut self, limit: i64, mut handle: impl FnMut(i64, bool) -> bool) -> Polled {
        let next = self.consumer.sequence() + 1;
        let Ok(last) = self.barrier.poll(next, limit) else {
            let published = crate::barrier::highest_published(self.consumer.segment(), next, next).is_ok();
            return if published { Polled::Gating } else { Polled::Idle };
        };
        let mut done = next;
        while handle(done, done == last) && done < last {
            done += 1;
        }
        self.consumer.commit(done);
        Polled::Processing(done - next + 1)
    }

    /// The consumer it polls as.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }
}
