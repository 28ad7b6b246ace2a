//! Statements 13 to 15: consumers that come, gate and go.

use crate::support::{KINDS, join, ring};
use ringbus_core::{Alert, ClaimError, Consumer, JoinError, LeaveError, ProducerKind, Sequencer, Start, WaitStrategy};
use std::thread;

// 13, 15
#[test]
fn the_minimum_is_that_of_the_slowest_who_is_there() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
        let (a, b) = (join(&segment, "a"), join(&segment, "b"));
        producer.fill(10);
        a.commit(3);
        b.commit(7);
        assert_eq!(segment.minimum_gate(i64::MAX), (3, Some(a.index())));
        a.leave().unwrap();
        assert_eq!(segment.minimum_gate(i64::MAX), (7, Some(b.index())));
        a.leave().unwrap();
        b.leave().unwrap();
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
    }
}

// 15
#[test]
fn leaving_twice_does_not_take_the_place_of_who_came_after() {
    let (segment, _producer) = ring(ProducerKind::Multi, 16);
    let first = join(&segment, "first");
    first.leave().unwrap();
    let second = join(&segment, "second");
    assert_eq!(first.index(), second.index());
    first.leave().unwrap();
    assert_eq!(segment.minimum_gate(i64::MAX), (-1, Some(second.index())));
}

// 14
#[test]
fn a_consumer_starts_after_the_cursor() {
    for kind in KINDS {
        for start in [Start::Default, Start::Latest, Start::Oldest, Start::At(11)] {
            let (segment, mut producer) = ring(kind, 16);
            producer.fill(11);
            assert_eq!(Consumer::join(&segment, "c", true, start).unwrap().sequence(), 10);
        }
    }
}

#[test]
fn a_start_that_nobody_held_is_refused_and_leaves_no_trace() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        producer.fill(4);
        for wanted in [0, 3, 5] {
            let refused = Consumer::join(&segment, "c", true, Start::At(wanted)).err();
            assert_eq!(refused, Some(JoinError::StartNotHeld { wanted, first: 4 }));
        }
        assert_eq!(segment.minimum_gate(i64::MAX), (i64::MAX, None));
        join(&segment, "c");
    }
}

#[test]
fn a_place_that_is_held_gates_until_its_consumer_comes() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        Consumer::hold(&segment, "risk").unwrap();
        producer.fill(4);
        assert_eq!(producer.try_claim(1), Err(ClaimError::Full));
        assert_eq!(
            Consumer::hold(&segment, "risk").err(),
            Some(JoinError::NameTaken { name: "risk".into() })
        );
        let consumer = Consumer::join(&segment, "risk", true, Start::At(2)).unwrap();
        assert_eq!((consumer.sequence(), producer.remaining_capacity()), (1, 2));
        let again = Consumer::join(&segment, "risk", true, Start::Default).err();
        assert_eq!(again, Some(JoinError::NameTaken { name: "risk".into() }));
    }
}

#[test]
fn latest_is_never_refused_while_events_flow() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 16);
        let alert = Alert::default();
        let own = alert.clone();
        let publisher = thread::spawn(move || {
            while !own.is_raised() {
                let _ = producer.claim(1, WaitStrategy::BLOCKING, &own, None).unwrap();
                producer.publish(producer.claimed(), producer.claimed());
            }
        });
        for _ in 0..2_000 {
            join(&segment, "c").leave().unwrap();
        }
        alert.raise(&segment);
        publisher.join().unwrap();
    }
}

#[test]
fn a_consumer_with_dependents_cannot_leave() {
    let (segment, _producer) = ring(ProducerKind::Single, 4);
    let (a, b) = (join(&segment, "a"), join(&segment, "b"));
    b.depend_on(1 << a.index());
    assert_eq!(
        a.leave(),
        Err(LeaveError::HasDependents {
            dependents: 1 << b.index()
        })
    );
    b.leave().unwrap();
    a.leave().unwrap();
}
