//! What connections keep in memory between two turns, under one budget: input that is no whole header or line yet, and
//! output that the peer has not taken.

use std::ops::{Deref, DerefMut};

/// The most bytes that all connections may hold together, and how many they may still: a pool for unfinished headers, and one
/// for everything else, so that clients who do not take their answers cannot keep others from coming in.
#[derive(Debug)]
pub struct Budget {
    payload: PoolBytes,
    headers: PoolBytes,
    /// What may be read now, at hand for each turn.
    room: usize,
    room_for_header: usize,
}

#[derive(Debug)]
struct PoolBytes {
    /// As configured.
    max: usize,
    /// As it is: lower after there was no memory, until nothing is held.
    limit: usize,
    held: usize,
}

/// Which part of the budget held bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Headers that are not whole.
    Headers,
    /// Lines that are not whole, and what is owed to peers.
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
    /// A read may bring this many bytes at least; with less room it waits, so that the last bytes of the budget are not
    /// shared out in drops.
    pub const MIN_READ: usize = 4096;

    /// A budget of so many bytes for each pool.
    #[must_use]
    pub fn new(payload: usize, headers: usize) -> Self {
        let mut budget =
            Budget { payload: PoolBytes::new(payload), headers: PoolBytes::new(headers), room: 0, room_for_header: 0 };
        budget.update();
        budget
    }

    /// How many bytes of payload may be read now, since all of them may have to be held. 0 if it is too few to bother.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// The same for a header, and for the payload behind it.
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

    /// The most bytes that may be held of payload.
    #[must_use]
    pub fn payload_limit(&self) -> usize {
        self.payload.limit
    }

    /// The bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.payload.held + self.headers.held
    }

    /// Whether the system had less memory than the budget, and it is lower since then.
    #[must_use]
    pub fn is_lowered(&self) -> bool {
        self.payload.limit < self.payload.max || self.headers.limit < self.headers.max
    }

    fn update(&mut self) {
        self.room = Self::enough(self.payload.left());
        let all_left = self.limit().saturating_sub(self.held());
        self.room_for_header = match Self::enough(self.headers.left().min(all_left)) {
            // A socket that has just been accepted takes as much as this at once.
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

    /// The system has no memory although the budget has: from now on no more is held than there is.
    fn lower(&mut self, pool: Pool) {
        let pool = self.pool(pool);
        pool.limit = pool.held;
        self.update();
    }
}

/// The system had no memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory;

/// Bytes that one connection holds: first what it owes the peer, then input that is unfinished.
///
/// A connection that holds nothing has none of these. The memory is as large as the bytes were when they were put in.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    sent: usize,
    owed: usize,
    pool: Pool,
}

/// What is held, behind one pointer: a `Box` that can be refused, as stable Rust has it.
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
    /// Keeps a copy of `bytes`, of which the first `owed` are for the peer.
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

    /// All that is held is now for the peer: its last line, or its header, will not be finished.
    pub(crate) fn owe_all(&mut self, budget: &mut Budget) {
        self.owed = self.bytes.len();
        budget.release(self.pool, self.memory());
        self.pool = Pool::Payload;
        budget.hold(self.pool, self.memory());
    }

    /// The peer took all that it was owed: keeps the unfinished input alone. Says whether there is any.
    pub(crate) fn settle(&mut self, budget: &mut Budget) -> bool {
        budget.release(self.pool, self.memory());
        match copy(self.unfinished()) {
            Ok(unfinished) => self.bytes = unfinished,
            // What is there already is there.
            Err(OutOfMemory) => drop(self.bytes.drain(..self.owed)),
        }
        (self.sent, self.owed) = (0, 0);
        budget.hold(self.pool, self.memory());
        !self.bytes.is_empty()
    }

    /// Gives the memory back.
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
