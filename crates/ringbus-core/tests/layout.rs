//! The memory layout, pinned by number: a change here is a new layout version.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::layout::{
    ConsumerEntry, CounterLine, CursorLines, FutexLine, Header, INTENTS, IdentityLine, Intent, LAYOUT_VERSION,
    LINE_BYTES, MAGIC, MAX_CONSUMERS, MAX_SEQUENCE, PAGE_BYTES, ProducerLine, RegistryLine, SequenceLine, StateLine,
    TermsLine,
};
use ringbus_core::segment::Blocker;
use ringbus_core::sync::Ordering;
use ringbus_core::{ClaimError, ConfigError, Geometry, ProducerKind, Sequencer, WaitStrategy};
use std::fs;
use std::mem::offset_of;
use std::path::Path;
use support::{KINDS, barrier, geometry, get, join, ring, ring_of};

#[test]
fn the_words_of_the_header_are_where_they_are() {
    assert_eq!(
        (MAGIC, LAYOUT_VERSION, LINE_BYTES, PAGE_BYTES, MAX_CONSUMERS),
        (*b"RINGBUS\0", 3, 128, 4096, 64)
    );
    let offsets = [
        offset_of!(Header, magic),
        offset_of!(Header, layout_version),
        offset_of!(Header, line_bytes),
        offset_of!(Header, page_bytes),
        offset_of!(Header, producer_kind),
        offset_of!(Header, capacity),
        offset_of!(Header, slot_bytes),
        offset_of!(Header, slot_header_bytes),
        offset_of!(Header, slot_headers),
        offset_of!(Header, start),
        offset_of!(Header, schema_hash),
        offset_of!(Header, schema_bytes),
        offset_of!(Header, producers),
        offset_of!(Header, consumers),
        offset_of!(Header, total_bytes),
    ];
    assert_eq!(offsets, [0, 8, 12, 16, 20, 24, 32, 40, 44, 48, 56, 64, 72, 76, 80]);
    assert_eq!((size_of::<Header>(), align_of::<Header>()), (128, 128));
}

#[test]
fn the_words_that_change_are_where_they_are() {
    assert_eq!(
        [
            offset_of!(StateLine, ready),
            offset_of!(StateLine, replaced),
            offset_of!(StateLine, pads)
        ],
        [0, 4, 8]
    );
    assert_eq!(
        [
            offset_of!(CursorLines, claimed),
            offset_of!(CursorLines, published),
            size_of::<CursorLines>()
        ],
        [0, 128, 256]
    );
    assert_eq!(
        [offset_of!(RegistryLine, gating), offset_of!(RegistryLine, taken)],
        [0, 8]
    );
    assert_eq!([offset_of!(FutexLine, armed), offset_of!(SequenceLine, value)], [0, 0]);
    let producer = [
        offset_of!(ProducerLine, owner),
        offset_of!(ProducerLine, generation),
        offset_of!(ProducerLine, intents),
    ];
    assert_eq!((producer, size_of::<ProducerLine>()), ([0, 8, 16], 128));
    let intent = [
        offset_of!(Intent, low),
        offset_of!(Intent, high),
        size_of::<Intent>(),
        INTENTS,
    ];
    assert_eq!(intent, [0, 8, 16, 7]);
}

#[test]
fn a_consumer_is_five_lines_with_its_sequence_on_one_of_its_own() {
    let entry = [
        offset_of!(ConsumerEntry, identity),
        offset_of!(ConsumerEntry, sequence),
        offset_of!(ConsumerEntry, counters),
        offset_of!(ConsumerEntry, futex),
        offset_of!(ConsumerEntry, terms),
    ];
    assert_eq!((entry, size_of::<ConsumerEntry>()), ([0, 128, 256, 384, 512], 640));
    let identity = [
        offset_of!(IdentityLine, state),
        offset_of!(IdentityLine, kind),
        offset_of!(IdentityLine, generation),
        offset_of!(IdentityLine, depends_on),
        offset_of!(IdentityLine, pid),
        offset_of!(IdentityLine, start_time),
        offset_of!(IdentityLine, pid_namespace),
        offset_of!(IdentityLine, watch),
        offset_of!(IdentityLine, name),
    ];
    assert_eq!(identity, [0, 4, 8, 16, 24, 32, 40, 48, 56]);
    let counters = [
        offset_of!(CounterLine, events),
        offset_of!(CounterLine, batches),
        offset_of!(CounterLine, waits),
        offset_of!(CounterLine, blocked_ns),
        offset_of!(CounterLine, missed),
    ];
    assert_eq!(counters, [0, 8, 16, 24, 32]);
    let terms = [offset_of!(TermsLine, absent_limit), offset_of!(TermsLine, evict_after)];
    assert_eq!(terms, [0, 8]);
}

