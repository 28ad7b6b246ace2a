//! What every consumer in Python has: a place in the registry, a barrier, the types it takes, and safe
//! ways to get at an event.

use crate::cell::GilCell;
use crate::event;
use crate::ring::{CLEAR_NAME, Ring, RingHandle, monotonic_ns};
use crate::waits::{self, WaitFacts};
use crate::{enter, errors};
use pyo3::prelude::*;
use ringbus_core::consumer::{Lapped, poll_unless_lapped};
use ringbus_core::sync::{AtomicI64, AtomicU64, Ordering, read_barrier, spin_hint};
use ringbus_core::wait::{Condition, wait};
use ringbus_core::{
    Alert, Blocker, Consumer, Latencies, Outcome, SequenceBarrier, Start, Terms, WaitStrategy, read_unless_lapped,
    registry, residents,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What Python says of a consumer.
#[derive(FromPyObject)]
pub struct ReaderFacts<'py> {
    pub name: String,
    pub kinds: Option<Vec<usize>>,
    pub wait: WaitFacts,
    pub max_batch: Option<i64>,
    pub gating: bool,
    pub start: Option<Bound<'py, PyAny>>,
    /// Whether its place stays while its process is away.
    pub durable: bool,
    /// The most events it may be behind while it is away; 0 is no limit.
    pub absent_limit: u64,
    /// How long producers wait for it, ns; 0 is for ever.
    pub evict_after: u64,
}

/// Looks of a thread that holds the GIL: some tenths of a microsecond, or a few where the pause of the processor is long.
const LOOKS: u32 = 32;

/// Where a consumer keeps its place.
enum Seat {
    /// In the registry.
    Member(Consumer),
    /// In this process alone: the ring is read-only here.
    Watcher(Watcher),
}

/// Written by the consumer's thread, read by any: nothing else is ordered by them.
struct Watcher {
    sequence: AtomicI64,
    events: AtomicU64,
    missed: AtomicU64,
}

/// Count, min, mean, (p50, p90, p99, p99.9) and max of the latency, in ns.
pub type LatencyFacts = (u64, u64, f64, (u64, u64, u64, u64), u64);

/// One consumer's way into a ring.
pub struct Reader {
    pub handle: Py<RingHandle>,
    pub ring: Arc<Ring>,
    pub name: String,
    seat: Seat,
    pub barrier: GilCell<SequenceBarrier>,
    pub alert: Alert,
    pub strategy: WaitStrategy,
    pub max_batch: i64,
    /// A bit for each event type it takes.
    kinds: u64,
    /// Publish to hand-over, ns; where the ring stamps.
    latency: Option<Latencies>,
    /// Whether it reads copies: nobody waits for it, or it may be evicted, or cannot write slots, which a handler may.
    copies: bool,
    /// A slot of its own, for one that reads copies.
    copy: GilCell<Box<[u64]>>,
    /// Events that it was told it missed since it was evicted.
    told: AtomicU64,
    left: GilCell<bool>,
}

