//! Keeps a consumer that is as quick as its producer a little behind it.
//!
//! One that reads each event the moment it is published takes the line that the producer is about to write, every time, and
//! both go at the pace of the lines between them. A little later it finds many events at once, whose lines come in a row.
//!
//! Source: Giacomoni, Moseley, Vachharajani, "`FastForward` for efficient pipeline parallelism", 2008, temporal slipping.
//! Differs: it falls behind only after several waits that ended at once, so an event that comes alone is not held up.

use crate::sync::pause_for;
use std::time::Duration;

/// A wait that ends by this look was a short one; later ones were, if as many events were handled since the last wait.
const NEAR: i64 = 3;
/// So many in a row are no chance.
const ENOUGH: u32 = 4;
/// How far to fall behind.
const BEHIND: Duration = Duration::from_micros(2);

/// One consumer's.
#[derive(Debug, Default)]
pub struct Distance {
    /// Waits in a row that ended at once.
    close: u32,
}

impl Distance {
    /// Before the first look of a wait: falls behind where the last waits were too short.
    #[inline]
    pub fn keep(&self) {
        if self.is_too_close() {
            pause_for(BEHIND);
        }
    }

    /// What was waited for was there at this look, the first being 0, after `events` since the last wait.
    #[inline]
    pub fn found_at(&mut self, look: u32, events: i64) {
        let is_near = i64::from(look) <= NEAR.max(events);
        self.close = if is_near { self.close.saturating_add(1) } else { 0 };
    }

    fn is_too_close(&self) -> bool {
        self.close >= ENOUGH
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn several_short_waits_in_a_row_are_too_close() {
        let mut distance = Distance::default();
        for _ in 0..ENOUGH - 1 {
            distance.found_at(0, 1);
            assert!(!distance.is_too_close());
        }
        distance.found_at(NEAR as u32, 1);
        assert!(distance.is_too_close());
    }

    #[test]
    fn one_longer_wait_is_far_enough() {
        let mut distance = Distance::default();
        (0..2 * ENOUGH).for_each(|_| distance.found_at(0, 1));
        distance.found_at(NEAR as u32 + 1, 1);
        assert!(!distance.is_too_close());
    }

    #[test]
    fn a_wait_is_short_for_the_many_events_that_came_since_the_last() {
        let mut distance = Distance::default();
        (0..ENOUGH).for_each(|_| distance.found_at(30, 64));
        assert!(distance.is_too_close());
        distance.found_at(65, 64);
        assert!(!distance.is_too_close());
    }
}
