//! The checked settings of a run: after this point no setting is invalid.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use proxy_echo_client::resolve::{self, Family};

use crate::cli::{Arrival, ExpectReflect, LoadArgs, Proxy, Verify};
use crate::pattern::MAX_SIZE;
use crate::profile::Profile;
use crate::proxy::{Sender, Tlv, TooLong};
use crate::result::{Settings, Shard};
use crate::slo::{Slo, SloError};
use crate::sources::{Sources, SourcesError};
use crate::tls::Tls;

/// How long to measure, by default.
const DURATION: Duration = Duration::from_secs(10);
/// The longest run and the longest wait: a day.
const MAX_TIME: Duration = Duration::from_secs(86_400);
/// The highest rate in messages a second.
const MAX_RATE: f64 = 1e9;
/// Most bytes in flight on a connection.
const MAX_IN_FLIGHT: u64 = 1 << 30;
/// Most message stamps of one process, 16 bytes each.
const MAX_STAMPS: u64 = 1 << 28;
/// Most addresses at a time.
pub const MAX_ADDRESSES: usize = 64;
/// Shortest time between two lookups of names.
const MIN_RESOLVE: Duration = Duration::from_millis(100);
/// Descriptors besides connections: standard streams, polls, timers, files.
const OTHER_DESCRIPTORS: u64 = 32;

/// The traffic of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Request and response, again and again.
    Rr,
    /// Request and response, once.
    Crr,
    /// As `Rr`, with many large messages in flight.
    Stream,
    /// No traffic.
    Idle,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Rr => "rr",
            Kind::Crr => "crr",
            Kind::Stream => "stream",
            Kind::Idle => "idle",
        })
    }
}

/// One target under one load.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate option")]
pub struct Plan {
    /// The traffic of a connection.
    pub kind: Kind,
    /// The targets as given on the command line.
    pub names: Vec<String>,
    /// The addresses to connect to: all addresses of all names, each once. At least one.
    pub targets: Vec<SocketAddr>,
    /// The families of addresses to use.
    pub family: Family,
    /// How often names are resolved again.
    pub resolve_every: Option<Duration>,
    /// Connections of all shards.
    pub connections: u64,
    /// Threads of this process.
    pub threads: u64,
    /// How long to measure.
    pub duration: Duration,
    /// Time to run before measuring.
    pub warmup: Duration,
    /// Messages a second of all shards, on average; `None` is closed loop.
    pub rate: Option<f64>,
    /// How the rate changes; `None` if it is constant.
    pub stages: Option<Profile>,
    /// How due times are distributed.
    pub arrival: Arrival,
    /// Messages in flight on a connection.
    pub depth: u32,
    /// Bytes of a message.
    pub size: usize,
    /// Connects a second of all shards.
    pub connect_rate: Option<f64>,
    /// Where to connect from.
    pub sources: Sources,
    /// Whether to replace a lost connection.
    pub reconnect: bool,
    /// Whether to close with FIN.
    pub time_wait: bool,
    /// Longest wait for a connect, and for answers at the end.
    pub timeout: Duration,
    /// The PROXY header.
    pub header: Sender,
    /// TLS, if it is spoken behind the header.
    pub tls: Option<Tls>,
    /// Whether the target sends the header back.
    pub expect_reflect: ExpectReflect,
    /// Whether to compare bytes.
    pub verify: bool,
    /// The latest that 99% of the messages may be sent after they are due. Pauses of the generator that are longer than
    /// this count.
    pub max_lag: Duration,
    /// Largest share of the time that a thread may wait for a core, 0 to 1.
    pub max_wait: f64,
    /// The core of each thread; empty for no pinning.
    pub cores: Vec<usize>,
    /// Whether to spin.
    pub spin: bool,
    /// Whether each second is reported while the run goes on.
    pub live: bool,
    /// Number of runs.
    pub runs: u32,
    /// The part of the load that this process makes.
    pub shard: Option<Shard>,
    /// When to begin measuring.
    pub start_at: Option<SystemTime>,
    /// The server's process, if it runs on this machine.
    pub server_pid: Option<u32>,
    /// The conditions that must hold.
    pub slo: Option<Slo>,
}

