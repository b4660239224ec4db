//! The frame of every fault: a server, honest clients beside the fault, and the checks after it.

use std::any::Any;
use std::fmt::Display;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::honest::{Honest, Tally};
use crate::server::{DEADLINE, Process, Server};

/// The header timeout of every server in this suite.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// The target of a fault.
#[derive(Clone, Copy)]
pub struct Target {
    pub address: SocketAddr,
    pub process: Process,
    /// Whether the unit of the echo is lines.
    pub lines: bool,
    /// Whether other faults run at the same time. The fault is then a tenth as large, and its own times are not
    /// checked.
    pub mixed: bool,
    pub seed: u64,
}

impl Target {
    /// `count`, or a tenth of it if other faults run at the same time.
    pub fn many(&self, count: usize) -> usize {
        if self.mixed { count / 10 } else { count }
    }
}

/// The limits that must hold for the honest clients and the server.
pub struct Bounds {
    /// The 99th percentile of the time for a message, from when it was due. Four times as much in a debug build.
    pub p99: Duration,
    /// Memory that the server may use afterwards in addition to that before, in KiB.
    pub kept_kib: usize,
    /// Whether new clients can connect all the time.
    pub newcomers: bool,
    /// The longest time for a new client, from its SYN to its answer. Four times as much in a debug build.
    pub newcomer: Duration,
}

impl Bounds {
    pub fn p99(&self) -> Duration {
        Self::in_this_build(self.p99)
    }

    fn in_this_build(time: Duration) -> Duration {
        if cfg!(debug_assertions) { time * 4 } else { time }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { p99: Duration::from_millis(250), kept_kib: 4096, newcomers: true, newcomer: DEADLINE }
    }
}

/// A warmed-up server with honest clients.
pub struct Ordeal {
    pub server: Server,
    pub target: Target,
    honest: Honest,
    /// The number of the server's open files before the first fault.
    pub files: usize,
    pub kib: usize,
    /// Objects that must live until the server ends.
    pub beside: Option<Box<dyn Any>>,
}

/// The outcome of a fault.
pub struct Outcome {
    pub did: String,
    pub tally: Tally,
    pub peak_kib: usize,
    pub kib: usize,
    pub took: Duration,
}

impl Ordeal {
    pub fn new(args: &[&str], seed: u64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
        command.args(args).stdin(Stdio::null());
        Self::of(command, seed)
    }

    /// Starts the server by `command`, with the arguments common to all.
    pub fn of(mut command: Command, seed: u64) -> Self {
        rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised");
        command.args(["--listen", "127.0.0.1:0", "--header-timeout", "3s"]).stderr(Stdio::inherit());
        let lines = command.get_args().any(|arg| arg == "lines");
        let server = Server::spawn_with_input(command);
        let target = Target { address: server.address, process: *server, lines, mixed: false, seed };
        let mut honest = Honest::connect(target.address);
        honest.warm_up();
        let mut ordeal = Ordeal { server, target, honest, files: 0, kib: 0, beside: None };
        ordeal.wait_for_rest();
        (ordeal.files, ordeal.kib) = (ordeal.server.files(), ordeal.server.resident());
        ordeal
    }

    /// Runs `fault` beside the honest clients, then asserts that the server has everything back.
    pub fn bear(&mut self, bounds: &Bounds, fault: impl FnOnce(&mut Server, Target) -> String) -> Outcome {
        let start = Instant::now();
        let (server, target) = (&mut self.server, self.target);
        let (did, tally) = self.honest.beside(target.address, bounds.newcomers, || fault(server, target));
        let took = start.elapsed();
        wait_until("all descriptors are back", || self.server.files(), |&files| files == self.files);
        self.wait_for_rest();
        let most = self.kib + bounds.kept_kib;
        let kib = wait_until("the memory is back", || self.server.resident(), |&kib| kib <= most);
        let peak_kib = self.server.status("VmHWM");
        let p99 = bounds.p99();
        assert!(tally.p99 <= p99, "p99 of the honest clients is {:?}, over {p99:?}", tally.p99);
        let (slowest, newcomer) = (tally.slowest_newcomer, Bounds::in_this_build(bounds.newcomer));
        assert!(slowest <= newcomer, "a newcomer was served after {slowest:?}, over {newcomer:?}");
        self.honest.warm_up();
        Outcome { did, tally, peak_kib, kib, took }
    }

    /// Waits until the server uses no CPU time at all for a while.
    fn wait_for_rest(&mut self) {
        let window = Duration::from_millis(250);
        let used = || {
            let before = self.server.cpu();
            thread::sleep(window);
            self.server.cpu().saturating_sub(before).as_nanos()
        };
        wait_until("no CPU time (in ns) is used at rest", used, |&ns| ns == 0);
    }

    /// Ends the server, which must have nothing left to do. Returns its log, without discarded lines.
    pub fn end(self) -> Vec<String> {
        drop(self.honest);
        self.server.stop()
    }
}

/// Repeats `look` until `is_right`.
pub fn wait_until<T: Display>(what: &str, mut look: impl FnMut() -> T, is_right: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        let seen = look();
        if is_right(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: still {seen} after {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}
