//! A finished measurement: everything that the outputs show, the files contain, and `merge` and `report` read back.
//!
//! Names contain the units. All types are serialized: the JSON file is exactly a [`Report`], and its field `kind` says
//! which variant.

mod settings;
mod several;

use serde::{Deserialize, Serialize};

pub use self::settings::{Settings, Stage, TlsSettings};
pub use self::several::{
    Beside, BesideFigure, BesideResult, BesideValue, CompareResult, Curve, CurvePoint, Ratio, SearchResult, SearchStep,
};
pub use crate::samples::{Known, PERCENTILES, Samples, percentile_name};
pub use crate::totals::{Totals, Verification};

/// The version of the format of the JSON file.
pub const FORMAT: u32 = 2;

/// The result of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Report {
    /// One target under one load: `rr`, `crr`, `stream`, `idle`, and `merge` of those.
    Run(Box<RunResult>),
    /// Two targets under the same load: `compare`.
    Compare(Box<CompareResult>),
    /// The highest rate that meets an SLO: `search`.
    Search(Box<SearchResult>),
    /// Runs side by side: `report` of several files.
    Beside(Box<BesideResult>),
}

/// One target under one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: u32,
    /// The settings of the measurement.
    pub settings: Settings,
    /// The part that this process made; `None` if it made all, and for merged shards.
    pub shard: Option<Shard>,
    /// When the measured time began, as RFC 3339 in UTC.
    pub started: String,
    /// The measured time in s, without warm-up, all runs together. Shorter than asked for after a Ctrl-C.
    pub measured_s: f64,
    /// Time to open the connections, in s.
    pub setup_s: f64,
    /// Whether it ended early, and why: "interrupted", or that no connection was left.
    pub cut_short: Option<String>,
    /// The number of the signal that ended it early.
    #[serde(default)]
    pub signal: Option<i32>,
    /// The verdict; present once the whole command is done.
    #[serde(default)]
    pub verdict: Option<Judgement>,
    /// The addresses that the target's name led to.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The results of each address.
    #[serde(default)]
    pub by_address: Vec<AddressResult>,
    /// Open loop: how much of the asked rate was achieved.
    #[serde(default)]
    pub achieved: Option<Achieved>,
    /// Counts.
    pub totals: Totals,
    /// From the *scheduled* send to the completion. In closed loop a message is scheduled when its connection is free,
    /// so this
    /// equals `service_time`.
    pub latency: Samples,
    /// From the actual send to the completion (`crr`: from the connect).
    pub service_time: Samples,
    /// Open loop: from the scheduled send until a connection was free, because all were owed an answer.
    #[serde(default)]
    pub waited: Samples,
    /// Closed loop alone: what `latency` would have been to a steady schedule, by `HdrHistogram`'s correction for
    /// coordinated
    /// omission. A stall shows here and in open loop, and hardly in `latency` of a closed loop.
    pub latency_corrected: Option<Samples>,
    /// From connect to established, of all connections.
    pub connect_time: Samples,
    /// The handshakes of TLS; `None` without `--tls`.
    #[serde(default)]
    pub tls: Option<TlsUse>,
    /// `--reconnect`: from the loss of a connection until traffic flowed on the one that took its place.
    #[serde(default)]
    pub reconnect_time: Samples,
    /// The measured time in equal pieces, in order; with several runs those of the first, then of the second, and so on.
    pub intervals: Vec<Interval>,
    /// One per run of `--runs`, in order. At least one.
    pub runs: Vec<Figures>,
    /// The resources that the generator itself used.
    pub generator: Generator,
    /// The server's own use, if `--server-pid` names it.
    pub server: Option<ServerUse>,
    /// The kernel's counts of the connections to the target; `None` if it has none.
    #[serde(default)]
    pub tcp: Option<TcpUse>,
    /// The machine of the generator.
    pub environment: Environment,
    /// Why the figures must not be used: empty if they may.
    pub invalid: Vec<String>,
    /// Notes that do not make the figures invalid.
    pub notes: Vec<String>,
    /// Whether the SLO was met, if there is one.
    pub slo: Option<SloOutcome>,
    /// What to try, if the result has a usual cause.
    #[serde(default)]
    pub hints: Vec<String>,
    /// The first verification failures, in words, at most [`MAX_DETAILS`].
    pub failures: Vec<String>,
}

