//! What is moved: words of 64 bits; word i of event n is n + i.

use crate::options::{Options, Refusal};
use std::arch::asm;
use std::cell::UnsafeCell;

/// An event of `W` words, aligned as `A` so that none lies across two cache lines that could hold it whole.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Event<const W: usize, A> {
    pub words: [u64; W],
    line: [A; 0],
}

impl<const W: usize, A> Event<W, A> {
    pub const fn new() -> Self {
        Self {
            words: [0; W],
            line: [],
        }
    }

    /// Event number `value`.
    #[inline(always)]
    pub fn of(value: u64) -> Self {
        let mut event = Self::new();
        event.fill(value);
        event
    }

    /// Event number `value`, words 1 and 2 left to the stages.
    #[inline(always)]
    pub fn unstaged(value: u64) -> Self {
        let mut event = Self::of(value);
        event.words[1] = 0;
        event.words[2] = 0;
        event
    }

    /// Event number `value`, with a time in word 1.
    #[inline(always)]
    pub fn timed(value: u64, time: u64) -> Self {
        let mut event = Self::of(value);
        event.words[1] = time;
        event
    }

    #[inline(always)]
    pub fn fill(&mut self, value: u64) {
        let before = opaque(value.wrapping_sub(1));
        for (index, word) in self.words.iter_mut().enumerate() {
            *word = before.wrapping_add(index as u64 + 1);
        }
    }

    #[inline(always)]
    pub fn sum(&self) -> u64 {
        self.words.iter().fold(0, |total, word| total.wrapping_add(*word))
    }

    /// The sum without word 1, which is a time.
    #[inline(always)]
    pub fn timeless_sum(&self) -> u64 {
        self.sum().wrapping_sub(self.words[1])
    }
}

/// A value that the compiler knows nothing about. Knowing that word 0 is `value` itself, it would write that word apart
/// and the others in pairs from word 1 on; loads of pairs from word 0 on then wait for the stores to leave their buffer.
#[inline(always)]
fn opaque(mut value: u64) -> u64 {
    // SAFETY: no instruction.
    unsafe { asm!("/* {} */", inout(reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// An event that stages write to, although the crate hands it to them by a shared reference.
pub struct Staged<const W: usize, A>(UnsafeCell<Event<W, A>>);

// SAFETY: no word is written by one stage while another reads or writes it: see `read` and `write`.
unsafe impl<const W: usize, A: Send> Sync for Staged<W, A> {}

impl<const W: usize, A> Staged<W, A> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Event::new()))
    }

    pub fn get_mut(&mut self) -> &mut Event<W, A> {
        self.0.get_mut()
    }

    /// # Safety
    ///
    /// Whoever writes this word must be a stage before this one.
    #[inline(always)]
    pub unsafe fn read(&self, word: usize) -> u64 {
        // SAFETY: the caller says that nobody writes the word now.
        unsafe { (&raw const (*self.0.get()).words[word]).read() }
    }

    /// # Safety
    ///
    /// This stage must be the only one that writes this word, and all that read it must come after it.
    #[inline(always)]
    pub unsafe fn write(&self, word: usize, value: u64) {
        // SAFETY: the caller says that nobody else uses the word now.
        unsafe { (&raw mut (*self.0.get()).words[word]).write(value) }
    }

    /// # Safety
    ///
    /// All stages that write must come before this one.
    #[inline(always)]
    pub unsafe fn sum(&self) -> u64 {
        // SAFETY: the caller says that nobody writes now.
        unsafe { (*self.0.get()).sum() }
    }
}

/// An alignment.
pub trait Line: Copy + Send + Sync + 'static {}

macro_rules! lines {
    ($($name:ident = $bytes:literal),*) => {$(
        #[derive(Clone, Copy)]
        #[repr(align($bytes))]
        pub struct $name;
        impl Line for $name {}
    )*};
}
lines!(Line16 = 16, Line32 = 32, Line64 = 64, Line128 = 128);

/// Work for which the size of an event is a constant.
pub trait OfSize {
    type Result;

    fn run<const W: usize, A: Line>(self) -> Self::Result;
}

/// Does the work for the size that is asked for.
pub fn with_size<S: OfSize>(options: &Options, work: S) -> Result<S::Result, Refusal> {
    Ok(match options.size {
        16 => work.run::<2, Line16>(),
        32 => work.run::<4, Line32>(),
        64 => work.run::<8, Line64>(),
        128 => work.run::<16, Line128>(),
        256 => work.run::<32, Line128>(),
        512 => work.run::<64, Line128>(),
        1024 => work.run::<128, Line128>(),
        size => {
            return Err(Refusal::NotHere(format!(
                "there are no events of {size} bytes: 16 to 1024, powers of two"
            )));
        }
    })
}
