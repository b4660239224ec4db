//! `--live`, read by jq: a line for each second, and a slow or absent reader does not affect the run.

mod common;

use std::fs;
use std::io::Write;
use std::process::Command;
use std::thread;

use common::{Misdeed, Server};
use serde_json::Value;

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

fn arguments(server: &Server, live: &str, more: &str) -> Vec<String> {
    let target = server.address;
    let command = format!("rr {target} -c 4 -R 1000 --warmup 0s --max-lag 10s --max-wait 1 --live={live} {more}");
    command.split_whitespace().map(str::to_owned).collect()
}

/// The values that jq's `filter` gives for the file, one per line.
fn jq(filter: &str, file: &std::path::Path) -> Vec<Value> {
    let output = Command::new("jq").args(["-c", filter]).arg(file).output().expect("jq is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_second_is_a_line_that_jq_reads_and_the_schema_allows() {
    let server = Server::start(Misdeed::None);
    let directory = tempfile::tempdir().unwrap();
    let (live, json) = (directory.path().join("live"), directory.path().join("json"));
    let more = format!("-q -d 1500ms -t 2 --json={}", json.display());
    let status = Command::new(LOADTEST).args(arguments(&server, live.to_str().unwrap(), &more)).status().unwrap();
    // A busy machine may make the figures invalid, and that is not what this is about.
    assert!(matches!(status.code(), Some(0 | 3 | 4)), "{status}");
    assert!(jq("[.run, .offered_per_s] == [1, 1000]", &live).iter().all(|is_so| *is_so == true));
    // If a busy machine pauses the generator for a second, that second has no line, and the line before covers it.
    let seconds: Vec<_> = jq(".second", &live).iter().map(|value| value.as_u64().unwrap()).collect();
    assert!(seconds[0] == 0 && seconds.is_sorted_by(|a, b| a < b) && seconds.iter().all(|&second| second < 2));
    let length_s: f64 = jq(".length_s", &live).iter().map(|value| value.as_f64().unwrap()).sum();
    assert!(length_s > 1.499, "{length_s}");
    // The lines add up to the result.
    let result: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let sum: u64 = jq(".completed", &live).iter().map(|value| value.as_u64().unwrap()).sum();
    assert_eq!(Some(sum), result["totals"]["measured_completed"].as_u64());
    let samples: u64 = jq(".latency.count", &live).iter().map(|value| value.as_u64().unwrap()).sum();
    assert_eq!(samples, sum);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/loadtest-live-1.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for line in jq(".", &live) {
        let errors: Vec<_> = validator.iter_errors(&line).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

/// With a pipe whose reader leaves at once, and with a full pipe that is never read, the run measures its whole time.
#[test]
fn a_reader_that_is_gone_or_never_reads_does_not_stop_the_run() {
    let server = Server::start(Misdeed::None);
    thread::scope(|scope| {
        for (why, is_gone) in [("its reader left", true), ("its reader is slow", false)] {
            let server = &server;
            scope.spawn(move || check_run_into_pipe(server, is_gone, why));
        }
    });
}

/// The result of the run has all of its time, and says why its lines were not written.
fn check_run_into_pipe(server: &Server, is_gone: bool, why: &str) {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("json");
    let more = format!("-d 1500ms --json={}", json.display());
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stdout = writer.try_clone().unwrap();
    let reader = Some(reader).filter(|_| !is_gone);
    // More than a pipe holds: the thread blocks until the pipe has no reader any more.
    let filler = thread::spawn(move || writer.write_all(&vec![b'\n'; 1 << 20]));
    let status = Command::new(LOADTEST).args(arguments(server, "-", &more)).stdout(stdout).status().unwrap();
    drop(reader);
    assert!(filler.join().unwrap().is_err(), "{why}: the pipe had room");
    assert!(matches!(status.code(), Some(0 | 3 | 4)), "{why}: {status}");
    let result: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!((result["measured_s"].as_f64(), &result["cut_short"]), (Some(1.5), &Value::Null), "{why}");
    let notes = result["notes"].to_string();
    assert!(notes.contains(&format!(" lines were not written: {why}")), "{notes}");
}

#[test]
fn what_cannot_be_written_is_refused_before_the_run() {
    let server = Server::start(Misdeed::None);
    for (live, more, words) in [("/nowhere/live", "-d 1s", "/nowhere/live"), ("-", "-d 1s --json", "standard output")] {
        let output = Command::new(LOADTEST).args(arguments(&server, live, more)).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(words), "{error}");
    }
}
