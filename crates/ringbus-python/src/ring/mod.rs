//! The ring behind every handle: memory, sequencer, schemas, and what state it is in.

mod claims;
mod handle;
mod objects;
mod residents;
mod shared;
mod slots;

pub use claims::{Producers, monotonic_ns};
pub use handle::RingHandle;
pub use objects::{CLEAR_NAME, Objects};
pub use shared::{SegmentHandle, is_ring_alive, remove_ring, shared_folder, shared_rings, sweep};
pub use slots::{EventKind, SlotShape};

use crate::cell::GilCell;
use crate::{errors, fork};
use pyo3::exceptions::{PyBaseException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyTraceback;
use ringbus_core::sync::{AtomicU32, Ordering};
use ringbus_core::{Alert, Segment, WaitStrategy};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLOSED: u32 = 1;
const FAILED: u32 = 2;

/// What every handle of a ring shares.
pub struct Ring {
    pub segment: Arc<Segment>,
    pub producers: GilCell<Producers>,
    pub slot: SlotShape,
    pub kinds: Vec<EventKind>,
    pub objects: Option<Objects>,
    /// Structured slots whose events fit the stack.
    pub fits_stack: bool,
    /// One event type that fits the stack, no slot headers, no end of sequences in sight.
    pub plain: bool,
    pub wait: WaitStrategy,
    pub label: String,
    /// A claim of a single producer that is not published yet.
    pub open_claim: GilCell<bool>,
    /// Ends the waits of producers, for a close or a failure.
    pub alert: Alert,
    /// Consumers that were dropped while others depend on them: they leave after those.
    pub orphans: GilCell<Vec<ringbus_core::Consumer>>,
    /// Whether other processes may take part.
    pub shared: bool,
    /// When a claim that was refused looked for the dead last.
    looked: GilCell<Option<Instant>>,
    /// The threads that are inside a handler of this ring.
    handling: GilCell<Vec<libc::pthread_t>>,
    /// What ends the waits of pollers when the ring closes.
    closing: GilCell<Vec<Alert>>,
    /// What ends the sources that run, when the ring closes or fails.
    sources: GilCell<Vec<Alert>>,
    state: AtomicU32,
    generation: u32,
    /// The process that made it.
    pid: u32,
    failure: GilCell<Option<Failure>>,
}

/// What producers are told, the first of what failed.
struct Failure {
    error: Py<PyBaseException>,
    /// As it was then: each producer's raise begins from here, so that none piles up on another's.
    traceback: Option<Py<PyTraceback>>,
}

/// What is in the slots.
type Contents = (SlotShape, Vec<EventKind>, Option<Objects>);

impl Ring {
    /// An open ring on `segment`.
    fn over(segment: Arc<Segment>, label: String, wait: WaitStrategy, contents: Contents) -> Self {
        let (slot, kinds, objects) = contents;
        let fits_stack = objects.is_none() && slot.event_bytes <= crate::publisher::STACK_BYTES;
        Self {
            fits_stack,
            plain: kinds.len() == 1 && slot.headers() == 0 && fits_stack && segment.geometry().start <= 1 << 61,
            shared: segment.is_shared(),
            segment,
            producers: GilCell::new(Producers::None),
            slot,
            kinds,
            objects,
            wait,
            label,
            open_claim: GilCell::new(false),
            alert: Alert::default(),
            orphans: GilCell::new(Vec::new()),
            looked: GilCell::new(None),
            handling: GilCell::new(Vec::new()),
            closing: GilCell::new(Vec::new()),
            sources: GilCell::new(Vec::new()),
            state: AtomicU32::new(0),
            generation: fork::generation(),
            pid: std::process::id(),
            failure: GilCell::new(None),
        }
    }

    /// Whether a verb may go on: the ring is open, nobody failed, and this is the process that made it.
    #[inline(always)]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        let usable = self.state.load(Ordering::Relaxed) == 0 && self.generation == fork::generation();
        if usable && !(self.shared && self.segment.is_retired()) {
            return Ok(());
        }
        Err(self.refusal(py))
    }

    /// Whether this is a child that has the ring from before a fork.
    pub fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Whether this is the process that made the ring.
    pub fn check_fork(&self, py: Python<'_>) -> PyResult<()> {
        if self.generation == fork::generation() {
            Ok(())
        } else {
            Err(fork::error(py, &self.label, self.pid))
        }
    }

    #[cold]
    fn refusal(&self, py: Python<'_>) -> PyErr {
        if self.generation != fork::generation() {
            return fork::error(py, &self.label, self.pid);
        }
        if self.state.load(Ordering::Relaxed) & CLOSED != 0 {
            return errors::error(py, "ClosedError", (self.label.as_str(),));
        }
        if self.shared && self.segment.is_retired() {
            return errors::error(py, "RingReplacedError", (self.label.as_str(),));
        }
        match self.failure.get_mut() {
            Some(Failure { error, traceback }) => {
                let error = PyErr::from_value(error.bind(py).clone().into_any());
                error.set_traceback(py, traceback.as_ref().map(|traceback| traceback.bind(py).clone()));
                error
            }
            // A broken peer may have written that the ring is gone, and taken it back since.
            None if self.shared => errors::error(py, "RingReplacedError", (self.label.as_str(),)),
            None => PyRuntimeError::new_err("the ring failed"),
        }
    }

    /// Refuses what would write to a ring that is attached read-only.
    fn check_writable(&self, py: Python<'_>, what: &str) -> PyResult<()> {
        if !self.segment.is_read_only() {
            return Ok(());
        }
        let fact = format!("{} is attached read-only and cannot {what}", self.label);
        Err(errors::error(
            py,
            "ConfigurationError",
            (fact, "attach without read_only=True"),
        ))
    }

    /// Has `alert` raised when the ring closes.
    pub fn add_closing(&self, alert: &Alert) {
        self.closing.get_mut().push(alert.clone());
    }

    /// After a consumer left: so do those that were dropped and on which nobody depends any more. Where a peer that
    /// was stopped while it joined or left keeps them from it for longer than `patience`, they wait for a later call.
    pub fn let_orphans_leave(&self, patience: Duration) {
        let orphans = self.orphans.get_mut();
        if orphans.is_empty() {
            return;
        }
        let Some(held) = self.segment.registering_until(Instant::now() + patience) else {
            return;
        };
        let mut before = usize::MAX;
        while orphans.len() < before {
            before = orphans.len();
            orphans.retain(|orphan| orphan.leave_with(&held).is_err());
        }
    }

    /// Undoes [`Ring::add_closing`].
    pub fn remove_closing(&self, alert: &Alert) {
        self.closing.get_mut().retain(|known| known != alert);
    }

    /// Has `alert` raised when the ring closes or fails.
    pub fn add_source(&self, alert: &Alert) {
        self.sources.get_mut().push(alert.clone());
    }

    /// Undoes [`Ring::add_source`].
    pub fn remove_source(&self, alert: &Alert) {
        self.sources.get_mut().retain(|known| known != alert);
    }

    fn set_state(&self, bit: u32) {
        self.state.fetch_or(bit, Ordering::AcqRel);
        self.alert.raise(&self.segment);
        self.sources
            .get_mut()
            .iter()
            .for_each(|alert| alert.raise(&self.segment));
    }

    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & CLOSED != 0
    }
}
