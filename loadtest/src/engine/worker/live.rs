//! A worker's reports of each second while it measures.

use std::time::Duration;

use super::timetable::NEVER;
use super::{Word, Worker};
use crate::engine::latencies::Latencies;
use crate::engine::second::Part;
use crate::system;

const SECOND_NS: u64 = 1_000_000_000;

/// The present second, and the counts at its begin.
#[derive(Debug)]
pub(super) struct Live {
    /// The end of the second.
    pub(super) next_ns: u64,
    measure_ns: u64,
    since_ns: u64,
    completed: u64,
    bytes: u64,
    cpu: Duration,
    /// Latencies of the second; `None` if nothing is reported.
    latency: Option<Latencies>,
}

impl Live {
    /// Reports nothing until it begins.
    pub(super) fn new() -> Self {
        let cpu = Duration::ZERO;
        Live { next_ns: NEVER, measure_ns: 0, since_ns: 0, completed: 0, bytes: 0, cpu, latency: None }
    }

    /// Begins the measured time.
    pub(super) fn begin(&mut self, measure_ns: u64) {
        (self.measure_ns, self.since_ns, self.next_ns) = (measure_ns, measure_ns, measure_ns + SECOND_NS);
        self.cpu = system::thread_cpu().unwrap_or_default();
        self.latency = Some(Latencies::new());
    }

    /// Records a message answered within the measured time.
    #[inline]
    pub(super) fn record(&mut self, ns: u64) {
        if let Some(latency) = &mut self.latency {
            latency.record(ns);
        }
    }
}

impl Worker {
    /// Reports the second up to `until_ns`.
    #[cold]
    pub(super) fn report_second(&mut self, until_ns: u64) {
        let (totals, live) = (&self.tally.totals, &mut self.live);
        let Some(latency) = live.latency.replace(Latencies::new()) else { return };
        let length_s = (until_ns - live.since_ns) as f64 / SECOND_NS as f64;
        let cpu = system::thread_cpu().unwrap_or_default();
        let part = Part {
            index: (live.since_ns - live.measure_ns) / SECOND_NS,
            length_s,
            completed: totals.measured_completed - live.completed,
            bytes: totals.measured_bytes - live.bytes,
            latency,
            totals: totals.clone(),
            cpu: cpu.saturating_sub(live.cpu).as_secs_f64() / length_s,
        };
        live.next_ns = live.measure_ns + ((until_ns - live.measure_ns) / SECOND_NS + 1) * SECOND_NS;
        (live.since_ns, live.cpu) = (until_ns, cpu);
        (live.completed, live.bytes) = (totals.measured_completed, totals.measured_bytes);
        // The channel is closed only if the whole run was given up.
        let _ = self.words.send(Word::Second(self.index, Box::new(part)));
    }

    /// Reports the last second at the end of the measured time.
    pub(super) fn report_last_second(&mut self) {
        let end_ns = self.times.end_ns;
        if end_ns > self.live.since_ns {
            self.report_second(end_ns);
        }
        self.live = Live::new();
    }
}
