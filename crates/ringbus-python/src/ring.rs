//! The ring behind every handle: memory, sequencer, schemas, and what state it is in.

use crate::cell::GilCell;
use crate::schema::{Schema, SchemaInner};
use crate::waits::{self, WaitFacts};
use crate::{call, enter, errors, fork};
use pyo3::exceptions::{PyBaseException, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTraceback, PyTuple, PyType};
use ringbus_core::barrier::Done;
use ringbus_core::layout::LAYOUT_VERSION;
use ringbus_core::segment::{Existing, SINGLE_PRODUCER_BYTE, consumer_byte, folder, producer_byte, shared};
use ringbus_core::sequencer::{Room, check_count};
use ringbus_core::sync::{AtomicU32, Ordering};
use ringbus_core::{
    Alert, Blocker, ClaimError, Geometry, MAX_CONSUMERS, Memory, MultiProducerSequencer, Outcome, Pages, ProducerKind,
    Segment, Sequencer, SingleProducerSequencer, Start, WaitStrategy, recovery, registry, wait,
};
use std::sync::Arc;
use std::time::Instant;

/// Slot header bits, as in the segment's header.
const STAMP: u32 = 1;
const TAG: u32 = 4;

const CLOSED: u32 = 1;
const FAILED: u32 = 2;

/// One event type of a ring.
pub struct EventKind {
    pub schema: Arc<SchemaInner>,
    pub class: Py<PyType>,
    pub dtype: Py<PyAny>,
}

/// Where the parts of a slot are.
#[derive(Clone, Copy)]
pub struct SlotShape {
    /// Bytes of a slot.
    pub bytes: usize,
    /// Bytes of the event, the largest type's.
    pub event_bytes: usize,
    /// Where the event begins.
    pub event: usize,
    /// Where the publish time is, if there is one.
    pub stamp: Option<usize>,
    /// Where the type tag is, if there is one.
    pub tag: Option<usize>,
}

impl SlotShape {
    fn new(kinds: &[EventKind], stamped: bool) -> Self {
        let align = kinds.iter().map(|kind| kind.schema.align).max().unwrap_or(1).max(8);
        let event_bytes = kinds.iter().map(|kind| kind.schema.event_bytes).max().unwrap_or(0);
        let stamp = stamped.then_some(0);
        let tag = (kinds.len() > 1).then_some(if stamped { 8 } else { 0 });
        let headers: usize = tag.map_or(if stamped { 8 } else { 0 }, |tag| tag + 2);
        let event = headers.next_multiple_of(align);
        let bytes = (event + event_bytes).next_multiple_of(align).max(8);
        Self {
            bytes,
            event_bytes,
            event,
            stamp,
            tag,
        }
    }

    /// The publish time's distance from the event, for views; 0 is none.
    pub fn stamp_offset(&self) -> isize {
        self.stamp.map_or(0, |stamp| stamp as isize - self.event as isize)
    }

    fn headers(&self) -> u32 {
        self.stamp.map_or(0, |_| STAMP) | self.tag.map_or(0, |_| TAG)
    }
}

/// Who may claim.
pub enum Producers {
    /// Nobody of this process has published yet: in a shared ring it has no producer's place so far.
    None,
    Single(SingleProducerSequencer),
    Multi(MultiProducerSequencer),
}

/// The objects of an object ring, and what is called when all consumers are done with one.
pub struct Objects {
    pub slots: Box<[Py<PyAny>]>,
    pub clear: Option<Clear>,
}

/// Calls `callable` for each object all consumers are done with. It gates the producers as a consumer of
/// its own, so that none writes an object before it was cleared.
pub struct Clear {
    pub callable: Py<PyAny>,
    pub consumer: GilCell<Option<ringbus_core::Consumer>>,
    pub running: GilCell<bool>,
}

/// The name under which [`Clear`] is in the registry.
pub const CLEAR_NAME: &str = "(clear)";

