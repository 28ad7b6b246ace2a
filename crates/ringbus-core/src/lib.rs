//! The engine of ringbus: the LMAX Disruptor's sequencers, barriers and wait strategies on one memory
//! layout that a process keeps to itself or shares. No Python in it.
//!
//! Source: Thompson, Farley, Barker, Gee, Stewart, "Disruptor: High performance alternative to bounded
//! queues for exchanging data between concurrent threads", 2011; LMAX Disruptor 4.0.

pub mod barrier;
pub mod consumer;
pub mod crash;
pub mod error;
pub mod eviction;
pub mod futex;
#[cfg(not(loom))]
pub mod inspect;
pub mod latency;
pub mod layout;
pub mod planted;
pub mod recovery;
pub mod registry;
#[cfg(not(loom))]
pub mod residents;
pub mod segment;
pub mod sequence;
pub mod sequencer;
pub mod sync;
pub mod topology;
pub mod wait;

pub use barrier::SequenceBarrier;
pub use consumer::{EventHandler, EventPoller, EventProcessor, Lapped, Polled, read_unless_lapped};
pub use error::{ClaimError, ConfigError, JoinError, LeaveError, ShareError, TopologyError};
pub use latency::{Latencies, LatencySummary};
pub use layout::{Geometry, MAX_CONSUMERS, ProducerKind};
pub use registry::{Consumer, Start, Terms};
pub use segment::{Blocker, Memory, Pages, Segment};
pub use sequencer::{MultiProducerSequencer, Sequencer, SingleProducerSequencer};
pub use topology::Topology;
pub use wait::{Alert, Outcome, WaitStrategy};
