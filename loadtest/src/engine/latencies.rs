//! A worker's latencies of a second: counted in fewer instructions and less memory than [`Samples`], to within 0.4%.

use crate::result::Samples;
use crate::samples::MAX_NS;

/// Buckets for each power of two, as a power of two.
const DIGITS: u32 = 7;
const PER_POWER: usize = 1 << DIGITS;
/// The first 256 ns have a bucket each; then there are 128 for each power of two up to the longest time.
const BUCKETS: usize = ((MAX_NS.ilog2() - DIGITS) as usize + 2) * PER_POWER;

/// Counts of latencies.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Box<[u32]>);

impl Latencies {
    pub(super) fn new() -> Self {
        Latencies(vec![0; BUCKETS].into_boxed_slice())
    }

    /// Adds one. A time beyond [`MAX_NS`] counts as that.
    #[inline]
    pub(super) fn record(&mut self, ns: u64) {
        let ns = ns.min(MAX_NS);
        let shift = (ns | 0xff).ilog2() - DIGITS;
        self.0[((shift as usize) << DIGITS) + (ns >> shift) as usize] += 1;
    }

    /// Adds all to `samples`, each as the middle of its bucket.
    pub(super) fn add_to(&self, samples: &mut Samples) {
        for (index, &count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let shift = (index >> DIGITS).saturating_sub(1);
            let low_ns = ((index - (shift << DIGITS)) as u64) << shift;
            samples.record_n(low_ns + (1 << shift) / 2, u64::from(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_comes_back_within_half_a_percent() {
        for power in 0..42 {
            for ns in [1_u64 << power, (1 << power) + (1 << power) / 3, (2 << power) - 1].map(|ns| ns.min(MAX_NS)) {
                let (mut latencies, mut samples) = (Latencies::new(), Samples::new());
                latencies.record(ns);
                latencies.add_to(&mut samples);
                let found = samples.max_ns().unwrap();
                assert!(found.abs_diff(ns) * 200 <= ns, "{ns} ns came back as {found} ns");
                assert_eq!(samples.count(), 1);
            }
        }
        let mut latencies = Latencies::new();
        latencies.record(0);
        latencies.record(u64::MAX);
        assert_eq!(latencies.0.iter().sum::<u32>(), 2);
    }
}
