//! Who waits for a word of the segment, and how they are woken: sleepers by its futex, event loops by a descriptor.

use super::{Blocker, Segment};
use crate::crash::crash_point;
use crate::futex::{SLEEPER, WATCHER};
use crate::layout::{FutexLine, MAX_CONSUMERS};
use crate::sync::Ordering;
#[cfg(not(loom))]
use {
    super::{Backing, folder, shared},
    crate::error::ShareError,
    std::os::fd::{FromRawFd, OwnedFd},
};

impl Segment {
    /// Says that the caller is about to wait for `blocker`; see [`FutexLine::arm`]. Who may only read says nothing, and
    /// looks again when its sleep is over.
    #[inline]
    pub fn arm(&self, blocker: Blocker, how: u32) -> u32 {
        if self.is_read_only() {
            return self.futex(blocker).armed.load(Ordering::Relaxed);
        }
        self.futex(blocker).arm(how, self.asymmetric)
    }

    /// Whether sleepers bear the cost of the barrier between them and publishers.
    #[inline]
    pub fn is_asymmetric(&self) -> bool {
        self.asymmetric
    }

    /// The word on which waiters for `blocker` sleep.
    #[inline]
    pub fn futex(&self, blocker: Blocker) -> &FutexLine {
        match blocker {
            // SAFETY: as in `state`.
            Blocker::Cursor => unsafe { self.parts.cursor_futex.as_ref() },
            Blocker::Consumer(index) => &self.consumer(index).futex,
        }
    }

    /// After `blocker` moved: wakes whoever waits for it.
    #[inline]
    pub fn wake(&self, blocker: Blocker) {
        let who = self.futex(blocker).take(self.asymmetric);
        if who != 0 {
            self.wake_slowly(blocker, who);
        }
    }

    #[cold]
    fn wake_slowly(&self, blocker: Blocker, who: u32) {
        if who & SLEEPER != 0 {
            self.futex(blocker).wake();
            crash_point!("wake.sleepers");
        }
        if who & WATCHER != 0 {
            self.notify_watchers(blocker);
            crash_point!("wake.watchers");
        }
    }

    /// Wakes every waiter of the ring, for a halt or a close.
    pub fn wake_all(&self) {
        if self.is_read_only() {
            return;
        }
        self.wake(Blocker::Cursor);
        for index in 0..MAX_CONSUMERS {
            self.wake(Blocker::Consumer(index));
        }
    }

    /// Has `descriptor` (an eventfd) written to when `blocker` is woken and was armed with
    /// [`WATCHER`](crate::futex::WATCHER).
    pub fn watch(&self, blocker: Blocker, descriptor: i32) {
        let mut watchers = self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !watchers.contains(&(blocker, descriptor)) {
            watchers.push((blocker, descriptor));
        }
    }

    /// Undoes every [`Segment::watch`] of `descriptor`.
    pub fn unwatch(&self, descriptor: i32) {
        self.watchers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain(|&(_, watched)| watched != descriptor);
    }

    fn notify_watchers(&self, blocker: Blocker) {
        let watchers = self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for &(_, descriptor) in watchers.iter().filter(|(watched, _)| *watched == blocker) {
            let one = 1_u64;
            // SAFETY: eight readable bytes; a descriptor that is gone gives EBADF, one that is full EAGAIN,
            // and then its owner has a notice pending already.
            #[cfg(not(loom))]
            unsafe {
                libc::write(descriptor, (&raw const one).cast(), 8)
            };
            #[cfg(loom)]
            let _ = (descriptor, one);
        }
        drop(watchers);
        #[cfg(not(loom))]
        if let Backing::Shared(mapping) = &self.backing {
            self.write_fifos(&mapping.path);
        }
    }
}

#[cfg(not(loom))]
impl Segment {
    /// Wakes every event loop that waits in another process or in this one. Who was not meant looks and waits again.
    #[cold]
    fn write_fifos(&self, path: &std::path::Path) {
        let taken = self.registry().taken.load(Ordering::Acquire);
        for index in (0..MAX_CONSUMERS).filter(|index| taken & (1 << index) != 0) {
            let watch = self.consumer(index).identity.watch.load(Ordering::Acquire);
            if watch != 0 {
                shared::write_fifo(path, index, watch);
            }
        }
    }

    /// A descriptor that becomes readable when the consumer at `index`, armed as a watcher, is woken, from whatever
    /// process.
    ///
    /// # Errors
    /// The system refused.
    pub fn open_watch(&self, index: usize) -> Result<OwnedFd, ShareError> {
        let Backing::Shared(mapping) = &self.backing else {
            // SAFETY: a new descriptor is this function's to own.
            unsafe {
                let file = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
                let made = if file < 0 {
                    None
                } else {
                    Some(OwnedFd::from_raw_fd(file))
                };
                return made.ok_or_else(|| ShareError::last("making", std::path::Path::new("an eventfd")));
            }
        };
        let (file, watch) = shared::open_fifo(&mapping.path, index)?;
        self.consumer(index).identity.watch.store(watch, Ordering::Release);
        crash_point!("watch.stored");
        Ok(file)
    }

    /// Undoes [`Segment::open_watch`], or does it for a consumer that has died.
    pub fn close_watch(&self, index: usize) {
        if let Backing::Shared(mapping) = &self.backing {
            let watch = self.consumer(index).identity.watch.swap(0, Ordering::AcqRel);
            crash_point!("watch.cleared");
            if watch != 0 {
                let _ = std::fs::remove_file(folder::fifo_path(&mapping.path, index, watch));
                crash_point!("watch.removed");
            }
        }
    }
}
