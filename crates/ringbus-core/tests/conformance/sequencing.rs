//! Statements 1 to 12: claims and what is published.

use crate::support::{KINDS, STRATEGIES, get, join, ring};
use crate::{has_room, is_readable, soon};
use ringbus_core::consumer::read_unless_lapped;
use ringbus_core::registry::cursor;
use ringbus_core::{Alert, ClaimError, Outcome, ProducerKind, SequenceBarrier, Sequencer, WaitStrategy};

// 1
#[test]
fn the_first_claim_is_0_and_a_claim_of_4_gives_the_highest_of_them() {
    for kind in KINDS {
        assert_eq!(ring(kind, 16).1.try_claim(1), Ok(0));
        assert_eq!(ring(kind, 16).1.try_claim(4), Ok(3));
    }
}

// 2
#[test]
fn capacity_counts_down_from_the_slowest_consumer() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let _consumer = join(&segment, "c");
        assert!(has_room(&producer, 1) && has_room(&producer, 16) && !has_room(&producer, 17));
        producer.fill(1);
        assert!(has_room(&producer, 15) && !has_room(&producer, 16));
    }
}

// 3
#[test]
fn a_full_ring_refuses_until_the_consumer_moves() {
    for kind in KINDS {
        for strategy in STRATEGIES {
            let (segment, mut producer) = ring(kind, 16);
            let consumer = join(&segment, "c");
            producer.fill(16);
            assert_eq!(producer.try_claim(1), Err(ClaimError::Full));
            assert_eq!(producer.try_send(0), None);
            assert_eq!(
                producer.claim(1, strategy, &Alert::default(), soon(1)),
                Ok(Outcome::TimedOut)
            );
            consumer.commit(0);
            assert_eq!(
                producer.claim(1, strategy, &Alert::default(), soon(1)),
                Ok(Outcome::Ready(16))
            );
            assert_eq!(
                producer.claim(1, strategy, &Alert::default(), soon(1)),
                Ok(Outcome::TimedOut)
            );
        }
    }
}

// 4
#[test]
fn remaining_capacity_counts_claims_published_or_not() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let _consumer = join(&segment, "c");
        for claims in 0..16 {
            assert_eq!(producer.remaining_capacity(), 16 - claims);
            producer.try_claim(1).unwrap();
        }
        assert_eq!(producer.remaining_capacity(), 0);
    }
}

// 5
#[test]
fn what_is_claimed_is_available_once_it_is_published() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        producer.try_claim(6).unwrap();
        assert!((0..6).all(|sequence| !is_readable(&segment, sequence)));
        producer.publish(0, 5);
        assert!((0..6).all(|sequence| is_readable(&segment, sequence)));
        assert!(!is_readable(&segment, 6));
    }
}

// 6
#[test]
fn what_was_wrapped_is_no_longer_available() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        producer.fill(1);
        assert!(read_unless_lapped(&segment, 0, || ()).is_ok());
        producer.fill(16);
        assert!(read_unless_lapped(&segment, 0, || ()).is_err());
        assert!(read_unless_lapped(&segment, 1, || ()).is_ok());
        assert!(kind == ProducerKind::Single || !segment.is_available(0) && segment.is_available(1));
    }
}

// 7
#[test]
fn a_claim_may_be_published_in_parts() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let barrier = SequenceBarrier::new(&segment, 0, Alert::default());
        producer.try_claim(10).unwrap();
        for sequence in 0..5 {
            producer.publish(sequence, sequence);
        }
        assert_eq!(
            barrier.wait_for(0, i64::MAX, WaitStrategy::BLOCKING, None),
            Outcome::Ready(4)
        );
        for sequence in 5..10 {
            producer.publish(sequence, sequence);
        }
        assert_eq!(
            barrier.wait_for(0, i64::MAX, WaitStrategy::BLOCKING, None),
            Outcome::Ready(9)
        );
    }
}

// 8
#[test]
fn a_consumer_stops_before_a_gap() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 16);
    producer.try_claim(7).unwrap();
    producer.publish(3, 3);
    producer.publish(5, 5);
    let available: Vec<i64> = (0..7).filter(|&sequence| segment.is_available(sequence)).collect();
    assert_eq!(available, [3, 5]);
    assert!(!is_readable(&segment, 0));
    for sequence in 0..3 {
        producer.publish(sequence, sequence);
    }
    assert_eq!(
        SequenceBarrier::new(&segment, 0, Alert::default()).poll(0, i64::MAX),
        Ok(3)
    );
}

// 9, 12
#[test]
fn a_claim_of_an_impossible_count_is_refused_and_changes_nothing() {
    for kind in KINDS {
        for count in [0, -1, i64::MIN, 5, i64::MAX] {
            let (segment, mut producer) = ring(kind, 4);
            let refused = ClaimError::CountOutOfRange { count, capacity: 4 };
            assert_eq!(producer.try_claim(count), Err(refused));
            assert_eq!(
                producer.claim(count, WaitStrategy::BLOCKING, &Alert::default(), None),
                Err(refused)
            );
            assert_eq!(
                (producer.claimed(), cursor(&segment), producer.remaining_capacity()),
                (-1, -1, 4)
            );
            assert_eq!(producer.try_claim(4), Ok(3));
        }
    }
}

// 10
#[test]
fn after_many_laps_the_slots_hold_the_last_one() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 32);
        let consumer = join(&segment, "c");
        for value in 0..1032 {
            let sequence = producer.send(value, WaitStrategy::BLOCKING);
            consumer.commit(sequence);
        }
        let mut held: Vec<u64> = (0..32).map(|sequence| get(&segment, sequence)).collect();
        held.sort_unstable();
        assert_eq!(held, (1000..1032).collect::<Vec<u64>>());
    }
}

// 11
#[test]
fn exactly_as_many_are_published_as_there_are_slots() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 32);
        let _consumer = join(&segment, "c");
        assert!((0..32).all(|value| producer.try_send(value + 29) == Some(value as i64)));
        assert_eq!(producer.try_send(0), None);
        assert!((0..32).all(|sequence| get::<u64>(&segment, sequence) == sequence as u64 + 29));
    }
}

// 12
#[test]
fn a_claim_of_a_part_takes_the_half_or_less_of_what_was_asked_for() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let consumer = join(&segment, "c");
        assert_eq!(producer.poll_claim_part(16), Some((7, 8)));
        producer.publish(0, 7);
        producer.fill(5);
        assert_eq!(producer.poll_claim_part(16), Some((14, 2)), "three slots are free");
        producer.publish(13, 14);
        producer.fill(1);
        assert_eq!(producer.poll_claim_part(16), None);
        consumer.commit(0);
        assert_eq!(producer.poll_claim_part(16), Some((16, 1)));
    }
}
