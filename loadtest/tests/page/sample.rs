//! Made-up results that look like measured ones, the same in each run.
#![allow(
    clippy::assigning_clones,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the figures are made up, and small"
)]

use std::collections::BTreeMap;

use super::beside;
use super::held::held;
use super::profile::Profile;
use super::result::{
    Achieved, Beside, BesideResult, CompareResult, Curve, Environment, FORMAT, Figures, Generator, Interval, Ratio,
    RunResult, Samples, SearchResult, SearchStep, ServerUse, Settings, SloCondition, SloOutcome, Stage, TcpUse,
    Throttled, Totals, Verification,
};
use fastrand::Rng;

/// Open loop against a server that stalls for 100 ms every second.
pub fn stalling() -> RunResult {
    let mut result = run("127.0.0.1:8888", 10, 20_000, 210_000.0);
    result.settings.rate = Some(20_000.0);
    result.settings.arrival = "poisson".to_owned();
    let mut random = Rng::with_seed(3);
    for interval in &mut result.intervals {
        // Half of the intervals contain the stall, which takes a fifth of their time.
        if (interval.start_s / interval.length_s) as u64 & 1 == 0 {
            for _ in 0..interval.completed / 5 {
                let ns = random.u64(1_000_000..100_000_000);
                interval.latency.record(ns);
                result.latency.record(ns);
            }
        }
        for _ in 0..interval.completed {
            result.generator.lag.record(random.u64(500..60_000));
        }
    }
    result.notes.push("other guests took 6% of the machine's time".to_owned());
    result.slo = Some(SloOutcome {
        text: "p99<2ms,errors=0".to_owned(),
        met: Some(false),
        conditions: vec![
            SloCondition { text: "p99<2ms".to_owned(), measured: "90ms".to_owned(), met: Some(false) },
            SloCondition { text: "errors=0".to_owned(), measured: "0".to_owned(), met: Some(true) },
        ],
    });
    result
}

/// A rate that rises for 10 s and stays for 10 s. The target keeps up except for one second.
pub fn staged() -> RunResult {
    let mut result = run("127.0.0.1:8888", 20, 10_000, 210_000.0);
    let stages = [(0.0, 1_000.0), (10.0, 10_000.0), (20.0, 10_000.0)].map(|(at_s, rate)| Stage { at_s, rate });
    let profile = Profile::new(&stages);
    result.settings.stages = stages.to_vec();
    result.settings.rate = Some(profile.mean());
    for interval in &mut result.intervals {
        let asked = profile.count_until(interval.start_s + 1.0) - profile.count_until(interval.start_s);
        interval.asked = Some(asked);
        interval.completed = (if interval.start_s as u64 == 16 { asked * 0.8 } else { asked }) as u64;
        (0..interval.completed).for_each(|_| result.generator.lag.record(20_000));
    }
    result.totals.measured_completed = result.intervals.iter().map(|interval| interval.completed).sum();
    result.achieved = Some(Achieved {
        asked_per_s: profile.mean(),
        achieved_per_s: result.rate().unwrap(),
        due: profile.count_until(20.0) as u64,
        unsent: 0,
        met: true,
        limit: None,
        held: held(&result),
    });
    result
}

/// A rate above the target's capacity: most messages were never sent.
pub fn overloaded() -> RunResult {
    let mut result = run("127.0.0.1:8888", 4, 140_000, 380_000.0);
    result.settings.rate = Some(400_000.0);
    for waited_ms in 1..=1000 {
        result.latency.record_missing(waited_ms * 2_600_000, 1040);
        result.waited.record_n(waited_ms * 2_000_000, 56);
        result.generator.lag.record_n(20_000, 56);
    }
    result.totals.requests_unsent = 1_040_000;
    result.achieved = Some(Achieved {
        asked_per_s: 400_000.0,
        achieved_per_s: result.rate().unwrap(),
        due: 1_600_000,
        unsent: 1_040_000,
        met: false,
        limit: Some("the target was the limit: every connection was owed an answer".to_owned()),
        held: None,
    });
    result.runs = vec![result.figures()];
    result
}

