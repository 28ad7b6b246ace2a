//! The ring itself as Python has it, without verbs.

use super::objects::make_objects;
use super::{CLOSED, EventKind, FAILED, Failure, Producers, Ring, SegmentHandle, SlotShape};
use crate::schema::Schema;
use crate::waits::{self, WaitFacts};
use crate::{enter, errors, fork};
use pyo3::exceptions::PyBaseException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};
use ringbus_core::barrier::Done;
use ringbus_core::inspect::{self, Condition, ConsumerFacts};
use ringbus_core::segment::{Access, Existing};
use ringbus_core::sync::Ordering;
use ringbus_core::{
    Alert, Geometry, Memory, Outcome, Pages, ProducerKind, Segment, Sequencer, WaitStrategy, recovery, registry, wait,
};
use std::sync::Arc;
use std::time::Instant;

/// The ring itself, without verbs: made once, held by every handle.
#[pyclass(frozen, module = "ringbus._core", name = "Ring")]
pub struct RingHandle {
    pub ring: Arc<Ring>,
}

/// How a ring is made: the facts Python has checked and named.
#[derive(FromPyObject)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option that Python names")]
struct RingFacts<'py> {
    label: String,
    capacity: u64,
    multi: bool,
    wait: WaitFacts,
    stamp: bool,
    start: i64,
    prefault: bool,
    huge_pages: bool,
    schemas: Vec<(Bound<'py, Schema>, Bound<'py, PyType>)>,
    factory: Option<Bound<'py, PyAny>>,
    clear: Option<Bound<'py, PyAny>>,
    /// The name of a shared ring; None is a private one.
    name: Option<String>,
    replace: bool,
    /// A segment that this process has attached to.
    attached: Option<Py<SegmentHandle>>,
}

#[pymethods]
impl RingHandle {
    #[new]
    fn new(py: Python<'_>, facts: RingFacts<'_>) -> PyResult<Self> {
        fork::register();
        let wait = waits::parse(py, &facts.wait)?;
        let kinds = event_kinds(&facts.schemas);
        let slot = SlotShape::new(&kinds, facts.stamp);
        let schema = json(&kinds);
        let geometry = geometry(&facts, &kinds, &slot, schema.len());
        let segment = segment(py, &facts, geometry, schema.as_bytes())?;
        let objects = facts
            .factory
            .as_ref()
            .map(|factory| make_objects(factory, facts.capacity, facts.clear.clone()))
            .transpose()?;
        let ring = Ring::over(segment, facts.label, wait, (slot, kinds, objects));
        Ok(Self { ring: Arc::new(ring) })
    }

    /// Slots.
    #[getter]
    fn capacity(&self) -> i64 {
        self.ring.segment.capacity()
    }

    /// Whether it admits many producers.
    #[getter]
    fn multi(&self) -> bool {
        !self.ring.is_single()
    }

    /// Whether its slots hold objects.
    #[getter]
    fn objects(&self) -> bool {
        self.ring.objects.is_some()
    }