impl Plan {
    /// Checks `args` for the targets `names`.
    ///
    /// # Errors
    ///
    /// [`PlanError`]: a setting is invalid, or this machine cannot do it.
    pub fn new(kind: Kind, names: &[String], args: &LoadArgs) -> Result<Self, PlanError> {
        let targets = addresses(names, args.address_family)?;
        let (size, depth) = match kind {
            Kind::Stream => (64 * 1024, 16),
            Kind::Rr | Kind::Crr | Kind::Idle => (64, 1),
        };
        let size = args.size.map_or(size, |size| size.as_u64());
        let depth = args.depth.unwrap_or(depth);
        let tlvs =
            args.tlv.iter().map(|text| Tlv::parse(text)).collect::<Result<Vec<_>, _>>().map_err(PlanError::Tlv)?;
        let header = Sender { version: args.proxy, clients: args.proxy_src, tlvs };
        header.check()?;
        let plan = Plan {
            kind,
            names: names.to_vec(),
            connections: args.connections.into(),
            threads: args.threads.into(),
            duration: match &args.stages {
                Some(profile) => Duration::from_secs_f64(profile.end_s()),
                None => args.duration.unwrap_or(DURATION),
            },
            warmup: args.warmup,
            rate: args.stages.as_ref().map(Profile::mean).or(args.rate),
            stages: args.stages.clone(),
            arrival: args.arrival.unwrap_or(Arrival::Uniform),
            depth,
            size: usize::try_from(size).unwrap_or(usize::MAX),
            connect_rate: args.connect_rate,
            sources: Sources::new(
                args.source_ip,
                &targets,
                args.connections.into(),
                args.time_wait && kind == Kind::Crr,
            )?,
            targets,
            family: args.address_family,
            resolve_every: args.resolve_every,
            reconnect: args.reconnect,
            time_wait: args.time_wait,
            timeout: args.timeout,
            header,
            tls: Tls::new(args, names).map_err(PlanError::Tls)?,
            expect_reflect: args.expect_reflect,
            verify: args.verify == Verify::Full,
            max_lag: args.max_lag,
            max_wait: args.max_wait,
            cores: if args.pin { cores(args.threads as usize)? } else { Vec::new() },
            spin: args.spin,
            live: false,
            runs: 1,
            shard: None,
            start_at: None,
            server_pid: None,
            slo: args.slo.as_deref().map(Slo::parse).transpose()?,
        };
        plan.check()?;
        plan.check_needed(args)?;
        Ok(plan)
    }

