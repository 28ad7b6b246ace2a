//! The binding: one file a class, and no algorithm.

mod call;
mod cell;
mod claim;
mod consumer;
mod enter;
mod errors;
mod event;
mod field;
mod fork;
mod machine;
mod poller;
mod processor;
mod publisher;
mod reader;
mod ring;
mod schema;
mod topology;
mod view;
mod waits;

use pyo3::prelude::*;
use ringbus_core::segment::locks::{LockTable, own_table};

#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    schema::register(module)?;
    event::register(module)?;
    module.add_class::<ring::RingHandle>()?;
    module.add_class::<ring::SegmentHandle>()?;
    module.add_class::<publisher::Publisher>()?;
    module.add_class::<claim::Claim>()?;
    module.add_class::<view::Lease>()?;
    module.add_class::<consumer::ConsumerBase>()?;
    module.add_class::<processor::ProcessorBase>()?;
    module.add_class::<processor::Processor>()?;
    module.add_class::<processor::Work>()?;
    module.add_class::<machine::CompiledProcessor>()?;
    module.add_class::<machine::Source>()?;
    module.add_class::<poller::Poller>()?;
    module.add_function(wrap_pyfunction!(publisher::install_verbs, module)?)?;
    module.add_function(wrap_pyfunction!(processor::run_serial, module)?)?;
    module.add_function(wrap_pyfunction!(topology::topological_order, module)?)?;
    module.add_function(wrap_pyfunction!(ring::shared_rings, module)?)?;
    module.add_function(wrap_pyfunction!(ring::shared_folder, module)?)?;
    module.add_function(wrap_pyfunction!(ring::sweep, module)?)?;
    module.add_function(wrap_pyfunction!(ring::is_ring_alive, module)?)?;
    module.add_function(wrap_pyfunction!(ring::remove_ring, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

/// The table of locks of this module, for other copies of ringbus in the process, such as libringbus.so.
#[unsafe(no_mangle)]
pub extern "C" fn ringbus_lock_table_v1() -> *const LockTable {
    own_table()
}
