//! Stores sessions for resumption: the tickets that servers gave for the next handshake.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proxy_echo_client::tls::rustls::NamedGroup;
use proxy_echo_client::tls::rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use proxy_echo_client::tls::rustls::pki_types::ServerName;

/// TLS 1.3 tickets for each connection: servers usually give two, and each is used once (RFC 8446, section C.4).
const FOR_EACH: u64 = 2;
/// Most tickets of a name.
const MAX_TICKETS: u64 = 4096;

/// The sessions of a worker. rustls's own store keeps only eight tickets of a name, too few for a hundred connections
/// that begin together.
#[derive(Debug)]
pub(super) struct Tickets {
    names: Mutex<HashMap<ServerName<'static>, Known>>,
    most: usize,
}

/// The sessions of a name.
#[derive(Debug, Default)]
struct Known {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Tickets {
    /// A store for this many connections at a time. It has at most as many names as the run has addresses.
    pub(super) fn new(connections: u64) -> Self {
        Tickets { names: Mutex::default(), most: (connections * FOR_EACH).min(MAX_TICKETS) as usize }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<ServerName<'static>, Known>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.names().entry(name).or_default().group = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.names().get(name)?.group
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.names().entry(name).or_default().tls12 = Some(session);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.names().get(name)?.tls12.clone()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(known) = self.names().get_mut(name) {
            known.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut names = self.names();
        let tickets = &mut names.entry(name).or_default().tls13;
        // Drop the oldest ticket, which expires first.
        if tickets.len() >= self.most {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.names().get_mut(name)?.tls13.pop_back()
    }
}
