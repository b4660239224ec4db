//! System calls that fail, by `strace -e inject`: a shim by `LD_PRELOAD` does not see those that rustix makes itself.
#![cfg(target_os = "linux")]

#[path = "common/client.rs"]
mod client;
#[path = "common/program.rs"]
mod program;
#[path = "common/server.rs"]
mod server;

use std::process::Command;

use client::{client, round_trip};
use program::program;
use server::Server;

/// A server of which `inject` says what fails, such as `accept4:error=EMFILE:when=3`.
fn traced(inject: &str, args: &[&str]) -> Command {
    let mut command = program("strace", "strace");
    let inject = format!("inject={inject}");
    // As a child of its own child, strace leaves it to us to signal the server.
    command.args(["--daemonize", "--follow-forks", "--quiet=all", "--output=/dev/null", "-e", &inject]);
    command.arg(env!("CARGO_BIN_EXE_proxy-echo")).args(["--listen", "127.0.0.1:0"]).args(args);
    command
}

#[test]
fn a_connection_that_cannot_be_watched_yet_waits_and_is_served() {
    for (errno, limit) in [("ENOSPC", "fs.epoll.max_user_watches"), ("ENOMEM", "memory")] {
        // The server itself needs four watches, and the first connection the fifth.
        let mut server = Server::spawn(traced(&format!("epoll_ctl:error={errno}:when=6..8"), &[]));
        let mut first = client(&server);
        let mut second = client(&server);
        round_trip(&mut first);
        round_trip(&mut second);
        let line = server.wait_for("cannot watch a new connection");
        assert!(line.contains(limit), "{line}");
        drop((first, second));
        assert!(!server.stop().iter().any(|line| line.contains("failed: ")));
    }
}
