//! `--metrics`: the figures of each second for Prometheus, added up while the load runs, and a thread that answers scrapes.

mod exposition;
mod http;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::engine::{Progress, Second};
use crate::plan::Plan;
use crate::result::Totals;
use crate::samples::{PERCENTILES, Samples};

/// Upper bounds of the buckets of latencies, in ns, and how many decades there are of them, from 10 µs to 10 s.
const BOUNDS_NS: [u64; 6] = [10_000, 15_000, 20_000, 30_000, 50_000, 70_000];
const DECADES: usize = 6;
const BUCKETS: usize = BOUNDS_NS.len() * DECADES + 1;

/// The metrics endpoint.
#[derive(Debug)]
pub struct Metrics(Arc<Mutex<Figures>>);

impl Metrics {
    /// Listens on `address`. Also returns the real address, because the port may be 0.
    ///
    /// # Errors
    ///
    /// Listening fails.
    pub fn serve(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("--metrics {address}: {error}"));
        let listener = TcpListener::bind(address).map_err(named)?;
        let address = listener.local_addr()?;
        let figures = Arc::new(Mutex::new(Figures::default()));
        let scraped = figures.clone();
        let render = move |format| {
            let figures = scraped.lock().unwrap_or_else(PoisonError::into_inner).clone();
            exposition::render(&figures, format)
        };
        thread::Builder::new().name("metrics".to_owned()).spawn(move || http::serve(&listener, &render))?;
        Ok((Metrics(figures), address))
    }

    /// Reports the progress of the run of `plan` with this number, counted from 1.
    pub fn report(&self, plan: &Plan, run: u32, progress: &Progress) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Opening(open) => figures.connections = *open,
            Progress::Running { alive, .. } => figures.connections = *alive,
            Progress::Second(second) => figures.add(plan, run, second),
        }
    }
}

/// The figures of all runs so far. Counters never fall.
#[derive(Clone, Debug, Default)]
struct Figures {
    run: u32,
    offered_per_s: Option<f64>,
    connections: u64,
    /// The counts of the runs before this one, and of this one.
    before: Totals,
    totals: Totals,
    latency: Buckets,
    /// The last second's percentiles in ns, if they are known.
    percentiles_ns: [Option<u64>; PERCENTILES.len()],
    /// Workers' share of a core in the last second.
    cpu_mean: f64,
    cpu_busiest: f64,
}

impl Figures {
    fn add(&mut self, plan: &Plan, run: u32, second: &Second) {
        if self.run != run {
            self.before.add(&std::mem::take(&mut self.totals));
        }
        self.run = run;
        self.offered_per_s = second.offered_per_s(plan);
        self.connections = second.connections;
        self.totals.clone_from(&second.totals);
        self.latency.add(&second.latency);
        self.percentiles_ns = PERCENTILES.map(|percentile| second.latency.percentile_ns(percentile));
        (self.cpu_mean, self.cpu_busiest) = (second.cpu_mean(), second.cpu_busiest());
    }
}

/// A histogram with few buckets.
#[derive(Clone, Debug)]
struct Buckets {
    counts: [u64; BUCKETS],
    sum_ns: f64,
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets { counts: [0; BUCKETS], sum_ns: 0.0 }
    }
}

impl Buckets {
    fn add(&mut self, samples: &Samples) {
        for step in samples.histogram().iter_recorded() {
            let bucket = Buckets::bounds_ns().take_while(|&bound_ns| bound_ns < step.value_iterated_to()).count();
            self.counts[bucket] += step.count_at_value();
        }
        self.sum_ns += samples.mean_ns().unwrap_or(0.0) * samples.count() as f64;
    }

    /// The upper bound of each bucket except the last, which has none.
    fn bounds_ns() -> impl Iterator<Item = u64> {
        (0..DECADES as u32).flat_map(|decade| BOUNDS_NS.map(|bound_ns| bound_ns * 10_u64.pow(decade)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_come_into_the_bucket_with_the_next_bound() {
        let mut samples = Samples::new();
        for ns in [1, 14_990, 15_100, 9_990_000_000, 10_100_000_000] {
            samples.record(ns);
        }
        let mut buckets = Buckets::default();
        buckets.add(&samples);
        let used: Vec<_> = buckets.counts.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        let last = BUCKETS - 1;
        assert_eq!(Buckets::bounds_ns().count(), last);
        assert_eq!(used, [(0, &1), (1, &1), (2, &1), (last, &2)]);
        assert!((buckets.sum_ns / 20_090_030_091.0 - 1.0).abs() < 1e-3);
    }
}
