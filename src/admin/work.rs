//! Limits the work of the admin port in one reactor turn, so that no answer keeps the clients of the echo waiting.
//!
//! It counts work, not time: connections visited and bytes written. On the machine of `docs/admin.md` the work of a
//! turn takes less than half a millisecond.

/// The rest of a turn's work.
#[derive(Debug)]
pub(super) struct Work {
    rows: usize,
    bytes: usize,
}

impl Work {
    /// Most connections visited in a turn.
    pub(super) const MAX_ROWS: usize = 1024;
    /// Most bytes of answers in a turn, counted when they are made and again when they are sent. A row, a document or a
    /// part that reaches the limit is still finished.
    pub(super) const MAX_BYTES: usize = 64 * 1024;

    /// A system call takes as long as visiting this many connections.
    const CALL_ROWS: usize = 16;
    /// Searching this many bytes of a header takes as long as visiting a connection.
    const ROW_BYTES: usize = 64;

    /// The whole work of a turn.
    pub(super) fn of_a_turn() -> Self {
        Work { rows: Self::MAX_ROWS, bytes: Self::MAX_BYTES }
    }

    /// Whether no work is left.
    pub(super) fn is_used_up(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// Whether more than half is left.
    pub(super) fn is_plenty(&self) -> bool {
        self.rows > Self::MAX_ROWS / 2 && self.bytes > Self::MAX_BYTES / 2
    }

    /// Counts a visited connection, with this many bytes of its header.
    pub(super) fn spend_row(&mut self, header_bytes: usize) {
        self.rows = self.rows.saturating_sub(1 + header_bytes / Self::ROW_BYTES);
    }

    /// Counts bytes of an answer that were made or sent.
    pub(super) fn spend_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Counts a few system calls for a client.
    pub(super) fn spend_call(&mut self) {
        self.rows = self.rows.saturating_sub(Self::CALL_ROWS);
    }
}
