//! loadtest: a TCP load generator that verifies what it measures and says when it was itself the bottleneck.
//!
//! The program is `loadtest`; this library is shared by it and its tests.
//!
//! # Layout
//!
//! A measurement goes down this list; each module knows only those below it.
//!
//! - [`cli`], [`command`]: arguments and environment, and the commands.
//! - [`plan`], [`slo`], [`sources`], [`hosts`]: a run's settings, checked.
//! - [`engine`]: makes the load. A worker a thread, each with its poll, its slab of connections and its histograms.
//! - [`pattern`], [`proxy`]: what connections say.
//! - [`environment`], [`cgroup`]: what the machine did meanwhile.
//! - [`judge`], [`hints`]: whether the figures may be used, what the program ends with, and what to try.
//! - [`output`]: what the user sees at the end, and files.
//! - [`progress`], [`live`]: what the user sees while a run goes on.
//! - [`statistics`], [`join`]: how sure a difference is, and results that are parts of one.
//! - [`result`], [`totals`], [`samples`]: what a finished measurement is, as the JSON file has it.
//! - [`mod@format`]: figures in words.
//! - [`system`]: what the operating system is asked.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people, and times that are not negative"
)]

pub mod cgroup;
pub mod cli;
pub mod command;
pub mod engine;
pub mod environment;
pub mod format;
pub mod hints;
pub mod hosts;
pub mod join;
pub mod judge;
pub mod live;
pub mod output;
pub mod pattern;
pub mod plan;
pub mod progress;
pub mod proxy;
pub mod result;
pub mod samples;
pub mod slo;
pub mod sources;
pub mod statistics;
pub mod system;
pub mod totals;
