//! The protocol by which producers claim and publish, and by which others make Pads of what a dead one claimed: each access
//! to shared memory is a step, and between any two of them anybody may go on or die.
//!
//! Source: `crates/ringbus-core/src/sequencer/multi.rs` and `recovery.rs`, whose names the steps bear. Sequentially consistent;
//! weaker memory is loom's part (`tests/loom_recovery.rs`).

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

/// Where a producer's thread is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
enum At {
    #[default]
    Idle,
    AnnounceHigh,
    AnnounceLow,
    Claim,
    Publish,
    Withdraw,
    WithdrawLost,
    Again,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Thread {
    at: At,
    size: i8,
    /// The cursor it saw, then the sequence it publishes next.
    seen: i8,
    high: i8,
    place: u8,
}

/// The lowest and the highest sequence + 1, as in the segment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Intent {
    low: i8,
    high: i8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    alive: bool,
    next: u8,
    threads: [Thread; THREADS],
    /// Its line.
    owned: bool,
    /// The intents in use, a bit each.
    used: u8,
    intents: [Intent; PLACES],
    /// Who holds the line's byte: the process itself (0), a recoverer (1 + i), or nobody.
    byte: u8,
}

/// Where a recoverer is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Look {
    #[default]
    TakeLines,
    ReadCursor,
    FindHole,
    ReadLow,
    ReadHigh,
    ReadLowAgain,
    ReadByte,
    ReadAgain,
    Pad,
    ClearIntents,
    FreeLine,
    Release,
    Dead,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Recoverer {
    at: Look,
    line: u8,
    place: u8,
    dead: u8,
    sequence: i8,
    last: i8,
    before: u8,
    low: i8,
    high: i8,
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

    fn kill(&mut self, process: usize) {
        let own = &mut self.processes[process];
        own.alive = false;
        own.threads = [Thread::default(); THREADS];
        own.next = 0;
        own.used = 0;
        if own.byte == 0 {
            own.byte = NOBODY;
        }
        self.deaths += 1;
    }

    fn kill_recoverer(&mut self, recoverer: usize) {
        for process in &mut self.processes {
            if process.byte == recoverer as u8 + 1 {
                process.byte = NOBODY;
            }
        }
        self.recoverers[recoverer] = Recoverer {
            at: Look::Dead,
            ..Recoverer::default()
        };
        self.deaths += 1;
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

    /// One step of a producer's thread; whether there was one to take.
    fn produce(&mut self, setting: &Setting, fault: Fault, process: usize, index: usize) -> Result<bool, Wrong> {
        let mut thread = self.processes[process].threads[index];
        match thread.at {
            At::Idle => {
                let Some(&size) = setting.claims[process].get(usize::from(self.processes[process].next)) else {
                    return Ok(false);
                };
                if self.claimed + size > self.consumed + setting.ring {
                    return Ok(false);
                }
                let own = &mut self.processes[process];
                own.next += 1;
                thread = Thread {
                    at: At::AnnounceHigh,
                    size,
                    seen: self.claimed,
                    high: self.claimed + size,
                    place: 0,
                };
                if matches!(fault, Fault::ClaimByAddition | Fault::IntentLate) {
                    thread.at = At::Claim;
                } else {
                    thread.place = own.take_place();
                }
            }
            At::AnnounceHigh => {
                self.processes[process].intents[usize::from(thread.place)].high = thread.high + 1;
                thread.at = At::AnnounceLow;
            }
            At::AnnounceLow => {
                self.processes[process].intents[usize::from(thread.place)].low = thread.high - thread.size + 2;
                let claimed_already = matches!(fault, Fault::ClaimByAddition | Fault::IntentLate);
                thread.at = if claimed_already { At::Publish } else { At::Claim };
            }
            At::Claim => {
                if fault != Fault::ClaimByAddition && self.claimed != thread.seen {
                    thread.at = At::WithdrawLost;
                } else {
                    thread.seen = self.claimed + 1;
                    thread.high = self.claimed + thread.size;
                    self.claim(setting, process, thread.high)?;
                    thread.at = At::Publish;
                    if matches!(fault, Fault::ClaimByAddition | Fault::IntentLate) {
                        thread.place = self.processes[process].take_place();
                        thread.at = At::AnnounceHigh;
                    } else if fault == Fault::IntentClearedEarly {
                        self.processes[process].withdraw(thread.place);
                    }
                }
            }
            At::Publish => {
                self.publish(setting, thread.seen)?;
                thread.seen += 1;
                if thread.seen > thread.high {
                    thread.at = At::Withdraw;
                }
            }
            At::Withdraw => {
                self.processes[process].withdraw(thread.place);
                thread = Thread::default();
            }
            At::WithdrawLost => {
                if !matches!(fault, Fault::IntentKept | Fault::IntentLate) {
                    self.processes[process].withdraw(thread.place);
                }
                thread = Thread {
                    at: At::Again,
                    size: thread.size,
                    ..Thread::default()
                };
            }
            At::Again => {
                let high = self.claimed + thread.size;
                if high > self.consumed + setting.ring {
                    return Ok(false);
                }
                thread = Thread {
                    at: At::AnnounceHigh,
                    seen: self.claimed,
                    high,
                    ..thread
                };
                if fault == Fault::IntentLate {
                    thread.at = At::Claim;
                } else {
                    thread.place = self.processes[process].take_place();
                }
            }
        }
        self.processes[process].threads[index] = thread;
        Ok(true)
    }

    fn claim(&mut self, setting: &Setting, process: usize, high: i8) -> Result<(), Wrong> {
        for sequence in self.claimed + 1..=high {
            if sequence - setting.ring > self.consumed {
                return Err("a slot was claimed before it was read");
            }
            self.owner[sequence as usize] = process as u8 + 1;
        }
        self.claimed = high;
        Ok(())
    }

    fn publish(&mut self, setting: &Setting, sequence: i8) -> Result<(), Wrong> {
        if !self.is_hole(setting, sequence) {
            return Err("the slot of a live producer was given away");
        }
        self.words[Self::slot(setting, sequence)] = Self::word(setting, sequence);
        self.published |= 1 << sequence;
        Ok(())
    }

    /// One step of a recoverer.
    fn recover(&mut self, setting: &Setting, fault: Fault, index: usize) -> Result<(), Wrong> {
        let mut own = self.recoverers[index];
        match own.at {
            Look::TakeLines => self.take_lines(fault, index, &mut own),
            Look::ReadCursor => {
                if fault == Fault::FreedBeforePads {
                    (0..PROCESSES)
                        .filter(|line| own.dead & 1 << line != 0)
                        .for_each(|line| self.processes[line].free());
                }
                own.last = self.claimed;
                own.sequence = (self.claimed - setting.ring + 1).max(0);
                own.at = Look::FindHole;
            }
            Look::FindHole => {
                while own.sequence <= own.last && !self.is_hole(setting, own.sequence) {
                    own.sequence += 1;
                }
                if own.sequence > own.last {
                    own = Recoverer {
                        at: Look::ClearIntents,
                        dead: own.dead,
                        ..Recoverer::default()
                    };
                } else {
                    own.before = self.words[Self::slot(setting, own.sequence)];
                    (own.line, own.place) = (0, 0);
                    own.at = if fault == Fault::IntentsIgnored {
                        Look::ReadAgain
                    } else {
                        Look::ReadLow
                    };
                }
            }
            Look::ReadLow => self.read_low(&mut own),
            Look::ReadHigh => {
                own.high = self.processes[usize::from(own.line)].intents[usize::from(own.place)].high;
                own.at = Look::ReadLowAgain;
            }
            Look::ReadLowAgain => {
                let again = self.processes[usize::from(own.line)].intents[usize::from(own.place)].low;
                let covers = again != own.low || own.low != 0 && own.low <= own.sequence + 1 && own.sequence < own.high;
                (own.low, own.high) = (0, 0);
                if covers {
                    own.at = Look::ReadByte;
                } else {
                    own.place += 1;
                    own.at = Look::ReadLow;
                }
            }
            Look::ReadByte => {
                own.place = 0;
                if self.processes[usize::from(own.line)].byte == NOBODY {
                    own.line += 1;
                    own.at = Look::ReadLow;
                } else {
                    // What follows waits for the live one.
                    own = Recoverer {
                        at: Look::ClearIntents,
                        dead: own.dead,
                        ..Recoverer::default()
                    };
                }
            }
            Look::ReadAgain => {
                own.at = Look::Pad;
                if self.words[Self::slot(setting, own.sequence)] != own.before {
                    own.sequence += 1;
                    own.at = Look::FindHole;
                }
            }
            Look::Pad => {
                self.pad(setting, fault, own.sequence, own.before)?;
                own.sequence += 1;
                own.at = Look::FindHole;
            }
            Look::ClearIntents | Look::FreeLine | Look::Release => self.let_go(setting, fault, index, &mut own),
            Look::Dead => {}
        }
        self.recoverers[index] = own;
        Ok(())
    }

    /// One step after the last Pad: each line that was taken is freed, or left to a later look, and its byte goes.
    fn let_go(&mut self, setting: &Setting, fault: Fault, index: usize, own: &mut Recoverer) {
        match own.at {
            Look::ClearIntents => {
                while usize::from(own.line) < PROCESSES && own.dead & 1 << own.line == 0 {
                    own.line += 1;
                }
                if usize::from(own.line) == PROCESSES {
                    *own = Recoverer::default();
                } else if fault == Fault::FreedWithHoles || self.has_no_hole_of(setting, usize::from(own.line)) {
                    self.processes[usize::from(own.line)].intents = [Intent::default(); PLACES];
                    own.at = Look::FreeLine;
                } else {
                    own.at = Look::Release;
                }
            }
            Look::FreeLine => {
                self.processes[usize::from(own.line)].owned = false;
                own.at = Look::Release;
            }
            Look::Release => {
                let line = &mut self.processes[usize::from(own.line)];
                if line.byte == index as u8 + 1 {
                    line.byte = NOBODY;
                }
                own.dead &= !(1 << own.line);
                own.line += 1;
                own.at = Look::ClearIntents;
                if own.dead == 0 {
                    *own = Recoverer::default();
                }
            }
            _ => unreachable!("the three steps of the end"),
        }
    }

    /// Takes the lines of all that are dead now. In one step: to take one later is as if its owner had died later.
    fn take_lines(&mut self, fault: Fault, index: usize, own: &mut Recoverer) {
        for (number, line) in self.processes.iter_mut().enumerate() {
            if line.owned && (line.byte == NOBODY || fault == Fault::DeathByTime && line.byte == 0) {
                line.byte = index as u8 + 1;
                own.dead |= 1 << number;
                own.at = Look::ReadCursor;
            }
        }
    }

    /// None at the first look is none, for all places that have none now: the sources look again and are the more careful,
    /// which can only hold them up.
    fn read_low(&self, own: &mut Recoverer) {
        let before = (own.line, own.place);
        while usize::from(own.line) < PROCESSES {
            let line = &self.processes[usize::from(own.line)];
            if own.dead & 1 << own.line != 0 || !line.owned || usize::from(own.place) == PLACES {
                (own.line, own.place) = (own.line + 1, 0);
            } else if line.intents[usize::from(own.place)].low == 0 {
                own.place += 1;
            } else if before == (own.line, own.place) {
                own.low = line.intents[usize::from(own.place)].low;
                own.at = Look::ReadHigh;
                return;
            } else {
                return;
            }
        }
        (own.line, own.place) = (0, 0);
        own.at = Look::ReadAgain;
    }

    fn pad(&mut self, setting: &Setting, fault: Fault, sequence: i8, before: u8) -> Result<(), Wrong> {
        let slot = Self::slot(setting, sequence);
        if self.words[slot] != before && fault != Fault::PadStoredPlain {
            return Ok(());
        }
        if self.words[slot] & !1 > Self::word(setting, sequence) {
            return Err("a Pad took the place of an event a lap later");
        }
        if self.published & 1 << sequence != 0 {
            return Err("a Pad took the place of a published event");
        }
        let owner = self.owner[sequence as usize];
        if owner != 0 && self.processes[usize::from(owner - 1)].alive {
            return Err("the claim of a live producer became a Pad");
        }
        self.words[slot] = Self::word(setting, sequence) | 1;
        Ok(())
    }

    fn has_no_hole_of(&self, setting: &Setting, line: usize) -> bool {
        let oldest = self.claimed - setting.ring + 1;
        self.processes[line]
            .intents
            .iter()
            .filter(|intent| intent.low != 0)
            .all(|intent| {
                ((intent.low - 1).max(oldest)..=(intent.high - 1).min(self.claimed))
                    .all(|sequence| !self.is_hole(setting, sequence))
            })
    }
}

impl Process {
    fn take_place(&mut self) -> u8 {
        let place = (self.used.trailing_ones() as u8).min(PLACES as u8 - 1);
        self.used |= 1 << place;
        self.intents[usize::from(place)].low = 0;
        place
    }

    fn withdraw(&mut self, place: u8) {
        self.intents[usize::from(place)].low = 0;
        self.used &= !(1 << place);
    }

    fn free(&mut self) {
        self.intents = [Intent::default(); PLACES];
        self.owned = false;
    }
}
