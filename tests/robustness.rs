//! Situations of a long-running server: fairness, limits, and peers and kernels that misbehave.
#![cfg(target_os = "linux")]

#[path = "common/client.rs"]
mod client;
#[path = "common/server.rs"]
mod server;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{HEADER, client, connect_many, round_trip};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use server::{DEADLINE, Server};
use socket2::{Domain, SockRef, Socket, Type};

/// Closes with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(stream);
}

/// Asserts that the server uses almost no CPU time for half a second.
fn assert_at_rest(server: &Server) {
    let window = Duration::from_millis(500);
    let mut silent = client(server);
    silent.set_read_timeout(Some(window)).expect("a timeout");
    let before = server.cpu();
    let error = silent.read(&mut [0]).expect_err("nobody sends anything");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let used = server.cpu().saturating_sub(before);
    assert!(used < window / 20, "{used:?} of CPU time in {window:?} of rest");
}

#[test]
fn a_reader_that_takes_one_byte_and_then_all_gets_every_byte() {
    const SIZE: usize = 64 << 20;
    let server = Server::start(&["--log", "quiet"]);
    let mut other = client(&server);
    let mut stream = client(&server);
    let byte = |at: usize| (at * 31 + at / 257) as u8;
    let payload: Vec<u8> = (0..SIZE).map(byte).collect();

    let before = server.data();
    stream.set_nonblocking(true).expect("non-blocking");
    let (mut sent, mut refused) = (0, 0);
    // The path is full when it stays full over many turns of the server.
    while refused < 100 {
        match (&stream).write(&payload[sent..]) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(error) => panic!("{error}"),
        }
        round_trip(&mut other);
    }
    assert!(sent < SIZE, "nothing held the sender back");
    let held = server.data().saturating_sub(before);
    assert!(held < 2048, "{held} KiB are held for one connection");

    stream.set_nonblocking(false).expect("blocking");
    let mut sender = stream.try_clone().expect("a second handle");
    let mut answer = vec![0; 1];
    stream.read_exact(&mut answer).expect("the first byte");
    thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&payload[sent..]).expect("the server reads");
            sender.shutdown(Shutdown::Write).expect("half-close");
        });
        stream.read_to_end(&mut answer).expect("all that was sent");
    });
    assert!(answer == payload, "other bytes came back");
}

