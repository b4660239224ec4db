//! Once warm, the server allocates nothing, neither for a message nor for a connection. It runs in this process, whose
//! allocator counts; the client uses nothing that allocates either.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use proxy_echo::config::{Config, LogLevel, Settings};
use proxy_echo::server::Server;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";
const MESSAGE: [u8; 64] = [b'x'; 64];

/// Connects, sends the header and messages, and reads the answers.
fn converse(server: SocketAddr, header: &[u8], messages: usize) {
    let mut stream = TcpStream::connect(server).expect("the server accepts");
    stream.write_all(header).expect("the server reads");
    let mut line = [0; V1.len()];
    stream.read_exact(&mut line).expect("the header comes back");
    assert_eq!(line, V1);
    let mut answer = [0; 64];
    for _ in 0..messages {
        stream.write_all(&MESSAGE).expect("the server reads");
        stream.read_exact(&mut answer).expect("the message comes back");
        assert_eq!(answer, MESSAGE);
    }
}

#[test]
fn nothing_is_allocated_per_message_or_connection() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    let settings = Settings { listen, log: LogLevel::Quiet, ..Settings::default() };
    let server = Server::bind(&Config::new(settings).expect("a configuration")).expect("a port");
    let address = server.local_addrs()[0];
    thread::spawn(|| server.run());

    let work = || {
        for _ in 0..200 {
            converse(address, V1, 3);
            converse(address, V2, 3);
        }
        converse(address, V1, 5000);
        converse(address, V2, 5000);
    };
    work();
    let before = dhat::HeapStats::get().total_blocks;
    work();
    let after = dhat::HeapStats::get().total_blocks;
    assert_eq!(after - before, 0);
}
