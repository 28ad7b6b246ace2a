//! What may go wrong: one enum for each operation.

use std::fmt;
use std::path::{Path, PathBuf};

/// A ring that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The capacity is no power of two.
    CapacityNotPowerOfTwo {
        /// What was asked for.
        capacity: u64,
    },
    /// More slots than a ring, or an address space, can have.
    CapacityTooLarge {
        /// What was asked for.
        capacity: u64,
        /// Bytes of a slot.
        slot_bytes: u64,
    },
    /// The first sequence is negative or too near the last possible one.
    StartOutOfRange {
        /// What was asked for.
        start: i64,
    },
    /// The system gave no memory.
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
        /// The system's error number.
        errno: i32,
    },
}

/// A shared ring that cannot be made or attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// No file of that name.
    NotFound {
        /// Where it would be.
        path: PathBuf,
    },
    /// A ring of that name is there.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A name that no ring can have.
    BadName {
        /// The name.
        name: String,
    },
    /// A file or folder that others can write or own.
    NotPrivate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        fact: String,
    },
    /// A file that is no ring, or none of this layout.
    Layout {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        fact: String,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// Every producer line is taken by a live producer.
    ProducersFull {
        /// Lines.
        producers: u32,
    },
    /// Another handle, of this process or another, is the ring's one producer.
    OtherProducer,
    /// Sizes that make no sense.
    Config(ConfigError),
    /// The system refused.
    Io {
        /// What was being done.
        what: String,
        /// To which file.
        path: PathBuf,
        /// The system's error number.
        errno: i32,
    },
}

impl ShareError {
    /// The system refused `what`.
    pub fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io {
            what: what.to_owned(),
            path: path.to_path_buf(),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// As [`ShareError::io`], for the call before.
    pub fn last(what: &str, path: &Path) -> Self {
        Self::io(what, path, &std::io::Error::last_os_error())
    }

    /// A file that is no ring.
    pub fn layout(path: &Path, fact: &str, found: String, expected: String) -> Self {
        Self::Layout {
            path: path.to_path_buf(),
            fact: fact.to_owned(),
            found,
            expected,
        }
    }
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { path } => write!(f, "there is no ring {}", path.display()),
            Self::Exists { path } => write!(f, "the ring {} exists", path.display()),
            Self::BadName { name } => write!(f, "{name:?} is no name for a ring"),
            Self::NotPrivate { path, fact } => write!(f, "{} is not private: {fact}", path.display()),
            Self::Layout {
                path,
                fact,
                found,
                expected,
            } => {
                write!(f, "{} {fact}: {found}, not {expected}", path.display())
            }
            Self::ProducersFull { producers } => write!(f, "all {producers} producer lines are taken"),
            Self::OtherProducer => write!(f, "the ring has one producer, and another handle or process is it"),
            Self::Config(error) => error.fmt(f),
            Self::Io { what, path, errno } => {
                write!(
                    f,
                    "{what} {}: {}",
                    path.display(),
                    std::io::Error::from_raw_os_error(*errno)
                )
            }
        }
    }
}

impl std::error::Error for ShareError {}

/// A claim that was refused; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Fewer than one, or more than the ring has.
    CountOutOfRange {
        /// What was asked for.
        count: i64,
        /// Slots of the ring.
        capacity: i64,
    },
    /// Not enough free slots now.
    Full,
    /// The ring is at its last possible sequence.
    Exhausted,
    /// The producer has as many open claims as it may have.
    TooManyOpenClaims,
}

/// A consumer that cannot join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// Every entry of the registry is taken.
    RegistryFull,
    /// Somebody lives under that name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name is empty or has too many bytes.
    NameLength {
        /// Bytes of the name.
        bytes: usize,
    },
    /// It may be evicted, and could write slots then that are others' by now.
    MayWriteSlots,
    /// What it asked to start from is not held for it.
    StartNotHeld {
        /// The first sequence it asked for.
        wanted: i64,
        /// The first sequence it can have.
        first: i64,
    },
}

/// A consumer that cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveError {
    /// Others depend on it.
    HasDependents {
        /// Their entries, a bit each.
        dependents: u64,
    },
}

/// A graph that cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopologyError {
    /// A name used twice.
    Duplicate {
        /// The name.
        name: String,
    },
    /// A dependency that nobody has the name of.
    Unknown {
        /// Who depends.
        name: String,
        /// On whom.
        dependency: String,
    },
    /// A path that comes back to its beginning.
    Cycle {
        /// The names along it, the first one again at the end.
        path: Vec<String>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapacityNotPowerOfTwo { capacity } => write!(f, "capacity {capacity} is no power of two"),
            Self::CapacityTooLarge { capacity, slot_bytes } => write!(
                f,
                "capacity {capacity} would take {} bytes at {slot_bytes} bytes a slot",
                u128::from(*capacity) * u128::from(*slot_bytes)
            ),
            Self::StartOutOfRange { start } => write!(f, "first sequence {start} is not in 0..2^62 - 2^32"),
            Self::OutOfMemory { bytes, errno } => write!(f, "the system gave no {bytes} bytes (errno {errno})"),
        }
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CountOutOfRange { count, capacity } => write!(f, "a claim of {count} is not in 1..={capacity}"),
            Self::Full => write!(f, "the ring is full"),
            Self::Exhausted => write!(f, "the ring is at its last possible sequence"),
            Self::TooManyOpenClaims => {
                write!(
                    f,
                    "the producer has {} open claims, the most there may be",
                    crate::layout::INTENTS
                )
            }
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegistryFull => write!(f, "all {} consumer entries are taken", crate::layout::MAX_CONSUMERS),
            Self::NameTaken { name } => write!(f, "a consumer named {name:?} is on this ring"),
            Self::NameLength { bytes } => {
                write!(f, "a name of {bytes} bytes is not in 1..={}", crate::layout::NAME_BYTES)
            }
            Self::MayWriteSlots => write!(f, "a consumer that may be evicted must not be able to write the slots"),
            Self::StartNotHeld { wanted, first } => {
                write!(
                    f,
                    "sequence {wanted} is not held for this consumer; the first it can have is {first}"
                )
            }
        }
    }
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HasDependents { dependents } => {
                write!(f, "{} consumer(s) depend on it", dependents.count_ones())
            }
        }
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { name } => write!(f, "the name {name:?} is used twice"),
            Self::Unknown { name, dependency } => {
                write!(f, "{name:?} depends on {dependency:?}, which is nobody's name")
            }
            Self::Cycle { path } => write!(f, "a cycle: {}", path.join(" -> ")),
        }
    }
}

impl std::error::Error for ConfigError {}
impl std::error::Error for ClaimError {}
impl std::error::Error for JoinError {}
impl std::error::Error for LeaveError {}
impl std::error::Error for TopologyError {}