/// What every handle of a ring shares.
pub struct Ring {
    pub segment: Arc<Segment>,
    pub producers: GilCell<Producers>,
    pub slot: SlotShape,
    pub kinds: Vec<EventKind>,
    pub objects: Option<Objects>,
    /// Structured slots whose events fit the stack.
    pub fits_stack: bool,
    /// One event type that fits the stack, no slot headers, no end of sequences in sight.
    pub plain: bool,
    pub wait: WaitStrategy,
    pub label: String,
    /// A claim of a single producer that is not published yet.
    pub open_claim: GilCell<bool>,
    /// Ends the waits of producers, for a close or a failure.
    pub alert: Alert,
    /// Consumers that were dropped while others depend on them: they leave after those.
    pub orphans: GilCell<Vec<ringbus_core::Consumer>>,
    /// Whether other processes may take part.
    pub shared: bool,
    /// The threads that are inside a handler of this ring.
    handling: GilCell<Vec<libc::pthread_t>>,
    /// What ends the waits of pollers when the ring closes.
    closing: GilCell<Vec<Alert>>,
    state: AtomicU32,
    generation: u32,
    /// The process that made it.
    pid: u32,
    failure: GilCell<Option<Failure>>,
}

/// What producers are told, the first of what failed.
struct Failure {
    error: Py<PyBaseException>,
    /// As it was then: each producer's raise begins from here, so that none piles up on another's.
    traceback: Option<Py<PyTraceback>>,
}

