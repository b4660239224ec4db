//! Operating a server: starting it by a service manager, restarting it under load, stopping it, and a broken log.
#![cfg(target_os = "linux")]

#[path = "common/client.rs"]
mod client;
#[path = "common/manager.rs"]
mod manager;
#[path = "common/server.rs"]
mod server;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{HEADER, client, round_trip};
use manager::Manager;
use rustix::process::{Pid, Signal, kill_process};
use server::{DEADLINE, Server, activated};

const PROGRAM: &str = env!("CARGO_BIN_EXE_proxy-echo");

/// One connection from its first byte to its last.
fn visit(address: SocketAddr) -> io::Result<()> {
    talk_to(TcpStream::connect(address)?)
}

fn talk_to(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(HEADER)?;
    let mut answer = [0; HEADER.len() + 5];
    stream.read_exact(&mut answer[..HEADER.len()])?;
    stream.write_all(b"Hello")?;
    stream.read_exact(&mut answer[HEADER.len()..])?;
    assert_eq!(answer[..], [HEADER, b"Hello"].concat()[..]);
    Ok(())
}

/// Makes visits at full rate while `restarts` runs, and returns their number. The last server serves to the end.
fn visit_during(address: SocketAddr, restarts: impl FnOnce(&AtomicUsize) -> Server) -> usize {
    let (is_over, visits) = (AtomicBool::new(false), AtomicUsize::new(0));
    let _last = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    visit(address).expect("a connection is served, whoever listens");
                    visits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let last = restarts(&visits);
        is_over.store(true, Ordering::Relaxed);
        last
    });
    visits.into_inner()
}

/// Waits for a hundred more visits.
fn wait_for_visits(visits: &AtomicUsize) {
    let (end, enough) = (Instant::now() + DEADLINE, visits.load(Ordering::Relaxed) + 100);
    while visits.load(Ordering::Relaxed) < enough {
        assert!(Instant::now() < end, "nobody is served");
        thread::yield_now();
    }
}

/// Ten times starts a new server and then ends the old one.
fn restart_ten_times(mut old: Server, visits: &AtomicUsize, start: impl Fn() -> Server) -> Server {
    for _ in 0..10 {
        let mut talk = client(&old);
        wait_for_visits(visits);
        let new = start();
        old.signal(Signal::TERM);
        wait_for_visits(visits);
        // A connection of the old server may finish.
        round_trip(&mut talk);
        drop(talk);
        assert!(old.ended().success());
        old = new;
    }
    wait_for_visits(visits);
    old
}

#[test]
fn ten_restarts_with_a_passed_socket_lose_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("an address");
    let start = || Server::spawn_with_input(activated(&listener, &["--log", "quiet"]));
    let first = start();
    let visits = visit_during(address, |visits| restart_ten_times(first, visits, start));
    println!("{visits} connections through ten restarts");
}

#[test]
fn ten_restarts_with_a_shared_port_lose_no_connection() {
    let first = Server::start(&["--log", "quiet", "--reuse-port"]);
    let listen = first.address.to_string();
    let start = || {
        let mut command = Command::new(PROGRAM);
        command.args(["--listen", &listen, "--log", "quiet", "--reuse-port"]);
        Server::spawn(command)
    };
    let visits = visit_during(first.address, |visits| restart_ten_times(first, visits, start));
    println!("{visits} connections through ten restarts");
}

#[test]
fn a_new_server_that_cannot_start_takes_no_connection_from_the_old_one() {
    let admin = TcpListener::bind("127.0.0.1:0").expect("an address");
    let taken = admin.local_addr().expect("an address").to_string();
    let old = Server::start(&["--log", "quiet", "--reuse-port"]);
    let listen = old.address.to_string();
    let visits = visit_during(old.address, |visits| {
        for _ in 0..10 {
            let mut new = Command::new(PROGRAM);
            let new = new.args(["--listen", &listen, "--reuse-port", "--admin", &taken]).output().expect("it starts");
            let words = String::from_utf8_lossy(&new.stderr);
            assert!(words.starts_with(&format!("error: cannot listen on {taken}: ")), "{words}");
            assert_eq!((new.status.code(), new.stdout.len()), (Some(1), 0));
            wait_for_visits(visits);
        }
        old
    });
    println!("{visits} connections through ten starts that fail");
}

