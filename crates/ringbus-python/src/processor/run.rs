//! The loop of a processor: what is readable is handed out until it is halted or fails.
//!
//! Source: LMAX Disruptor 4.0, `BatchEventProcessor`.

use super::hooks::Hooks;
use super::{Flow, Handled};
use crate::errors;
use crate::reader::Reader;
use pyo3::prelude::*;
use ringbus_core::Outcome;

/// A consumer with a handler, whatever kind of handler it is.
pub trait Run {
    fn reader(&self) -> &Reader;

    fn hooks(&self) -> &Hooks;

    /// Hands out `first..=last`, which is readable.
    fn hand_out(&self, py: Python<'_>, first: i64, last: i64) -> Handled;

    /// The sequence it waits for.
    fn wanted(&self) -> i64 {
        self.reader().sequence() + 1
    }

    /// Handles what is readable now. `None` means stop; otherwise the sequences it is done with.
    fn handle_readable(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.hand_out_readable(py)
    }

    /// As [`Self::handle_readable`], for who takes every sequence in order.
    fn hand_out_readable(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.reader().check_evicted(py)?;
        let first = self.reader().sequence() + 1;
        match self.reader().poll(first) {
            Err(_) => Ok(Some(0)),
            Ok(Err(lapped)) => Ok(Some(self.reader().lapped(first, lapped) - first)),
            Ok(Ok(last)) => {
                let flow = self.handle(py, first, last);
                self.reader().check_evicted(py)?;
                if flow == Flow::Stop {
                    return Ok(None);
                }
                Ok(Some(self.reader().sequence() + 1 - first))
            }
        }
    }

    /// Hands out `first..=last`, and counts and commits what was handled.
    fn handle(&self, py: Python<'_>, first: i64, last: i64) -> Flow {
        let reader = self.reader();
        let handled = self.hand_out(py, first, last);
        let (Ok((events, _)) | Err((events, _))) = handled;
        if events > 0 {
            reader.count_batch(events);
        }
        match handled {
            Ok((_, done)) => {
                reader.commit_quietly(done.max(reader.sequence()));
                match reader.ring.clear_done(py) {
                    Ok(()) => Flow::Continue,
                    Err(error) => self.hooks().failed(py, error, done, None),
                }
            }
            Err((_, done)) => {
                reader.commit_quietly(done.max(reader.sequence()));
                Flow::Stop
            }
        }
    }

    /// [`Self::handle_readable`], with the thread marked as one that is inside a handler.
    fn batch(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        let reader = self.reader();
        if self.hooks().busy.get() {
            let fact = format!("consumer {:?} is asked to run inside its own handler", reader.name);
            return Err(errors::error(py, "ClaimError", (fact, "let the handler return first")));
        }
        self.hooks().busy.set(true);
        if reader.is_gating() {
            reader.ring.set_handling(true);
        }
        let done = self.handle_readable(py);
        if reader.is_gating() {
            reader.ring.set_handling(false);
        }
        self.hooks().busy.set(false);
        done
    }

    fn start(&self, py: Python<'_>) -> Flow {
        self.hooks().start(py, self.reader().sequence())
    }

    fn shutdown(&self, py: Python<'_>) {
        self.hooks().shutdown(py, self.reader().sequence());
    }

    fn timed_out(&self, py: Python<'_>) -> Flow {
        self.hooks().timed_out(py, self.wanted() - 1)
    }

    /// Looks whether a wait that ended so may go on.
    ///
    /// # Errors
    /// What it depends on has died, or the ring is gone: no policy goes on from that.
    fn check_outcome(&self, py: Python<'_>, outcome: Outcome<()>) -> PyResult<()> {
        let reader = self.reader();
        if let Outcome::Died(index) = outcome {
            return Err(reader.died(py, index));
        }
        if outcome == Outcome::Alerted && reader.ring.shared && !reader.alert.is_raised() {
            reader.ring.check(py)?;
        }
        Ok(())
    }

    /// Calls `on_start`, hands out events until it is halted or fails, and calls `on_shutdown`.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.reader().ring.check_fork(py)?;
        let result = if self.start(py) == Flow::Continue {
            self.run_until_halted(py)
        } else {
            Ok(())
        };
        self.shutdown(py);
        result
    }

    fn run_until_halted(&self, py: Python<'_>) -> PyResult<()> {
        let reader = self.reader();
        while !reader.alert.is_raised() {
            let events = reader.events();
            match self.batch(py)? {
                None => break,
                Some(0) => {
                    let outcome = reader.wait(py, self.wanted(), self.hooks().timeout)?;
                    self.check_outcome(py, outcome)?;
                    if outcome == Outcome::TimedOut && self.timed_out(py) == Flow::Stop {
                        break;
                    }
                }
                // No handler was called: nothing has let other threads run.
                Some(_) if reader.events() == events => py.detach(std::thread::yield_now),
                Some(_) => {}
            }
        }
        Ok(())
    }
}
