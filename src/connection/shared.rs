//! What connections share: the rules of the echo, one buffer to read into, the clock and the budget.

pub use proxy::policy::Expect;
use proxy::{MAX_V1_LEN, Version};

use super::clock::Clock;
use super::held::Budget;
use super::outcome::Refusal;

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
    /// The longest header of each version in bytes; 0 takes none. One comparison for both options: this is on the way of every
    /// connection.
    pub(super) max_lens: [usize; 2],
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
            max_lens: [proxy::MAX_V2_LEN; 2],
            clock: Clock::start(),
            budget,
            moved: 0,
            read_size,
            buffer,
        }
    }

    /// Takes headers of `max_len` bytes at most ([`proxy::MAX_V2_LEN`] is every legal one), of one version alone if it is given.
    pub fn restrict_headers(&mut self, max_len: usize, only_version: Option<Version>) {
        let takes = |version| only_version.is_none_or(|only| only == version);
        self.max_lens = [Version::V1, Version::V2].map(|version| if takes(version) { max_len } else { 0 });
    }

    /// The longest header of any version, in bytes.
    pub(super) fn max_len(&self) -> usize {
        self.max_lens[0].max(self.max_lens[1])
    }

    /// Why a whole header of that version is refused.
    #[cold]
    pub(super) fn refusal(&self, version: Version) -> Refusal {
        if self.max_lens[version as usize] == 0 { Refusal::OtherVersion } else { Refusal::TooLong }
    }
}
