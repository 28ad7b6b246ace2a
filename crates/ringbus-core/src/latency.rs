//! How long events took from publish to hand-over, counted by one thread while others read.
//!
//! Source: Gil Tene, `HdrHistogram`: a linear scale in each power of two. Differs: every count is atomic, so that the
//! thread that counts takes no lock, and needs none from its runtime.

use crate::sync::{AtomicU64, Ordering};

/// Linear steps of a power of two, as a power of two: 1024 of them keep three digits.
const STEPS: u32 = 10;
/// The longest latency that is told apart, in ns, as a power of two: 18 minutes.
const LONGEST: u32 = 40;
const BUCKETS: usize = ((LONGEST - STEPS + 2) as usize) << STEPS;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencySummary {
    /// Events.
    pub count: u64,
    /// The shortest, in ns; 0 without events.
    pub min: u64,
    /// The mean, in ns.
    pub mean: f64,
    /// The 50th, 90th, 99th and 99.9th percentile, in ns.
    pub percentiles: [u64; 4],
    /// The longest, in ns.
    pub max: u64,
}

/// Counts of latencies: written by one thread at a time, read by any.
pub struct Latencies {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Latencies {
    /// Counts one.
    #[inline]
    pub fn record(&self, ns: u64) {
        let ns = ns.min((1 << LONGEST) - 1);
        add(&self.counts[bucket(ns)], 1);
        add(&self.sum, ns);
        if ns < self.min.load(Ordering::Relaxed) {
            self.min.store(ns, Ordering::Relaxed);
        }
        if ns > self.max.load(Ordering::Relaxed) {
            self.max.store(ns, Ordering::Relaxed);
        }
    }

    /// What was counted up to now.
    pub fn summary(&self) -> LatencySummary {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return LatencySummary::default();
        }
        let max = self.max.load(Ordering::Relaxed);
        let at = |share: f64| highest(percentile(&counts, (count as f64 * share).ceil() as u64)).min(max);
        LatencySummary {
            count,
            min: self.min.load(Ordering::Relaxed),
            mean: self.sum.load(Ordering::Relaxed) as f64 / count as f64,
            percentiles: [at(0.5), at(0.9), at(0.99), at(0.999)],
            max,
        }
    }
}

/// One thread writes: a load and a store are enough.
#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// The power of two, above the linear ones, by which `ns` is divided.
#[inline]
fn shift(ns: u64) -> u32 {
    (u64::BITS - ns.leading_zeros()).saturating_sub(STEPS + 1)
}

#[inline]
fn bucket(ns: u64) -> usize {
    ((shift(ns) as usize) << STEPS) + (ns >> shift(ns)) as usize
}

/// The longest latency that falls into `bucket`.
fn highest(bucket: usize) -> u64 {
    let shift = (bucket >> STEPS).saturating_sub(1);
    (((bucket - (shift << STEPS)) as u64 + 1) << shift) - 1
}

/// The bucket of the event number `rank`, from the shortest on.
fn percentile(counts: &[u64], rank: u64) -> usize {
    let mut seen = 0;
    counts
        .iter()
        .position(|count| {
            seen += count;
            seen >= rank
        })
        .unwrap_or(counts.len() - 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_the_latencies_that_fall_into_it_and_is_narrow() {
        for ns in (0..5000).chain((10..LONGEST).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 77])) {
            let high = highest(bucket(ns));
            assert!(high >= ns, "{ns}: {high}");
            assert!(high - ns <= ns >> STEPS, "{ns}: {high}");
            assert_eq!(bucket(high), bucket(ns));
            assert_eq!(bucket(high + 1), bucket(ns) + 1);
        }
        assert!(bucket((1 << LONGEST) - 1) < BUCKETS);
    }

    #[test]
    fn a_summary_has_exact_ends_and_percentiles_within_a_thousandth() {
        let latencies = Latencies::default();
        assert_eq!(latencies.summary(), LatencySummary::default());
        (1..=100_000).for_each(|ns| latencies.record(ns));
        let summary = latencies.summary();
        assert_eq!((summary.count, summary.min, summary.max), (100_000, 1, 100_000));
        assert!((summary.mean - 50_000.5).abs() < 1e-6);
        for (found, exact) in summary.percentiles.into_iter().zip([50_000, 90_000, 99_000, 99_900]) {
            assert!((exact..=exact + exact / 1000).contains(&found), "{found} for {exact}");
        }
    }

    #[test]
    fn what_takes_longer_than_any_bucket_counts_as_the_longest() {
        let latencies = Latencies::default();
        latencies.record(u64::MAX);
        assert_eq!(latencies.summary().max, (1 << LONGEST) - 1);
    }
}
