//! Whether the generator or the target was at fault: pauses of the generator, and servers with a known capacity, with
//! each figure compared with its calculated value.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Misdeed, Server, pause, report, run};
use loadtest::judge::{Verdict, verdict, verdict_of_run};
use loadtest::output;
use loadtest::result::{Known, Report, RunResult};

/// Options for a generator that shares its machine with other tests: its lateness is not judged.
const LENIENT: &str = "--max-lag 1s --max-wait 1";

fn bound_s(figure: Option<Known>) -> f64 {
    match figure {
        Some(Known::AtLeast(ns)) => ns / 1e9,
        other => panic!("{other:?} is not a lower bound"),
    }
}

/// Runs `loadtest` as a process, and stops it for `stop` of each `period`. Returns its exit code, its result, and the
/// time for which it was stopped.
fn stopped(load: &str, stop: Duration, period: Duration) -> (i32, RunResult, Duration) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("result.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(load.split(' '))
        .env("LOADTEST_JSON", &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let signal = |name: &str| {
        Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        Instant::now()
    };
    let mut all = Duration::ZERO;
    let deadline = Instant::now() + Duration::from_secs(30);
    // Well within the measured time of 2 s.
    for _ in 0..(1500 / period.as_millis()) {
        pause(period.saturating_sub(stop));
        let at = signal("-STOP");
        pause(stop);
        all += signal("-CONT") - at;
    }
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        pause(Duration::from_millis(10));
    }
    let Ok(Report::Run(result)) = output::read_report(&file) else { panic!("no result") };
    (child.wait().unwrap().code().unwrap(), *result, all)
}

#[test]
fn time_in_which_the_generator_is_stopped_is_its_own() {
    let server = Server::start(Misdeed::None);
    let (stop, period) = (Duration::from_millis(100), Duration::from_millis(200));
    for load in ["-c 4 -R 1000", "-c 4"] {
        let load = format!("rr {} -d 2s --warmup 0s --max-wait 1 {load}", server.address);
        let (code, result, stopped) = self::stopped(&load, stop, period);
        assert_eq!(code, 3, "{load}: {:?}", result.verdict);
        let paused_s = result.generator.thread_paused[0] * result.measured_s;
        // A pause is noticed from the next due look at the clock on, at most 5 ms after the last one.
        let least_s = stopped.as_secs_f64() - 0.006 * 7.0;
        assert!(paused_s > least_s * 0.9, "{load}: {paused_s} s, stopped for {stopped:?}");
        assert!(paused_s < stopped.as_secs_f64() + 0.5, "{load}: {paused_s} s, stopped for {stopped:?}");
        assert!(result.invalid.iter().any(|why| why.contains("did not run for")), "{load}: {:?}", result.invalid);
        if result.settings.rate.is_some() {
            // A third of the messages were due meanwhile. They were late because of the generator, not the target.
            let (late, waited) = (&result.generator.lag, &result.waited);
            let [late_ns, waited_ns] =
                [late, waited].map(|samples| samples.percentile_ns(90.0).expect("enough samples"));
            assert!(late_ns > 30_000_000, "{load}: {late_ns} ns");
            assert!(waited_ns < 30_000_000, "{load}: {waited_ns} ns");
        }
    }
}

/// An overloaded server makes the schedule fall far behind. Pauses of 20 ms account for only 20 ms of a message's
/// delay.
#[test]
fn short_pauses_do_not_take_the_blame_for_an_overload() {
    let server = Server::start(Misdeed::Serial);
    let load = format!("rr {} -c 10 -R 4000 -d 2s --warmup 0s --max-wait 1", server.address);
    let (_, result, _) = stopped(&load, Duration::from_millis(20), Duration::from_millis(200));
    let [late_ns, waited_ns] =
        [&result.generator.lag, &result.waited].map(|samples| samples.percentile_ns(98.0).expect("enough samples"));
    assert!(late_ns < 150_000_000 && waited_ns > 500_000_000, "late {late_ns} ns, waited {waited_ns} ns");
}

/// A quota of 20%, by a control group if the test can make one, otherwise by stopping it for 80 of every 100 ms.
#[test]
fn a_generator_with_a_fifth_of_a_core_says_so() {
    let server = Server::start(Misdeed::None);
    let group = Quota::new();
    for load in ["-c 4 -R 20000", "-c 4"] {
        let load = format!("rr {} -d 2s --warmup 0s --max-wait 1 {load}", server.address);
        let Some(group) = &group else {
            let (code, result, _) = stopped(&load, Duration::from_millis(80), Duration::from_millis(100));
            assert_eq!(code, 3, "{load}: {:?}", result.verdict);
            continue;
        };
        let output = group.run(&load);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{load}: {text}");
        assert!(text.contains("the CPU quota of the generator's control group held it back for"), "{load}: {text}");
    }
}

