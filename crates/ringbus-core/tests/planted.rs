//! The planted twins: each fault in `src/planted.rs` has a loom test that must catch it.
//!
//! `make planted` runs them: the loom tests are built once, then each named test runs as it is, which
//! must pass, and once for each of its twins, which must fail.
#![cfg(not(loom))]

use ringbus_core::planted::Twin;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// Which test program and which test in it must catch a twin.
const CHECKS: &[(Twin, &str, &str)] = &[
    (
        Twin::PublishRelaxed,
        "loom_publish",
        "what_a_single_producer_wrote_is_seen",
    ),
    (
        Twin::PublishRelaxed,
        "loom_publish",
        "what_a_loop_wrote_that_was_lent_the_words_is_seen",
    ),
    (
        Twin::BarrierDroppedInWake,
        "loom_publish",
        "what_a_loop_wrote_that_was_lent_the_words_is_seen",
    ),
    (
        Twin::WrapOffByOne,
        "loom_publish",
        "a_loop_that_was_lent_the_words_waits_for_the_slot_to_be_read",
    ),
    (
        Twin::AvailableRelaxed,
        "loom_publish",
        "what_two_producers_wrote_is_seen_in_order",
    ),
    (Twin::CursorReadRelaxed, "loom_litmus", "message_passing_single"),
    (Twin::AvailableReadRelaxed, "loom_litmus", "message_passing_multi"),
    (
        Twin::CommitRelaxed,
        "loom_litmus",
        "message_passing_through_a_chain_of_two_consumers",
    ),
    (
        Twin::GateReadRelaxed,
        "loom_waits",
        "a_sleeping_producer_is_woken_by_the_commit",
    ),
    (
        Twin::GateCacheRelaxed,
        "loom_publish",
        "a_gate_that_another_producer_read_may_be_relied_on",
    ),
    (Twin::GateSkipped, "loom_litmus", "message_passing_back_to_the_producer"),
    (
        Twin::WrapOffByOne,
        "loom_publish",
        "a_single_producer_waits_for_the_slot_to_be_read",
    ),
    (
        Twin::OpenClaimOverrun,
        "loom_publish",
        "a_consumer_that_joined_late_does_not_give_an_open_claim_away",
    ),
    (
        Twin::ClaimNotAtomic,
        "loom_publish",
        "two_producers_wait_for_the_slot_to_be_read",
    ),
    (
        Twin::BatchMarksLastOnly,
        "loom_publish",
        "every_slot_of_a_batch_is_published",
    ),
    (
        Twin::GapIgnored,
        "loom_waits",
        "a_sleeping_consumer_is_woken_by_whichever_producer_fills_the_gap",
    ),
    (
        Twin::BarrierDroppedInWake,
        "loom_waits",
        "a_sleeping_consumer_is_woken_by_the_publish",
    ),
    (
        Twin::BarrierDroppedInArm,
        "loom_waits",
        "a_sleeping_consumer_is_woken_by_the_publish",
    ),
    (
        Twin::BarrierDroppedInJoin,
        "loom_registry",
        "a_joiner_of_a_single_producer_ring_misses_nothing_after_its_start",
    ),
    (
        Twin::BarrierDroppedInScan,
        "loom_registry",
        "a_joiner_between_two_producers_misses_nothing_after_its_start",
    ),
    (
        Twin::ArmWithoutRecheck,
        "loom_waits",
        "a_sleeping_consumer_is_woken_by_the_publish",
    ),
    (
        Twin::SleepOnStaleBlocker,
        "loom_waits",
        "a_dependent_of_two_does_not_sleep_on_the_one_that_is_done",
    ),
    (
        Twin::SleepOnAnyArming,
        "loom_waits",
        "two_sleepers_on_one_word_do_not_keep_each_other_asleep",
    ),
    (
        Twin::WakeSkipped,
        "loom_waits",
        "a_sleeping_consumer_is_woken_by_the_publish",
    ),
    (
        Twin::CommitWakeSkipped,
        "loom_waits",
        "a_sleeping_producer_is_woken_by_the_commit",
    ),
    (
        Twin::JoinWithoutSecondLook,
        "loom_registry",
        "a_joiner_of_a_multi_producer_ring_misses_nothing_after_its_start",
    ),
    (
        Twin::JoinWithoutWake,
        "loom_registry",
        "a_joiner_of_a_single_producer_ring_misses_nothing_after_its_start",
    ),
    (
        Twin::LeaveWithoutWake,
        "loom_registry",
        "a_producer_that_waits_for_a_leaver_goes_on",
    ),
    (
        Twin::PadBeforeCount,
        "loom_pads",
        "a_pad_is_never_seen_without_its_count",
    ),
    (Twin::AlertWithoutWake, "loom_waits", "a_halt_wakes_a_sleeping_consumer"),
    (
        Twin::ClaimedStoredLate,
        "loom_lapped",
        "a_lapped_reader_of_a_single_producer_takes_nothing_torn",
    ),
    (
        Twin::WriteBarrierDropped,
        "loom_lapped",
        "a_lapped_reader_of_a_multi_producer_ring_takes_nothing_torn",
    ),
    (
        Twin::ReadBarrierDropped,
        "loom_lapped",
        "a_lapped_reader_of_a_multi_producer_ring_takes_nothing_torn",
    ),
    (
        Twin::LappedCheckSkipped,
        "loom_lapped",
        "a_lapped_reader_of_a_single_producer_takes_nothing_torn",
    ),
    (
        Twin::RewindLowersClaimed,
        "loom_lapped",
        "a_claim_after_a_rewind_is_not_read_as_the_event_before_it",
    ),
    (
        Twin::DependencyIgnored,
        "loom_litmus",
        "message_passing_through_a_chain_of_two_consumers",
    ),
    (
        Twin::DrainStopsShort,
        "loom_registry",
        "a_drain_right_after_the_publish_handles_all_of_it",
    ),
    (
        Twin::FreedWithoutGeneration,
        "loom_recovery",
        "a_stale_recoverer_does_not_free_who_came_after",
    ),
    (
        Twin::FreedBeforePads,
        "loom_recovery",
        "a_recoverer_may_die_at_each_step",
    ),
    (
        Twin::PadStoredPlain,
        "loom_recovery",
        "two_recoverers_do_not_overwrite_the_next_lap",
    ),
    (
        Twin::IntentKept,
        "loom_recovery",
        "a_failed_claim_does_not_hold_recovery_up",
    ),
    (
        Twin::ClaimByAddition,
        "loom_recovery",
        "the_claim_of_a_slow_producer_is_never_padded",
    ),
    (Twin::DeathByTime, "loom_recovery", "a_slow_consumer_is_not_let_go"),
    (
        Twin::IntentsIgnored,
        "loom_recovery",
        "an_open_claim_of_a_live_producer_is_left_to_it",
    ),
    (
        Twin::FreedWithHoles,
        "loom_recovery",
        "a_line_is_not_freed_while_its_owner_has_holes",
    ),
    (
        Twin::CommitOverEviction,
        "loom_eviction",
        "who_is_evicted_takes_nothing_torn_and_is_told",
    ),
    (
        Twin::EvictionUntold,
        "loom_eviction",
        "who_is_evicted_takes_nothing_torn_and_is_told",
    ),
    (Twin::SlowForOthers, "loom_eviction", "who_cannot_go_on_is_not_evicted"),
    (
        Twin::BarrierDroppedInFollow,
        "loom_recovery",
        "who_begins_to_follow_a_dead_one_sees_it_or_is_told",
    ),
    (
        Twin::BarrierDroppedInLetGo,
        "loom_recovery",
        "who_begins_to_follow_a_dead_one_sees_it_or_is_told",
    ),
    (
        Twin::DeathUntold,
        "loom_recovery",
        "who_depends_on_a_dead_consumer_is_told",
    ),
    (Twin::WorkTakenTwice, "loom_workers", "two_workers_read_each_event_once"),
    (Twin::WorkHeldLate, "loom_workers", "two_workers_read_each_event_once"),
    (
        Twin::RestersReadPlain,
        "loom_workers",
        "two_workers_of_a_pool_read_each_event_once",
    ),
    (
        Twin::RestersAddedRelaxed,
        "loom_workers",
        "two_workers_of_a_pool_read_each_event_once",
    ),
    (
        Twin::RestHoldsOn,
        "loom_workers",
        "two_workers_of_a_pool_read_each_event_once",
    ),
    (
        Twin::SitHoldsOn,
        "loom_workers",
        "who_waits_on_the_ring_for_a_pool_holds_nothing",
    ),
    (
        Twin::BellNotRung,
        "loom_workers",
        "somebody_of_a_pool_sees_the_next_event_while_one_is_handled",
    ),
];

