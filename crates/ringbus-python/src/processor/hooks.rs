//! The life of a handler: its optional methods, and what is asked when it fails.

use super::Flow;
use crate::cell::GilCell;
use crate::{call, enter};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::time::Duration;

/// What Python says of it.
#[derive(FromPyObject)]
struct Facts {
    on_start: Option<Py<PyAny>>,
    on_shutdown: Option<Py<PyAny>>,
    on_timeout: Option<Py<PyAny>>,
    on_batch_start: Option<Py<PyAny>>,
    on_error: Py<PyAny>,
    timeout: Option<f64>,
}

/// A handler's methods, its error policy, and how far its life has come.
pub struct Hooks {
    on_start: Option<Py<PyAny>>,
    on_shutdown: Option<Py<PyAny>>,
    on_timeout: Option<Py<PyAny>>,
    on_batch_start: Option<Py<PyAny>>,
    /// `on_error(error, sequence, event) -> bool`: True goes on with the next event; no error is a decline.
    on_error: Py<PyAny>,
    /// How long without an event until `on_timeout` is called.
    pub timeout: Option<Duration>,
    /// Whether the handler is being run.
    pub busy: GilCell<bool>,
    started: GilCell<bool>,
    shut_down: GilCell<bool>,
}

impl Hooks {
    /// Those of `handler`, the facts of one.
    ///
    /// # Errors
    /// A fact is missing or of the wrong type; a time-out that is no time.
    pub fn of(handler: &Bound<'_, PyAny>) -> PyResult<Self> {
        let facts: Facts = handler.extract()?;
        enter::deadline(handler.py(), facts.timeout)?;
        Ok(Self {
            on_start: facts.on_start,
            on_shutdown: facts.on_shutdown,
            on_timeout: facts.on_timeout,
            on_batch_start: facts.on_batch_start,
            on_error: facts.on_error,
            // A time that no clock reaches is none.
            timeout: facts
                .timeout
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            busy: GilCell::new(false),
            started: GilCell::new(false),
            shut_down: GilCell::new(false),
        })
    }

    /// Calls `on_start` the first time; `at` is the sequence it is at.
    pub fn start(&self, py: Python<'_>, at: i64) -> Flow {
        if self.started.get() {
            return Flow::Continue;
        }
        self.started.set(true);
        self.call(py, self.on_start.as_ref(), None, at)
    }

    /// Calls `on_shutdown`, once, if `on_start` was called.
    pub fn shutdown(&self, py: Python<'_>, at: i64) {
        if self.shut_down.get() || !self.started.get() {
            return;
        }
        self.shut_down.set(true);
        self.call(py, self.on_shutdown.as_ref(), None, at);
    }

    /// Nothing has come for [`Self::timeout`] since the event at `at`.
    pub fn timed_out(&self, py: Python<'_>, at: i64) -> Flow {
        self.call(py, self.on_timeout.as_ref(), Some(at), at)
    }

    /// Whether the handler wants to know of the start of a batch.
    #[inline]
    pub fn wants_batch_start(&self) -> bool {
        self.on_batch_start.is_some()
    }

    /// A batch of `size` events begins at `first`.
    #[inline]
    pub fn batch_start(&self, py: Python<'_>, size: i64, first: i64) -> Flow {
        self.call(py, self.on_batch_start.as_ref(), Some(size), first)
    }

    /// Calls `hook`, if there is one, with the number it takes, if it takes one.
    fn call(&self, py: Python<'_>, hook: Option<&Py<PyAny>>, argument: Option<i64>, sequence: i64) -> Flow {
        let Some(hook) = hook else { return Flow::Continue };
        let answer = match argument {
            Some(argument) => number(py, argument).and_then(|argument| call::call(py, hook, [&argument])),
            None => call::call(py, hook, []),
        };
        match answer {
            Ok(_) => Flow::Continue,
            Err(error) => self.failed(py, error, sequence, None),
        }
    }

    /// Asks the policy what comes of `error` at `sequence`.
    #[cold]
    pub fn failed(&self, py: Python<'_>, error: PyErr, sequence: i64, event: Option<Py<PyAny>>) -> Flow {
        self.refused(py, Some(error), sequence, event)
    }

    /// Asks the policy; no error means that the handler declined.
    #[cold]
    pub fn refused(&self, py: Python<'_>, error: Option<PyErr>, sequence: i64, event: Option<Py<PyAny>>) -> Flow {
        let error = error.map_or_else(|| py.None(), |error| error.into_value(py).into_any());
        let event = event.unwrap_or_else(|| py.None());
        let answer = number(py, sequence).and_then(|at| call::call(py, &self.on_error, [&error, &at, &event]));
        match answer.and_then(|answer| answer.is_truthy(py)) {
            Ok(true) => Flow::Continue,
            Ok(false) => Flow::Stop,
            Err(error) => {
                error.write_unraisable(py, Some(self.on_error.bind(py)));
                Flow::Stop
            }
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on_error)?;
        for hook in [
            &self.on_start,
            &self.on_shutdown,
            &self.on_timeout,
            &self.on_batch_start,
        ] {
            visit.call(hook)?;
        }
        Ok(())
    }
}

pub fn number(py: Python<'_>, number: i64) -> PyResult<Py<PyAny>> {
    Ok(number.into_pyobject(py)?.into_any().unbind())
}
