//! When messages are due in open loop.

use crate::cli::Arrival;
use crate::profile::Profile;

/// A time that never comes, small enough to add a duration without overflow.
const NEVER_NS: u64 = u64::MAX / 4;

/// The times at which one of several workers must send, in ns since the start.
///
/// Messages are numbered over all workers, and the profile's integral gives the time of each number. A changing rate
/// therefore spaces uniform and random arrivals in the same way.
#[derive(Debug)]
pub(super) struct Schedule {
    arrival: Arrival,
    profile: Profile,
    /// The piece of the profile that contains the next message.
    piece: usize,
    /// The number of workers that take turns.
    workers: f64,
    /// The number of messages of all workers before this worker's next one; the mean, if arrivals are random. Errors do
    /// not accumulate, because whole numbers are exact.
    before: f64,
    next_ns: u64,
    random: fastrand::Rng,
}

impl Schedule {
    /// The schedule of worker `index` of `count`, which follow `profile` together.
    pub(super) fn new(profile: Profile, arrival: Arrival, index: u64, count: u64) -> Self {
        let mut schedule = Schedule {
            arrival,
            profile,
            piece: 0,
            workers: count as f64,
            before: 0.0,
            next_ns: 0,
            // The seed makes runs repeatable and workers different.
            random: fastrand::Rng::with_seed(0x5eed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let first = match arrival {
            Arrival::Uniform => index as f64,
            Arrival::Poisson => schedule.distance() * schedule.workers,
        };
        schedule.go_on(first);
        schedule
    }

    /// When the next message is due.
    #[inline]
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Passes the next message, because it was sent or given up.
    #[inline]
    pub(super) fn pass(&mut self) {
        let distance = self.distance();
        self.go_on(distance * self.workers);
    }

    /// The distance from one message of this worker to the next, in its messages.
    #[inline]
    fn distance(&mut self) -> f64 {
        match self.arrival {
            Arrival::Uniform => 1.0,
            Arrival::Poisson => -(1.0 - self.random.f64()).ln(),
        }
    }

    #[inline]
    fn go_on(&mut self, messages: f64) {
        self.before += messages;
        let next_ns = self.profile.time_of(self.before, &mut self.piece) * 1e9;
        self.next_ns = (next_ns as u64).min(NEVER_NS);
    }

    /// Passes all messages due before `end_ns`, and reports to `tell` how many of them were due until which time.
    pub(super) fn give_up(&mut self, end_ns: u64, mut tell: impl FnMut(u64, u64)) {
        let end = self.profile.count_until(end_ns as f64 / 1e9);
        while self.next_ns() < end_ns {
            // Take steps that are short compared with the rest.
            let left = (end - self.before) / self.workers;
            let step = (left / MAX_STEPS).max(1.0) as u64;
            if step > 1 && (self.arrival == Arrival::Uniform || left > MAX_DRAWN) {
                self.go_on((step - 1) as f64 * self.workers);
                tell(self.next_ns().min(end_ns - 1), step);
            } else {
                tell(self.next_ns(), 1);
            }
            self.pass();
        }
    }
}

/// Given-up messages are reported in about this many steps; up to this many, their random times are drawn one by one.
const MAX_STEPS: f64 = 1000.0;
const MAX_DRAWN: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns_and_make_the_rate_together() {
        let mut due: Vec<u64> = Vec::new();
        for index in 0..4 {
            let mut schedule = Schedule::new(Profile::constant(1000.0), Arrival::Uniform, index, 4);
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
            let mut schedule = Schedule::new(Profile::constant(rate), Arrival::Uniform, 0, 1);
            let (mut count, mut last_ns) = (0, 0);
            schedule.give_up(2_000_000_000, |due_ns, some| {
                assert!(due_ns >= last_ns && due_ns < 2_000_000_000, "{due_ns}");
                (count, last_ns) = (count + some, due_ns);
            });
            assert!((count as f64 - 2.0 * rate).abs() < 2.0, "{count} at {rate}/s");
        }
    }

    /// The number of messages of all `workers` that are due in each second.
    fn by_second(profile: &Profile, arrival: Arrival, workers: u64) -> Vec<f64> {
        let mut due = vec![0.0; profile.end_s() as usize];
        for index in 0..workers {
            let mut schedule = Schedule::new(profile.clone(), arrival, index, workers);
            while schedule.next_ns() < due.len() as u64 * 1_000_000_000 {
                due[(schedule.next_ns() / 1_000_000_000) as usize] += 1.0;
                schedule.pass();
            }
        }
        due
    }

    #[test]
    fn each_second_has_the_messages_of_its_profile() {
        let profiles = [
            "0s:1k,30s:10k,40s:10k",
            "0s:10k,20s:10k",
            "0s:0,10s:10k,10001ms:50,20s:50,30s:0",
            "0s:5k,9s:0,11s:0,20s:3k",
            "0s:1,30s:3",
        ];
        for text in profiles {
            let profile = Profile::parse(text).unwrap();
            for (arrival, workers) in [(Arrival::Uniform, 1), (Arrival::Uniform, 7), (Arrival::Poisson, 3)] {
                for (second, due) in by_second(&profile, arrival, workers).into_iter().enumerate() {
                    let until = |second: usize| profile.count_until(second as f64);
                    let expected = until(second + 1) - until(second);
                    // Allow a message more or less at the edges; five standard deviations if arrivals are random.
                    let bound = 1.0 + if arrival == Arrival::Poisson { 5.0 * expected.sqrt() } else { 1e-6 };
                    assert!(
                        (due - expected).abs() <= bound,
                        "{text} {arrival} by {workers}: {due} instead of {expected} in second {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_profile_gives_up_is_all_that_was_due() {
        let profile = Profile::parse("0s:1M,3s:0,4s:0,5s:100").unwrap();
        let mut schedule = Schedule::new(profile, Arrival::Uniform, 0, 1);
        let mut count = 0;
        schedule.give_up(5_000_000_000, |_, some| count += some);
        assert_eq!(count, 1_500_050);
        assert!(schedule.next_ns() >= 5_000_000_000);
    }

    #[test]
    fn random_arrivals_keep_the_mean() {
        let mut schedule = Schedule::new(Profile::constant(1000.0), Arrival::Poisson, 0, 1);
        let mut count = 0;
        schedule.give_up(100_000_000_000, |_, some| count += some);
        assert!((98_500..101_500).contains(&count), "{count}");
    }
}
