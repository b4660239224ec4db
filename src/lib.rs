//! proxy-echo: an echo server behind load balancers that speak the PROXY protocol, and the parser it is made with.
//!
//! Other programs can use two things of it: [`proxy`], which parses and encodes headers of both versions, and
//! [`server::Server`], the whole server.
//!
//! # Layout
//!
//! A connection's bytes go down this list and back; each module knows those below it, and the types of its settings.
//!
//! - [`cli`], [`config`]: arguments and environment, then settings that are known to be valid.
//! - [`server`]: the reactor. One thread, one poll, one slab of connections.
//! - `admin`, `service`: what an operator sees of the server over HTTP, and what a service manager is told.
//! - `journal`, `metrics`, `origin`: what is known about connections: numbers, counts, where they come from.
//! - `log`, `events`, `json`, `escape`: what is said about them, where to and in which words.
//! - `listener`, `queue`, `alarm`: sockets that accept, connections that wait for a turn, and being woken in time.
//! - [`policy`]: who may send a header.
//! - `socket`: the system calls of a connection's traffic.
//! - [`connection`]: one connection's state machine, over any stream that does not block.
//! - [`clock`], [`held`], `lines`: time, memory that outlives a turn, under one budget, and where lines end.
//! - [`proxy`]: the protocol. Pure: bytes in, a header or an error out.
//!
//! Beside the server stand [`check`], which tests a balancer from the client's side, and [`decode`], which explains a captured
//! header.

mod admin;
mod alarm;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod decode;
mod escape;
mod events;
pub mod held;
mod journal;
mod json;
mod lines;
mod listener;
mod log;
mod metrics;
mod origin;
pub mod policy;
pub mod proxy;
mod queue;
pub mod server;
mod service;
mod socket;

/// The commit that this was built from, where it is known.
pub const COMMIT: Option<&str> = option_env!("PROXY_ECHO_COMMIT");

/// The version, with the commit.
pub const VERSION: &str = env!("PROXY_ECHO_VERSION");
