//! Requests to the admin port beside clients of the echo: many, large, from many clients, and under foreign hosts.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::admin;
use crate::client::{connect, round_trip, socket_of_many};
use crate::headers::of_control_bytes;
use crate::honest::End;
use crate::ordeal::Target;
use crate::peers::reset;
use crate::server::Server;

/// How long each client sends requests.
const TIME: Duration = Duration::from_millis(600);

const LIST: &str = "/connections.json?limit=1000&sort=idle";

/// Some clients read the list of connections, which all have bytes to escape; others never read their answers.
pub fn hammered(server: &mut Server, target: Target) -> String {
    const CONNECTIONS: usize = 500;
    const ROWS: usize = 100;
    const PAUSE: Duration = Duration::from_millis(50);
    const READERS: usize = 4;
    const DEAF: usize = 12;
    /// Most memory for clients that do not read an answer of 4 MB each, in KiB.
    const MAX_KIB: usize = 4 << 10;
    let admin = admin::address(server);
    let (header, line) = of_control_bytes(1, 900);
    let mut peers: Vec<_> = (0..CONNECTIONS).map(|index| connect(socket_of_many(index), target.address)).collect();
    for stream in &mut peers {
        stream.write_all(&header).expect("the server reads");
    }
    for stream in &mut peers {
        let mut heard = vec![0; line.len()];
        stream.read_exact(&mut heard).expect("the header comes back");
        round_trip(stream);
    }
    let (kib, cpu) = (target.process.data(), target.process.cpu());
    let deaf: Vec<_> = (0..DEAF).map(|_| ask(admin, LIST)).collect();
    for stream in &deaf {
        assert_eq!(stream.peek(&mut [0]).expect("the answer begins"), 1);
    }
    let held = target.process.data().saturating_sub(kib);
    assert!(held < MAX_KIB, "{DEAF} clients that do not read cost {held} KiB");
    let (answers, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + TIME;
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while Instant::now() < end {
                    let (status, body) = admin::get(admin, &format!("/connections.json?limit={ROWS}&sort=idle"));
                    assert!(status == 200 && body.ends_with("]}"), "{status}: an answer of {} bytes", body.len());
                    assert_eq!(body.matches("\"connection\":").count(), ROWS);
                    answers.fetch_add(1, Ordering::Relaxed);
                    bytes.fetch_add(body.len(), Ordering::Relaxed);
                    thread::sleep(PAUSE);
                }
            });
        }
    });
    let cpu = target.process.cpu().saturating_sub(cpu);
    let (answers, mib) = (answers.into_inner(), bytes.into_inner() >> 20);
    format!(
        "{READERS} readers take {answers} lists of {ROWS} out of {CONNECTIONS} connections, {mib} MiB, for {:.1} s of CPU time; \
         {DEAF} that take nothing hold {} KiB",
        cpu.as_secs_f64(),
        held
    )
}

fn ask(admin: SocketAddr, path: &str) -> TcpStream {
    let socket = socket_of_many(0);
    socket.set_recv_buffer_size(4096).expect("a small window");
    let mut stream = connect(socket, admin);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    stream
}

/// Thousands of connections a second send nothing, half a request, or a request for a large answer. Meanwhile health
/// checks come one after the other, and none may fail.
pub fn flooded(server: &mut Server, _: Target) -> String {
    /// Open connections of each thread of the flood. They are limited so that the backlog does not overflow, because
    /// then the kernel would drop any newcomer.
    const OPEN: usize = 20;
    /// Time between two connections of a thread; some thousands a second together.
    const PACE: Duration = Duration::from_micros(500);
    let admin = admin::address(server);
    let (is_over, connects) = (AtomicBool::new(false), AtomicUsize::new(0));
    let list = format!("GET {LIST} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut times = Vec::new();
    thread::scope(|scope| {
        for request in ["", "GET / HTTP/1.1\r\nHo", &list] {
            let (is_over, connects) = (&is_over, &connects);
            scope.spawn(move || {
                let mut streams = VecDeque::new();
                while !is_over.load(Ordering::Relaxed) {
                    let mut stream = admin::connect(admin);
                    // The server may have closed it by now.
                    let _ = stream.write_all(request.as_bytes());
                    streams.push_back(stream);
                    if streams.len() > OPEN
                        && let Some(oldest) = streams.pop_front()
                    {
                        reset(oldest);
                    }
                    connects.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(PACE);
                }
            });
        }
        let _end = End(&is_over);
        let end = Instant::now() + TIME;
        while Instant::now() < end {
            let start = Instant::now();
            admin::probe(admin).expect("a health check is answered");
            times.push(start.elapsed());
        }
    });
    let slowest = times.iter().max().expect("some").as_secs_f64() * 1e3;
    format!(
        "{} connects, and {} health checks one after the other: all answered, the slowest in {slowest:.0} ms",
        connects.into_inner(),
        times.len()
    )
}

/// Requests as from another site's page, whose name resolves to this server, and from monitors, which use a service's
/// name.
pub fn foreign_hosts(server: &mut Server, _: Target) -> String {
    const ROUNDS: usize = 50;
    let admin = admin::address(server);
    let status = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = admin::exchange(admin, request.as_bytes());
        answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).expect("a status")
    };
    let shown = ["/", "/status.json", "/connections.json"];
    let watched = ["/metrics", "/livez", "/readyz"];
    for _ in 0..ROUNDS {
        for path in shown {
            assert_eq!(status(path, "evil.example"), 421, "{path}");
            assert_eq!(status(path, "localhost"), 200, "{path}");
        }
        for path in watched {
            assert_eq!(status(path, "echo.default.svc"), 200, "{path}");
        }
    }
    let (refused, answered) = (ROUNDS * shown.len(), ROUNDS * watched.len());
    format!(
        "{refused} requests for a foreign host are refused, {answered} of probes and scrapes by a service's name answered"
    )
}