/// How loom and the test harness say that a check failed; anything else that goes wrong is no proof.
const VERDICTS: [&str; 4] = [
    "assertion ",
    "deadlock; threads",
    "Causality violation",
    "a Pad was taken for an event",
];

#[test]
fn every_check_exists() {
    for (twin, program, test) in CHECKS {
        let source = fs::read_to_string(tests().join(format!("{program}.rs"))).unwrap();
        assert!(
            source.contains(&format!("#[test]\nfn {test}()")),
            "{}: no {program}::{test}",
            twin.key()
        );
    }
}

#[test]
#[ignore = "builds and runs the loom tests: make planted"]
fn every_twin_is_caught_by_its_check() {
    let programs = build();
    let checks: BTreeSet<(&str, &str)> = CHECKS.iter().map(|&(_, program, test)| (program, test)).collect();
    let plain = checks.into_iter().map(|(program, test)| (None, program, test));
    let planted = CHECKS.iter().map(|&(twin, program, test)| (Some(twin), program, test));
    let wrong = in_parallel(plain.chain(planted), |(twin, program, test)| {
        let begin = Instant::now();
        let output = run(&find(&programs, program), test, twin);
        let (good, verdict) = judge(twin, &output);
        let key = twin.map_or("-", Twin::key);
        println!(
            "{key:26} {program}::{test}: {verdict}, {:.1} s",
            begin.elapsed().as_secs_f64()
        );
        (!good).then(|| format!("{key}: {program}::{test}: {verdict}"))
    });
    let unchecked = Twin::ALL
        .iter()
        .filter(|twin| !CHECKS.iter().any(|(checked, ..)| checked == *twin));
    let unchecked: Vec<_> = unchecked.map(|twin| twin.key()).collect();
    assert!(
        wrong.is_empty() && unchecked.is_empty(),
        "wrong: {wrong:#?}, without a check: {unchecked:?}"
    );
}