impl Ring {
    /// Whether a verb may go on: the ring is open, nobody failed, and this is the process that made it.
    #[inline(always)]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        let usable = self.state.load(Ordering::Relaxed) == 0 && self.generation == fork::generation();
        if usable && !(self.shared && self.segment.is_retired()) {
            return Ok(());
        }
        Err(self.refusal(py))
    }

    /// Whether this is a child that has the ring from before a fork.
    pub fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Whether this is the process that made the ring.
    pub fn check_fork(&self, py: Python<'_>) -> PyResult<()> {
        if self.generation == fork::generation() {
            Ok(())
        } else {
            Err(fork::error(py, &self.label, self.pid))
        }
    }

    #[cold]
    fn refusal(&self, py: Python<'_>) -> PyErr {
        if self.generation != fork::generation() {
            return fork::error(py, &self.label, self.pid);
        }
        if self.state.load(Ordering::Relaxed) & CLOSED != 0 {
            return errors::error(py, "ClosedError", (self.label.as_str(),));
        }
        if self.shared && self.segment.is_retired() {
            return errors::error(py, "RingReplacedError", (self.label.as_str(),));
        }
        match self.failure.get_mut() {
            Some(Failure { error, traceback }) => {
                let error = PyErr::from_value(error.bind(py).clone().into_any());
                error.set_traceback(py, traceback.as_ref().map(|traceback| traceback.bind(py).clone()));
                error
            }
            // A broken peer may have written that the ring is gone, and taken it back since.
            None if self.shared => errors::error(py, "RingReplacedError", (self.label.as_str(),)),
            None => PyRuntimeError::new_err("the ring failed"),
        }
    }

    /// Refuses what would write to a ring that is attached read-only.
    fn check_writable(&self, py: Python<'_>, what: &str) -> PyResult<()> {
        if !self.segment.is_read_only() {
            return Ok(());
        }
        let fact = format!("{} is attached read-only and cannot {what}", self.label);
        Err(errors::error(
            py,
            "ConfigurationError",
            (fact, "attach without read_only=True"),
        ))
    }

    /// Has `alert` raised when the ring closes.
    pub fn add_closing(&self, alert: &Alert) {
        self.closing.get_mut().push(alert.clone());
    }

    /// After a consumer left: so do those that were dropped and on which nobody depends any more.
    pub fn let_orphans_leave(&self) {
        let orphans = self.orphans.get_mut();
        let mut before = usize::MAX;
        while orphans.len() < before {
            before = orphans.len();
            orphans.retain(|orphan| orphan.leave().is_err());
        }
    }

    /// Undoes [`Ring::add_closing`].
    pub fn remove_closing(&self, alert: &Alert) {
        self.closing.get_mut().retain(|known| known != alert);
    }

    fn set_state(&self, bit: u32) {
        self.state.fetch_or(bit, Ordering::AcqRel);
        self.alert.raise(&self.segment);
    }

    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Whether the ring is of the single-producer kind.
    #[inline(always)]
    pub fn is_single(&self) -> bool {
        self.segment.geometry().kind == ProducerKind::Single
    }

    /// Takes a producer's place in the ring, at the first claim.
    ///
    /// # Errors
    /// The ring is read-only here, another process is its one producer, or every place is taken.
    #[cold]
    pub fn open_producer(&self, py: Python<'_>) -> PyResult<()> {
        if self.segment.is_read_only() {
            let fact = format!("{} is attached read-only", self.label);
            return Err(errors::error(
                py,
                "ClaimError",
                (fact, "attach without read_only=True to publish"),
            ));
        }
        let segment = Arc::clone(&self.segment);
        *self.producers.get_mut() = if self.is_single() {
            Producers::Single(SingleProducerSequencer::enter(segment).map_err(|why| errors::share(py, &why))?)
        } else {
            Producers::Multi(MultiProducerSequencer::enter(segment).map_err(|why| errors::share(py, &why))?)
        };
        Ok(())
    }

    /// Claims `count` slots if they are free; the GIL is held.
    #[inline(always)]
    pub fn poll_claim(&self, count: i64) -> Result<i64, Blocker> {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.poll_claim(count),
            Producers::Multi(sequencer) => sequencer.poll_claim(count),
            Producers::None => Err(Blocker::Cursor),
        }
    }

    /// The highest sequence claimed; the GIL is held.
    pub fn claimed(&self) -> i64 {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.claimed(),
            Producers::Multi(sequencer) => sequencer.claimed(),
            Producers::None => registry::cursor(&self.segment),
        }
    }

    /// Publishes `low..=high`; the GIL is held.
    #[inline(always)]
    pub fn publish(&self, low: i64, high: i64) {
        if let Some(stamp) = self.slot.stamp {
            let now = monotonic_ns();
            for sequence in low..=high {
                // SAFETY: the publish time is inside the slot, which is this producer's until it is published.
                unsafe { self.segment.slot(sequence).add(stamp).cast::<i64>().write(now) };
            }
        }
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.publish(low, high),
            Producers::Multi(sequencer) => sequencer.publish(low, high),
            Producers::None => {}
        }
    }

    /// Gives `low..=high` back unseen; the GIL is held.
    pub fn abort(&self, low: i64, high: i64) {
        match self.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.abort(low, high),
            Producers::Multi(sequencer) => sequencer.abort(low, high),
            Producers::None => {}
        }
    }

    /// Refuses a claim while another one of a single producer is open.
    #[inline(always)]
    pub fn check_open_claim(&self, py: Python<'_>) -> PyResult<()> {
        if !self.open_claim.get() {
            return Ok(());
        }
        let fact = format!("a claim on {} is open, and it has one producer", self.label);
        Err(errors::error(
            py,
            "ClaimError",
            (fact, "leave the claim first, or make the ring with producers=\"multi\""),
        ))
    }

    /// Waits for `count` free slots and claims them.
    ///
    /// # Errors
    /// A count out of range, a time-out, a closed or failed ring, a signal.
    #[inline]
    pub fn claim(&self, py: Python<'_>, count: i64, timeout: Option<f64>) -> PyResult<i64> {
        self.check_open_claim(py)?;
        if let Ok(high) = self.try_claim(py, count)? {
            return Ok(high);
        }
        self.claim_slowly(py, count, timeout)
    }

    /// Claims `count` slots if they are free.
    ///
    /// # Errors
    /// A count out of range.
    #[inline(always)]
    pub fn try_claim(&self, py: Python<'_>, count: i64) -> PyResult<Result<i64, Blocker>> {
        if matches!(self.producers.get_mut(), Producers::None) {
            self.open_producer(py)?;
        }
        if count != 1 || self.shared || self.segment.geometry().start > 1 << 61 {
            self.check_claim(count)
                .map_err(|reason| errors::claim(py, reason, &self.label))?;
        }
        Ok(self.poll_claim(count))
    }

    /// Says that this thread is inside a handler, or, at the end of it, not any more.
    pub fn set_handling(&self, inside: bool) {
        // SAFETY: takes nothing and cannot fail.
        let thread = unsafe { libc::pthread_self() };
        let handling = self.handling.get_mut();
        if inside {
            handling.push(thread);
        } else if let Some(place) = handling.iter().rposition(|&other| other == thread) {
            handling.swap_remove(place);
        }
    }

    /// Refuses to wait for free slots inside a handler that holds them up itself.
    fn check_handling(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: takes nothing and cannot fail.
        if !self.handling.get_mut().contains(&unsafe { libc::pthread_self() }) {
            return Ok(());
        }
        let fact = format!(
            "{} is full, and a handler of its own would wait for itself to go on",
            self.label
        );
        Err(errors::error(
            py,
            "ClaimError",
            (fact, "use try_publish in a handler, or another ring"),
        ))
    }

    fn check_claim(&self, count: i64) -> Result<(), ClaimError> {
        match self.producers.get_mut() {
            Producers::Multi(sequencer) => sequencer.check(count),
            _ => check_count(&self.segment, count, self.claimed()),
        }
    }

    #[cold]
    fn claim_slowly(&self, py: Python<'_>, count: i64, timeout: Option<f64>) -> PyResult<i64> {
        let deadline = enter::deadline(py, timeout)?;
        self.check_handling(py)?;
        loop {
            let claimed = self.is_single().then(|| self.claimed());
            let outcome = enter::wait(py, deadline, |until| {
                let mut room = Room {
                    segment: &self.segment,
                    count,
                    claimed,
                };
                wait::wait(&self.segment, self.wait, &self.alert, until, &mut room)
            })?;
            self.check(py)?;
            self.check_open_claim(py)?;
            if let Ok(high) = self.poll_claim(count) {
                return Ok(high);
            }
            if outcome == Outcome::TimedOut {
                return Err(self.claim_timeout(py, count, timeout));
            }
            self.check_claim(count)
                .map_err(|reason| errors::claim(py, reason, &self.label))?;
        }
    }

    fn claim_timeout(&self, py: Python<'_>, count: i64, timeout: Option<f64>) -> PyErr {
        let slots = if count == 1 { "slot" } else { "slots" };
        let what = format!("claiming {count} {slots} of {}", self.label);
        errors::error(py, "WaitTimeout", (what, timeout.unwrap_or(0.0), self.laggards()))
    }

    /// The consumers that hold producers up the most, slowest first.
    pub fn laggards(&self) -> Vec<String> {
        let (cursor, gating) = (
            registry::cursor(&self.segment),
            self.segment.registry().gating.load(Ordering::Acquire),
        );
        let gates = (0..MAX_CONSUMERS).filter(|index| gating & (1 << index) != 0);
        let sequence = |index: usize| self.segment.consumer(index).sequence.get();
        let Some(slowest) = gates.clone().map(sequence).min() else {
            return Vec::new();
        };
        gates
            .filter(|&index| sequence(index) == slowest)
            .filter(|&index| registry::name_of(self.segment.consumer(index)) != CLEAR_NAME)
            .map(|index| describe(&self.segment, index, cursor))
            .collect()
    }

    /// The bytes of the event in the slot of `sequence`.
    #[inline(always)]
    pub fn event(&self, sequence: i64) -> *mut u8 {
        // SAFETY: the event begins inside the slot.
        unsafe { self.segment.slot(sequence).add(self.slot.event) }
    }

    /// The type of the event in the slot at `slot`, as an index into `kinds`.
    #[inline(always)]
    pub fn kind_at(&self, slot: *const u8) -> usize {
        match self.slot.tag {
            None => 0,
            // SAFETY: the tag is inside the slot. Checked against the number of types, since a broken peer
            // may have written anything.
            Some(tag) => unsafe { slot.add(tag).cast::<u16>().read() as usize }.min(self.kinds.len() - 1),
        }
    }

    /// Writes the type tag of the slot of `sequence`, if slots have one.
    #[inline(always)]
    pub fn tag(&self, sequence: i64, kind: usize) {
        if let Some(tag) = self.slot.tag {
            // SAFETY: the tag is inside the slot, which is this producer's.
            unsafe { self.segment.slot(sequence).add(tag).cast::<u16>().write(kind as u16) };
        }
    }

    /// After a consumer of an object ring moved: clears the objects that all are done with.
    ///
    /// # Errors
    /// What the callable raised; the object counts as cleared.
    pub fn clear_done(&self, py: Python<'_>) -> PyResult<()> {
        let Some(clear) = self.objects.as_ref().and_then(|objects| objects.clear.as_ref()) else {
            return Ok(());
        };
        if clear.running.get() {
            return Ok(());
        }
        clear.running.set(true);
        let result = self.clear_up_to_gate(py, clear);
        clear.running.set(false);
        result
    }

    fn clear_up_to_gate(&self, py: Python<'_>, clear: &Clear) -> PyResult<()> {
        let mut result = Ok(());
        while let Some(consumer) = clear.consumer.get_mut().clone() {
            let gating = self.segment.registry().gating.load(Ordering::Acquire) & !(1 << consumer.index());
            if gating == 0 {
                let _ = consumer.leave();
                *clear.consumer.get_mut() = None;
                break;
            }
            let done = (0..MAX_CONSUMERS)
                .filter(|index| gating & (1 << index) != 0)
                .map(|index| self.segment.consumer(index).sequence.get())
                .min()
                .unwrap_or(i64::MAX);
            let next = consumer.sequence() + 1;
            if next > done {
                break;
            }
            // A consumer that joined behind an open claim does not vouch for it: its object is a producer's still.
            let published = self.is_single() || self.segment.is_available(next);
            if published && !self.segment.is_pad(next) {
                result = result.and(call::call(py, &clear.callable, [self.object(next)]).map(|_| ()));
            }
            consumer.commit(next);
        }
        result
    }

    /// The object in the slot of `sequence`.
    pub fn object(&self, sequence: i64) -> &Py<PyAny> {
        let objects = self.objects.as_ref().expect("an object ring");
        &objects.slots[self.segment.index(sequence)]
    }

    /// The index of the event type `class`.
    pub fn kind_of(&self, class: &Bound<'_, PyAny>) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.class.as_ptr() == class.as_ptr())
    }

    /// The ring's only event type, for verbs that were given none.
    ///
    /// # Errors
    /// The ring has several.
    pub fn only_kind(&self, py: Python<'_>, verb: &str) -> PyResult<usize> {
        if self.kinds.len() == 1 {
            return Ok(0);
        }
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.schema.name.as_str()).collect();
        let fact = format!("{} has {} event types ({})", self.label, names.len(), names.join(", "));
        let remedy = format!("name one: {verb}({}, ...)", names.first().unwrap_or(&"Type"));
        Err(errors::error(py, "SchemaError", (fact, remedy)))
    }
}

