//! The seconds of the measured time, joined from the reports of the workers while the load runs.

use crate::plan::Plan;
use std::collections::VecDeque;

use crate::result::{Samples, Totals};

/// A second of the measured time; the last one may be shorter.
#[derive(Clone, Debug, PartialEq)]
pub struct Second {
    /// Its number, from 0.
    pub index: u64,
    /// Its length in s: about 1, because workers read the clock only every few ms; more if a worker was paused.
    pub length_s: f64,
    /// Messages answered in it.
    pub completed: u64,
    /// The same, in messages a second.
    pub achieved_per_s: f64,
    /// Payload bytes received in it.
    pub bytes: u64,
    /// Latencies of the messages answered in it.
    pub latency: Samples,
    /// All counts since the run began.
    pub totals: Totals,
    /// Each worker's share of a core in it.
    pub cpu: Vec<f64>,
    /// Open connections of this process.
    pub connections: u64,
}

impl Second {
    /// The asked rate in it, in messages a second; `None` in closed loop.
    #[must_use]
    pub fn offered_per_s(&self, plan: &Plan) -> Option<f64> {
        let start_s = self.index as f64;
        plan.own_rate_between(start_s, start_s + self.length_s)
    }

    /// Adds another worker's part.
    fn add(&mut self, other: Second) {
        self.length_s = self.length_s.max(other.length_s);
        self.completed += other.completed;
        self.achieved_per_s += other.achieved_per_s;
        self.bytes += other.bytes;
        self.latency.add(&other.latency);
        self.cpu.extend(other.cpu);
    }
}

/// Seconds that not all workers have reported yet.
#[derive(Debug)]
pub(super) struct Seconds {
    waiting: VecDeque<Second>,
    workers: Vec<Reported>,
}

/// The reports of a worker.
#[derive(Clone, Debug, Default)]
struct Reported {
    /// The first second that it may still report; `u64::MAX` when it is done.
    next: u64,
    totals: Totals,
}

impl Seconds {
    pub(super) fn new(workers: usize) -> Self {
        Seconds { waiting: VecDeque::new(), workers: vec![Reported::default(); workers] }
    }

    /// Takes a worker's part of a second. A worker that was paused leaves seconds out.
    pub(super) fn add(&mut self, worker: usize, second: Second) {
        self.workers[worker] = Reported { next: second.index + 1, totals: second.totals.clone() };
        match self.waiting.binary_search_by_key(&second.index, |other| other.index) {
            Ok(place) => self.waiting[place].add(second),
            Err(place) => self.waiting.insert(place, second),
        }
    }

    /// Notes that the worker is done and reports no more.
    pub(super) fn end(&mut self, worker: usize) {
        self.workers[worker].next = u64::MAX;
    }

    /// The next second that no worker will add to.
    pub(super) fn next(&mut self) -> Option<Second> {
        let reported = self.workers.iter().map(|worker| worker.next).min()?;
        self.waiting.front().filter(|second| second.index < reported)?;
        let mut second = self.waiting.pop_front()?;
        // Sum up all workers, also those that left this second out, so that a count never falls.
        second.totals = Totals::default();
        self.workers.iter().for_each(|worker| second.totals.add(&worker.totals));
        Some(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(index: u64, lost: u64) -> Second {
        let totals = Totals { connections_lost: lost, ..Totals::default() };
        let (latency, cpu) = (Samples::new(), vec![0.5]);
        Second {
            index,
            length_s: 1.0,
            completed: 1,
            achieved_per_s: 1.0,
            bytes: 0,
            latency,
            totals,
            cpu,
            connections: 0,
        }
    }

    fn take_all(seconds: &mut Seconds) -> Vec<(u64, u64, u64)> {
        let all = std::iter::from_fn(|| seconds.next());
        all.map(|second| (second.index, second.completed, second.totals.connections_lost)).collect()
    }

    #[test]
    fn a_second_waits_for_all_workers_that_are_not_done() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, second(0, 1));
        seconds.end(0);
        assert_eq!(take_all(&mut seconds), [], "the other has not reported it yet");
        seconds.add(1, second(0, 0));
        seconds.add(1, second(1, 0));
        assert_eq!(take_all(&mut seconds), [(0, 2, 1), (1, 1, 1)]);
    }

    #[test]
    fn a_worker_that_was_paused_leaves_seconds_out_and_counts_do_not_fall() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, second(0, 1));
        seconds.add(0, second(3, 2));
        (0..4).for_each(|index| seconds.add(1, second(index, 1)));
        assert_eq!(take_all(&mut seconds), [(0, 2, 3), (1, 1, 3), (2, 1, 3), (3, 2, 3)]);
    }
}