#[test]
fn a_drain_under_load_cuts_no_connection() {
    let mut server = Server::start(&["--log", "quiet", "--drain-delay", "200ms"]);
    let address = server.address;
    let (visits, end) = (AtomicUsize::new(0), Instant::now() + DEADLINE);
    let mut talk = client(&server);
    let before = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Until the port is closed, every client is served to its end. After that none can connect.
                while Instant::now() < end {
                    match TcpStream::connect(address) {
                        Ok(stream) => {
                            talk_to(stream).expect("who is accepted is served");
                            visits.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                        Err(error) => panic!("{error}"),
                    }
                }
                panic!("the port stays open");
            });
        }
        wait_for_visits(&visits);
        server.signal(Signal::TERM);
        visits.load(Ordering::Relaxed)
    });
    assert!(visits.into_inner() > before, "nobody was served in the delay");
    round_trip(&mut talk);
    drop(talk);
    assert!(server.ended().success());
}

/// A server with a manager.
fn start_by(manager: &Manager, watchdog_usec: &str) -> Server {
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]);
    manager.manage(&mut command, watchdog_usec);
    Server::spawn(command)
}

#[test]
fn a_service_manager_is_told_of_start_life_and_end() {
    let manager = Manager::new();
    let mut server = start_by(&manager, "200000");
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving\n");
    let talk = client(&server);
    let end = Instant::now() + DEADLINE;
    while manager.next() != "WATCHDOG=1\nSTATUS=1 connections\n" {
        assert!(Instant::now() < end);
    }
    let (since, count) = (Instant::now(), 10);
    for _ in 0..count {
        assert_eq!(manager.next(), "WATCHDOG=1\nSTATUS=1 connections\n");
    }
    assert!(since.elapsed() >= Duration::from_millis(90) * count, "it is told more often than it wants");
    server.signal(Signal::TERM);
    while manager.next() != "STOPPING=1\nSTATUS=finishing connections\n" {
        assert!(Instant::now() < end);
    }
    drop(talk);
    assert!(server.ended().success());
}

#[test]
fn without_a_watchdog_the_manager_is_left_alone() {
    let manager = Manager::new();
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0"]);
    manager.manage(&mut command, "");
    command.env_remove("WATCHDOG_USEC");
    let mut server = Server::spawn(command);
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving\n");
    round_trip(&mut client(&server));
    server.signal(Signal::TERM);
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=finishing connections\n");
    assert!(server.ended().success());
}

