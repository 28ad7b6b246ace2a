//! Compiled workers without a key: each event goes to whoever takes it first, and an event wakes one thread.

use super::consume::{Consumption, Ended, ended};
use ringbus_core::consumer::WorkPool;
use std::time::Instant;

/// Events that a worker takes at most before it looks at the clock, and moves on those that rest: producers and those that
/// follow wait for these. One where handling takes long.
const STINT: i64 = 64;

impl Consumption<'_> {
    /// Takes what no other worker has taken, as long as there is something, and handles it: how many.
    pub(super) fn share(&self, pool: &WorkPool) -> Result<i64, Ended> {
        let most = if pool.is_quick() {
            self.reader.max_batch.min(STINT)
        } else {
            1
        };
        let mut begin = None;
        let mut handled = 0;
        while handled < most {
            if self.reader.alert.is_raised() {
                return Err(Ended::Halted);
            }
            let Some(sequence) = self.take(pool) else { break };
            begin.get_or_insert_with(Instant::now);
            pool.keep_watch();
            self.handle_one(sequence)?;
            handled += 1;
        }
        if let Some(begin) = begin {
            pool.note_pace(handled as u32, begin.elapsed());
        }
        // One that took less than it might goes on to wait, and moves them on then.
        if handled == most {
            pool.move_on(&self.ring().segment);
        }
        Ok(handled)
    }

    fn take(&self, pool: &WorkPool) -> Option<i64> {
        pool.sequence().take_readable(
            |before| self.reader.commit_quietly(before),
            |wanted| self.reader.is_readable(&self.barrier, wanted),
        )
    }

    fn handle_one(&self, sequence: i64) -> Result<(), Ended> {
        let handled = if self.reader.copies() {
            self.handle_copies(sequence, sequence)
        } else {
            self.handle_runs(sequence, sequence)
        };
        let (events, _) = handled.map_err(ended)?;
        self.count(events);
        Ok(())
    }

    /// Waits on the ring, or rests while another worker does.
    pub(super) fn wait_turn(&self, pool: &WorkPool) -> Option<Ended> {
        let segment = &self.ring().segment;
        pool.move_on(segment);
        let Some(wanted) = pool.sit(|taken| self.reader.commit_quietly(taken)) else {
            pool.rest(segment, self.reader.index(), &self.reader.alert);
            return None;
        };
        let over = self.wait_slowly(wanted);
        pool.rise();
        over
    }
}
