//! The bytes of the lock file: who holds one is alive, which the kernel knows.

#[cfg(not(loom))]
use super::{Access, Backing, Segment, locks};

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

    /// Excludes others, of this process and of others, from joining and leaving.
    pub(crate) fn registering(&self) -> impl Drop + '_ {
        struct Both<'a>(
            Option<locks::RegistrarGuard<'a>>,
            #[expect(dead_code)] std::sync::MutexGuard<'a, ()>,
        );
        impl Drop for Both<'_> {
            fn drop(&mut self) {
                self.0.take();
            }
        }
        let own = self.registrar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Both(self.locks().map(locks::Locks::registrar), own)
    }
}
