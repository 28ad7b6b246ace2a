//! One who claims and publishes.

use crate::failure::{Code, Failure, answer};
use crate::handle::{self, Handle, Kind};
use crate::options::{self, Wait};
use crate::ring::{self, Ring, out};
use ringbus_core::layout::INTENTS;
use ringbus_core::{
    Alert, Blocker, MultiProducerSequencer, Outcome, ProducerKind, Segment, Sequencer, SingleProducerSequencer,
    WaitStrategy, eviction, recovery,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks for the dead by who does not wait.
const LOOK_EVERY: Duration = Duration::from_millis(25);

enum Either {
    Single(SingleProducerSequencer),
    Multi(MultiProducerSequencer),
}

/// A producer's place, and the claims it has open.
pub struct Producer {
    sequencer: Either,
    segment: Arc<Segment>,
    alert: Alert,
    name: Arc<str>,
    strategy: WaitStrategy,
    /// Where the publish time is in a slot.
    stamp: Option<usize>,
    /// The claims in use, a bit each.
    open: u32,
    claims: [(i64, i64); INTENTS],
    next_look: Instant,
}

impl Kind for Producer {
    const TAG: u64 = u64::from_le_bytes(*b"rb prod\0");
    const NAME: &'static str = "ringbus_producer";
}

impl Producer {
    fn open(ring: &Ring, wait: Wait) -> Result<Self, Failure> {
        ring.check_writable("publish")?;
        let strategy = wait.strategy()?;
        let segment = Arc::clone(&ring.segment);
        let sequencer = match segment.geometry().kind {
            ProducerKind::Single => Either::Single(SingleProducerSequencer::enter(Arc::clone(&segment))?),
            ProducerKind::Multi => Either::Multi(MultiProducerSequencer::enter(Arc::clone(&segment))?),
        };
        Ok(Self {
            sequencer,
            stamp: ring::stamp_offset(&segment),
            segment,
            alert: ring.alert.clone(),
            name: Arc::clone(&ring.name),
            strategy,
            open: 0,
            claims: [(0, 0); INTENTS],
            next_look: Instant::now() + LOOK_EVERY,
        })
    }

    #[inline]
    fn check(&self, count: i64) -> Result<(), Failure> {
        if self.segment.is_retired() {
            return Err(ring::alerted(&self.segment, &self.name));
        }
        match &self.sequencer {
            Either::Single(_) if self.open != 0 => Err(self.claim_open()),
            Either::Single(sequencer) => Ok(sequencer.check(count)?),
            Either::Multi(sequencer) => Ok(sequencer.check(count)?),
        }
    }

    #[cold]
    fn claim_open(&self) -> Failure {
        let (low, high) = self.claims[0];
        let text = format!(
            "the ring {:?} has one producer, and its claim {low}..{high} is open; publish or abort it first",
            self.name
        );
        Failure::new(Code::ClaimOpen, text)
    }

    #[inline]
    fn poll_claim(&mut self, count: i64) -> Result<i64, Blocker> {
        match &mut self.sequencer {
            Either::Single(sequencer) => sequencer.poll_claim(count),
            Either::Multi(sequencer) => sequencer.poll_claim(count),
        }
    }

    #[inline]
    fn try_claim(&mut self, count: i64) -> Result<i64, Failure> {
        self.check(count)?;
        match self.poll_claim(count) {
            Ok(high) => Ok(self.remember(count, high)),
            Err(blocker) => Err(self.full(blocker)),
        }
    }

    #[cold]
    fn full(&mut self, blocker: Blocker) -> Failure {
        let now = Instant::now();
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            recovery::look(&self.segment, blocker);
            eviction::look(&self.segment, blocker);
        }
        ringbus_core::ClaimError::Full.into()
    }

    #[inline]
    fn claim(&mut self, count: i64, timeout_ns: i64) -> Result<i64, Failure> {
        self.check(count)?;
        match self.poll_claim(count) {
            Ok(high) => Ok(self.remember(count, high)),
            Err(_) => self.claim_slowly(count, timeout_ns),
        }
    }

    #[cold]
    fn claim_slowly(&mut self, count: i64, timeout_ns: i64) -> Result<i64, Failure> {
        let deadline = options::deadline(timeout_ns);
        let (strategy, alert) = (self.strategy, &self.alert);
        let outcome = match &mut self.sequencer {
            Either::Single(sequencer) => sequencer.claim(count, strategy, alert, deadline),
            Either::Multi(sequencer) => sequencer.claim(count, strategy, alert, deadline),
        }?;
        match outcome {
            Outcome::Ready(high) => Ok(self.remember(count, high)),
            Outcome::TimedOut => Err(ring::claim_timed_out(&self.segment, &self.name, count, timeout_ns)),
            Outcome::Alerted | Outcome::Died(_) => Err(ring::alerted(&self.segment, &self.name)),
        }
    }

    /// Notes the claim of `count` up to `high`; `check` has seen that there is a place.
    #[inline]
    fn remember(&mut self, count: i64, high: i64) -> i64 {
        let place = (self.open.trailing_ones() as usize).min(INTENTS - 1);
        self.claims[place] = (high - count + 1, high);
        self.open |= 1 << place;
        high
    }

    /// Takes the note of the claim `low..=high` away.
    #[inline]
    fn settle(&mut self, low: i64, high: i64) -> Result<(), Failure> {
        let mut rest = self.open;
        while rest != 0 {
            let place = rest.trailing_zeros() as usize;
            if self.claims[place] == (low, high) {
                self.open &= !(1 << place);
                return Ok(());
            }
            rest &= rest - 1;
        }
        Err(self.no_claim(low, high))
    }

    #[cold]
    fn no_claim(&self, low: i64, high: i64) -> Failure {
        let open: Vec<String> = self.open_claims().map(|(low, high)| format!("{low}..{high}")).collect();
        Failure::invalid(format!(
            "{low}..{high} is no claim of this producer that is open, which are [{}]; pass a whole claim, once",
            open.join(", ")
        ))
    }

    fn open_claims(&self) -> impl Iterator<Item = (i64, i64)> {
        (0..INTENTS)
            .filter(|place| self.open & (1 << place) != 0)
            .map(|place| self.claims[place])
    }

    #[inline]
    fn publish(&mut self, low: i64, high: i64) -> Result<i32, Failure> {
        self.settle(low, high)?;
        if let Some(stamp) = self.stamp {
            self.stamp_slots(stamp, low, high);
        }
        match &mut self.sequencer {
            Either::Single(sequencer) => sequencer.publish(low, high),
            Either::Multi(sequencer) => sequencer.publish(low, high),
        }
        Ok(0)
    }

    fn stamp_slots(&self, stamp: usize, low: i64, high: i64) {
        let now = monotonic_ns();
        for sequence in low..=high {
            // SAFETY: the publish time is inside the slot, which is this producer's until it is published.
            unsafe { self.segment.slot(sequence).add(stamp).cast::<i64>().write(now) };
        }
    }

    fn abort(&mut self, low: i64, high: i64) -> Result<i32, Failure> {
        self.settle(low, high)?;
        match &mut self.sequencer {
            Either::Single(sequencer) => sequencer.abort(low, high),
            Either::Multi(sequencer) => sequencer.abort(low, high),
        }
        Ok(0)
    }
}

fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Becomes a producer.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_producer_open(
    ring: *const Handle<Ring>,
    wait: *const Wait,
    producer: *mut *mut Handle<Producer>,
) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        let (ring, wait, producer) = unsafe { (handle::get(ring)?, wait.as_ref(), out(producer, "producer")?) };
        *producer = Handle::give(Producer::open(ring, wait.copied().unwrap_or_default())?);
        Ok(0)
    })
}

/// Gives a producer's place back.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_producer_close(producer: *mut Handle<Producer>) -> i32 {
    answer(|| {
        // SAFETY: by contract.
        let mut producer = unsafe { handle::take(producer) }?;
        let open: Vec<(i64, i64)> = producer.open_claims().collect();
        open.into_iter()
            .try_for_each(|(low, high)| producer.abort(low, high).map(|_| ()))?;
        Ok(0)
    })
}

/// Claims.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_claim(producer: *mut Handle<Producer>, count: i64, timeout_ns: i64) -> i64 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::get_mut(producer) }?.claim(count, timeout_ns))
}

/// Claims without waiting.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_try_claim(producer: *mut Handle<Producer>, count: i64) -> i64 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::get_mut(producer) }?.try_claim(count))
}

/// Publishes a claim.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_publish(producer: *mut Handle<Producer>, low: i64, high: i64) -> i32 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::get_mut(producer) }?.publish(low, high))
}

/// Gives a claim back.
///
/// # Safety
/// As in `ringbus.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringbus_abort(producer: *mut Handle<Producer>, low: i64, high: i64) -> i32 {
    // SAFETY: by contract.
    answer(|| unsafe { handle::get_mut(producer) }?.abort(low, high))
}
