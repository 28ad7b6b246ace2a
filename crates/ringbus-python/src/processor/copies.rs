//! Copies of events, for a consumer that does not gate or may be evicted, so that a slot may be written while it is read;
//! and for one that cannot write slots itself.

use super::{Flow, Handled, Processor};
use crate::call;
use crate::view::{self, Lease, Place};
use pyo3::prelude::*;
use std::ptr;

impl Processor {
    /// For a consumer that reads copies: each event is copied first, so that none is torn.
    pub(super) fn handle_copies(&self, py: Python<'_>, first: i64, last: i64) -> Handled {
        if self.batch {
            return self.handle_copied_run(py, first, last);
        }
        let callable = self.callable.as_ptr();
        // SAFETY: attached; the callable is alive as long as `self`.
        let call = unsafe { call::function_of(callable) };
        let end = self.last_taken(py, first, last);
        if end >= first && self.hooks.batch_start(py, end - first + 1, first) == Flow::Stop {
            return Err((0, first - 1));
        }
        let mut events = 0;
        for sequence in first..=last {
            if self.reader.alert.is_raised() {
                return Err((events, sequence - 1));
            }
            // Read before the copy is checked, so that both are of this lap.
            let pad = self.ring().segment.is_pad(sequence);
            let slot = match self.reader.copy_slot(sequence) {
                Ok(slot) => slot,
                Err(lapped) => return Ok((events, self.reader.lapped(sequence, lapped) - 1)),
            };
            if pad || !self.reader.takes(self.ring().kind_at(slot)) {
                continue;
            }
            match self.owns(py, sequence) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => match self.key_failed(py, error, sequence) {
                    Flow::Continue => continue,
                    Flow::Stop => return Err((events, sequence - 1)),
                },
            }
            self.in_hand.set(sequence);
            self.reader.count_latency(slot, self.reader.now());
            if self.call_event::<false>(py, call, sequence, slot, sequence == end) == Flow::Stop {
                return Err((events, sequence - 1));
            }
            events += 1;
        }
        Ok((events, last))
    }

    /// Copies as many slots of one type as are readable into memory of the batch's own.
    fn handle_copied_run(&self, py: Python<'_>, first: i64, last: i64) -> Handled {
        const MOST: i64 = 1024;
        let (ring, bytes) = (self.ring(), self.ring().slot.bytes);
        let last = last.min(first + MOST - 1);
        let lease = match Lease::own(py, &self.reader.ring, (last - first + 1) as usize * bytes) {
            Ok(lease) => lease,
            Err(error) => return self.failed_run(py, error, first),
        };
        let (mut count, mut next, mut begin, mut kind) = (0_usize, first, first, None);
        while next <= last {
            let pad = ring.segment.is_pad(next);
            let slot = match self.reader.copy_slot(next) {
                Ok(slot) => slot,
                Err(lapped) if count == 0 => return Ok((0, self.reader.lapped(next, lapped) - 1)),
                Err(_) => break,
            };
            let this = ring.kind_at(slot);
            let taken = match self.owns(py, next) {
                Ok(own) => own && !pad && self.reader.takes(this),
                Err(_) if count > 0 => break,
                Err(error) => match self.key_failed(py, error, next) {
                    Flow::Continue => false,
                    Flow::Stop => return Err((0, next - 1)),
                },
            };
            if count > 0 && (!taken || kind != Some(this)) {
                break;
            }
            if taken {
                if count == 0 {
                    (begin, kind) = (next, Some(this));
                }
                self.reader.count_latency(slot, self.reader.now());
                // SAFETY: the lease's memory takes every slot from `first` to `last`.
                unsafe { ptr::copy_nonoverlapping(slot, lease.get().memory().add(count * bytes), bytes) };
                count += 1;
            }
            next += 1;
        }
        let Some(kind) = kind else { return Ok((0, next - 1)) };
        // SAFETY: the memory is the lease's own.
        let data = unsafe { lease.get().memory().add(ring.slot.event) };
        let place = Place {
            data,
            count: count as i64,
            stride: bytes,
        };
        // SAFETY: as above.
        let array = match unsafe { view::array(py, &ring.kinds[kind].dtype, &place, &lease) } {
            Ok(array) => array,
            Err(error) => return self.failed_run(py, error, begin),
        };
        let result = self.call_batch(py, &array, begin);
        match self.batch_outcome(py, result, begin, &array) {
            Flow::Continue => Ok((count as u64, next - 1)),
            Flow::Stop => Err((0, begin - 1)),
        }
    }

    fn failed_run(&self, py: Python<'_>, error: PyErr, first: i64) -> Handled {
        self.hooks.failed(py, error, first, None);
        Err((0, first - 1))
    }
}
