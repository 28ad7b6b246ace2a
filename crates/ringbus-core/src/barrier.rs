//! What a consumer may read: the cursor, or what those it depends on are done with.
//!
//! Source: LMAX Disruptor 4.0, `ProcessingSequenceBarrier`.

use crate::layout::{MAX_CONSUMERS, ProducerKind};
use crate::planted::{self, Twin, order};
use crate::registry::cursor;
use crate::segment::{Blocker, Segment};
use crate::sync::Ordering;
use crate::wait::{Alert, Condition, Outcome, WaitStrategy, wait};
use std::sync::Arc;
use std::time::Instant;

/// Tells how far a consumer may read.
#[derive(Clone)]
pub struct SequenceBarrier {
    segment: Arc<Segment>,
    depends_on: u64,
    alert: Alert,
}

impl SequenceBarrier {
    /// A barrier behind the consumers in `depends_on` (a bit an entry), or behind the cursor when it is 0.
    pub fn new(segment: &Arc<Segment>, depends_on: u64, alert: Alert) -> Self {
        Self {
            segment: Arc::clone(segment),
            depends_on,
            alert,
        }
    }

    /// Ends the waits on this barrier.
    pub fn alert(&self) -> &Alert {
        &self.alert
    }

    /// The ring.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The entries it is behind, a bit each.
    pub fn depends_on(&self) -> u64 {
        self.depends_on
    }

    /// The highest readable sequence, at most `wanted + limit - 1`, if `wanted` is readable. A consumer that
    /// does not gate may find that what is readable was overwritten: see [`crate::consumer::read_unless_lapped`].
    ///
    /// # Errors
    /// Who has to move first.
    #[inline]
    pub fn poll(&self, wanted: i64, limit: i64) -> Result<i64, Blocker> {
        // No more than a ring of them is ever readable, whatever the words say.
        let last = wanted.saturating_add(limit.clamp(1, self.segment.capacity()) - 1);
        if self.depends_on == 0 || planted::is(Twin::DependencyIgnored) {
            highest_published(&self.segment, wanted, last)
        } else {
            let highest = self.highest_done(wanted)?;
            if highest - wanted >= self.segment.capacity() {
                return self.cursor_instead(wanted).map(|cursor| cursor.min(last));
            }
            Ok(highest.min(last))
        }
    }

    /// Waits until `wanted` is readable and returns the highest readable sequence, at most
    /// `wanted + limit - 1`.
    pub fn wait_for(&self, wanted: i64, limit: i64, strategy: WaitStrategy, deadline: Option<Instant>) -> Outcome<i64> {
        let mut condition = Readable {
            barrier: self,
            wanted,
            limit,
        };
        wait(&self.segment, strategy, &self.alert, deadline, &mut condition)
    }

    /// Nobody can be a ring ahead of this one: the words of those it follows are wrong, and say nothing but that they may
    /// be done with what the cursor shows.
    #[cold]
    fn cursor_instead(&self, wanted: i64) -> Result<i64, Blocker> {
        let cursor = cursor(&self.segment);
        if cursor < wanted {
            Err(Blocker::Cursor)
        } else {
            Ok(cursor)
        }
    }

    fn highest_done(&self, wanted: i64) -> Result<i64, Blocker> {
        let mut lowest = i64::MAX;
        let mut entries = self.depends_on;
        while entries != 0 {
            let index = entries.trailing_zeros() as usize;
            entries &= entries - 1;
            let sequence = self.segment.consumer(index).sequence.get();
            if sequence < wanted {
                return Err(Blocker::Consumer(index));
            }
            lowest = lowest.min(sequence);
        }
        Ok(lowest)
    }
}

/// The highest sequence up to `last` such that everything from `wanted` to it is published.
#[inline]
pub(crate) fn highest_published(segment: &Segment, wanted: i64, last: i64) -> Result<i64, Blocker> {
    match segment.geometry().kind {
        ProducerKind::Single => {
            // SYNC POINT: published. Pairs with the store in `SingleProducerSequencer::publish`.
            let published = segment
                .cursor()
                .published
                .load(order(Twin::CursorReadRelaxed, Ordering::Acquire));
            if published < wanted {
                Err(Blocker::Cursor)
            } else {
                Ok(published.min(last))
            }
        }
        ProducerKind::Multi => {
            if planted::is(Twin::GapIgnored) {
                let claimed = segment.cursor().claimed.load(Ordering::Acquire);
                return if claimed < wanted {
                    Err(Blocker::Cursor)
                } else {
                    Ok(claimed.min(last))
                };
            }
            let last = last.min(wanted + segment.capacity() - 1);
            let highest = segment.published_up_to(wanted, last);
            if highest < wanted {
                Err(Blocker::Cursor)
            } else {
                Ok(highest)
            }
        }
    }
}

struct Readable<'a> {
    barrier: &'a SequenceBarrier,
    wanted: i64,
    limit: i64,
}

impl Condition for Readable<'_> {
    type Output = i64;
    const FOLLOWS: bool = true;

    #[inline]
    fn poll(&mut self) -> Result<i64, Blocker> {
        self.barrier.poll(self.wanted, self.limit)
    }
}

/// Waits until the consumer at `index` is done with `target`; a consumer that has left counts as done.
pub struct Done<'a> {
    /// The ring.
    pub segment: &'a Segment,
    /// The consumer's entry.
    pub index: usize,
    /// The sequence to reach.
    pub target: i64,
}

impl Condition for Done<'_> {
    type Output = ();

    fn poll(&mut self) -> Result<(), Blocker> {
        let entry = self.segment.consumer(self.index);
        let gone = self.index >= MAX_CONSUMERS
            || self.segment.registry().taken.load(Ordering::Acquire) & (1 << self.index) == 0;
        let target = self.target - i64::from(planted::is(Twin::DrainStopsShort));
        if gone || entry.sequence.get() >= target {
            Ok(())
        } else {
            Err(Blocker::Consumer(self.index))
        }
    }
}
