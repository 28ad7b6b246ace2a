//! The process that survives: it starts the one that dies, goes on, and looks at what it got.

use crate::plain::{self, Producer, put};
use crate::reading::{Fact, Reader, barrier, describe, event, judge, read_events, read_up_to, text};
use crate::victim::Victim;
use ringbus_core::registry::{self, find};
use ringbus_core::segment::{Access, Existing, folder, shared};
use ringbus_core::wait::Alert;
use ringbus_core::{
    Blocker, Consumer, Geometry, MultiProducerSequencer, Outcome, ProducerKind, Segment, Sequencer,
    SingleProducerSequencer, Start, Terms, WaitStrategy, recovery,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Slots of the rings.
pub const CAPACITY: u64 = 4;
/// The name of the consumer that dies.
pub const VICTIM: &str = "victim";
/// The name of the consumer that survives.
pub const FOLLOWED: &str = "survivor";

/// Longer than this nobody may wait.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// What the survivor publishes after the death.
pub const EVENTS: u64 = 3 * CAPACITY + 1;

/// What all rings of this test are like: two producers, from a sequence on at which 32 bits are full.
pub fn geometry(kind: ProducerKind) -> Geometry {
    Geometry {
        producers: 2,
        ..plain::geometry(kind, CAPACITY, 24, (1 << 32) - 4)
    }
}

/// Kills a child that plays `scenario` at `point`, goes on, and returns how long the survivors took.
pub fn run(number: usize, scenario: &str, kind: ProducerKind, point: &str, passing: u32) -> Fact<f64> {
    let name = format!("ring-{number}");
    let plan = format!("{point}:{passing}");
    let seconds = match scenario {
        "create" | "replace" | "unlink" => about_files(scenario, &name, kind, &plan),
        _ => Survivor::new(&name, kind).and_then(|mut survivor| survivor.live(scenario, &plan)),
    }?;
    clean_up(&name)?;
    Ok(seconds)
}

/// A producer that is stopped, not dead, holds recovery up, and keeps what it has claimed.
pub fn stopped(point: &str) -> Fact<()> {
    let name = format!("ring-stopped-{point}");
    let mut survivor = Survivor::new(&name, ProducerKind::Multi)?;
    let alive = Victim::start("lose a claim", &name, ProducerKind::Multi, &[("STOP_AT", point)])?;
    alive.until_stopped()?;
    Victim::start(
        "die with a claim",
        &name,
        ProducerKind::Multi,
        &[("CRASH_AT", "claim.taken")],
    )?
    .until_killed()?;
    let barrier = barrier(&survivor.consumer);
    let first = survivor.consumer.sequence() + 1;
    let early = barrier.wait_for(
        first,
        1,
        WaitStrategy::BLOCKING,
        Some(Instant::now() + Duration::from_millis(150)),
    );
    if early != Outcome::TimedOut || survivor.ring.has_pads() {
        return Err(format!("the claim of a stopped producer was given away: {early:?}"));
    }
    alive.go_on();
    let reader = survivor.read(WaitStrategy::BLOCKING, 0);
    let acknowledged = alive.until_done()?;
    survivor.finish_from(reader, &acknowledged, 0, EVENTS)?;
    drop(survivor);
    clean_up(&name)
}

/// A consumer that is stopped, and may be evicted, does not hold producers up, wherever it is; it is told when it goes on.
pub fn evicted(kind: ProducerKind, point: &str, is_evicted: bool) -> Fact<()> {
    let name = format!("ring-{kind:?}-evicted-{point}");
    let survivor = Survivor::new(&name, kind)?;
    let victim = survivor.victim("consume evictably", &[("STOP_AT", point)])?;
    let mut producer = survivor.producer()?;
    let mut send = |number| {
        producer.send_event(number, PATIENCE)?;
        survivor.consumer.commit(registry::cursor(&survivor.ring));
        std::thread::sleep(Duration::from_micros(500));
        Ok::<(), String>(())
    };
    let deadline = Instant::now() + 4 * PATIENCE;
    for number in 0.. {
        if victim.state() == 'T' {
            break;
        }
        if victim.is_dead() || Instant::now() > deadline {
            return Err("the child was not stopped".into());
        }
        send(number)?;
    }
    (0..EVENTS).try_for_each(&mut send)?;
    victim.go_on();
    let said = victim.until_done()?;
    if is_evicted != said.contains(&"evicted".to_owned()) {
        return Err(format!("evicted: {is_evicted}, and it said {said:?}"));
    }
    drop(producer);
    drop(survivor);
    clean_up(&name)
}

/// `terms`, and not to be waited for longer than a blink.
pub fn evictable(terms: Terms) -> Terms {
    Terms {
        evict_after: 20_000_000,
        ..terms
    }
}

struct Survivor {
    name: String,
    ring: Arc<Segment>,
    consumer: Consumer,
}

impl Survivor {
    fn new(name: &str, kind: ProducerKind) -> Fact<Self> {
        let ring = Arc::new(Segment::create(name, geometry(kind), &[], Existing::Resume).map_err(text)?);
        let consumer = Consumer::join(&ring, FOLLOWED, true, Start::Latest).map_err(text)?;
        Ok(Self {
            name: name.to_owned(),
            ring,
            consumer,
        })
    }

    fn live(&mut self, scenario: &str, plan: &str) -> Fact<f64> {
        match scenario {
            "produce" | "wake a watcher" | "produce when full" | "lose a claim" | "evict" => {
                self.outlive_a_producer(scenario, plan)
            }
            _ => self.outlive_a_consumer(scenario, plan),
        }
    }

    fn victim(&self, scenario: &str, variables: &[(&str, &str)]) -> Fact<Victim> {
        Victim::start(scenario, &self.name, self.ring.geometry().kind, variables)
    }

    fn outlive_a_producer(&mut self, scenario: &str, plan: &str) -> Fact<f64> {
        if scenario == "wake a watcher" {
            let watcher = Consumer::join(&self.ring, "watcher", false, Start::Latest).map_err(text)?;
            let _descriptor = self.ring.open_watch(watcher.index()).map_err(text)?;
            self.ring.arm(Blocker::Cursor, ringbus_core::futex::WATCHER);
            let seconds = self.produce_and_finish(scenario, plan);
            self.ring.close_watch(watcher.index());
            watcher.leave().map_err(text)?;
            return seconds;
        }
        if scenario == "evict" {
            let slow = self.evictable("slow", Terms::ephemeral(true))?;
            let seconds = self.produce_and_finish(scenario, plan);
            if !slow.is_evicted() {
                return Err("nobody was evicted".into());
            }
            slow.leave().map_err(text)?;
            return seconds;
        }
        self.produce_and_finish(scenario, plan)
    }

    fn produce_and_finish(&mut self, scenario: &str, plan: &str) -> Fact<f64> {
        let reads_later = scenario == "produce when full";
        let mut variables = vec![("CRASH_AT", plan)];
        if scenario == "lose a claim" {
            variables.push(("STOP_AT", "intent.low"));
        }
        let early = (!reads_later).then(|| self.read(WaitStrategy::BLOCKING, EVENTS));
        let victim = self.victim(scenario, &variables)?;
        if scenario == "lose a claim" {
            victim.until_stopped()?;
            self.producer()?.send_event(0, PATIENCE)?;
            victim.go_on();
        }
        let acknowledged = victim.until_killed()?;
        let begin = Instant::now();
        let reader = early.unwrap_or_else(|| self.read(WaitStrategy::BLOCKING, EVENTS));
        let first = u64::from(scenario == "lose a claim");
        self.finish_from(reader, &acknowledged, first, EVENTS)?;
        Ok(begin.elapsed().as_secs_f64())
    }

    fn outlive_a_consumer(&mut self, scenario: &str, plan: &str) -> Fact<f64> {
        self.prepare(scenario)?;
        let consumes = matches!(scenario, "consume" | "consume durably") || scenario.starts_with("come back");
        let victim = self.victim(scenario, &[("CRASH_AT", plan)])?;
        let reading = consumes.then(|| self.read(WaitStrategy::Yielding, EVENTS));
        // What wakes the victim from time to time: it sleeps whenever it has caught up.
        let early = if consumes { self.feed(&victim, plan)? } else { 0 };
        let said = victim.until_killed()?;
        let begin = Instant::now();
        let reader = reading.unwrap_or_else(|| self.read(WaitStrategy::BLOCKING, EVENTS));
        let durable = self.durable_place();
        match durable {
            Some(place) => self.finish_with_a_place(reader, &said, place, early)?,
            None => self.finish_from(reader, &[], early, EVENTS)?,
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    /// A consumer of this process that may be evicted.
    fn evictable(&self, name: &str, terms: Terms) -> Fact<Consumer> {
        let ring = Arc::new(Segment::attach(&self.name, Access::Consume, None).map_err(text)?);
        Consumer::join_as(&ring, name, evictable(terms), Start::Default).map_err(text)
    }

    /// What must be there before the victim comes.
    fn prepare(&mut self, scenario: &str) -> Fact<()> {
        let durable = |absent_limit| Terms {
            gating: true,
            durable: true,
            absent_limit,
            evict_after: 0,
        };
        match scenario {
            "come back" | "come back without gating" | "forget" => {
                Consumer::join_as(&self.ring, VICTIM, durable(0), Start::Default)
                    .map_err(text)?
                    .leave()
                    .map_err(text)?;
            }
            "come back and be refused" => drop(Consumer::hold(&self.ring, VICTIM).map_err(text)?),
            "come back too late" => {
                let victim = Consumer::join_as(&self.ring, VICTIM, durable(1), Start::Default).map_err(text)?;
                victim.leave().map_err(text)?;
                let before = find(&self.ring, VICTIM).unwrap();
                let mut producer = self.producer()?;
                for _ in 0..2 {
                    let (low, high) = producer.claim_all(1, WaitStrategy::BLOCKING);
                    put(&self.ring, low, event(3, 0));
                    producer.publish(low, high);
                    self.consumer.commit(high);
                }
                recovery::recover_consumer(&self.ring, before);
            }
            "come back after eviction" => {
                let victim = self.evictable(VICTIM, durable(0))?;
                let mut producer = self.producer()?;
                for _ in 0..=CAPACITY {
                    producer.send_event(0, PATIENCE)?;
                    self.consumer.commit(registry::cursor(&self.ring));
                }
                if victim.commit(victim.sequence() + 1) {
                    return Err("the victim was not evicted".into());
                }
                victim.leave().map_err(text)?;
            }
            "recover a producer" => {
                self.victim("die with a claim", &[("CRASH_AT", "claim.taken")])?
                    .until_killed()?;
            }
            "recover a consumer" => drop(self.victim("watch", &[("CRASH_AT", "watch.stored")])?.until_killed()?),
            "recover with dependents" => drop(self.victim("consume", &[("CRASH_AT", "join.live")])?.until_killed()?),
            _ => {}
        }
        Ok(())
    }

    /// Publishes an event each time the victim sleeps, until it is dead. How many it published.
    fn feed(&self, victim: &Victim, plan: &str) -> Fact<u64> {
        if plan.starts_with("return.refused") {
            return Ok(0);
        }
        let mut producer = self.producer()?;
        let mut published = 0;
        while !victim.is_dead() && published < CAPACITY + 2 {
            // A dependent sleeps on the survivor's word, the others on the cursor's.
            let words = [
                self.ring.futex(Blocker::Cursor),
                self.ring.futex(Blocker::Consumer(self.consumer.index())),
            ];
            if words.iter().any(|word| word.armed.load(Ordering::Acquire) & 1 != 0) {
                producer.send_event(published, PATIENCE)?;
                published += 1;
                let deadline = Instant::now() + Duration::from_secs(5);
                while self.consumer.sequence() < registry::cursor(&self.ring) && Instant::now() < deadline {
                    std::thread::yield_now();
                }
            }
            std::thread::yield_now();
        }
        Ok(published)
    }

    /// The entry of the victim where its place outlives it: durable, or held.
    fn durable_place(&self) -> Option<usize> {
        let index = find(&self.ring, VICTIM)?;
        recovery::recover_consumer(&self.ring, index);
        let identity = &self.ring.consumer(index).identity;
        let (state, kind) = (
            identity.state.load(Ordering::Acquire),
            identity.kind.load(Ordering::Acquire),
        );
        let durable = state == registry::LIVE && kind & registry::DURABLE != 0;
        (durable || state == registry::HELD).then_some(index)
    }

    /// The place still gates, or was let go, or never did: whoever takes it gets what comes after its last commit.
    fn finish_with_a_place(&mut self, reader: Reader, said: &[String], _place: usize, early: u64) -> Fact<()> {
        let durable = Terms {
            gating: true,
            durable: true,
            absent_limit: 0,
            evict_after: 0,
        };
        let last = said
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("committed ")?.parse::<i64>().ok());
        let back = Consumer::join_as(&self.ring, VICTIM, durable, Start::Default).map_err(text)?;
        if let Some(last) = last.filter(|&last| back.sequence() < last || back.sequence() > last + 1) {
            return Err(format!("committed {last}, came back at {}", back.sequence()));
        }
        let target = registry::cursor(&self.ring) + EVENTS as i64 - early as i64;
        let other = std::thread::spawn(move || read_up_to(&back, target));
        self.finish_from(reader, &[], early, EVENTS)?;
        other.join().unwrap()?;
        registry::forget(&self.ring, VICTIM).map_err(text)?;
        Ok(())
    }

    fn producer(&self) -> Fact<Producer> {
        let ring = Arc::clone(&self.ring);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let entered = match ring.geometry().kind {
                ProducerKind::Single => SingleProducerSequencer::enter(Arc::clone(&ring)).map(Producer::Single),
                ProducerKind::Multi => MultiProducerSequencer::enter(Arc::clone(&ring)).map(Producer::Multi),
            };
            match entered {
                Ok(producer) => return Ok(producer),
                Err(why) if Instant::now() > deadline => return Err(text(why)),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// Reads until it has seen event `last - 1` of the survivor; 0 is all that comes until a while after.
    fn read(&self, strategy: WaitStrategy, last: u64) -> Reader {
        let consumer = self.consumer.clone();
        std::thread::spawn(move || read_events(&consumer, strategy, last))
    }

    fn finish_from(&mut self, reader: Reader, acknowledged: &[String], first: u64, end: u64) -> Fact<()> {
        let mut producer = self.producer()?;
        for number in first..end {
            producer.send_event(number, PATIENCE)?;
        }
        drop(producer);
        let seen = reader.join().unwrap()?;
        judge(&seen, acknowledged)?;
        self.look_around()
    }

    /// Nothing of the dead one is left, and its name can be had again.
    fn look_around(&mut self) -> Fact<()> {
        recovery::recover_producers(&self.ring);
        let lines = self.ring.geometry().producers as usize;
        if let Some(line) = (0..lines).find(|&line| self.ring.producer(line).owner.load(Ordering::Acquire) != 0) {
            return Err(format!("producer line {line} is still taken"));
        }
        if find(&self.ring, VICTIM).is_some_and(|index| {
            let identity = &self.ring.consumer(index).identity;
            identity.kind.load(Ordering::Acquire) & registry::DURABLE != 0
                || identity.state.load(Ordering::Acquire) == registry::HELD
        }) {
            return Ok(());
        }
        let again = Consumer::join(&self.ring, VICTIM, true, Start::Latest).map_err(text)?;
        again.leave().map_err(text)
    }
}

trait Sends {
    fn send_event(&mut self, number: u64, patience: Duration) -> Fact<()>;
}

impl Sends for Producer {
    /// Publishes event `number` of the survivor, waiting at most as long as anybody may.
    fn send_event(&mut self, number: u64, patience: Duration) -> Fact<()> {
        let claimed = self.claim(
            1,
            WaitStrategy::BLOCKING,
            &Alert::default(),
            Some(Instant::now() + patience),
        );
        let Outcome::Ready(sequence) = claimed.map_err(text)? else {
            return Err(format!(
                "the producer hung at event {number}: {}",
                describe(self.segment())
            ));
        };
        put(self.segment(), sequence, event(2, number));
        self.publish(sequence, sequence);
        Ok(())
    }
}

/// Deaths while rings are made, replaced and unlinked: the name can be had, and what it leads to works.
fn about_files(scenario: &str, name: &str, kind: ProducerKind, plan: &str) -> Fact<f64> {
    let old = if scenario == "create" {
        None
    } else {
        Some(Segment::create(name, geometry(kind), &[], Existing::Resume).map_err(text)?)
    };
    Victim::start(scenario, name, kind, &[("CRASH_AT", plan)])?.until_killed()?;
    let begin = Instant::now();
    if let Some(old) = &old {
        let now = Segment::attach(name, Access::Write, None).ok();
        let has_the_name = now.is_some_and(|now| now.instance() == old.instance());
        if has_the_name == old.is_retired() {
            return Err(format!(
                "the old ring has the name: {has_the_name}; is retired: {}",
                old.is_retired()
            ));
        }
    }
    drop(old);
    let mut survivor = Survivor::new(name, kind)?;
    let reader = survivor.read(WaitStrategy::BLOCKING, EVENTS);
    survivor.finish_from(reader, &[], 0, EVENTS)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Unlinks the ring; nothing of it is left in the folder.
fn clean_up(name: &str) -> Fact<()> {
    let segment = Segment::attach(name, Access::Write, None).map_err(text)?;
    segment.unlink().map_err(text)?;
    drop(segment);
    shared::sweep().map_err(text)?;
    let entries = std::fs::read_dir(folder::folder().map_err(text)?).map_err(text)?;
    let own = format!(".{name}.");
    let left: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|file| file == name || file.starts_with(&own) || file.starts_with(".new-"))
        .collect();
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("files left: {left:?}"))
    }
}
