//! What goes wrong: a code for programs and a text for people.

use ringbus_core::{ClaimError, ConfigError, JoinError, LeaveError, ShareError};
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes `Code` and the names of its variants in C.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// What C is told, as `enum ringbus_code`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Code { $($(#[$doc])* $variant = $number,)* }

        fn name_of(code: i64) -> &'static CStr {
            match code {
                0 => c"RINGBUS_OK",
                $($number => $name,)*
                _ => c"unknown",
            }
        }
    };
}

codes! {
    /// Fewer slots are free than were asked for.
    Full = -1, c"RINGBUS_FULL";
    /// The time is over.
    TimedOut = -2, c"RINGBUS_TIMED_OUT";
    /// Somebody raised the alert.
    Alerted = -3, c"RINGBUS_ALERTED";
    /// The event was overwritten.
    Lapped = -4, c"RINGBUS_LAPPED";
    /// An argument.
    Invalid = -10, c"RINGBUS_INVALID";
    /// No ring.
    NotFound = -11, c"RINGBUS_NOT_FOUND";
    /// Not this layout.
    Layout = -12, c"RINGBUS_LAYOUT";
    /// Open to others.
    NotPrivate = -13, c"RINGBUS_NOT_PRIVATE";
    /// The system refused.
    System = -14, c"RINGBUS_SYSTEM";
    /// Attached read-only.
    ReadOnly = -15, c"RINGBUS_READ_ONLY";
    /// All places are taken.
    NoPlace = -16, c"RINGBUS_NO_PLACE";
    /// Another one is the one producer.
    OtherProducer = -17, c"RINGBUS_OTHER_PRODUCER";
    /// The one producer has a claim open.
    ClaimOpen = -18, c"RINGBUS_CLAIM_OPEN";
    /// The name is taken.
    NameTaken = -19, c"RINGBUS_NAME_TAKEN";
    /// The start is not held.
    NotHeld = -20, c"RINGBUS_NOT_HELD";
    /// Nobody has that name.
    NoConsumer = -21, c"RINGBUS_NO_CONSUMER";
    /// Others depend on it.
    HasDependents = -22, c"RINGBUS_HAS_DEPENDENTS";
    /// One that it depends on is gone.
    PeerDied = -23, c"RINGBUS_PEER_DIED";
    /// The ring was unlinked or replaced.
    Replaced = -24, c"RINGBUS_REPLACED";
    /// The last sequence.
    Exhausted = -25, c"RINGBUS_EXHAUSTED";
    /// From before a fork.
    Forked = -26, c"RINGBUS_FORKED";
    /// A fault of ours.
    Internal = -27, c"RINGBUS_INTERNAL";
}

/// A code whose text is the thread's last error: fact, value, remedy. As small as the code, for the calls that are hot.
#[derive(Debug)]
pub struct Failure(Code);

impl Failure {
    /// A failure that happens seldom.
    #[cold]
    pub fn new(code: Code, text: impl Into<Vec<u8>>) -> Self {
        let text = CString::new(text).unwrap_or_else(|_| c"a text with a NUL in it".into());
        Self::told(code, Cow::Owned(text))
    }

    /// One that may happen often: nothing is allocated.
    pub fn plain(code: Code, text: &'static CStr) -> Self {
        Self::told(code, Cow::Borrowed(text))
    }

    /// An argument that makes no sense.
    pub fn invalid(text: impl Into<Vec<u8>>) -> Self {
        Self::new(Code::Invalid, text)
    }

    fn told(code: Code, text: Cow<'static, CStr>) -> Self {
        // A thread that is ending has no last error any more.
        let _ = LAST.try_with(|last| *last.borrow_mut() = text);
        Self(code)
    }
}

thread_local! {
    /// What `ringbus_last_error` returns.
    static LAST: RefCell<Cow<'static, CStr>> = const { RefCell::new(Cow::Borrowed(c"")) };
}

/// A number that C gets: a code where there is a failure.
pub trait Answer {
    /// The code as this kind of number.
    fn of(code: Code) -> Self;
}

impl Answer for i32 {
    fn of(code: Code) -> Self {
        code as Self
    }
}

impl Answer for i64 {
    fn of(code: Code) -> Self {
        Self::from(code as i32)
    }
}

/// Runs one call from C: a failure becomes its code, and so does a panic.
#[inline]
pub fn answer<A: Answer>(call: impl FnOnce() -> Result<A, Failure>) -> A {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(Failure(code))) => A::of(code),
        Err(_) => A::of(internal().0),
    }
}

#[cold]
fn internal() -> Failure {
    let text = c"a fault inside ringbus, which standard error describes; please report it";
    Failure::plain(Code::Internal, text)
}

/// Fact, value and remedy of the thread's last failure.
#[unsafe(no_mangle)]
pub extern "C" fn ringbus_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr())
        .unwrap_or_else(|_| c"".as_ptr())
}

/// The name of a code.
#[unsafe(no_mangle)]
pub extern "C" fn ringbus_code_name(code: i64) -> *const c_char {
    name_of(code).as_ptr()
}

impl From<ShareError> for Failure {
    fn from(error: ShareError) -> Self {
        let (code, remedy) = match &error {
            ShareError::NotFound { .. } => (Code::NotFound, "make it first, or give the attach a wait_ns"),
            ShareError::BadName { .. } => (
                Code::Invalid,
                "use letters, digits and -_.:@, beginning with a letter or digit, at most 100",
            ),
            ShareError::NotPrivate { .. } => (
                Code::NotPrivate,
                "rings live in a folder of mode 0700 of this user; set RINGBUS_DIR to one",
            ),
            ShareError::Layout { .. } => (Code::Layout, "use a library of the version that made it"),
            ShareError::ProducersFull { .. } => (Code::NoPlace, "close producers that are no longer needed"),
            ShareError::OtherProducer => (
                Code::OtherProducer,
                "publish from there, or make the ring with producers=\"multi\"",
            ),
            ShareError::Config(ConfigError::OutOfMemory { .. }) | ShareError::Io { .. } | ShareError::Exists { .. } => {
                (Code::System, "see the system's reason")
            }
            ShareError::Config(_) => (Code::Layout, "make the ring anew"),
        };
        Self::new(code, format!("{error}; {remedy}"))
    }
}

impl From<ClaimError> for Failure {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Full => Self::plain(
                Code::Full,
                c"the ring is full; try again later, or wait with ringbus_claim",
            ),
            ClaimError::CountOutOfRange { .. } => Self::invalid(format!("{error}; claim less at a time")),
            ClaimError::Exhausted => Self::new(Code::Exhausted, format!("{error}; begin a new ring")),
            ClaimError::TooManyOpenClaims => {
                Self::new(Code::NoPlace, format!("{error}; publish or abort one of them first"))
            }
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let (code, remedy) = match error {
            JoinError::RegistryFull => (Code::NoPlace, "close consumers that are no longer needed"),
            JoinError::NameTaken { .. } => (Code::NameTaken, "choose another name"),
            JoinError::NameLength { .. } => (Code::Invalid, "use a name of at least one byte that fits"),
            JoinError::MayWriteSlots => (Code::Invalid, "let nobody evict it"),
            JoinError::StartNotHeld { .. } => (
                Code::NotHeld,
                "start at the latest, or keep its place with require= on the ring",
            ),
        };
        Self::new(code, format!("{error}; {remedy}"))
    }
}

impl From<LeaveError> for Failure {
    fn from(error: LeaveError) -> Self {
        Self::new(
            Code::HasDependents,
            format!("{error}; let those leave first, or use ringbus_part"),
        )
    }
}
