//! What a socket is ready for.

/// What the socket was reported to be ready for: a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing, or that it can take more: that matters only to a connection that owes something, and it looks for itself.
    pub const WRITABLE: Ready = Ready(0);
    /// There is something to read, if only an error or the end.
    pub const READABLE: Ready = Ready(1);
    /// The peer's FIN or an error is there.
    pub const READ_CLOSED: Ready = Ready(2);
    /// Urgent data is there.
    pub const PRIORITY: Ready = Ready(4);
    /// The connection's own: there is input that was looked at, and waits in the kernel for space to be sent.
    pub(super) const BLOCKED: Ready = Ready(8);

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }

    /// Whether some of `other` is in this set.
    #[must_use]
    pub const fn intersects(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Ready) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in this set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
