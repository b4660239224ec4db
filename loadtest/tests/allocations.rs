//! Once warm, a run allocates nothing: neither its workers for a message, nor the thread that watches them. It runs in
//! this process, whose allocator counts. The server allocates nothing once it has its connections.

mod common;
#[cfg(feature = "tls")]
#[path = "common/tls.rs"]
mod front;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use common::{Misdeed, Server};
use loadtest::cli::{Cli, Command};
use loadtest::engine::{self, Progress};
use loadtest::plan::{Kind, Plan};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// After this time everything has been done once, unless the machine is too busy to begin.
const WARM: Duration = Duration::from_millis(500);

#[test]
fn nothing_is_allocated_for_a_message() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for load in ["", "--depth 4", "-R 2000", "-R 2000 --arrival poisson --depth 4", "--verify off"] {
        // Noting a pause of a busy machine may allocate, so try several runs. A message that allocates does so in every
        // run.
        let mut runs = (0..3).map(|_| {
            let server = Server::start(Misdeed::None);
            blocks_of_a_run(server.address, &server, load).1
        });
        assert!(runs.any(|blocks| blocks == 0), "{load}");
    }
    #[cfg(feature = "tls")]
    by_tls();
}

/// By TLS a message has two records, each of which is a block of rustls's. The engine adds none.
#[cfg(feature = "tls")]
fn by_tls() {
    let (server, cert) = (Server::start(Misdeed::None), front::Front::start(front::Way::Echoes));
    let haproxy = front::Haproxy::start("", server.address, &cert.pem);
    let (messages, blocks) = blocks_of_a_run(haproxy.address, &server, &cert.trusted());
    assert!(blocks * 2 < messages * 5, "{blocks} blocks for {messages} messages");
}

/// The number of messages of a warm run, and of the blocks that it allocates meanwhile. `server` gets its connections.
fn blocks_of_a_run(target: SocketAddr, server: &Server, load: &str) -> (u64, u64) {
    let arguments = format!("loadtest rr {target} -c 5 -d 2s --warmup 100ms {load}");
    let Command::Rr(args) = Cli::try_parse_from(arguments.split_whitespace()).unwrap().command else { panic!("rr") };
    let plan = Plan::new(Kind::Rr, &args.target, &args.load).unwrap();
    // Messages and blocks at the first look at the warm run, and at the last one.
    let mut looks = [None; 2];
    let mut look = |progress| {
        // A busy machine begins late: the worker reads its clocks, and the server makes its threads.
        if let Progress::Running { completed, elapsed, .. } = progress
            && elapsed > WARM
            && completed > 100
            && server.connections.load(Ordering::Relaxed) == 5
            && elapsed < plan.duration
        {
            looks[1] = Some((completed, dhat::HeapStats::get().total_blocks));
            looks[0] = looks[0].or(looks[1]);
        }
    };
    engine::run(&plan, &AtomicBool::new(false), &mut look).unwrap();
    let [Some((some, before)), Some((more, after))] = looks else { panic!("nobody looked") };
    assert!(more > some + 100, "{load}: {some}, then {more} messages");
    (more - some, after - before)
}
