//! No claim, publish, wait or handler loop allocates.
#![cfg(not(loom))]
#![allow(
    clippy::disallowed_types,
    reason = "the counter belongs to the test, not to the ring"
)]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::wait::Alert;
use ringbus_core::{EventHandler, EventPoller, EventProcessor, Outcome, Segment, Sequencer, WaitStrategy};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Arc, Barrier};
use std::thread;
use support::{KINDS, STRATEGIES, barrier, join, ring};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator; counts the allocations of each thread.
struct Counting;

// SAFETY: every call goes on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EVENTS: i64 = 1_000_000;

/// Runs `work` and returns how often its thread allocated.
fn count(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn the_counter_counts() {
    assert!(count(|| drop(std::hint::black_box(vec![1_u8]))) > 0);
}

#[test]
fn a_claim_a_publish_and_a_poll_allocate_nothing() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 1024);
        let mut poller = EventPoller::new(join(&segment, "c"));
        let allocated = count(|| {
            for round in 0..EVENTS / 512 {
                for _ in 0..256 {
                    assert!(producer.try_send(1).is_some());
                }
                let high = producer.try_claim(256).unwrap();
                if round % 8 == 0 {
                    producer.abort(high - 255, high);
                } else {
                    producer.publish(high - 255, high);
                }
                poller.poll(i64::MAX, |_, _| true);
            }
        });
        assert_eq!(allocated, 0, "{kind:?}");
    }
}

#[test]
fn waits_of_both_sides_allocate_nothing() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 64);
            let consumer = join(&segment, "c");
            let reader = thread::spawn(move || {
                let barrier = barrier(&consumer);
                let mut next = 0;
                count(|| {
                    while next < EVENTS / 5 {
                        if let Outcome::Ready(last) = barrier.wait_for(next, i64::MAX, strategy, None) {
                            consumer.commit(last);
                            next = last + 1;
                        }
                    }
                })
            });
            let alert = Alert::default();
            let sent = count(|| {
                for sequence in 0..EVENTS / 5 {
                    assert_eq!(producer.claim(1, strategy, &alert, None), Ok(Outcome::Ready(sequence)));
                    producer.publish(sequence, sequence);
                }
            });
            assert_eq!((sent, reader.join().unwrap()), (0, 0), "{kind:?} {strategy:?}");
        }
    }
}

struct Halting(Alert, Arc<Segment>);

impl EventHandler for Halting {
    type Error = Infallible;

    fn on_event(&mut self, sequence: i64, _end_of_batch: bool) -> Result<(), Infallible> {
        if sequence == EVENTS - 1 {
            self.0.raise(&self.1);
        }
        Ok(())
    }
}

#[test]
fn a_processor_allocates_nothing() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 1024);
        let (alert, start) = (Alert::default(), Arc::new(Barrier::new(2)));
        let handler = Halting(alert.clone(), Arc::clone(&segment));
        let mut processor = EventProcessor::new(join(&segment, "c"), alert, WaitStrategy::BLOCKING, handler);
        let ready = Arc::clone(&start);
        let thread = thread::spawn(move || {
            ready.wait();
            count(|| {
                let Ok(()) = processor.run();
            })
        });
        start.wait();
        for _ in 0..EVENTS {
            assert!(producer.send(1, WaitStrategy::BLOCKING) >= 0);
        }
        assert_eq!(thread.join().unwrap(), 0, "{kind:?}");
    }
}
