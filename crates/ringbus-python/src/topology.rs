//! The order in which the consumers of a group run.

use crate::errors;
use pyo3::prelude::*;

/// The order in which consumers of a group run: each after all it depends on.
#[pyfunction]
pub fn topological_order(
    py: Python<'_>,
    nodes: Vec<(String, Vec<String>)>,
    outside: Vec<String>,
) -> PyResult<Vec<usize>> {
    let mut topology = ringbus_core::Topology::new();
    for name in &outside {
        topology.outside(name);
    }
    for (name, depends_on) in &nodes {
        topology
            .add(name, depends_on)
            .map_err(|why| errors::topology(py, &why))?;
    }
    topology.order().map_err(|why| errors::topology(py, &why))
}
