//! Latencies in ns: exact up to 255, then 128 buckets for each power of two (HdrHistogram, Gil Tene).

const BITS: u32 = 7;
const HALF: usize = 1 << BITS;

#[derive(Clone)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    pub fn new() -> Self {
        Self(vec![0; (64 - BITS as usize) * HALF + HALF])
    }

    #[inline]
    pub fn add(&mut self, ns: u64) {
        let shift = (63 - (ns | 1).leading_zeros()).saturating_sub(BITS);
        self.0[shift as usize * HALF + (ns >> shift) as usize] += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// `[[lowest value, count], ...]` in JSON.
    pub fn json(&self) -> String {
        let filled = self.0.iter().enumerate().filter(|(_, count)| **count != 0);
        let pairs: Vec<String> = filled
            .map(|(index, count)| format!("[{}, {count}]", lowest(index)))
            .collect();
        format!("[{}]", pairs.join(", "))
    }
}

fn lowest(index: usize) -> usize {
    if index < 2 * HALF {
        return index;
    }
    let shift = index / HALF - 1;
    (index - shift * HALF) << shift
}