/// A consumer for a message: name, lag, and in a shared ring its process and what state that is in.
fn describe(segment: &Segment, index: usize, cursor: i64) -> String {
    let entry = segment.consumer(index);
    let (name, behind) = (registry::name_of(entry), cursor - entry.sequence.get());
    if !segment.is_shared() {
        return format!("{name} ({behind} behind)");
    }
    let pid = entry.identity.pid.load(Ordering::Relaxed);
    format!("{name} ({behind} behind, pid {pid}, {})", condition(segment, index))
}

/// What state the process of a consumer is in: "held" for one that has not come, "away" for a durable one,
/// "dead", "stopped" (by a signal or a debugger) or "alive".
pub fn condition(segment: &Segment, index: usize) -> &'static str {
    let identity = &segment.consumer(index).identity;
    match identity.state.load(Ordering::Acquire) {
        registry::HELD => return "held",
        registry::DEAD => return "dead",
        _ => {}
    }
    if !segment.is_byte_held(consumer_byte(index)) {
        let durable = identity.kind.load(Ordering::Relaxed) & registry::DURABLE != 0;
        return if durable { "away" } else { "dead" };
    }
    let pid = identity.pid.load(Ordering::Relaxed);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    if matches!(state, Some("T" | "t")) {
        "stopped"
    } else {
        "alive"
    }
}

