//! One who reads, and holds producers up until it has.

use crate::failure::{Code, Failure, answer};
use crate::handle::{self, Handle, Kind};
use crate::options::{self, ConsumerOptions};
use crate::ring::{self, Ring, out};
use ringbus_core::consumer::poll_unless_lapped;
use ringbus_core::sequence::sane;
use ringbus_core::sync::{Ordering, spin_hint};
use ringbus_core::wait::{Condition, wait};
use ringbus_core::{
    Alert, Blocker, Consumer, Lapped, MAX_CONSUMERS, Outcome, Segment, SequenceBarrier, Start, Terms, WaitStrategy,
    read_unless_lapped, recovery, registry, residents,
};
use std::ffi::c_char;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

const UNGATED: u64 = 1;
const DURABLE: u64 = 2;

/// Looks before a wait counts as one.
const LOOKS: u32 = 128;
/// Between two looks for the dead by who does not wait.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The longest wait before the time spent in it is counted, for who watches.
const SLICE: Duration = Duration::from_millis(50);
/// How a watcher of a read-only ring waits: it cannot arm a word of the segment.
const WATCHING: WaitStrategy = WaitStrategy::Sleeping {
    longest: Duration::from_millis(1),
};

/// Where a consumer keeps its place.
enum Seat {
    /// In the registry.
    Member(Consumer),
    /// In this process alone: the ring is read-only here.
    Watcher { sequence: i64, missed: u64 },
}

impl Seat {
    fn sequence(&self) -> i64 {
        match self {
            Self::Member(consumer) => consumer.sequence(),
            Self::Watcher { sequence, .. } => *sequence,
        }
    }

    #[inline]
    fn commit(&mut self, to: i64) -> bool {
        match self {
            Self::Member(consumer) => return consumer.commit(to),
            Self::Watcher { sequence, .. } => *sequence = to,
        }
        true
    }

    fn missed(&self) -> u64 {
        match self {
            Self::Member(consumer) => consumer.entry().counters.missed.load(Ordering::Relaxed),
            Self::Watcher { missed, .. } => *missed,
        }
    }

    fn count_missed(&mut self, events: u64) {
        match self {
            Self::Member(consumer) => consumer.count_missed(events),
            Self::Watcher { missed, .. } => *missed += events,
        }
    }
}

/// A consumer and how far it is.
pub struct Reader {
    seat: Seat,
    barrier: SequenceBarrier,
    segment: Arc<Segment>,
    alert: Alert,
    ring: Arc<str>,
    strategy: WaitStrategy,
    gating: bool,
    /// The next sequence to look at.
    next: i64,
    /// The last sequence that a poll has shown.
    shown: i64,
    next_look: Instant,
}

impl Kind for Reader {
    const TAG: u64 = u64::from_le_bytes(*b"rb cons\0");
    const NAME: &'static str = "ringbus_consumer";
}

/// Why a poll showed nothing.
enum Nothing {
    /// This one has to move first.
    Yet(Blocker),
    /// Look again, further on.
    Here,
}

impl Reader {
    fn join(ring: &Ring, name: &str, options: &ConsumerOptions, depends_on: &[&str]) -> Result<Self, Failure> {
        options::check_flags(options.flags, UNGATED | DURABLE)?;
        let (strategy, start) = (options.wait.strategy()?, options.start()?);
        let gating = options.flags & UNGATED == 0;
        let segment = Arc::clone(&ring.segment);
        let entries = entries_of(&segment, name, depends_on)?;
        let seat = if segment.is_read_only() {
            if gating {
                ring.check_writable("hold producers up; join with RINGBUS_UNGATED, or")?;
            }
            watch(&segment, start)
        } else {
            let terms = Terms {
                gating,
                durable: options.flags & DURABLE != 0,
                absent_limit: options.absent_limit,
                evict_after: 0,
            };
            let consumer = Consumer::join_as(&segment, name, terms, start)?;
            follow(&consumer, depends_on, entries)?;
            Seat::Member(consumer)
        };
        let sequence = seat.sequence();
        Ok(Self {
            barrier: SequenceBarrier::new(&segment, entries, ring.alert.clone()),
            strategy: if segment.is_read_only() { WATCHING } else { strategy },
            alert: ring.alert.clone(),
            ring: Arc::clone(&ring.name),
            gating,
            next: sequence + 1,
            shown: sequence,
            next_look: Instant::now() + LOOK_EVERY,
            seat,
            segment,
        })
    }

