//! The soak: all faults mixed on one server, for a given time.

use std::env;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::ordeal::{Bounds, Ordeal, Outcome, Target};
use crate::{Fault, admin, headers, limits, process, slow, streams};

/// Faults that may run at the same time as any others.
const MIXED: [(&str, Fault); 9] = [
    ("slow headers", slow::headers),
    ("slow readers", slow::readers),
    ("floods", limits::flood),
    ("resets", streams::resets),
    ("half-closes", streams::half_closes),
    ("urgent bytes", streams::urgent),
    ("random headers", headers::random),
    ("splits", streams::splits),
    ("memory", limits::memory),
];
/// The number of threads that run them.
const THREADS: u64 = 3;
/// Faults of the whole process, which run one at a time.
const ALONE: [(&str, Fault); 3] =
    [("stops", process::stops), ("signals", process::signals), ("descriptors", limits::descriptors)];
/// Length of a part of the mix. After each part, the server must have all its files and memory back.
const PART: Duration = Duration::from_secs(30);

/// The length of the soak.
pub fn time() -> Duration {
    let minutes = env::var("SOAK_MINUTES").map_or(1.0, |text| text.parse().expect("a number of minutes"));
    Duration::from_secs_f64(60.0 * minutes)
}

/// Runs the soak. Returns the outcome of all parts together. After each part, memory is compared with the same bound:
/// the allocator keeps memory that was held for slow readers, so that it may differ between two parts, but it must not
/// add up.
pub fn run(ordeal: &mut Ordeal, bounds: &Bounds) -> Outcome {
    let start = Instant::now();
    let admin = admin::address(&mut ordeal.server);
    ordeal.server.forget_log();
    ordeal.target.mixed = true;
    let counts = [const { AtomicUsize::new(0) }; MIXED.len() + ALONE.len()];
    let mut all = part(ordeal, admin, bounds, &counts);
    while start.elapsed() + PART / 2 < time() {
        ordeal.target.seed = Rng::with_seed(ordeal.target.seed).u64(..);
        let next = part(ordeal, admin, bounds, &counts);
        all.tally.add(&next.tally);
        (all.kib, all.peak_kib) = (next.kib, next.peak_kib);
    }
    let names = MIXED.iter().chain(&ALONE).map(|(name, _)| *name);
    let did = names.zip(&counts).map(|(name, count)| format!("{} {name}", count.load(Ordering::Relaxed)));
    all.did = format!("everything mixed: {}", did.collect::<Vec<_>>().join(", "));
    all.took = start.elapsed();
    all
}

fn part(ordeal: &mut Ordeal, admin: SocketAddr, bounds: &Bounds, counts: &[AtomicUsize]) -> Outcome {
    ordeal.bear(bounds, |_, target| {
        let end = Instant::now() + PART;
        let (mixed_counts, alone_counts) = counts.split_at(MIXED.len());
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || run_until(end, target, thread, &MIXED, mixed_counts));
            }
            scope.spawn(move || run_until(end, target, THREADS, &ALONE, alone_counts));
            scope.spawn(move || scrape_until(end, admin));
        });
        String::new()
    })
}

/// Reads the metrics as a monitor does: at any time, accepted connections must equal closed plus open ones.
fn scrape_until(end: Instant, admin: SocketAddr) {
    while Instant::now() < end {
        let (status, text) = admin::get(admin, "/metrics");
        assert_eq!(status, 200, "{text}");
        let closed = text.lines().filter(|line| line.starts_with("proxy_echo_connections_closed_total{"));
        let closed: u64 = closed.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        let open = admin::metric(&text, "proxy_echo_connections_active");
        assert_eq!(admin::metric(&text, "proxy_echo_connections_accepted_total"), open + closed, "{text}");
        thread::sleep(Duration::from_secs(1));
    }
}

/// Runs randomly chosen faults, one after the other.
fn run_until(end: Instant, target: Target, thread: u64, faults: &[(&str, Fault)], counts: &[AtomicUsize]) {
    let mut rng = Rng::with_seed(target.seed ^ (thread << 32));
    while Instant::now() < end {
        let which = rng.usize(..faults.len());
        faults[which].1(Target { seed: rng.u64(..), ..target });
        counts[which].fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(rng.u64(..200)));
    }
}