#[test]
fn one_connection_at_full_blast_does_not_hold_up_a_thousand() {
    let server = Server::start(&["--log", "quiet"]);
    let blast = client(&server);
    let mut streams = connect_many(&server, 1000);
    for stream in &mut streams {
        stream.write_all(HEADER).expect("the server reads");
        stream.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
    }
    let mut times = thread::scope(|scope| {
        let (mut reader, mut writer) = (&blast, &blast);
        let payload = vec![b'x'; 256 << 10];
        scope.spawn(move || while writer.write(&payload).is_ok() {});
        scope.spawn(move || {
            let mut buffer = vec![0; 256 << 10];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        let mut times = Vec::new();
        for stream in &mut streams {
            let start = Instant::now();
            round_trip(stream);
            times.push(start.elapsed());
        }
        blast.shutdown(Shutdown::Both).expect("the end of the blast");
        times
    });
    times.sort_unstable();
    println!("median {:?}, 99th {:?}", times[500], times[990]);
    assert!(times[500] < Duration::from_millis(50), "{:?}", times[500]);
}

#[test]
fn exhausted_descriptors_are_waited_for_at_rest() {
    let mut server = Server::start(&[]);
    round_trip(&mut client(&server));
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(server.files() as u64 + 10), maximum: limit.maximum };
    prlimit(Some(server.pid()), Resource::Nofile, few).expect("the limit of our own child");

    let mut streams: Vec<_> = (0..30).map(|_| server.connect()).collect();
    server.wait_for("cannot accept: ");
    // One of the accepted connections is the client of this test.
    let window = Duration::from_millis(500);
    streams[0].set_read_timeout(Some(window)).expect("a timeout");
    let before = server.cpu();
    assert!(streams[0].read(&mut [0]).is_err(), "nobody sends anything");
    let used = server.cpu().saturating_sub(before);
    assert!(used < window / 20, "{used:?} of CPU time in {window:?}: it spins");

    // As accepted connections end, the others are accepted, one by one.
    for mut stream in streams {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.write_all(HEADER).expect("the server reads");
        stream.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
    }
}

#[test]
fn at_the_limit_of_connections_others_wait_for_their_turn() {
    let mut server = Server::start(&["--max-connections", "3"]);
    let mut inside: Vec<_> = (0..3).map(|_| client(&server)).collect();
    let mut waiting = server.connect();
    waiting.write_all(HEADER).expect("the kernel takes it");
    server.wait_for("connection limit 3 reached");
    inside.iter_mut().for_each(round_trip);
    assert!(!server.log.iter().any(|line| line.contains("#4")));
    drop(inside.pop());
    waiting.read_exact(&mut [0; HEADER.len()]).expect("its turn has come");
}

#[test]
fn connections_that_are_aborted_in_the_backlog_do_no_harm() {
    let server = Server::start(&[]);
    server.signal(Signal::STOP);
    for stream in (0..100).map(|_| server.connect()).collect::<Vec<_>>() {
        reset(stream);
    }
    let mut good = server.connect();
    server.signal(Signal::CONT);
    good.write_all(HEADER).expect("the server reads");
    good.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
    assert_at_rest(&server);
}

#[test]
fn resets_in_every_state_leave_nothing_behind() {
    let mut server = Server::start(&[]);
    round_trip(&mut client(&server));
    server.wait_for("#1 is gone");
    let before = server.files();
    let big = vec![b'x'; 1 << 20];
    let mut number = 1;
    for _ in 0..20 {
        // Resets before the header, inside it, after it, with an unread answer, and with an answer that does not fit.
        for bytes in [&b""[..], &HEADER[..20], HEADER, b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nhello", &big] {
            let mut stream = server.connect();
            if bytes.len() == big.len() {
                stream.write_all(HEADER).expect("the server reads");
                stream.set_nonblocking(true).expect("non-blocking");
                while stream.write(bytes).is_ok() {}
            } else {
                stream.write_all(bytes).expect("the server reads");
            }
            number += 1;
            server.wait_for(&format!("#{number} is accepted"));
            reset(stream);
        }
    }
    for number in 2..=number {
        assert!(server.story(number).last().is_some_and(|gone| gone.contains("reset by peer")), "#{number}");
    }
    assert_eq!(server.files(), before);
    assert_at_rest(&server);
}

#[test]
fn an_urgent_byte_comes_back_in_its_place() {
    let server = Server::start(&[]);
    let mut stream = client(&server);
    for _ in 0..100 {
        stream.write_all(b"before").expect("the server reads");
        assert_eq!(SockRef::from(&stream).send_out_of_band(b"!").expect("urgent data"), 1);
        stream.write_all(b"behind").expect("the server reads");
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).expect("all of it");
        assert_eq!(&answer, b"before!behind");
    }
    round_trip(&mut stream);
    assert_at_rest(&server);
}

#[test]
fn a_budget_that_is_used_up_is_waited_for_and_comes_back() {
    let server = Server::start(&["--log", "quiet", "--max-held", "256KiB", "--max-line", "64KiB"]);
    let payload = vec![b'x'; 8 << 20];
    let streams: Vec<_> = (0..20).map(|_| client(&server)).collect();
    // No client reads until all of them have filled their buffers.
    thread::scope(|scope| {
        for mut stream in &streams {
            let payload = &payload;
            scope.spawn(move || {
                stream.write_all(payload).expect("the server reads");
                stream.shutdown(Shutdown::Write).expect("half-close");
            });
        }
        for mut stream in &streams {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("all of it");
            assert!(answer == payload, "other bytes came back");
        }
    });
    assert_at_rest(&server);
}

#[test]
fn a_connection_that_held_something_goes_on_when_others_have_used_up_the_budget() {
    let server = Server::start(&["--log", "quiet", "--max-held", "256KiB", "--send-buffer", "4KiB"]);
    let payload = vec![b'x'; 4 << 20];
    let mut victim = client(&server);
    let hoarders: Vec<_> = (0..20).map(|_| client(&server)).collect();
    thread::scope(|scope| {
        let payload = &payload;
        let mut writer = victim.try_clone().expect("a second handle");
        scope.spawn(move || {
            writer.write_all(payload).expect("the server reads");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        // The hoarders send as much as the server takes, and never read.
        for mut hoarder in &hoarders {
            hoarder.set_nonblocking(true).expect("non-blocking");
            while hoarder.write(payload).is_ok() {
                round_trip(&mut client(&server));
            }
        }
        let mut answer = Vec::new();
        victim.read_to_end(&mut answer).expect("all of it");
        assert!(answer == *payload, "other bytes came back");
    });
    assert_at_rest(&server);
}

#[test]
fn a_line_may_be_longer_than_a_read() {
    let server = Server::start(&["--echo", "lines", "--max-line", "1MiB"]);
    let mut line = vec![b'x'; (1 << 20) - 1];
    line.push(b'\n');
    let mut stream = client(&server);
    for _ in 0..3 {
        let mut writer = stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&line).expect("the server reads"));
            let mut answer = vec![0; line.len()];
            stream.read_exact(&mut answer).expect("the line comes back");
            assert!(answer == line, "other bytes came back");
        });
    }
}

