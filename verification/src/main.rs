//! Checks the recovery protocol of producers exhaustively, and that the checker finds the faults it is there for.
//!
//! `make verify` runs it. README.md, in this folder, explains it in plain words.

mod explore;
mod protocol;

use explore::{Found, explore};
use protocol::{Fault, Setting};
use std::process::ExitCode;
use std::time::Instant;

/// Rings of two and of four slots; who claims how much, one list a process, one entry a claim.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "claims of one and two, two recoverers",
        ring: 2,
        claims: &[&[2], &[1, 1]],
        open: 1,
        deaths: 1,
        recoverers: 2,
    },
    Setting {
        name: "a ring of four, two recoverers",
        ring: 4,
        claims: &[&[1], &[2], &[1]],
        open: 1,
        deaths: 1,
        recoverers: 2,
    },
    Setting {
        name: "three producers, claims of one and two",
        ring: 2,
        claims: &[&[1], &[2], &[1]],
        open: 1,
        deaths: 2,
        recoverers: 1,
    },
    Setting {
        name: "three producers, claims of one, one recoverer",
        ring: 2,
        claims: &[&[1], &[1], &[1, 1]],
        open: 1,
        deaths: 1,
        recoverers: 1,
    },
    Setting {
        name: "a ring of four, claims of one and two, two open",
        ring: 4,
        claims: &[&[1, 2], &[2]],
        open: 2,
        deaths: 1,
        recoverers: 1,
    },
    Setting {
        name: "two open claims a process, two recoverers",
        ring: 2,
        claims: &[&[1, 1], &[1]],
        open: 2,
        deaths: 2,
        recoverers: 2,
    },
    Setting {
        name: "three producers, claims of one, two recoverers",
        ring: 2,
        claims: &[&[1], &[1], &[1]],
        open: 1,
        deaths: 2,
        recoverers: 2,
    },
    Setting {
        name: "two open claims a process",
        ring: 2,
        claims: &[&[1, 1], &[1, 1]],
        open: 2,
        deaths: 1,
        recoverers: 1,
    },
];

fn main() -> ExitCode {
    let (begin, mut bad, mut states) = (Instant::now(), 0, 0);
    for setting in SETTINGS {
        let found = explore(setting, Fault::None);
        states += found.states;
        bad += u32::from(found.violation.is_some());
        report(setting.name, &found, "holds");
    }
    for fault in Fault::PLANTED {
        let caught = SETTINGS
            .iter()
            .map(|setting| (setting, explore(setting, fault)))
            .find(|(_, found)| found.violation.is_some());
        if let Some((setting, found)) = caught {
            report(&format!("planted: {} ({})", fault.name(), setting.name), &found, "");
        } else {
            bad += 1;
            println!("planted: {}: NOT FOUND", fault.name());
        }
    }
    println!(
        "{states} states of the protocol as it is; {:.1} s in all; {bad} wrong",
        begin.elapsed().as_secs_f64()
    );
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(name: &str, found: &Found, otherwise: &str) {
    let verdict = found.violation.as_deref().unwrap_or(otherwise);
    println!("{:>9} states {:6.2} s  {name}: {verdict}", found.states, found.seconds);
    for step in &found.path {
        println!("                      {step}");
    }
}
