//! The protocol by which producers claim and publish, and by which others make Pads of what a dead one claimed: each access
//! to shared memory is a step, and between any two of them anybody may go on or die.
//!
//! Source: `crates/ringbus-core/src/sequencer/multi.rs` and `recovery.rs`, whose names the steps bear. Sequentially consistent;
//! weaker memory is loom's part (`tests/loom_recovery.rs`).

mod producing;
mod recovering;

use producing::{At, Intent, Process, Thread};
use recovering::{Look, Recoverer};

/// Processes that produce.
const PROCESSES: usize = 3;
/// Threads of a process, each with one open claim.
const THREADS: usize = 2;
/// Intents of a line.
const PLACES: usize = 3;
const RECOVERERS: usize = 2;
const SLOTS: usize = 4;
const SEQUENCES: usize = 8;
const NOBODY: u8 = 255;

/// One thing to check.
pub struct Setting {
    /// What it is about.
    pub name: &'static str,
    /// Slots.
    pub ring: i8,
    /// The sizes of the claims of each process, in order.
    pub claims: &'static [&'static [i8]],
    /// Claims that a process may have open at once.
    pub open: usize,
    /// Processes, of producers or recoverers, that may die.
    pub deaths: u8,
    /// Processes that recover.
    pub recoverers: usize,
}

/// One step left out or done wrong.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    /// The protocol as it is.
    None,
    /// A claim adds to the cursor, and the intent is written afterwards.
    ClaimByAddition,
    /// The intent of a claim that failed stays.
    IntentKept,
    /// A Pad is stored, not swapped in.
    PadStoredPlain,
    /// A dead producer's line is freed before its Pads are made.
    FreedBeforePads,
    /// A line is freed though some of its claims are not published.
    FreedWithHoles,
    /// Whoever is slow is taken for dead.
    DeathByTime,
    /// The intents of the living are not looked at.
    IntentsIgnored,
    /// The intent is written after the claim.
    IntentLate,
    /// The intent is taken back before the publish.
    IntentClearedEarly,
}

impl Fault {
    /// All that the checker must find.
    pub const PLANTED: [Self; 9] = [
        Self::ClaimByAddition,
        Self::IntentKept,
        Self::PadStoredPlain,
        Self::FreedBeforePads,
        Self::FreedWithHoles,
        Self::DeathByTime,
        Self::IntentsIgnored,
        Self::IntentLate,
        Self::IntentClearedEarly,
    ];

    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::ClaimByAddition => "a claim by addition",
            Self::IntentKept => "an intent that stays after a failed claim",
            Self::PadStoredPlain => "a Pad by a plain store",
            Self::FreedBeforePads => "a line freed before its Pads",
            Self::FreedWithHoles => "a line freed while it has holes",
            Self::DeathByTime => "death judged by time",
            Self::IntentsIgnored => "intents of the living ignored",
            Self::IntentLate => "an intent written after the claim",
            Self::IntentClearedEarly => "an intent taken back before the publish",
        }
    }
}

/// Everything there is: the shared memory, where each one is, and what an onlooker knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    claimed: i8,
    /// Twice the lap + 1, and 1 more for a Pad.
    words: [u8; SLOTS],
    consumed: i8,
    processes: [Process; PROCESSES],
    recoverers: [Recoverer; RECOVERERS],
    deaths: u8,
    /// The onlooker: who claimed a sequence (process + 1), and whether it was published.
    owner: [u8; SEQUENCES],
    published: u8,
}

/// What is wrong with a step.
pub type Wrong = &'static str;

impl State {
    /// Nothing has happened yet.
    pub fn first(setting: &Setting) -> Self {
        let process = |index: usize| Process {
            alive: index < setting.claims.len(),
            next: 0,
            threads: [Thread::default(); THREADS],
            owned: index < setting.claims.len(),
            used: 0,
            intents: [Intent::default(); PLACES],
            byte: if index < setting.claims.len() { 0 } else { NOBODY },
        };
        let mut recoverers = [Recoverer {
            at: Look::Dead,
            ..Recoverer::default()
        }; RECOVERERS];
        recoverers[..setting.recoverers].fill(Recoverer::default());
        Self {
            claimed: -1,
            words: [0; SLOTS],
            consumed: -1,
            processes: std::array::from_fn(process),
            recoverers,
            deaths: 0,
            owner: [0; SEQUENCES],
            published: 0,
        }
    }

