//! Bad input and bad targets: one clear line, the right exit code, and the results so far are kept.

mod common;

use std::env;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use common::{Misdeed, Server, report, run};
use loadtest::cli::Cli;
use loadtest::command;
use loadtest::judge::{Verdict, verdict, verdict_of_run};
use loadtest::output;
use loadtest::plan::{Kind, Plan};
use loadtest::result::Report;

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

fn loadtest(arguments: &str) -> Output {
    let mut command = Command::new(LOADTEST);
    // Remove the caller's variables, which would be arguments.
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("LOADTEST_")) {
        command.env_remove(name);
    }
    command.args(arguments.split_whitespace()).output().unwrap()
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn bad_input_gets_one_line_and_its_exit_code() {
    let closed = closed_port();
    let table = [
        ("rr".to_owned(), 2, "<TARGET>"),
        ("walk 127.0.0.1:1".to_owned(), 2, "walk"),
        ("rr nonsense".to_owned(), 2, "expected HOST:PORT"),
        ("rr localhost".to_owned(), 2, "the port is missing"),
        ("rr 127.0.0.1:1 --json --html -".to_owned(), 2, "only one of"),
        ("rr 127.0.0.1:1 --json=/nonexistent/x.json".to_owned(), 2, "cannot write /nonexistent/x.json"),
        ("rr 127.0.0.1:1 --html /tmp".to_owned(), 2, "cannot write /tmp"),
        ("rr 127.0.0.1:0".to_owned(), 2, "port 0"),
        ("rr 127.0.0.1:99999".to_owned(), 2, "expected HOST:PORT"),
        (format!("rr 127.0.0.1:{closed}"), 1, "Connection refused"),
        (format!("crr 127.0.0.1:{closed} -c 4"), 1, "Connection refused"),
        (format!("crr 127.0.0.1:{closed} -c 4 -R 100"), 1, "Connection refused"),
        (format!("idle 127.0.0.1:{closed} -c 1000"), 1, "Connection refused"),
        ("rr 127.0.0.1:1 --slo p99".to_owned(), 2, "--slo: 'p99'"),
        ("rr 127.0.0.1:1 --slo speed<1".to_owned(), 2, "the figures are"),
        ("rr 127.0.0.1:1 --size 0".to_owned(), 2, "--size"),
        ("rr 127.0.0.1:1 --size 1TiB".to_owned(), 2, "--size"),
        ("rr 127.0.0.1:1 --depth 65536 --size 1MiB".to_owned(), 2, "--depth"),
        ("rr 127.0.0.1:1 -R 0".to_owned(), 2, "--rate"),
        ("rr 127.0.0.1:1 -R NaN".to_owned(), 2, "--rate"),
        ("rr 127.0.0.1:1 -R inf".to_owned(), 2, "--rate"),
        ("rr 127.0.0.1:1 -d 0s".to_owned(), 2, "--duration"),
        ("rr 127.0.0.1:1 -d soon".to_owned(), 2, "soon"),
        ("rr 127.0.0.1:1 -c 0".to_owned(), 2, "--connections"),
        ("rr 127.0.0.1:1 -c 2 -t 3".to_owned(), 2, "--threads"),
        ("rr 127.0.0.1:1 -t 1000 -c 1000 --pin".to_owned(), 2, "--pin"),
        ("rr 127.0.0.1:1 --shard 3/2".to_owned(), 2, "--shard"),
        ("rr 127.0.0.1:1 --shard 0/0".to_owned(), 2, "--shard"),
        ("rr 127.0.0.1:1 --start-at yesterday".to_owned(), 2, "--start-at"),
        ("rr 127.0.0.1:1 --start-at 1000".to_owned(), 2, "--start-at"),
        ("rr 127.0.0.1:1 --proxy v1 --tlv 1=x".to_owned(), 2, "--tlv"),
        ("rr 127.0.0.1:1 --proxy v2 --tlv 999=x".to_owned(), 2, "--tlv"),
        ("rr 127.0.0.1:1 --source-ip ::1".to_owned(), 2, "--source-ip"),
        ("rr 127.0.0.1:1 --source-ip 127.0.0.9 -c 70000".to_owned(), 2, "--source-ip"),
        ("rr 127.0.0.1:1 --server-pid 4194305".to_owned(), 2, "no such process"),
        ("idle 127.0.0.1:1 -R 5".to_owned(), 2, "--rate"),
        ("idle 127.0.0.1:1 --depth 2".to_owned(), 2, "--depth: none for idle"),
        ("crr 127.0.0.1:1 --depth 2".to_owned(), 2, "--depth: none for crr"),
        ("crr 127.0.0.1:1 --reconnect".to_owned(), 2, "--reconnect: for rr"),
        ("rr 127.0.0.1:1 --proxy-src 10.0.0.1".to_owned(), 2, "--proxy-src: only with --proxy"),
        ("rr 127.0.0.1:1 --arrival poisson".to_owned(), 2, "--arrival: only with --rate"),
        ("rr 127.0.0.1:1 --rate 30/x".to_owned(), 2, "30/m"),
        ("rr http://127.0.0.1:1/".to_owned(), 2, "a URL is not an address"),
        ("rr 127.0.0.1:1 --stages 0s:1k,5s".to_owned(), 2, "--stages"),
        ("rr 127.0.0.1:1 --stages 0s:1k,5s:1k,4s:2k".to_owned(), 2, "'4s:2k': it is not after '5s:1k'"),
        ("rr 127.0.0.1:1 --stages 0s:1k,5s:1k -R 5".to_owned(), 2, "--rate: either one rate, or those of --stages"),
        (
            "rr 127.0.0.1:1 --stages 0s:1k,5s:1k -d 5s".to_owned(),
            2,
            "--duration: the last point of --stages is the end",
        ),
        ("crr 127.0.0.1:1 --stages 0s:1,5s:1 --connect-rate 5".to_owned(), 2, "--connect-rate: crr connects as"),
        ("idle 127.0.0.1:1 --stages 0s:1k,5s:1k".to_owned(), 2, "--stages: none for idle"),
        ("search 127.0.0.1:1 --stages 0s:1k,5s:1k".to_owned(), 2, "--stages: search finds the rate"),
        ("rr 127.0.0.1:1 --json x.json".to_owned(), 2, "--json=x.json"),
        ("rr 127.0.0.1:1 --json -".to_owned(), 2, "leave out the -"),
        ("rr 127.0.0.1:1 --conections 5".to_owned(), 2, "did you mean --connections"),
        ("rrr 127.0.0.1:1".to_owned(), 2, "did you mean"),
        ("search 127.0.0.1:1 -R 500".to_owned(), 2, "--first-rate"),
        ("search 127.0.0.1:1 --precision 0".to_owned(), 2, "--precision"),
        ("compare 127.0.0.1:1".to_owned(), 2, "<B>"),
        ("compare 127.0.0.1:1 127.0.0.1:2 --min-pairs 9 --max-pairs 4".to_owned(), 2, "--max-pairs"),
        ("merge".to_owned(), 2, "<FILES>"),
        ("merge /nonexistent.json".to_owned(), 2, "/nonexistent.json"),
        ("report /dev/null".to_owned(), 2, "/dev/null"),
    ];
    for (arguments, code, expected) in table {
        let output = loadtest(&arguments);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {line}");
        assert!(line.starts_with("error: ") && line.contains(expected), "{arguments}: {line}");
        assert_eq!(line.lines().count(), 1, "{arguments}: {line}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

#[test]
fn arguments_are_read_as_people_write_them() {
    let plan = |arguments: &str| {
        let cli = Cli::try_parse_from(format!("loadtest rr {arguments}").split(' ')).unwrap();
        let loadtest::cli::Command::Rr(args) = cli.command else { panic!("rr") };
        Plan::new(Kind::Rr, &args.target, &args.load).unwrap()
    };
    let written = plan(":1 -R 10k -d 10 --warmup 0.5 -c 1k --slo errors<1%");
    assert_eq!((written.rate, written.connections), (Some(10_000.0), 1000));
    assert_eq!((written.duration, written.warmup), (Duration::from_secs(10), Duration::from_millis(500)));
    assert!(written.targets[0].ip().is_loopback());
    assert_eq!(plan("127.0.0.1:1 --rate 30/m").rate, Some(0.5));
    let staged = plan(":1 --stages 0:0,1m:10k,90s:10k");
    assert_eq!((staged.rate, staged.duration), (Some(600_000.0 / 90.0), Duration::from_secs(90)));
}

#[test]
fn variables_count_if_they_are_not_empty_and_are_named_if_they_are_wrong() {
    let server = Server::start(Misdeed::None);
    let with = |name: &str, value: &str| {
        let load = format!("rr {} -c 1 -d 50ms --warmup 0s --max-lag 1s --max-wait 1 -q", server.address);
        Command::new(LOADTEST).args(load.split(' ')).env(name, value).output().unwrap()
    };
    assert_eq!(with("LOADTEST_RATE", "").status.code(), Some(0));
    let variables = [("LOADTEST_RATE", "fast"), ("LOADTEST_STAGES", "5s:1k,6s:1k"), ("LOADTEST_PROXY_SRC", "10.0.0.1")];
    for (name, value) in variables.into_iter().chain([("LOADTEST_SLO", "p99")]) {
        let output = with(name, value);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn the_manual_page_and_completions_are_printed() {
    for (arguments, expected) in
        [("man", "LOADTEST_RATE"), ("completions zsh", "--first-rate"), ("--version", "loadtest 0.")]
    {
        let output = loadtest(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected), "{arguments}");
    }
}

#[test]
fn json_goes_to_standard_output_or_to_a_file() {
    let server = Server::start(Misdeed::None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.json");
    let load = format!("rr {} -c 1 -d 50ms --warmup 0s --max-lag 1s --max-wait 1", server.address);
    let printed = loadtest(&format!("{load} --json"));
    let result: Report = serde_json::from_slice(&printed.stdout).unwrap();
    assert!(matches!(result, Report::Run(_)));
    let words = loadtest(&format!("{load} --json={}", file.display()));
    assert!(String::from_utf8(words.stdout).unwrap().contains("exit code "));
    assert!(output::read_report(&file).is_ok());
}

#[test]
fn too_few_descriptors_are_said_before_anything_is_opened() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 200; exec \"$0\" rr 127.0.0.1:1 -c 1000", LOADTEST])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(line.contains("open files are needed and 200 allowed"), "{line}");
}

#[test]
fn a_target_that_dies_midway_leaves_what_was_measured() {
    let server = Server::start(Misdeed::Dies);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("result.json");
    let output = loadtest(&format!(
        "rr {} -c 3 -d 60s --warmup 0s --max-lag 1s --max-wait 1 --json={}",
        server.address,
        file.display()
    ));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let Ok(Report::Run(result)) = output::read_report(&file) else { panic!("no result") };
    assert_eq!(result.totals.connections_lost, 3);
    assert_eq!(result.totals.requests_completed, 300);
    assert_eq!(result.cut_short.as_deref(), Some("no connection is left"));
    let own = std::process::id();
    let server = Server::start(Misdeed::Dies);
    let result = run(&format!("rr {} -c 3 -d 60s --warmup 0s --server-pid {own}", server.address));
    assert_eq!(result.server.map(|server| server.pid), Some(own));
}

#[test]
fn an_interrupt_leaves_what_was_measured() {
    for (name, number) in [("-INT", 2), ("-TERM", 15), ("-HUP", 1)] {
        interrupt(name, number);
    }
}

fn interrupt(name: &str, number: i32) {
    let server = Server::start(Misdeed::None);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("result.json");
    let mut child = Command::new(LOADTEST)
        .args(["rr", &server.address.to_string(), "-c", "2", "-d", "600s", "--warmup", "0s", "-R", "2000"])
        .args(["--max-lag", "1s", "--max-wait", "1", &format!("--json={}", file.display())])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    within(Duration::from_secs(20), || server.messages() > 100);
    Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    let mut status = None;
    within(Duration::from_secs(20), || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(128 + number));
    let Ok(Report::Run(result)) = output::read_report(&file) else { panic!("no result") };
    assert_eq!((result.cut_short.as_deref(), result.signal), (Some("interrupted"), Some(number)));
    assert_eq!(result.totals.requests_completed, server.messages());
    assert!(result.measured_s < 60.0 && result.latency.count() > 0);
}

/// nohup(1) starts a program with SIGHUP ignored: loadtest must keep it ignored.
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let server = Server::start(Misdeed::None);
    let load = format!("rr {} -c 1 -d 500ms --warmup 0s --max-lag 1s --max-wait 1 -q", server.address);
    let script = "trap '' HUP; exec \"$0\" \"$@\"";
    let mut child = Command::new("sh").args(["-c", script, LOADTEST]).args(load.split(' ')).spawn().unwrap();
    within(Duration::from_secs(20), || server.messages() > 0);
    Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap();
    // A busy machine may make the figures invalid, or not reach the rate.
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 3 | 4)), "{status}");
}