/// Every consumer and producer of a ring and its process, for messages.
pub fn residents(segment: &Segment) -> Vec<String> {
    let taken = segment.registry().taken.load(Ordering::Acquire);
    let cursor = registry::cursor(segment);
    let consumers = (0..MAX_CONSUMERS)
        .filter(|index| taken & (1 << index) != 0)
        .map(|index| format!("consumer {}", describe(segment, index, cursor)));
    let producers = (0..segment.geometry().producers as usize)
        .map(|line| segment.producer(line).owner.load(Ordering::Acquire))
        .filter(|&owner| owner != 0)
        .map(|owner| format!("producer of pid {owner}"));
    consumers.chain(producers).collect()
}

/// `CLOCK_MONOTONIC` in ns.
#[inline]
pub fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

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

/// A shared segment that this process is attached to, before its schema is known.
#[pyclass(frozen, module = "ringbus._core", name = "Segment")]
pub struct SegmentHandle {
    segment: Arc<Segment>,
}

#[pymethods]
impl SegmentHandle {
    /// Attaches to the shared ring `name`.
    #[new]
    fn new(py: Python<'_>, name: &str, read_only: bool) -> PyResult<Self> {
        fork::register();
        let segment = Segment::attach(name, read_only, None).map_err(|why| errors::share(py, &why))?;
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
        residents(&self.segment)
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
        let segment = &self.segment;
        let row = |line: usize| {
            let words = segment.producer(line);
            let open = words
                .intents
                .iter()
                .filter(|intent| intent.low.load(Ordering::Relaxed) > 0)
                .count();
            let owner = words.owner.load(Ordering::Acquire);
            (owner != 0).then(|| (line, owner, segment.is_byte_held(producer_byte(line)), open))
        };
        (0..segment.geometry().producers as usize).filter_map(row).collect()
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
    let segment = Segment::attach(name, false, None).map_err(|why| errors::share(py, &why))?;
    segment.unlink().map_err(|why| errors::share(py, &why))
}

#[pymethods]
impl RingHandle {
    #[new]
    fn new(py: Python<'_>, facts: RingFacts<'_>) -> PyResult<Self> {
        fork::register();
        let wait = waits::parse(py, &facts.wait)?;
        let kinds = event_kinds(&facts.schemas);
        let slot = SlotShape::new(&kinds, facts.stamp);
        let schema = kinds
            .iter()
            .map(|kind| kind.schema.json.as_str())
            .collect::<Vec<_>>()
            .join(",");
        let schema = format!("[{schema}]");
        let geometry = Geometry {
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
            schema_bytes: schema.len() as u64,
            schema_hash: kinds
                .iter()
                .fold(0, |hash, kind| hash.rotate_left(7) ^ kind.schema.hash),
        };
        let segment = segment(py, &facts, geometry, schema.as_bytes())?;
        let objects = facts
            .factory
            .map(|factory| make_objects(&factory, facts.capacity, facts.clear))
            .transpose()?;
        let shared = segment.is_shared();
        let fits_stack = objects.is_none() && slot.event_bytes <= crate::publisher::STACK_BYTES;
        let plain = kinds.len() == 1 && slot.headers() == 0 && fits_stack && facts.start <= 1 << 61;
        let ring = Ring {
            fits_stack,
            plain,
            segment,
            producers: GilCell::new(Producers::None),
            shared,
            slot,
            kinds,
            objects,
            wait,
            label: facts.label,
            open_claim: GilCell::new(false),
            alert: Alert::default(),
            orphans: GilCell::new(Vec::new()),
            handling: GilCell::new(Vec::new()),
            closing: GilCell::new(Vec::new()),
            state: AtomicU32::new(0),
            generation: fork::generation(),
            pid: std::process::id(),
            failure: GilCell::new(None),
        };
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
        let segment = &self.ring.segment;
        let mut cursor = registry::cursor(segment);
        if !self.ring.is_single() {
            let floor = (cursor - segment.capacity()).max(segment.before_start());
            while cursor > floor && !segment.is_available(cursor) {
                cursor -= 1;
            }
        }
        Ok(cursor)
    }

