//! Who holds producers up, as messages say it.

use super::{CLEAR_NAME, Ring};
use ringbus_core::{inspect, registry, residents};

impl Ring {
    /// The consumers that hold producers up the most.
    pub fn laggards(&self) -> Vec<String> {
        inspect::laggards(&self.segment)
            .into_iter()
            .filter(|&index| registry::name_of(self.segment.consumer(index)) != CLEAR_NAME)
            .map(|index| residents::describe(&self.segment, index))
            .collect()
    }
}
