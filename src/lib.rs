//! proxy-echo: an echo server behind load balancers that speak the PROXY protocol.
//!
//! Other programs can use the whole server: [`server::Server`], with the settings of [`config`]. The parser is a
//! separate crate, `proxy-protocol-header`.
//!
//! # Layout
//!
//! A connection's bytes go down this list and back. Each module uses only those below it.
//!
//! - `cli`: arguments and environment, which become [`config::Settings`].
//! - [`server`]: the reactor. One thread, one poll, one slab of connections.
//! - `admin`: the status page, metrics and health check over HTTP.
//! - [`config`]: settings, and the check that they are valid.
//! - `observe`: facts about connections (numbers, counts, origins), and the log.
//! - `net`: sockets, the poll, signals, the service manager; behind one trait, so that a simulation can replace them.
//! - `policy`: which peers may send a header.
//! - `connection`: one connection's state machine, over any stream that does not block, with the clock and the budget of
//!   memory that connections share.
//!
//! Beside the server stand `check`, which tests a balancer from the client's side, `decode`, which explains a captured
//! header, and `conform`, which tests other receivers and senders against the specification.

mod admin;
pub mod config;
mod net;
mod observe;
mod policy;
pub mod server;

// For the program, its tests, fuzz targets and benchmarks. Not a stable interface.
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod conform;
#[doc(hidden)]
pub mod connection;
#[doc(hidden)]
pub mod decode;

pub use proxy_echo_args::{COMMIT, VERSION};
