//! The machine of the generator, and events on it during a run.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Instant;

use crate::cgroup;
use crate::plan::Plan;
use crate::result::{Environment, Throttled};
use crate::system;

/// Kernel settings that affect measurements.
const SYSCTLS: [&str; 12] = [
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.core.busy_poll",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_syncookies",
];

/// A snapshot of the machine's counters at the start of a run.
#[derive(Debug)]
pub struct Witness {
    since: Instant,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    steal: Option<u64>,
    all_time: u64,
    pressure_us: Option<u64>,
    retransmits: Option<u64>,
    overflows: Option<u64>,
    throttled: Option<Throttled>,
}

impl Default for Witness {
    fn default() -> Self {
        Witness::new()
    }
}

impl Witness {
    /// Takes the snapshot.
    #[must_use]
    pub fn new() -> Self {
        Witness { since: Instant::now(), counters: Counters::read() }
    }

    /// The time that a CPU quota cost since the snapshot.
    #[must_use]
    pub fn throttled(&self) -> Option<Throttled> {
        let (then, now) = (self.counters.throttled?, cgroup::throttled()?);
        Some(Throttled {
            periods: now.periods.saturating_sub(then.periods),
            time_s: (now.time_s - then.time_s).max(0.0),
        })
    }

    /// The environment of the run that ends now.
    #[must_use]
    pub fn environment(&self, plan: &Plan, fd_limit: u64) -> Environment {
        let (then, now) = (self.counters, Counters::read());
        let elapsed_us = self.since.elapsed().as_micros().max(1) as f64;
        let pressure = now.pressure_us.zip(then.pressure_us);
        let allowed = system::allowed_cores().len();
        Environment {
            loadtest: env!("CARGO_PKG_VERSION").to_owned(),
            host: line("/proc/sys/kernel/hostname"),
            kernel: ["ostype", "osrelease", "version"].map(|name| line(&format!("/proc/sys/kernel/{name}"))).join(" "),
            cpu: cpu_model(),
            cores: if allowed > 0 { allowed } else { thread::available_parallelism().map_or(0, Into::into) } as u64,
            pinned: plan.cores.iter().map(|&core| core as u64).collect(),
            clock: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            fd_limit,
            sysctls: sysctls(),
            steal: grown(then.steal, now.steal)
                .map(|steal| steal as f64 / now.all_time.saturating_sub(then.all_time).max(1) as f64),
            cpu_pressure: pressure
                .map(|(now_us, then_us)| (now_us.saturating_sub(then_us) as f64 / elapsed_us).min(1.0)),
            machine_tcp_retransmits: grown(then.retransmits, now.retransmits),
            machine_listen_overflows: grown(then.overflows, now.overflows),
        }
    }
}

fn grown(then: Option<u64>, now: Option<u64>) -> Option<u64> {
    now.zip(then).map(|(now, then)| now.saturating_sub(then))
}

impl Counters {
    fn read() -> Self {
        let stat = read("/proc/stat");
        let times: Vec<u64> = stat.lines().next().map_or(Vec::new(), |all| {
            // user nice system idle iowait irq softirq steal; user already includes guests (proc(5)).
            all.split_ascii_whitespace().skip(1).take(8).filter_map(|time| time.parse().ok()).collect()
        });
        let snmp = read("/proc/net/snmp");
        let netstat = read("/proc/net/netstat");
        Counters {
            steal: times.get(7).copied(),
            all_time: times.iter().sum(),
            pressure_us: pressure(),
            retransmits: counter(&snmp, "Tcp:", "RetransSegs"),
            overflows: counter(&netstat, "TcpExt:", "ListenOverflows"),
            throttled: cgroup::throttled(),
        }
    }
}

fn pressure() -> Option<u64> {
    let text = read("/proc/pressure/cpu");
    let some = text.lines().find(|line| line.starts_with("some"))?;
    some.rsplit_once("total=")?.1.parse().ok()
}

/// These files have a line of names and a line of values for each group.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
    pairs.find(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok())
}

fn cpu_model() -> String {
    let text = read("/proc/cpuinfo");
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned())
}

fn sysctls() -> BTreeMap<String, String> {
    let of = |name: &str| {
        let value = line(&format!("/proc/sys/{}", name.replace('.', "/")));
        (name.to_owned(), value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    };
    SYSCTLS.map(of).into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Reads a file; a missing one is empty.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn line(path: &str) -> String {
    read(path).trim().to_owned()
}
