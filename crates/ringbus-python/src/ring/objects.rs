//! The objects of an object ring, and the clearing of those that all consumers are done with.

use super::Ring;
use crate::call;
use crate::cell::GilCell;
use pyo3::prelude::*;
use ringbus_core::MAX_CONSUMERS;
use ringbus_core::sync::Ordering;

/// The objects of an object ring, and what is called when all consumers are done with one.
pub struct Objects {
    pub slots: Box<[Py<PyAny>]>,
    pub clear: Option<Clear>,
}

/// Calls `callable` for each object all consumers are done with. It gates the producers as a consumer of
/// its own, so that none writes an object before it was cleared.
pub struct Clear {
    pub callable: Py<PyAny>,
    pub consumer: GilCell<Option<ringbus_core::Consumer>>,
    pub running: GilCell<bool>,
}

/// The name under which [`Clear`] is in the registry.
pub const CLEAR_NAME: &str = "(clear)";

impl Ring {
    /// After a consumer of an object ring moved: clears the objects that all are done with.
    ///
    /// # Errors
    /// What the callable raised; the object counts as cleared.
    pub fn clear_done(&self, py: Python<'_>) -> PyResult<()> {
        let Some(clear) = self.objects.as_ref().and_then(|objects| objects.clear.as_ref()) else {
            return Ok(());
        };
        if clear.running.get() {
            return Ok(());
        }
        clear.running.set(true);
        let result = self.clear_up_to_gate(py, clear);
        clear.running.set(false);
        result
    }

    fn clear_up_to_gate(&self, py: Python<'_>, clear: &Clear) -> PyResult<()> {
        let mut result = Ok(());
        while let Some(consumer) = clear.consumer.get_mut().clone() {
            let gating = self.segment.registry().gating.load(Ordering::Acquire) & !(1 << consumer.index());
            if gating == 0 {
                let _ = consumer.leave();
                *clear.consumer.get_mut() = None;
                break;
            }
            let done = (0..MAX_CONSUMERS)
                .filter(|index| gating & (1 << index) != 0)
                .map(|index| self.segment.consumer(index).sequence.get())
                .min()
                .unwrap_or(i64::MAX);
            let next = consumer.sequence() + 1;
            if next > done {
                break;
            }
            // A consumer that joined behind an open claim does not vouch for it: its object is a producer's still.
            let published = self.is_single() || self.segment.is_available(next);
            if published && !self.segment.is_pad(next) {
                result = result.and(call::call(py, &clear.callable, [self.object(next)]).map(|_| ()));
            }
            consumer.commit(next);
        }
        result
    }

    /// The object in the slot of `sequence`.
    pub fn object(&self, sequence: i64) -> &Py<PyAny> {
        let objects = self.objects.as_ref().expect("an object ring");
        &objects.slots[self.segment.index(sequence)]
    }
}

pub fn make_objects(factory: &Bound<'_, PyAny>, capacity: u64, clear: Option<Bound<'_, PyAny>>) -> PyResult<Objects> {
    let slots = (0..capacity)
        .map(|_| factory.call0().map(Bound::unbind))
        .collect::<PyResult<Vec<_>>>()?;
    let clear = clear.map(|callable| Clear {
        callable: callable.unbind(),
        consumer: GilCell::new(None),
        running: GilCell::new(false),
    });
    Ok(Objects {
        slots: slots.into_boxed_slice(),
        clear,
    })
}
