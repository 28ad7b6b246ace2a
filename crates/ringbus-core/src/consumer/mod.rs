//! Consumers: a managed loop, the caller's loop, and a reader that nobody waits for.

mod lapped;
mod poller;
mod processor;

pub use lapped::{Lapped, poll_unless_lapped, read_unless_lapped};
pub use poller::{EventPoller, Polled};
pub use processor::{EventHandler, EventProcessor};
