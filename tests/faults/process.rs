//! Faults of the process itself: it is stopped, gets signals, and its log is not read.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::ordeal::{HEADER_TIMEOUT, Target};
use crate::peers::{client, connect, header};
use crate::server::Server;

/// The process is stopped and continued, at last for longer than the header timeout: bytes that reached the kernel in
/// time must not count as late because the server slept.
pub fn stops(target: Target) -> String {
    let mut rng = Rng::with_seed(target.seed);
    let rounds = 8;
    for _ in 0..rounds {
        stop(target, Duration::from_millis(rng.u64(50..300)));
        thread::sleep(Duration::from_millis(if target.mixed { 300 } else { 50 }));
    }
    if target.mixed {
        return format!("stopped {rounds} times");
    }
    let count = target.many(5000);
    let mut peers: Vec<_> = (0..count)
        .map(|_| {
            let mut stream = connect(target.address);
            let (header, line) = header(&mut rng);
            stream.write_all(&header[..10]).expect("the server reads");
            (stream, header, line)
        })
        .collect();
    client(target.address, &mut rng);
    target.process.signal(Signal::STOP);
    let start = Instant::now();
    for (stream, header, _) in &mut peers {
        stream.write_all(&header[10..]).expect("the kernel takes it");
    }
    thread::sleep((HEADER_TIMEOUT + Duration::from_secs(1)).saturating_sub(start.elapsed()));
    target.process.signal(Signal::CONT);
    for (stream, _, line) in &mut peers {
        let mut heard = vec![0; line.len()];
        stream.read_exact(&mut heard).expect("it was in time");
        assert!(heard == *line, "another header came back");
    }
    format!("stopped {rounds} times, and for 4 s while {count} clients finish their headers, with a limit of 3 s")
}

fn stop(target: Target, time: Duration) {
    target.process.signal(Signal::STOP);
    thread::sleep(time);
    target.process.signal(Signal::CONT);
}

/// Sends signals that do not end the process, as fast as possible.
pub fn signals(target: Target) -> String {
    let kinds = [Signal::HUP, Signal::PIPE, Signal::CHILD, Signal::WINCH, Signal::URG, Signal::CONT];
    let most = if target.mixed { 100_000 } else { usize::MAX };
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(2) && count < most {
        for signal in kinds {
            target.process.signal(signal);
            count += 1;
        }
    }
    format!("{count} of SIGHUP, SIGPIPE, SIGCHLD, SIGWINCH, SIGURG, SIGCONT in 2 s")
}

/// The log is not read while one client sends a flood of lines: dropped lines are counted.
pub fn log_stopped(server: &mut Server, target: Target) -> String {
    const LINES: usize = 300_000;
    let start = Instant::now();
    let mut stream = client(target.address, &mut Rng::with_seed(target.seed));
    let mut writer = stream.try_clone().expect("a second handle");
    let said: Vec<u8> = (0..LINES).flat_map(|number| format!("flood {number:0250}\n").into_bytes()).collect();
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&said).expect("the server reads"));
        let mut heard = vec![0; said.len()];
        stream.read_exact(&mut heard).expect("all comes back");
        assert!(heard == said, "other bytes came back");
    });
    // Lines of the honest clients are dropped too.
    let others = 900 * start.elapsed().as_secs() as usize + 900;
    server.wait_for("log lines were dropped");
    stream.write_all(b"the end of the flood\n").expect("the server reads");
    server.wait_for("the end of the flood");
    let numbers: Vec<usize> = values(&server.log, "IN> flood ").collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "lines are doubled, or in disorder");
    let dropped: usize = values(&server.log, "Z ").sum();
    let missing = LINES - numbers.len();
    assert!(missing > 0 && (missing..=missing + others).contains(&dropped), "{missing} are missing, {dropped} dropped");
    format!(
        "{LINES} lines said, and no reader of the log: {} are in it, and {dropped} counted as dropped",
        numbers.len()
    )
}

/// The numbers after `mark` in the log: numbers of lines, or of dropped lines.
fn values<'a>(log: &'a [String], mark: &'a str) -> impl Iterator<Item = usize> + 'a {
    log.iter().filter_map(move |line| {
        let (_, rest) = line.split_once(mark)?;
        rest.split(['<', ' ']).next()?.parse().ok()
    })
}
