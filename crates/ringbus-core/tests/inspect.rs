//! What is told of a ring to who only looks, and what one finds who comes behind all others.
#![cfg(not(loom))]

#[path = "support/plain.rs"]
mod support;

use ringbus_core::consumer::Behind;
use ringbus_core::inspect::{self, Condition, ProducerFacts};
use ringbus_core::registry::{HELD, LIVE};
use ringbus_core::residents::describe_claim;
use ringbus_core::{Consumer, ProducerKind, Sequencer, Start, Terms};
use support::{KINDS, join, ring};

#[test]
fn the_highest_that_is_published_may_lie_behind_a_gap() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 8);
    assert_eq!(inspect::published(&segment), -1);
    producer.try_claim(4).unwrap();
    assert_eq!(inspect::published(&segment), -1);
    producer.publish(2, 2);
    assert_eq!(inspect::published(&segment), 2);
}

#[test]
fn nothing_in_sight_is_published_when_a_whole_lap_is_claimed() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 4);
    producer.fill(4);
    producer.try_claim(4).unwrap();
    assert_eq!(inspect::published(&segment), 3);
}

#[test]
fn a_claim_of_a_single_producer_is_not_published() {
    let (segment, mut producer) = ring(ProducerKind::Single, 8);
    producer.fill(3);
    producer.try_claim(2).unwrap();
    assert_eq!(inspect::published(&segment), 2);
}

#[test]
fn a_sequence_is_available_from_its_publish_until_it_is_overwritten() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        producer.fill(2);
        let available = |sequence| inspect::is_available(&segment, sequence);
        assert_eq!([-1, 0, 1, 2].map(available), [false, true, true, false]);
        producer.fill(4);
        assert_eq!([1, 2, 5, 6].map(available), [false, true, true, false]);
    }
}

#[test]
fn room_is_counted_from_the_slowest_that_gates() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 8);
        let consumer = join(&segment, "c");
        producer.fill(5);
        assert_eq!(inspect::remaining_capacity(&segment), 3);
        consumer.commit(1);
        assert_eq!(inspect::remaining_capacity(&segment), 5);
    }
}

#[test]
fn all_that_are_furthest_behind_hold_the_producers_up_and_only_those_that_gate() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 8);
        assert_eq!(inspect::laggards(&segment), []);
        let watcher = Consumer::join(&segment, "watcher", false, Start::Latest).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| join(&segment, name));
        producer.fill(6);
        for (consumer, done) in [(&a, 4), (&b, 2), (&c, 2), (&watcher, 0)] {
            consumer.commit(done);
        }
        assert_eq!(inspect::laggards(&segment), [b.index(), c.index()]);
    }
}

#[test]
fn a_consumer_is_told_of_by_name_place_and_terms() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 8);
        let risk = join(&segment, "risk");
        let terms = Terms {
            gating: true,
            durable: true,
            absent_limit: 0,
            evict_after: 0,
        };
        let audit = Consumer::join_as(&segment, "audit", terms, Start::Latest).unwrap();
        audit.depend_on(1 << risk.index());
        Consumer::hold(&segment, "late").unwrap();
        producer.fill(3);
        risk.commit(2);
        risk.count_batch(3);
        let facts = inspect::consumers(&segment);
        let told: Vec<_> = facts
            .iter()
            .map(|of| (of.name.as_str(), of.state, of.durable))
            .collect();
        assert_eq!(
            told,
            [("risk", LIVE, false), ("audit", LIVE, true), ("late", HELD, false)]
        );
        assert_eq!((facts[0].sequence, facts[0].events, facts[0].batches), (2, 3, 1));
        assert_eq!(facts[1].depends_on, 1 << risk.index());
        let conditions: Vec<_> = facts.iter().map(|of| inspect::condition(&segment, of.index)).collect();
        assert_eq!(conditions, [Condition::Alive, Condition::Alive, Condition::Held]);
    }
}

