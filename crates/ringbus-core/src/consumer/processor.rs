//! The managed loop: waits, hands each sequence to a handler, commits, until it is halted.
//!
//! Source: LMAX Disruptor 4.0, `BatchEventProcessor`.

use crate::barrier::SequenceBarrier;
use crate::registry::Consumer;
use crate::wait::{Alert, Outcome, WaitStrategy};
use std::time::{Duration, Instant};

/// What a processor calls.
pub trait EventHandler {
    /// Why it gives up.
    type Error;

    /// Handles one sequence.
    ///
    /// # Errors
    /// Ends the processor; the sequence is not committed.
    fn on_event(&mut self, sequence: i64, end_of_batch: bool) -> Result<(), Self::Error>;

    /// Called once, before anything else.
    fn on_start(&mut self) {}

    /// Called once, after everything else.
    fn on_shutdown(&mut self) {}

    /// Called before each batch, with its size, at least 1.
    fn on_batch_start(&mut self, _size: i64) {}

    /// Called each time nothing came for the time-out of the processor.
    fn on_timeout(&mut self, _sequence: i64) {}
}

/// Runs a handler on the caller's thread.
pub struct EventProcessor<H> {
    consumer: Consumer,
    barrier: SequenceBarrier,
    strategy: WaitStrategy,
    max_batch: i64,
    timeout: Option<Duration>,
    handler: H,
}

impl<H: EventHandler> EventProcessor<H> {
    /// A processor for `consumer`, behind what it depends on, that `alert` halts.
    pub fn new(consumer: Consumer, alert: Alert, strategy: WaitStrategy, handler: H) -> Self {
        let barrier = SequenceBarrier::new(consumer.segment(), consumer.depends_on(), alert);
        Self {
            consumer,
            barrier,
            strategy,
            max_batch: i64::MAX,
            timeout: None,
            handler,
        }
    }

    /// Hands out at most `events` before it commits.
    #[must_use]
    pub fn max_batch(mut self, events: i64) -> Self {
        self.max_batch = events.max(1);
        self
    }

    /// Calls `on_timeout` when nothing came for so long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs until the alert is raised or the handler fails.
    ///
    /// # Errors
    /// What the handler failed with.
    pub fn run(&mut self) -> Result<(), H::Error> {
        self.handler.on_start();
        let result = self.process();
        self.handler.on_shutdown();
        result
    }

    fn process(&mut self) -> Result<(), H::Error> {
        let mut next = self.consumer.sequence() + 1;
        while !self.barrier.alert().is_raised() {
            let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            match self.barrier.wait_for(next, self.max_batch, self.strategy, deadline) {
                Outcome::Ready(last) => next = self.batch(next, last)?,
                Outcome::TimedOut => self.handler.on_timeout(next - 1),
                Outcome::Alerted | Outcome::Died(_) => break,
            }
        }
        Ok(())
    }

    fn batch(&mut self, first: i64, last: i64) -> Result<i64, H::Error> {
        let segment = self.consumer.segment();
        let pads = segment.has_pads();
        let is_event = |sequence: &i64| !pads || !segment.is_pad(*sequence);
        let end = if pads {
            (first..=last).rev().find(is_event)
        } else {
            Some(last)
        };
        let size = if pads {
            (first..=last).filter(is_event).count() as i64
        } else {
            last - first + 1
        };
        if let Some(end) = end {
            self.handler.on_batch_start(size);
            for sequence in (first..=end).filter(is_event) {
                if let Err(error) = self.handler.on_event(sequence, sequence == end) {
                    self.consumer.commit(sequence - 1);
                    return Err(error);
                }
            }
            self.consumer.count_batch(size as u64);
        }
        self.consumer.commit(last);
        Ok(last + 1)
    }
}
