//! Bytes that connections keep in memory between two turns, under one budget: unfinished headers and lines, and output
//! that the peer has not taken.

use std::ops::{Deref, DerefMut};

/// The most bytes that all connections may hold together, and how many are left. Unfinished headers have their own
/// pool, so that clients that do not read their answers cannot lock out new ones.
#[derive(Debug)]
pub struct Budget {
    payload: PoolBytes,
    headers: PoolBytes,
    /// The bytes of payload that may be read now, computed ahead because every turn needs it.
    room: usize,
    room_for_header: usize,
}

#[derive(Debug)]
struct PoolBytes {
    /// The configured limit.
    max: usize,
    /// The limit in force: lowered when the system has no memory, restored when nothing is held.
    limit: usize,
    held: usize,
}

/// A part of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Unfinished headers.
    Headers,
    /// Unfinished lines, and output owed to peers.
    Payload,
}

impl PoolBytes {
    fn new(max: usize) -> Self {
        PoolBytes { max, limit: max, held: 0 }
    }

    fn left(&self) -> usize {
        self.limit.saturating_sub(self.held)
    }

    fn release(&mut self, bytes: usize) {
        self.held -= bytes;
        if self.held == 0 {
            self.limit = self.max;
        }
    }
}

impl Budget {
    /// A read waits until the budget has room for at least this many bytes, so that the last of the budget is not
    /// handed out in tiny reads.
    pub const MIN_READ: usize = 4096;

    /// A budget of `payload` and `headers` bytes.
    #[must_use]
    pub fn new(payload: usize, headers: usize) -> Self {
        let mut budget =
            Budget { payload: PoolBytes::new(payload), headers: PoolBytes::new(headers), room: 0, room_for_header: 0 };
        budget.update();
        budget
    }

    /// How many bytes of payload may be read now, given that all of them may have to be held. 0 if that is less than
    /// [`Budget::MIN_READ`].
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many bytes may be read now of a header and the payload after it.
    #[must_use]
    #[inline]
    pub fn room_for_header(&self) -> usize {
        self.room_for_header
    }

    /// The most bytes that may be held.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.payload.limit + self.headers.limit
    }

    /// The most bytes of payload that may be held.
    #[must_use]
    pub fn payload_limit(&self) -> usize {
        self.payload.limit
    }

    /// The bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.payload.held + self.headers.held
    }

    /// Whether the limit was lowered because the system had less memory than the budget.
    #[must_use]
    pub fn is_lowered(&self) -> bool {
        self.payload.limit < self.payload.max || self.headers.limit < self.headers.max
    }

    fn update(&mut self) {
        self.room = Self::enough(self.payload.left());
        let all_left = self.limit().saturating_sub(self.held());
        self.room_for_header = match Self::enough(self.headers.left().min(all_left)) {
            // A newly accepted socket has at least this much space to send.
            room if self.room == 0 => room.min(Self::MIN_READ),
            room => room,
        };
    }

    fn enough(bytes: usize) -> usize {
        if bytes >= Self::MIN_READ { bytes } else { 0 }
    }

    fn pool(&mut self, pool: Pool) -> &mut PoolBytes {
        match pool {
            Pool::Headers => &mut self.headers,
            Pool::Payload => &mut self.payload,
        }
    }

    fn hold(&mut self, pool: Pool, bytes: usize) {
        self.pool(pool).held += bytes;
        self.update();
    }

    fn release(&mut self, pool: Pool, bytes: usize) {
        self.pool(pool).release(bytes);
        self.update();
    }

    /// The system has no memory although the budget has room: lowers the limit to the bytes held now.
    fn lower(&mut self, pool: Pool) {
        let pool = self.pool(pool);
        pool.limit = pool.held;
        self.update();
    }
}

/// The system refused an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory;

/// Bytes that one connection holds: first the output owed to the peer, then unfinished input.
///
/// A connection that holds nothing has no `Held`. The allocation is exactly as large as the bytes were when they were
/// stored.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    sent: usize,
    owed: usize,
    pool: Pool,
}

/// A [`Held`] behind one pointer. A boxed slice, because stable Rust has no `Box` whose allocation may fail.
#[derive(Debug)]
pub(crate) struct HeldBox(Box<[Held; 1]>);

impl HeldBox {
    fn new(held: Held) -> Result<Self, OutOfMemory> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).map_err(|_| OutOfMemory)?;
        one.push(held);
        one.into_boxed_slice().try_into().map(HeldBox).map_err(|_| OutOfMemory)
    }
}

impl Deref for HeldBox {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0[0]
    }
}

impl DerefMut for HeldBox {
    fn deref_mut(&mut self) -> &mut Held {
        &mut self.0[0]
    }
}

impl Held {
    /// Keeps a copy of `bytes`; the first `owed` of them are output for the peer.
    pub(crate) fn keep(bytes: &[u8], owed: usize, pool: Pool, budget: &mut Budget) -> Result<HeldBox, OutOfMemory> {
        let copy = copy(bytes).and_then(|bytes| HeldBox::new(Held { bytes, sent: 0, owed, pool }));
        match &copy {
            Ok(held) => budget.hold(pool, held.memory()),
            Err(OutOfMemory) => budget.lower(pool),
        }
        copy
    }

    /// Adds unfinished input.
    pub(crate) fn append(&mut self, bytes: &[u8], budget: &mut Budget) -> Result<(), OutOfMemory> {
        let before = self.memory();
        if self.bytes.try_reserve_exact(bytes.len()).is_err() {
            budget.lower(self.pool);
            return Err(OutOfMemory);
        }
        self.bytes.extend_from_slice(bytes);
        budget.hold(self.pool, self.memory());
        budget.release(self.pool, before);
        Ok(())
    }

    /// Bytes of the budget that it uses.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The output that the peer was not sent yet.
    pub(crate) fn owed(&self) -> &[u8] {
        &self.bytes[self.sent..self.owed]
    }

    /// The unfinished input.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.bytes[self.owed..]
    }

    /// The peer took `count` more bytes.
    pub(crate) fn took(&mut self, count: usize) {
        self.sent += count;
    }

    /// Turns all held bytes into output for the peer: its last line, or its header, will not be finished.
    pub(crate) fn owe_all(&mut self, budget: &mut Budget) {
        self.owed = self.bytes.len();
        budget.release(self.pool, self.memory());
        self.pool = Pool::Payload;
        budget.hold(self.pool, self.memory());
    }

    /// The peer took all output: keeps only the unfinished input. Returns whether there is any.
    pub(crate) fn settle(&mut self, budget: &mut Budget) -> bool {
        budget.release(self.pool, self.memory());
        match copy(self.unfinished()) {
            Ok(unfinished) => self.bytes = unfinished,
            // Without memory for a copy, keep the old allocation.
            Err(OutOfMemory) => drop(self.bytes.drain(..self.owed)),
        }
        (self.sent, self.owed) = (0, 0);
        budget.hold(self.pool, self.memory());
        !self.bytes.is_empty()
    }

    /// Returns its bytes to the budget.
    pub(crate) fn release(&self, budget: &mut Budget) {
        budget.release(self.pool, self.memory());
    }
}

/// A copy that takes no more memory than the bytes.
fn copy(bytes: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| OutOfMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}