/// The results of one of the addresses that connections were spread over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressResult {
    /// Address and port.
    pub address: String,
    /// Whether the names did not lead there any more at the end (`--resolve-every`).
    pub is_gone: bool,
    /// Connections that were established.
    pub connections_opened: u64,
    /// Connects that failed.
    pub connections_failed: u64,
    /// Connections that ended although they should not have.
    pub connections_lost: u64,
    /// Connections that made room for one to another address (`--resolve-every`).
    pub connections_moved: u64,
    /// Connections that were open at the end.
    pub connections_alive: u64,
    /// Messages answered in the measured time.
    pub measured_completed: u64,
    /// Payload bytes received in the measured time.
    pub measured_bytes: u64,
    /// Messages that were sent and did not come back.
    pub requests_unanswered: u64,
    /// Verification failures.
    pub verification_failures: u64,
    /// The reasons of failed connects and lost connections, with their counts.
    pub errors: std::collections::BTreeMap<String, u64>,
    /// From connect to established.
    pub connect_time: Samples,
    /// As [`TlsUse::handshake_time`].
    #[serde(default)]
    pub handshake_time: Samples,
    /// Latency, without the messages that were never sent.
    pub latency: Samples,
}

impl AddressResult {
    /// Nothing yet.
    #[must_use]
    pub fn new(address: String) -> Self {
        AddressResult { address, ..AddressResult::default() }
    }

    /// All that went wrong.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.connections_failed + self.connections_lost + self.requests_unanswered + self.verification_failures
    }

    /// Whether it took no connection of several that were tried.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.connections_opened == 0 && self.connections_failed > 0
    }

    /// Adds the answers in a piece of the measured time.
    pub fn add_piece(&mut self, completed: u64, bytes: u64, latency: &Samples) {
        self.measured_completed += completed;
        self.measured_bytes += bytes;
        self.latency.add(latency);
    }

    /// Adds those of another part of the same measurement.
    pub fn add(&mut self, other: &AddressResult) {
        self.is_gone |= other.is_gone;
        self.connections_opened += other.connections_opened;
        self.connections_failed += other.connections_failed;
        self.connections_lost += other.connections_lost;
        self.connections_moved += other.connections_moved;
        self.connections_alive += other.connections_alive;
        self.measured_completed += other.measured_completed;
        self.measured_bytes += other.measured_bytes;
        self.requests_unanswered += other.requests_unanswered;
        self.verification_failures += other.verification_failures;
        for (text, count) in &other.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
        self.connect_time.add(&other.connect_time);
        self.handshake_time.add(&other.handshake_time);
        self.latency.add(&other.latency);
    }
}

/// The text of [`RunResult::cut_short`] after a Ctrl-C.
pub const INTERRUPTED: &str = "interrupted";

/// The most verification failures that are told in words.
pub const MAX_DETAILS: usize = 10;

/// The verdict on a measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The exit code: 0 fine; 1 an SLO was missed, or there were errors; 3 INVALID; 4 the rate was not
    /// achieved; 5 nothing was measured, or the answer is unknown; 128 + N: ended by signal N.
    pub exit_code: u8,
    /// The same in a few words.
    pub words: String,
    /// The asked and the achieved rate, the validity, the SLO.
    pub details: Vec<String>,
}

/// How much of the asked rate was achieved, in open loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Achieved {
    /// Messages a second that were asked for.
    pub asked_per_s: f64,
    /// Messages a second that came back.
    pub achieved_per_s: f64,
    /// Messages that were due in the measured time.
    pub due: u64,
    /// Those of them that were never sent.
    pub unsent: u64,
    /// Whether the asked rate was achieved.
    pub met: bool,
    /// Which side was the limit, if it was not achieved.
    pub limit: Option<String>,
    /// With `--stages`: how well the profile was held.
    #[serde(default)]
    pub held: Option<Held>,
}

/// How well a profile of rates was held: the achieved rate compared with the asked one, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The length of a piece in s: 1 or a little more; longer in a run of over 10 minutes.
    pub piece_s: f64,
    /// The number of pieces, in all runs.
    pub pieces: u64,
    /// The number of pieces within 1% of the asked rate.
    pub within: u64,
    /// The number of pieces in which less than 99% of the asked messages came back.
    pub short: u64,
    /// The start of the piece that is farthest from the asked rate, in s since the start of its run's measured time.
    pub farthest_at_s: f64,
    /// Messages a second that were asked for in it.
    pub farthest_asked_per_s: f64,
    /// Messages a second that came back in it.
    pub farthest_achieved_per_s: f64,
}

