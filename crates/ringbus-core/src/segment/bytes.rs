//! The bytes of the lock file: who holds one is alive, which the kernel knows.

#[cfg(not(loom))]
use super::{Access, Backing, Segment, locks};
#[cfg(not(loom))]
use std::sync::{MutexGuard, PoisonError, TryLockError};
#[cfg(not(loom))]
use std::time::{Duration, Instant};

/// The byte of the lock file that the owner of consumer entry `index` holds.
pub fn consumer_byte(index: usize) -> i64 {
    1000 + index as i64
}

/// The byte of the lock file that the owner of producer line `index` holds.
pub fn producer_byte(index: usize) -> i64 {
    2000 + index as i64
}

/// The byte of the lock file that the process of the one producer of a single-producer ring holds.
pub const SINGLE_PRODUCER_BYTE: i64 = 2;

#[cfg(not(loom))]
impl Segment {
    pub(super) fn locks(&self) -> Option<&locks::Locks> {
        match &self.backing {
            Backing::Private(_) => None,
            Backing::Shared(mapping) => Some(&mapping.locks),
        }
    }

    /// Whether other processes may take part.
    #[inline]
    pub fn is_shared(&self) -> bool {
        matches!(self.backing, Backing::Shared(_))
    }

    /// What this process may do with it.
    pub fn access(&self) -> Access {
        match &self.backing {
            Backing::Private(_) => Access::Write,
            Backing::Shared(mapping) => mapping.access,
        }
    }

    /// Whether this process may only read it, and takes no part.
    pub fn is_read_only(&self) -> bool {
        self.access() == Access::Read
    }

    /// Whether this process may write events.
    pub fn may_write_slots(&self) -> bool {
        self.access() == Access::Write
    }

    /// Takes a byte of the lock file: true when nobody alive has it.
    pub fn take_byte(&self, byte: i64) -> bool {
        self.locks().is_none_or(|locks| locks.take(byte))
    }

    /// Gives a byte back.
    pub fn release_byte(&self, byte: i64) {
        if let Some(locks) = self.locks() {
            locks.release(byte);
        }
    }

    /// Whether somebody alive has the byte. In a private segment everybody is alive.
    pub fn is_byte_held(&self, byte: i64) -> bool {
        self.locks().is_none_or(|locks| locks.is_held(byte))
    }

    /// Excludes others, of this process and of others, from joining and leaving. Waits for whoever is at it, even while
    /// its process is stopped.
    pub fn registering(&self) -> Registering<'_> {
        let mut own = self.registrar.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.registering_with(own) {
                Ok(held) => return held,
                Err(back) => own = back,
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }

    /// As [`Segment::registering`], until `deadline`.
    pub fn registering_until(&self, deadline: Instant) -> Option<Registering<'_>> {
        loop {
            let own = match self.registrar.try_lock() {
                Ok(own) => Some(own),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(Ok(held)) = own.map(|own| self.registering_with(own)) {
                return Some(held);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }

    /// For who has excluded the others of this process; gives that back when another process is at it.
    fn registering_with<'a>(&'a self, own: MutexGuard<'a, ()>) -> Result<Registering<'a>, MutexGuard<'a, ()>> {
        let byte = match self.locks() {
            None => None,
            Some(locks) => match locks.registrar() {
                None => return Err(own),
                taken => taken,
            },
        };
        Ok(Registering { _byte: byte, _own: own })
    }
}

/// How long who waits to join or leave sleeps between tries.
#[cfg(not(loom))]
const BETWEEN_TRIES: Duration = Duration::from_micros(200);

/// While it lives nobody else joins or leaves. The others of this process are let in last.
#[cfg(not(loom))]
pub struct Registering<'a> {
    _byte: Option<locks::RegistrarGuard<'a>>,
    _own: MutexGuard<'a, ()>,
}
