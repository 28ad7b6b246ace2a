//! Nanoseconds per event of the core; the first row is what the harness itself costs.
//!
//! `cargo bench --package ringbus-core [-- FILTER]`. Each row is the median of five runs, and what it is as
//! a multiple of the harness. Where more threads take part than there are cores, the row says so.
#![cfg(not(loom))]

use ringbus_core::wait::Alert;
use ringbus_core::{
    Consumer, EventPoller, Geometry, Memory, MultiProducerSequencer, Outcome, ProducerKind, Segment, SequenceBarrier,
    Sequencer, SingleProducerSequencer, Start, WaitStrategy,
};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const EVENTS: i64 = 2_000_000;
const RUNS: usize = 5;
const CAPACITY: u64 = 8192;
const BATCH: i64 = 256;

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let rows: [(&str, usize, fn()); 9] = [
        ("harness alone", 1, harness),
        ("single, one thread, one by one", 1, || same_thread(single(), 1)),
        ("single, one thread, claims of 256", 1, || same_thread(single(), BATCH)),
        ("multi, one thread, one by one", 1, || same_thread(multi(), 1)),
        ("multi, one thread, claims of 256", 1, || same_thread(multi(), BATCH)),
        ("single, two threads, yielding", 2, || {
            two_threads(single(), WaitStrategy::Yielding);
        }),
        ("single, two threads, blocking", 2, || {
            two_threads(single(), WaitStrategy::BLOCKING);
        }),
        ("multi, two threads, yielding", 2, || {
            two_threads(multi(), WaitStrategy::Yielding);
        }),
        ("multi, two threads, blocking", 2, || {
            two_threads(multi(), WaitStrategy::BLOCKING);
        }),
    ];
    println!("{:36} {:>10} {:>9}", "", "ns/event", "harness");
    let base = median(harness);
    for (name, threads, work) in rows.into_iter().filter(|(name, ..)| name.contains(&filter)) {
        let time = median(work);
        let note = if threads > cores {
            format!("  ({threads} threads on {cores} core)")
        } else {
            String::new()
        };
        println!("{name:36} {time:10.2} {:8.1}x{note}", time / base);
    }
}

/// The median time per event of several runs, in ns.
fn median(work: fn()) -> f64 {
    let mut times = [0.0; RUNS].map(|_: f64| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64() * 1e9 / EVENTS as f64
    });
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

/// The loop, a store and a load per event, without a ring.
fn harness() {
    let mut slots = vec![0_i64; CAPACITY as usize];
    for sequence in 0..EVENTS {
        let slot = black_box(&mut slots[sequence as usize & (CAPACITY as usize - 1)]);
        *slot = sequence;
        black_box(*slot);
    }
}

fn ring(kind: ProducerKind) -> Arc<Segment> {
    let geometry = Geometry {
        capacity: CAPACITY,
        slot_bytes: 8,
        slot_header_bytes: 0,
        slot_headers: 0,
        kind,
        start: 0,
        producers: 1,
        schema_bytes: 0,
        schema_hash: 0,
    };
    Arc::new(
        Segment::private(
            geometry,
            &[],
            Memory {
                prefault: true,
                huge_pages: false,
            },
        )
        .expect("memory for a ring"),
    )
}

fn single() -> SingleProducerSequencer {
    SingleProducerSequencer::new(ring(ProducerKind::Single))
}

fn multi() -> MultiProducerSequencer {
    MultiProducerSequencer::new(ring(ProducerKind::Multi))
}

fn join(segment: &Arc<Segment>) -> Consumer {
    Consumer::join(segment, "bench", true, Start::Latest).expect("a free entry")
}

fn put(segment: &Segment, sequence: i64) {
    // SAFETY: slots are eight bytes, aligned; the sequence is claimed.
    unsafe { segment.slot(sequence).cast::<i64>().write(sequence) };
}

fn take(segment: &Segment, sequence: i64) {
    // SAFETY: as in `put`; the sequence is published and not yet committed.
    black_box(unsafe { segment.slot(sequence).cast::<i64>().read() });
}

/// Claims and publishes `count` at a time; a poller on the same thread takes a quarter of the ring at once.
fn same_thread(mut producer: impl Sequencer, count: i64) {
    let segment = Arc::clone(producer.segment());
    let mut poller = EventPoller::new(join(&segment));
    let claims = CAPACITY as i64 / 4 / count;
    for _ in 0..EVENTS / (claims * count) {
        for _ in 0..claims {
            let high = producer.try_claim(count).expect("the poller keeps up");
            (high - count + 1..=high).for_each(|sequence| put(&segment, sequence));
            producer.publish(high - count + 1, high);
        }
        poller.poll(i64::MAX, |sequence, _| {
            take(&segment, sequence);
            true
        });
    }
}

fn two_threads(mut producer: impl Sequencer, strategy: WaitStrategy) {
    let segment = Arc::clone(producer.segment());
    let consumer = join(&segment);
    let reader = thread::spawn(move || read_all(&consumer, strategy));
    let alert = Alert::default();
    for _ in 0..EVENTS {
        let Ok(Outcome::Ready(sequence)) = producer.claim(1, strategy, &alert, None) else {
            unreachable!()
        };
        put(&segment, sequence);
        producer.publish(sequence, sequence);
    }
    reader.join().expect("the reader ends by itself");
}

fn read_all(consumer: &Consumer, strategy: WaitStrategy) {
    let segment = consumer.segment();
    let barrier = SequenceBarrier::new(segment, 0, Alert::default());
    let mut next = 0;
    while next < EVENTS {
        let Outcome::Ready(last) = barrier.wait_for(next, i64::MAX, strategy, None) else {
            continue;
        };
        (next..=last).for_each(|sequence| take(segment, sequence));
        consumer.commit(last);
        next = last + 1;
    }
}