    /// The event types of its slots.
    #[getter]
    fn event_types<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.ring.kinds.iter().map(|kind| kind.class.bind(py)))
    }

    /// The highest sequence published (single) or claimed (multi).
    #[getter]
    fn cursor(&self, py: Python<'_>) -> PyResult<i64> {
        self.ring.check_fork(py)?;
        Ok(registry::cursor(&self.ring.segment))
    }

    /// The highest sequence that is published.
    fn published(&self, py: Python<'_>) -> PyResult<i64> {
        self.ring.check_fork(py)?;
        Ok(inspect::published(&self.ring.segment))
    }

    /// Free slots now; claimed ones count as taken, published or not.
    #[getter]
    fn remaining_capacity(&self, py: Python<'_>) -> PyResult<i64> {
        self.ring.check_fork(py)?;
        Ok(match self.ring.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.remaining_capacity(),
            Producers::Multi(sequencer) => sequencer.remaining_capacity(),
            Producers::None => inspect::remaining_capacity(&self.ring.segment),
        })
    }

    /// The lowest sequence of all consumers that gate; 2**63 - 1 without any.
    #[getter]
    fn minimum_sequence(&self, py: Python<'_>) -> PyResult<i64> {
        self.ring.check_fork(py)?;
        Ok(self.ring.segment.minimum_gate(i64::MAX).0)
    }

    /// Whether `sequence` is published and not overwritten.
    fn is_available(&self, py: Python<'_>, sequence: i64) -> PyResult<bool> {
        self.ring.check_fork(py)?;
        Ok(inspect::is_available(&self.ring.segment, sequence))
    }

    /// Pads ever made.
    #[getter]
    fn pads(&self) -> u64 {
        self.ring.segment.state().pads.load(Ordering::Relaxed)
    }

    /// Bytes of a slot.
    #[getter]
    fn slot_bytes(&self) -> usize {
        self.ring.slot.bytes
    }

    /// Whether a slot has anything before its event.
    #[getter]
    fn slot_headers(&self) -> bool {
        self.ring.segment.geometry().slot_headers != 0
    }

    /// Whether other processes may take part.
    #[getter]
    fn shared(&self) -> bool {
        self.ring.shared
    }

    /// What this process may do: "write" all of it, write no "slots", or only "read".
    #[getter]
    fn access(&self) -> &'static str {
        match self.ring.segment.access() {
            Access::Write => "write",
            Access::Consume => "slots",
            Access::Read => "read",
        }
    }

    /// Takes the shared ring's name away; who is attached is told.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.ring.check_fork(py)?;
        self.ring.check_writable(py, "be unlinked")?;
        self.ring.segment.unlink().map_err(|why| errors::share(py, &why))
    }

    /// Does what dead participants cannot do any more; whether there was anything.
    fn recover(&self) -> bool {
        recovery::recover(&self.ring.segment)
    }

    /// Takes a durable consumer's place away.
    fn forget(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.ring.check_fork(py)?;
        self.ring.check_writable(py, "forget a consumer")?;
        let segment = &self.ring.segment;
        enter::registering(py, segment, |held| registry::forget_with(held, segment, name))?
            .map_err(|why| errors::leave(py, why, name))
    }

    /// "ordinary", "transparent" or "huge".
    #[getter]
    fn pages(&self) -> &'static str {
        match self.ring.segment.pages() {
            Pages::Ordinary => "ordinary",
            Pages::Transparent => "transparent",
            Pages::Huge => "huge",
        }
    }

    #[getter]
    fn closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Raises in every later verb and ends every wait of a producer.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.ring.check_fork(py)?;
        self.ring.set_state(CLOSED);
        self.ring
            .closing
            .get_mut()
            .iter()
            .for_each(|alert| alert.raise(&self.ring.segment));
        Ok(())
    }

    /// Has every later verb of a producer raise `failure`, unless it raises an earlier one; None takes that back.
    #[pyo3(signature = (failure))]
    fn fail(&self, py: Python<'_>, failure: Option<Py<PyBaseException>>) {
        let Some(error) = failure else {
            return self.clear_failure();
        };
        let held = self.ring.failure.get_mut();
        if held.is_none() {
            let traceback = PyErr::from_value(error.bind(py).clone().into_any())
                .traceback(py)
                .map(Bound::unbind);
            *held = Some(Failure { error, traceback });
        }
        self.ring.set_state(FAILED);
    }

    /// What a verb would raise now, as an exception; nothing when it would go on.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.ring.check(py)
    }

    /// Raises `ForkedError` in a child of the process that made the ring.
    fn check_fork(&self, py: Python<'_>) -> PyResult<()> {
        self.ring.check_fork(py)
    }

    /// Keeps a gating place for a consumer that comes later.
    fn hold(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        self.ring.check_writable(py, "hold a place")?;
        let segment = &self.ring.segment;
        enter::registering(py, segment, |held| registry::Consumer::hold_with(held, segment, name))?
            .map(|_| ())
            .map_err(|why| errors::join(py, &why, &self.ring.label))
    }

    /// (index, name, state, sequence, gating, `depends_on`, events, batches, waits, `blocked_ns`, missed) of
    /// each consumer of the ring.
    fn consumers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.ring.check_fork(py)?;
        let segment = &self.ring.segment;
        let facts = inspect::consumers(segment);
        let known = facts.into_iter().filter(|facts| !self.ring.is_clear(facts.index));
        PyList::new(py, known.map(|facts| row(segment, facts)).collect::<Vec<_>>())
    }

    /// Waits until the consumer at `index` is done with `target`.
    ///
    /// Returns False on a time-out.
    #[pyo3(signature = (index, target, timeout))]
    fn wait_done(&self, py: Python<'_>, index: usize, target: i64, timeout: Option<f64>) -> PyResult<bool> {
        self.ring.check_fork(py)?;
        let (segment, deadline, never) = (&self.ring.segment, enter::deadline(py, timeout)?, Alert::default());
        let outcome = enter::wait(py, deadline, |until: Option<Instant>| {
            wait::wait(
                segment,
                WaitStrategy::BLOCKING,
                &never,
                until,
                &mut Done { segment, index, target },
            )
        })?;
        Ok(matches!(outcome, Outcome::Ready(())))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.ring.kinds.iter().try_for_each(|kind| visit.call(&kind.class))?;
        if let Some(Failure { error, traceback }) = self.ring.failure.get_mut() {
            visit.call(&*error)?;
            visit.call(&*traceback)?;
        }
        if let Some(objects) = &self.ring.objects {
            objects.slots.iter().try_for_each(|object| visit.call(object))?;
            if let Some(clear) = &objects.clear {
                visit.call(&clear.callable)?;
            }
        }
        Ok(())
    }
}

