//! How a worker speaks TLS: the handshake, and the differences from plain traffic. Encrypted and plain bytes are
//! distinguished only here: [`Worker::digest`] gets plain bytes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::event::Event;

use super::Worker;
use super::traffic::READS;
use crate::engine::connection::{Connection, State};

impl Worker {
    /// Sends the header in clear on the established connection, then begins the handshake.
    pub(super) fn shake_hands(&mut self, key: usize, own: SocketAddr) {
        let connection = &mut self.connections[key];
        let Some(client) = &self.tls else { return };
        connection.state = State::Handshaking;
        connection.since_ns = self.now_ns;
        let target = self.addresses.target(connection.address);
        self.scratch.clear();
        self.plan.header.write(connection.number, own, target, &mut self.scratch);
        let begun = client.session(target).and_then(|session| {
            let session = connection.tls.insert(Box::new(session));
            session.begin(&mut connection.stream, &self.scratch)
        });
        if let Err(error) = begun {
            self.drop_connecting(key, &error);
        }
        // Making keys takes long, so read the clock again before the next step is timed.
        self.read_clock();
    }

    /// As [`Worker::turn`], with TLS. It stays out of the plain path, which is then one function and takes an eighth fewer
    /// instructions for a message.
    #[inline(never)]
    pub(super) fn turn_by_tls(&mut self, key: usize, event: &Event) {
        let has_unsent = |connection: &Connection| {
            connection.has_unsent() || connection.tls.as_ref().is_some_and(|tls| tls.has_unsent())
        };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.receive_by_tls(key, event.is_read_closed() || event.is_error());
        }
        if event.is_writable()
            && self.connections.get(key).is_some_and(has_unsent)
            && let Err(error) = self.flush(key)
        {
            self.fail(key, &error);
        }
    }

    /// As [`Worker::receive`], with TLS.
    #[inline(never)]
    pub(super) fn receive_by_tls(&mut self, key: usize, to_the_end: bool) {
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let (Some(client), Some(session)) = (&mut self.tls, &mut connection.tls) else { return };
            let input = match session.read(&mut connection.stream, client, &mut self.buffer) {
                Ok(input) => input,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(key, &error),
            };
            if connection.state == State::Handshaking {
                self.read_clock();
                self.go_on_shaking(key);
            }
            // Tickets and other messages of TLS have no payload.
            if input.payload > 0 && self.connections.contains(key) {
                self.digest(key, input.payload);
            }
            if !self.connections.contains(key) {
                return;
            }
            if let Some(error) = input.end {
                return self.fail(key, &error);
            }
            if !input.has_more && !to_the_end {
                return;
            }
            self.read_clock();
        }
        self.unread.push_back((key, to_the_end));
    }

    /// Opens the connection if the handshake is over.
    fn go_on_shaking(&mut self, key: usize) {
        let connection = &self.connections[key];
        let Some(session) = connection.tls.as_ref().filter(|session| !session.is_handshaking()) else { return };
        let (address, took_ns) = (connection.address, self.now_ns - connection.since_ns);
        self.tally.handshake(address, session.agreed(), took_ns);
        self.open(key);
        if let Err(error) = self.flush(key) {
            self.lose(key, &error);
        }
    }

    /// Ends the connection with this error. A failed handshake does not count as a lost connection.
    #[cold]
    fn fail(&mut self, key: usize, error: &io::Error) {
        if self.connections[key].state.is_open() {
            self.lose(key, error);
        } else {
            self.drop_connecting(key, error);
        }
    }
}
