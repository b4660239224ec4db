//! The progress shown during a run: a view in a real terminal, plain lines in a pipe, nothing if it is turned off.

mod common;

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use common::{Misdeed, Server};
use serde_json::Value;

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");

fn load(server: &Server, more: &str) -> Vec<String> {
    let command = format!("rr {} -R 1000 --reconnect --max-lag 10s --max-wait 1 {more}", server.address);
    command.split_whitespace().map(str::to_owned).collect()
}

/// The output of loadtest with these arguments in a terminal.
fn in_terminal(arguments: &[String]) -> String {
    // The shell prints the status, because `script --return` sometimes looks for it before there is one.
    let run = format!("stty cols 100 rows 30; {LOADTEST} {}; echo status $?", arguments.join(" "));
    let output = Command::new("script")
        .args(["--quiet", "--command", &run, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .expect("script is installed (util-linux)");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn in_a_terminal_there_is_a_view_that_is_drawn_once_a_second() {
    let server = Server::start(Misdeed::Dies);
    let started = Instant::now();
    let shown = in_terminal(&load(&server, "-d 4s -c 4"));
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    for part in [
        "run 1 of 1 [",
        " of 4s",
        " messages/s, p50 ",
        "█",
        " × connection: closed by the target",
        "Throughput",
        "status ",
    ] {
        assert!(shown.contains(part), "{part}: {shown:?}");
    }
    let drawn = shown.matches("run 1 of 1 [").count();
    assert!(drawn >= 2 && drawn <= seconds + 2, "{drawn} times in {seconds} s: {shown:?}");
}

#[test]
fn without_progress_a_terminal_gets_the_table_alone() {
    let server = Server::start(Misdeed::None);
    let shown = in_terminal(&load(&server, "-d 1s --no-progress"));
    assert!(shown.contains("Throughput") && !shown.contains("run 1 of 1 ["), "{shown:?}");
    // Escapes are only the table's colours, and do not move the cursor.
    for part in shown.split('\x1b').skip(1) {
        let end = part.find(|character: char| character.is_ascii_alphabetic()).map(|end| &part[end..=end]);
        assert_eq!(end, Some("m"), "{shown:?}");
    }
}

/// Standard error is a pipe: one that is read, and a full one that is never read, which must not delay the run.
#[test]
fn a_pipe_gets_a_line_now_and_then_and_delays_nothing() {
    let server = Server::start(Misdeed::None);
    let start = |more: &str| {
        let mut command = Command::new(LOADTEST);
        command.args(load(&server, more)).stdout(Stdio::piped());
        command
    };
    let (mut read, written) = std::io::pipe().unwrap();
    let filler = written.try_clone().unwrap();
    let full = start("-d 5500ms").stderr(written).spawn().unwrap();
    let filler = thread::spawn(move || std::io::Write::write_all(&mut { filler }, &vec![b'\n'; 1 << 20]));
    let read_by_us = start("-d 5500ms").stderr(Stdio::piped()).spawn().unwrap();
    let json = start("-d 5500ms --json").stderr(Stdio::piped()).spawn().unwrap();

    let Output { stderr, stdout, .. } = read_by_us.wait_with_output().unwrap();
    let line = String::from_utf8(stderr).unwrap();
    assert!(line.starts_with("run 1 of 1: ") && line.contains(" messages/s, p50 "), "{line:?}");
    assert!(line.lines().count() <= 2 && !line.contains(['\x1b', '\r']), "{line:?}");
    assert!(String::from_utf8_lossy(&stdout).contains("Throughput"));

    let Output { stderr, stdout, .. } = json.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "", "standard output and standard error may be one log");
    assert_eq!(serde_json::from_slice::<Value>(&stdout).unwrap()["measured_s"], 5.5);

    let Output { stdout, .. } = full.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&stdout).contains("Throughput"));
    let reader = thread::spawn(move || read.read_to_end(&mut Vec::new()));
    filler.join().unwrap().unwrap();
    assert!(reader.join().unwrap().unwrap() >= 1 << 20, "the pipe was full");
}
