//! Faults of things other than sockets: the service manager, the log file, standard output, the kernel's epoll watches.

use std::any::Any;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Deed;
use crate::client::round_trip;
use crate::manager::Manager;
use crate::ordeal::{Ordeal, Target};
use crate::peers::client;
use crate::program::program;
use crate::server::{Server, activated};

/// How long a lasting fault goes on.
const TIME: Duration = Duration::from_millis(600);

/// A service manager that does not read from the start to the end. In between it reads once, and finds that the server
/// is alive.
pub fn manager_stops(seed: u64) -> (Ordeal, Deed) {
    let manager = Rc::new(Manager::new());
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    manager.manage(&mut command, "1000000");
    manager.fill();
    let mut ordeal = Ordeal::of(command, seed);
    ordeal.beside = Some(Box::new(Rc::clone(&manager)));
    let fault = move |_: &mut Server, _| {
        thread::sleep(TIME);
        while !manager.next().starts_with("WATCHDOG=1\n") {}
        manager.fill();
        format!("a full queue, for {TIME:?} and at the end, with a watchdog of 1 s that hears of it in between")
    };
    (ordeal, Box::new(fault))
}

/// A log file that may not grow: each line that does not fit causes SIGXFSZ. Other signals that end programs come too.
pub fn log_full(seed: u64) -> (Ordeal, Deed) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let ordeal = with_log_at(&log, "ulimit -f 8;", &["--log", "lines"], Box::new(folder), seed);
    let fault = move |_: &mut Server, target: Target| {
        let start = Instant::now();
        let mut signals = 0;
        while start.elapsed() < TIME {
            for signal in [Signal::USR1, Signal::USR2, Signal::XFSZ] {
                target.process.signal(signal);
                signals += 1;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // The unit is 512 bytes or 1 KiB, depending on the shell.
        let length = fs::metadata(&log).expect("a file").len();
        assert!([4096, 8192].contains(&length), "{length} bytes");
        format!("a file that ends at {} KiB, and {signals} of SIGUSR1, SIGUSR2, SIGXFSZ", length >> 10)
    };
    (ordeal, Box::new(fault))
}

/// Standard output is a full pipe before the server writes its first line, and stays full.
pub fn output_full(seed: u64) -> (Ordeal, Deed) {
    let (reader, writer) = full_pipe();
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd()));
    let ordeal = with_log_at(&path, "", &["--log", "quiet"], Box::new((reader, writer)), seed);
    let fault = |_: &mut Server, target: Target| {
        let start = Instant::now();
        let mut lines = 0;
        while start.elapsed() < TIME {
            target.process.signal(Signal::HUP);
            lines += 1;
            thread::sleep(Duration::from_millis(1));
        }
        format!("a full pipe from the start to the end, and {lines} of SIGHUP, each with a line to say")
    };
    (ordeal, Box::new(fault))
}

fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("it can");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("it can");
    (reader, writer)
}

/// A server that logs to `path`, started by a shell after `setup`. It is passed its socket, because the test cannot
/// read its address from the log.
fn with_log_at(path: &Path, setup: &str, args: &[&str], beside: Box<dyn Any>, seed: u64) -> Ordeal {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("an address");
    let activated = activated(&listener, args);
    let mut command = Command::new("sh");
    let script = format!("echo {address}; {setup} exec \"$@\" >{}", path.display());
    command.args(["-c", &script, "sh"]).arg(activated.get_program()).args(activated.get_args());
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut ordeal = Ordeal::of(command, seed);
    ordeal.beside = Some(beside);
    ordeal
}

/// One epoll watch in seven is refused, as when a user's limit is used up: new clients wait, and none is reset.
pub fn watches_refused(seed: u64) -> (Ordeal, Deed) {
    const CLIENTS: usize = 40;
    let folder = TempDir::new().expect("a folder");
    let trace = folder.path().join("trace");
    let mut command = program("strace", "strace");
    // With strace as the server's grandchild, the test can signal the server directly. The first calls are those of the
    // start.
    command.args(["--daemonize", "--follow-forks", "--seccomp-bpf", "--quiet=all", "--trace=epoll_ctl"]);
    command.arg("--inject=epoll_ctl:error=ENOSPC:when=30+7").arg("--output").arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_proxy-echo"));
    let ordeal = Ordeal::of(command, seed);
    let fault = move |server: &mut Server, target: Target| {
        let _folder = folder;
        let mut rng = Rng::with_seed(target.seed);
        let mut peers: Vec<_> = (0..CLIENTS).map(|_| client(target.address, &mut rng)).collect();
        peers.iter_mut().for_each(round_trip);
        server.wait_for("fs.epoll.max_user_watches");
        assert!(!server.log.iter().any(|line| line.contains("failed: ")), "{:?}", server.log);
        let refused = fs::read_to_string(&trace).expect("a trace").matches("INJECTED").count();
        assert!(refused > 0);
        format!("{CLIENTS} clients, {refused} calls of epoll_ctl that fail by ENOSPC: all are served")
    };
    (ordeal, Box::new(fault))
}