    /// Shows what is there: how many events, from `self.next` on.
    #[inline]
    fn show(&mut self, limit: i64) -> Result<i64, Nothing> {
        let last = self.readable(limit)?;
        let (first, last) = if self.segment.has_pads() {
            self.between_pads(last)?
        } else {
            (self.next, last)
        };
        self.next = first;
        self.shown = last;
        Ok(last - first + 1)
    }

    #[inline]
    fn readable(&mut self, limit: i64) -> Result<i64, Nothing> {
        if self.gating {
            return self.barrier.poll(self.next, limit).map_err(Nothing::Yet);
        }
        poll_unless_lapped(&self.barrier, self.next, limit)
            .map_err(Nothing::Yet)?
            .map_err(|lapped| self.resume(lapped))
    }

    /// Goes on where the producers have not been again; what lies between is missed.
    #[cold]
    fn resume(&mut self, lapped: Lapped) -> Nothing {
        self.seat.count_missed((lapped.resume - self.next) as u64);
        self.skip_to(lapped.resume);
        Nothing::Here
    }

    fn skip_to(&mut self, next: i64) {
        self.seat.commit(next - 1);
        self.next = next;
        self.shown = next - 1;
    }

    /// The first run of events up to `last` without a Pad in it.
    #[cold]
    fn between_pads(&mut self, last: i64) -> Result<(i64, i64), Nothing> {
        let (segment, next) = (&self.segment, self.next);
        let run = || {
            let first = (next..=last).find(|&sequence| !segment.is_pad(sequence))?;
            let end = (first..=last)
                .take_while(|&sequence| !segment.is_pad(sequence))
                .last()?;
            Some((first, end))
        };
        let found = if self.gating {
            Ok(run())
        } else {
            read_unless_lapped(segment, next, run)
        };
        match found {
            Ok(Some(run)) => Ok(run),
            Ok(None) => {
                self.skip_to(last + 1);
                Err(Nothing::Here)
            }
            Err(lapped) => Err(self.resume(lapped)),
        }
    }

    #[inline]
    fn poll(&mut self, limit: i64) -> Result<i64, Failure> {
        check_limit(limit)?;
        loop {
            match self.show(limit) {
                Ok(count) => return Ok(count),
                Err(Nothing::Here) => {}
                Err(Nothing::Yet(blocker)) => return self.nothing(blocker),
            }
        }
    }