impl RingHandle {
    fn clear_failure(&self) {
        let old = self.ring.failure.get_mut().take();
        self.ring.state.fetch_and(!FAILED, Ordering::AcqRel);
        if !self.ring.is_closed() {
            self.ring.alert.clear();
        }
        drop(old);
    }
}

/// A consumer as Python has it.
type Row = (
    usize,
    String,
    u32,
    i64,
    bool,
    u64,
    u64,
    u64,
    (u64, u64),
    u64,
    (u64, &'static str, bool, Option<f64>),
);

fn row(segment: &Segment, facts: ConsumerFacts) -> Row {
    let condition = if segment.is_shared() {
        inspect::condition(segment, facts.index)
    } else {
        Condition::Alive
    };
    (
        facts.index,
        facts.name,
        facts.state,
        facts.sequence,
        facts.gating,
        facts.depends_on,
        facts.events,
        facts.batches,
        (facts.waits, facts.blocked_ns),
        facts.missed,
        (
            facts.pid,
            condition.word(),
            facts.durable,
            facts.evict_after.map(|after| after.as_secs_f64()),
        ),
    )
}

/// The schemas of all event types, a JSON array.
fn json(kinds: &[EventKind]) -> String {
    let schemas: Vec<&str> = kinds.iter().map(|kind| kind.schema.json.as_str()).collect();
    format!("[{}]", schemas.join(","))
}

fn geometry(facts: &RingFacts<'_>, kinds: &[EventKind], slot: &SlotShape, schema_bytes: usize) -> Geometry {
    Geometry {
        capacity: facts.capacity,
        slot_bytes: slot.bytes as u64,
        slot_header_bytes: slot.event as u32,
        slot_headers: slot.headers(),
        kind: if facts.multi {
            ProducerKind::Multi
        } else {
            ProducerKind::Single
        },
        start: facts.start,
        producers: 64,
        schema_bytes: schema_bytes as u64,
        schema_hash: kinds
            .iter()
            .fold(0, |hash, kind| hash.rotate_left(7) ^ kind.schema.hash),
    }
}

/// The memory that the facts ask for.
fn segment(py: Python<'_>, facts: &RingFacts<'_>, geometry: Geometry, schema: &[u8]) -> PyResult<Arc<Segment>> {
    if let Some(attached) = &facts.attached {
        let segment = Arc::clone(&attached.get().segment);
        if *segment.geometry() != geometry {
            let (found, expected) = (format!("{:?}", segment.geometry()), format!("{geometry:?}"));
            let fact = format!("{} has other sizes", facts.label);
            return Err(errors::error(py, "LayoutError", (fact, found, expected)));
        }
        return Ok(segment);
    }
    if let Some(name) = &facts.name {
        let existing = if facts.replace {
            Existing::Replace
        } else {
            Existing::Resume
        };
        return Segment::create(name, geometry, schema, existing)
            .map(Arc::new)
            .map_err(|why| errors::create(py, &why));
    }
    let memory = Memory {
        prefault: facts.prefault,
        huge_pages: facts.huge_pages,
    };
    Segment::private(geometry, schema, memory)
        .map(Arc::new)
        .map_err(|why| errors::config(py, &why))
}

fn event_kinds(schemas: &[(Bound<'_, Schema>, Bound<'_, PyType>)]) -> Vec<EventKind> {
    schemas
        .iter()
        .map(|(schema, class)| EventKind {
            schema: Arc::clone(&schema.get().inner),
            class: class.clone().unbind(),
            dtype: schema.get().inner.dtype.clone_ref(schema.py()),
        })
        .collect()
}
