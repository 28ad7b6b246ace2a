//! The steps of a producer: to announce a claim, to claim, to publish, and to withdraw the announcement.

use super::{Fault, NOBODY, PLACES, Setting, State, THREADS, Wrong};

/// Where a producer's thread is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(super) enum At {
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
pub(super) struct Thread {
    pub(super) at: At,
    pub(super) size: i8,
    /// The cursor it saw, then the sequence it publishes next.
    pub(super) seen: i8,
    pub(super) high: i8,
    pub(super) place: u8,
}

/// The lowest and the highest sequence + 1, as in the segment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Intent {
    pub(super) low: i8,
    pub(super) high: i8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) alive: bool,
    pub(super) next: u8,
    pub(super) threads: [Thread; THREADS],
    /// Its line.
    pub(super) owned: bool,
    /// The intents in use, a bit each.
    pub(super) used: u8,
    pub(super) intents: [Intent; PLACES],
    /// Who holds the line's byte: the process itself (0), a recoverer (1 + i), or nobody.
    pub(super) byte: u8,
}

impl State {
    pub(super) fn kill(&mut self, process: usize) {
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

    /// One step of a producer's thread; whether there was one to take.
    pub(super) fn produce(
        &mut self,
        setting: &Setting,
        fault: Fault,
        process: usize,
        index: usize,
    ) -> Result<bool, Wrong> {
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

    pub(super) fn free(&mut self) {
        self.intents = [Intent::default(); PLACES];
        self.owned = false;
    }
}
