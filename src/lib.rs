//! proxy-echo: an echo server behind load balancers that speak the PROXY protocol, and the parser it is made with.
//!
//! The parser is a crate of its own, [`proxy`]; of this one other programs can use [`server::Server`], the whole server.
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
//! - [`connection::clock`], [`connection::held`], `lines`: time, memory that outlives a turn, under one budget, and where lines end.
//! - [`proxy`], the crate `proxy-protocol-header`: the protocol. Bytes in, a header or an error out; no I/O.
//!
//! Beside the server stand [`check`], which tests a balancer from the client's side, and [`decode`], which explains a captured
//! header.

mod admin;
pub mod check;
pub mod cli;
pub mod config;
pub mod connection;
pub mod decode;
mod net;
mod observe;
pub mod policy;
pub mod server;

/// The commit that this was built from, where it is known.
pub const COMMIT: Option<&str> = option_env!("PROXY_ECHO_COMMIT");

/// The version, with the commit.
pub const VERSION: &str = env!("PROXY_ECHO_VERSION");
