//! What a producer does that has lost the cursor to another one: it keeps off, so that the other can claim some more while
//! it has the line.
//!
//! Two producers that take turns event by event move the line of the cursor, and those of the available words, from core to
//! core for each: that is most of what an event costs then.
//!
//! Source: Anderson, "The performance of spin lock alternatives for shared-memory multiprocessors", 1990. Differs: how long
//! is kept from one claim to the next, so that one collision by chance costs little.

use crate::sync::pause_for;
use std::time::Duration;

const SHORTEST: Duration = Duration::from_nanos(50);
/// `SHORTEST`, doubled so often, is the longest.
const MOST: u32 = 5;
/// Claims in a row without a loss that make the next pause half as long.
const CLEAN: u32 = 128;

/// One producer's.
#[derive(Debug, Default)]
pub struct Contention {
    doublings: u32,
    clean: u32,
}

impl Contention {
    /// A claim was lost to another producer.
    #[cold]
    pub fn lost(&mut self) {
        pause_for(SHORTEST * (1 << self.doublings));
        self.doublings = (self.doublings + 1).min(MOST);
        self.clean = 0;
    }

    /// A claim was made.
    #[inline]
    pub fn won(&mut self) {
        if self.doublings > 0 {
            self.clean += 1;
            if self.clean == CLEAN {
                self.clean = 0;
                self.doublings -= 1;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_loss_doubles_the_pause_up_to_the_longest() {
        let mut contention = Contention::default();
        let doublings: Vec<_> = (0..7)
            .map(|_| {
                contention.lost();
                contention.doublings
            })
            .collect();
        assert_eq!(doublings, [1, 2, 3, 4, 5, 5, 5]);
    }

    #[test]
    fn claims_without_a_loss_make_it_shorter_again() {
        let mut contention = Contention::default();
        contention.lost();
        contention.lost();
        (0..CLEAN - 1).for_each(|_| contention.won());
        assert_eq!(contention.doublings, 2);
        contention.won();
        assert_eq!(contention.doublings, 1);
        (0..2 * CLEAN).for_each(|_| contention.won());
        assert_eq!(contention.doublings, 0);
    }

    #[test]
    fn a_loss_in_between_begins_the_count_anew() {
        let mut contention = Contention::default();
        contention.lost();
        (0..CLEAN - 1).for_each(|_| contention.won());
        contention.lost();
        (0..CLEAN - 1).for_each(|_| contention.won());
        assert_eq!(contention.doublings, 2);
    }
}
