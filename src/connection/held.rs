//! What connections keep in memory between two turns, under one budget: input that is no whole header or line yet, and
//! output that the peer has not taken.

/// The most bytes that all connections may hold together, and how many they may still.
#[derive(Debug)]
pub struct Budget {
    limit: isize,
    left: isize,
    room: usize,
}

impl Budget {
    /// A read may bring this many bytes at least; with less room it waits, so that the last bytes of the budget are not
    /// shared out in drops.
    pub(super) const MIN_READ: usize = 4096;

    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let mut budget = Budget { limit: limit.cast_signed(), left: 0, room: 0 };
        budget.add(budget.limit);
        budget
    }

    /// How many bytes of payload may be read now, since all of them may have to be held. 0 if it is too few to bother.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// The same for a header. An eighth of the budget is for headers alone, so that clients who do not take their answers
    /// cannot keep others from coming in.
    #[must_use]
    pub fn room_for_header(&self) -> usize {
        Self::enough(self.left)
    }

    /// The most bytes that may be held.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.unsigned_abs()
    }

    /// The bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        (self.limit - self.left).unsigned_abs()
    }

    fn add(&mut self, bytes: isize) {
        self.left += bytes;
        self.room = Self::enough(self.left - self.limit / 8);
    }

    fn enough(bytes: isize) -> usize {
        usize::try_from(bytes).ok().filter(|&bytes| bytes >= Self::MIN_READ).unwrap_or(0)
    }

    fn hold(&mut self, memory: &Vec<u8>) {
        self.add(-memory.capacity().cast_signed());
    }

    fn release(&mut self, memory: &Vec<u8>) {
        self.add(memory.capacity().cast_signed());
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
    pub(crate) fn new(bytes: &[u8], owed: usize, budget: &mut Budget) -> Self {
        let bytes = bytes.to_vec();
        budget.hold(&bytes);
        Held { bytes, sent: 0, owed }
    }

    /// Adds unfinished input.
    pub(crate) fn append(&mut self, bytes: &[u8], budget: &mut Budget) {
        budget.release(&self.bytes);
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
        budget.hold(&self.bytes);
    }

    /// Bytes of the budget that it uses.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
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
    pub(crate) fn settle(self, budget: &mut Budget) -> Option<Self> {
        let unfinished = self.unfinished();
        let kept = (!unfinished.is_empty()).then(|| Held::new(unfinished, 0, budget));
        self.release(budget);
        kept
    }

    /// Gives the memory back.
    pub(crate) fn release(self, budget: &mut Budget) {
        budget.release(&self.bytes);
    }
}
