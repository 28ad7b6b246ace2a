//! What an entry says of its consumer, for people to read: its name and its process.

use crate::error::JoinError;
use crate::layout::{ConsumerEntry, IdentityLine, NAME_BYTES};
#[cfg(not(loom))]
use crate::{crash::crash_point, sync::Ordering};

pub(super) fn check_name(name: &str) -> Result<(), JoinError> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(JoinError::NameLength { bytes: name.len() });
    }
    Ok(())
}

#[cfg(not(loom))]
impl IdentityLine {
    /// Says whose the entry is, for people to read.
    pub(super) fn write_owner(&self) {
        self.pid.store(u64::from(std::process::id()), Ordering::Relaxed);
        self.start_time.store(own_start_time(), Ordering::Relaxed);
        self.pid_namespace.store(own_pid_namespace(), Ordering::Relaxed);
    }
}

#[cfg(loom)]
impl IdentityLine {
    pub(super) fn write_owner(&self) {}
}

/// The start time of this process in clock ticks since boot; 0 where /proc does not say.
#[cfg(not(loom))]
fn own_start_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name
        .split_whitespace()
        .nth(19)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(0)
}

/// The inode of this process's pid namespace; 0 where /proc does not say.
#[cfg(not(loom))]
fn own_pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino())
}

#[cfg(not(loom))]
pub(super) fn write_name(entry: &ConsumerEntry, name: &str) {
    let mut bytes = [0_u8; NAME_BYTES];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    for (word, chunk) in entry.identity.name.iter().zip(bytes.chunks_exact(8)) {
        word.store(
            u64::from_le_bytes(std::array::from_fn(|byte| chunk[byte])),
            Ordering::Relaxed,
        );
        crash_point!("join.name_word");
    }
}

/// The name in an entry.
#[cfg(not(loom))]
pub fn name_of(entry: &ConsumerEntry) -> String {
    let bytes: Vec<u8> = entry
        .identity
        .name
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .collect();
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[cfg(loom)]
pub(super) fn write_name(entry: &ConsumerEntry, name: &str) {
    name.clone_into(&mut entry.identity.name.lock().unwrap());
}

/// The name in an entry.
#[cfg(loom)]
pub fn name_of(entry: &ConsumerEntry) -> String {
    entry.identity.name.lock().unwrap().clone()
}
