//! Who takes part: consumers join, depend on each other, and leave, while events flow.

mod counters;
mod entries;
mod identity;
mod joining;
mod leaving;

pub use entries::{dependents, find};
pub use identity::name_of;
pub use leaving::{forget, forget_with};

use crate::crash::crash_point;
use crate::layout::{ConsumerEntry, ProducerKind};
use crate::planted::{self, Twin};
use crate::segment::{Blocker, Segment};
use crate::sequence::sane;
use crate::sync::Ordering;
use std::sync::Arc;

/// The entry is nobody's.
pub const FREE: u32 = 0;
/// Somebody is about to take part.
pub const JOINING: u32 = 1;
/// Its consumer takes part.
pub const LIVE: u32 = 2;
/// It keeps the place of a consumer that has not come yet.
pub const HELD: u32 = 3;
/// Its consumer has died, and others depend on it.
pub const DEAD: u32 = 4;

/// In `kind`: producers wait for it.
pub const GATES: u32 = 1;
/// In `kind`: nobody waits for it.
pub const UNGATED: u32 = 2;
/// In `kind`: its place stays, and gates, while its process is away.
pub const DURABLE: u32 = 4;

/// In `evict_after`: it may be evicted by who has looked before it said this, by nobody else.
pub const NEVER: u64 = u64::MAX;

/// On what terms a consumer takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether producers wait for it.
    pub gating: bool,
    /// Whether its place stays while its process is away.
    pub durable: bool,
    /// The most events a durable one may be behind while it is away; 0 is no limit.
    pub absent_limit: u64,
    /// How long producers wait for it before they evict it, ns; 0 is for ever. Only for who cannot write the slots.
    pub evict_after: u64,
}

impl Terms {
    /// Takes part for as long as its process lives.
    pub fn ephemeral(gating: bool) -> Self {
        Self {
            gating,
            durable: false,
            absent_limit: 0,
            evict_after: 0,
        }
    }

    fn kind(self) -> u32 {
        (if self.gating { GATES } else { UNGATED }) | if self.durable { DURABLE } else { 0 }
    }
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the place that is held for it, or else after the cursor.
    Default,
    /// After the cursor.
    Latest,
    /// At the first sequence that is held for it.
    Oldest,
    /// At this sequence.
    At(i64),
}

impl Start {
    /// The sequence before the one where a watcher begins, who has no entry and for whom nothing is held.
    pub fn of_watcher(self, segment: &Segment) -> i64 {
        let cursor = cursor(segment);
        match self {
            Self::At(sequence) => sane(sequence.saturating_sub(1)),
            Self::Oldest => (cursor - segment.capacity()).max(segment.before_start()),
            Self::Default | Self::Latest => cursor,
        }
    }
}

/// One consumer's place in the registry.
#[derive(Clone)]
pub struct Consumer {
    segment: Arc<Segment>,
    index: usize,
    generation: u64,
    gating: bool,
    evictable: bool,
}

impl Consumer {
    fn at(segment: &Arc<Segment>, index: usize, gating: bool) -> Self {
        let entry = segment.consumer(index);
        Self {
            segment: Arc::clone(segment),
            index,
            generation: entry.identity.generation.load(Ordering::Relaxed),
            gating,
            evictable: entry.terms.evict_after.load(Ordering::Relaxed) != 0,
        }
    }

    /// Its entry in the registry.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether producers wait for it.
    #[inline]
    pub fn is_gating(&self) -> bool {
        self.gating
    }

    /// The ring it takes part in.
    #[inline]
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Its words in the segment.
    #[inline]
    pub fn entry(&self) -> &ConsumerEntry {
        self.segment.consumer(self.index)
    }

    /// The last sequence it is done with.
    #[inline]
    pub fn sequence(&self) -> i64 {
        self.entry().sequence.get()
    }

    /// Is done with everything up to `sequence`: releases it, and wakes who waits for this consumer. Whether that counts:
    /// of one that was evicted it does not, and what it made of the events since its last commit is void.
    #[inline]
    pub fn commit(&self, sequence: i64) -> bool {
        let counts = self.move_to(sequence);
        crash_point!("commit.stored");
        if !planted::is(Twin::CommitWakeSkipped) {
            self.segment.wake(Blocker::Consumer(self.index));
            crash_point!("commit.woken");
        }
        counts
    }

    #[inline]
    fn move_to(&self, sequence: i64) -> bool {
        if self.evictable {
            return self.entry().sequence.advance(sequence);
        }
        self.entry().sequence.set(sequence);
        true
    }

    /// Whether producers may evict it.
    #[inline]
    pub fn is_evictable(&self) -> bool {
        self.evictable
    }

    /// Whether it was evicted: producers do not wait for it any more, and may have overwritten what it was about to read.
    ///
    /// What was copied from a slot before is whole if this, after [`crate::sync::read_barrier`], is false.
    #[inline]
    pub fn is_evicted(&self) -> bool {
        self.evictable && self.entry().sequence.is_evicted() && !planted::is(Twin::EvictionUntold)
    }
}

/// The highest sequence claimed (multi) or published (single): where a joiner starts after.
pub fn cursor(segment: &Segment) -> i64 {
    sane(match segment.geometry().kind {
        ProducerKind::Single => segment.cursor().published.load(Ordering::Acquire),
        ProducerKind::Multi => segment.cursor().claimed.load(Ordering::Acquire),
    })
}
