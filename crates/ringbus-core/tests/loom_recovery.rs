//! Recovery after death. Threads stand for processes; one that dies unwinds at a crash point, its byte goes, its words stay.
//!
//! There are no time-outs in a model: `wake_all` stands for the look that a waiter in a process takes every 25 ms.
#![cfg(loom)]

#[path = "support/modelled.rs"]
mod support;

use loom::thread;
use ringbus_core::crash::die;
use ringbus_core::registry::{DEAD, DURABLE, FREE, HELD, JOINING, LIVE, Terms};
use ringbus_core::segment::{consumer_byte, producer_byte};
use ringbus_core::sync::Ordering;
use ringbus_core::{
    Consumer, MultiProducerSequencer, Outcome, ProducerKind, Segment, Sequencer, SingleProducerSequencer, Start,
    WaitStrategy, recovery,
};
use std::sync::Arc;
use support::{barrier, check, check_within, consume, geometry, join, publish, read, try_publish, wait_for, write};

/// A shared ring of `capacity` slots and `producers` lines.
fn shared(kind: ProducerKind, capacity: u64, producers: u32) -> Arc<Segment> {
    let geometry = ringbus_core::Geometry {
        producers,
        ..geometry(kind, capacity)
    };
    Arc::new(Segment::shared(geometry).unwrap())
}

fn enter(ring: &Arc<Segment>) -> MultiProducerSequencer {
    MultiProducerSequencer::enter(Arc::clone(ring)).unwrap()
}

/// Publishes `count` events at once, in a life that ends at the `times`-th passing of `point`. Whether it ended there.
fn dies_at(ring: &Arc<Segment>, point: &'static str, times: u32, count: i64) -> bool {
    let mut producer = enter(ring);
    let died = die(point, times, || {
        let high = producer.try_claim(count).unwrap();
        let low = high - count + 1;
        (low..=high).for_each(|sequence| write(ring, sequence));
        producer.publish(low, high);
    });
    drop(producer);
    died
}

/// Everything up to `last` is an event of its own or a Pad.
fn step_over_pads(consumer: &Consumer, last: i64) -> Vec<i64> {
    let (ring, barrier, mut events) = (consumer.segment(), barrier(consumer), Vec::new());
    for sequence in consumer.sequence() + 1..=last {
        wait_for(&barrier, sequence);
        if !ring.is_pad(sequence) {
            assert_eq!(read(ring, sequence), sequence, "a slot holds another event");
            events.push(sequence);
        } else {
            assert!(ring.has_pads(), "a Pad was taken for an event");
        }
        consumer.commit(sequence);
    }
    events
}

fn line_is_free(ring: &Segment, line: usize) -> bool {
    ring.producer(line).owner.load(Ordering::Acquire) == 0
}

/// Each step of a claim of two at which a producer can die, and how many of its events are there afterwards.
const DEATHS: [(&str, u32, usize); 8] = [
    ("intent.none", 1, 0),
    ("intent.high", 1, 0),
    ("intent.low", 1, 0),
    ("claim.taken", 1, 0),
    ("publish.marked", 1, 1),
    ("publish.marked", 2, 2),
    ("intent.withdrawn", 1, 2),
    ("publish.woken", 1, 2),
];

#[test]
fn a_producer_may_die_at_each_step_of_a_claim() {
    for (point, times, events) in DEATHS {
        check(move || {
            let ring = shared(ProducerKind::Multi, 2, 2);
            let (consumer, own) = (join(&ring, "c"), Arc::clone(&ring));
            let mortal = thread::spawn(move || {
                assert!(dies_at(&own, point, times, 2));
                own.wake_all();
            });
            let mut producer = enter(&ring);
            mortal.join().unwrap();
            let claimed = ring.cursor().claimed.load(Ordering::Acquire);
            let own = Arc::clone(&ring);
            let recoverer = thread::spawn(move || recovery::recover_producers(&own));
            assert_eq!(step_over_pads(&consumer, claimed).len(), events, "{point}:{times}");
            recoverer.join().unwrap();
            assert_eq!(step_over_pads(&consumer, publish(&mut producer)).len(), 1);
            recovery::recover_producers(&ring);
            assert!(
                line_is_free(&ring, 0) || line_is_free(&ring, 1),
                "the dead one's line is not free"
            );
        });
    }
}