#[test]
fn every_line_is_whole() {
    let sizes = [
        size_of::<StateLine>(),
        size_of::<RegistryLine>(),
        size_of::<FutexLine>(),
        size_of::<SequenceLine>(),
        size_of::<CounterLine>(),
        size_of::<IdentityLine>(),
        size_of::<ProducerLine>(),
        size_of::<TermsLine>(),
    ];
    assert_eq!(sizes, [128; 8]);
}

#[test]
fn the_parts_of_a_segment_are_where_they_are() {
    let multi = Geometry {
        schema_bytes: 100,
        producers: 2,
        ..geometry(ProducerKind::Multi, 1024, 48, 0)
    };
    let offsets = multi.offsets().unwrap();
    assert_eq!(
        [
            offsets.schema,
            offsets.state,
            offsets.cursor,
            offsets.cursor_futex,
            offsets.registry
        ],
        [128, 4096, 4224, 4480, 4608]
    );
    assert_eq!([offsets.producers, offsets.consumers], [4736, 4992]);
    assert_eq!(
        [offsets.available, offsets.slots, offsets.total],
        [49152, 53248, 53248 + 12 * 4096]
    );
    let single = Geometry {
        kind: ProducerKind::Single,
        ..multi
    }
    .offsets()
    .unwrap();
    assert_eq!([single.available, single.slots], [49152, 49152]);
    let header = multi.header().unwrap();
    assert_eq!(
        (header.magic, header.consumers, header.total_bytes),
        (MAGIC, 64, offsets.total as u64)
    );
}

#[test]
fn the_cursor_and_each_sequence_share_their_line_with_nobody() {
    let (segment, _producer) = ring(ProducerKind::Multi, 4);
    let mut lines = vec![
        std::ptr::from_ref(segment.cursor()).addr(),
        std::ptr::from_ref(segment.registry()).addr(),
        std::ptr::from_ref(segment.state()).addr(),
        std::ptr::from_ref(segment.futex(Blocker::Cursor)).addr(),
    ];
    for index in 0..MAX_CONSUMERS {
        let entry = segment.consumer(index);
        lines.push(std::ptr::from_ref(&entry.sequence).addr());
        lines.push(std::ptr::from_ref(segment.futex(Blocker::Consumer(index))).addr());
    }
    assert!(lines.iter().all(|line| line % LINE_BYTES == 0));
    lines.sort_unstable();
    assert!(lines.windows(2).all(|pair| pair[1] - pair[0] >= LINE_BYTES));
    assert_eq!(segment.slot(0).addr() % LINE_BYTES, 0);
}

/// What nobody has written yet reads as: nobody takes part, nobody sleeps, nothing is published.
#[test]
fn a_page_of_zeros_is_a_valid_beginning() {
    for start in [0, 5, (1 << 31) - 2, 1 << 32, MAX_SEQUENCE - (1 << 32)] {
        let (segment, _producer) = ring_of(geometry(ProducerKind::Multi, 4, 8, start));
        assert_eq!(segment.registry().taken.load(Ordering::Relaxed), 0);
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
        assert!(!segment.has_pads());
        for sequence in start..start + 8 {
            assert!(
                !segment.is_available(sequence) && !segment.was_published(sequence),
                "{start}: {sequence}"
            );
        }
        assert!((start - 4..start).all(|sequence| segment.was_published(sequence)));
    }
}

/// Publishes and handles `events` one by one, a ring ahead of the consumer, from `start` on.
fn run_from(kind: ProducerKind, capacity: i64, start: i64, events: i64) {
    let (segment, mut producer) = ring_of(geometry(kind, capacity as u64, 8, start));
    let consumer = join(&segment, "c");
    let barrier = barrier(&consumer);
    for sequence in start..start + events {
        assert_eq!(producer.fill(1), sequence);
        assert!(barrier.poll(sequence + 1, 1).is_err());
        if sequence - start + 1 < capacity {
            continue;
        }
        assert_eq!(producer.try_claim(1), Err(ClaimError::Full));
        let oldest = sequence - capacity + 1;
        assert_eq!(barrier.poll(oldest, i64::MAX), Ok(sequence));
        assert_eq!(get::<u64>(&segment, oldest), oldest as u64);
        consumer.commit(oldest);
    }
}

