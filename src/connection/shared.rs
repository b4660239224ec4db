//! State that all connections share: the rules of the echo, one read buffer, the clock and the budget.

pub use proxy::policy::Expect;
use proxy::{MAX_V1_LEN, Version};

use super::clock::Clock;
use super::held::Budget;
use super::outcome::Refusal;

/// The unit of the echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Bytes as they arrive.
    Stream,
    /// Whole lines; an unfinished last line is sent back after FIN.
    Lines {
        /// The longest line in bytes, its LF included.
        max: usize,
    },
}

/// State that a connection shares with all others.
#[derive(Debug)]
pub struct Shared {
    /// The unit of the echo.
    pub echo: Echo,
    /// Whether the client is sent its header too, as a version 1 line.
    pub reflect_header: bool,
    /// The longest header of each version in bytes; 0 refuses the version. One comparison checks `--max-header` and
    /// `--proxy-version`, because every connection passes it.
    pub(super) max_lens: [usize; 2],
    /// The clock.
    pub clock: Clock,
    /// The budget for bytes held in memory.
    pub budget: Budget,
    /// Bytes of large reads since this was last set to 0.
    pub moved: usize,
    pub(super) read_size: usize,
    pub(super) buffer: Box<[u8]>,
}

impl Shared {
    /// Free space before the bytes read. A reflected version 1 line is written there, directly before the payload of a
    /// version 2 header, so that one send takes both.
    pub(super) const HEADROOM: usize = MAX_V1_LEN;

    /// `read_size` is the most bytes of one read, at least 4096. The buffer has additional room for unfinished input
    /// before them.
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

    /// Accepts only headers of at most `max_len` bytes ([`proxy::MAX_V2_LEN`] accepts every legal one), and only of
    /// `only_version` if it is given.
    pub fn restrict_headers(&mut self, max_len: usize, only_version: Option<Version>) {
        let takes = |version| only_version.is_none_or(|only| only == version);
        self.max_lens = [Version::V1, Version::V2].map(|version| if takes(version) { max_len } else { 0 });
    }

    /// The longest header of any version, in bytes.
    pub(super) fn max_len(&self) -> usize {
        self.max_lens[0].max(self.max_lens[1])
    }

    /// Why a complete header of that version is refused.
    #[cold]
    pub(super) fn refusal(&self, version: Version) -> Refusal {
        if self.max_lens[version as usize] == 0 { Refusal::OtherVersion } else { Refusal::TooLong }
    }
}