/// A part of a measurement that several processes make together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1 to `count`.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// A piece of the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Since the start of its run's measured time, in s.
    pub start_s: f64,
    /// Its length in s.
    pub length_s: f64,
    /// Open loop: messages that were due in it, by the rate.
    #[serde(default)]
    pub asked: Option<f64>,
    /// Messages that came back in it.
    pub completed: u64,
    /// Payload bytes received in it.
    pub bytes: u64,
    /// The latency of the messages that came back in it.
    pub latency: Samples,
}

impl Interval {
    /// Messages a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.completed as f64 / self.length_s.max(1e-9)
    }
}

/// The letters that name runs side by side. There are no more runs than letters.
pub(crate) const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

/// A figure that runs have in common: its name, its unit, and where it is in [`Figures`].
pub(crate) type NamedFigure = (&'static str, &'static str, fn(&Figures) -> Option<f64>);

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Messages a second (`crr`: connections a second); `None` if no time was measured.
    pub rate: Option<f64>,
    /// Payload bytes received a second.
    pub bytes_per_s: Option<f64>,
    /// Latency's mean in ns, if missing messages cannot change it.
    pub mean_ns: Option<f64>,
    /// Latency's percentiles in ns, where the sample supports them and missing messages cannot change them; see
    /// [`Samples::percentile_ns`].
    pub p50_ns: Option<u64>,
    /// As above.
    pub p99_ns: Option<u64>,
    /// As above.
    pub p999_ns: Option<u64>,
    /// The longest latency in ns, if no missing message can be longer.
    pub max_ns: Option<u64>,
    /// Server CPU time for a message in ns, with `--server-pid`.
    pub server_cpu_ns: Option<f64>,
    /// Failed connects, lost connections, unanswered messages and verification failures.
    pub errors: u64,
}

/// The resources that the generator itself used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Each thread's share of a core while it measured, 0 to 1. With `--spin`: without the time that it only spun.
    pub thread_cpu: Vec<f64>,
    /// CPU time for a message in ns, all threads; `None` without messages.
    pub cpu_ns_per_request: Option<f64>,
    /// How late messages were sent although a connection was free, in open loop.
    pub lag: Samples,
    /// Each thread's share of the measured time, 0 to 1, in which it was due to run and did not for longer than
    /// `--max-lag`:
    /// stopped, suspended, throttled, or short of a core.
    #[serde(default)]
    pub thread_paused: Vec<f64>,
    /// The number of pauses.
    #[serde(default)]
    pub pauses: u64,
    /// The longest of the pauses in ns; `None` if there was none.
    #[serde(default)]
    pub longest_pause_ns: Option<u64>,
    /// Each thread's share of the measured time, 0 to 1, in which it waited for a core, as the kernel has it
    /// (`/proc/thread-self/schedstat`); `None` where the kernel does not tell.
    #[serde(default)]
    pub thread_waited: Vec<Option<f64>>,
    /// The time that the CPU quota of the generator's control groups cost during the run; `None` if they have none.
    #[serde(default)]
    pub throttled: Option<Throttled>,
}

/// What the kernel counted on the connections to the target (`TCP_INFO`), when each ended, and on those that were open
/// at the
/// end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpUse {
    /// The number of connections.
    pub connections: u64,
    /// Segments that the generator sent again.
    pub retransmits: u64,
    /// The kernel's smoothed round trip times, one of each connection.
    pub rtt: Samples,
}

impl TcpUse {
    /// Adds that of other connections.
    pub fn add(&mut self, other: &TcpUse) {
        self.connections += other.connections;
        self.retransmits += other.retransmits;
        self.rtt.add(&other.rtt);
    }
}

/// The handshakes of TLS, those before the measured time included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsUse {
    /// Full handshakes, in which the server proved its identity.
    pub full: u64,
    /// Handshakes that resumed an earlier session.
    pub resumed: u64,
    /// Handshakes that failed: they count among the connects that failed, too, and their reasons among the errors.
    pub failed: u64,
    /// The negotiated version, cipher suite and protocol (if any), with their counts.
    pub agreed: std::collections::BTreeMap<String, u64>,
    /// From the established connection to the end of the handshake.
    pub handshake_time: Samples,
}