#[test]
fn a_flood_of_lines_in_the_log_does_not_hold_up_others() {
    let mut server = Server::start(&["--log", "lines"]);
    let flood = client(&server);
    let mut other = client(&server);
    let mut times = thread::scope(|scope| {
        let (mut reader, mut writer) = (&flood, &flood);
        let newlines = vec![b'\n'; 256 << 10];
        scope.spawn(move || while writer.write(&newlines).is_ok() {});
        scope.spawn(move || {
            let mut buffer = vec![0; 256 << 10];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        server.wait_for("#1 IN> <LF>");
        let time = |_| {
            let start = Instant::now();
            round_trip(&mut other);
            start.elapsed()
        };
        let times: Vec<_> = (0..50).map(time).collect();
        flood.shutdown(Shutdown::Both).expect("the end of the flood");
        times
    });
    times.sort_unstable();
    assert!(times[25] < Duration::from_millis(50), "{:?}", times[25]);
    server.wait_for("log lines were dropped");
}

#[test]
fn an_unfinished_line_has_its_time_after_a_signal() {
    let mut server = Server::start(&["--echo", "lines", "--idle-timeout", "0s"]);
    let mut stream = client(&server);
    stream.write_all(b"half a li").expect("the server reads");
    round_trip(&mut client(&server));
    server.signal(Signal::TERM);
    server.wait_for("server is stopping");
    stream.write_all(b"ne\n").expect("the server reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("the line comes back");
    assert_eq!(&answer, b"half a line\n");
}

#[test]
fn who_blocks_while_the_budget_is_used_up_falls_to_the_stall_timeout() {
    let mut server = Server::start(&["--max-held", "256KiB", "--stall-timeout", "1s"]);
    // More than the kernel's buffers hold for a client that never reads.
    let payload = vec![b'x'; 64 << 20];
    let hoarders: Vec<_> = (0..20).map(|_| client(&server)).collect();
    thread::scope(|scope| {
        for mut hoarder in &hoarders {
            let payload = &payload;
            scope.spawn(move || hoarder.write_all(payload).expect_err("it is closed"));
        }
    });
    for number in 1..=20 {
        let story = server.story(number);
        assert!(story.last().is_some_and(|gone| gone.contains("stall timeout")), "{story:?}");
    }
}

#[test]
fn who_spoke_in_time_is_not_closed_because_the_server_was_stopped() {
    const COUNT: usize = 3000;
    let mut server = Server::start(&["--idle-timeout", "2s", "--header-timeout", "2s", "--log", "quiet"]);
    server.forget_log();
    let mut talkers: Vec<_> = (0..COUNT).map(|_| server.connect()).collect();
    let mut halves: Vec<_> = (0..COUNT).map(|_| server.connect()).collect();
    for stream in &mut talkers {
        stream.write_all(HEADER).expect("the server reads");
    }
    for stream in &mut halves {
        stream.write_all(&HEADER[..20]).expect("the server reads");
    }
    round_trip(&mut client(&server));
    server.signal(Signal::STOP);
    for stream in &mut talkers {
        stream.write_all(b"here").expect("the kernel takes it");
    }
    for stream in &mut halves {
        stream.write_all(&HEADER[20..]).expect("the kernel takes it");
    }
    thread::sleep(Duration::from_secs(3));
    let continued = Instant::now();
    server.signal(Signal::CONT);
    for stream in talkers.iter_mut().chain(&mut halves) {
        stream.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
    }
    for stream in &mut talkers {
        stream.read_exact(&mut [0; 4]).expect("what was said comes back");
    }
    for stream in &mut talkers {
        let answer = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0]));
        // On a busy machine the other connections may reach the idle timeout meanwhile.
        if continued.elapsed() >= Duration::from_secs(2) {
            break;
        }
        answer.expect("it is still open");
    }
}