#[test]
fn a_passed_descriptor_that_is_no_socket_is_named() {
    let output = Command::new("sh")
        .args(["-c", "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh", PROGRAM])
        .output()
        .expect("the program starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(words.starts_with("error: cannot listen on descriptor 3 that was passed: "), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
}

#[test]
fn sighup_is_answered_and_changes_nothing() {
    let mut server = Server::start(&["--log", "quiet"]);
    let mut talk = client(&server);
    server.signal(Signal::HUP);
    server.wait_for("SIGHUP: nothing is reloaded");
    round_trip(&mut talk);
    round_trip(&mut client(&server));
    drop(talk);
    assert_eq!(server.stop().len(), 3);
}

#[test]
fn a_log_that_cannot_be_written_costs_only_its_lines() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    for log in [Stdio::from(writer), Stdio::from(full)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let child = activated(&listener, &["--log", "lines"]).stdout(log).spawn().expect("the server starts");
        let mut server = Child(child);
        for _ in 0..1000 {
            visit(listener.local_addr().expect("an address")).expect("it serves");
        }
        server.signal(Signal::TERM);
        let status = server.0.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_however_little_is_said() {
    /// More log lines than a pipe holds.
    const SIGNALS: usize = 2000;
    let (_reader, writer) = io::pipe().expect("a pipe");
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let child = activated(&listener, &["--log", "quiet"]).stdout(writer).spawn().expect("the server starts");
    let mut server = Child(child);
    let address = listener.local_addr().expect("an address");
    visit(address).expect("it serves");
    for _ in 0..SIGNALS {
        server.signal(Signal::HUP);
        visit(address).expect("it serves");
    }
    server.signal(Signal::TERM);
    assert!(server.0.wait().expect("it ends").success());
}

#[test]
fn a_service_manager_that_reads_nothing_stops_nothing() {
    let manager = Manager::new();
    // The queue of a datagram socket is soon full (net.unix.max_dgram_qlen).
    let mut server = start_by(&manager, "2000");
    manager.fill();
    let mut talk = client(&server);
    // A hundred periods of the watchdog.
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(100) {
        round_trip(&mut talk);
    }
    server.signal(Signal::TERM);
    drop(talk);
    assert!(server.ended().success());
}

#[test]
fn a_manager_that_had_no_room_for_the_start_hears_of_it_later() {
    let manager = Manager::new();
    manager.fill();
    let _server = start_by(&manager, "3600000000");
    let end = Instant::now() + DEADLINE;
    while manager.next() != "READY=1\nSTATUS=serving\n" {
        assert!(Instant::now() < end);
    }
}

#[test]
fn signals_that_end_other_programs_are_ignored_and_logged() {
    let mut server = Server::start(&[]);
    let mut talk = client(&server);
    for (signal, name) in [
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::VTALARM, "SIGVTALRM"),
        (Signal::PROF, "SIGPROF"),
    ] {
        server.signal(signal);
        server.wait_for(&format!("{name} means nothing to the server: ignored"));
        round_trip(&mut talk);
    }
    drop(talk);
    server.stop();
}

#[test]
fn a_log_that_meets_its_limit_of_size_costs_only_its_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let mut limited = Command::new("sh");
    // The unit is 512 bytes or 1 KiB, depending on the shell.
    limited.args(["-c", "ulimit -f 8; exec \"$@\"", "sh"]);
    let activated = activated(&listener, &["--log", "lines"]);
    limited.arg(activated.get_program()).args(activated.get_args());
    limited
        .stdin(OwnedFd::from(listener.try_clone().expect("a second handle")))
        .stdout(File::create(&path).expect("a file"));
    let mut server = Child(limited.spawn().expect("the server starts"));
    let address = listener.local_addr().expect("an address");
    for _ in 0..500 {
        visit(address).expect("it serves");
    }
    let log = std::fs::read_to_string(&path).expect("a file");
    assert!((4096..=8192).contains(&log.len()), "{} bytes", log.len());
    server.signal(Signal::TERM);
    assert!(server.0.wait().expect("it ends").success());
}

#[test]
fn a_full_pipe_for_a_log_does_not_keep_a_quiet_server_from_serving() {
    let (_reader, mut writer) = io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("it can");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("it can");
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let child = activated(&listener, &["--log", "quiet"]).stdout(writer).spawn().expect("the server starts");
    let mut server = Child(child);
    let mut stream = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(HEADER).expect("it reads");
    stream.read_exact(&mut [0; HEADER.len()]).expect("it serves");
    drop(stream);
    server.signal(Signal::TERM);
    assert!(server.0.wait().expect("it ends").success());
}

#[test]
fn passed_sockets_that_make_no_sense_are_refused() {
    let unbound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let pass = |count: &str, socket: Stdio| {
        let mut command = Command::new("sh");
        let script = format!("exec 3<&0; LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\"");
        command.args(["-c", &script, "sh", PROGRAM]).stdin(socket);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("words")
    };
    let words = pass("1", OwnedFd::from(unbound).into());
    assert!(words.contains("descriptor 3 that was passed: the socket is not bound to an address"), "{words}");
    let words = pass("300000000", Stdio::null());
    assert!(words.contains("LISTEN_FDS=300000000, and at most 1024 sockets can be passed"), "{words}");
}

/// A server whose log the test reads itself. It ends with its test.
struct Child(std::process::Child);

impl Child {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it runs");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