    /// Nothing is there: 0, unless nothing will come any more.
    #[cold]
    fn nothing(&mut self, blocker: Blocker) -> Result<i64, Failure> {
        if self.segment.is_retired() {
            return Err(ring::alerted(&self.segment, &self.ring));
        }
        let now = Instant::now();
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            recovery::look(&self.segment, blocker);
        }
        match blocker {
            Blocker::Consumer(index) if recovery::is_gone(&self.segment, index) => Err(died(&self.segment, index)),
            _ => Ok(0),
        }
    }

    #[inline]
    fn wait_for(&mut self, limit: i64, timeout_ns: i64) -> Result<i64, Failure> {
        check_limit(limit)?;
        for _ in 0..self.looks() {
            if let Ok(count) = self.show(limit) {
                return Ok(count);
            }
            spin_hint();
        }
        self.wait_slowly(limit, options::deadline(timeout_ns))
    }

    /// Looks before it asks what time it is.
    fn looks(&self) -> u32 {
        match self.strategy {
            WaitStrategy::Blocking { spins } => spins.clamp(1, LOOKS),
            _ => LOOKS,
        }
    }

    #[cold]
    fn wait_slowly(&mut self, limit: i64, deadline: Option<Instant>) -> Result<i64, Failure> {
        if let Seat::Member(consumer) = &self.seat {
            consumer.count_wait();
        }
        loop {
            match self.wait_some(deadline) {
                Outcome::Ready(()) => {
                    if let Ok(count) = self.show(limit) {
                        return Ok(count);
                    }
                }
                Outcome::TimedOut if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Ok(0),
                Outcome::TimedOut => {}
                Outcome::Alerted => return Err(ring::alerted(&self.segment, &self.ring)),
                Outcome::Died(index) => return Err(died(&self.segment, index)),
            }
        }
    }

    /// Waits for a slice of the time, and counts it.
    fn wait_some(&self, deadline: Option<Instant>) -> Outcome<()> {
        let begin = Instant::now();
        let slice = begin + SLICE;
        let until = deadline.map_or(slice, |deadline| deadline.min(slice));
        let mut readable = Readable(self);
        let outcome = wait(&self.segment, self.strategy, &self.alert, Some(until), &mut readable);
        if let Seat::Member(consumer) = &self.seat {
            consumer.count_blocked(begin.elapsed().as_nanos() as u64);
        }
        outcome
    }

    #[inline]
    fn commit(&mut self, last: i64) -> Result<i32, Failure> {
        if last < self.next - 1 || last > self.shown {
            return Err(self.not_shown("committing", last));
        }
        if last >= self.next {
            if !self.seat.commit(last) {
                return Err(evicted());
            }
            if let Seat::Member(consumer) = &self.seat {
                consumer.count_batch((last - self.next + 1) as u64);
            }
            self.next = last + 1;
        }
        Ok(0)
    }

    #[cold]
    fn not_shown(&self, what: &str, sequence: i64) -> Failure {
        let (next, shown) = (self.next, self.shown);
        Failure::invalid(format!(
            "{what} {sequence}, which is not in {next}..{shown}; pass what a poll has shown and is not committed"
        ))
    }

    fn read(&self, sequence: i64, slot: *mut c_void) -> Result<i32, Failure> {
        if sequence < self.next || sequence > self.shown {
            return Err(self.not_shown("reading", sequence));
        }
        let target = slot.cast::<u64>();
        if target.is_null() || !target.is_aligned() {
            return Err(Failure::invalid(
                "slot is null or not aligned to 8 bytes; pass 8-aligned memory",
            ));
        }
        // SAFETY: aligned, and as long as a slot, by contract.
        let copy = || unsafe { self.segment.copy_slot(sequence, target.cast()) };
        if self.gating {
            copy();
            return Ok(0);
        }
        read_unless_lapped(&self.segment, sequence, copy).map_err(|_| overwritten())?;
        Ok(0)
    }
}

fn evicted() -> Failure {
    let text = c"the consumer was evicted while it came back, and this batch does not count; leave, and join again";
    Failure::plain(Code::Lapped, text)
}

fn overwritten() -> Failure {
    let text = c"the event was overwritten before it was read whole; poll again, which goes on further ahead";
    Failure::plain(Code::Lapped, text)
}

/// Something to read, as something to wait for.
struct Readable<'a>(&'a Reader);

impl Condition for Readable<'_> {
    type Output = ();
    const FOLLOWS: bool = true;

    fn poll(&mut self) -> Result<(), Blocker> {
        let reader = self.0;
        if reader.gating {
            reader.barrier.poll(reader.next, 1).map(|_| ())
        } else {
            poll_unless_lapped(&reader.barrier, reader.next, 1).map(|_| ())
        }
    }
}

#[inline]
fn check_limit(limit: i64) -> Result<(), Failure> {
    if limit >= 1 {
        return Ok(());
    }
    Err(Failure::invalid(format!("limit is {limit}; ask for at least 1 event")))
}

fn died(segment: &Segment, index: usize) -> Failure {
    let name = registry::name_of(segment.consumer(index));
    let how = residents::end_of(segment, index);
    Failure::new(
        Code::PeerDied,
        format!("{name:?} is gone: {how}; leave, and join again after it"),
    )
}

fn watch(segment: &Segment, start: Start) -> Seat {
    let cursor = registry::cursor(segment);
    let sequence = match start {
        Start::At(sequence) => sane(sequence.saturating_sub(1)),
        Start::Oldest => (cursor - segment.capacity()).max(segment.before_start()),
        Start::Default | Start::Latest => cursor,
    };
    Seat::Watcher { sequence, missed: 0 }
}

/// The entries of those named, a bit each.
fn entries_of(segment: &Segment, name: &str, depends_on: &[&str]) -> Result<u64, Failure> {
    let mut entries = 0_u64;
    for dependency in depends_on {
        let Some(index) = registry::find(segment, dependency) else {
            let text = format!("{name:?} depends on {dependency:?}, which is nobody's name; let that one join first");
            return Err(Failure::new(Code::NoConsumer, text));
        };
        entries |= 1 << index;
    }
    match registry::find(segment, name) {
        Some(own) if upstream(segment, entries) & (1 << own) != 0 => Err(Failure::invalid(format!(
            "{name:?} would depend on itself, by way of {depends_on:?}; take one of these dependencies out"
        ))),
        _ => Ok(entries),
    }
}

