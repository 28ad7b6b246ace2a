//! The one door for every call that may wait: the GIL released, signals looked at every 50 ms.

use pyo3::prelude::*;
use ringbus_core::segment::Registering;
use ringbus_core::{Outcome, Segment};
use std::time::{Duration, Instant};

/// The longest wait without a look at signals.
pub const SLICE: Duration = Duration::from_millis(50);

/// Runs `wait(deadline)` without the GIL, a slice at a time, until it is ready, alerted, or `deadline` has
/// passed.
///
/// # Errors
/// What a signal handler raised, such as `KeyboardInterrupt`.
pub fn wait<T: Send>(
    py: Python<'_>,
    deadline: Option<Instant>,
    wait: impl Fn(Option<Instant>) -> Outcome<T> + Sync,
) -> PyResult<Outcome<T>> {
    loop {
        let slice = Instant::now() + SLICE;
        let until = deadline.map_or(slice, |deadline| deadline.min(slice));
        match py.detach(|| wait(Some(until))) {
            Outcome::TimedOut if deadline.is_none_or(|deadline| Instant::now() < deadline) => py.check_signals()?,
            outcome => return Ok(outcome),
        }
    }
}

/// Runs `act`, which joins or leaves, when nobody else does: a peer that was stopped in the middle of that may keep the
/// others waiting for long. `act` runs without the GIL, so that it never waits for it while it keeps others waiting.
///
/// # Errors
/// What a signal handler raised meanwhile; then `act` was not called.
pub fn registering<T: Send>(
    py: Python<'_>,
    segment: &Segment,
    mut act: impl FnMut(&Registering<'_>) -> T + Send,
) -> PyResult<T> {
    if !segment.is_shared() {
        return Ok(act(&segment.registering()));
    }
    loop {
        let until = Instant::now() + SLICE;
        match py.detach(|| segment.registering_until(until).map(|held| act(&held))) {
            Some(done) => return Ok(done),
            None => py.check_signals()?,
        }
    }
}

/// When a wait of `timeout` seconds ends; `None` waits for ever.
///
/// # Errors
/// A negative time-out, or one that is no number.
pub fn deadline(py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else { return Ok(None) };
    if seconds.is_nan() || seconds < 0.0 {
        let fact = format!("timeout is {seconds}");
        return Err(crate::errors::error(
            py,
            "ConfigurationError",
            (fact, "use seconds, at least 0, or None"),
        ));
    }
    Ok(Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|timeout| Instant::now().checked_add(timeout)))
}
