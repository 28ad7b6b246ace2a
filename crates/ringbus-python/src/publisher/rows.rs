//! Arrays: copied into slots, as many rows at a time as there are free slots.

use super::Publisher;
use crate::enter;
use crate::ring::Ring;
use pyo3::prelude::*;
use std::ptr;
use std::time::Instant;

/// The rows of a one-dimensional structured array.
pub struct Rows {
    pub data: *const u8,
    pub count: i64,
    pub stride: isize,
    /// Bytes of an event.
    pub bytes: usize,
}

impl Rows {
    /// # Safety
    /// `low..low + count` are the caller's slots, and the array is alive.
    unsafe fn copy_to(&self, ring: &Ring, first: i64, low: i64, count: i64) {
        let dense = ring.slot.bytes == self.bytes && self.stride == self.bytes as isize;
        let mut done = 0;
        while done < count {
            let index = ring.segment.index(low + done) as i64;
            let run = if dense {
                (count - done).min(ring.segment.capacity() - index)
            } else {
                1
            };
            // SAFETY: the run ends at the end of the ring at the latest; rows are `stride` apart.
            unsafe {
                let source = self.data.offset((first + done) as isize * self.stride);
                ptr::copy_nonoverlapping(source, ring.event(low + done), self.bytes * run as usize);
            }
            done += run;
        }
    }
}

impl Publisher {
    /// Copies rows into slots, as many at a time as are free.
    pub(super) fn send_rows(&self, py: Python<'_>, rows: &Rows, kind: usize, timeout: Option<f64>) -> PyResult<i64> {
        let ring = &*self.ring;
        let deadline = enter::deadline(py, timeout)?;
        let (mut sent, mut last) = (0, ring.claimed());
        while sent < rows.count {
            ring.check(py)?;
            let left = rows.count - sent;
            let count = left.min(ring.segment.capacity());
            let (high, count) = match ring.try_claim(py, count)? {
                Ok(high) => (high, count),
                Err(_) => self
                    .claim_what_is_free(py, count, deadline, timeout)
                    .inspect_err(|error| {
                        note(py, error, &format!("{sent} of {} events were published", rows.count));
                    })?,
            };
            let low = high - count + 1;
            // SAFETY: the slots are this producer's; the rows are alive and as long as an event.
            unsafe { rows.copy_to(ring, sent, low, count) };
            (low..=high).for_each(|sequence| ring.tag(sequence, kind));
            ring.publish(low, high);
            sent += count;
            last = high;
        }
        Ok(last)
    }

    fn claim_what_is_free(
        &self,
        py: Python<'_>,
        most: i64,
        deadline: Option<Instant>,
        timeout: Option<f64>,
    ) -> PyResult<(i64, i64)> {
        let ring = &*self.ring;
        ring.check_open_claim(py)?;
        if let Some(claimed) = ring.poll_claim_part(most) {
            return Ok(claimed);
        }
        // A quarter at a time, so that a slow consumer is not waited for once an event.
        let count = (ring.segment.capacity() / 4).clamp(1, most);
        Ok((ring.claim_until(py, count, deadline, timeout)?, count))
    }
}

fn note(py: Python<'_>, error: &PyErr, text: &str) {
    // A note that cannot be added must not hide the error itself.
    let _ = error.value(py).call_method1("add_note", (text,));
}