#[test]
fn an_urgent_byte_is_not_overlooked_while_signals_come() {
    let mut server = Server::start(&["--log", "quiet"]);
    server.forget_log();
    let process = *server;
    let mut stream = client(&server);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                process.signal(Signal::HUP);
                thread::sleep(Duration::from_micros(5));
            }
        });
        for round in 0..20_000 {
            stream.write_all(b"before").expect("the server reads");
            assert_eq!(SockRef::from(&stream).send_out_of_band(b"!").expect("urgent data"), 1);
            let mut answer = [0; 7];
            let result = stream.read_exact(&mut answer);
            over.store(round == 19_999 || result.is_err(), Ordering::Relaxed);
            result.expect("all of it");
            assert_eq!(&answer, b"before!");
        }
    });
}

/// A client with a small window that reads a little at a time. Its kernel acknowledges bytes, but the server's socket
/// has no space for a long time, because Linux reports a socket as writable only when a third of its buffer is free.
#[test]
fn who_takes_a_little_at_a_time_is_not_closed_and_the_log_counts_what_who_takes_nothing_missed() {
    const SIZE: usize = 1 << 20;
    let mut server = Server::start(&["--stall-timeout", "2s", "--send-buffer", "512KiB"]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let mut slow = client::connect(socket, server.address);
    slow.write_all(HEADER).expect("the server reads");
    slow.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
    let said: Vec<u8> = (0..SIZE).map(|index| (index / 7) as u8).collect();
    let mut writer = slow.try_clone().expect("a second handle");
    let copy = said.clone();
    let writing = thread::spawn(move || writer.write_all(&copy));
    let mut heard = vec![0; SIZE];
    let (mut at, since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(6) {
        slow.read_exact(&mut heard[at..at + 2048]).expect("the server has not closed");
        at += 2048;
        thread::sleep(Duration::from_millis(100));
    }
    slow.read_exact(&mut heard[at..]).expect("the server has not closed");
    writing.join().expect("it does not panic").expect("all is taken");
    assert!(heard == said, "other bytes came back");
    drop(slow);
    assert!(!server.story(1).last().is_some_and(|gone| gone.contains("unsent")), "{:?}", server.log);

    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let mut deaf = client::connect(socket, server.address);
    deaf.write_all(HEADER).expect("the server reads");
    assert!((0..16).any(|_| deaf.write_all(&said).is_err()), "nothing is read, and all is taken");
    let gone = server.story(2).pop().expect("it was waited for");
    let number = |unit: &str| {
        let (before, _) = gone.split_once(unit)?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    };
    let received = number(" bytes in").expect("a count");
    let unsent = number(" bytes unsent").expect("a count");
    // The client's kernel has taken as much as its small buffer holds.
    assert!(gone.starts_with("is gone: stall timeout, "), "{gone}");
    assert!((received - 64 * 1024..=received + HEADER.len()).contains(&unsent), "{gone}");
}

#[test]
fn at_the_limit_of_connections_the_longest_silent_one_makes_room() {
    let mut server = Server::start(&["--max-connections", "50", "--header-timeout", "300ms"]);
    let mut talker = client(&server);
    let silent: Vec<_> = (0..49).map(|_| server.connect()).collect();
    let is_over = AtomicBool::new(false);
    let newcomers = thread::scope(|scope| {
        let (is_over, talker) = (&is_over, &mut talker);
        scope.spawn(move || {
            // It is never silent for the header timeout.
            while !is_over.load(Ordering::Relaxed) {
                round_trip(talker);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let newcomers: Vec<_> = (0..10).map(|_| client(&server)).collect();
        is_over.store(true, Ordering::Relaxed);
        newcomers
    });
    round_trip(&mut talker);
    drop((silent, newcomers, talker));
    server.wait_for("silent longest when a newcomer needed its place");
    let displaced = server.stop().into_iter().filter(|line| line.contains("silent longest")).count();
    assert!((1..=10).contains(&displaced), "{displaced}");
}

#[test]
fn the_first_byte_has_a_time_limit_of_its_own() {
    let mut server = Server::start(&["--first-byte-timeout", "200ms"]);
    let mut spoken = client(&server);
    let mut silent = server.connect();
    assert_eq!(silent.read(&mut [0; 1]).expect("a FIN"), 0);
    assert!(server.story(2).last().is_some_and(|gone| gone.starts_with("is gone: first byte timeout, 0 bytes in")));
    round_trip(&mut spoken);
}

/// The first `length` bytes of the longest header.
fn long_header(length: usize) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb]);
    // One TLV of an application type takes the rest.
    bytes.extend([0xe0, 0xff, 0xf0]);
    bytes.resize(length, b'x');
    bytes
}

#[test]
fn unfinished_headers_do_not_keep_out_whoever_sends_a_usual_one() {
    let mut server = Server::start(&["--max-held", "1MiB", "--header-timeout", "1h"]);
    let mut early = server.connect();
    early.write_all(&HEADER[..20]).expect("the server reads");
    let hoarders: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = server.connect();
            stream.set_nonblocking(true).expect("it can");
            let _ = stream.write(&long_header(60_000));
            stream
        })
        .collect();
    let since = Instant::now();
    for _ in 0..20 {
        round_trip(&mut client(&server));
    }
    // Both in two segments, including the one that began before the others.
    let mut late = server.connect();
    late.write_all(&HEADER[..20]).expect("the server reads");
    round_trip(&mut client(&server));
    for stream in [&mut early, &mut late] {
        stream.write_all(&HEADER[20..]).expect("the server reads");
        stream.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
        round_trip(stream);
    }
    // The longest legal header is accepted beside them.
    let mut long = server.connect();
    let header = long_header(65_551);
    for piece in header.chunks(20_000) {
        long.write_all(piece).expect("the server reads");
        round_trip(&mut late);
    }
    long.read_exact(&mut [0; HEADER.len()]).expect("the header comes back");
    assert!(since.elapsed() < DEADLINE, "{:?}", since.elapsed());
    drop((hoarders, early, late, long));
    server.wait_for("held the most when memory for unfinished headers and lines was used up");
    server.stop();
}

