//! The command line: benches/contestants/README.md.

use std::str::FromStr;

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub scenario: String,
    pub contestant: String,
    pub wait: String,
    pub mode: String,
    pub events: u64,
    pub size: usize,
    pub capacity: usize,
    pub batch: usize,
    pub producers: usize,
    pub consumers: usize,
    pub rate: f64,
    pub seconds: f64,
    pub warmup: f64,
}

/// Why there is no result; the exit code tells the runner whether to leave it out.
#[derive(Debug)]
pub enum Refusal {
    /// The command line makes no sense: 2.
    Wrong(String),
    /// This contestant does not have it: 3.
    NotHere(String),
}

impl Options {
    /// Reads pairs of name and value.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Refusal> {
        let mut options = Self::default();
        while let Some(name) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| Refusal::Wrong(format!("{name} needs a value")))?;
            options.set(&name, value)?;
        }
        options.check()
    }

    /// The same with fewer events, to warm up.
    pub fn shorter(&self) -> Self {
        let producers = self.scenario_producers() as u64;
        Self {
            events: (self.events / 10 / producers).max(1) * producers,
            ..self.clone()
        }
    }

    /// Stages write to words 1 and 2 of an event.
    pub fn check_stages(&self) -> Result<(), Refusal> {
        if self.size >= 32 {
            return Ok(());
        }
        let word = format!("--size is {}: the stages need 3 words", self.size);
        Err(Refusal::NotHere(word))
    }

    /// How many producers the scenario's name asks for: `2p1c` has two.
    pub fn scenario_producers(&self) -> usize {
        match self.scenario.as_bytes() {
            [count @ b'1'..=b'9', b'p', ..] => usize::from(count - b'0'),
            _ => 1,
        }
    }

    /// How many consumers that each see every event the scenario's name asks for: `1p2c` has two, `1pnc` as many as
    /// the command line says.
    pub fn scenario_consumers(&self) -> usize {
        match self.scenario.as_bytes() {
            [_, b'p', count @ b'1'..=b'9', b'c'] => usize::from(count - b'0'),
            _ => self.consumers,
        }
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        match name {
            "--scenario" => self.scenario = value,
            "--contestant" => self.contestant = value,
            "--wait" => self.wait = value,
            "--mode" => self.mode = value,
            "--events" => self.events = number(name, &value)?,
            "--size" => self.size = number(name, &value)?,
            "--capacity" => self.capacity = number(name, &value)?,
            "--batch" => self.batch = number(name, &value)?,
            "--producers" => self.producers = number(name, &value)?,
            "--consumers" => self.consumers = number(name, &value)?,
            "--rate" => self.rate = number(name, &value)?,
            "--seconds" => self.seconds = number(name, &value)?,
            "--warmup" => self.warmup = number(name, &value)?,
            _ => return Err(Refusal::Wrong(format!("there is no option {name}"))),
        }
        Ok(())
    }

    fn check(self) -> Result<Self, Refusal> {
        if !self.capacity.is_power_of_two() {
            return Err(Refusal::Wrong(format!(
                "--capacity is {}: give a power of two",
                self.capacity
            )));
        }
        if self.batch == 0 || self.batch > self.capacity {
            return Err(Refusal::Wrong(format!(
                "--batch is {}: give 1 to the capacity",
                self.batch
            )));
        }
        if self.events == 0 || self.producers == 0 || self.consumers == 0 {
            return Err(Refusal::Wrong(
                "there are 0 events, producers or consumers: give 1 or more".into(),
            ));
        }
        Ok(self)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scenario: String::new(),
            contestant: String::new(),
            wait: "yield".into(),
            mode: "one".into(),
            events: 1_000_000,
            size: 64,
            capacity: 65_536,
            batch: 1,
            producers: 1,
            consumers: 1,
            rate: 100_000.0,
            seconds: 1.0,
            warmup: 0.5,
        }
    }
}

fn number<N: FromStr>(name: &str, text: &str) -> Result<N, Refusal> {
    text.parse()
        .map_err(|_| Refusal::Wrong(format!("{name} is \"{text}\": give a number")))
}