/// A control group of version 1 with a fifth of a core.
struct Quota {
    path: std::path::PathBuf,
}

impl Quota {
    /// `None` if this machine does not allow one.
    fn new() -> Option<Self> {
        let path = std::path::Path::new("/sys/fs/cgroup/cpu").join(format!("loadtest-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let quota = Quota { path };
        std::fs::write(quota.path.join("cpu.cfs_period_us"), "100000").ok()?;
        std::fs::write(quota.path.join("cpu.cfs_quota_us"), "20000").ok()?;
        Some(quota)
    }

    fn run(&self, load: &str) -> std::process::Output {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.path.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_loadtest")]).args(load.split(' ')).output().unwrap()
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[test]
fn closed_loop_on_a_serial_server_obeys_littles_law() {
    let server = Server::start(Misdeed::Serial);
    let result = run(&format!("rr {} -c 10 -d 1s --warmup 200ms {LENIENT}", server.address));
    let rate = result.rate().unwrap();
    assert!(rate < 1050.0, "{rate}/s of 1,000");
    // Ten messages are in flight at any time.
    let in_flight = rate * result.latency.mean_ns().unwrap() / 1e9;
    assert!((9.0..11.0).contains(&in_flight), "{in_flight} in flight");
    assert_eq!(verdict_of_run(&result), Verdict::Fine, "{:?}", result.invalid);
}

#[test]
fn half_of_what_a_serial_server_does_is_achieved() {
    let server = Server::start(Misdeed::Serial);
    let result = run(&format!("rr {} -c 50 -R 500 -d 1s --warmup 200ms {LENIENT}", server.address));
    let achieved = result.achieved.as_ref().unwrap();
    assert_eq!((achieved.due, achieved.unsent, achieved.met), (500, 0, true), "{achieved:?}");
    assert_eq!(verdict_of_run(&result), Verdict::Fine, "{:?}", result.verdict);
}

/// The rate is twice the server's capacity. Of 2,000 messages due in a second, about 1,000 are answered, the last of
/// them due at 0.5 s. Latencies rise evenly to 0.5 s. The messages due from 0.5 s on are never sent, and wait until 1
/// s.
#[test]
fn an_overload_is_not_achieved_and_its_percentiles_are_bounds() {
    let server = Server::start(Misdeed::Serial);
    let table = [
        ("", Verdict::NotAchieved),
        ("--slo p50<100ms", Verdict::Failed),
        ("--slo errors=0", Verdict::Failed),
        ("--slo errors<1%", Verdict::Failed),
        ("--slo rate>=1900", Verdict::Failed),
        ("--slo max<100ms", Verdict::Failed),
        ("--slo mean<100ms", Verdict::Failed),
        // The maximum is unknown.
        ("--slo max<100s", Verdict::NotAchieved),
    ];
    let result = run(&format!("rr {} -c 10 -R 2000 -d 1s --warmup 0s {LENIENT}", server.address));
    for (slo, expected) in table {
        let mut result = result.clone();
        let slo = slo.strip_prefix("--slo ").map(|text| loadtest::slo::Slo::parse(text).unwrap());
        result.slo = slo.map(|slo| slo.judge(&result));
        assert_eq!(verdict_of_run(&result), expected, "{:?}", result.slo);
    }
    let achieved = result.achieved.as_ref().unwrap();
    assert_eq!(achieved.due, 2000);
    assert_eq!(achieved.due, result.latency.count() + achieved.unsent);
    assert!(achieved.achieved_per_s < 1050.0 && (900..1400).contains(&achieved.unsent), "{achieved:?}");
    assert!(achieved.limit.as_ref().unwrap().contains("the target was the limit"), "{achieved:?}");
    let p50_s = bound_s(result.latency.percentile(50.0));
    assert!((0.2..0.35).contains(&p50_s), "p50 ≥ {p50_s} s");
    assert_eq!(result.figures().p50_ns, None);
    // Throughput and latency cover the same messages, except those in flight at the end.
    assert!(result.latency.count() - result.totals.measured_completed <= 10);
}

/// Each of the 20 connections gets 49 answers, and waits in vain for its 50th.
#[test]
fn of_messages_that_a_server_drops_each_is_counted() {
    let server = Server::start(Misdeed::Drops50th);
    for (load, unsent) in [("-R 1000 -d 2s", 1000), ("-d 2s", 0)] {
        let load = format!("rr {} -c 20 --warmup 0s --timeout 100ms {load} {LENIENT}", server.address);
        let result = run(&load);
        let totals = &result.totals;
        let counts =
            (totals.requests_sent, totals.requests_completed, totals.requests_unanswered, totals.requests_unsent);
        assert_eq!(counts, (1000, 980, 20, unsent), "{load}");
        assert_eq!((result.latency.count(), result.latency.missing()), (980, 20 + unsent), "{load}");
        // 2% of the answers never came: p50 is known if nothing else is missing; the highest percentiles are not.
        assert_eq!(result.latency.percentile_ns(50.0).is_some(), unsent == 0, "{load}");
        assert_eq!(result.latency.percentile_ns(99.0), None, "{load}");
        assert_eq!(verdict_of_run(&result), Verdict::Failed, "{load}");
    }
}

#[test]
fn connections_that_are_never_served_are_counted() {
    for load in ["-R 600", ""] {
        let server = Server::start(Misdeed::ServesTen);
        let load = format!("rr {} -c 30 -d 1s --warmup 0s --timeout 100ms {LENIENT} {load}", server.address);
        let result = run(load.trim());
        assert_eq!(result.totals.requests_unanswered, 20, "{load}");
        assert_eq!(result.totals.requests_completed + 20, result.totals.requests_sent, "{load}");
        if result.settings.rate.is_some() {
            assert_eq!(result.totals.requests_sent + result.totals.requests_unsent, 600, "{load}");
            // 20 of 600 are missing, over 1 in 100 and under a half.
            assert!(result.latency.percentile_ns(50.0).is_some(), "{load}");
            assert!(bound_s(result.latency.percentile(98.0)) > 0.5, "{load}");
        }
        assert_eq!(verdict_of_run(&result), Verdict::Failed, "{load}");
    }
}

#[test]
fn crr_goes_on_after_an_exchange_that_is_not_answered() {
    for load in ["", " -R 100"] {
        let server = Server::start(Misdeed::IgnoresFifth);
        let load = format!("crr {} -c 10 -d 1s --warmup 0s --timeout 400ms {LENIENT}{load}", server.address);
        let result = run(&load);
        let totals = &result.totals;
        let connections = server.connections.load(Ordering::SeqCst);
        assert_eq!(totals.connections_opened, connections, "{load}");
        // The answer is missing on each fifth connection, and on no other, for the whole second.
        assert!(connections > 50 && totals.requests_unanswered.abs_diff(connections / 5) <= 1, "{load}: {totals:?}");
        assert_eq!(totals.requests_completed + totals.requests_unanswered, totals.requests_sent, "{load}");
        assert_eq!((result.cut_short.as_ref(), verdict_of_run(&result)), (None, Verdict::Failed), "{load}");
        assert!(totals.errors.keys().any(|why| why.contains("timed out")), "{load}: {:?}", totals.errors);
    }
}

/// A server that restarts once, and is away for 300 ms.
fn restarted(after: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (served, mut streams) = (Arc::new(AtomicU64::new(0)), Vec::new());
        let serve = |stream: TcpStream, streams: &mut Vec<TcpStream>| {
            streams.push(stream.try_clone().unwrap());
            let (mut stream, served) = (stream, served.clone());
            thread::spawn(move || {
                let mut message = [0; common::SIZE];
                while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        };
        listener.set_nonblocking(true).unwrap();
        while served.load(Ordering::SeqCst) < after {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    serve(stream, &mut streams);
                }
                Err(_) => pause(Duration::from_millis(1)),
            }
        }
        drop(listener);
        streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        pause(Duration::from_millis(300));
        for stream in TcpListener::bind(address).unwrap().incoming().flatten() {
            serve(stream, &mut streams);
        }
    });
    address
}

#[test]
fn rr_reconnects_and_tells_how_long_traffic_was_away() {
    for load in ["", " -R 400", " --depth 4"] {
        let address = restarted(80);
        let load = format!("rr {address} -c 8 -d 2500ms --warmup 0s --reconnect {LENIENT}{load}");
        let result = run(&load);
        let totals = &result.totals;
        assert_eq!((totals.connections_lost, totals.connections_opened), (8, 16), "{load}: {totals:?}");
        assert_eq!((totals.connections_alive, result.cut_short.as_ref()), (8, None), "{load}");
        let away = &result.reconnect_time;
        assert_eq!(away.count(), 8, "{load}");
        // Down for 300 ms; pauses between tries double from 10 ms.
        let median_ms = away.histogram().value_at_quantile(0.5) / 1_000_000;
        assert!((290..1500).contains(&median_ms), "{load}: {median_ms} ms");
        assert!(totals.connections_failed > 0 && totals.connections_failed < 200, "{load}: {totals:?}");
        assert_eq!(verdict_of_run(&result), Verdict::Failed, "{load}");
        assert_eq!(totals.verification.total(), 0, "{load}: {:?}", result.failures);
    }
}

/// Loopback loses nothing, so that retransmissions on the machine belong to other programs. The round trip is shorter
/// than an exchange.
#[test]
fn the_connections_own_segments_are_counted() {
    let server = Server::start(Misdeed::None);
    for (command, connections) in [("rr", 6), ("crr", u64::MAX)] {
        let result = run(&format!("{command} {} -c 6 -d 200ms --warmup 0s {LENIENT}", server.address));
        let tcp = result.tcp.expect("Linux tells");
        assert_eq!(tcp.connections, connections.min(result.totals.connections_opened), "{command}");
        assert_eq!(tcp.retransmits, 0, "{command}");
        assert!(tcp.rtt.max_ns().unwrap() < 1_000_000_000 && tcp.rtt.count() > 0, "{command}");
    }
    // The kernel repeats a connect without an answer, the first time after a second.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let waiting: Vec<_> =
        (0..200).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok()).collect();
    assert!(waiting.len() < 200, "the queue has an end");
    // Free one place: of two connects, one succeeds.
    let _taken = silent.accept().unwrap();
    let result = run(&format!("idle {address} -c 2 -d 50ms --warmup 0s --timeout 1500ms {LENIENT}"));
    assert_eq!(result.totals.connections_alive, 1);
    assert!(result.tcp.is_some_and(|tcp| tcp.retransmits >= 1), "{:?}", result.totals);
}

#[test]
fn nothing_measured_is_no_success() {
    let server = Server::start(Misdeed::None);
    let result = run(&format!("rr {} -c 1 -R 0.1 -d 100ms --warmup 100ms {LENIENT}", server.address));
    assert_eq!(verdict_of_run(&result), Verdict::Unknown, "{:?}", result.totals);
}

#[test]
fn a_comparison_judges_its_slo() {
    let server = Server::start(Misdeed::None);
    let load = format!("-c 2 -R 500 -d 60ms --warmup 0s --min-pairs 3 --max-pairs 3 {LENIENT}");
    for (slo, expected) in [("max<1ns", Verdict::Failed), ("max<100s", Verdict::Fine), ("p99.99<1s", Verdict::Unknown)]
    {
        // On a busy machine a run may be INVALID or too slow: then it is repeated.
        let mut verdicts =
            (0..50).map(|_| verdict(&report(&format!("compare {0} {0} {load} --slo {slo}", server.address)).unwrap()));
        let judged = verdicts.find(|verdict| ![Verdict::Invalid, Verdict::NotAchieved].contains(verdict));
        assert_eq!(judged, Some(expected), "{slo}");
    }
}

/// The number of searches; `LOADTEST_SEARCHES=20` makes more.
fn searches() -> u32 {
    std::env::var("LOADTEST_SEARCHES").map_or(1, |count| count.parse().unwrap())
}

/// The server's capacity is 1,000 a second. A search must find that within a tenth, or say that it is unknown.
#[test]
fn a_search_is_right_or_says_that_it_does_not_know() {
    let server = Server::start(Misdeed::Serial);
    let mut unknown = 0;
    for round in 0..searches() {
        let load = format!(
            "-c 50 -d {} --warmup 100ms --max-lag 5ms --max-wait 1 --slo p90<50ms",
            if searches() > 1 { "1s" } else { "300ms" }
        );
        let Ok(Report::Search(result)) = report(&format!("search {} {load}", server.address)) else {
            panic!("no search")
        };
        if searches() > 1 {
            eprintln!("{round}: {}, {} probes", result.stopped, result.steps.len());
        }
        if result.unknown.is_some() {
            unknown += 1;
            continue;
        }
        let best = result.best_rate.expect("half of it is met");
        assert!((900.0..1100.0).contains(&best), "{}: {:#?}", result.stopped, result.steps);
        // A probe proves each end.
        let has =
            |rate: Option<f64>, met| result.steps.iter().any(|step| Some(step.rate) == rate && step.met == Some(met));
        assert!(has(result.best_rate, true) && has(result.missed_rate, false), "{:#?}", result.steps);
    }
    assert!(unknown * 5 <= searches() || searches() == 1, "{unknown} of {} searches do not know", searches());
}
