//! The seconds of the measured time, joined from the reports of the workers while the load runs.

use std::collections::VecDeque;

use super::latencies::Latencies;
use crate::plan::Plan;
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
    /// Latencies of the messages answered in it, to within 0.5%.
    pub latency: Samples,
    /// All counts since the run began.
    pub totals: Totals,
    /// Each worker's share of a core in it.
    pub cpu: Vec<f64>,
    /// Open connections of this process.
    pub connections: u64,
}

impl Second {
    /// The share of a core that a worker used in it, on average.
    #[must_use]
    pub fn cpu_mean(&self) -> f64 {
        self.cpu.iter().sum::<f64>() / self.cpu.len().max(1) as f64
    }

    /// The share of a core that the busiest worker used in it.
    #[must_use]
    pub fn cpu_busiest(&self) -> f64 {
        self.cpu.iter().copied().fold(0.0, f64::max)
    }

    /// The asked rate in it, in messages a second; `None` in closed loop.
    #[must_use]
    pub fn offered_per_s(&self, plan: &Plan) -> Option<f64> {
        let start_s = self.index as f64;
        plan.own_rate_between(start_s, start_s + self.length_s)
    }

    /// The second with this number, without parts yet.
    fn new(index: u64) -> Self {
        Second {
            index,
            length_s: 0.0,
            completed: 0,
            achieved_per_s: 0.0,
            bytes: 0,
            latency: Samples::new(),
            totals: Totals::default(),
            cpu: Vec::new(),
            connections: 0,
        }
    }

    fn add(&mut self, part: &Part) {
        self.length_s = self.length_s.max(part.length_s);
        self.completed += part.completed;
        self.achieved_per_s += part.completed as f64 / part.length_s;
        self.bytes += part.bytes;
        part.latency.add_to(&mut self.latency);
        self.cpu.push(part.cpu);
    }
}

/// A worker's part of a second, with the fields of [`Second`].
#[derive(Debug)]
pub(super) struct Part {
    pub(super) index: u64,
    pub(super) length_s: f64,
    pub(super) completed: u64,
    pub(super) bytes: u64,
    pub(super) latency: Latencies,
    pub(super) totals: Totals,
    pub(super) cpu: f64,
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
    pub(super) fn add(&mut self, worker: usize, part: Part) {
        let place = self.waiting.binary_search_by_key(&part.index, |second| second.index).unwrap_or_else(|place| {
            self.waiting.insert(place, Second::new(part.index));
            place
        });
        self.waiting[place].add(&part);
        self.workers[worker] = Reported { next: part.index + 1, totals: part.totals };
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
        self.workers.iter().for_each(|worker| second.totals.add(&worker.totals));
        Some(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u64, lost: u64) -> Part {
        let totals = Totals { connections_lost: lost, ..Totals::default() };
        Part { index, length_s: 1.0, completed: 1, bytes: 0, latency: Latencies::new(), totals, cpu: 0.5 }
    }

    fn take_all(seconds: &mut Seconds) -> Vec<(u64, u64, u64)> {
        let all = std::iter::from_fn(|| seconds.next());
        all.map(|second| (second.index, second.completed, second.totals.connections_lost)).collect()
    }

    #[test]
    fn a_second_waits_for_all_workers_that_are_not_done() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, part(0, 1));
        seconds.end(0);
        assert_eq!(take_all(&mut seconds), [], "the other has not reported it yet");
        seconds.add(1, part(0, 0));
        seconds.add(1, part(1, 0));
        assert_eq!(take_all(&mut seconds), [(0, 2, 1), (1, 1, 1)]);
    }

    #[test]
    fn a_worker_that_was_paused_leaves_seconds_out_and_counts_do_not_fall() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, part(0, 1));
        seconds.add(0, part(3, 2));
        (0..4).for_each(|index| seconds.add(1, part(index, 1)));
        assert_eq!(take_all(&mut seconds), [(0, 2, 3), (1, 1, 3), (2, 1, 3), (3, 2, 3)]);
    }
}
