//! How long a connection may stay in a state.

/// Limits in ms on how long a connection may stay in a state; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// From the connection's start to the first byte of a header, where one must come.
    pub first_byte_ms: Option<u32>,
    /// From the first byte of a header to its last.
    pub header_ms: u32,
    /// Nothing said. Traffic is stamped with the last reading of the clock, so it must be read in periods of
    /// [`TimeLimits::period_ms`], and a connection is idle only when that much more has passed.
    pub idle_ms: Option<u32>,
    /// The peer takes nothing of what it is owed.
    pub stall_ms: u32,
    /// From our FIN to the peer's, when a connection is closed for what the peer did.
    pub linger_ms: u32,
    /// Whether `idle_ms` is the little time that the end of the server leaves.
    pub is_draining: bool,
    /// Who has idled since before this reading of the clock counts as idle from here on.
    pub idle_from_ms: Option<u32>,
    /// The longest period of the clock, where somebody looks at how long connections are idle.
    pub most_period_ms: Option<u32>,
}

impl TimeLimits {
    /// How often the clock must be read while there are connections.
    #[must_use]
    pub fn period_ms(&self) -> Option<u32> {
        let period_ms = self.idle_ms.map(|idle_ms| (idle_ms / 8).max(1));
        // For [`TimeLimits::min_silence_ms`].
        let precise_ms = (self.header_ms / 2).max(100);
        period_ms.into_iter().chain(self.most_period_ms).chain([precise_ms]).min()
    }

    /// How long a connection must have been silent to lose its place to a newcomer: as long as a header may take, and the
    /// period by which its stamp may be too old.
    #[must_use]
    pub fn min_silence_ms(&self) -> u32 {
        self.header_ms.saturating_add(self.period_ms().unwrap_or(0))
    }
}
