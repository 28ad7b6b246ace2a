//! What every processor tells and is told, whatever kind of handler it runs.

use super::hooks::Hooks;
use super::{Flow, Work};
use crate::consumer::ConsumerBase;
use crate::reader::Reader;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;

/// The base of processors.
#[pyclass(frozen, subclass, extends = ConsumerBase, module = "ringbus._core", name = "EventProcessor")]
pub struct ProcessorBase {
    reader: Arc<Reader>,
    hooks: Arc<Hooks>,
    /// What it shares with other workers, some of which may rest.
    work: Option<Py<Work>>,
}

impl ProcessorBase {
    /// The base of an object that has `reader` and `hooks` too: `add_subclass` makes it whole.
    pub fn of(reader: &Arc<Reader>, hooks: &Arc<Hooks>, work: Option<Py<Work>>) -> PyClassInitializer<Self> {
        ConsumerBase::of(reader).add_subclass(Self {
            reader: Arc::clone(reader),
            hooks: Arc::clone(hooks),
            work,
        })
    }
}

#[pymethods]
impl ProcessorBase {
    /// Whether it has left the ring.
    #[getter]
    fn left(&self) -> bool {
        self.reader.has_left()
    }

    /// Follows the consumers in `entries`, a bit each; 0 is the cursor.
    fn depend_on(&self, py: Python<'_>, entries: u64) -> PyResult<()> {
        self.reader.depend_on(py, entries)
    }

    /// Ends `run`, as soon as the event in hand is done.
    fn halt(&self) {
        self.reader.alert.raise(&self.reader.ring.segment);
        if let Some(work) = &self.work {
            work.get().pool().wake_all();
        }
    }

    /// Calls `on_start` the first time.
    fn begin(&self, py: Python<'_>) -> bool {
        self.hooks.start(py, self.reader.sequence()) == Flow::Continue
    }

    /// Calls `on_shutdown`, once, if `on_start` was called.
    fn end(&self, py: Python<'_>) {
        self.hooks.shutdown(py, self.reader.sequence());
    }

    /// Leaves the ring: producers do not wait for it any more.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.leave(py)
    }

    /// Leaves the ring though others depend on it: they are told once they have handled what it was done with.
    fn part(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.part(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.hooks.traverse(&visit)
    }
}