/// Three runs in closed loop without errors.
pub fn steady() -> RunResult {
    let mut result = run("echo.example.net:7", 30, 101_234, 380_000.0);
    result.service_time = result.latency.clone();
    result.latency_corrected = Some(result.latency.corrected(490_000));
    result.settings.runs = 3;
    for (index, interval) in result.intervals.iter_mut().enumerate() {
        interval.start_s = (index % 10) as f64;
    }
    result.runs = vec![result.figures(); 3];
    result.slo = Some(SloOutcome {
        text: "p99<2ms".to_owned(),
        met: Some(true),
        conditions: vec![SloCondition { text: "p99<2ms".to_owned(), measured: "1.2ms".to_owned(), met: Some(true) }],
    });
    result
}

/// Everything that can go wrong did, and the texts are hostile.
pub fn hostile() -> RunResult {
    let mut result = stalling();
    let text = "</script><script>console.error('run')</script><img src=x onerror=alert(1)>\x1b[31m{{json}}\"'&";
    result.settings.target = text.to_owned();
    result.settings.proxy = text.to_owned();
    result.environment.host = text.to_owned();
    result.environment.kernel = text.to_owned();
    result.environment.sysctls.insert(text.to_owned(), text.to_owned());
    result.invalid = vec!["generator thread 0 used 97% of a core, over 90%".to_owned(), text.to_owned()];
    result.cut_short = Some(text.to_owned());
    result.notes = vec![text.to_owned()];
    result.failures = vec![text.to_owned()];
    result.totals.errors = BTreeMap::from([(text.to_owned(), 12)]);
    result.totals.connections_failed = 12;
    result.totals.requests_unanswered = 7;
    result.totals.verification = Verification { corrupted: 3, lost: 1, ..Verification::default() };
    result
}

/// Idle connections.
pub fn idle() -> RunResult {
    let mut result = run("127.0.0.1:8888", 30, 0, 1.0);
    result.settings.command = "idle".to_owned();
    result.settings.connections = 19_000;
    result.totals.connections_opened = 19_000;
    result.totals.connections_alive = 18_998;
    result.totals.connections_lost = 2;
    result.totals.requests_sent = 0;
    result.totals.requests_completed = 0;
    result.totals.bytes_sent = 0;
    result.totals.bytes_received = 0;
    let mut random = Rng::with_seed(5);
    (0..19_000).for_each(|_| result.connect_time.record(time_ns(&mut random, 90_000.0)));
    result
}

/// A comparison of a server with the balancer in front of it.
pub fn comparison() -> CompareResult {
    let mut a = run("127.0.0.1:8888", 5, 101_234, 380_000.0);
    let mut b = run("127.0.0.1:8000", 5, 61_021, 790_000.0);
    a.runs = vec![a.figures(); 5];
    b.runs = vec![b.figures(); 5];
    let ratio = |figure: &str, unit: &str, [a, b]: [f64; 2], [ratio, low, high]: [f64; 3]| Ratio {
        figure: figure.to_owned(),
        unit: unit.to_owned(),
        a,
        b,
        ratio,
        low: Some(low),
        high: Some(high),
        difference_shown: !(low..=high).contains(&1.0),
    };
    CompareResult {
        format: FORMAT,
        ratios: vec![
            ratio("rate", "1/s", [101_234.0, 61_021.0], [0.603, 0.591, 0.615]),
            ratio("p50", "ns", [380_000.0, 790_000.0], [2.08, 2.01, 2.15]),
            ratio("p99", "ns", [1_210_000.0, 1_290_000.0], [1.066, 0.981, 1.158]),
            ratio("server CPU per message", "ns", [7_910.0, 8_530.0], [1.078, 1.051, 1.106]),
        ],
        a,
        b,
        pairs: 5,
        confidence: 0.95,
        signal: None,
        verdict: None,
        stopped: "the interval is tight enough".to_owned(),
        invalid: Vec::new(),
    }
}

