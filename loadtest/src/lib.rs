//! loadtest: a TCP load generator that verifies every byte and says when it was itself the bottleneck.
//!
//! The program is `loadtest`. The program and its tests share this library.
//!
//! # Layout
//!
//! A measurement goes down this list. Each module uses only those below it.
//!
//! - [`cli`], [`command`]: arguments and environment, and the commands.
//! - [`plan`], [`slo`], [`sources`], [`hosts`]: a run's settings, checked.
//! - [`engine`]: makes the load. One worker per thread, each with its poll, its slab of connections and its histograms.
//! - [`pattern`], [`proxy`], [`tls`]: the bytes that connections send, and TLS around them.
//! - [`environment`], [`cgroup`]: events on the machine during a run.
//! - [`judge`], [`hints`]: whether the figures are valid, the exit code, and what to try.
//! - [`output`]: the output at the end, and files.
//! - [`progress`], [`live`], [`metrics`], [`lines`]: the output during a run.
//! - [`statistics`], [`join`]: confidence intervals, and joining the parts of one result.
//! - [`result`], [`totals`], [`samples`]: a finished measurement, as in the JSON file.
//! - [`mod@format`]: figures in words.
//! - [`system`]: calls to the operating system.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people, and times that are not negative"
)]

pub mod beside;
pub mod cgroup;
pub mod cli;
pub mod command;
pub mod curve;
pub mod engine;
pub mod environment;
pub mod format;
pub mod held;
pub mod hints;
pub mod hosts;
pub mod join;
pub mod judge;
pub mod lines;
pub mod live;
pub mod metrics;
pub mod output;
pub mod pattern;
pub mod plan;
pub mod profile;
pub mod progress;
pub mod proxy;
pub mod result;
pub mod samples;
pub mod slo;
pub mod sources;
pub mod statistics;
pub mod system;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
pub mod tls;
pub mod totals;