    /// Refuses options that have no meaning for this kind of load.
    fn check_needed(&self, args: &LoadArgs) -> Result<(), PlanError> {
        let (is_idle, is_crr) = (self.kind == Kind::Idle, self.kind == Kind::Crr);
        let table = [
            (self.stages.is_some() && args.rate.is_some(), "--rate", "either one rate, or those of --stages"),
            (self.stages.is_some() && args.duration.is_some(), "--duration", "the last point of --stages is the end"),
            (is_idle && self.stages.is_some(), "--stages", "none for idle: nothing is sent"),
            (is_idle && self.rate.is_some(), "--rate", "none for idle: nothing is sent"),
            (is_idle && args.depth.is_some(), "--depth", "none for idle: nothing is sent"),
            (is_idle && args.size.is_some(), "--size", "none for idle: nothing is sent"),
            (is_idle && self.reconnect, "--reconnect", "for rr and stream"),
            (is_crr && args.depth.is_some(), "--depth", "none for crr: each connection has one message"),
            (is_crr && self.reconnect, "--reconnect", "for rr and stream: crr makes connections anew in any case"),
            (
                is_crr && self.rate.is_some() && args.connect_rate.is_some(),
                "--connect-rate",
                "crr connects as --rate or --stages has it",
            ),
            (self.rate.is_none() && args.arrival.is_some(), "--arrival", "only with --rate or --stages"),
            (self.header.is_none() && args.proxy_src.is_some(), "--proxy-src", "only with --proxy"),
        ];
        match table.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, option, why)) => Err(PlanError::Range(option, why.to_owned())),
            None => Ok(()),
        }
    }

    /// Checks that all settings fit together.
    ///
    /// # Errors
    ///
    /// The first setting that does not.
    pub fn check(&self) -> Result<(), PlanError> {
        let fits = |name, text: String, fits: bool| if fits { Ok(()) } else { Err(PlanError::Range(name, text)) };
        let is_rate = |rate: Option<f64>| rate.is_none_or(|rate| rate > 0.0 && rate <= MAX_RATE);
        let size = self.size as u64;
        fits("--size", format!("1 byte to {MAX_SIZE} bytes"), (1..=MAX_SIZE as u64).contains(&size))?;
        fits(
            "--depth",
            "at most 1 GiB in flight on a connection".into(),
            size * u64::from(self.depth) <= MAX_IN_FLIGHT,
        )?;
        let stamps = self.own(self.connections) * u64::from(self.depth);
        fits("--depth", format!("at most {MAX_STAMPS} messages in flight in all"), stamps <= MAX_STAMPS)?;
        fits("--rate", "more than 0 and at most 1e9 a second".into(), is_rate(self.rate))?;
        fits("--connect-rate", "more than 0 and at most 1e9 a second".into(), is_rate(self.connect_rate))?;
        fits("--max-wait", "a share from 0 to 1".into(), (0.0..=1.0).contains(&self.max_wait))?;
        fits("--duration", "1ms to a day".into(), (Duration::from_millis(1)..=MAX_TIME).contains(&self.duration))?;
        fits("--warmup", "at most a day".into(), self.warmup <= MAX_TIME)?;
        fits("--timeout", "1ms to a day".into(), (Duration::from_millis(1)..=MAX_TIME).contains(&self.timeout))?;
        let is_often = |every: Duration| (MIN_RESOLVE..=MAX_TIME).contains(&every);
        fits("--resolve-every", "100ms to a day".into(), self.resolve_every.is_none_or(is_often))?;
        let shards = self.shard.map_or(1, |shard| u64::from(shard.count));
        let enough = self.connections >= self.threads * shards;
        fits("--threads", "no more than connections in a shard".into(), enough)?;
        if self.header.is_none() && !self.header.tlvs.is_empty()
            || self.header.version == Proxy::V1 && !self.header.tlvs.is_empty()
        {
            return Err(PlanError::Range("--tlv", "only with --proxy v2".into()));
        }
        Ok(())
    }

    /// Sets the shard to `text`, such as `1/2`. Index 0 counts as the last, so that indexes that count from 0 can be
    /// used too.
    ///
    /// # Errors
    ///
    /// `text` is not a shard.
    pub fn take_shard(&mut self, text: &str) -> Result<(), PlanError> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let Some((index, count)) = numbers.filter(|&(index, count)| index <= count && (1..=10_000).contains(&count))
        else {
            return Err(PlanError::Range("--shard", "I/N, such as 1/2, with I from 0 or 1 to N".into()));
        };
        self.shard = Some(Shard { index: if index == 0 { count } else { index }, count });
        self.check()
    }

    /// Sets the start to `text`: RFC 3339, or seconds since 1970.
    ///
    /// # Errors
    ///
    /// `text` is not a time within the coming day.
    pub fn begin_at(&mut self, text: &str) -> Result<(), PlanError> {
        let since_1970 = |s| SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(s).ok()?);
        let time = text.parse().ok().and_then(since_1970).or_else(|| humantime::parse_rfc3339_weak(text).ok());
        let time = time.filter(|time| time.duration_since(SystemTime::now()).is_ok_and(|wait| wait <= MAX_TIME));
        let expected = "a time within the coming day, as RFC 3339 or seconds since 1970";
        self.start_at = Some(time.ok_or_else(|| PlanError::Range("--start-at", expected.into()))?);
        Ok(())
    }

    /// The targets as given on the command line.
    #[must_use]
    pub fn target_text(&self) -> String {
        self.names.join(", ")
    }

    /// This shard's part of `total`.
    #[must_use]
    pub fn own(&self, total: u64) -> u64 {
        self.shard.map_or(total, |shard| part(total, u64::from(shard.index - 1), u64::from(shard.count)))
    }

    /// This shard's part of the rate, on average.
    #[must_use]
    pub fn own_rate(&self) -> Option<f64> {
        self.rate.map(|rate| rate * self.share())
    }

    /// The rate of all shards over the measured time; `None` is closed loop.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        self.stages.clone().or(self.rate.map(Profile::constant))
    }

    /// How many messages of this shard are due from `from_s` to `to_s` of the measured time; `None` is closed loop.
    #[must_use]
    pub fn own_due(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let profile = self.profile()?;
        Some((profile.count_until(to_s) - profile.count_until(from_s)) * self.share())
    }

    /// The mean rate of this shard from `from_s` to `to_s` of the measured time; `None` is closed loop.
    #[must_use]
    pub fn own_rate_between(&self, from_s: f64, to_s: f64) -> Option<f64> {
        if self.stages.is_none() { self.own_rate() } else { Some(self.own_due(from_s, to_s)? / (to_s - from_s)) }
    }

    /// The part of the load that this shard makes.
    fn share(&self) -> f64 {
        1.0 / self.shard.map_or(1.0, |shard| f64::from(shard.count))
    }

    /// The number of this process's first thread among the threads of all shards, and the number of all those threads.
    #[must_use]
    pub fn workers(&self) -> (u64, u64) {
        let (before, shards) = self.shard.map_or((0, 1), |shard| (u64::from(shard.index - 1), u64::from(shard.count)));
        (before * self.threads, shards * self.threads)
    }

    /// Makes sure that there are descriptors and ports for all connections. Raises the limit on open files as far as
    /// possible.
    ///
    /// # Errors
    ///
    /// There are too few.
    pub fn reserve(&self) -> Result<u64, PlanError> {
        self.sources.check(self.connections, self.targets.len() as u64)?;
        let own = self.own(self.connections);
        let need = own + OTHER_DESCRIPTORS + 4 * self.threads;
        let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(need);
        if limit < need {
            return Err(PlanError::Descriptors { need, limit });
        }
        Ok(limit)
    }

    /// The settings for the result.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            command: self.kind.to_string(),
            target: self.target_text(),
            connections: self.connections,
            threads: self.threads,
            duration_s: self.duration.as_secs_f64(),
            warmup_s: self.warmup.as_secs_f64(),
            rate: self.rate,
            stages: self.stages.as_ref().map(Profile::stages).unwrap_or_default(),
            arrival: self.arrival.to_string(),
            depth: self.depth.into(),
            size: self.size as u64,
            runs: self.runs.into(),
            connect_rate: self.connect_rate,
            proxy: self.header.version.to_string(),
            tls: self.tls.as_ref().map(Tls::settings),
            verify: if self.verify { Verify::Full } else { Verify::Off }.to_string(),
            reconnect: self.reconnect,
            time_wait: self.time_wait,
            spin: self.spin,
            pin: !self.cores.is_empty(),
        }
    }
}

