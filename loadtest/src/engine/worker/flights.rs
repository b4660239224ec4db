//! The due and send times of messages in flight, without an allocation per message.

use super::super::connection::Connection;

/// The messages in flight, at most `depth` of each connection.
#[derive(Debug)]
pub(super) struct Flights {
    /// Scheduled and actual send times in ns: a ring for each connection, by its key.
    stamps: Box<[(u64, u64)]>,
    pub(super) depth: u32,
    /// The number on all connections.
    pub(super) count: u64,
}

impl Flights {
    pub(super) fn new(connections: u64, depth: u32) -> Self {
        let stamps = vec![(0, 0); connections as usize * depth as usize].into_boxed_slice();
        Flights { stamps, depth, count: 0 }
    }

    /// Adds a message to the connection with `key`, which has room for it.
    #[inline]
    pub(super) fn begin(&mut self, key: usize, connection: &mut Connection, size: usize, due_ns: u64, now_ns: u64) {
        debug_assert!(connection.in_flight < self.depth, "more in flight than the depth");
        let mut stamp = connection.oldest + connection.in_flight;
        if stamp >= self.depth {
            stamp -= self.depth;
        }
        self.stamps[key * self.depth as usize + stamp as usize] = (due_ns, now_ns);
        connection.queue(size);
        self.count += 1;
    }

    /// Removes the oldest message of a connection. Returns when it was due and when it was sent.
    #[inline]
    pub(super) fn end(&mut self, key: usize, connection: &mut Connection) -> (u64, u64) {
        let stamp = self.stamps[key * self.depth as usize + connection.oldest as usize];
        connection.oldest = if connection.oldest + 1 == self.depth { 0 } else { connection.oldest + 1 };
        connection.in_flight -= 1;
        self.count -= 1;
        stamp
    }

    /// When the oldest message in flight of a connection was sent.
    pub(super) fn sent_ns(&self, key: usize, connection: &Connection) -> Option<u64> {
        let stamp = self.stamps.get(key * self.depth as usize + connection.oldest as usize);
        stamp.filter(|_| connection.in_flight > 0).map(|&(_, sent_ns)| sent_ns)
    }

    /// When the messages in flight of a connection were due.
    pub(super) fn due_of(&self, key: usize, connection: &Connection) -> impl Iterator<Item = u64> + '_ {
        let (oldest, in_flight) = (connection.oldest, connection.in_flight);
        (0..in_flight)
            .map(move |index| self.stamps[key * self.depth as usize + ((oldest + index) % self.depth) as usize].0)
    }

    /// Removes the messages of a closed connection. Returns their number.
    pub(super) fn abandon(&mut self, connection: &Connection) -> u64 {
        self.count -= u64::from(connection.in_flight);
        connection.in_flight.into()
    }
}
