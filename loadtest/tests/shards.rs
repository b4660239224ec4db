//! Shards, and merging them.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{Misdeed, Server, report, run};
use loadtest::cli::OutputArgs;
use loadtest::output;
use loadtest::result::{Report, RunResult, Samples};
use proxy_echo_args::json::Json;

fn save(result: &RunResult, path: &Path) {
    let outputs = OutputArgs { json: Json::File(path.to_owned()), quiet: true, ..OutputArgs::default() };
    output::write_all(&Report::Run(Box::new(result.clone())), &outputs, false).unwrap();
}

fn merge(paths: &[&Path]) -> Result<Report, String> {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    report(&format!("merge {}", paths.join(" "))).map_err(|error| error.to_string())
}

#[test]
fn merged_shards_are_what_one_process_would_have_had() {
    let server = Server::start(Misdeed::None);
    let load = format!("rr {} -c 5 -R 1000 -d 300ms --warmup 0s --max-lag 1s --max-wait 1", server.address);
    let one = run(&format!("{load} --shard 1/2"));
    let two = run(&format!("{load} --shard 2/2"));
    assert_eq!((one.totals.connections_opened, two.totals.connections_opened), (3, 2));
    assert_eq!(one.totals.requests_sent + two.totals.requests_sent, 300);
    let directory = tempfile::tempdir().unwrap();
    let paths = [directory.path().join("1.json"), directory.path().join("2.json")];
    save(&one, &paths[0]);
    save(&two, &paths[1]);
    // In any order.
    let Ok(Report::Run(whole)) = merge(&[&paths[1], &paths[0]]) else { panic!("no run") };
    let mut all = Samples::new();
    all.add(&one.latency);
    all.add(&two.latency);
    assert_eq!(whole.latency, all);
    for percentile in [50.0, 90.0, 95.0] {
        assert_eq!(whole.latency.percentile_ns(percentile), all.percentile_ns(percentile));
    }
    assert_eq!(whole.totals.requests_sent, 300);
    assert_eq!(whole.shard, None);
    assert_eq!(whole.generator.thread_cpu.len(), 2);
    let rate = |result: &RunResult| result.rate().unwrap();
    assert!((rate(&whole) - rate(&one) - rate(&two)).abs() < 1.0);
}

#[test]
fn shards_share_a_rate_that_changes() {
    let server = Server::start(Misdeed::None);
    let load =
        format!("rr {} -c 4 --stages 0s:0,400ms:2k,600ms:2k --warmup 0s --max-lag 1s --max-wait 1", server.address);
    let directory = tempfile::tempdir().unwrap();
    let paths = ["1", "2"].map(|index| {
        let path = directory.path().join(index);
        save(&run(&format!("{load} --shard {index}/2")), &path);
        path
    });
    let Ok(Report::Run(whole)) = merge(&paths.each_ref().map(AsRef::as_ref)) else { panic!("no run") };
    // 0.4 s at 1,000/s on average, and 0.2 s at 2,000/s.
    assert_eq!(whole.totals.requests_sent + whole.totals.requests_unsent, 800);
    let asked: f64 = whole.intervals.iter().map(|interval| interval.asked.unwrap()).sum();
    assert!((asked - 800.0).abs() < 1e-6, "{asked}");
    let achieved = whole.achieved.unwrap();
    assert!((achieved.asked_per_s * 0.6 - 800.0).abs() < 1e-6, "{achieved:?}");
    let held = achieved.held.unwrap();
    assert!(held.pieces == 1 && (held.piece_s - 0.6).abs() < 1e-6, "{held:?}");
    assert_eq!(whole.settings.stages.len(), 3);
}

