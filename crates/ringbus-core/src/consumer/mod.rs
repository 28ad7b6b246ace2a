//! Consumers: a managed loop, the caller's loop, and a reader that nobody waits for.

mod behind;
mod distance;
mod lapped;
mod poller;
mod pool;
mod processor;
mod work;

pub use behind::Behind;
pub use distance::Distance;
pub use lapped::{Lapped, poll_unless_lapped, read_unless_lapped};
pub use poller::{EventPoller, Polled};
pub use pool::WorkPool;
pub use processor::{EventHandler, EventProcessor};
pub use work::{WorkSequence, worker_of};