/// What five balancers cost, of which one has a single run and another one other connections.
pub fn beside() -> BesideResult {
    let balancers =
        [("haproxy", 30_000, 210e3), ("nginx", 29_000, 260e3), ("envoy", 24_000, 420e3), ("traefik", 19_000, 800e3)];
    let mut all: Vec<_> = balancers
        .into_iter()
        .map(|(name, rate, median_ns)| {
            let mut result = run(&format!("{name}:8888"), 4, rate, median_ns);
            let mut random = Rng::with_seed(rate);
            let mut scattered = |value: f64| value * (0.99 + 0.02 * random.f64());
            let figures = result.figures();
            let runs = (0..5).map(|_| {
                let ns = |value: Option<u64>, scatter: f64| value.map(|ns| (ns as f64 * scatter) as u64);
                let scatter = scattered(1.0);
                Figures {
                    rate: figures.rate.map(&mut scattered),
                    p50_ns: ns(figures.p50_ns, scatter),
                    p99_ns: ns(figures.p99_ns, scatter),
                    ..figures.clone()
                }
            });
            result.runs = runs.collect();
            result.settings.runs = 5;
            Beside { name: name.to_owned(), result }
        })
        .collect();
    let mut single = run("caddy:8888", 4, 15_000, 900e3);
    single.settings.connections = 100;
    single.totals.connections_opened = 100;
    all.push(Beside { name: "caddy".to_owned(), result: single });
    beside::beside(all).unwrap()
}

/// A search: steps up, and back.
pub fn search() -> SearchResult {
    let step = |rate: f64, met: bool| {
        let mut figures =
            run("127.0.0.1:8888", 2, rate as u64, 5e12 / (150_000.0 - rate) / (150_000.0 - rate) * 1e3).figures();
        figures.errors = 0;
        let why = if met { String::new() } else { "p99<2ms: 7.1ms measured".to_owned() };
        SearchStep { rate, met: Some(met), measured_s: 2.0, figures, why }
    };
    let mut spoiled = step(120_000.0, false);
    spoiled.met = None;
    spoiled.why =
        "INVALID: generator thread 0 did not run for 18.8% of the time although it was due to run, over 1% (pauses over \
                   5 ms count, --max-lag; the longest was 563 ms): it was stopped, suspended, or short of a core"
            .to_owned();
    let steps = vec![step(10_000.0, true), step(40_000.0, true), step(140_000.0, false), step(90_000.0, true), spoiled];
    SearchResult {
        format: FORMAT,
        target: "127.0.0.1:8888".to_owned(),
        slo: "p99<2ms".to_owned(),
        curve: Some(Curve::of_steps(&steps)),
        steps,
        best_rate: Some(90_000.0),
        best: Some(run("127.0.0.1:8888", 2, 90_000, 400_000.0)),
        missed_rate: Some(140_000.0),
        unknown: None,
        signal: None,
        verdict: None,
        stopped: "between 90000/s (met, probe 4) and 140000/s (missed, probe 3)".to_owned(),
        generator_limited: false,
    }
}