#[test]
fn an_index_that_counts_from_0_comes_from_the_environment() {
    let server = Server::start(Misdeed::None);
    let directory = tempfile::tempdir().unwrap();
    let paths = [0, 1, 2].map(|index| {
        let path = directory.path().join(index.to_string());
        let load = format!(
            "rr {} -c 7 -R 300 -d 200ms --warmup 0s --max-lag 1s --max-wait 1 -q --json={}",
            server.address,
            path.display()
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        // The form of a Kubernetes job with indexed completions: $(JOB_COMPLETION_INDEX)/3.
        command.env("LOADTEST_SHARD", format!("{index}/3")).args(load.split(' '));
        assert_eq!(command.status().unwrap().code(), Some(0));
        path
    });
    let Ok(Report::Run(whole)) = merge(&paths.each_ref().map(AsRef::as_ref)) else { panic!("no run") };
    assert_eq!((whole.totals.connections_opened, whole.totals.requests_sent), (7, 60));
    assert!(whole.notes.iter().any(|note| note.contains("s apart")), "one ran after the other: {:?}", whole.notes);
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let server = Server::start(Misdeed::None);
    let load = format!("rr {} -c 4 -d 50ms --warmup 0s -R 500 --max-lag 1s --max-wait 1", server.address);
    let one = run(&format!("{load} --shard 1/2"));
    let two = run(&format!("{load} --shard 2/2"));
    let three = run(&format!("{load} --shard 2/3"));
    let other = run(&format!("{load} --shard 2/2 --size 128 --verify off"));
    let whole = run(&load);
    let mut invalid = two.clone();
    invalid.invalid.push("it was the limit".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let files = [("1", &one), ("2", &two), ("3", &three), ("o", &other), ("w", &whole), ("i", &invalid)];
    for (name, result) in files {
        save(result, &path(name));
    }
    let table = [
        (vec!["1"], "shard 2 of 2 is missing"),
        (vec!["1", "1"], "it is shard 1, as "),
        (vec!["1", "3"], "it is one of 3"),
        (vec!["1", "o"], "its settings are not those of"),
        (vec!["1", "w"], "it is no shard"),
        (vec!["1", "i"], "it is INVALID: it was the limit"),
    ];
    for (names, expected) in table {
        let paths: Vec<_> = names.iter().map(|name| path(name)).collect();
        let error = merge(&paths.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap_err();
        assert!(error.contains(expected), "{names:?}: {error}");
    }
}

#[test]
fn a_result_is_the_same_after_it_was_written_and_read() {
    let server = Server::start(Misdeed::None);
    let result = run(&format!("rr {} -c 2 -d 100ms --warmup 0s --runs 2", server.address));
    assert_eq!(result.runs.len(), 2);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("result.json");
    save(&result, &path);
    let Ok(Report::Run(read)) = output::read_report(&path) else { panic!("not read") };
    assert_eq!(*read, result);
}

#[test]
fn shards_split_the_source_addresses_among_them() {
    let server = Server::start(Misdeed::None);
    let load = format!("rr {} -c 6 -d 50ms --warmup 0s --source-ip 127.7.7.0/29", server.address);
    let mut seen = 0;
    for shard in ["1/2", "2/2"] {
        let result = run(&format!("{load} --shard {shard}"));
        assert_eq!(result.totals.errors(), 0, "{:?}", result.totals.errors);
        let peers = server.peers.lock().unwrap().len();
        assert_eq!(peers - seen, 3, "new addresses");
        seen = peers;
    }
    let peers = server.peers.lock().unwrap();
    assert!(peers.iter().all(|peer| peer.to_string().starts_with("127.7.7.")), "{peers:?}");
}

#[test]
fn two_processes_begin_together_and_merge() {
    let server = Server::start(Misdeed::None);
    let directory = tempfile::tempdir().unwrap();
    let start = SystemTime::now() + Duration::from_secs(2);
    let start = start.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let paths = [directory.path().join("1"), directory.path().join("2")];
    let children: Vec<_> = paths
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let load = format!("rr {} -c 4 -R 1000 -d 500ms --warmup 0s --max-lag 1s --max-wait 1 -q", server.address);
            let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
            command.args(load.split(' ')).args([
                "--start-at",
                &start.to_string(),
                &format!("--json={}", path.display()),
            ]);
            command.args(["--shard", &format!("{}/2", index + 1)]).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let started = |path| match output::read_report(path) {
        Ok(Report::Run(result)) => humantime::parse_rfc3339(&result.started).unwrap(),
        _ => panic!("no run"),
    };
    let (one, two) = (started(&paths[0]), started(&paths[1]));
    let apart = one.duration_since(two).or_else(|_| two.duration_since(one)).unwrap();
    assert!(apart < Duration::from_millis(20), "{apart:?}");
    let Ok(Report::Run(whole)) = merge(&[&paths[0], &paths[1]]) else { panic!("no run") };
    assert_eq!(whole.totals.requests_sent, 500);
    assert_eq!(server.messages(), 500);
}
