//! The process that dies, or is stopped, as the one that survives sees it.

use crate::reading::{Fact, text};
use ringbus_core::ProducerKind;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The process that dies.
pub struct Victim {
    child: Child,
    pid: i32,
}

impl Victim {
    pub fn start(scenario: &str, ring: &str, kind: ProducerKind, variables: &[(&str, &str)]) -> Fact<Self> {
        let letter = if kind == ProducerKind::Single { 's' } else { 'm' };
        let mut command = Command::new(std::env::current_exe().map_err(text)?);
        command
            .args(["child", scenario, &format!("{letter}{ring}")])
            .stdout(Stdio::piped());
        command
            .env_remove("CRASH_AT")
            .env_remove("STOP_AT")
            .envs(variables.iter().copied());
        let child = command.spawn().map_err(text)?;
        let pid = child.id() as i32;
        Ok(Self { child, pid })
    }

    pub fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
            .unwrap_or('X')
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.state(), 'Z' | 'X')
    }

    pub fn until_stopped(&self) -> Fact<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state() != 'T' {
            if self.is_dead() || Instant::now() > deadline {
                return Err("the child was not stopped".into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    pub fn go_on(&self) {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(self.pid, libc::SIGCONT) };
    }

    /// Waits for its death at the point, and returns what it had said.
    pub fn until_killed(self) -> Fact<Vec<String>> {
        let (status, said) = self.end()?;
        match std::os::unix::process::ExitStatusExt::signal(&status) {
            Some(libc::SIGKILL) => Ok(said),
            _ => Err(format!("the point was not reached: {status}, said {said:?}")),
        }
    }

    pub fn until_done(self) -> Fact<Vec<String>> {
        let (status, said) = self.end()?;
        if status.success() {
            Ok(said)
        } else {
            Err(format!("the child ended with {status}"))
        }
    }

    fn end(mut self) -> Fact<(std::process::ExitStatus, Vec<String>)> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.is_dead() {
            if Instant::now() > deadline {
                self.child.kill().map_err(text)?;
                return Err("the child neither died nor ended".into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let mut output = String::new();
        self.child
            .stdout
            .take()
            .expect("piped")
            .read_to_string(&mut output)
            .map_err(text)?;
        let status = self.child.wait().map_err(text)?;
        Ok((status, output.lines().map(str::to_owned).collect()))
    }
}