#[test]
fn one_who_dies_between_claim_and_publish_does_not_hold_the_living_up() {
    for (point, times) in [("intent.low", 1), ("claim.taken", 1), ("publish.marked", 1)] {
        check_within(2, move || {
            let ring = shared(ProducerKind::Multi, 2, 2);
            let (consumer, own) = (join(&ring, "c"), Arc::clone(&ring));
            let mut producer = enter(&ring);
            let mortal = thread::spawn(move || {
                let died = dies_at(&own, point, times, 1);
                own.wake_all();
                died
            });
            let publisher = thread::spawn(move || (publish(&mut producer), producer).0);
            let sequence = publisher.join().unwrap();
            assert!(mortal.join().unwrap());
            let claimed = ring.cursor().claimed.load(Ordering::Acquire);
            assert!(
                step_over_pads(&consumer, claimed).contains(&sequence),
                "an event was lost"
            );
        });
    }
}

/// A live producer that was stopped between its intent and its claim, beside a dead one: what it claims is its own.
#[test]
fn the_claim_of_a_slow_producer_is_never_padded() {
    check_within(2, || {
        let ring = shared(ProducerKind::Multi, 2, 2);
        let consumer = join(&ring, "c");
        let mut slow = enter(&ring);
        assert!(dies_at(&ring, "claim.taken", 1, 1));
        let publisher = thread::spawn(move || (publish(&mut slow), slow).0);
        recovery::recover_producers(&ring);
        let sequence = publisher.join().unwrap();
        assert_eq!(ring.is_pad(sequence), false, "the event of a live producer was padded");
        recovery::recover_producers(&ring);
        assert_eq!(step_over_pads(&consumer, 1), [sequence]);
    });
}

/// Nothing of a live producer's open claim is touched, whoever else has died and however long it takes.
#[test]
fn an_open_claim_of_a_live_producer_is_left_to_it() {
    check(|| {
        let ring = shared(ProducerKind::Multi, 2, 2);
        let consumer = join(&ring, "c");
        let mut slow = enter(&ring);
        assert_eq!(slow.try_claim(1), Ok(0));
        assert!(dies_at(&ring, "claim.taken", 1, 1));
        let own = Arc::clone(&ring);
        let recoverer = thread::spawn(move || recovery::recover_producers(&own));
        write(&ring, 0);
        slow.publish(0, 0);
        recoverer.join().unwrap();
        recovery::recover_producers(&ring);
        assert_eq!(ring.is_pad(0), false, "the event of a live producer was padded");
        assert_eq!(step_over_pads(&consumer, 1), [0]);
    });
}

/// A claim that failed covers nothing: what a dead producer took in its stead is padded while the other one lives.
#[test]
fn a_failed_claim_does_not_hold_recovery_up() {
    check_within(2, || {
        let ring = shared(ProducerKind::Multi, 2, 2);
        let mut living = enter(&ring);
        let own = Arc::clone(&ring);
        let mortal = thread::spawn(move || assert!(dies_at(&own, "claim.taken", 1, 1)));
        let published = publish(&mut living);
        mortal.join().unwrap();
        recovery::recover_producers(&ring);
        assert_eq!(
            ring.is_available(1 - published),
            true,
            "a hole stays while a producer lives"
        );
        assert!(line_is_free(&ring, 1), "the dead one's line stays taken");
        drop(living);
    });
}

/// Two recover at once, each on account of another dead one; the ring goes on into its next lap meanwhile. The second
/// producer dies when the first recoverer has looked whether it lives, so that the hole is there for both.
#[test]
fn two_recoverers_do_not_overwrite_the_next_lap() {
    check_within(2, || {
        let ring = shared(ProducerKind::Multi, 1, 3);
        let consumer = join(&ring, "c");
        let mut living = enter(&ring);
        assert!(dies_at(&ring, "intent.none", 1, 1));
        let own = Arc::clone(&ring);
        let mut second = enter(&own);
        assert_eq!(second.try_claim(1), Ok(0));
        let other = thread::spawn(move || recovery::recover_producers(&own));
        thread::yield_now();
        // Its byte goes, its words stay: the claim is open, so that its line stays taken.
        drop(second);
        thread::yield_now();
        recovery::recover_producers(&ring);
        consumer.commit(if ring.is_available(0) { 0 } else { -1 });
        let published = try_publish(&mut living);
        other.join().unwrap();
        if let Some(sequence) = published {
            assert_eq!(
                (ring.is_available(sequence), ring.is_pad(sequence)),
                (true, false),
                "a Pad took an event's place"
            );
        }
    });
}

