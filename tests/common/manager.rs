//! A service manager, as far as `sd_notify(3)` goes.
#![allow(dead_code, reason = "no test needs all of it")]

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Instant;

use crate::server::DEADLINE;

/// A socket for `sd_notify(3)`, and its messages.
pub struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Manager { socket, folder }
    }

    /// Has the server that `command` starts tell how it goes, and within each `watchdog_usec` that it is alive.
    pub fn manage(&self, command: &mut Command, watchdog_usec: &str) {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify")).env("WATCHDOG_USEC", watchdog_usec);
    }

    pub fn next(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("the server tells something");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// Fills its queue (`net.unix.max_dgram_qlen`) until no message fits.
    pub fn fill(&self) {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("it can");
        let end = Instant::now() + DEADLINE;
        while sender.send_to(b"x", self.folder.path().join("notify")).is_ok() {
            assert!(Instant::now() < end, "the queue takes everything");
        }
    }
}