#[test]
fn less_memory_than_may_be_held_ends_connections_and_not_the_server() {
    let mut command = Command::new("prlimit");
    command.args(["--as=50000000", env!("CARGO_BIN_EXE_proxy-echo"), "--listen", "127.0.0.1:0"]);
    command.args(["--max-held", "1GiB", "--max-connections", "1000", "--send-buffer", "4KiB"]);
    let mut server = Server::spawn(command);
    let mut spoken = client(&server);
    let payload = vec![b'x'; 1 << 20];
    let hoarders: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = client(&server);
            stream.set_nonblocking(true).expect("it can");
            while stream.write(&payload).is_ok() {}
            stream
        })
        .collect();
    server.wait_for("the system has less memory than --max-held");
    round_trip(&mut spoken);
    round_trip(&mut client(&server));
    drop((hoarders, spoken));
    server.stop();
}

#[test]
fn the_log_says_what_lowers_the_default_of_what_may_be_held() {
    const ADDRESS_SPACE: usize = 100_000_000;
    let mut command = Command::new("prlimit");
    let limit = format!("--as={ADDRESS_SPACE}");
    command.args([&limit, env!("CARGO_BIN_EXE_proxy-echo"), "--listen", "127.0.0.1:0", "--max-connections", "100"]);
    let mut server = Server::spawn(command);
    let line = server.wait_for("--max-held is ");
    let (bytes, cause) =
        line.split_once("--max-held is ").and_then(|(_, rest)| rest.split_once(' ')).expect("a figure");
    assert!(bytes.parse::<usize>().expect("a number") < ADDRESS_SPACE / 4, "{line}");
    assert!(cause.ends_with("a quarter of what the limit on address space (ulimit -v) leaves"), "{line}");
    server.stop();
}

#[test]
fn a_header_may_be_limited_to_less_than_a_legal_one() {
    let mut server = Server::start(&["--max-header", "4KiB"]);
    let mut stream = server.connect();
    stream.write_all(&long_header(5000)).expect("the server reads");
    assert_closed(&mut stream);
    let story = server.story(1);
    assert!(story[1].contains("it is longer than --max-header allows"), "{story:?}");
    round_trip(&mut client(&server));
}

#[test]
fn unfinished_lines_do_not_starve_others() {
    let args = ["--echo", "lines", "--max-line", "64KiB", "--max-held", "1MiB", "--idle-timeout", "0s"];
    let mut server = Server::start(&args);
    let mut early = client(&server);
    early.write_all(b"half a li").expect("the server reads");
    let hoarders: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = client(&server);
            stream.set_nonblocking(true).expect("it can");
            let _ = stream.write(&vec![b'x'; 60_000]);
            stream
        })
        .collect();
    for _ in 0..20 {
        round_trip(&mut client(&server));
    }
    early.write_all(b"ne\n").expect("the server reads");
    let mut answer = [0; 12];
    early.read_exact(&mut answer).expect("the line comes back");
    assert_eq!(&answer, b"half a line\n");
    drop((hoarders, early));
    server.wait_for("held the most when memory for unfinished headers and lines was used up");
    server.stop();
}

/// Reads whatever the server still sends, and asserts that the end comes.
fn assert_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}