/// The one who recovers dies too, at each step; the next one finishes.
#[test]
fn a_recoverer_may_die_at_each_step() {
    let points = [
        ("recover.producer_byte", 1),
        ("recover.counted", 1),
        ("recover.padded", 1),
        ("recover.padded", 2),
        ("recover.intent_cleared", 1),
        ("recover.line_freed", 1),
    ];
    for (point, times) in points {
        check(move || {
            let ring = shared(ProducerKind::Multi, 2, 1);
            let consumer = join(&ring, "c");
            assert!(dies_at(&ring, "claim.taken", 1, 2));
            let own = Arc::clone(&ring);
            let mortal = thread::spawn(move || {
                let died = die(point, times, || {
                    recovery::recover_producers(&own);
                });
                if died {
                    own.release_byte(producer_byte(0));
                }
            });
            recovery::recover_producers(&ring);
            mortal.join().unwrap();
            recovery::recover_producers(&ring);
            assert_eq!(
                (ring.is_available(0), ring.is_available(1)),
                (true, true),
                "a hole stays for ever"
            );
            assert!(line_is_free(&ring, 0), "the line stays taken");
            assert!(step_over_pads(&consumer, 1).is_empty());
        });
    }
}

#[test]
fn a_line_is_not_freed_while_its_owner_has_holes() {
    check(|| {
        let ring = shared(ProducerKind::Multi, 2, 2);
        let mut slow = enter(&ring);
        let own = Arc::clone(&ring);
        let mortal = thread::spawn(move || assert!(dies_at(&own, "claim.taken", 1, 1)));
        let claimed = slow.try_claim(1).unwrap();
        mortal.join().unwrap();
        let own = Arc::clone(&ring);
        let recoverer = thread::spawn(move || recovery::recover_producers(&own));
        slow.publish(claimed, claimed);
        recoverer.join().unwrap();
        recovery::recover_producers(&ring);
        assert_eq!(ring.is_available(1 - claimed), true, "a hole stays for ever");
        drop(slow);
    });
}

/// Dies as a process does: its byte goes, its words stay.
fn kill(consumer: &Consumer) {
    consumer.segment().release_byte(consumer_byte(consumer.index()));
    consumer.segment().wake_all();
}

#[test]
fn a_dead_consumer_is_let_go_while_its_producer_waits() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let mut producer = SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap();
        let victim = join(&ring, "victim");
        publish(&mut producer);
        let publisher = thread::spawn(move || publish(&mut producer));
        kill(&victim);
        assert_eq!(publisher.join().unwrap(), 1);
    });
}

/// Slow is not dead: a consumer whose process holds its byte is waited for.
#[test]
fn a_slow_consumer_is_not_let_go() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let mut producer = SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap();
        let slow = join(&ring, "slow");
        publish(&mut producer);
        let publisher = thread::spawn(move || publish(&mut producer));
        assert_eq!(read(&ring, 0), 0, "a slot holds another event");
        slow.commit(0);
        assert_eq!(publisher.join().unwrap(), 1);
        assert_eq!(
            slow.entry().identity.state.load(Ordering::Acquire),
            LIVE,
            "a live consumer was let go"
        );
    });
}

#[test]
fn who_depends_on_a_dead_consumer_is_told() {
    check(|| {
        let ring = shared(ProducerKind::Single, 2, 1);
        let mut producer = SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap();
        let (victim, follower) = (join(&ring, "victim"), join(&ring, "follower"));
        follower.depend_on(1 << victim.index());
        publish(&mut producer);
        let index = victim.index();
        let dependent = thread::spawn(move || {
            (
                barrier(&follower).wait_for(0, 1, WaitStrategy::BLOCKING, None),
                follower,
            )
        });
        kill(&victim);
        let (outcome, follower) = dependent.join().unwrap();
        assert_eq!(outcome, Outcome::Died(index));
        follower.leave().unwrap();
        assert_eq!(
            victim.entry().identity.state.load(Ordering::Acquire),
            FREE,
            "the dead one was not buried"
        );
    });
}

/// Either the follower sees that the other one is gone, or the entry is kept, so that it is told later.
#[test]
fn who_begins_to_follow_a_dead_one_sees_it_or_is_told() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let (victim, follower) = (join(&ring, "victim"), join(&ring, "follower"));
        let (own, index) = (Arc::clone(&ring), victim.index());
        ring.release_byte(consumer_byte(index));
        let recoverer = thread::spawn(move || recovery::recover_consumer(&own, index));
        follower.depend_on(1 << index);
        let state = &victim.entry().identity.state;
        let seen = state.load(Ordering::Acquire);
        recoverer.join().unwrap();
        let kept = state.load(Ordering::Acquire) == DEAD;
        assert_eq!(seen == LIVE && !kept, false, "it follows an entry that is free");
    });
}

