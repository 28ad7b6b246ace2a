//! One place where what goes wrong in the core becomes an exception of `ringbus.errors`.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::PyType;
use ringbus_core::segment::Access;
use ringbus_core::{ClaimError, ConfigError, JoinError, LeaveError, Segment, ShareError, TopologyError, residents};

/// The exception `class` of `ringbus.errors`, built from `facts`.
pub fn error<'py>(py: Python<'py>, class: &str, facts: impl PyCallArgs<'py>) -> PyErr {
    let built = py
        .import("ringbus.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| Ok(class.cast_into::<PyType>()?))
        .and_then(|class| class.call1(facts));
    match built {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A ring that cannot be made.
pub fn config(py: Python<'_>, reason: &ConfigError) -> PyErr {
    match reason {
        ConfigError::CapacityNotPowerOfTwo { capacity } => {
            let (below, above) = neighbours(*capacity);
            let remedy = format!("use {below} or {above}");
            error(
                py,
                "CapacityError",
                ("capacity is not a power of two", *capacity, remedy),
            )
        }
        ConfigError::CapacityTooLarge { capacity, slot_bytes } => {
            let bytes = u128::from(*capacity) * u128::from(*slot_bytes);
            let fact = format!("capacity would take {} at {slot_bytes} bytes a slot", human(bytes));
            error(
                py,
                "CapacityError",
                (
                    fact,
                    *capacity,
                    "at most 2**32 slots and 64 TiB; use a smaller power of two",
                ),
            )
        }
        ConfigError::StartOutOfRange { start } => {
            let fact = format!("start is {start}");
            error(
                py,
                "ConfigurationError",
                (fact, "a first sequence is at least 0 and below 2**62 - 2**32"),
            )
        }
        ConfigError::OutOfMemory { bytes, errno } => {
            let fact = format!("the system gave no {} (errno {errno})", human(u128::from(*bytes)));
            error(py, "CapacityError", (fact, *bytes, "use a smaller capacity"))
        }
    }
}

fn neighbours(capacity: u64) -> (u64, u64) {
    let above = capacity.checked_next_power_of_two().unwrap_or(1 << 63);
    (if above > 1 { above / 2 } else { 1 }, above)
}

fn human(bytes: u128) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = ((128 - bytes.leading_zeros()).saturating_sub(1) / 10).min(6) as usize;
    if unit == 0 {
        return format!("{bytes} bytes");
    }
    format!("{:.1} {}", bytes as f64 / (1_u128 << (10 * unit)) as f64, UNITS[unit])
}

/// A shared ring that cannot be made or attached to.
pub fn share(py: Python<'_>, reason: &ShareError) -> PyErr {
    match reason {
        ShareError::NotFound { path } => {
            let facts = (reason.to_string(), path.display().to_string());
            error(py, "RingNotFoundError", facts)
        }
        ShareError::Exists { path } => error(py, "RingExistsError", (path.display().to_string(), holders(path))),
        ShareError::BadName { .. } => {
            let remedy = "use letters, digits and -_.:@, beginning with a letter or digit, at most 100";
            error(py, "ConfigurationError", (reason.to_string(), remedy))
        }
        ShareError::NotPrivate { .. } => {
            let remedy = "rings live in a folder of mode 0700 of this user; set RINGBUS_DIR to one";
            error(py, "ConfigurationError", (reason.to_string(), remedy))
        }
        ShareError::Layout {
            path,
            fact,
            found,
            expected,
        } => error(
            py,
            "LayoutError",
            (format!("{} {fact}", path.display()), found.as_str(), expected.as_str()),
        ),
        ShareError::ProducersFull { .. } => error(
            py,
            "ClaimError",
            (reason.to_string(), "close producers that are no longer needed"),
        ),
        ShareError::OtherProducer => {
            let remedy = "publish from that process, or make the ring with producers=\"multi\"";
            error(py, "ClaimError", (reason.to_string(), remedy))
        }
        ShareError::Config(reason) => config(py, reason),
        ShareError::Io { errno, .. } => pyo3::exceptions::PyOSError::new_err((*errno, reason.to_string())),
    }
}

/// A shared ring that cannot be made: one of another kind may have been left behind under its name.
pub fn create(py: Python<'_>, reason: &ShareError) -> PyErr {
    let ShareError::Layout {
        path,
        fact,
        found,
        expected,
    } = reason
    else {
        return share(py, reason);
    };
    let fact = format!("{} {fact}", path.display());
    let remedy = "use the same schema and version, or begin anew with replace=True";
    error(py, "LayoutError", (fact, found.as_str(), expected.as_str(), remedy))
}

/// Who lives in the ring at `path`, for a message.
fn holders(path: &std::path::Path) -> Vec<String> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    Segment::attach(&name, Access::Read, None)
        .map(|segment| residents::residents(&segment))
        .unwrap_or_default()
}

/// A claim that was refused.
pub fn claim(py: Python<'_>, reason: ClaimError, ring: &str) -> PyErr {
    match reason {
        ClaimError::CountOutOfRange { count, capacity } => {
            let fact = format!("a claim on {ring} is not in 1..{capacity}");
            error(
                py,
                "CapacityError",
                (
                    fact,
                    count,
                    "claim less at a time, or use publish_batch, which claims in parts",
                ),
            )
        }
        ClaimError::Full => error(py, "WaitTimeout", (format!("claiming on {ring}"), 0.0)),
        ClaimError::TooManyOpenClaims => error(
            py,
            "ClaimError",
            (format!("{reason} ({ring})"), "leave one of them first"),
        ),
        ClaimError::Exhausted => {
            let fact = format!("{ring} has reached its last sequence, 2**62");
            error(py, "ClaimError", (fact, "begin a new ring"))
        }
    }
}

/// A consumer that cannot join.
pub fn join(py: Python<'_>, reason: &JoinError, ring: &str) -> PyErr {
    if *reason == JoinError::MayWriteSlots {
        let fact = format!("evict_after= on {ring}: {reason}");
        return error(
            py,
            "ConfigurationError",
            (fact, "attach to the ring with read_only=\"slots\", and add it there"),
        );
    }
    let remedy = match reason {
        JoinError::RegistryFull => "close consumers that are no longer needed",
        JoinError::NameTaken { .. } | JoinError::MayWriteSlots => "choose another name",
        JoinError::NameLength { .. } => "use a shorter name, at least one character, without NUL",
        JoinError::StartNotHeld { .. } => "start at 'latest', or keep its place with require= on the ring",
    };
    error(py, "TopologyError", (format!("{reason} ({ring})"), remedy))
}

/// A consumer that cannot leave.
pub fn leave(py: Python<'_>, reason: LeaveError, name: &str) -> PyErr {
    error(
        py,
        "TopologyError",
        (format!("{name:?} cannot leave: {reason}"), "remove those first"),
    )
}

/// A graph that cannot run.
pub fn topology(py: Python<'_>, reason: &TopologyError) -> PyErr {
    let remedy = match reason {
        TopologyError::Duplicate { .. } => "choose another name",
        TopologyError::Unknown { .. } => "add that consumer first, or correct the name",
        TopologyError::Cycle { .. } => "take one of these dependencies out",
    };
    error(py, "TopologyError", (reason.to_string(), remedy))
}