#[test]
fn an_interrupt_before_the_start_is_told_too() {
    let server = Server::start(Misdeed::None);
    for load in ["--connect-rate 1", "--start-at LATER", "--runs 3"] {
        let at = SystemTime::now() + Duration::from_secs(600);
        let load = load.replace("LATER", &humantime::format_rfc3339_seconds(at).to_string());
        let arguments = format!("loadtest rr {} -c 2 -d 60s {load}", server.address);
        let cli = Cli::try_parse_from(arguments.split(' ')).unwrap();
        let Ok(Report::Run(result)) = command::execute(&cli.command, &AtomicBool::new(true)) else { panic!("no run") };
        assert_eq!(result.cut_short.as_deref(), Some("interrupted"), "{load}");
        assert_eq!(result.totals.requests_sent, 0, "{load}");
    }
}

#[test]
fn a_missed_slo_and_a_verification_failure_are_failures() {
    let server = Server::start(Misdeed::None);
    let load = "-c 2 -R 500 -d 200ms --warmup 0s --max-lag 1s --max-wait 1 --slo";
    for (slo, expected) in [
        ("p50<1s,errors=0", Verdict::Fine),
        ("p50<1ns", Verdict::Failed),
        ("rate>1000000", Verdict::Failed),
        // A hundred samples are too few for this percentile.
        ("p99.9<1s", Verdict::Unknown),
    ] {
        expect(&format!("rr {} {load} {slo}", server.address), expected);
    }
    let corrupting = Server::start(Misdeed::Corrupts);
    expect(&format!("rr {} {load} p50<1s", corrupting.address), Verdict::Failed);
}

