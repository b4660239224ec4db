//! When messages are due in open loop.

use crate::cli::Arrival;

/// The times at which one of several workers has to send, in ns since the start.
#[derive(Debug)]
pub(super) struct Schedule {
    arrival: Arrival,
    /// Between two of this worker's messages, in the mean.
    gap_ns: f64,
    /// The first is a fraction of the gap late, so that workers take turns.
    first_ns: f64,
    count: u64,
    next_ns: f64,
    random: fastrand::Rng,
}

impl Schedule {
    /// For worker `index` of `count`, which make `rate` messages a second together.
    pub(super) fn new(rate: f64, arrival: Arrival, index: u64, count: u64) -> Self {
        let gap_ns = 1e9 * count as f64 / rate;
        let mut schedule = Schedule {
            arrival,
            gap_ns,
            first_ns: gap_ns * index as f64 / count as f64,
            count: 0,
            next_ns: 0.0,
            // Runs are repeatable; workers differ.
            random: fastrand::Rng::with_seed(0x5eed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        schedule.next_ns = schedule.first_ns;
        if arrival == Arrival::Poisson {
            schedule.next_ns = 0.0;
            schedule.pass();
        }
        schedule
    }

    /// When the next message is due.
    #[inline]
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// The next message is sent, or given up.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.count += 1;
        self.next_ns = match self.arrival {
            // Multiplied, not added up: no error grows.
            Arrival::Uniform => self.first_ns + self.gap_ns * self.count as f64,
            Arrival::Poisson => self.next_ns - self.gap_ns * (1.0 - self.random.f64()).ln(),
        };
    }

    /// How many are due before `end_ns` that were not passed, from `from_ns` on.
    pub(super) fn left(&mut self, from_ns: u64, end_ns: u64) -> u64 {
        let mut left = 0;
        while self.next_ns() < end_ns {
            left += u64::from(self.next_ns() >= from_ns);
            self.pass();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns_and_make_the_rate_together() {
        let mut due: Vec<u64> = Vec::new();
        for index in 0..4 {
            let mut schedule = Schedule::new(1000.0, Arrival::Uniform, index, 4);
            while schedule.next_ns() < 1_000_000_000 {
                due.push(schedule.next_ns());
                schedule.pass();
            }
        }
        due.sort_unstable();
        assert_eq!(due, (0..1000).map(|message| message * 1_000_000).collect::<Vec<_>>());
    }

    #[test]
    fn random_arrivals_keep_the_mean() {
        let mut schedule = Schedule::new(1000.0, Arrival::Poisson, 0, 1);
        let count = schedule.left(0, 100_000_000_000);
        assert!((98_500..101_500).contains(&count), "{count}");
    }
}