impl TlsUse {
    /// Adds those of another part of the same measurement.
    pub fn add(&mut self, other: &TlsUse) {
        self.full += other.full;
        self.resumed += other.resumed;
        self.failed += other.failed;
        for (words, count) in &other.agreed {
            *self.agreed.entry(words.clone()).or_default() += count;
        }
        self.handshake_time.add(&other.handshake_time);
    }
}

/// The cost of a CPU quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throttled {
    /// Periods in which the quota was used up: `nr_throttled`.
    pub periods: u64,
    /// Time in s in which nothing of the group could run: `throttled_usec` (version 2), `throttled_time` (version 1).
    pub time_s: f64,
}

/// The server's own use while it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// The process.
    pub pid: u32,
    /// CPU time in s, all threads.
    pub cpu_s: f64,
    /// In cores.
    pub cpu_share: f64,
    /// CPU time for a message in ns; `None` without messages.
    pub cpu_ns_per_request: Option<f64>,
    /// Resident memory before the first connection, in bytes.
    pub rss_before_bytes: u64,
    /// Resident memory at the end, with all connections open, in bytes.
    pub rss_after_bytes: u64,
    /// The growth for a connection, in bytes; `None` without connections.
    pub rss_per_connection_bytes: Option<f64>,
}

/// The machine of the generator, and events on it during the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// This program's version.
    pub loadtest: String,
    /// The host's name.
    pub host: String,
    /// The kernel's name, release and version.
    pub kernel: String,
    /// The CPU's model.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: u64,
    /// The cores to which threads were pinned, in their order; empty if they were not.
    pub pinned: Vec<u64>,
    /// The source of the time.
    pub clock: String,
    /// The limit on open files, as it was while measuring.
    pub fd_limit: u64,
    /// The settings of the kernel that matter, by name.
    pub sysctls: std::collections::BTreeMap<String, String>,
    /// The share of all cores' time that another guest took, 0 to 1, during the run; `None` where the kernel does not tell.
    pub steal: Option<f64>,
    /// The share of the time in which some task waited for a core, 0 to 1; `None` where the kernel does not tell.
    pub cpu_pressure: Option<f64>,
    /// TCP segments that were sent again during the run, by all programs of the machine (its network namespace).
    #[serde(alias = "tcp_retransmits")]
    pub machine_tcp_retransmits: Option<u64>,
    /// Connections that a full accept queue refused during the run, at all programs of the machine.
    #[serde(alias = "listen_overflows")]
    pub machine_listen_overflows: Option<u64>,
}

/// Whether an SLO was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloOutcome {
    /// The SLO as it was given.
    pub text: String,
    /// Whether all of it was met; `None` if that cannot be known.
    pub met: Option<bool>,
    /// Its conditions.
    pub conditions: Vec<SloCondition>,
}

/// One condition of an SLO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloCondition {
    /// The condition as given: `p99<2ms`.
    pub text: String,
    /// The measured figure in words, such as `1.7ms`, or why there is none.
    pub measured: String,
    /// Whether it was met; `None` if that cannot be known.
    pub met: Option<bool>,
}

impl RunResult {
    /// Messages a second (`crr`: connections a second); `None` if no time was measured.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.measured_s > 0.0).then(|| self.totals.measured_completed as f64 / self.measured_s)
    }

    /// Payload bytes received a second.
    #[must_use]
    pub fn bytes_per_s(&self) -> Option<f64> {
        (self.measured_s > 0.0).then(|| self.totals.measured_bytes as f64 / self.measured_s)
    }

    /// The figures that runs are compared by.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            rate: self.rate(),
            bytes_per_s: self.bytes_per_s(),
            mean_ns: self.latency.mean_ns(),
            p50_ns: self.latency.percentile_ns(50.0),
            p99_ns: self.latency.percentile_ns(99.0),
            p999_ns: self.latency.percentile_ns(99.9),
            max_ns: self.latency.max_ns(),
            server_cpu_ns: self.server.as_ref().and_then(|server| server.cpu_ns_per_request),
            errors: self.totals.errors(),
        }
    }
}