/// The verdict of a run, of up to five: a busy machine may keep the generator from its messages for most of a short one.
fn expect(arguments: &str, expected: Verdict) {
    let mut verdicts = (0..5).map(|_| verdict_of_run(&run(arguments)));
    assert!(verdicts.any(|verdict| verdict == expected), "{arguments}: never {expected:?}");
}

#[test]
fn a_generator_that_is_the_limit_says_so() {
    let server = Server::start(Misdeed::None);
    // No generator keeps a schedule to the nanosecond.
    let result = run(&format!("rr {} -c 2 -R 1000 -d 200ms --warmup 0s --max-lag 1ns", server.address));
    assert_eq!(verdict_of_run(&result), Verdict::Invalid);
    assert!(result.invalid[0].contains("ms late"), "{:?}", result.invalid);
    let output = loadtest(&format!("rr {} -c 2 -R 1000 -d 100ms --warmup 0s --max-lag 1ns", server.address));
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("INVALID"));
}

#[test]
fn overload_is_the_targets_fault_and_its_backlog_is_counted() {
    let server = Server::start(Misdeed::Stalls);
    let result = run(&format!(
        "rr {} -c 1 -R 1000000 -d 300ms --warmup 0s --max-lag 1s --max-wait 1 --slo p50<1s",
        server.address
    ));
    let totals = &result.totals;
    assert!(totals.requests_unsent > 0);
    assert_eq!(totals.requests_sent + totals.requests_unsent, 300_000);
    assert!(result.slo.is_some_and(|slo| slo.met != Some(true)), "most of it never came back");
}

