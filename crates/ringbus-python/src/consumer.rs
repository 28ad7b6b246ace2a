//! What every kind of consumer tells Python.

use crate::reader::{LatencyFacts, Reader};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;

/// The base of processors and pollers.
#[pyclass(frozen, subclass, weakref, module = "ringbus._core", name = "Consumer")]
pub struct ConsumerBase(Arc<Reader>);

impl ConsumerBase {
    /// The base of an object that has `reader` too: `add_subclass` makes it whole.
    pub fn of(reader: &Arc<Reader>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Self(Arc::clone(reader)))
    }
}

#[pymethods]
impl ConsumerBase {
    /// Its entry in the registry.
    #[getter]
    fn index(&self) -> usize {
        self.0.index()
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The last sequence it is done with.
    #[getter]
    fn sequence(&self) -> i64 {
        self.0.sequence()
    }

    /// Events it was lapped by, or missed while it was away.
    #[getter]
    fn missed(&self) -> u64 {
        self.0.missed()
    }

    /// Events handed out.
    #[getter]
    fn events(&self) -> u64 {
        self.0.events()
    }

    /// (count, min, mean, (p50, p90, p99, p99.9), max) of the latency in ns; None where nothing is stamped.
    fn latency(&self) -> Option<LatencyFacts> {
        self.0.latency()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.handle)
    }
}