#[test]
fn one_that_left_others_behind_counts_as_dead() {
    let (segment, _producer) = ring(ProducerKind::Multi, 8);
    let (first, second) = (join(&segment, "first"), join(&segment, "second"));
    second.depend_on(1 << first.index());
    first.part();
    assert_eq!(inspect::condition(&segment, first.index()), Condition::Dead);
}

#[test]
fn producers_of_a_private_ring_need_no_line() {
    let (segment, _producer) = ring(ProducerKind::Multi, 8);
    assert_eq!(inspect::producers(&segment), [] as [ProducerFacts; 0]);
}

#[test]
fn a_watcher_begins_where_it_says_and_never_before_the_first_sequence() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 4);
        producer.fill(2);
        let begin = |start: Start| start.of_watcher(&segment);
        assert_eq!((begin(Start::Latest), begin(Start::Default)), (1, 1));
        assert_eq!((begin(Start::Oldest), begin(Start::At(1))), (-1, 0));
        assert_eq!(begin(Start::At(i64::MIN)), -1);
        producer.fill(4);
        assert_eq!(begin(Start::Oldest), 1, "what is older was overwritten");
    }
}

#[test]
fn who_is_behind_all_gets_each_event_once_all_are_done_with_it() {
    for kind in KINDS {
        let (segment, mut producer) = ring(kind, 8);
        let last = join(&segment, "last");
        assert_eq!(Behind::next(&last), Behind::Alone);
        let (a, b) = (join(&segment, "a"), join(&segment, "b"));
        producer.fill(2);
        assert_eq!(Behind::next(&last), Behind::Nothing);
        a.commit(1);
        assert_eq!(Behind::next(&last), Behind::Nothing);
        b.commit(0);
        assert_eq!(Behind::next(&last), Behind::Event(0));
        last.commit(0);
        assert_eq!(Behind::next(&last), Behind::Nothing);
    }
}

#[test]
fn who_is_behind_all_steps_over_pads_and_open_claims() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 8);
    let last = join(&segment, "last");
    producer.try_claim(2).unwrap();
    producer.abort(0, 0);
    // It joins behind the claim that is still open.
    let late = join(&segment, "late");
    assert_eq!(late.sequence(), 1);
    assert_eq!(Behind::next(&last), Behind::NoEvent(0));
    last.commit(0);
    assert_eq!(Behind::next(&last), Behind::NoEvent(1));
    producer.publish(1, 1);
    assert_eq!(Behind::next(&last), Behind::Event(1));
}

#[test]
fn an_open_claim_that_the_slowest_consumer_waits_for_is_in_the_way() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 8);
    let (slow, quick) = (join(&segment, "slow"), join(&segment, "quick"));
    producer.fill(2);
    let open = producer.try_claim(1).unwrap();
    producer.fill(5);
    assert_eq!(inspect::open_claim_in_the_way(&segment), None);
    slow.commit(1);
    quick.commit(1);
    assert_eq!(inspect::open_claim_in_the_way(&segment), Some(open));
    assert_eq!(describe_claim(&segment, open), "an open claim (sequence 2)");
    producer.publish(open, open);
    assert_eq!(inspect::open_claim_in_the_way(&segment), None);
    assert_eq!(inspect::laggards(&segment).len(), 2);
}

#[test]
fn without_consumers_the_oldest_open_claim_of_the_lap_is_in_the_way() {
    let (segment, mut producer) = ring(ProducerKind::Multi, 4);
    assert_eq!(inspect::open_claim_in_the_way(&segment), None);
    producer.fill(1);
    let open = producer.try_claim(2).unwrap();
    producer.fill(1);
    producer.fill(1);
    assert_eq!(inspect::open_claim_in_the_way(&segment), Some(open - 1));
    producer.publish(open - 1, open);
    assert_eq!(inspect::open_claim_in_the_way(&segment), None);
}

#[test]
fn a_single_producer_is_never_in_its_own_way() {
    let (segment, mut producer) = ring(ProducerKind::Single, 4);
    let _consumer = join(&segment, "reader");
    producer.try_claim(2).unwrap();
    assert_eq!(inspect::open_claim_in_the_way(&segment), None);
    assert_eq!(inspect::laggards(&segment), [0]);
}
