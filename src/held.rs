//! What connections keep in memory between two turns, under one budget: input that is no whole header or line yet, and
//! output that the peer has not taken.

/// The most bytes that all connections may hold together, and how many they do.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: usize,
}

impl Budget {
    /// A read may bring this many bytes at least; with less room it waits, so that the last bytes of the budget are not
    /// shared out in drops.
    const LEAST_READ: usize = 4096;

    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Budget { limit, held: 0 }
    }

    /// How many bytes may be read now, since all of them may have to be held. 0 if it is too few to bother.
    #[must_use]
    pub fn room(&self) -> usize {
        let room = self.limit.saturating_sub(self.held);
        if room < Self::LEAST_READ { 0 } else { room }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }
}

/// Bytes that one connection holds: first what it owes the peer, then input that is unfinished.
///
/// A connection that holds nothing has none of these. The memory is as large as the bytes were when they were put in.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    sent: usize,
    owed: usize,
}

impl Held {
    /// Keeps a copy of `bytes`, of which the first `owed` are for the peer.
    pub(crate) fn new(bytes: &[u8], owed: usize, budget: &mut Budget) -> Box<Self> {
        let bytes = bytes.to_vec();
        budget.held += bytes.capacity();
        Box::new(Held { bytes, sent: 0, owed })
    }

    /// Adds unfinished input.
    pub(crate) fn append(&mut self, bytes: &[u8], budget: &mut Budget) {
        budget.held -= self.bytes.capacity();
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
        budget.held += self.bytes.capacity();
    }

    /// What the peer is still to be sent.
    pub(crate) fn owed(&self) -> &[u8] {
        &self.bytes[self.sent..self.owed]
    }

    /// The input that is not whole yet.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.bytes[self.owed..]
    }

    /// The peer took `count` more bytes.
    pub(crate) fn took(&mut self, count: usize) {
        self.sent += count;
    }

    /// All that is held is now for the peer: its last line will not be finished.
    pub(crate) fn owe_all(&mut self) {
        self.owed = self.bytes.len();
    }

    /// The peer took all that it was owed: keeps the unfinished input alone. `None` if there is none.
    pub(crate) fn settle(self: Box<Self>, budget: &mut Budget) -> Option<Box<Self>> {
        let unfinished = self.unfinished();
        let kept = (!unfinished.is_empty()).then(|| Held::new(unfinished, 0, budget));
        self.release(budget);
        kept
    }

    /// Gives the memory back.
    pub(crate) fn release(self: Box<Self>, budget: &mut Budget) {
        budget.held -= self.bytes.capacity();
    }
}
