//! Several processors in turn on one thread.

use super::run::Run;
use super::{Flow, Processor};
use pyo3::prelude::*;
use ringbus_core::Outcome;
use std::time::Duration;

/// Runs several processors in order on this thread until one is halted or fails: a whole graph without a
/// change of threads.
#[pyfunction]
pub fn run_serial(py: Python<'_>, processors: Vec<Py<Processor>>) -> PyResult<()> {
    let processors: Vec<&dyn Run> = processors.iter().map(|processor| processor.get() as &dyn Run).collect();
    let Some(first) = processors.first() else { return Ok(()) };
    first.reader().ring.check_fork(py)?;
    let mut result = Ok(());
    if processors.iter().all(|processor| processor.start(py) == Flow::Continue) {
        result = run_in_turn(py, &processors);
    }
    for processor in processors {
        processor.shutdown(py);
    }
    result
}

fn run_in_turn(py: Python<'_>, processors: &[&dyn Run]) -> PyResult<()> {
    let own: u64 = processors
        .iter()
        .fold(0, |set, processor| set | processor.reader().entry_bit());
    let upstream = |processor: &dyn Run| processor.reader().barrier.get_mut().depends_on() & !own;
    let alike = processors
        .iter()
        .all(|processor| upstream(*processor) == upstream(processors[0]));
    while !processors.iter().any(|processor| processor.reader().alert.is_raised()) {
        let mut moved = 0;
        for processor in processors {
            match processor.batch(py)? {
                None => return Ok(()),
                Some(done) => moved += done,
            }
        }
        if moved == 0 {
            wait_for_more(py, processors, first_wanted(processors, own), alike)?;
        }
    }
    Ok(())
}

/// Of those that depend on nothing of the group, the one that wants the lowest sequence: workers that share theirs hold
/// different ones.
fn first_wanted<'a>(processors: &[&'a dyn Run], own: u64) -> &'a dyn Run {
    let is_root = |processor: &&&dyn Run| processor.reader().barrier.get_mut().depends_on() & own == 0;
    processors
        .iter()
        .filter(is_root)
        .min_by_key(|processor| processor.wanted())
        .copied()
        .unwrap_or(processors[0])
}

/// `first` depends on nothing of the group. Where others wait for something else than it, a look each millisecond stands in
/// for a wait on several words at once. When nothing came for the shortest time-out, all are told.
fn wait_for_more(py: Python<'_>, processors: &[&dyn Run], first: &dyn Run, alike: bool) -> PyResult<()> {
    let pause = Duration::from_millis(1);
    let shortest = processors
        .iter()
        .filter_map(|processor| processor.hooks().timeout)
        .min();
    let timeout = if alike {
        shortest
    } else {
        Some(shortest.map_or(pause, |timeout| timeout.min(pause)))
    };
    let outcome = first.reader().wait(py, first.wanted(), timeout)?;
    first.check_outcome(py, outcome)?;
    if outcome == Outcome::TimedOut && (alike || shortest.is_some_and(|shortest| shortest <= pause)) {
        for processor in processors
            .iter()
            .filter(|processor| processor.hooks().timeout.is_some())
        {
            processor.timed_out(py);
        }
    }
    Ok(())
}