#[test]
fn a_search_finds_a_rate_and_stops() {
    let server = Server::start(Misdeed::Stalls);
    let load = "-c 1 -d 100ms --warmup 0s --max-lag 1s --max-wait 1 --precision 0.5 --slo p50<500ms";
    let Ok(Report::Search(result)) = report(&format!("search {} --first-rate 50 {load}", server.address)) else {
        panic!("no search")
    };
    assert!(!result.steps.is_empty() && result.steps.len() <= 40, "{}", result.stopped);
    assert!(result.best_rate.is_none_or(|rate| rate >= 1.0));
}

#[test]
fn a_comparison_stops_at_its_limit_and_has_an_interval_for_each_figure() {
    let server = Server::start(Misdeed::None);
    let load =
        "-c 2 -R 1000 -d 100ms --warmup 0s --max-lag 1s --max-wait 1 --min-pairs 3 --max-pairs 4 --precision 0.0001";
    let report = report(&format!("compare {0} {0} {load}", server.address)).unwrap();
    // A machine that is busy with other tests may not reach 1,000 a second, or not run the generator in time.
    let verdict = verdict(&report);
    assert!([Verdict::Fine, Verdict::NotAchieved, Verdict::Invalid].contains(&verdict), "{report:?}");
    let Report::Compare(result) = report else { panic!("no comparison") };
    assert!(result.pairs <= 4 && result.a.runs.len() as u64 == result.pairs);
    for ratio in &result.ratios {
        let (Some(low), Some(high)) = (ratio.low, ratio.high) else { continue };
        assert!(low <= ratio.ratio && ratio.ratio <= high, "{ratio:?}");
        assert_eq!(ratio.difference_shown, low > 1.0 || high < 1.0);
    }
    // Invalid figures are not compared.
    assert!(verdict != Verdict::Fine || result.ratios.iter().any(|ratio| ratio.figure == "p50"), "{:?}", result.ratios);
}