/// Part `index` of `count` of `total`. If it does not divide evenly, the first parts are one larger.
#[must_use]
pub fn part(total: u64, index: u64, count: u64) -> u64 {
    total / count + u64::from(index < total % count)
}

/// All addresses of all `names`, each once, in the order of the names; the addresses of a name are sorted.
///
/// # Errors
///
/// A name has no address, or there are too many addresses.
pub fn addresses(names: &[String], family: Family) -> Result<Vec<SocketAddr>, PlanError> {
    let mut all = Vec::new();
    for name in names {
        let refused = |why: String| PlanError::Target(name.clone(), why);
        let mut found = resolve::resolve(name, family).map_err(|error| refused(error.to_string()))?;
        if found[0].port() == 0 {
            return Err(refused("port 0 cannot be connected to".to_owned()));
        }
        // localhost with two addresses is one target, because many servers listen on only one of them.
        if name.starts_with("localhost:") {
            found.truncate(1);
        }
        for address in found.into_iter().map(specified) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    if all.len() > MAX_ADDRESSES {
        let why = format!("{} addresses: {MAX_ADDRESSES} are the most", all.len());
        return Err(PlanError::Target(names.join(", "), why));
    }
    Ok(all)
}

/// Replaces an unspecified address, which the system takes for this machine, by the loopback address, for which source
/// addresses can be chosen.
fn specified(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

/// A core for each of `threads`, out of those that the process may use.
fn cores(threads: usize) -> Result<Vec<usize>, PlanError> {
    let allowed = crate::system::allowed_cores();
    if allowed.len() < threads {
        let text = format!("no more threads than cores, of which there are {}", allowed.len());
        return Err(PlanError::Range("--pin", text));
    }
    // Begin with the last core: programs without pinning tend to start on the first.
    Ok(allowed.into_iter().rev().take(threads).collect())
}

/// Why a plan is impossible.
#[derive(Debug, PartialEq)]
pub enum PlanError {
    /// The target is not an address.
    Target(String, String),
    /// A setting is out of range: its name, and the valid range.
    Range(&'static str, String),
    /// A TLV is invalid.
    Tlv(String),
    /// The SLO is invalid.
    Slo(SloError),
    /// Not enough open files.
    Descriptors {
        /// The number needed.
        need: u64,
        /// The number allowed.
        limit: u64,
    },
    /// The source addresses do not suffice.
    Sources(SourcesError),
    /// TLS cannot be spoken so.
    Tls(String),
}

impl From<SloError> for PlanError {
    fn from(error: SloError) -> Self {
        PlanError::Slo(error)
    }
}

impl From<SourcesError> for PlanError {
    fn from(error: SourcesError) -> Self {
        PlanError::Sources(error)
    }
}

impl From<TooLong> for PlanError {
    fn from(error: TooLong) -> Self {
        PlanError::Tlv(error.to_string())
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Target(text, why) => write!(f, "target '{text}': {why}"),
            PlanError::Range(name, expected) => write!(f, "{name}: {expected}"),
            PlanError::Tlv(what) => write!(f, "--tlv: {what}"),
            PlanError::Slo(error) => error.fmt(f),
            PlanError::Descriptors { need, limit } => {
                write!(f, "{need} open files are needed and {limit} allowed: raise the limit (ulimit -n)")
            }
            PlanError::Sources(error) => error.fmt(f),
            PlanError::Tls(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for PlanError {}
