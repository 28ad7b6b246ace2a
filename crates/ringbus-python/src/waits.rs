//! Wait strategies as they come from Python: a name and two numbers.

use pyo3::prelude::*;
use ringbus_core::WaitStrategy;
use std::time::Duration;

/// `(name, first, second)`: the parts of a strategy, times in seconds.
pub type WaitFacts = (String, f64, f64);

/// The strategy that `facts` name.
///
/// # Errors
/// An unknown name, or a time that is negative or no number.
pub fn parse(py: Python<'_>, (name, first, second): &WaitFacts) -> PyResult<WaitStrategy> {
    let time = |seconds: f64| {
        Duration::try_from_secs_f64(seconds).map_err(|_| {
            let fact = format!("wait strategy {name} has a time of {seconds} s");
            crate::errors::error(py, "ConfigurationError", (fact, "use seconds, at least 0"))
        })
    };
    Ok(match name.as_str() {
        "busy_spin" => WaitStrategy::BusySpin,
        "yielding" => WaitStrategy::Yielding,
        "sleeping" => WaitStrategy::Sleeping { longest: time(*first)? },
        "blocking" => WaitStrategy::Blocking { spins: *first as u32 },
        "phased_backoff" => WaitStrategy::PhasedBackoff {
            spin: time(*first)?,
            yielding: time(*second)?,
        },
        _ => {
            let fact = format!("there is no wait strategy {name:?}");
            let remedy = "use busy_spin, yielding, sleeping, blocking or phased_backoff";
            return Err(crate::errors::error(py, "ConfigurationError", (fact, remedy)));
        }
    })
}