    /// Free slots now; claimed ones count as taken, published or not.
    #[getter]
    fn remaining_capacity(&self, py: Python<'_>) -> PyResult<i64> {
        self.ring.check_fork(py)?;
        Ok(match self.ring.producers.get_mut() {
            Producers::Single(sequencer) => sequencer.remaining_capacity(),
            Producers::Multi(sequencer) => sequencer.remaining_capacity(),
            Producers::None => {
                let segment = &self.ring.segment;
                let claimed = registry::cursor(segment);
                segment.capacity() - (claimed - segment.minimum_gate(claimed).0)
            }
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
        let segment = &self.ring.segment;
        if sequence <= segment.before_start() {
            return Ok(false);
        }
        if self.ring.is_single() {
            let published = registry::cursor(segment);
            Ok(sequence <= published && sequence > published - segment.capacity())
        } else {
            Ok(segment.is_available(sequence))
        }
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

    /// Whether other processes may take part.
    #[getter]
    fn shared(&self) -> bool {
        self.ring.shared
    }

    /// Whether this process may only read it.
    #[getter]
    fn read_only(&self) -> bool {
        self.ring.segment.is_read_only()
    }

    /// Takes the shared ring's name away; who is attached is told.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.ring.check_fork(py)?;
        self.ring.check_writable(py, "be unlinked")?;
        self.ring.segment.unlink().map_err(|why| errors::share(py, &why))
    }

    /// Does what dead participants cannot do any more; whether there was anything.
    fn recover(&self) -> bool {
        let segment = &self.ring.segment;
        let consumers = (0..MAX_CONSUMERS)
            .filter(|&index| recovery::recover_consumer(segment, index))
            .count();
        recovery::recover_producers(segment) || consumers > 0
    }

    /// Takes a durable consumer's place away.
    fn forget(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.ring.check_fork(py)?;
        self.ring.check_writable(py, "forget a consumer")?;
        registry::forget(&self.ring.segment, name).map_err(|why| errors::leave(py, why, name))
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
        registry::Consumer::hold(&self.ring.segment, name)
            .map(|_| ())
            .map_err(|why| errors::join(py, &why, &self.ring.label))
    }

    /// (index, name, state, sequence, gating, `depends_on`, events, batches, waits, `blocked_ns`, missed) of
    /// each consumer of the ring.
    fn consumers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.ring.check_fork(py)?;
        let segment = &self.ring.segment;
        let taken = segment.registry().taken.load(Ordering::Acquire);
        let rows = PyList::empty(py);
        for index in (0..MAX_CONSUMERS).filter(|index| taken & (1 << index) != 0) {
            let entry = segment.consumer(index);
            let name = registry::name_of(entry);
            if name == CLEAR_NAME {
                continue;
            }
            let counters = &entry.counters;
            rows.append((
                index,
                name,
                entry.identity.state.load(Ordering::Acquire),
                entry.sequence.get(),
                entry.identity.kind.load(Ordering::Relaxed) & registry::GATES != 0,
                entry.identity.depends_on.load(Ordering::Relaxed),
                counters.events.load(Ordering::Relaxed),
                counters.batches.load(Ordering::Relaxed),
                (
                    counters.waits.load(Ordering::Relaxed),
                    counters.blocked_ns.load(Ordering::Relaxed),
                ),
                counters.missed.load(Ordering::Relaxed),
                (
                    entry.identity.pid.load(Ordering::Relaxed),
                    if segment.is_shared() {
                        condition(segment, index)
                    } else {
                        "alive"
                    },
                    entry.identity.kind.load(Ordering::Relaxed) & registry::DURABLE != 0,
                ),
            ))?;
        }
        Ok(rows)
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
            .map_err(|why| errors::share(py, &why));
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

fn make_objects(factory: &Bound<'_, PyAny>, capacity: u64, clear: Option<Bound<'_, PyAny>>) -> PyResult<Objects> {
    let slots = (0..capacity)
        .map(|_| factory.call0().map(Bound::unbind))
        .collect::<PyResult<Vec<_>>>()?;
    let clear = clear.map(|callable| Clear {
        callable: callable.unbind(),
        consumer: GilCell::new(None),
        running: GilCell::new(false),
    });
    Ok(Objects {
        slots: slots.into_boxed_slice(),
        clear,
    })
}

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

/// A start from Python: None, "latest", "oldest", or a sequence.
pub fn parse_start(py: Python<'_>, start: Option<&Bound<'_, PyAny>>) -> PyResult<Start> {
    let Some(start) = start else { return Ok(Start::Default) };
    if let Ok(sequence) = start.extract::<i64>() {
        return Ok(Start::At(sequence));
    }
    match start.extract::<&str>() {
        Ok("latest") => Ok(Start::Latest),
        Ok("oldest") => Ok(Start::Oldest),
        _ => {
            let fact = format!("start is {}", start.repr()?);
            Err(errors::error(
                py,
                "ConfigurationError",
                (fact, "use \"latest\", \"oldest\" or a sequence"),
            ))
        }
    }
}
