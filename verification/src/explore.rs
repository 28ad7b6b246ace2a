//! Goes through every state that can be reached: no step may be wrong, and from everywhere a good end can be reached.

use crate::protocol::{Fault, Setting, State};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

/// What came of one setting.
pub struct Found {
    /// States that can be reached, up to the first violation.
    pub states: usize,
    /// What is wrong, if anything is.
    pub violation: Option<String>,
    /// The steps that lead there, the last ones.
    pub path: Vec<String>,
    /// Time it took.
    pub seconds: f64,
}

/// Steps of a path that are printed.
const SHOWN: usize = 12;

/// The states in the order in which they were found, and how each was reached first.
struct Space {
    index: HashMap<State, u32, BuildHasherDefault<Mixer>>,
    states: Vec<State>,
    from: Vec<u32>,
    /// (later, earlier), for the way back.
    edges: Vec<(u32, u32)>,
}

/// Explores `setting` with `fault` planted.
pub fn explore(setting: &Setting, fault: Fault) -> Found {
    let begin = Instant::now();
    let mut space = Space {
        index: HashMap::default(),
        states: Vec::new(),
        from: Vec::new(),
        edges: Vec::new(),
    };
    space.add(State::first(setting).in_order(), 0);
    let mut violation = None;
    let mut next = 0;
    while next < space.states.len() && violation.is_none() {
        let state = space.states[next];
        let wrong = state.steps(setting, fault, &mut |_, later| {
            let later = space.add(later.in_order(), next as u32);
            space.edges.push((later, next as u32));
        });
        violation = wrong.err().map(|(step, wrong)| (next, format!("{wrong}: {step}")));
        next += 1;
    }
    let violation = violation.or_else(|| {
        Some((
            space.stuck(setting)?,
            "from here on nobody can bring it to a good end".to_owned(),
        ))
    });
    let path = violation
        .as_ref()
        .map_or(Vec::new(), |(at, _)| space.path(setting, fault, *at));
    Found {
        states: space.states.len(),
        violation: violation.map(|(_, what)| what),
        path,
        seconds: begin.elapsed().as_secs_f64(),
    }
}

impl Space {
    fn add(&mut self, state: State, from: u32) -> u32 {
        let number = self.states.len() as u32;
        let entry = *self.index.entry(state).or_insert(number);
        if entry == number {
            self.states.push(state);
            self.from.push(from);
        }
        entry
    }

    /// The first state from which no good end can be reached.
    fn stuck(&mut self, setting: &Setting) -> Option<usize> {
        self.edges.sort_unstable();
        let mut good: Vec<bool> = self.states.iter().map(|state| state.is_good_end(setting)).collect();
        let mut open: Vec<u32> = (0..good.len() as u32).filter(|&state| good[state as usize]).collect();
        while let Some(state) = open.pop() {
            let first = self.edges.partition_point(|&(later, _)| later < state);
            for &(_, earlier) in self.edges[first..].iter().take_while(|&&(later, _)| later == state) {
                if !std::mem::replace(&mut good[earlier as usize], true) {
                    open.push(earlier);
                }
            }
        }
        good.iter().position(|&is_good| !is_good)
    }

    fn path(&self, setting: &Setting, fault: Fault, last: usize) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = last as u32;
        while at != 0 && path.len() < SHOWN {
            let earlier = self.from[at as usize];
            let mut step = String::new();
            let target = self.states[at as usize];
            let _ = self.states[earlier as usize].steps(setting, fault, &mut |what, later| {
                if later.in_order() == target {
                    step = what();
                }
            });
            path.push(step);
            at = earlier;
        }
        path.reverse();
        path
    }
}

/// A fast hasher: states are many and small, and nobody chooses them to collide.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_i8(&mut self, byte: i8) {
        self.write_u64(u64::from(byte as u8));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
