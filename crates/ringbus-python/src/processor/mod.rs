//! The loop that hands events to a Python handler, native on a Python thread: no object is made that the
//! handler does not ask for.
//!
//! Source: LMAX Disruptor 4.0, `BatchEventProcessor` and `WorkProcessor`.

mod base;
mod copies;
mod events;
pub mod hooks;
mod run;
mod runs;
mod serial;
mod share;

pub use base::ProcessorBase;
pub use serial::run_serial;
pub use share::Work;

use crate::cell::GilCell;
use crate::errors;
use crate::reader::{Reader, ReaderFacts};
use crate::ring::{Ring, RingHandle};
use crate::view::Lease;
use hooks::Hooks;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use run::Run;
use share::Share;
use std::ptr;
use std::sync::Arc;

/// What Python says of a handler, beside what [`Hooks`] want to know.
#[derive(FromPyObject)]
struct HandlerFacts<'py> {
    callable: Bound<'py, PyAny>,
    /// Whether it takes arrays.
    batch: bool,
    /// Arguments it takes: 1 to 3, of a batch handler 1 or 2.
    arity: usize,
    /// The value that counts as a failure when it is returned.
    decline: Py<PyAny>,
    /// (number, workers, key): the key is a field's name, a callable, or None.
    worker: Option<(usize, usize, Option<Bound<'py, PyAny>>)>,
    /// What the workers without a key share.
    work: Option<Py<Work>>,
}

/// Whether a processor goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Stop,
}

/// Events handled and the last sequence done; as an error, to stop.
type Handled = Result<(u64, i64), (u64, i64)>;

/// One handler on one ring.
#[pyclass(frozen, extends = ProcessorBase, module = "ringbus._core")]
pub struct Processor {
    reader: Arc<Reader>,
    hooks: Arc<Hooks>,
    callable: Py<PyAny>,
    batch: bool,
    arity: usize,
    decline: Py<PyAny>,
    share: Share,
    /// A view for each event type, moved from slot to slot; null where there is none yet.
    views: GilCell<Vec<*mut ffi::PyObject>>,
    lease: GilCell<Option<Py<Lease>>>,
    /// The sequence that the handler is at.
    in_hand: GilCell<i64>,
}

const NONE_IN_HAND: i64 = i64::MIN;

impl Processor {
    fn ring(&self) -> &Ring {
        &self.reader.ring
    }
}

impl Run for Processor {
    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    fn wanted(&self) -> i64 {
        self.share.in_hand().unwrap_or_else(|| self.reader.sequence() + 1)
    }

    fn hand_out(&self, py: Python<'_>, first: i64, last: i64) -> Handled {
        let handled = if self.reader.copies() {
            self.handle_copies(py, first, last)
        } else if self.batch {
            self.handle_runs(py, first, last)
        } else {
            self.handle_events(py, first, last)
        };
        self.in_hand.set(NONE_IN_HAND);
        handled
    }

    fn handle_readable(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        match &self.share {
            Share::Free { work, mine } => self.work(py, work.get(), mine),
            _ => self.hand_out_readable(py),
        }
    }
}

#[pymethods]
impl Processor {
    #[new]
    fn new(
        py: Python<'_>,
        ring: Py<RingHandle>,
        reader: ReaderFacts<'_>,
        handler: &Bound<'_, PyAny>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let hooks = Arc::new(Hooks::of(handler)?);
        let handler: HandlerFacts<'_> = handler.extract()?;
        let share = share::parse(py, &ring.get().ring, &handler)?;
        if handler.batch && ring.get().ring.objects.is_some() {
            let fact = format!(
                "{:?} is a batch handler, and {} holds objects",
                reader.name,
                ring.get().ring.label
            );
            return Err(errors::error(
                py,
                "ConfigurationError",
                (fact, "take the objects one by one"),
            ));
        }
        let reader = Arc::new(Reader::join(py, ring, &reader)?);
        let views = vec![ptr::null_mut(); reader.ring.kinds.len()];
        let base = ProcessorBase::of(&reader, &hooks, None);
        let own = Self {
            callable: handler.callable.unbind(),
            batch: handler.batch,
            arity: handler.arity,
            decline: handler.decline,
            share,
            views: GilCell::new(views),
            lease: GilCell::new(None),
            in_hand: GilCell::new(NONE_IN_HAND),
            hooks,
            reader,
        };
        Ok(base.add_subclass(own))
    }

    /// Is done with everything up to `sequence`, at most the one before that in hand.
    fn release(&self, py: Python<'_>, sequence: i64) -> PyResult<()> {
        self.ring().check_fork(py)?;
        let (at, most) = (self.reader.sequence(), self.in_hand.get() - 1);
        if self.in_hand.get() == NONE_IN_HAND || sequence > most || matches!(self.share, Share::Free { .. }) {
            let fact = format!("consumer {:?} cannot release sequence {sequence} now", self.reader.name);
            let remedy = "inside a handler, release up to the sequence before the one in hand";
            return Err(errors::error(py, "ClaimError", (fact, remedy)));
        }
        if sequence > at {
            self.reader.commit_quietly(sequence);
        }
        Ok(())
    }

    /// Calls `on_start`, hands out events until it is halted or fails, and calls `on_shutdown`.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        Run::run(self, py)
    }

    /// Hands out what is there now. The sequences done; None when its policy said stop.
    fn step(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.ring().check_fork(py)?;
        self.batch(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callable)?;
        if let Share::Key { key, .. } = &self.share {
            visit.call(key)?;
        }
        Ok(())
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        for view in self.views.get_mut().drain(..) {
            // SAFETY: attached, since objects are only freed so; the reference is ours, or null.
            unsafe { ffi::Py_XDECREF(view) };
        }
    }
}
