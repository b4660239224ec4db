//! What a run was asked to do.

use serde::{Deserialize, Serialize};

/// The settings, for all shards together. Shards with different settings cannot be merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate option")]
pub struct Settings {
    /// `rr`, `crr`, `stream` or `idle`.
    pub command: String,
    /// The target as it was given.
    pub target: String,
    /// Connections (`crr`: at a time).
    pub connections: u64,
    /// Threads of a process.
    pub threads: u64,
    /// How long to measure, in s, one run.
    pub duration_s: f64,
    /// Time to run before measuring, in s.
    pub warmup_s: f64,
    /// Messages a second, all together, in open loop, on average with `--stages`; `None` is closed loop.
    pub rate: Option<f64>,
    /// The points of `--stages`; empty without.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// `uniform` or `poisson`.
    pub arrival: String,
    /// Messages in flight on a connection.
    pub depth: u64,
    /// Bytes of a message.
    pub size: u64,
    /// Runs.
    pub runs: u64,
    /// Connects a second, all together; `None` is as fast as they go.
    pub connect_rate: Option<f64>,
    /// `none`, `v1` or `v2`.
    pub proxy: String,
    /// The settings of TLS; `None` without `--tls`.
    #[serde(default)]
    pub tls: Option<TlsSettings>,
    /// `full` or `off`.
    pub verify: String,
    /// Whether lost connections are made again.
    #[serde(default)]
    pub reconnect: bool,
    /// Whether connections are closed with FIN, and end in TIME-WAIT, instead of with RST.
    pub time_wait: bool,
    /// Whether threads spin instead of sleeping.
    pub spin: bool,
    /// Whether each thread is pinned to a core.
    pub pin: bool,
}

/// A point of a profile of rates; between points the rate is linear.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Since the start of the measured time, in s.
    pub at_s: f64,
    /// Messages a second, of all shards.
    pub rate: f64,
}

/// The settings of TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSettings {
    /// The server's name; `None` is the target's.
    pub name: Option<String>,
    /// The only version, `1.2` or `1.3`; `None` is the newest that the server has.
    pub version: Option<String>,
    /// The protocols that ALPN offered.
    pub alpn: Vec<String>,
    /// Whether the server's certificate was verified.
    pub verifies_certificates: bool,
    /// Whether the client had a certificate.
    pub has_certificate: bool,
    /// Whether sessions were resumed where the server allowed it.
    pub resumes: bool,
}