impl Reader {
    /// Joins the ring: from here on the consumer gates, if it does.
    ///
    /// # Errors
    /// As the registry says.
    pub fn join(py: Python<'_>, handle: Py<RingHandle>, facts: &ReaderFacts<'_>) -> PyResult<Self> {
        let ring = Arc::clone(&handle.get().ring);
        ring.check_fork(py)?;
        let start = parse_start(py, facts.start.as_ref())?;
        let strategy = waits::parse(py, &facts.wait)?;
        if !facts.gating && ring.objects.is_some() {
            let fact = format!(
                "{:?} does not gate, and {} holds objects, which cannot be copied safely",
                facts.name, ring.label
            );
            return Err(errors::error(
                py,
                "ConfigurationError",
                (fact, "leave gating=False out"),
            ));
        }
        if facts.gating {
            join_clear(py, &ring)?;
        }
        let read_only = ring.segment.is_read_only();
        let seat = if read_only {
            if facts.gating {
                let fact = format!("{:?} gates, and {} is attached read-only", facts.name, ring.label);
                return Err(errors::error(py, "ConfigurationError", (fact, "give it gating=False")));
            }
            Seat::Watcher(watcher(&ring, start))
        } else {
            let terms = Terms {
                gating: facts.gating,
                durable: facts.durable,
                absent_limit: facts.absent_limit,
                evict_after: facts.evict_after,
            };
            let name = facts.name.as_str();
            let consumer = enter::registering(py, &ring.segment, |held| {
                Consumer::join_with(held, &ring.segment, name, terms, start)
            });
            let consumer = consumer?.map_err(|why| {
                let error = errors::join(py, &why, &ring.label);
                // What clears objects gates only together with a consumer.
                ring.clear_done(py).err().unwrap_or(error)
            });
            Seat::Member(consumer?)
        };
        // A watcher cannot arm a word of the segment: it looks at an interval.
        let strategy = if read_only { WATCHING } else { strategy };
        let alert = Alert::default();
        let copies = !facts.gating || !ring.segment.may_write_slots();
        Ok(Self {
            barrier: GilCell::new(SequenceBarrier::new(&ring.segment, 0, alert.clone())),
            alert,
            strategy,
            max_batch: facts.max_batch.unwrap_or(i64::MAX),
            kinds: facts
                .kinds
                .as_ref()
                .map_or(u64::MAX, |kinds| kinds.iter().fold(0, |set, kind| set | 1 << kind)),
            latency: ring.slot.stamp.map(|_| Latencies::default()),
            copy: GilCell::new(vec![0; if copies { ring.slot.bytes.div_ceil(8) } else { 0 }].into_boxed_slice()),
            copies,
            told: AtomicU64::new(0),
            left: GilCell::new(false),
            name: facts.name.clone(),
            seat,
            handle,
            ring,
        })
    }

    /// Follows the consumers in `entries`.
    ///
    /// # Errors
    /// What a signal handler raised while it waited for others that join or leave.
    pub fn depend_on(&self, py: Python<'_>, entries: u64) -> PyResult<()> {
        if let Seat::Member(consumer) = &self.seat {
            enter::registering(py, &self.ring.segment, |held| consumer.depend_on_with(held, entries))?;
        }
        *self.barrier.get_mut() = SequenceBarrier::new(&self.ring.segment, entries, self.alert.clone());
        Ok(())
    }

    /// How far it may read from `wanted` on.
    #[inline]
    pub fn poll(&self, wanted: i64) -> Result<Result<i64, Lapped>, Blocker> {
        self.poll_behind(self.barrier.get_mut(), wanted)
    }

    /// As [`Self::poll`], behind a copy of its barrier: for a thread that is not attached.
    #[inline]
    pub fn poll_behind(&self, barrier: &SequenceBarrier, wanted: i64) -> Result<Result<i64, Lapped>, Blocker> {
        self.look(barrier, wanted, self.max_batch)
    }

    /// Whether it may read `wanted`, or was lapped; looks at nothing behind that.
    #[inline]
    pub fn is_readable(&self, barrier: &SequenceBarrier, wanted: i64) -> bool {
        self.look(barrier, wanted, 1).is_ok()
    }

    #[inline]
    fn look(&self, barrier: &SequenceBarrier, wanted: i64, limit: i64) -> Result<Result<i64, Lapped>, Blocker> {
        if self.is_gating() {
            barrier.poll(wanted, limit).map(Ok)
        } else {
            poll_unless_lapped(barrier, wanted, limit)
        }
    }

