//! The resources that the server used during the measurement, if it runs on this machine.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::result::ServerUse;

/// Reads the CPU time and memory of a process.
#[derive(Debug)]
pub struct ServerProbe {
    pid: u32,
    rss_before: u64,
    rss_opened: u64,
    /// CPU time in ns and memory at the start and at the end of the measured time, with the times of both in ns.
    marks: Vec<(u64, u64, u64)>,
}

/// The resources that it used.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    pid: u32,
    cpu: Duration,
    elapsed: Duration,
    rss_before: u64,
    rss_after: u64,
}

impl ServerProbe {
    /// Reads process `pid` before there are connections.
    ///
    /// # Errors
    ///
    /// There is no such process.
    pub fn new(pid: u32) -> io::Result<Self> {
        let rss_before = cpu_ns(pid).and_then(|_| rss_bytes(pid)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => io::Error::other("there is no such process here"),
            _ => error,
        })?;
        Ok(ServerProbe { pid, rss_before, rss_opened: rss_before, marks: Vec::with_capacity(2) })
    }

    /// Reads the memory when all connections are open.
    pub fn opened(&mut self) {
        self.rss_opened = rss_bytes(self.pid).unwrap_or(self.rss_before);
    }

    /// Reads the process at the begin or the end of the measured time.
    pub fn mark(&mut self, now_ns: u64) {
        // A process that has ended gets no second mark, and so no figures.
        if let (Ok(cpu_ns), Ok(rss)) = (cpu_ns(self.pid), rss_bytes(self.pid)) {
            self.marks.push((now_ns, cpu_ns, rss));
        }
    }

    /// The resources that it used, if it still runs.
    #[must_use]
    pub fn finish(self) -> Option<Use> {
        let [(start_ns, cpu_start, _), (end_ns, cpu_end, rss)] = self.marks[..] else { return None };
        Some(Use {
            pid: self.pid,
            cpu: Duration::from_nanos(cpu_end.saturating_sub(cpu_start)),
            elapsed: Duration::from_nanos(end_ns - start_ns),
            rss_before: self.rss_before,
            rss_after: rss.max(self.rss_opened),
        })
    }
}

impl Use {
    /// Relates the use to the measurement, whose time differs slightly from that between the marks.
    #[must_use]
    pub fn of(self, messages: u64, connections: u64, measured: Duration) -> ServerUse {
        let grown = self.rss_after.saturating_sub(self.rss_before) as f64;
        let cpu_share = self.cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9);
        let cpu_ns = cpu_share * measured.as_nanos() as f64;
        ServerUse {
            pid: self.pid,
            cpu_s: self.cpu.as_secs_f64(),
            cpu_share,
            cpu_ns_per_request: (messages > 0).then(|| cpu_ns / messages as f64),
            rss_before_bytes: self.rss_before,
            rss_after_bytes: self.rss_after,
            rss_per_connection_bytes: (connections > 0).then(|| grown / connections as f64),
        }
    }
}

/// CPU time of all living threads.
fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // The thread may have ended meanwhile.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

fn rss_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}
