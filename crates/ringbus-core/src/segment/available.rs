//! The available words: which slots of a multi-producer ring are published, and which are Pads.
//!
//! Source: LMAX Disruptor 4.0, `MultiProducerSequencer`, `availableBuffer`. Differs: a word counts laps from the start
//! sequence, so that a page of zeros is a valid beginning, and has a bit for Pads.

use super::Segment;
use crate::layout::ProducerKind;
use crate::planted::{Twin, order};
use crate::sync::{AtomicU32, Ordering};

/// In an available word: the slot is a Pad, which consumers step over.
pub const PAD: u32 = 1 << 31;

impl Segment {
    #[inline]
    fn available(&self, sequence: i64) -> &AtomicU32 {
        debug_assert!(self.geometry.kind == ProducerKind::Multi);
        // SAFETY: the index is below the capacity, and multi-producer segments have a word for each slot.
        unsafe { self.parts.available.add(self.index(sequence)).as_ref() }
    }

    /// What the available word of `sequence` is once it is published: its lap + 1, never with the Pad bit.
    #[inline]
    fn lap(&self, sequence: i64) -> u32 {
        ((sequence.wrapping_sub(self.geometry.start) >> self.shift) as u32).wrapping_add(1) & !PAD
    }

    /// Marks `sequence` published (multi-producer).
    #[inline]
    pub fn mark_available(&self, sequence: i64) {
        // SYNC POINT: available. Pairs with `is_available`.
        self.available(sequence)
            .store(self.lap(sequence), order(Twin::AvailableRelaxed, Ordering::Release));
    }

    /// Marks `sequence` a Pad (multi-producer). The count is raised before the first one shows.
    pub fn mark_pad(&self, sequence: i64) {
        self.available(sequence)
            .store(self.lap(sequence) | PAD, Ordering::Release);
    }

    /// Whether `sequence` is published (multi-producer); a Pad counts.
    #[inline]
    pub fn is_available(&self, sequence: i64) -> bool {
        // SYNC POINT: available. Pairs with `mark_available`.
        let word = self
            .available(sequence)
            .load(order(Twin::AvailableReadRelaxed, Ordering::Acquire));
        word & !PAD == self.lap(sequence)
    }

    /// Whether `sequence` was published, by now maybe overwritten by a later lap (multi-producer); a Pad
    /// counts, and so does what lies one lap before the first sequence.
    #[inline]
    pub fn was_published(&self, sequence: i64) -> bool {
        // SYNC POINT: available. Pairs with `mark_available`.
        let word = self
            .available(sequence)
            .load(order(Twin::AvailableReadRelaxed, Ordering::Acquire));
        (word & !PAD).wrapping_sub(self.lap(sequence)) & !PAD < PAD / 2
    }

    /// The last sequence of `first..=last` up to which all of them were published; `first - 1` if none.
    #[inline]
    pub fn published_up_to(&self, first: i64, last: i64) -> i64 {
        let mut next = first;
        while next <= last && self.was_published(next) {
            next += 1;
        }
        next - 1
    }

    /// Whether the published `sequence` is a Pad.
    #[inline]
    pub fn is_pad(&self, sequence: i64) -> bool {
        self.geometry.kind == ProducerKind::Multi && self.available(sequence).load(Ordering::Relaxed) & PAD != 0
    }

    /// The available word of `sequence` (multi-producer).
    pub fn available_word(&self, sequence: i64) -> u32 {
        self.available(sequence).load(Ordering::Acquire)
    }

    /// Whether the slot of `sequence` still shows the lap before (multi-producer).
    pub fn is_behind(&self, sequence: i64) -> bool {
        self.available_word(sequence) & !PAD == self.lap(sequence).wrapping_sub(1) & !PAD
    }

    /// Makes `sequence` a Pad if its available word is still `before` (multi-producer).
    pub fn swap_to_pad(&self, sequence: i64, before: u32) -> bool {
        let pad = self.lap(sequence) | PAD;
        self.available(sequence)
            .compare_exchange(before, pad, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether the ring ever had a Pad. Look after the wait that showed the sequences in question.
    #[inline]
    pub fn has_pads(&self) -> bool {
        self.state().pads.load(Ordering::Relaxed) != 0
    }
}