/// `entries`, and all that they depend on.
fn upstream(segment: &Segment, entries: u64) -> u64 {
    let mut all = entries;
    for _ in 0..MAX_CONSUMERS {
        all = (0..MAX_CONSUMERS)
            .filter(|index| all & (1 << index) != 0)
            .map(|index| segment.consumer(index).identity.depends_on.load(Ordering::Acquire))
            .fold(all, |all, more| all | more);
    }
    all
}

/// Makes `consumer` follow `entries`, and checks that those were there until it did: later none goes unseen.
fn follow(consumer: &Consumer, depends_on: &[&str], entries: u64) -> Result<(), Failure> {
    consumer.depend_on(entries);
    let segment = consumer.segment();
    let is_there = |name: &&str| {
        registry::find(segment, name)
            .is_some_and(|index| entries & (1 << index) != 0 && !recovery::is_gone(segment, index))
    };
    let Some(gone) = depends_on.iter().find(|name| !is_there(name)) else {
        return Ok(());
    };
    // The entry of who is gone may be its own by now.
    consumer.depend_on(0);
    let _ = consumer.leave();
    let text = format!("{gone:?} left or died at the moment when it was to be followed; join again after it");
    Err(Failure::new(Code::PeerDied, text))
}

/// Joins a ring.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_join(
    ring: *const Handle<Ring>,
    name: *const c_char,
    options: *const ConsumerOptions,
    consumer: *mut *mut Handle<Reader>,
) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        let (ring, options) = unsafe { (handle::get(ring)?, options::read(options)?) };
        // SAFETY: by contract.
        let (name, depends_on) = unsafe { (options::text(name, "name")?, options.depends_on()?) };
        // SAFETY: by contract.
        let consumer = unsafe { out(consumer, "consumer") }?;
        *consumer = Handle::give(Reader::join(ring, name, &options, &depends_on)?);
        Ok(0)
    })
}

/// Leaves a ring.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_leave(consumer: *mut Handle<Reader>) -> i32 {
    answer(|| {
        // SAFETY: by contract; taken back once it has left.
        unsafe {
            if let Seat::Member(member) = &handle::get_mut(consumer)?.seat {
                member.leave()?;
            }
            handle::take(consumer)?;
        }
        Ok(0)
    })
}

/// Leaves a ring though others depend on it.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_part(consumer: *mut Handle<Reader>) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        if let Seat::Member(member) = unsafe { handle::take(consumer) }?.seat {
            member.part();
        }
        Ok(0)
    })
}

/// What is there now.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_poll(consumer: *mut Handle<Reader>, limit: i64, first: *mut i64) -> i64 {
    answer(|| {
        // SAFETY: by contract.
        let (reader, first) = unsafe { (handle::get_mut(consumer)?, out(first, "first")?) };
        let count = reader.poll(limit)?;
        *first = reader.next;
        Ok(count)
    })
}

/// What is there, after a wait.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_wait_for(
    consumer: *mut Handle<Reader>,
    limit: i64,
    timeout_ns: i64,
    first: *mut i64,
) -> i64 {
    answer(|| {
        // SAFETY: by contract.
        let (reader, first) = unsafe { (handle::get_mut(consumer)?, out(first, "first")?) };
        let count = reader.wait_for(limit, timeout_ns)?;
        *first = reader.next;
        Ok(count)
    })
}

/// Is done with events.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_commit(consumer: *mut Handle<Reader>, last: i64) -> i32 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::get_mut(consumer) }?.commit(last))
}

/// Copies a slot.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_read(consumer: *mut Handle<Reader>, sequence: i64, slot: *mut c_void) -> i32 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::get(consumer) }?.read(sequence, slot))
}

/// How far it is.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_sequence(consumer: *const Handle<Reader>) -> i64 {
    // SAFETY: by contract.
    answer(|| Ok(unsafe { handle::get(consumer) }?.seat.sequence()))
}

/// What it was lapped by.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_missed(consumer: *const Handle<Reader>) -> i64 {
    // SAFETY: by contract.
    answer(|| Ok(unsafe { handle::get(consumer) }?.seat.missed() as i64))
}
