//! The Rust contestants of the benchmarks: the crates disruptor, crossbeam-channel and rtrb.

mod crew;
mod disruptors;
mod event;
mod harness;
mod histogram;
mod options;
mod pace;
mod pipes;
mod report;
mod trips;
mod waits;

use options::{Options, Refusal};
use report::Outcome;
use std::process::ExitCode;

/// A contestant: its name, its scenarios, its waits, and its run.
struct Contestant {
    name: &'static str,
    scenarios: &'static [&'static [&'static str]],
    waits: &'static str,
    has_batches: bool,
    run: fn(&Options) -> Result<Outcome, Refusal>,
}

const CONTESTANTS: &[Contestant] = &[
    Contestant {
        name: "harness",
        scenarios: &[&["harness"]],
        waits: r#""spin", "yield", "block""#,
        has_batches: false,
        run: harness::run,
    },
    Contestant {
        name: disruptors::NAME,
        scenarios: &[ALONE, SHARED],
        waits: r#""spin", "yield""#,
        has_batches: true,
        run: disruptors::run,
    },
    Contestant {
        name: pipes::CROSSBEAM,
        scenarios: &[ALONE, SHARED, PACED],
        waits: r#""spin", "yield", "block""#,
        has_batches: false,
        run: pipes::run_crossbeam,
    },
    Contestant {
        name: pipes::RTRB,
        scenarios: &[ALONE, &["paced"]],
        waits: r#""spin", "yield""#,
        has_batches: true,
        run: pipes::run_rtrb,
    },
];

/// What one sender and one receiver of each queue are enough for.
const ALONE: &[&str] = &["1p1c", "1p2c", "1pnc", "pipeline3", "diamond3", "pingpong"];
/// What several producers share an end for.
const SHARED: &[&str] = &["2p1c", "3p1c"];
/// These have a warm-up of their own.
const PACED: &[&str] = &["paced", "16x16"];

impl Contestant {
    fn scenarios(&self) -> impl Iterator<Item = &'static str> {
        self.scenarios.iter().copied().flatten().copied()
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["--list"] {
        println!("[{}]", list().join(", "));
        return ExitCode::SUCCESS;
    }
    let (word, code) = match Options::parse(words.into_iter()).and_then(|options| run(&options)) {
        Ok(line) => {
            println!("{line}");
            return ExitCode::SUCCESS;
        }
        Err(Refusal::Wrong(word)) => (word, 2),
        Err(Refusal::NotHere(word)) => (word, 3),
    };
    eprintln!("{word}");
    ExitCode::from(code)
}

/// A shorter run to warm up, then the one that counts.
fn run(options: &Options) -> Result<String, Refusal> {
    let contestant = CONTESTANTS
        .iter()
        .find(|one| one.name == options.contestant && one.scenarios().any(|name| name == options.scenario))
        .ok_or_else(|| {
            Refusal::NotHere(format!(
                "no \"{}\" in \"{}\": see --list",
                options.contestant, options.scenario
            ))
        })?;
    if !PACED.contains(&options.scenario.as_str()) {
        (contestant.run)(&options.shorter())?;
    }
    Ok((contestant.run)(options)?.json(options))
}

fn list() -> Vec<String> {
    let entries = CONTESTANTS
        .iter()
        .flat_map(|one| one.scenarios().map(move |scenario| (one, scenario)));
    entries
        .map(|(one, scenario)| {
            format!(
                r#"{{"contestant": "{}", "scenario": "{scenario}", "waits": [{}], "batches": {}}}"#,
                one.name,
                one.waits,
                one.has_batches && scenario != "pingpong" && !PACED.contains(&scenario)
            )
        })
        .collect()
}
