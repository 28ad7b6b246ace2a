//! Shared rings before their schema is known, and the folder they are in.

use super::slots::{STAMP, TAG};
use crate::{errors, fork};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use ringbus_core::layout::LAYOUT_VERSION;
use ringbus_core::segment::{Access, SINGLE_PRODUCER_BYTE, folder, shared};
use ringbus_core::{ProducerKind, Segment, inspect, residents};
use std::sync::Arc;

/// A shared segment that this process is attached to, before its schema is known.
#[pyclass(frozen, module = "ringbus._core", name = "Segment")]
pub struct SegmentHandle {
    pub segment: Arc<Segment>,
}

#[pymethods]
impl SegmentHandle {
    /// Attaches to the shared ring `name`, as one that may "write", only not write "slots", or only "read".
    #[new]
    fn new(py: Python<'_>, name: &str, access: &str) -> PyResult<Self> {
        fork::register();
        let access = match access {
            "write" => Access::Write,
            "slots" => Access::Consume,
            "read" => Access::Read,
            other => return Err(PyValueError::new_err(format!("access is {other:?}"))),
        };
        let segment = Segment::attach(name, access, None).map_err(|why| errors::share(py, &why))?;
        Ok(Self {
            segment: Arc::new(segment),
        })
    }

    /// The schemas of its event types, a JSON array.
    #[getter]
    fn schema(&self) -> String {
        String::from_utf8_lossy(&self.segment.schema()).into_owned()
    }

    #[getter]
    fn capacity(&self) -> u64 {
        self.segment.geometry().capacity
    }

    #[getter]
    fn multi(&self) -> bool {
        self.segment.geometry().kind == ProducerKind::Multi
    }

    #[getter]
    fn stamp(&self) -> bool {
        self.segment.geometry().slot_headers & STAMP != 0
    }

    #[getter]
    fn start(&self) -> i64 {
        self.segment.geometry().start
    }

    /// Who takes part in it.
    fn residents(&self) -> Vec<String> {
        residents::residents(&self.segment)
    }

    /// What its header says, by name.
    fn header<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let geometry = self.segment.geometry();
        let facts = PyDict::new(py);
        facts.set_item("layout_version", LAYOUT_VERSION)?;
        facts.set_item("capacity", geometry.capacity)?;
        facts.set_item("slot_bytes", geometry.slot_bytes)?;
        facts.set_item("slot_header_bytes", geometry.slot_header_bytes)?;
        facts.set_item("stamped", geometry.slot_headers & STAMP != 0)?;
        facts.set_item("tagged", geometry.slot_headers & TAG != 0)?;
        facts.set_item(
            "producers",
            if geometry.kind == ProducerKind::Multi {
                "multi"
            } else {
                "single"
            },
        )?;
        facts.set_item("producer_lines", geometry.producers)?;
        facts.set_item("start", geometry.start)?;
        facts.set_item("schema_bytes", geometry.schema_bytes)?;
        facts.set_item("schema_hash", format!("{:016x}", geometry.schema_hash))?;
        facts.set_item("total_bytes", geometry.offsets().map_or(0, |offsets| offsets.total))?;
        facts.set_item("instance", format!("{:016x}", self.segment.instance()))?;
        Ok(facts)
    }

    /// (line, pid, whether that process is alive, open claims) of each producer that has a line. The one producer of a
    /// single-producer ring has none.
    fn producers(&self) -> Vec<(usize, u64, bool, usize)> {
        inspect::producers(&self.segment)
            .into_iter()
            .map(|facts| (facts.line, facts.pid, facts.is_alive, facts.open_claims))
            .collect()
    }

    /// Whether some process is its one producer now.
    fn has_single_producer(&self) -> bool {
        self.segment.is_byte_held(SINGLE_PRODUCER_BYTE)
    }
}

/// The names of the shared rings of this user.
#[pyfunction]
pub fn shared_rings(py: Python<'_>) -> PyResult<Vec<String>> {
    folder::list().map_err(|why| errors::share(py, &why))
}

/// The folder of the shared rings of this user.
#[pyfunction]
pub fn shared_folder(py: Python<'_>) -> PyResult<std::path::PathBuf> {
    folder::folder().map_err(|why| errors::share(py, &why))
}

/// Removes what processes that died while they made a ring left behind; how many files.
#[pyfunction]
pub fn sweep(py: Python<'_>) -> PyResult<usize> {
    shared::sweep().map_err(|why| errors::share(py, &why))
}

/// Whether anybody is attached to the shared ring `name`.
#[pyfunction]
pub fn is_ring_alive(py: Python<'_>, name: &str) -> PyResult<bool> {
    Ok(shared::Found::open(name, true)
        .map_err(|why| errors::share(py, &why))?
        .is_alive())
}

/// Removes the shared ring `name`; who is attached is told.
#[pyfunction]
pub fn remove_ring(py: Python<'_>, name: &str) -> PyResult<()> {
    let segment = Segment::attach(name, Access::Write, None).map_err(|why| errors::share(py, &why))?;
    segment.unlink().map_err(|why| errors::share(py, &why))
}
