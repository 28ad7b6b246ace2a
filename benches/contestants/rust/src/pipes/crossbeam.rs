//! crossbeam-channel: bounded, its ends can be shared; it blocks by itself, or is asked again and again.

use super::{Pipe, Receiver, Sender, SharedPipe};
use crate::waits::Wait;
use crossbeam_channel::{TryRecvError, TrySendError, bounded};
use std::marker::PhantomData;

const GONE: &str = "receivers stay until the senders are gone";

/// An end of a channel, used as `M` says.
pub struct End<T, M>(T, PhantomData<fn() -> M>);

impl<T: Clone, M> End<T, M> {
    fn new(end: T) -> Self {
        Self(end, PhantomData)
    }

    fn share(&self) -> Self {
        Self::new(self.0.clone())
    }
}

/// Its own waits: it spins a little, then sleeps.
pub struct Blocking;

/// Asked again after each `W`.
pub struct Polling<W>(PhantomData<W>);

macro_rules! pipe {
    ($mode:ty $(, $wait:ident)?) => {
        impl$(<$wait: Wait>)? Pipe for $mode {
            type Sender<E: Copy + Send + 'static> = End<crossbeam_channel::Sender<E>, $mode>;
            type Receiver<E: Copy + Send + 'static> = End<crossbeam_channel::Receiver<E>, $mode>;

            fn open<E: Copy + Send + 'static>(capacity: usize) -> (Self::Sender<E>, Self::Receiver<E>) {
                let (sender, receiver) = bounded(capacity);
                (End::new(sender), End::new(receiver))
            }
        }

        impl$(<$wait: Wait>)? SharedPipe for $mode {
            fn share_sender<E: Copy + Send + 'static>(sender: &Self::Sender<E>) -> Self::Sender<E> {
                sender.share()
            }

            fn share_receiver<E: Copy + Send + 'static>(receiver: &Self::Receiver<E>) -> Self::Receiver<E> {
                receiver.share()
            }
        }
    };
}
pipe!(Blocking);
pipe!(Polling<W>, W);

impl<E: Send + 'static> Sender<E> for End<crossbeam_channel::Sender<E>, Blocking> {
    #[inline(always)]
    fn send(&mut self, event: E) {
        assert!(self.0.send(event).is_ok(), "{GONE}");
    }
}

impl<E: Send + 'static> Receiver<E> for End<crossbeam_channel::Receiver<E>, Blocking> {
    #[inline(always)]
    fn receive(&mut self) -> Option<E> {
        self.0.recv().ok()
    }
}

impl<E: Send + 'static, W: Wait> Sender<E> for End<crossbeam_channel::Sender<E>, Polling<W>> {
    #[inline(always)]
    fn send(&mut self, mut event: E) {
        let mut wait = W::default();
        loop {
            match self.0.try_send(event) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) => event = back,
                Err(TrySendError::Disconnected(_)) => panic!("{GONE}"),
            }
            wait.idle();
        }
    }
}

impl<E: Send + 'static, W: Wait> Receiver<E> for End<crossbeam_channel::Receiver<E>, Polling<W>> {
    #[inline(always)]
    fn receive(&mut self) -> Option<E> {
        let mut wait = W::default();
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => wait.idle(),
            }
        }
    }
}