    /// Waits until something is readable at `wanted`, the ring closes, the alert is raised or `timeout`
    /// has passed; counts the wait, if a short look does not end it.
    pub fn wait(&self, py: Python<'_>, wanted: i64, timeout: Option<Duration>) -> PyResult<Outcome<()>> {
        if self.look_attached(wanted) {
            return Ok(Outcome::Ready(()));
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let barrier = self.barrier.get_mut().clone();
        self.count_wait();
        enter::wait(py, deadline, |until| self.wait_behind(&barrier, wanted, until))
    }

    /// Looks a little before the GIL is given away: to take it back costs as much as an event from another process. Those
    /// of this process need the GIL to publish, so nobody looks for them.
    fn look_attached(&self, wanted: i64) -> bool {
        let looks = match self.strategy {
            WaitStrategy::Blocking { spins } => spins.min(LOOKS),
            _ => LOOKS,
        };
        self.ring.shared
            && (0..looks).any(|_| {
                spin_hint();
                self.is_readable(self.barrier.get_mut(), wanted)
            })
    }

    /// Counts one wait.
    pub fn count_wait(&self) {
        if let Seat::Member(consumer) = &self.seat {
            consumer.count_wait();
        }
    }

    /// As [`Self::wait`], behind a copy of its barrier: for a thread that is not attached. Counts the time alone.
    pub fn wait_behind(&self, barrier: &SequenceBarrier, wanted: i64, deadline: Option<Instant>) -> Outcome<()> {
        let begin = Instant::now();
        let mut readable = Readable {
            reader: self,
            barrier,
            wanted,
        };
        let outcome = wait(&self.ring.segment, self.strategy, &self.alert, deadline, &mut readable);
        if let Seat::Member(consumer) = &self.seat {
            consumer.count_blocked(begin.elapsed().as_nanos() as u64);
        }
        outcome
    }

    /// Whether it takes events of type `kind`.
    #[inline(always)]
    pub fn takes(&self, kind: usize) -> bool {
        self.kinds & (1 << kind) != 0
    }

    /// Whether it reads copies of the slots.
    #[inline]
    pub fn copies(&self) -> bool {
        self.copies
    }

    /// Copies the slot of `sequence` to its own, whole.
    ///
    /// # Errors
    /// It was lapped, or evicted.
    pub fn copy_slot(&self, sequence: i64) -> Result<*mut u8, Lapped> {
        let target = self.copied();
        if let Seat::Member(consumer) = &self.seat
            && consumer.is_gating()
        {
            // SAFETY: the target is a slot's bytes, made of 8-byte words.
            unsafe { self.ring.segment.copy_slot(sequence, target) };
            read_barrier();
            return if consumer.is_evicted() {
                Err(Lapped { resume: sequence })
            } else {
                Ok(target)
            };
        }
        // SAFETY: the target is a slot's bytes, made of 8-byte words.
        read_unless_lapped(&self.ring.segment, sequence, || unsafe {
            self.ring.segment.copy_slot(sequence, target);
        })?;
        Ok(target)
    }

    /// What [`Self::copy_slot`] copied last.
    pub fn copied(&self) -> *mut u8 {
        self.copy.get_mut().as_mut_ptr().cast()
    }

    /// Goes on at `lapped.resume`; what lies between is missed.
    pub fn lapped(&self, wanted: i64, lapped: Lapped) -> i64 {
        let missed = (lapped.resume - wanted) as u64;
        match &self.seat {
            Seat::Member(consumer) => consumer.count_missed(missed),
            Seat::Watcher(watcher) => add(&watcher.missed, missed),
        }
        self.commit_quietly(lapped.resume - 1);
        lapped.resume
    }

    /// A copy of the event in the slot at `slot`, as an object of its own.
    pub fn own_event(&self, py: Python<'_>, slot: *mut u8) -> PyResult<Py<PyAny>> {
        let schema = &self.ring.kinds[self.ring.kind_at(slot)].schema;
        // SAFETY: the event begins inside the slot; the view gets its own copy at once.
        unsafe {
            let view = event::new_view(
                py,
                schema,
                slot.add(self.ring.slot.event),
                self.ring.slot.stamp_offset(),
            );
            let view = Bound::from_owned_ptr_or_err(py, view)?;
            event::detach(view.as_ptr());
            Ok(view.unbind())
        }
    }

    /// Counts the time from the publish of the event in `slot` to `now`.
    #[inline]
    pub fn count_latency(&self, slot: *const u8, now: i64) {
        if let (Some(latency), Some(stamp)) = (&self.latency, self.ring.slot.stamp) {
            // SAFETY: the publish time is inside the slot.
            let published = unsafe { slot.add(stamp).cast::<i64>().read() };
            latency.record(now.saturating_sub(published).max(0) as u64);
        }
    }

    /// Whether latencies are counted.
    #[inline(always)]
    pub fn counts_latency(&self) -> bool {
        self.latency.is_some()
    }

    /// The time now, where latencies are counted.
    pub fn now(&self) -> i64 {
        if self.latency.is_some() { monotonic_ns() } else { 0 }
    }

    /// (count, min, mean, percentiles, max) in ns; None where the ring does not stamp.
    pub fn latency(&self) -> Option<LatencyFacts> {
        let summary = self.latency.as_ref()?.summary();
        let percentiles = summary.percentiles.into();
        Some((summary.count, summary.min, summary.mean, percentiles, summary.max))
    }

    /// Is done with everything up to `sequence`, and has objects cleared that all are done with.
    ///
    /// # Errors
    /// It was evicted: that does not count. Or what clears objects raised.
    pub fn commit(&self, py: Python<'_>, sequence: i64) -> PyResult<()> {
        self.commit_quietly(sequence);
        self.check_evicted(py)?;
        self.ring.clear_done(py)
    }

    /// Whether it was evicted.
    #[inline]
    pub fn is_evicted(&self) -> bool {
        matches!(&self.seat, Seat::Member(consumer) if consumer.is_evicted())
    }

    /// # Errors
    /// It was evicted.
    #[inline]
    pub fn check_evicted(&self, py: Python<'_>) -> PyResult<()> {
        match &self.seat {
            Seat::Member(consumer) if consumer.is_evicted() && !self.left.get() => Err(self.evicted(py, consumer)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn evicted(&self, py: Python<'_>, consumer: &Consumer) -> PyErr {
        let sequence = consumer.sequence();
        let missed = (registry::cursor(&self.ring.segment) - sequence).max(0) as u64;
        // A durable one has its place counted up when it comes back.
        if consumer.entry().identity.kind.load(Ordering::Relaxed) & registry::DURABLE == 0 {
            consumer.count_missed(missed.saturating_sub(self.told.swap(missed, Ordering::Relaxed)));
        }
        errors::error(py, "EvictedError", (self.name.as_str(), sequence, missed))
    }

    /// The last sequence it is done with.
    #[inline]
    pub fn sequence(&self) -> i64 {
        match &self.seat {
            Seat::Member(consumer) => consumer.sequence(),
            Seat::Watcher(watcher) => watcher.sequence.load(Ordering::Relaxed),
        }
    }

    /// Whether producers wait for it.
    #[inline]
    pub fn is_gating(&self) -> bool {
        matches!(&self.seat, Seat::Member(consumer) if consumer.is_gating())
    }

    /// Its entry in the registry; one that there is not for a watcher.
    pub fn index(&self) -> usize {
        match &self.seat {
            Seat::Member(consumer) => consumer.index(),
            Seat::Watcher(_) => usize::MAX,
        }
    }

    /// Its entry as a bit; 0 for a watcher.
    pub fn entry_bit(&self) -> u64 {
        u32::try_from(self.index())
            .ok()
            .and_then(|index| 1_u64.checked_shl(index))
            .unwrap_or(0)
    }

    /// Counts a batch of `events`.
    #[inline]
    pub fn count_batch(&self, events: u64) {
        match &self.seat {
            Seat::Member(consumer) => consumer.count_batch(events),
            Seat::Watcher(watcher) => add(&watcher.events, events),
        }
    }

    /// Events handed out.
    pub fn events(&self) -> u64 {
        match &self.seat {
            Seat::Member(consumer) => consumer.entry().counters.events.load(Ordering::Relaxed),
            Seat::Watcher(watcher) => watcher.events.load(Ordering::Relaxed),
        }
    }

    /// Events it was lapped by, or missed while it was away.
    pub fn missed(&self) -> u64 {
        match &self.seat {
            Seat::Member(consumer) => consumer.entry().counters.missed.load(Ordering::Relaxed),
            Seat::Watcher(watcher) => watcher.missed.load(Ordering::Relaxed),
        }
    }

    /// What ended a wait because the consumer at `index` has died.
    pub fn died(&self, py: Python<'_>, index: usize) -> PyErr {
        let segment = &self.ring.segment;
        let name = registry::name_of(segment.consumer(index));
        errors::error(py, "PeerDiedError", (name, residents::end_of(segment, index)))
    }

    /// `commit` for a step that no object depends on.
    #[inline]
    pub fn commit_quietly(&self, sequence: i64) {
        match &self.seat {
            Seat::Member(consumer) => {
                consumer.commit(sequence);
            }
            Seat::Watcher(watcher) => watcher.sequence.store(sequence, Ordering::Relaxed),
        }
    }

    /// Leaves the ring.
    ///
    /// # Errors
    /// Somebody depends on it.
    pub fn leave(&self, py: Python<'_>) -> PyResult<()> {
        if self.left.get() || self.ring.check_fork(py).is_err() {
            return Ok(());
        }
        if let Seat::Member(consumer) = &self.seat {
            enter::registering(py, &self.ring.segment, |held| consumer.leave_with(held))?
                .map_err(|why| errors::leave(py, why, &self.name))?;
        }
        self.left.set(true);
        self.ring.let_orphans_leave(enter::SLICE);
        self.ring.clear_done(py)
    }

    /// Leaves the ring though others depend on it.
    pub fn part(&self, py: Python<'_>) -> PyResult<()> {
        if self.left.get() || self.ring.check_fork(py).is_err() {
            return Ok(());
        }
        if let Seat::Member(consumer) = &self.seat {
            enter::registering(py, &self.ring.segment, |held| consumer.part_with(held))?;
        }
        self.left.set(true);
        self.ring.clear_done(py)
    }

    pub fn has_left(&self) -> bool {
        self.left.get()
    }
}

impl Drop for Reader {
    /// A consumer that is forgotten must not hold the producers up.
    fn drop(&mut self) {
        if let (false, Seat::Member(consumer)) = (self.left.get(), &self.seat)
            && !self.ring.is_forked()
        {
            self.ring.orphans.get_mut().push(consumer.clone());
            self.ring.let_orphans_leave(enter::SLICE);
        }
    }
}

struct Readable<'a> {
    reader: &'a Reader,
    barrier: &'a SequenceBarrier,
    wanted: i64,
}

impl Condition for Readable<'_> {
    type Output = ();
    const FOLLOWS: bool = true;

    fn poll(&mut self) -> Result<(), Blocker> {
        self.reader.look(self.barrier, self.wanted, 1).map(|_| ())
    }
}

/// How a watcher of a read-only ring waits.
const WATCHING: WaitStrategy = WaitStrategy::Sleeping {
    longest: Duration::from_millis(1),
};

fn watcher(ring: &Ring, start: Start) -> Watcher {
    Watcher {
        sequence: AtomicI64::new(start.of_watcher(&ring.segment)),
        events: AtomicU64::new(0),
        missed: AtomicU64::new(0),
    }
}

/// One thread writes: a load and a store are enough.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// Lets the clearing of objects gate the producers before the first consumer does.
fn join_clear(py: Python<'_>, ring: &Arc<Ring>) -> PyResult<()> {
    let Some(clear) = ring.objects.as_ref().and_then(|objects| objects.clear.as_ref()) else {
        return Ok(());
    };
    if clear.consumer.get_mut().is_none() {
        let consumer = Consumer::join(&ring.segment, CLEAR_NAME, true, Start::Latest)
            .map_err(|why| errors::join(py, &why, &ring.label))?;
        *clear.consumer.get_mut() = Some(consumer);
    }
    Ok(())
}

/// A start from Python: None, "latest", "oldest", or a sequence.
fn parse_start(py: Python<'_>, start: Option<&Bound<'_, PyAny>>) -> PyResult<Start> {
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
