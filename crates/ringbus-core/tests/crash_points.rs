//! Every step of the protocol is a place to die at: a process is killed at each of them, and the others go on.
//!
//! `make crash-test RUNS=20` runs each point so many times. The points are those of `crash_point!` in the sources; each stands
//! in a table below with what reaches it, and each write that others can see must be followed by one. For every run: the
//! survivors get all that was acknowledged, in order, each once, and nothing else; nobody waits for longer than two seconds;
//! the dead one's name, entry, line and files can be used again.
//!
//! `crash_points child SCENARIO RING` is the process that dies (`crash/child.rs`), `crash/parent.rs` the one that survives,
//! `crash/victim.rs` what it sees of the other, `crash/reading.rs` what it reads; `crash/sources.rs` reads the sources.
#![cfg(not(loom))]

#[path = "crash/child.rs"]
mod child;
#[path = "crash/parent.rs"]
mod parent;
#[path = "support/plain.rs"]
mod plain;
#[path = "crash/reading.rs"]
mod reading;
#[path = "crash/sources.rs"]
mod sources;
#[path = "crash/victim.rs"]
mod victim;

use ringbus_core::ProducerKind;
use ringbus_core::ProducerKind::{Multi, Single};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// What a child does until it dies, and at which passings of the points.
struct Scenario {
    name: &'static str,
    kinds: &'static [ProducerKind],
    passings: &'static [u32],
    points: &'static [&'static str],
}

const BOTH: &[ProducerKind] = &[Single, Multi];

/// Where a consumer that may be evicted is stopped, and whether it holds producers up there.
const STOPS: &[(&str, bool)] = &[
    ("registrar.taken", false),
    ("join.first_look", false),
    ("join.gating", true),
    ("join.second_look", true),
    ("join.live", true),
    ("wait.armed", true),
    ("wait.decided", true),
    ("commit.stored", true),
    ("commit.woken", true),
];

