//! A compiled handler on one ring: a thread of Python that runs machine code.

use super::code::{Machine, MachineFacts};
use super::consume::{Consumption, Ended, Part};
use crate::errors;
use crate::processor::hooks::Hooks;
use crate::processor::{Flow, ProcessorBase, Work};
use crate::reader::{Reader, ReaderFacts};
use crate::ring::{Ring, RingHandle};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;

/// What Python says of the handler, beside what [`Hooks`] want to know.
#[derive(FromPyObject)]
struct HandlerFacts<'py> {
    machine: MachineFacts<'py>,
    /// What Python sees of its state.
    state: Py<PyAny>,
    /// (number, workers, key): the key is a field's name, or None.
    worker: Option<(usize, usize, Option<String>)>,
    /// What the workers without a key share.
    work: Option<Py<Work>>,
}

/// One compiled handler on one ring.
#[pyclass(frozen, extends = ProcessorBase, module = "ringbus._core")]
pub struct CompiledProcessor {
    reader: Arc<Reader>,
    hooks: Arc<Hooks>,
    machine: Machine,
    part: Part,
    work: Option<Py<Work>>,
    state: Py<PyAny>,
}

impl CompiledProcessor {
    fn consumption(&self) -> Consumption<'_> {
        Consumption {
            reader: &self.reader,
            machine: &self.machine,
            part: &self.part,
            pool: self.work.as_ref().map(|work| work.get().pool()),
            barrier: self.reader.barrier.get_mut().clone(),
            timeout: self.hooks.timeout,
        }
    }

    /// What has to be done when machine code returned. False: the run is over.
    fn attend(&self, py: Python<'_>, work: &Consumption<'_>, ended: Ended) -> PyResult<bool> {
        let flow = match ended {
            Ended::Halted | Ended::Evicted => Flow::Stop,
            Ended::TimedOut => self.hooks.timed_out(py, work.wanted() - 1),
            Ended::Died(index) => return Err(self.reader.died(py, index)),
            Ended::Retired => {
                self.reader.ring.check(py)?;
                Flow::Continue
            }
            Ended::Failed(sequence, failure) => {
                let error = self.machine.error(py, failure);
                let flow = self.hooks.failed(py, error, sequence, self.event(py, sequence));
                if flow == Flow::Continue {
                    work.skip(sequence);
                }
                flow
            }
        };
        self.reader.check_evicted(py)?;
        Ok(flow == Flow::Continue)
    }

    /// A copy of the event that failed, for the policy.
    fn event(&self, py: Python<'_>, sequence: i64) -> Option<Py<PyAny>> {
        let slot = if self.reader.copies() {
            self.reader.copied()
        } else {
            self.reader.ring.segment.slot(sequence)
        };
        self.reader.own_event(py, slot).ok()
    }

    fn run_until_halted(&self, py: Python<'_>) -> PyResult<()> {
        let work = self.consumption();
        while self.attend(py, &work, py.detach(|| work.run()))? {}
        Ok(())
    }
}

/// The part that a worker has, by its key.
fn part(py: Python<'_>, ring: &Ring, worker: Option<&(usize, usize, Option<String>)>) -> PyResult<Part> {
    match worker {
        None => Ok(Part::All),
        Some((_, _, None)) => Ok(Part::Free),
        Some((number, workers, Some(key))) => {
            let place = |schema: &crate::schema::SchemaInner| {
                let field = schema
                    .fields
                    .iter()
                    .find(|field| field.c_name.as_bytes() == key.as_bytes());
                field.map_or((0, 0), |field| (field.offset, field.size))
            };
            let places: Vec<_> = ring.kinds.iter().map(|kind| place(&kind.schema)).collect();
            if places.iter().all(|&(_, size)| size == 0) {
                let fact = format!("key={key:?} is no field of {}", ring.label);
                return Err(errors::error(py, "ConfigurationError", (fact, "name a field")));
            }
            Ok(Part::Key {
                number: *number as u64,
                workers: *workers as u64,
                places,
            })
        }
    }
}

#[pymethods]
impl CompiledProcessor {
    #[new]
    fn new(
        py: Python<'_>,
        ring: Py<RingHandle>,
        reader: ReaderFacts<'_>,
        handler: &Bound<'_, PyAny>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let hooks = Arc::new(Hooks::of(handler)?);
        let facts: HandlerFacts<'_> = handler.extract()?;
        let part = part(py, &ring.get().ring, facts.worker.as_ref())?;
        let machine = Machine::new(facts.machine, ring.get().ring.kinds.len())?;
        let reader = Arc::new(Reader::join(py, ring, &reader)?);
        let base = ProcessorBase::of(&reader, &hooks, facts.work.as_ref().map(|work| work.clone_ref(py)));
        Ok(base.add_subclass(Self {
            reader,
            hooks,
            machine,
            part,
            work: facts.work,
            state: facts.state,
        }))
    }

    /// What its code works on; may be read while it runs.
    #[getter]
    fn state(&self, py: Python<'_>) -> Py<PyAny> {
        self.state.clone_ref(py)
    }

    /// Refuses: machine code has no hand free for this.
    fn release(&self, py: Python<'_>, sequence: i64) -> PyResult<()> {
        let fact = format!(
            "consumer {:?} is compiled and cannot release sequence {sequence}",
            self.reader.name
        );
        Err(errors::error(
            py,
            "ClaimError",
            (fact, "give it max_batch= to be done sooner"),
        ))
    }

    /// Calls `on_start`, runs the machine code until it is halted or fails, and calls `on_shutdown`.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.reader.ring.check_fork(py)?;
        let result = match self.hooks.start(py, self.reader.sequence()) {
            Flow::Continue => self.run_until_halted(py),
            Flow::Stop => Ok(()),
        };
        self.hooks.shutdown(py, self.reader.sequence());
        result
    }

    /// Handles what is there now. The sequences done; None when its policy said stop.
    fn step(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.reader.ring.check_fork(py)?;
        let work = self.consumption();
        match py.detach(|| work.step()) {
            Ok(done) => Ok(Some(done)),
            Err(ended) => Ok(self.attend(py, &work, ended)?.then_some(1)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.state)?;
        self.machine.traverse(&visit)
    }
}
