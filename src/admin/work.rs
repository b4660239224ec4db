//! How much the admin port may do in one turn of the reactor, so that no answer keeps the clients of the echo waiting.
//!
//! What is counted is work and not time: connections looked at and bytes written. On the machine of `docs/admin.md` all of it
//! takes less than half a millisecond.

/// What is left of a turn's work.
#[derive(Debug)]
pub(super) struct Work {
    rows: usize,
    bytes: usize,
}

impl Work {
    /// Most connections looked at in a turn.
    pub(super) const MAX_ROWS: usize = 1024;
    /// Most bytes of answers in a turn, counted when they are made and when they are sent. What reaches it, a row, a document or
    /// a part that is sent, is finished.
    pub(super) const MAX_BYTES: usize = 64 * 1024;

    /// A system call takes as long as looking at this many connections.
    const CALL_ROWS: usize = 16;
    /// Searching this many bytes of a header takes as long as looking at a connection.
    const ROW_BYTES: usize = 64;

    /// The work of a turn.
    pub(super) fn of_a_turn() -> Self {
        Work { rows: Self::MAX_ROWS, bytes: Self::MAX_BYTES }
    }

    /// Whether nothing is left.
    pub(super) fn is_used_up(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// Whether more than half is left.
    pub(super) fn is_plenty(&self) -> bool {
        self.rows > Self::MAX_ROWS / 2 && self.bytes > Self::MAX_BYTES / 2
    }

    /// A connection was looked at, with this many bytes of its header.
    pub(super) fn spend_row(&mut self, header_bytes: usize) {
        self.rows = self.rows.saturating_sub(1 + header_bytes / Self::ROW_BYTES);
    }

    /// So many bytes of an answer were made or sent.
    pub(super) fn spend_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A few system calls for a client were made.
    pub(super) fn spend_call(&mut self) {
        self.rows = self.rows.saturating_sub(Self::CALL_ROWS);
    }
}
