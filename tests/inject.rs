//! Makes system calls fail by `strace -e inject`. A library in `LD_PRELOAD` would not see the calls that rustix makes
//! itself.
#![cfg(target_os = "linux")]

#[path = "common/client.rs"]
mod client;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

use client::{HEADER, client, round_trip};
use program::program;
use rustix::process::{Pid, Signal, kill_process};
use server::{DEADLINE, Server};

/// A server in which a call fails as `inject` says, such as `accept4:error=EMFILE:when=3`.
fn traced(inject: &str, args: &[&str]) -> Command {
    let mut command = program("strace", "strace");
    let inject = format!("inject={inject}");
    // With strace as the server's grandchild, the test can signal the server directly.
    command.args(["--daemonize", "--follow-forks", "--quiet=all", "--output=/dev/null", "-e", &inject]);
    command.arg(env!("CARGO_BIN_EXE_proxy-echo")).args(["--listen", "127.0.0.1:0"]).args(args);
    command
}

#[test]
fn a_connection_that_cannot_be_watched_yet_waits_and_is_served() {
    for (errno, limit) in [("ENOSPC", "fs.epoll.max_user_watches"), ("ENOMEM", "memory")] {
        // The server itself needs five watches; the first connection needs the sixth.
        let mut server = Server::spawn(traced(&format!("epoll_ctl:error={errno}:when=7..9"), &[]));
        let mut first = client(&server);
        let mut second = client(&server);
        round_trip(&mut first);
        round_trip(&mut second);
        let line = server.wait_for("cannot watch a new connection");
        assert!(line.contains(limit), "{line}");
        drop((first, second));
        assert!(!server.stop().iter().any(|line| line.contains("failed: ")));
    }
}

#[test]
fn a_signal_that_its_handler_cannot_report_is_taken_all_the_same() {
    // These calls come only from the signal handler: without clients and a manager, the server sends nothing else once
    // it listens. Two sends before that find out the kind of file of the pipe. The last call is the pipe's, because the
    // log is written before.
    for inject in ["sendto:error=ENOBUFS:when=3+", "write:error=ENOMEM:when=2+"] {
        let mut server = Server::spawn(traced(inject, &["--log", "quiet"]));
        server.signal(Signal::TERM);
        assert!(server.ended().success(), "{inject}");
    }
}

