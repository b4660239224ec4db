//! The readiness of a socket.

/// The reported readiness of a socket: a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// No bit. Space to send needs none: a connection with output left tries to send it anyway.
    pub const WRITABLE: Ready = Ready(0);
    /// There is something to read: input, an error or the end.
    pub const READABLE: Ready = Ready(1);
    /// The peer's FIN or an error has arrived.
    pub const READ_CLOSED: Ready = Ready(2);
    /// Urgent data has arrived.
    pub const PRIORITY: Ready = Ready(4);
    /// Set by the connection itself: peeked input waits in the kernel until it can be sent.
    pub(super) const BLOCKED: Ready = Ready(8);

    /// The bits of either set.
    #[must_use]
    pub const fn union(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    /// The bits of this set that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }

    /// Whether any bit of `other` is in this set.
    #[must_use]
    pub const fn intersects(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all bits of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Ready) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this set has no bits.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
