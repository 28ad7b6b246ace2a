//! The objects of an object ring, and the clearing of those that all consumers are done with.

use super::Ring;
use crate::call;
use crate::cell::GilCell;
use pyo3::prelude::*;
use ringbus_core::consumer::Behind;

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

    /// Whether the entry at `index` is that of [`Clear`], which is no consumer to anybody else.
    pub fn is_clear(&self, index: usize) -> bool {
        let clear = self.objects.as_ref().and_then(|objects| objects.clear.as_ref());
        let consumer = clear.and_then(|clear| clear.consumer.get_mut().as_ref());
        consumer.is_some_and(|consumer| consumer.index() == index)
    }

    fn clear_up_to_gate(&self, py: Python<'_>, clear: &Clear) -> PyResult<()> {
        let mut result = Ok(());
        while let Some(consumer) = clear.consumer.get_mut().clone() {
            let done = match Behind::next(&consumer) {
                Behind::Alone => {
                    let _ = consumer.leave();
                    *clear.consumer.get_mut() = None;
                    break;
                }
                Behind::Nothing => break,
                Behind::NoEvent(sequence) => sequence,
                Behind::Event(sequence) => {
                    result = result.and(call::call(py, &clear.callable, [self.object(sequence)]).map(|_| ()));
                    sequence
                }
            };
            consumer.commit(done);
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
