//! How a thread waits: the wait strategies, all over one condition.
//!
//! Source: LMAX Disruptor 4.0, `WaitStrategy` and its implementations. Differs: every wait, of a
//! producer too, takes a deadline and an alert; a blocking wait sleeps whatever it waits for.

use crate::crash::crash_point;
use crate::futex::SLEEPER;
use crate::planted::{self, Twin};
use crate::segment::{Blocker, Segment};
use crate::sync::{AtomicU32, Ordering, spin_hint, yield_now};
use crate::{eviction, recovery};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a waiter waits for.
pub trait Condition {
    /// What it gets.
    type Output;

    /// Whether a consumer that has died or was evicted ends the wait: it is what this one depends on.
    const FOLLOWS: bool = false;

    /// Whether it waits for free slots: then who holds them too long, and has agreed to that, is evicted.
    const CLAIMS: bool = false;

    /// Looks once.
    ///
    /// # Errors
    /// Who has to move before it can hold.
    fn poll(&mut self) -> Result<Self::Output, Blocker>;
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The condition holds.
    Ready(T),
    /// The deadline passed first.
    TimedOut,
    /// Somebody raised the alert.
    Alerted,
    /// The consumer at this entry, which this one depends on, has died or was evicted.
    Died(usize),
}

/// How to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Never gives the core away: the lowest latency, a core each.
    BusySpin,
    /// Spins a little, then offers the core to others, and goes on.
    Yielding,
    /// Spins, yields, then sleeps, longer each time up to `longest`.
    Sleeping {
        /// The longest single sleep.
        longest: Duration,
    },
    /// Spins a little, then sleeps on a futex until it is woken.
    Blocking {
        /// Looks before it sleeps.
        spins: u32,
    },
    /// Spins for a time, yields for a time, then blocks.
    PhasedBackoff {
        /// Time to spin.
        spin: Duration,
        /// Time to yield.
        yielding: Duration,
    },
}

impl WaitStrategy {
    /// The default of everything that waits.
    pub const BLOCKING: Self = Self::Blocking {
        spins: if cfg!(loom) { 0 } else { 200 },
    };
    /// Sleeps of at most 100 us.
    pub const SLEEPING: Self = Self::Sleeping {
        longest: Duration::from_micros(100),
    };
    /// 10 us of spinning, 90 us of yielding.
    pub const PHASED_BACKOFF: Self = Self::PhasedBackoff {
        spin: Duration::from_micros(10),
        yielding: Duration::from_micros(90),
    };
}

/// Ends the waits of whoever holds a copy.
#[derive(Clone, Debug)]
pub struct Alert(Arc<AtomicU32>);

impl Default for Alert {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(0)))
    }
}

impl PartialEq for Alert {
    /// Whether it is the same alert, not whether it is raised as well.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Alert {
    /// Whether it is raised.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// The word itself, not 0 when it is raised: for machine code that looks at it. Lives as long as a copy.
    #[cfg(not(loom))]
    pub fn word(&self) -> *const u32 {
        self.0.as_ptr()
    }

    /// Raises it and wakes every waiter of the ring, so that those concerned see it.
    pub fn raise(&self, segment: &Segment) {
        self.0.store(1, Ordering::Release);
        if !planted::is(Twin::AlertWithoutWake) {
            segment.wake_all();
        }
    }

    /// Takes it back, before a new start.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }
}

const YIELDING_SPINS: u64 = 100;
const SLEEPING_SPINS: u64 = 100;
const SLEEPING_YIELDS: u64 = 100;
const CLOCK_EVERY: u64 = 64;
/// How long a waiter waits before it looks whether those it waits for are alive.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// How long it waits between later looks.
pub const LATER_LOOKS: Duration = Duration::from_millis(25);

/// Waits for `condition`; `None` is no deadline.
pub fn wait<C: Condition>(
    segment: &Segment,
    strategy: WaitStrategy,
    alert: &Alert,
    deadline: Option<Instant>,
    condition: &mut C,
) -> Outcome<C::Output> {
    if let Ok(output) = condition.poll() {
        return Outcome::Ready(output);
    }
    let next_look = segment.is_shared().then(|| Instant::now() + FIRST_LOOK);
    let mut waiter = Waiter {
        segment,
        alert,
        deadline,
        next_look,
        condition,
    };
    match strategy {
        WaitStrategy::BusySpin => waiter.spin(u64::MAX, |_, _| spin_hint()),
        WaitStrategy::Yielding => waiter.spin(YIELDING_SPINS, |_, _| yield_now()),
        WaitStrategy::Sleeping { longest } => waiter.spin(SLEEPING_SPINS, |turn, left| nap(turn, longest.min(left))),
        WaitStrategy::Blocking { spins } => match waiter.look(spins) {
            Some(outcome) => outcome,
            None => waiter.block(),
        },
        WaitStrategy::PhasedBackoff { spin, yielding } => waiter.phased(spin, yielding),
    }
}

