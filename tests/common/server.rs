//! The program under test, run as a user runs it, and its log.
#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Everything that a test waits for must happen within this time, however slow the machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The command of a server that is passed `listener` as a service manager does (`sd_listen_fds(3)`).
pub fn activated(listener: &TcpListener, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_proxy-echo"))
        .args(args);
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().expect("a second handle"))));
    command
}

/// A server on its own port on loopback. It ends with its test.
pub struct Server {
    child: Child,
    process: Process,
    lines: Receiver<String>,
    /// The log so far.
    pub log: Vec<String>,
    pub address: SocketAddr,
}

impl Server {
    /// Most lines of the log that are read ahead.
    const LINES_AHEAD: usize = 1 << 17;

    /// Starts `proxy-echo --listen 127.0.0.1:0` with further arguments.
    pub fn start(args: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        Server::spawn(command)
    }

    /// Runs `command`, which must start a server that listens on loopback, or on all addresses.
    pub fn spawn(mut command: Command) -> Server {
        command.stdin(Stdio::null());
        Server::spawn_with_input(command)
    }

    /// The same, with the standard input that `command` has.
    pub fn spawn_with_input(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = sync_channel(Server::LINES_AHEAD);
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let process = Process(Pid::from_child(&child));
        let mut server = Server { child, process, lines, log: Vec::new(), address };
        let first_line = server.wait_for("");
        server.address = first_line.split([' ', '"']).find_map(|word| word.parse().ok()).expect("an address");
        if server.address.ip().is_unspecified() {
            server.address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        server
    }

    /// A connection whose reads and writes fail after the deadline.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("nodelay");
        stream
    }

    /// Sends `bytes` and FIN, and returns all bytes received up to the server's FIN.
    pub fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("half-close");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server answers and closes");
        answer
    }

    /// The first line of the whole log that contains `text`. Waits for it until the deadline.
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        let mut looked_at = 0;
        loop {
            if let Some(line) = self.log[looked_at..].iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            looked_at = self.log.len();
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {text:?} in the log:\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// All lines of connection `number` without time and number, after waiting until it is gone.
    pub fn story(&mut self, number: u64) -> Vec<String> {
        let mark = format!(" #{number} ");
        self.wait_for(&format!("{mark}is gone"));
        self.log.iter().filter_map(|line| line.split_once(&mark)).map(|(_, event)| event.to_owned()).collect()
    }

    /// From now on reads the log and discards it, so that any number of lines can come.
    pub fn forget_log(&mut self) {
        let lines = std::mem::replace(&mut self.lines, sync_channel(0).1);
        thread::spawn(move || lines.iter().for_each(drop));
    }

    /// Waits for the server to end by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end");
            thread::yield_now();
        }
    }

    /// Stops the server by SIGTERM and returns the whole log.
    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        assert!(self.ended().success());
        self.log.extend(self.lines.iter());
        std::mem::take(&mut self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's process, for questions from any thread.
#[derive(Clone, Copy)]
pub struct Process(Pid);

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Process {
    pub fn pid(self) -> Pid {
        self.0
    }

    pub fn signal(self, signal: Signal) {
        kill_process(self.0, signal).expect("the server runs");
    }

    /// A number from a line of /proc/PID/status, such as `VmHWM` in KiB.
    #[cfg(target_os = "linux")]
    pub fn status(self, name: &str) -> usize {
        self.number("status", name)
    }

    /// Its resident memory in KiB, from a count of its pages. `VmRSS` leaves out up to 128 KiB per CPU that are not
    /// added to the sum yet.
    #[cfg(target_os = "linux")]
    pub fn resident(self) -> usize {
        self.number("smaps_rollup", "Rss:")
    }

    /// Its own data in that memory, in KiB. How much of the program file is resident depends on how much of it the
    /// system has read.
    #[cfg(target_os = "linux")]
    pub fn data(self) -> usize {
        self.number("smaps_rollup", "Anonymous:")
    }

    #[cfg(target_os = "linux")]
    fn number(self, file: &str, name: &str) -> usize {
        let path = format!("/proc/{}/{file}", self.0.as_raw_pid());
        let text = std::fs::read_to_string(path).expect("the server runs");
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line of that name");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// The number of its open descriptors.
    #[cfg(target_os = "linux")]
    pub fn files(self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.as_raw_pid())).expect("the server runs").count()
    }

    /// The CPU time of its threads.
    #[cfg(target_os = "linux")]
    pub fn cpu(self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.as_raw_pid())).expect("the server runs");
        let used = threads.map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let stat = std::fs::read_to_string(path).expect("the server runs");
            stat.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).expect("nanoseconds")
        });
        Duration::from_nanos(used.sum())
    }
}
