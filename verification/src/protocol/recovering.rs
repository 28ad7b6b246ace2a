//! The steps of who recovers: to take the lines of the dead, to find a hole, to see that no live intent covers it, to make it a
//! Pad, and to let the lines go.

use super::producing::Intent;
use super::{Fault, NOBODY, PLACES, PROCESSES, Setting, State, Wrong};

/// Where a recoverer is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Look {
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
pub(super) struct Recoverer {
    pub(super) at: Look,
    pub(super) line: u8,
    pub(super) place: u8,
    pub(super) dead: u8,
    pub(super) sequence: i8,
    pub(super) last: i8,
    pub(super) before: u8,
    pub(super) low: i8,
    pub(super) high: i8,
}

impl State {
    pub(super) fn kill_recoverer(&mut self, recoverer: usize) {
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

    /// One step of a recoverer.
    pub(super) fn recover(&mut self, setting: &Setting, fault: Fault, index: usize) -> Result<(), Wrong> {
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
