//! A hop between a client and the server: a real HAProxy or nginx, or a thread that does what no HAProxy would do.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::{fs, thread};

use tempfile::TempDir;

use crate::program::{Running, program};
use crate::server::DEADLINE;

/// HAProxy with one front end and one back end. It inherits a listening socket as its standard input.
pub struct Hop {
    pub address: SocketAddr,
    _running: Running,
    _directory: TempDir,
}

impl Hop {
    /// Starts a hop from `address` to `next`. `bind` follows the listening address in the configuration, `server` the
    /// server's.
    pub fn start(address: &str, next: SocketAddr, bind: &str, server: &str) -> Hop {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let front = listener.local_addr().expect("an address");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config");
        let config = format!(
            "global\n nbthread 1\n\
             defaults\n mode tcp\n retries 0\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n\
             listen hop\n bind fd@0 {bind}\n source {address}\n server next {next} {server}\n"
        );
        fs::write(&file, config).expect("a file");
        let mut command = program("haproxy", "haproxy");
        command.args(["-db", "-f"]).arg(&file).stdin(OwnedFd::from(listener)).stdout(Stdio::null());
        Hop { address: front, _running: Running(command.spawn().expect("HAProxy starts")), _directory: directory }
    }
}

/// Starts an nginx that accepts a header and sends its own. The directive `trust` says whose header it believes.
#[allow(dead_code, reason = "not every test needs it")]
pub fn nginx_behind_a_hop(next: SocketAddr, trust: &str) -> Hop {
    nginx(next, "proxy_protocol", trust)
}

/// Starts an nginx that sends a header. `listen` follows its listening address in the configuration, `directives` are the
/// server's.
pub fn nginx(next: SocketAddr, listen: &str, directives: &str) -> Hop {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let directory = tempfile::tempdir().expect("a directory");
    let (file, pid) = (directory.path().join("config"), directory.path().join("pid"));
    let config = format!(
        "daemon off; worker_processes 1; error_log stderr; pid {}; load_module {MODULE};\n\
         events {{ worker_connections 64; }}\n\
         stream {{ server {{ listen {address} {listen}; {directives} proxy_pass {next}; proxy_protocol on; }} }}\n",
        pid.display()
    );
    fs::write(&file, config).expect("a file");
    // It inherits the socket as its standard input.
    let mut command = program("nginx", "nginx libnginx-mod-stream");
    command.env("NGINX", "0;").args(["-e", "stderr", "-c"]).arg(&file).stdin(OwnedFd::from(listener));
    Hop { address, _running: Running(command.spawn().expect("nginx starts")), _directory: directory }
}

/// Starts a server in the test: `handle` runs in a thread for each connection, and gets its number.
pub fn serve(handle: impl Fn(TcpStream, usize) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let handle = handle.clone();
            stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
            thread::spawn(move || handle(stream, number));
        }
    });
    address
}

/// Forwards a connection to `to`, after sending `opening`.
pub fn carry(near: &TcpStream, to: SocketAddr, opening: &[u8]) -> io::Result<()> {
    let far = TcpStream::connect(to)?;
    (&far).write_all(opening)?;
    thread::scope(|scope| {
        scope.spawn(|| io::copy(&mut &far, &mut &*near).and_then(|_| near.shutdown(Shutdown::Write)));
        io::copy(&mut &*near, &mut &far).and_then(|_| far.shutdown(Shutdown::Write))
    })
}
