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

    /// Passes all that are due before `end_ns`, and tells `tell` how many of them were due until when.
    pub(super) fn give_up(&mut self, end_ns: u64, mut tell: impl FnMut(u64, u64)) {
        while self.next_ns() < end_ns {
            // In steps that are short in relation to the rest, where there is much.
            let left = (end_ns as f64 - self.next_ns) / self.gap_ns;
            let step = (left / MAX_STEPS).max(1.0) as u64;
            let mut last_ns = self.next_ns();
            if step > 1 && (self.arrival == Arrival::Uniform || left > MAX_DRAWN) {
                self.count += step - 1;
                last_ns += (self.gap_ns * (step - 1) as f64) as u64;
                self.next_ns = last_ns as f64;
                tell(last_ns.min(end_ns - 1), step);
            } else {
                tell(last_ns, 1);
            }
            self.pass();
        }
    }
}

/// Messages given up are reported in about this many steps, and drawn at random one by one up to this many.
const MAX_STEPS: f64 = 1000.0;
const MAX_DRAWN: f64 = 1e6;

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
    fn what_is_given_up_is_all_that_was_due() {
        for rate in [10.0, 12_345.0, 1e9] {
            let mut schedule = Schedule::new(rate, Arrival::Uniform, 0, 1);
            let (mut count, mut last_ns) = (0, 0);
            schedule.give_up(2_000_000_000, |due_ns, some| {
                assert!(due_ns >= last_ns && due_ns < 2_000_000_000, "{due_ns}");
                (count, last_ns) = (count + some, due_ns);
            });
            assert!((count as f64 - 2.0 * rate).abs() < 2.0, "{count} at {rate}/s");
        }
    }

    #[test]
    fn random_arrivals_keep_the_mean() {
        let mut schedule = Schedule::new(1000.0, Arrival::Poisson, 0, 1);
        let mut count = 0;
        schedule.give_up(100_000_000_000, |_, some| count += some);
        assert!((98_500..101_500).contains(&count), "{count}");
    }
}
