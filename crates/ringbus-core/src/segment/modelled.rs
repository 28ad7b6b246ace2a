//! The same parts made of loom's words, one heap object each.

use super::{Memory, Parts, Segment};
use crate::error::ConfigError;
use crate::layout::{
    ConsumerEntry, CursorLines, FutexLine, Geometry, MAX_CONSUMERS, ProducerKind, ProducerLine, RegistryLine, StateLine,
};
use crate::sync::{AtomicU32, AtomicU64};
use std::ptr::NonNull;

/// While it lives nobody else joins or leaves.
pub type Registering<'a> = crate::sync::MutexGuard<'a, ()>;

/// A slot: a cell that loom watches for races, and two words for readers that may be lapped.
#[derive(Default)]
pub struct ModelSlot {
    /// What the protocol alone protects.
    pub cell: Cell,
    /// What a lapped reader copies word by word.
    pub words: [AtomicU64; 2],
}

/// A watched cell.
pub struct Cell(pub loom::cell::UnsafeCell<i64>);

impl Default for Cell {
    fn default() -> Self {
        Self(loom::cell::UnsafeCell::new(-1))
    }
}

/// Owns the parts.
pub struct Backing {
    _state: Box<StateLine>,
    _cursor: Box<CursorLines>,
    _cursor_futex: Box<FutexLine>,
    _registry: Box<RegistryLine>,
    _producers: Vec<ProducerLine>,
    _consumers: Vec<ConsumerEntry>,
    _available: Vec<AtomicU32>,
    _slots: Vec<ModelSlot>,
    bytes: crate::sync::Mutex<std::collections::HashSet<i64>>,
    private: bool,
}

impl Backing {
    pub(super) fn new(geometry: &Geometry, _schema: &[u8], _memory: Memory) -> Result<(Self, Parts), ConfigError> {
        geometry.check()?;
        let words = if geometry.kind == ProducerKind::Multi {
            geometry.capacity
        } else {
            0
        };
        let backing = Self {
            _state: Box::default(),
            _cursor: Box::default(),
            _cursor_futex: Box::default(),
            _registry: Box::default(),
            _producers: (0..geometry.producers).map(|_| ProducerLine::default()).collect(),
            _consumers: (0..MAX_CONSUMERS).map(|_| ConsumerEntry::default()).collect(),
            _available: (0..words).map(|_| AtomicU32::new(0)).collect(),
            _slots: (0..geometry.capacity).map(|_| ModelSlot::default()).collect(),
            bytes: crate::sync::Mutex::new(std::collections::HashSet::new()),
            private: true,
        };
        let parts = Parts {
            state: NonNull::from(&*backing._state),
            cursor: NonNull::from(&*backing._cursor),
            cursor_futex: NonNull::from(&*backing._cursor_futex),
            registry: NonNull::from(&*backing._registry),
            producers: NonNull::from(backing._producers.as_slice()).cast(),
            consumers: NonNull::from(backing._consumers.as_slice()).cast(),
            available: NonNull::from(backing._available.as_slice()).cast(),
            slots: NonNull::from(backing._slots.as_slice()).cast(),
        };
        Ok((backing, parts))
    }

    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// Makes threads stand for processes.
    pub(super) fn share(&mut self) {
        self.private = false;
    }

    /// The bytes of the lock file that somebody holds.
    pub(super) fn bytes(&self) -> &crate::sync::Mutex<std::collections::HashSet<i64>> {
        &self.bytes
    }
}

impl Segment {
    /// Whether threads stand for processes.
    pub fn is_shared(&self) -> bool {
        !self.backing.is_private()
    }

    /// Nobody is attached read-only in a model.
    pub fn is_read_only(&self) -> bool {
        false
    }

    /// In a model, who shares a ring is taken to write no slot but as a producer.
    pub fn may_write_slots(&self) -> bool {
        self.backing.is_private()
    }

    /// A modelled segment in which threads stand for processes.
    ///
    /// # Errors
    /// As [`Segment::private`].
    pub fn shared(geometry: Geometry) -> Result<Self, ConfigError> {
        let (mut backing, parts) = Backing::new(&geometry, &[], Memory::default())?;
        backing.share();
        parts.begin(&geometry);
        Ok(Self::over(parts, geometry, backing))
    }

    /// As in a real segment.
    pub fn take_byte(&self, byte: i64) -> bool {
        self.backing.is_private() || self.backing.bytes().lock().unwrap().insert(byte)
    }

    /// As in a real segment. Also how a model kills the owner of a byte.
    pub fn release_byte(&self, byte: i64) {
        if !self.backing.is_private() {
            self.backing.bytes().lock().unwrap().remove(&byte);
        }
    }

    /// As in a real segment.
    pub fn is_byte_held(&self, byte: i64) -> bool {
        self.backing.is_private() || self.backing.bytes().lock().unwrap().contains(&byte)
    }

    pub(super) fn has_lost_its_name(&self, _said: u32) -> bool {
        true
    }

    /// As in a real segment.
    pub fn registering(&self) -> Registering<'_> {
        self.registrar.lock().unwrap()
    }
}
