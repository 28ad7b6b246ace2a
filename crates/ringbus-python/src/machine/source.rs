//! A compiled producer on one ring: a thread of Python that runs machine code.

use super::code::{Machine, MachineFacts};
use super::produce::{Ended, Production};
use crate::ring::{Producers, RingHandle};
use crate::waits::{self, WaitFacts};
use crate::{enter, errors};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use ringbus_core::sync::{AtomicI64, Ordering};
use ringbus_core::{Alert, ClaimError, MultiProducerSequencer, WaitStrategy};
use std::sync::Arc;
use std::time::Duration;

/// What Python says of a source.
#[derive(FromPyObject)]
struct SourceFacts<'py> {
    name: String,
    machine: MachineFacts<'py>,
    /// The index of its event type.
    kind: usize,
    /// Events a claim.
    batch: i64,
    /// Events in all; None has no end.
    limit: Option<i64>,
    reset: bool,
    wait: WaitFacts,
    /// The longest wait for free slots, in seconds.
    timeout: Option<f64>,
    /// `failed(error, sequence)`: makes the error of the source of that of its code.
    failed: Py<PyAny>,
}

/// Publishes what machine code fills in.
#[pyclass(frozen, weakref, module = "ringbus._core")]
pub struct Source {
    handle: Py<RingHandle>,
    name: String,
    machine: Machine,
    kind: usize,
    batch: i64,
    limit: i64,
    reset: bool,
    strategy: WaitStrategy,
    timeout: Option<f64>,
    failed: Py<PyAny>,
    alert: Alert,
    published: AtomicI64,
}

impl Source {
    fn produce(&self, py: Python<'_>, producers: &mut Producers) -> Ended {
        let work = Production {
            ring: &self.handle.get().ring,
            machine: &self.machine,
            kind: self.kind,
            batch: self.batch,
            limit: self.limit,
            reset: self.reset,
            alert: &self.alert,
            strategy: self.strategy,
            timeout: self
                .timeout
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            published: &self.published,
        };
        py.detach(|| match producers {
            Producers::Single(sequencer) if self.machine.publishes(self.kind) => work.run_each(sequencer),
            Producers::Single(sequencer) => work.run(sequencer),
            Producers::Multi(sequencer) => work.run(sequencer),
            Producers::None => Ended::Halted,
        })
    }

    /// A place to claim from without the GIL: the one producer's own, taken away meanwhile, or another producer's.
    fn take_producers(&self, py: Python<'_>) -> PyResult<Producers> {
        let ring = &self.handle.get().ring;
        ring.check(py)?;
        ring.check_open_claim(py)?;
        if matches!(ring.producers.get_mut(), Producers::None) {
            ring.open_producer(py)?;
        }
        match ring.producers.get_mut() {
            Producers::Multi(sequencer) => {
                let another = MultiProducerSequencer::another(sequencer);
                Ok(Producers::Multi(another.map_err(|why| errors::share(py, &why))?))
            }
            own => {
                ring.open_claim.set(true);
                Ok(std::mem::replace(own, Producers::None))
            }
        }
    }

    fn give_back(&self, producers: Producers) {
        if let Producers::Single(_) = producers {
            let ring = &self.handle.get().ring;
            *ring.producers.get_mut() = producers;
            ring.open_claim.set(false);
        }
    }

    /// What its end means. True: it came to its end by itself.
    fn outcome(&self, py: Python<'_>, ended: Ended) -> PyResult<bool> {
        let ring = &self.handle.get().ring;
        match ended {
            Ended::Limit | Ended::Done => Ok(true),
            Ended::Halted => ring.check(py).map(|()| false),
            Ended::TimedOut => Err(ring.claim_timeout(py, self.batch, self.timeout)),
            Ended::Refused(reason) => Err(errors::claim(py, reason, &ring.label)),
            Ended::Failed(sequence, failure) => {
                let error = self.machine.error(py, failure).into_value(py);
                let error = self.failed.bind(py).call1((error, sequence))?;
                Err(PyErr::from_value(error))
            }
        }
    }
}

#[pymethods]
impl Source {
    #[new]
    fn new(py: Python<'_>, ring: Py<RingHandle>, facts: SourceFacts<'_>) -> PyResult<Self> {
        let core = &ring.get().ring;
        core.check(py)?;
        enter::deadline(py, facts.timeout)?;
        let capacity = core.segment.capacity();
        if facts.batch < 1 || facts.batch > capacity {
            let reason = ClaimError::CountOutOfRange {
                count: facts.batch,
                capacity,
            };
            return Err(errors::claim(py, reason, &core.label));
        }
        Ok(Self {
            machine: Machine::new(facts.machine, core.kinds.len())?,
            name: facts.name,
            kind: facts.kind,
            batch: facts.batch,
            limit: facts.limit.unwrap_or(i64::MAX),
            reset: facts.reset,
            strategy: waits::parse(py, &facts.wait)?,
            timeout: facts.timeout,
            failed: facts.failed,
            alert: Alert::default(),
            published: AtomicI64::new(0),
            handle: ring,
        })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Events it has published.
    #[getter]
    fn published(&self) -> i64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Ends `run`, as soon as the event in hand is done.
    fn halt(&self) {
        self.alert.raise(&self.handle.get().ring.segment);
    }

    /// Publishes until its code ends it, it has published its limit, or it is halted. True unless it was halted.
    fn run(&self, py: Python<'_>) -> PyResult<bool> {
        let ring = Arc::clone(&self.handle.get().ring);
        let mut producers = self.take_producers(py)?;
        ring.add_source(&self.alert);
        let ended = self.produce(py, &mut producers);
        ring.remove_source(&self.alert);
        self.give_back(producers);
        self.outcome(py, ended)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.handle)?;
        visit.call(&self.failed)?;
        self.machine.traverse(&visit)
    }
}
