//! Which events of a ring a handler takes: all of its types, or a worker's share of them.

use super::run::Run;
use super::{Flow, HandlerFacts, Processor};
use crate::call;
use crate::cell::GilCell;
use crate::ring::Ring;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use ringbus_core::consumer::{WorkPool, worker_of};

/// What the workers of a consumer share.
#[pyclass(frozen, module = "ringbus._core")]
pub struct Work(WorkPool);

#[pymethods]
impl Work {
    #[new]
    fn new() -> Self {
        Self(WorkPool::default())
    }

    /// Begins after `sequence`; once, before the workers run.
    fn start_at(&self, sequence: i64) {
        self.0.sequence().start_at(sequence);
    }
}

impl Work {
    pub fn pool(&self) -> &WorkPool {
        &self.0
    }
}

/// Which events a worker handles.
pub enum Share {
    /// All: no worker.
    All,
    /// Those whose key's bytes fall to it.
    Bytes {
        number: u64,
        workers: u64,
        offset: usize,
        size: usize,
    },
    /// Those whose key, from Python, falls to it.
    Key {
        number: u64,
        workers: u64,
        key: Py<PyAny>,
        callable: bool,
    },
    /// Whatever no other has taken.
    Free { work: Py<Work>, mine: GilCell<Option<i64>> },
}

impl Share {
    /// The sequence that a worker without a key has taken and not handled yet.
    pub fn in_hand(&self) -> Option<i64> {
        match self {
            Self::Free { mine, .. } => mine.get(),
            _ => None,
        }
    }
}

impl Processor {
    /// Takes the next sequence that no other worker has, and handles it when it is there.
    pub(super) fn work(&self, py: Python<'_>, work: &Work, mine: &GilCell<Option<i64>>) -> PyResult<Option<i64>> {
        let mut done = 0;
        loop {
            let sequence = mine
                .get()
                .unwrap_or_else(|| work.pool().sequence().take(|before| self.reader.commit_quietly(before)));
            if mine.get().is_none() {
                mine.set(Some(sequence));
                self.reader.commit(py, sequence - 1)?;
            }
            if !self.reader.is_readable(self.reader.barrier.get_mut(), sequence)
                || done >= self.reader.max_batch.min(1024)
            {
                return Ok(Some(done));
            }
            if !self.ring().segment.is_pad(sequence) {
                match self.hand_out(py, sequence, sequence) {
                    Ok((events, _)) if events > 0 => self.reader.count_batch(events),
                    Ok(_) => {}
                    Err(_) => return Ok(None),
                }
            }
            mine.set(None);
            done += 1;
        }
    }

    /// Whether the event at `sequence` is one, of a type this handler takes, and its share. One whose key fails is
    /// nobody's.
    pub(super) fn is_taken(&self, py: Python<'_>, sequence: i64) -> bool {
        self.takes(py, sequence).unwrap_or(false)
    }

    /// As [`Self::is_taken`], with what its key raised: to the first worker, which asks the policy for all.
    ///
    /// # Errors
    /// What the key raised, or that it has no hash.
    #[inline]
    pub(super) fn takes(&self, py: Python<'_>, sequence: i64) -> PyResult<bool> {
        let ring = self.ring();
        let slot = ring.segment.slot(sequence);
        if ring.segment.is_pad(sequence) || !self.reader.takes(ring.kind_at(slot)) {
            return Ok(false);
        }
        match &self.share {
            Share::All | Share::Free { .. } => Ok(true),
            Share::Bytes {
                number,
                workers,
                offset,
                size,
            } => {
                // SAFETY: the field is inside the event.
                let bytes = unsafe { std::slice::from_raw_parts(ring.event(sequence).add(*offset), *size) };
                Ok(worker_of(bytes, *workers) == *number)
            }
            Share::Key {
                number,
                workers,
                key,
                callable,
            } => match self.key_of(py, sequence, key, *callable) {
                Ok(key) => Ok(key % workers == *number),
                Err(error) if *number == 0 => Err(error),
                Err(_) => Ok(false),
            },
        }
    }

    /// Whether an event of a type it takes is its share; as [`Self::takes`], for who has looked at the slot itself.
    ///
    /// # Errors
    /// As [`Self::takes`].
    #[inline]
    pub(super) fn owns(&self, py: Python<'_>, sequence: i64) -> PyResult<bool> {
        match self.share {
            Share::All | Share::Free { .. } => Ok(true),
            Share::Bytes { .. } | Share::Key { .. } => self.takes(py, sequence),
        }
    }

    /// Asks the policy what comes of an event whose key failed.
    #[cold]
    pub(super) fn key_failed(&self, py: Python<'_>, error: PyErr, sequence: i64) -> Flow {
        self.in_hand.set(sequence);
        let event = self.event_of(py, sequence).ok();
        self.hooks.failed(py, error, sequence, event)
    }

    /// The event at `sequence`, of its own.
    fn event_of(&self, py: Python<'_>, sequence: i64) -> PyResult<Py<PyAny>> {
        let ring = self.ring();
        if ring.objects.is_some() {
            return Ok(ring.object(sequence).clone_ref(py));
        }
        self.reader.own_event(py, ring.segment.slot(sequence))
    }

    fn key_of(&self, py: Python<'_>, sequence: i64, key: &Py<PyAny>, callable: bool) -> PyResult<u64> {
        let event = self.event_of(py, sequence)?;
        let value = if callable {
            call::call(py, key, [&event])?
        } else {
            event.bind(py).getattr(key.bind(py).cast()?)?.unbind()
        };
        Ok(value.bind(py).hash()? as u64)
    }

    pub(super) fn last_taken(&self, py: Python<'_>, first: i64, last: i64) -> i64 {
        (first..=last)
            .rev()
            .find(|&sequence| self.is_taken(py, sequence))
            .unwrap_or(first - 1)
    }
}

/// What Python says of a worker, as its share.
///
/// # Errors
/// Workers without a key, and without what they share.
pub(super) fn parse(py: Python<'_>, ring: &Ring, facts: &HandlerFacts<'_>) -> PyResult<Share> {
    let Some((number, workers, key)) = &facts.worker else {
        return Ok(Share::All);
    };
    let (number, workers) = (*number as u64, *workers as u64);
    let Some(key) = key else {
        let work = facts.work.as_ref().map(|work| work.clone_ref(py));
        let work = work.ok_or_else(|| PyKeyError::new_err("workers without a key share their work"))?;
        return Ok(Share::Free {
            work,
            mine: GilCell::new(None),
        });
    };
    let field = key
        .extract::<String>()
        .ok()
        .filter(|_| ring.kinds.len() == 1)
        .and_then(|name| {
            ring.kinds[0]
                .schema
                .fields
                .iter()
                .find(|field| field.label == name)
                .map(|field| (field.offset, field.size))
        });
    Ok(match field {
        Some((offset, size)) => Share::Bytes {
            number,
            workers,
            offset,
            size,
        },
        None => Share::Key {
            number,
            workers,
            key: key.clone().unbind(),
            callable: key.is_callable(),
        },
    })
}