    /// Everybody has done its work or is dead, everything claimed was consumed, and no line is left over.
    pub fn is_good_end(&self, setting: &Setting) -> bool {
        let quiet = |index: usize| {
            let own = &self.processes[index];
            if own.alive {
                usize::from(own.next) == setting.claims[index].len()
                    && own.threads.iter().all(|thread| thread.at == At::Idle)
            } else {
                !own.owned
            }
        };
        self.consumed == self.claimed && (0..setting.claims.len()).all(quiet)
    }

    /// Calls `then(who and what, next state)` for every step that anybody may take.
    ///
    /// # Errors
    /// A step that must not be possible.
    pub fn steps(
        &self,
        setting: &Setting,
        fault: Fault,
        then: &mut dyn FnMut(&dyn Fn() -> String, Self),
    ) -> Result<(), (String, Wrong)> {
        self.consume(setting, then);
        for process in (0..setting.claims.len()).filter(|&index| self.processes[index].alive) {
            for thread in 0..setting.open {
                let mut next = *self;
                let at = self.processes[process].threads[thread].at;
                let what = || format!("producer {process}.{thread} {at:?}");
                match next.produce(setting, fault, process, thread) {
                    Ok(true) => then(&what, next),
                    Ok(false) => {}
                    Err(wrong) => return Err((what(), wrong)),
                }
            }
            if self.deaths < setting.deaths {
                let mut next = *self;
                next.kill(process);
                then(&|| format!("producer {process} dies"), next);
            }
        }
        for recoverer in (0..RECOVERERS).filter(|&index| self.recoverers[index].at != Look::Dead) {
            let mut next = *self;
            let at = self.recoverers[recoverer].at;
            let what = || format!("recoverer {recoverer} {at:?} {}", self.recoverers[recoverer].sequence);
            match next.recover(setting, fault, recoverer) {
                Ok(()) => then(&what, next),
                Err(wrong) => return Err((what(), wrong)),
            }
            // The last one lives: somebody has to be left to do the work.
            let others = self.recoverers.iter().filter(|other| other.at != Look::Dead).count();
            if self.deaths < setting.deaths && others > 1 && self.recoverers[recoverer].dead != 0 {
                let mut next = *self;
                next.kill_recoverer(recoverer);
                then(&|| format!("recoverer {recoverer} dies"), next);
            }
        }
        Ok(())
    }

    /// The same with the recoverers in order: which of them is which makes no difference.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        if self.recoverers[0] > self.recoverers[1] {
            self.recoverers.swap(0, 1);
            for process in self
                .processes
                .iter_mut()
                .filter(|process| matches!(process.byte, 1 | 2))
            {
                process.byte = 3 - process.byte;
            }
        }
        self
    }

    fn word(setting: &Setting, sequence: i8) -> u8 {
        ((sequence / setting.ring) as u8 + 1) << 1
    }

    fn slot(setting: &Setting, sequence: i8) -> usize {
        (sequence % setting.ring) as usize
    }

    fn is_hole(&self, setting: &Setting, sequence: i8) -> bool {
        self.words[Self::slot(setting, sequence)] & !1 == Self::word(setting, sequence) - 2
    }

    fn consume(&self, setting: &Setting, then: &mut dyn FnMut(&dyn Fn() -> String, Self)) {
        let wanted = self.consumed + 1;
        if wanted <= self.claimed && self.words[Self::slot(setting, wanted)] & !1 == Self::word(setting, wanted) {
            then(
                &|| format!("the consumer takes {wanted}"),
                Self {
                    consumed: wanted,
                    ..*self
                },
            );
        }
    }
}