#[test]
fn a_ring_may_start_near_every_edge_of_the_numbers() {
    for kind in KINDS {
        for capacity in [1, 4] {
            for edge in [1 << 31, 1 << 32, 1 << 33, 1 << 61, MAX_SEQUENCE - (1 << 32)] {
                for start in edge - 9..=edge {
                    run_from(kind, capacity, start, 20);
                }
            }
        }
    }
}

#[test]
fn a_start_that_is_out_of_range_is_refused() {
    for start in [-1, i64::MIN, MAX_SEQUENCE - (1 << 32) + 1, 1 << 62, i64::MAX] {
        let refused = geometry(ProducerKind::Multi, 4, 8, start).check();
        assert_eq!(refused, Err(ConfigError::StartOutOfRange { start }));
    }
}

#[test]
fn a_capacity_that_is_no_power_of_two_or_too_large_is_refused() {
    for capacity in [0, 3, 6, 1000, u64::MAX] {
        let refused = geometry(ProducerKind::Multi, capacity, 8, 0).check();
        assert_eq!(refused, Err(ConfigError::CapacityNotPowerOfTwo { capacity }));
    }
    for (capacity, slot_bytes) in [(1 << 40, 8), (1 << 32, 1 << 20), (2, u64::MAX)] {
        let refused = geometry(ProducerKind::Single, capacity, slot_bytes, 0).offsets();
        assert_eq!(refused, Err(ConfigError::CapacityTooLarge { capacity, slot_bytes }));
    }
}

#[test]
fn the_last_sequence_is_the_last() {
    for kind in KINDS {
        let (segment, _) = ring_of(geometry(kind, 4, 8, MAX_SEQUENCE - (1 << 32)));
        let near = MAX_SEQUENCE - 3;
        segment.cursor().claimed.store(near, Ordering::Relaxed);
        segment.cursor().published.store(near, Ordering::Relaxed);
        if kind == ProducerKind::Multi {
            (near - 3..=near).for_each(|sequence| segment.mark_available(sequence));
        }
        let mut producer = support::Producer::new(segment);
        assert_eq!(producer.try_claim(4), Err(ClaimError::Exhausted));
        assert_eq!(producer.fill(3), MAX_SEQUENCE);
        assert_eq!(producer.try_claim(1), Err(ClaimError::Exhausted));
        let refused = producer.claim(1, WaitStrategy::BLOCKING, &ringbus_core::wait::Alert::default(), None);
        assert_eq!(refused, Err(ClaimError::Exhausted));
    }
}

/// The lap in an available word has 31 bits: 43 s of a ring of one slot at 50 million events a second.
#[test]
fn laps_may_wrap() {
    for capacity in [1_i64, 4] {
        let (segment, _) = ring_of(geometry(ProducerKind::Multi, capacity as u64, 8, 0));
        let before = (capacity << 31) - 3 * capacity - 1;
        segment.cursor().claimed.store(before, Ordering::Relaxed);
        (before - capacity + 1..=before).for_each(|sequence| segment.mark_available(sequence));
        let mut producer = support::Producer::new(segment.clone());
        let consumer = join(&segment, "c");
        for sequence in before + 1..before + 8 * capacity {
            assert!(!segment.was_published(sequence));
            assert_eq!(producer.fill(1), sequence);
            assert!(segment.is_available(sequence) && !segment.is_available(sequence - capacity));
            assert!(segment.was_published(sequence - capacity));
            assert_eq!(barrier(&consumer).poll(sequence, 2), Ok(sequence));
            consumer.commit(sequence);
        }
    }
}

/// What clippy cannot tell: std's atomics come in by `sync.rs` alone, so that loom can replace them.
#[test]
fn only_one_file_names_atomics() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![sources.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path != sources.join("sync.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let banned = [
                    "std::sync::atomic",
                    "core::sync::atomic",
                    "std::cell::UnsafeCell",
                    "SeqCst",
                ];
                let found: Vec<_> = banned.into_iter().filter(|name| text.contains(name)).collect();
                assert!(found.is_empty(), "{} names {found:?}", path.display());
            }
        }
    }
}