/// Whether the run went as it must, and how it went.
fn judge(twin: Option<Twin>, output: &Output) -> (bool, String) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if text.contains("test result: ok. 1 passed") {
        return (twin.is_none(), "passed".to_owned());
    }
    let verdict = text
        .lines()
        .find(|line| VERDICTS.iter().any(|known| line.starts_with(known)));
    match verdict {
        Some(line) => (
            twin.is_some(),
            format!("caught, {}", line.chars().take(60).collect::<String>()),
        ),
        None => (false, format!("ended by itself: {text}")),
    }
}

fn run(program: &Path, test: &str, twin: Option<Twin>) -> Output {
    let mut command = Command::new(program);
    command
        .args(["--exact", test])
        .env("RUST_BACKTRACE", "0")
        .env_remove("RINGBUS_PLANTED");
    if let Some(twin) = twin {
        command.env("RINGBUS_PLANTED", twin.key());
    }
    command.output().unwrap()
}

/// Does `work` on all `items`, as many at a time as there are cores, and returns what came of them.
fn in_parallel<I: Send, T: Send>(
    items: impl Iterator<Item = I> + Send,
    work: impl Fn(I) -> Option<T> + Sync,
) -> Vec<T> {
    let (items, results) = (Mutex::new(items), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(item) = items.lock().unwrap().next() else {
                        break;
                    };
                    results.lock().unwrap().extend(work(item));
                }
            });
        }
    });
    results.into_inner().unwrap()
}

/// Builds the loom tests and returns their programs.
fn build() -> Vec<PathBuf> {
    let target = std::env::var_os("RINGBUS_LOOM_TARGET").unwrap_or_else(|| tests().join("../../../target/loom").into());
    let output = Command::new(env!("CARGO"))
        .args([
            "test",
            "--locked",
            "--package",
            "ringbus-core",
            "--profile",
            "checked",
            "--test",
            "loom*",
            "--no-run",
        ])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(target)
        .current_dir(tests())
        .env("RUSTFLAGS", "--cfg loom")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let programs = messages
        .lines()
        .filter_map(|line| line.split_once(r#""executable":""#)?.1.split_once('"'));
    programs.map(|(program, _)| PathBuf::from(program)).collect()
}

fn find(programs: &[PathBuf], name: &str) -> PathBuf {
    let is_it = |path: &&PathBuf| {
        path.file_name()
            .is_some_and(|file| file.to_string_lossy().starts_with(&format!("{name}-")))
    };
    programs
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("cargo built no {name}"))
        .clone()
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}
