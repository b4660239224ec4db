//! The memory of a connection in bytes.
#![cfg(target_os = "linux")]

#[path = "common/client.rs"]
mod client;
#[path = "common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::sync::Mutex;

use client::{HEADER, client, connect_many, round_trip};
use server::Server;

const COUNT: usize = 15_000;

/// The limit on open files suffices for only one of these tests at a time.
static FILES: Mutex<()> = Mutex::new(());

#[test]
fn fifteen_thousand_unfinished_headers_cost_little_memory() {
    let _files = FILES.lock();
    let server = Server::start(&["--log", "quiet", "--header-timeout", "5m"]);
    round_trip(&mut client(&server));
    let before = server.data();
    let mut streams = connect_many(&server, COUNT);
    for stream in &mut streams {
        stream.write_all(&HEADER[..20]).expect("the server reads");
    }
    round_trip(&mut client(&server));
    let each = (server.data() - before) * 1024 / COUNT;
    println!("{each} bytes each for {COUNT} unfinished headers");
    assert!(each <= 256, "{each} bytes each");
    for stream in &mut streams {
        stream.write_all(&HEADER[20..]).expect("the server reads");
    }
    let mut line = [0; HEADER.len()];
    for stream in &mut streams {
        stream.read_exact(&mut line).expect("the header comes back");
    }
}

#[test]
fn idle_connections_cost_no_more_than_they_may() {
    let _files = FILES.lock();
    // The log's writer has its own buffers, which it allocates at the first burst.
    for (args, most) in [
        (&["--log", "quiet"][..], 64),
        (&["--log", "quiet", "--admin", "127.0.0.1:0"], 96),
        (&["--log", "connections"], 160),
    ] {
        let mut server = Server::start(args);
        round_trip(&mut client(&server));
        let before = server.data();
        let mut streams = connect_many(&server, COUNT);
        let mut line = [0; HEADER.len()];
        for stream in &mut streams {
            stream.write_all(HEADER).expect("the server reads");
            stream.read_exact(&mut line).expect("the header comes back");
        }
        if args.contains(&"connections") {
            server.wait_for(&format!("#{} PROXY", COUNT + 1));
        }
        let each = (server.data() - before) * 1024 / COUNT;
        println!("{each} bytes for each of {COUNT} idle connections with {}", args.join(" "));
        assert!(each <= most, "{each} bytes each with {}", args.join(" "));
    }
}
