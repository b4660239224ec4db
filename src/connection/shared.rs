//! What connections share: the rules of the echo, one buffer to read into, the clock and the budget.

pub use proxy::policy::Expect;
use proxy::{MAX_V1_LEN, Version};

use super::clock::Clock;
use super::held::Budget;

/// What is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Bytes as they come.
    Stream,
    /// Whole lines, and at the end an unfinished one.
    Lines {
        /// The longest line in bytes, its LF included.
        max: usize,
    },
}

/// What a connection shares with all others: the rules, one buffer to read into, and the budget for what is held.
#[derive(Debug)]
pub struct Shared {
    /// What is sent back.
    pub echo: Echo,
    /// Whether the header goes back too, as a version 1 line.
    pub reflect_header: bool,
    /// The longest header in bytes; [`proxy::MAX_V2_LEN`] is every legal one.
    pub max_header: usize,
    /// The only version that is taken, if it is not both.
    pub only_version: Option<Version>,
    /// Time, as of its last reading.
    pub clock: Clock,
    /// The memory that connections hold.
    pub budget: Budget,
    /// Bytes of reads that are not small, since somebody set this to 0.
    pub moved: usize,
    pub(super) read_size: usize,
    pub(super) buffer: Box<[u8]>,
}

impl Shared {
    /// Free space in front of what is read, in which a version 1 line can be put before the payload of a version 2 header:
    /// one send for both.
    pub(super) const HEADROOM: usize = MAX_V1_LEN;

    /// `read_size` is the most bytes that one read takes, 4096 at least. What is unfinished has room in front of them.
    #[must_use]
    pub fn new(echo: Echo, reflect_header: bool, read_size: usize, budget: Budget) -> Self {
        debug_assert!(read_size >= Budget::MIN_READ);
        let unfinished = match echo {
            Echo::Stream => proxy::MAX_V2_LEN,
            Echo::Lines { max } => max.max(proxy::MAX_V2_LEN),
        };
        let buffer = vec![0; Self::HEADROOM + unfinished + read_size].into_boxed_slice();
        Shared {
            echo,
            reflect_header,
            max_header: proxy::MAX_V2_LEN,
            only_version: None,
            clock: Clock::start(),
            budget,
            moved: 0,
            read_size,
            buffer,
        }
    }
}
