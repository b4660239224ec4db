//! The time limits of a connection's states.

/// The longest times that a connection may stay in a state, in ms. `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// From the connection's start to its first byte, where a header is required.
    pub first_byte_ms: Option<u32>,
    /// From the first byte of a header to its last.
    pub header_ms: u32,
    /// Without traffic. Traffic is stamped with the last reading of the clock. The clock must therefore be read every
    /// [`TimeLimits::period_ms`], and a connection counts as idle only after one more period.
    pub idle_ms: Option<u32>,
    /// While the peer takes none of the output owed to it.
    pub stall_ms: u32,
    /// From our FIN to the peer's, when the server closes a connection because of a line too long.
    pub linger_ms: u32,
    /// Whether the server is stopping, and `idle_ms` is the short limit for that.
    pub is_draining: bool,
    /// Connections idle since before this reading of the clock count as idle only from here on.
    pub idle_from_ms: Option<u32>,
    /// The longest period of the clock, if idle times are shown to someone.
    pub most_period_ms: Option<u32>,
}

impl TimeLimits {
    /// The longest time between two readings of the clock while there are connections, in ms.
    #[must_use]
    pub fn period_ms(&self) -> Option<u32> {
        let period_ms = self.idle_ms.map(|idle_ms| (idle_ms / 8).max(1));
        // [`TimeLimits::min_silence_ms`] needs stamps as precise as this.
        let precise_ms = (self.header_ms / 2).max(100);
        period_ms.into_iter().chain(self.most_period_ms).chain([precise_ms]).min()
    }

    /// The silence after which a connection may lose its place to a new one, in ms: the time limit of a header, plus
    /// the period by which its stamp may be too old.
    #[must_use]
    pub fn min_silence_ms(&self) -> u32 {
        self.header_ms.saturating_add(self.period_ms().unwrap_or(0))
    }
}
