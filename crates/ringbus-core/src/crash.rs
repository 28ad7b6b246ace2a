//! Crash points: named places where a test lets this process, or under loom this thread, die.
//!
//! `crash_point!("claim.taken")` stands after each step that others can see. With the feature `crash-points` the process
//! gets SIGKILL there when the environment says `CRASH_AT=claim.taken` (the first time) or `CRASH_AT=claim.taken:3` (the
//! third), and SIGSTOP when `STOP_AT` says so. Under loom a thread that was told to [`die`] unwinds there. In every other
//! build nothing of this is left.

macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(any(feature = "crash-points", loom))]
        $crate::crash::point($name);
    };
}

pub(crate) use crash_point;

#[cfg(all(feature = "crash-points", not(loom)))]
pub use killed::point;
#[cfg(loom)]
pub use unwound::{die, has_died, point};

/// Whether a Line or the like is dropped by a thread that stands for a process that has died.
#[cfg(not(loom))]
#[inline(always)]
pub const fn has_died() -> bool {
    false
}

#[cfg(all(feature = "crash-points", not(loom)))]
mod killed {
    use crate::sync::{AtomicU64, Ordering};
    use std::sync::OnceLock;

    struct Plan {
        name: String,
        left: AtomicU64,
        signal: libc::c_int,
    }

    fn plan(variable: &str, signal: libc::c_int) -> Option<Plan> {
        let value = std::env::var(variable).ok()?;
        let (name, times) = value.split_once(':').unwrap_or((&value, "1"));
        let left = AtomicU64::new(times.parse().expect("a point is given as name or name:number"));
        Some(Plan {
            name: name.to_owned(),
            left,
            signal,
        })
    }

    /// Passes the point `name`.
    pub fn point(name: &str) {
        static PLANS: OnceLock<[Option<Plan>; 2]> = OnceLock::new();
        let plans = PLANS.get_or_init(|| [plan("STOP_AT", libc::SIGSTOP), plan("CRASH_AT", libc::SIGKILL)]);
        for plan in plans.iter().flatten().filter(|plan| plan.name == name) {
            if plan.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                // SAFETY: sends a signal to this process; neither signal runs anything in it.
                unsafe { libc::kill(libc::getpid(), plan.signal) };
            }
        }
    }
}

#[cfg(loom)]
mod unwound {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    struct Died;

    loom::thread_local! {
        static PLAN: Cell<Option<(&'static str, u32)>> = Cell::new(None);
        static DEAD: Cell<bool> = Cell::new(false);
    }

    /// Runs `life` and cuts it short at the `times`-th passing of the point `name`. Whether it was.
    ///
    /// What the thread owns is dropped afterwards as a process's belongings are: its bytes go, its words stay. Locks that are held
    /// at a point are not modelled.
    pub fn die(name: &'static str, times: u32, life: impl FnOnce()) -> bool {
        PLAN.with(|plan| plan.set(Some((name, times))));
        let ended = catch_unwind(AssertUnwindSafe(life));
        PLAN.with(|plan| plan.set(None));
        match ended {
            Ok(()) => false,
            Err(died) if died.is::<Died>() => {
                DEAD.with(|dead| dead.set(true));
                true
            }
            Err(other) => resume_unwind(other),
        }
    }

    /// Whether this thread stands for a process that has died.
    pub fn has_died() -> bool {
        DEAD.with(Cell::get)
    }

    /// Passes the point `name`.
    pub fn point(name: &str) {
        let dies = PLAN.with(|plan| match plan.get() {
            Some((planned, times)) if planned == name => {
                plan.set(Some((planned, times - 1)));
                times == 1
            }
            _ => false,
        });
        if dies {
            resume_unwind(Box::new(Died));
        }
    }
}
