//! Events as NumPy arrays on the slots.

use super::hooks::number;
use super::{Flow, Handled, Processor, Share};
use crate::view::{self, Lease, Place};
use crate::{call, errors};
use pyo3::prelude::*;

impl Processor {
    /// Hands `first..=last` out as arrays, cut at the wrap, at Pads and where the type changes.
    pub(super) fn handle_runs(&self, py: Python<'_>, first: i64, last: i64) -> Handled {
        let (mut next, mut events) = (first, 0);
        loop {
            let (low, high) = match self.next_run(py, next, last) {
                Ok(Some(run)) => run,
                Ok(None) => return Ok((events, last)),
                Err((sequence, error)) => match self.key_failed(py, error, sequence) {
                    Flow::Continue => {
                        next = sequence + 1;
                        continue;
                    }
                    Flow::Stop => return Err((events, sequence - 1)),
                },
            };
            if self.reader.alert.is_raised() {
                return Err((events, low - 1));
            }
            self.in_hand.set(low);
            let size = high - low + 1;
            if self.hooks.batch_start(py, size, low) == Flow::Stop {
                return Err((events, low - 1));
            }
            if self.reader.counts_latency() {
                let now = self.reader.now();
                (low..=high).for_each(|sequence| self.reader.count_latency(self.ring().segment.slot(sequence), now));
            }
            if self.handle_run(py, low, size) == Flow::Stop {
                return Err((events, low - 1));
            }
            events += size as u64;
            next = high + 1;
        }
    }

    /// The first run from `next` on; an error is that of a key, with its sequence.
    fn next_run(&self, py: Python<'_>, next: i64, last: i64) -> Result<Option<(i64, i64)>, (i64, PyErr)> {
        let segment = &self.ring().segment;
        let mut low = next;
        while low <= last && !self.takes(py, low).map_err(|error| (low, error))? {
            low += 1;
        }
        if low > last {
            return Ok(None);
        }
        let end = last.min(low + segment.capacity() - segment.index(low) as i64 - 1);
        if self.ring().kinds.len() == 1 && !segment.has_pads() && matches!(self.share, Share::All) {
            return Ok(Some((low, end)));
        }
        let kind = self.ring().kind_at(segment.slot(low));
        let fits = |&sequence: &i64| self.ring().kind_at(segment.slot(sequence)) == kind && self.is_taken(py, sequence);
        let high = (low + 1..=end).take_while(fits).last().unwrap_or(low);
        Ok(Some((low, high)))
    }

    fn handle_run(&self, py: Python<'_>, low: i64, size: i64) -> Flow {
        let ring = self.ring();
        let lease = match self
            .lease
            .get_mut()
            .take()
            .map_or_else(|| Lease::slots(py, &self.reader.ring), Ok)
        {
            Ok(lease) => lease,
            Err(error) => return self.hooks.failed(py, error, low, None),
        };
        let kind = &ring.kinds[ring.kind_at(ring.segment.slot(low))];
        let place = Place {
            data: ring.event(low),
            count: size,
            stride: ring.slot.bytes,
        };
        // SAFETY: the slots gate until this batch is committed; afterwards nobody has a view of them.
        let array = match unsafe { view::array(py, &kind.dtype, &place, &lease) } {
            Ok(array) => array,
            Err(error) => return self.hooks.failed(py, error, low, None),
        };
        let result = self.call_batch(py, &array, low);
        let raised = result.is_err();
        let flow = self.batch_outcome(py, result, low, &array);
        // A failure that halts has the array in its traceback, and the slots stay uncommitted.
        let released = !raised || flow == Flow::Continue;
        if view::references(&array) > 1 && released {
            return self.kept(py, low);
        }
        drop(array);
        if view::references(&lease) > 1 && released {
            return self.kept(py, low);
        }
        if !raised {
            *self.lease.get_mut() = Some(lease);
        }
        flow
    }

    pub(super) fn call_batch(&self, py: Python<'_>, array: &Py<PyAny>, first: i64) -> PyResult<Py<PyAny>> {
        if self.arity == 1 {
            return call::call(py, &self.callable, [array]);
        }
        call::call(py, &self.callable, [array, &number(py, first)?])
    }

    pub(super) fn batch_outcome(
        &self,
        py: Python<'_>,
        result: PyResult<Py<PyAny>>,
        low: i64,
        array: &Py<PyAny>,
    ) -> Flow {
        match result {
            Ok(result) if result.is(&self.decline) => {
                self.hooks.refused(py, None, low, array.call_method0(py, "copy").ok())
            }
            Ok(_) => Flow::Continue,
            Err(error) => self.hooks.failed(py, error, low, array.call_method0(py, "copy").ok()),
        }
    }

    /// A view that was kept always halts, whatever the policy.
    fn kept(&self, py: Python<'_>, low: i64) -> Flow {
        let error = errors::error(py, "KeptViewError", (format!("consumer {:?}", self.reader.name), low));
        self.hooks.failed(py, error, low, None);
        Flow::Stop
    }
}
