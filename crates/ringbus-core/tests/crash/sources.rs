//! Reads the sources: each point is in the table, and each step that others can see has a point after it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What writes where another process can see it, or takes and gives back what the kernel keeps.
const STEPS: &[&str] = &[
    ".store(",
    ".fetch_",
    ".swap(",
    ".compare_exchange",
    ".mark_available(",
    ".mark_pad(",
    ".swap_to_pad(",
    "sequence.set(",
    "sequence.advance(",
    "sequence.evict(",
    ".move_to(",
    ".take_byte(",
    " seize(",
    ".release_byte(",
    ".wake(",
    ".wake_all(",
    ".arm(",
    ".sleep(",
    ".write_owner(",
    "write_name(consumer",
    ".clear_counters(",
    "hard_link(",
    "fs::rename(",
    "remove_file(",
    "libc::mkfifo(",
    "libc::write(file",
    "= create(",
    "reserve(&file",
    ".write(header)",
    "copy_nonoverlapping(schema",
    ".release(REGISTRAR)",
    ".take(REGISTRAR)",
    "F_RDLCK, PRESENCE)",
    ".notify_watchers(",
];

/// The files with steps in them.
const FILES: &[&str] = &[
    "sequencer/single.rs",
    "sequencer/multi.rs",
    "registry/mod.rs",
    "registry/joining.rs",
    "registry/leaving.rs",
    "registry/counters.rs",
    "registry/entries.rs",
    "registry/identity.rs",
    "recovery.rs",
    "eviction.rs",
    "futex.rs",
    "wait.rs",
    "segment/mod.rs",
    "segment/available.rs",
    "segment/named.rs",
    "segment/wakes.rs",
    "segment/shared.rs",
    "segment/locks/mod.rs",
    "segment/locks/file.rs",
];

/// Steps without a point of their own: (file, what the line has in it, why).
const EXEMPT: &[(&str, &str, &str)] = &[
    ("", "counters.", "a count that nobody relies on"),
    ("", "counter.store(0", "join.counters stands behind all of them"),
    (
        "registry/entries.rs",
        "segment.take_byte(consumer_byte(index))",
        "join.byte and return.byte stand where it is called",
    ),
    (
        "registry/identity.rs",
        "self.pid.store(",
        "for people to read; join.owner and return.owner stand behind the three",
    ),
    ("registry/identity.rs", "self.start_time.store(", "for people to read"),
    (
        "registry/identity.rs",
        "self.pid_namespace.store(",
        "for people to read",
    ),
    (
        "registry/mod.rs",
        "entry().sequence.",
        "commit.stored and join.second_look stand where it is called",
    ),
    ("sequencer/multi.rs", "claimed.fetch_add(count", "a planted fault"),
    (
        "sequencer/multi.rs",
        "cursor.compare_exchange_weak(",
        "claim.taken and claim.lost stand where it is called",
    ),
    ("sequencer/multi.rs", "self.gate.0.store(", "a cache of this process"),
    (
        "segment/available.rs",
        "self.available(sequence).",
        "each caller has its point",
    ),
    (
        "segment/wakes.rs",
        "self.futex(blocker).arm(",
        "wait.armed stands inside",
    ),
    ("segment/wakes.rs", "self.wake(Blocker::", "each wake has its points"),
    ("wait.rs", "segment.wake_all()", "each wake has its points"),
    ("wait.rs", "self.0.store(", "an alert is of this process"),
    (
        "recovery.rs",
        "segment.take_byte(byte)",
        "recover.consumer_byte and recover.producer_byte stand where it is called",
    ),
    (
        "segment/locks/file.rs",
        "set(&file.file, libc::F_RDLCK",
        "attach.present stands behind the other one",
    ),
    (
        "segment/locks/file.rs",
        "F_WRLCK, PRESENCE",
        "what is swept is nobody's",
    ),
    (
        "segment/shared.rs",
        "remove_file(&self.0)",
        "create.named stands behind it",
    ),
    ("segment/shared.rs", "remove_file(path)", "what is swept is nobody's"),
];

/// Panics with what is missing.
pub fn check(listed: &BTreeSet<&str>) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    let mut bare = Vec::new();
    let exempted = EXEMPT.iter().map(|(file, _, _)| file).filter(|file| !file.is_empty());
    for file in FILES.iter().chain(exempted) {
        assert!(
            sources.join(file).is_file(),
            "{file} has moved: name it where it is now"
        );
    }
    for path in rust_files(&sources) {
        let text = std::fs::read_to_string(&path).unwrap();
        found.extend(text.lines().filter_map(point_in).map(str::to_owned));
        let name = path.strip_prefix(&sources).unwrap().to_string_lossy().into_owned();
        if FILES.contains(&name.as_str()) {
            bare.extend(steps_without_point(&name, &text));
        }
    }
    let listed: BTreeSet<String> = listed.iter().map(|&name| name.to_owned()).collect();
    let (untried, unknown): (Vec<_>, Vec<_>) =
        (found.difference(&listed).collect(), listed.difference(&found).collect());
    assert!(
        untried.is_empty() && unknown.is_empty(),
        "points that no scenario tries: {untried:?}; points that are not there: {unknown:?}"
    );
    assert!(bare.is_empty(), "steps without a crash point:\n{}", bare.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    files
        .into_iter()
        .chain(folders.iter().flat_map(|inner| rust_files(inner)))
        .collect()
}

fn point_in(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("crash_point!(\"")?.split('"').next()
}

/// A step needs its point before the next step, and before its function ends.
fn steps_without_point(file: &str, text: &str) -> Vec<String> {
    let mut bare = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut planted = false;
    let mut before = String::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        // A chain of calls may take several lines.
        let whole = if code.starts_with('.') {
            format!("{before}{code}")
        } else {
            code.to_owned()
        };
        before.clone_from(&whole);
        if code.starts_with("//") {
            continue;
        }
        if point_in(line).is_some() {
            open = None;
            continue;
        }
        // A race that was lost between two looks: nothing was changed.
        if code.starts_with("return false;") {
            open = None;
        }
        let is_step = !planted
            && STEPS.iter().any(|step| code.contains(step))
            && !code.starts_with("fn ")
            && !is_exempt(file, &whole);
        planted = code.starts_with("if planted::is(");
        let ends = code.contains("fn ") && !code.contains('|') || line == "}";
        if (is_step || ends)
            && let Some((at, step)) = open.take()
        {
            bare.push(format!("{file}:{}: {step}", at + 1));
        }
        if is_step {
            open = Some((number, whole));
        }
    }
    bare
}

fn is_exempt(file: &str, code: &str) -> bool {
    EXEMPT
        .iter()
        .any(|(where_, what, _)| (where_.is_empty() || *where_ == file) && code.contains(what))
}