/// Waits until another thread or process has made `is_so` true.
fn within(limit: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "it did not happen");
        std::thread::yield_now();
    }
}

/// The real server in another process, so that descriptors are not shared.
struct ProxyEcho {
    child: Child,
    address: String,
}

impl ProxyEcho {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(proxy_echo())
            .args(["--listen", "127.0.0.1:0", "--log", "quiet", "--log-format", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split('"').find(|word| word.starts_with("127.0.0.1:")).expect("a line with the address");
        ProxyEcho { address: address.to_owned(), child }
    }
}

impl Drop for ProxyEcho {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's binary beside loadtest's; built by the same cargo if it is missing.
fn proxy_echo() -> PathBuf {
    let directory = Path::new(LOADTEST).parent().unwrap();
    let profile = directory.file_name().unwrap().to_str().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "-p", "proxy-echo", "--bin", "proxy-echo", "--target-dir"])
        .arg(directory.parent().unwrap());
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    assert!(cargo.status().unwrap().success(), "proxy-echo is not built");
    directory.join("proxy-echo")
}

#[test]
fn proxy_echo_takes_the_headers_and_sends_them_back() {
    let server = ProxyEcho::start(&[]);
    let header = |rest: &str| format!("rr {} -c 5 -d 200ms --warmup 0s --expect-reflect yes {rest}", server.address);
    for rest in [
        "--proxy v1",
        "--proxy v1 --proxy-src 10.9.0.0/16",
        "--proxy v1 --proxy-src 2001:db8::/64",
        "--proxy v2",
        "--proxy v2 --proxy-src 192.168.7.7 --tlv crc32c,authority=a.example,0xEA=0x0176,unique-id=17",
        "--proxy v2 --proxy-src 2001:db8::/64 --depth 4 -s 10000",
    ] {
        let result = run(&header(rest));
        assert_eq!(result.totals.errors(), 0, "{rest}: {:?} {:?}", result.failures, result.totals.errors);
        assert_eq!(result.totals.headers_reflected, 5, "{rest}");
        assert!(result.totals.requests_completed > 5, "{rest}");
    }
    let result = run(&format!("crr {} -c 5 -d 200ms --warmup 0s --proxy v2 --tlv crc32c", server.address));
    assert_eq!(result.totals.errors(), 0, "{:?} {:?}", result.failures, result.totals.errors);
    assert_eq!(result.totals.headers_reflected, result.totals.requests_completed);
    // Without a header the server closes, and a hint must say so.
    let result = run(&format!("rr {} -c 5 -d 200ms --warmup 0s --max-lag 1s --max-wait 1", server.address));
    assert_eq!(result.totals.connections_lost, 5);
    assert_eq!(verdict_of_run(&result), Verdict::Failed);
}

#[test]
fn one_process_holds_as_many_connections_as_it_may_open_files() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let connections = limit.saturating_sub(500).min(19_000);
    let server = ProxyEcho::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("result.json");
    let arguments = format!("idle {} -c {connections} -d 200ms --proxy v2", server.address);
    let pid = server.child.id();
    let output = loadtest(&format!("{arguments} --timeout 20s --server-pid {pid} --json={}", file.display()));
    let Ok(Report::Run(result)) = output::read_report(&file) else {
        panic!("{}", String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(result.totals.connections_alive, connections, "{:?}", result.totals);
    assert_eq!(result.totals.headers_reflected, connections);
    assert!(result.server.is_some_and(|server| server.rss_after_bytes > 0));
}
