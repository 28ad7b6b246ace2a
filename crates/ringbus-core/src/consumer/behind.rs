//! A consumer behind all others: what it finds, nobody will look at again.

use crate::layout::{MAX_CONSUMERS, ProducerKind};
use crate::registry::Consumer;
use crate::sync::Ordering;

/// What lies between all other consumers that gate and the one behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// No other consumer gates.
    Alone,
    /// They are done with nothing more.
    Nothing,
    /// They are done with this event.
    Event(i64),
    /// They are done with this sequence, which is a Pad, or a producer's still: a consumer that joined behind an open claim
    /// does not vouch for it.
    NoEvent(i64),
}

impl Behind {
    /// What comes next for `consumer`.
    pub fn next(consumer: &Consumer) -> Self {
        let segment = consumer.segment();
        let gating = segment.registry().gating.load(Ordering::Acquire) & !(1 << consumer.index());
        let done = (0..MAX_CONSUMERS)
            .filter(|index| gating & (1 << index) != 0)
            .map(|index| segment.consumer(index).sequence.gate())
            .min();
        let next = consumer.sequence() + 1;
        let is_published = || segment.geometry().kind == ProducerKind::Single || segment.is_available(next);
        match done {
            None => Self::Alone,
            Some(done) if next > done => Self::Nothing,
            Some(_) if is_published() && !segment.is_pad(next) => Self::Event(next),
            Some(_) => Self::NoEvent(next),
        }
    }
}
