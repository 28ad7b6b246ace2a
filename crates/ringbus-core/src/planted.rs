//! Planted twins: the faults that the concurrency checks must catch.
//!
//! In a loom build one of them may be switched on by the environment variable `RINGBUS_PLANTED`; in
//! every other build [`is`] is `false` at compile time and nothing of this is left.

use crate::sync::{Ordering, store_load_barrier};

macro_rules! twins {
    ($($(#[$doc:meta])* $name:ident = $key:literal,)*) => {
        /// One ordering weakened or one step left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Twin { $($(#[$doc])* $name,)* }

        impl Twin {
            /// Every twin, in the order of their declaration.
            pub const ALL: &'static [Twin] = &[$(Twin::$name,)*];

            /// The name by which `RINGBUS_PLANTED` selects it.
            pub const fn key(self) -> &'static str {
                match self { $(Twin::$name => $key,)* }
            }
        }
    };
}

twins! {
    /// A single producer publishes with a relaxed store.
    PublishRelaxed = "publish-relaxed",
    /// A multi producer marks its slot available with a relaxed store.
    AvailableRelaxed = "available-relaxed",
    /// A consumer reads the cursor relaxed.
    CursorReadRelaxed = "cursor-read-relaxed",
    /// A consumer reads the available words relaxed.
    AvailableReadRelaxed = "available-read-relaxed",
    /// A consumer's sequence is stored relaxed.
    CommitRelaxed = "commit-relaxed",
    /// The gating minimum is read relaxed.
    GateReadRelaxed = "gate-read-relaxed",
    /// The gating cache shared by producers is read relaxed.
    GateCacheRelaxed = "gate-cache-relaxed",
    /// A producer does not look at its consumers before it claims.
    GateSkipped = "gate-skipped",
    /// A producer may run one slot too far ahead.
    WrapOffByOne = "wrap-off-by-one",
    /// A producer takes a slot whose last event is claimed but not yet published.
    OpenClaimOverrun = "open-claim-overrun",
    /// Multi-producer claims load and store the cursor instead of compare-and-swap.
    ClaimNotAtomic = "claim-not-atomic",
    /// A batch claim marks only its last sequence available.
    BatchMarksLastOnly = "batch-marks-last-only",
    /// A consumer takes the claimed cursor for the published one.
    GapIgnored = "gap-ignored",
    /// A publisher looks for sleepers without the barrier.
    BarrierDroppedInWake = "barrier-dropped-in-wake",
    /// A waiter looks again without the barrier.
    BarrierDroppedInArm = "barrier-dropped-in-arm",
    /// A joiner looks again without the barrier.
    BarrierDroppedInJoin = "barrier-dropped-in-join",
    /// A producer reads the registry without the barrier.
    BarrierDroppedInScan = "barrier-dropped-in-scan",
    /// A waiter sleeps without a second look after arming.
    ArmWithoutRecheck = "arm-without-recheck",
    /// A waiter sleeps on a word whose owner no longer blocks it.
    SleepOnStaleBlocker = "sleep-on-stale-blocker",
    /// A waiter sleeps while the word is armed, though it was woken and somebody else armed it again.
    SleepOnAnyArming = "sleep-on-any-arming",
    /// A publisher never wakes anybody.
    WakeSkipped = "wake-skipped",
    /// A consumer's commit wakes nobody.
    CommitWakeSkipped = "commit-wake-skipped",
    /// A joiner starts at the cursor it saw before it was registered.
    JoinWithoutSecondLook = "join-without-second-look",
    /// A joiner that moves on at its second look wakes nobody.
    JoinWithoutWake = "join-without-wake",
    /// A consumer that leaves wakes nobody that waits for it.
    LeaveWithoutWake = "leave-without-wake",
    /// The count of Pads is raised after the Pad shows.
    PadBeforeCount = "pad-before-count",
    /// A halt wakes nobody.
    AlertWithoutWake = "alert-without-wake",
    /// `claimed` is stored after the slot is written.
    ClaimedStoredLate = "claimed-stored-late",
    /// The fence between `claimed` and the slot's words is missing.
    WriteBarrierDropped = "write-barrier-dropped",
    /// The fence between the slot's words and `claimed` is missing.
    ReadBarrierDropped = "read-barrier-dropped",
    /// A reader that may be lapped does not look at `claimed` again.
    LappedCheckSkipped = "lapped-check-skipped",
    /// A rewound claim lowers `claimed` too.
    RewindLowersClaimed = "rewind-lowers-claimed",
    /// A dependent reads the cursor in place of what it depends on.
    DependencyIgnored = "dependency-ignored",
    /// A drain is content when a consumer is one short of its target.
    DrainStopsShort = "drain-stops-short",
    /// A dead consumer's entry is freed though somebody else has taken it since.
    FreedWithoutGeneration = "freed-without-generation",
    /// A dead producer's line is freed before its Pads are made.
    FreedBeforePads = "freed-before-pads",
    /// A Pad is stored, not swapped in.
    PadStoredPlain = "pad-stored-plain",
    /// An intent stays when the claim it was for failed.
    IntentKept = "intent-kept",
    /// A producer or consumer that is slow is taken for dead.
    DeathByTime = "death-by-time",
    /// A live producer's intents are not looked at.
    IntentsIgnored = "intents-ignored",
    /// A dead producer's line is freed while some of its claims are not published.
    FreedWithHoles = "freed-with-holes",
    /// A dependent is not told that the consumer it waits for has died.
    DeathUntold = "death-untold",
    /// A consumer that was evicted commits all the same.
    CommitOverEviction = "commit-over-eviction",
    /// A consumer that was evicted does not look, and takes what it copied for whole.
    EvictionUntold = "eviction-untold",
    /// A consumer is evicted though it waits for others.
    SlowForOthers = "slow-for-others",
    /// Who begins to follow another one looks whether that one lives without the barrier.
    BarrierDroppedInFollow = "barrier-dropped-in-follow",
    /// Who lets a dead consumer go looks for followers without the barrier.
    BarrierDroppedInLetGo = "barrier-dropped-in-let-go",
    /// A worker that gives the seat back looks for those that rest by a plain load.
    RestersReadPlain = "resters-read-plain",
    /// A worker that goes to rest says so relaxed.
    RestersAddedRelaxed = "resters-added-relaxed",
    /// A worker that gives the seat back gets nobody up.
    BellNotRung = "bell-not-rung",
    /// A worker that goes to rest keeps what it held: producers wait for it.
    RestHoldsOn = "rest-holds-on",
    /// A worker that takes the seat keeps what it held: producers wait for it.
    SitHoldsOn = "sit-holds-on",
    /// A producer claims by addition and says so afterwards.
    ClaimByAddition = "claim-by-addition",
    /// Two workers may take one sequence.
    WorkTakenTwice = "work-taken-twice",
    /// A worker says what it holds by what the others have taken since it took its own.
    WorkHeldLate = "work-held-late",
}

/// Whether `twin` is switched on in this run.
#[cfg(not(loom))]
#[inline(always)]
pub const fn is(_twin: Twin) -> bool {
    false
}

/// Whether `twin` is switched on in this run.
#[cfg(loom)]
pub fn is(twin: Twin) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("RINGBUS_PLANTED").ok()).as_deref() == Some(twin.key())
}

/// [`store_load_barrier`], or nothing where `twin` is planted.
#[inline(always)]
pub fn barrier(twin: Twin) {
    if !is(twin) {
        store_load_barrier();
    }
}

/// `order`, or Relaxed where `twin` is planted.
#[inline(always)]
pub fn order(twin: Twin, order: Ordering) -> Ordering {
    if is(twin) { Ordering::Relaxed } else { order }
}