/// One pause of the sleeping strategy, `turn` pauses after its spins.
fn nap(turn: u64, longest: Duration) {
    if turn < SLEEPING_YIELDS || cfg!(loom) {
        yield_now();
    } else {
        let doublings = (turn - SLEEPING_YIELDS).min(16);
        std::thread::sleep(Duration::from_micros(1 << doublings).min(longest));
    }
}

struct Waiter<'a, C> {
    segment: &'a Segment,
    alert: &'a Alert,
    deadline: Option<Instant>,
    /// When to look for the dead; never in a private segment.
    next_look: Option<Instant>,
    condition: &'a mut C,
}

impl<C: Condition> Waiter<'_, C> {
    /// Whether somebody raised the alert, or the ring was unlinked or replaced.
    fn is_alerted(&self) -> bool {
        self.alert.is_raised() || self.segment.is_retired()
    }

    fn remaining(&self) -> Option<Duration> {
        match self.deadline {
            None => Some(Duration::MAX),
            Some(deadline) => deadline
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero()),
        }
    }

    /// Recovers what a dead process left, if it is time to look. The consumer that this one depends on and
    /// that is gone, if that is what it waits for.
    fn look_for_the_dead(&mut self, blocker: Blocker) -> Option<Outcome<C::Output>> {
        if C::FOLLOWS
            && let Blocker::Consumer(index) = blocker
            && recovery::is_gone(self.segment, index)
            && !planted::is(Twin::DeathUntold)
        {
            return Some(Outcome::Died(index));
        }
        let next = self.next_look?;
        let now = Instant::now();
        if now >= next || cfg!(loom) {
            self.next_look = Some(now + LATER_LOOKS);
            recovery::look(self.segment, blocker);
            if C::CLAIMS {
                eviction::look(self.segment, blocker);
            }
        }
        None
    }

    /// Spins `spins` times, then calls `pause(turn, time left)`. Looks at the clock at some of the spins and
    /// before each pause, which may take long.
    fn spin(&mut self, spins: u64, pause: impl Fn(u64, Duration)) -> Outcome<C::Output> {
        for turn in 0_u64.. {
            let blocker = match self.condition.poll() {
                Ok(output) => return Outcome::Ready(output),
                Err(blocker) => blocker,
            };
            if self.is_alerted() {
                return Outcome::Alerted;
            }
            if turn < spins && !turn.is_multiple_of(CLOCK_EVERY) {
                spin_hint();
                continue;
            }
            if let Some(outcome) = self.look_for_the_dead(blocker) {
                return outcome;
            }
            let Some(left) = self.remaining() else {
                return Outcome::TimedOut;
            };
            if turn < spins {
                spin_hint();
            } else {
                pause(turn - spins, left);
            }
        }
        unreachable!("2^64 turns")
    }

    /// `left`, or less where it is time to look for the dead before.
    fn nap(&self, left: Duration) -> Duration {
        self.next_look
            .map_or(left, |next| left.min(next.saturating_duration_since(Instant::now())))
    }

    fn look(&mut self, times: u32) -> Option<Outcome<C::Output>> {
        for _ in 0..times {
            if let Ok(output) = self.condition.poll() {
                return Some(Outcome::Ready(output));
            }
            if self.is_alerted() {
                return Some(Outcome::Alerted);
            }
            spin_hint();
        }
        None
    }

    /// Arms the word of whoever blocks, looks again, and sleeps only if that one still blocks: then its
    /// next move is sure to see the armed word.
    fn block(&mut self) -> Outcome<C::Output> {
        let mut blocker = match self.condition.poll() {
            Ok(output) => return Outcome::Ready(output),
            Err(blocker) => blocker,
        };
        loop {
            let ticket = self.segment.arm(blocker, SLEEPER);
            if !planted::is(Twin::ArmWithoutRecheck) {
                match self.condition.poll() {
                    Ok(output) => return Outcome::Ready(output),
                    Err(other) if other != blocker && !planted::is(Twin::SleepOnStaleBlocker) => {
                        blocker = other;
                        continue;
                    }
                    Err(_) => {}
                }
            }
            if self.is_alerted() {
                return Outcome::Alerted;
            }
            let Some(left) = self.remaining() else {
                return Outcome::TimedOut;
            };
            if let Some(outcome) = self.look_for_the_dead(blocker) {
                return outcome;
            }
            crash_point!("wait.decided");
            self.segment.futex(blocker).sleep(ticket, self.nap(left));
            crash_point!("wait.slept");
        }
    }

    fn phased(&mut self, spin: Duration, yielding: Duration) -> Outcome<C::Output> {
        let begin = Instant::now();
        loop {
            if let Some(outcome) = self.look(CLOCK_EVERY as u32) {
                return outcome;
            }
            if self.remaining().is_none() {
                return Outcome::TimedOut;
            }
            let passed = begin.elapsed();
            if cfg!(loom) || passed > spin + yielding {
                return self.block();
            }
            if passed > spin {
                yield_now();
            }
        }
    }
}