/// `rate` messages a second for `duration_s` in intervals of 1 s; half of them take up to `median_ns`.
fn run(target: &str, duration_s: u32, rate: u64, median_ns: f64) -> RunResult {
    let mut random = Rng::with_seed(u64::from(duration_s) + rate);
    let mut result = RunResult {
        format: FORMAT,
        settings: settings(target, duration_s),
        shard: None,
        started: "2026-11-22T17:31:05.250Z".to_owned(),
        measured_s: f64::from(duration_s) + 0.001_234,
        setup_s: 0.012,
        cut_short: None,
        signal: None,
        verdict: None,
        addresses: vec![target.to_owned()],
        by_address: Vec::new(),
        achieved: None,
        waited: Samples::new(),
        hints: Vec::new(),
        totals: Totals::default(),
        latency: Samples::new(),
        service_time: Samples::new(),
        latency_corrected: None,
        connect_time: Samples::new(),
        tls: None,
        reconnect_time: Samples::new(),
        intervals: Vec::new(),
        runs: Vec::new(),
        generator: Generator {
            thread_cpu: vec![0.412, 0.387],
            cpu_ns_per_request: Some(3_950.0),
            lag: Samples::new(),
            thread_paused: vec![0.0013, 0.0],
            pauses: 2,
            longest_pause_ns: Some(4_100_000),
            thread_waited: vec![Some(0.021), None],
            throttled: Some(Throttled { periods: 1, time_s: 0.012 }),
        },
        server: Some(ServerUse {
            pid: 4711,
            cpu_s: 8.0,
            cpu_share: 0.801,
            cpu_ns_per_request: Some(7_910.0),
            rss_before_bytes: 3_100_000,
            rss_after_bytes: 3_406_000,
            rss_per_connection_bytes: Some(6_120.0),
        }),
        tcp: Some(TcpUse { connections: 50, retransmits: 1, rtt: Samples::new() }),
        environment: environment(),
        invalid: Vec::new(),
        notes: Vec::new(),
        slo: None,
        failures: Vec::new(),
    };
    for start in 0..duration_s {
        let completed = if rate == 0 { 0 } else { rate * random.u64(97..103) / 100 };
        let mut latency = Samples::new();
        // A tenth of the samples is enough for the shape, and takes a tenth of the time.
        for _ in 0..completed / 10 {
            latency.record(time_ns(&mut random, median_ns));
        }
        result.latency.add(&latency);
        let bytes = completed * 64;
        result.intervals.push(Interval {
            start_s: f64::from(start),
            length_s: 1.0,
            asked: None,
            completed,
            bytes,
            latency,
        });
        result.totals.measured_completed += completed;
    }
    result.service_time.add(&result.latency);
    (0..50).for_each(|_| result.connect_time.record(time_ns(&mut random, 90_000.0)));
    let totals = &mut result.totals;
    totals.connections_opened = 50;
    totals.connections_alive = 50;
    totals.requests_sent = totals.measured_completed + 5_012;
    totals.requests_completed = totals.requests_sent;
    totals.bytes_sent = totals.requests_sent * 64;
    totals.bytes_received = totals.bytes_sent;
    totals.measured_bytes = totals.measured_completed * 64;
    result.runs = vec![result.figures()];
    result
}

/// A random time: skewed to the right, as real times are, and seldom much longer.
fn time_ns(random: &mut Rng, median_ns: f64) -> u64 {
    let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let tail = if random.u32(0..2_000) == 0 { 8.0 } else { 1.0 };
    (median_ns * (normal * 0.35).exp() * tail) as u64
}

fn settings(target: &str, duration_s: u32) -> Settings {
    Settings {
        command: "rr".to_owned(),
        target: target.to_owned(),
        connections: 50,
        threads: 2,
        duration_s: f64::from(duration_s),
        warmup_s: 0.5,
        rate: None,
        stages: Vec::new(),
        arrival: "uniform".to_owned(),
        depth: 1,
        size: 64,
        runs: 1,
        connect_rate: None,
        proxy: "v2".to_owned(),
        tls: None,
        verify: "full".to_owned(),
        reconnect: false,
        time_wait: false,
        spin: false,
        pin: true,
    }
}

fn environment() -> Environment {
    let sysctls = [
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.ip_local_port_range", "32768 60999"),
        ("net.ipv4.tcp_max_syn_backlog", "1024"),
        ("net.ipv4.tcp_congestion_control", "cubic"),
    ];
    Environment {
        loadtest: "0.1.0".to_owned(),
        host: "bench-7".to_owned(),
        kernel: "Linux 6.1.0-41-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.158-1".to_owned(),
        cpu: "AMD EPYC 7763 64-Core Processor".to_owned(),
        cores: 8,
        pinned: vec![2, 3],
        clock: "tsc".to_owned(),
        fd_limit: 1_048_576,
        sysctls: sysctls.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        steal: Some(0.0613),
        cpu_pressure: Some(0.034),
        machine_tcp_retransmits: Some(3),
        machine_listen_overflows: Some(0),
    }
}