/// Rings have four slots: the fourth and the fifth passing are at the end of a lap.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "produce",
        kinds: &[Multi],
        passings: &[1, 4, 5, 8],
        points: &[
            "intent.none",
            "intent.high",
            "intent.low",
            "claim.taken",
            "publish.marked",
            "intent.withdrawn",
            "publish.woken",
        ],
    },
    Scenario {
        name: "produce",
        kinds: &[Multi],
        passings: &[1],
        points: &[
            "enter.byte",
            "enter.generation",
            "enter.owner",
            "abort.counted",
            "abort.woken",
            "exit.owner",
            "exit.byte",
        ],
    },
    Scenario {
        name: "produce",
        kinds: &[Multi],
        passings: &[1, 2],
        points: &["abort.padded"],
    },
    Scenario {
        name: "produce",
        kinds: &[Single],
        passings: &[1, 4, 5, 8],
        points: &["claim.stored", "publish.begun", "publish.stored", "publish.announced"],
    },
    Scenario {
        name: "produce",
        kinds: &[Single],
        passings: &[1],
        points: &["enter.single", "abort.rewound", "exit.single"],
    },
    Scenario {
        name: "produce",
        kinds: BOTH,
        passings: &[1],
        points: &["attach.opened", "attach.present", "wake.disarmed", "wake.sleepers"],
    },
    Scenario {
        name: "wake a watcher",
        kinds: BOTH,
        passings: &[1],
        points: &["wake.fifo", "wake.watchers"],
    },
    Scenario {
        name: "produce when full",
        kinds: BOTH,
        passings: &[1],
        points: &["wait.armed", "wait.decided", "wait.slept"],
    },
    Scenario {
        name: "lose a claim",
        kinds: &[Multi],
        passings: &[1],
        points: &["claim.lost", "intent.withdrawn"],
    },
    Scenario {
        name: "consume",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "registrar.taken",
            "registrar.released",
            "join.byte",
            "join.taken",
            "join.generation",
            "join.limit",
            "join.patience",
            "join.kind",
            "join.joining",
            "join.name_word",
            "join.named",
            "join.alone",
            "join.owner",
            "join.counters",
            "join.first_look",
            "join.gating",
            "join.second_look",
            "join.woken",
            "join.state",
            "join.live",
            "join.depends",
            "wait.armed",
            "wait.decided",
            "wait.slept",
            "leave.ungated",
            "leave.alone",
            "leave.free",
            "leave.untaken",
            "leave.byte",
            "leave.woken",
        ],
    },
    Scenario {
        name: "consume",
        kinds: BOTH,
        passings: &[1, 4, 5],
        points: &["commit.stored", "commit.woken"],
    },
    Scenario {
        name: "watch",
        kinds: BOTH,
        passings: &[1],
        points: &["watch.made", "watch.stored", "watch.cleared", "watch.removed"],
    },
    Scenario {
        name: "consume durably",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "join.kind",
            "join.joining",
            "join.gating",
            "join.state",
            "join.live",
            "commit.stored",
            "commit.woken",
            "leave.away",
        ],
    },
    Scenario {
        name: "consume durably",
        kinds: BOTH,
        passings: &[4, 5],
        points: &["commit.stored", "commit.woken"],
    },
    Scenario {
        name: "come back",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "return.byte",
            "return.generation",
            "return.kind",
            "join.limit",
            "join.patience",
            "return.owner",
            "return.live",
        ],
    },
    Scenario {
        name: "come back without gating",
        kinds: BOTH,
        passings: &[1],
        points: &["return.ungated", "return.woken"],
    },
    Scenario {
        name: "come back too late",
        kinds: BOTH,
        passings: &[1],
        points: &["return.missed", "join.gating"],
    },
    Scenario {
        name: "come back after eviction",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "return.byte",
            "return.let_go",
            "return.generation",
            "join.patience",
            "return.missed",
            "return.live",
            "commit.stored",
        ],
    },
    Scenario {
        name: "evict",
        kinds: BOTH,
        passings: &[1],
        points: &["evict.evicted", "evict.woken"],
    },
    Scenario {
        name: "come back and be refused",
        kinds: BOTH,
        passings: &[1],
        points: &["return.refused"],
    },
    Scenario {
        name: "part",
        kinds: BOTH,
        passings: &[1],
        points: &["recover.ungated", "recover.dead", "part.byte"],
    },
    Scenario {
        name: "hold",
        kinds: BOTH,
        passings: &[1],
        points: &["join.gating", "join.state", "hold.released"],
    },
    Scenario {
        name: "forget",
        kinds: BOTH,
        passings: &[1],
        points: &["forget.byte", "leave.ungated", "leave.free", "leave.untaken"],
    },
    Scenario {
        name: "recover a producer",
        kinds: &[Multi],
        passings: &[1, 2],
        points: &["recover.counted", "recover.padded", "recover.intent_cleared"],
    },
    Scenario {
        name: "recover a producer",
        kinds: &[Multi],
        passings: &[1],
        points: &[
            "recover.producer_byte",
            "recover.producers_woken",
            "recover.line_freed",
            "recover.producer_released",
        ],
    },
    Scenario {
        name: "recover a consumer",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "recover.consumer_byte",
            "recover.ungated",
            "watch.cleared",
            "recover.alone",
            "recover.free",
            "recover.untaken",
            "recover.consumer_woken",
            "recover.consumer_released",
        ],
    },
    Scenario {
        name: "recover with dependents",
        kinds: BOTH,
        passings: &[1],
        points: &["recover.dead", "bury.alone", "bury.free", "bury.untaken"],
    },
    Scenario {
        name: "create",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "create.file",
            "create.reserved",
            "attach.opened",
            "attach.present",
            "create.header",
            "create.schema",
            "create.claimed",
            "create.published",
            "create.ready",
            "create.linked",
            "create.named",
        ],
    },
    Scenario {
        name: "replace",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "retire.announced",
            "create.renamed",
            "retire.said",
            "retire.woken",
            "retire.lock_removed",
        ],
    },
    Scenario {
        name: "unlink",
        kinds: BOTH,
        passings: &[1],
        points: &[
            "retire.announced",
            "unlink.removed",
            "unlink.lock_removed",
            "retire.said",
        ],
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [role, scenario, ring] = words.as_slice()
        && role == "child"
    {
        child::run(scenario, ring);
        return ExitCode::SUCCESS;
    }
    let only = words.iter().find(|word| !word.starts_with('-')).map(String::as_str);
    sources::check(&SCENARIOS.iter().flat_map(|scenario| scenario.points).copied().collect());
    let folder = Folder::new();
    let failed = run_all(only);
    drop(folder);
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_all(only: Option<&str>) -> Vec<String> {
    let (begin, runs) = (
        Instant::now(),
        std::env::var("RUNS").map_or(1, |runs| runs.parse().expect("RUNS is a number")),
    );
    let (mut done, mut failed, mut slowest) = (0, Vec::new(), 0.0_f64);
    for round in 0..runs {
        for (scenario, kind, point, passing) in
            cases().filter(|case| only.is_none_or(|only| format!("{} {}", case.0.name, case.2).contains(only)))
        {
            let what = format!("{kind:?}: {} dies at {point}:{passing}", scenario.name);
            let started = Instant::now();
            match parent::run(done, scenario.name, kind, point, passing) {
                Ok(seconds) => slowest = slowest.max(seconds),
                Err(why) => {
                    println!(
                        "FAILED {what}: {why} (round {round}, {:.2} s)",
                        started.elapsed().as_secs_f64()
                    );
                    failed.push(what);
                }
            }
            done += 1;
        }
        if only.is_none() {
            for (what, stopped_at) in [
                ("stopped before its claim", "intent.low"),
                ("stopped after its claim", "claim.taken"),
            ] {
                if let Err(why) = parent::stopped(stopped_at) {
                    println!("FAILED a live producer {what}: {why}");
                    failed.push(what.to_owned());
                }
                done += 1;
            }
            for (&(point, is_evicted), kind) in STOPS.iter().flat_map(|stop| BOTH.iter().map(move |&kind| (stop, kind)))
            {
                if let Err(why) = parent::evicted(kind, point, is_evicted) {
                    let what = format!("{kind:?}: a consumer stopped at {point}");
                    println!("FAILED {what}: {why}");
                    failed.push(what);
                }
                done += 1;
            }
        }
    }
    let points = SCENARIOS
        .iter()
        .flat_map(|scenario| scenario.points)
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    println!(
        "{points} crash points, {done} runs, {} failed; the slowest survivor needed {slowest:.3} s; {:.1} s in all",
        failed.len(),
        begin.elapsed().as_secs_f64()
    );
    failed
}

fn cases() -> impl Iterator<Item = (&'static Scenario, ProducerKind, &'static str, u32)> {
    SCENARIOS.iter().flat_map(|scenario| {
        scenario.kinds.iter().flat_map(move |&kind| {
            let points = scenario.points.iter();
            points.flat_map(move |&point| {
                scenario
                    .passings
                    .iter()
                    .map(move |&passing| (scenario, kind, point, passing))
            })
        })
    })
}

/// The folder of this run's rings.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let shared = PathBuf::from("/dev/shm");
        let parent = if shared.is_dir() { shared } else { std::env::temp_dir() };
        let path = parent.join(format!("ringbus-crash-{}", std::process::id()));
        // SAFETY: the only thread yet.
        unsafe { std::env::set_var("RINGBUS_DIR", &path) };
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
