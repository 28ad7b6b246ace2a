//! The process that dies. It says on standard output what it is sure of, a line each.

use crate::parent::{CAPACITY, FOLLOWED, VICTIM, evictable, geometry};
use crate::plain::{Producer, put};
use crate::reading::event;
use ringbus_core::futex::{SLEEPER, WATCHER};
use ringbus_core::layout::FutexLine;
use ringbus_core::registry::{self, find};
use ringbus_core::segment::{Access, Existing};
use ringbus_core::wait::Alert;
use ringbus_core::{
    Blocker, Consumer, MultiProducerSequencer, Outcome, ProducerKind, Segment, SequenceBarrier, Sequencer,
    SingleProducerSequencer, Start, Terms, WaitStrategy, recovery,
};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const DURABLE: Terms = Terms {
    gating: true,
    durable: true,
    absent_limit: 0,
    evict_after: 0,
};

/// Plays its part to the end; it does not get there when a point is set.
pub fn run(scenario: &str, ring: &str) {
    let name = &ring[1..];
    let kind = if ring.starts_with('s') {
        ProducerKind::Single
    } else {
        ProducerKind::Multi
    };
    match scenario {
        "create" => drop(Segment::create(name, geometry(kind), &[], Existing::Resume)),
        "replace" => drop(Segment::create(name, geometry(kind), &[], Existing::Replace)),
        _ => {
            let access = if scenario == "consume evictably" {
                Access::Consume
            } else {
                Access::Write
            };
            attached(scenario, &Arc::new(Segment::attach(name, access, None).unwrap()));
        }
    }
    say("done");
}

fn attached(scenario: &str, ring: &Arc<Segment>) {
    match scenario {
        "produce" | "wake a watcher" => {
            let mut producer = enter(ring);
            until_armed(ring.futex(Blocker::Cursor));
            produce(&mut producer, 12);
        }
        "produce when full" | "lose a claim" | "evict" => produce(&mut enter(ring), 12),
        "die with a claim" => drop(enter(ring).claim_all(2, WaitStrategy::BLOCKING)),
        "consume" => consume(ring, Terms::ephemeral(true)),
        "consume durably" | "come back" | "come back after eviction" => consume(ring, DURABLE),
        "consume evictably" => consume_evictably(ring),
        "come back without gating" => consume(
            ring,
            Terms {
                gating: false,
                ..DURABLE
            },
        ),
        "come back too late" => consume(
            ring,
            Terms {
                absent_limit: 2,
                ..DURABLE
            },
        ),
        "come back and be refused" => drop(Consumer::join_as(ring, VICTIM, DURABLE, Start::At(1000))),
        "watch" => {
            let consumer = Consumer::join(ring, VICTIM, true, Start::Latest).unwrap();
            let _descriptor = ring.open_watch(consumer.index()).unwrap();
            say("watching");
            ring.close_watch(consumer.index());
        }
        "hold" => drop(Consumer::hold(ring, VICTIM)),
        "forget" => drop(registry::forget(ring, VICTIM)),
        "recover a producer" => drop(recovery::recover_producers(ring)),
        "recover a consumer" => drop(recovery::recover_consumer(ring, find(ring, VICTIM).unwrap())),
        "recover with dependents" => {
            let victim = find(ring, VICTIM).unwrap();
            let dependent = Consumer::join(ring, "dependent", true, Start::Latest).unwrap();
            dependent.depend_on(1 << victim);
            recovery::recover_consumer(ring, victim);
            dependent.leave().unwrap();
        }
        "part" => {
            let victim = Consumer::join(ring, VICTIM, true, Start::Latest).unwrap();
            let dependent = Consumer::join(ring, "dependent", true, Start::Latest).unwrap();
            dependent.depend_on(1 << victim.index());
            victim.part();
            dependent.leave().unwrap();
        }
        "unlink" => ring.unlink().unwrap(),
        _ => panic!("no scenario {scenario:?}"),
    }
}

fn enter(ring: &Arc<Segment>) -> Producer {
    match ring.geometry().kind {
        ProducerKind::Single => Producer::Single(SingleProducerSequencer::enter(Arc::clone(ring)).unwrap()),
        ProducerKind::Multi => Producer::Multi(MultiProducerSequencer::enter(Arc::clone(ring)).unwrap()),
    }
}

/// Claims of one, and then of two across the ends of laps; each fourth one is given back.
fn produce(producer: &mut Producer, claims: u64) {
    let mut number = 0;
    for claim in 0..claims {
        let (low, high) = producer.claim_all(if claim == 0 { 1 } else { 2 }, WaitStrategy::BLOCKING);
        for sequence in low..=high {
            put(producer.segment(), sequence, event(1, number + (sequence - low) as u64));
        }
        if claim % 4 == 3 {
            producer.abort(low, high);
            continue;
        }
        producer.publish(low, high);
        for _ in low..=high {
            say(&number.to_string());
            number += 1;
        }
    }
}

fn consume(ring: &Arc<Segment>, terms: Terms) {
    let consumer = Consumer::join_as(ring, VICTIM, terms, Start::Default).unwrap();
    if !terms.durable {
        consumer.depend_on(1 << find(ring, FOLLOWED).unwrap());
    }
    say(&format!("joined {}", consumer.sequence()));
    let barrier = SequenceBarrier::new(ring, consumer.depends_on(), Alert::default());
    for sequence in consumer.sequence() + 1..=consumer.sequence() + CAPACITY as i64 + 2 {
        assert!(matches!(
            barrier.wait_for(sequence, 1, WaitStrategy::BLOCKING, None),
            Outcome::Ready(_)
        ));
        consumer.commit(sequence);
        say(&format!("committed {sequence}"));
    }
    consumer.leave().unwrap();
}

/// Goes on until it is evicted, or until nothing comes any more.
fn consume_evictably(ring: &Arc<Segment>) {
    let consumer = Consumer::join_as(ring, VICTIM, evictable(Terms::ephemeral(true)), Start::Default).unwrap();
    let barrier = SequenceBarrier::new(ring, 0, Alert::default());
    let patience = Duration::from_millis(200);
    let mut next = consumer.sequence() + 1;
    while let Outcome::Ready(_) = barrier.wait_for(next, 1, WaitStrategy::BLOCKING, Some(Instant::now() + patience)) {
        if !consumer.commit(next) {
            say("evicted");
            break;
        }
        next += 1;
    }
    consumer.leave().unwrap();
}

fn until_armed(word: &FutexLine) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while word.armed.load(Ordering::Acquire) & (SLEEPER | WATCHER) == 0 {
        assert!(Instant::now() < deadline, "nobody waits for the child");
        std::thread::yield_now();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}