/// One looks at the entry of a dead consumer, and is slow; meanwhile another one frees it, and a place is kept there.
#[test]
fn a_stale_recoverer_does_not_free_who_came_after() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let victim = join(&ring, "victim");
        let index = victim.index();
        ring.release_byte(consumer_byte(index));
        let own = Arc::clone(&ring);
        let stale = thread::spawn(move || recovery::recover_consumer(&own, index));
        recovery::recover_consumer(&ring, index);
        let place = Consumer::hold(&ring, "held").unwrap();
        stale.join().unwrap();
        let gating = ring.registry().gating.load(Ordering::Acquire);
        assert_ne!(gating & 1 << place.index(), 0, "a place that is held does not gate");
        let state = ring.consumer(place.index()).identity.state.load(Ordering::Acquire);
        assert_eq!(state, HELD, "a place that is held was freed");
    });
}

#[test]
fn two_who_recover_one_consumer_free_it_once() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let victim = join(&ring, "victim");
        ring.release_byte(consumer_byte(victim.index()));
        let (own, index) = (Arc::clone(&ring), victim.index());
        let other = thread::spawn(move || recovery::recover_consumer(&own, index));
        let here = recovery::recover_consumer(&ring, index);
        assert!(here != other.join().unwrap(), "freed twice, or not at all");
        assert_eq!(ring.registry().taken.load(Ordering::Acquire), 0);
    });
}

#[test]
fn a_joiner_takes_the_entry_of_one_that_died_while_it_joined() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let mut producer = SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap();
        let victim = join(&ring, "victim");
        victim.entry().identity.state.store(JOINING, Ordering::Release);
        let publisher = thread::spawn(move || (publish(&mut producer), publish(&mut producer)).1);
        kill(&victim);
        let joiner = join(&ring, "joiner");
        consume(&joiner, 1);
        assert_eq!(publisher.join().unwrap(), 1);
    });
}

/// What a durable consumer committed is behind it, what it did not is held for it, while it is away.
#[test]
fn a_durable_consumer_comes_back_to_its_place() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let mut producer = SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap();
        let terms = Terms {
            gating: true,
            durable: true,
            absent_limit: 0,
            evict_after: 0,
        };
        let victim = Consumer::join_as(&ring, "d", terms, Start::Default).unwrap();
        publish(&mut producer);
        let publisher = thread::spawn(move || publish(&mut producer));
        kill(&victim);
        recovery::recover_consumer(&ring, victim.index());
        assert_ne!(
            ring.registry().gating.load(Ordering::Acquire) & 1 << victim.index(),
            0,
            "the place does not gate"
        );
        assert_eq!(victim.entry().identity.kind.load(Ordering::Relaxed) & DURABLE, DURABLE);
        let back = Consumer::join_as(&ring, "d", terms, Start::Default).unwrap();
        consume(&back, 1);
        assert_eq!(publisher.join().unwrap(), 1);
    });
}

/// Let go past its limit or held up to it: never between the two.
#[test]
fn a_durable_consumer_past_its_limit_is_told_what_it_missed() {
    check(|| {
        let ring = shared(ProducerKind::Single, 1, 1);
        let mut producer = SingleProducerSequencer::enter(Arc::clone(&ring)).unwrap();
        let terms = Terms {
            gating: true,
            durable: true,
            absent_limit: 1,
            evict_after: 0,
        };
        let victim = Consumer::join_as(&ring, "d", terms, Start::Default).unwrap();
        publish(&mut producer);
        kill(&victim);
        let publisher = thread::spawn(move || publish(&mut producer));
        let back = loop {
            // Who looks whether it is dead may have its byte for a moment.
            match Consumer::join_as(&ring, "d", terms, Start::Default) {
                Ok(back) => break back,
                Err(_) => thread::yield_now(),
            }
        };
        let missed = back.entry().counters.missed.load(Ordering::Relaxed) as i64;
        assert_eq!(back.sequence() - missed, -1, "events are neither missed nor held");
        consume(&back, 1);
        assert_eq!(publisher.join().unwrap(), 1);
    });
}

/// The start of a joiner is never below the cursor by so much that its first event is overwritten.
#[test]
fn a_joiner_misses_nothing_while_recovery_goes_on() {
    check_within(2, || {
        let ring = shared(ProducerKind::Multi, 1, 2);
        let mut living = enter(&ring);
        assert!(dies_at(&ring, "claim.taken", 1, 1));
        let publisher = thread::spawn(move || (publish(&mut living), living).0);
        let joiner = join(&ring, "joiner");
        let events = step_over_pads(&joiner, 1);
        let sequence = publisher.join().unwrap();
        assert!(
            events.is_empty() || events == [sequence],
            "{events:?} is not what was published, {sequence}"
        );
    });
}