/// The errors of each call, from its manual page and the kernel. EAGAIN is listed only where it may come at any time:
/// on a socket it would be wrong, and lose an edge that the kernel never loses. `close` is missing, because strace does
/// not run it when it injects an error, and so are the C library's locks, which cannot fail.
const ERRNOS: &[(&str, &[&str])] = &[
    ("accept4", &["EINTR", "ECONNABORTED", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPROTO", "EPERM"]),
    ("bind", &["EADDRINUSE", "EACCES"]),
    ("brk", &["ENOMEM"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("connect", &["ENOENT"]),
    ("epoll_create1", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOSPC", "ENOMEM"]),
    ("epoll_wait", &["EINTR"]),
    ("eventfd2", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("fcntl", &["EINVAL", "EMFILE"]),
    ("fstat", &["ENOMEM"]),
    ("getdents64", &["ENOENT"]),
    ("getrandom", &["EINTR"]),
    ("getsockname", &["ENOBUFS"]),
    ("getsockopt", &["ENOBUFS"]),
    ("ioctl", &["ENOTTY"]),
    ("listen", &["EADDRINUSE"]),
    ("lseek", &["ESPIPE"]),
    ("mmap", &["ENOMEM"]),
    ("mprotect", &["ENOMEM"]),
    ("openat", &["EMFILE", "ENFILE", "ENOENT", "EACCES", "ENOMEM"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("ppoll", &["EINTR", "ENOMEM"]),
    ("prlimit64", &["EPERM"]),
    ("read", &["EINTR", "EIO", "ENOMEM"]),
    ("readlink", &["EACCES"]),
    ("recvfrom", &["EINTR", "ENOMEM", "ECONNRESET", "ETIMEDOUT"]),
    ("sendto", &["EINTR", "ENOBUFS", "ENOMEM", "EPIPE", "ECONNRESET"]),
    ("setsockopt", &["ENOPROTOOPT", "ENOMEM", "EPERM"]),
    ("shutdown", &["ENOTCONN"]),
    ("sigaltstack", &["ENOMEM"]),
    ("socket", &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]),
    ("socketpair", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("statx", &["EACCES"]),
    ("timerfd_create", &["EMFILE", "ENFILE", "ENOMEM"]),
    ("write", &["EINTR", "EAGAIN", "EIO", "ENOSPC", "EFBIG", "EPIPE"]),
];

/// The outcome of a server in which one call failed.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It served all clients, except perhaps the one whose call failed.
    Served { failed: usize },
    /// It said why it cannot start.
    NotStarted,
    /// It had no memory for a structure that does not grow with peers, and said so.
    Aborted,
}

/// A scene with every feature on: three clients (one of them stays), the admin port, the manager, signals, the end.
struct Scene {
    folder: tempfile::TempDir,
    manager: UnixDatagram,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let manager = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        // Use addresses that only this process uses, so that a port that was free a moment ago still is.
        let [.., high, low] = std::process::id().to_be_bytes();
        let free = |last| {
            let address = SocketAddr::from(([127, 100 + high % 100, low, last], 0));
            TcpListener::bind(address).and_then(|listener| listener.local_addr()).expect("an address")
        };
        Scene { folder, manager, address: free(1), admin: free(2) }
    }

    fn command(&self, strace: &[&str]) -> Command {
        let mut command = program("strace", "strace");
        command.args(["--daemonize", "--follow-forks", "--quiet=all"]).args(strace);
        command.arg(env!("CARGO_BIN_EXE_proxy-echo")).args([
            "--log",
            "lines",
            "--log-format",
            "json",
            "--echo",
            "lines",
        ]);
        command.arg("--listen").arg(self.address.to_string()).arg("--admin").arg(self.admin.to_string());
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify")).env("WATCHDOG_USEC", "50000");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Plays the scene. Returns the outcome of the server.
    fn play(&self, mut command: Command) -> Result<Outcome, String> {
        let mut server = Child(command.spawn().expect("strace starts"));
        let stdout = drained(server.0.stdout.take().expect("it is piped"));
        let stderr = drained(server.0.stderr.take().expect("it is piped"));
        let end = Instant::now() + DEADLINE;
        let mut stays = loop {
            if let Ok(stream) = TcpStream::connect(self.address) {
                break stream;
            }
            if server.0.try_wait().expect("it is our child").is_some() {
                return ended(server, stdout, stderr);
            }
            if Instant::now() > end {
                return Err("it neither listens nor ends".to_owned());
            }
            thread::sleep(Duration::from_millis(1));
        };
        let mut failed = usize::from(talk(&mut stays).is_err());
        for _ in 0..2 {
            failed += usize::from(visit(self.address).is_err());
        }
        failed += usize::from(ask(self.admin, "/connections.json").is_err());
        server.signal(Signal::HUP);
        failed += usize::from(visit(self.address).is_err());
        failed += usize::from(failed == 0 && talk(&mut stays).is_err());
        if server.0.try_wait().expect("it is our child").is_some() {
            return ended(server, stdout, stderr);
        }
        drop(stays);
        server.signal(Signal::TERM);
        let status = server.wait()?;
        if !status.success() {
            return ended(server, stdout, stderr);
        }
        let log = stdout.join().expect("it was read");
        let mut manager = [0; 64];
        self.manager.set_nonblocking(true).expect("it can");
        while self.manager.recv(&mut manager).is_ok() {}
        if failed <= 1 { Ok(Outcome::Served { failed }) } else { Err(format!("{failed} clients failed\n{log}")) }
    }
}

/// The outcome of a server that ended early: it must have given a reason, and must not have said that it listens.
fn ended(mut server: Child, stdout: JoinHandle<String>, stderr: JoinHandle<String>) -> Result<Outcome, String> {
    let status = server.wait()?;
    let [log, words] = [stdout, stderr].map(|said| said.join().expect("it was read"));
    let listened = log.contains("\"event\":\"listening\"");
    match status.code() {
        Some(1 | 2) if !words.is_empty() && !listened => Ok(Outcome::NotStarted),
        // The exit code of the dynamic linker.
        Some(127) if !words.is_empty() && log.is_empty() => Ok(Outcome::NotStarted),
        None if words.contains("memory allocation of") => Ok(Outcome::Aborted),
        // The standard library or the C library failed before `main`, which need not print anything.
        None if words.contains("fatal runtime error") || log.is_empty() => Ok(Outcome::Aborted),
        _ => Err(format!("it ended: {status}\n{words}\n{log}")),
    }
}

/// Reads all output of a server, so that it never blocks.
fn drained(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = pipe.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    })
}

fn visit(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    talk(&mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

/// Sends a header the first time, or a line that looks like one, and further lines. All must come back.
fn talk(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    let line = [&[b'x'; 2000][..], b"\n"].concat();
    for said in [HEADER, b"hello\n", &line, b"bye\n"] {
        stream.write_all(said)?;
        let mut heard = vec![0; said.len()];
        stream.read_exact(&mut heard)?;
        if heard != said {
            return Err(ErrorKind::InvalidData.into());
        }
    }
    Ok(())
}

fn ask(admin: SocketAddr, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let answer = io::read_to_string(stream)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

/// A server that ends with its scene.
struct Child(std::process::Child);

impl Child {
    fn signal(&self, signal: Signal) {
        // It may have ended already, which the scene finds out.
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }
}

impl Child {
    fn wait(&mut self) -> Result<ExitStatus, String> {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.0.try_wait().expect("it is our child") {
                Some(status) => return Ok(status),
                None if Instant::now() > end => return Err("it does not end".to_owned()),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of times that a server makes each call in a scene.
fn calls_of_a_scene() -> BTreeMap<String, usize> {
    let scene = Scene::new();
    let trace = scene.folder.path().join("trace");
    let outcome = scene.play(scene.command(&["--output", trace.to_str().expect("a path")]));
    assert_eq!(outcome, Ok(Outcome::Served { failed: 0 }));
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(trace).expect("a trace").lines() {
        let call = line.split_whitespace().nth(1).and_then(|text| text.split_once('('));
        if let Some((name, _)) = call {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// `INJECT=all cargo test --test inject -- --nocapture` makes every call of a scene fail in turn with every error that
/// it can have. Otherwise one in ten of them fail, the same ones in each run, although the number of calls depends on
/// the machine's speed.
#[test]
fn one_call_that_fails_costs_one_client_at_most() {
    let calls = calls_of_a_scene();
    let step = if env::var("INJECT").as_deref() == Ok("all") { 1 } else { 10 };
    let all = ERRNOS.iter().flat_map(|&(call, errnos)| {
        let count = calls.get(call).copied().unwrap_or(0);
        let all = (1..=count).flat_map(move |nth| errnos.iter().map(move |&errno| (call, errno, nth)));
        all.step_by(step)
    });
    let all: Vec<_> = all.collect();
    let kinds = ERRNOS.iter().filter(|(call, _)| calls.contains_key(*call)).count();
    println!("{} scenes, {kinds} system calls", all.len());
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for &(call, errno, nth) in &all {
        let scene = Scene::new();
        let inject = format!("inject={call}:error={errno}:when={nth}");
        let start = Instant::now();
        let outcome = scene.play(scene.command(&["--output=/dev/null", "-e", &inject]));
        if start.elapsed() > Duration::from_secs(2) {
            println!("{inject}: {:.1?}: {outcome:?}", start.elapsed());
        }
        match outcome {
            Ok(Outcome::Aborted) if !["mmap", "brk", "mprotect"].contains(&call) => {
                wrong.push(format!("{inject}: aborted"));
            }
            Ok(outcome) => *outcomes.entry(format!("{outcome:?}")).or_default() += 1,
            Err(error) => wrong.push(format!("{inject}: {error}")),
        }
    }
    println!("{} scenes: {outcomes:?}", all.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
