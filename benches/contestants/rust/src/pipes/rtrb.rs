//! rtrb: one sender, one receiver, no waits of its own; batches as chunks.

use super::{Pipe, Receiver, Sender};
use crate::waits::Wait;
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::marker::PhantomData;

pub struct Rtrb<W>(PhantomData<W>);

/// An end of a ring, asked again after each `W`.
pub struct End<T, W>(T, PhantomData<W>);

impl<W: Wait> Pipe for Rtrb<W> {
    type Sender<E: Copy + Send + 'static> = End<Producer<E>, W>;
    type Receiver<E: Copy + Send + 'static> = End<Consumer<E>, W>;

    fn open<E: Copy + Send + 'static>(capacity: usize) -> (Self::Sender<E>, Self::Receiver<E>) {
        let (producer, consumer) = RingBuffer::new(capacity);
        (End(producer, PhantomData), End(consumer, PhantomData))
    }
}

impl<E: Send + 'static, W: Wait> Sender<E> for End<Producer<E>, W> {
    #[inline(always)]
    fn send(&mut self, mut event: E) {
        let mut wait = W::default();
        while let Err(PushError::Full(back)) = self.0.push(event) {
            event = back;
            wait.idle();
        }
    }

    #[inline(always)]
    fn send_all(&mut self, count: usize, make: impl Fn(u64) -> E) {
        let mut wait = W::default();
        loop {
            if let Ok(chunk) = self.0.write_chunk_uninit(count) {
                chunk.fill_from_iter((0..count as u64).map(make));
                return;
            }
            wait.idle();
        }
    }
}

impl<E: Send + 'static, W: Wait> End<Consumer<E>, W> {
    /// How many events are there; 0 at the end.
    #[inline(always)]
    fn wait_for_some(&mut self) -> usize {
        let mut wait = W::default();
        loop {
            // The sender's last events show before it is seen to be gone.
            let is_gone = self.0.is_abandoned();
            let found = self.0.slots();
            if found > 0 || is_gone {
                return found;
            }
            wait.idle();
        }
    }
}

impl<E: Copy + Send + 'static, W: Wait> Receiver<E> for End<Consumer<E>, W> {
    #[inline(always)]
    fn receive(&mut self) -> Option<E> {
        if let Ok(event) = self.0.pop() {
            return Some(event);
        }
        self.wait_for_some();
        self.0.pop().ok()
    }

    #[inline(always)]
    fn receive_all(&mut self, handle: impl FnMut(&E)) -> u64 {
        let found = self.wait_for_some();
        let chunk = self.0.read_chunk(found).expect("that many are there");
        let (first, second) = chunk.as_slices();
        first.iter().chain(second).for_each(handle);
        chunk.commit_all();
        found as u64
    }
}
