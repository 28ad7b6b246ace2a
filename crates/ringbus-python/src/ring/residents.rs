//! Who holds producers up, as messages say it.

use super::Ring;
use ringbus_core::{inspect, residents};

impl Ring {
    /// Who holds producers up the most: an open claim that everybody waits for, or else the slowest consumers.
    pub fn laggards(&self) -> Vec<String> {
        if let Some(sequence) = inspect::open_claim_in_the_way(&self.segment) {
            return vec![residents::describe_claim(&self.segment, sequence)];
        }
        inspect::laggards(&self.segment)
            .into_iter()
            .filter(|&index| !self.is_clear(index))
            .map(|index| residents::describe(&self.segment, index))
            .collect()
    }
}
