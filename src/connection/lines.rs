//! Finds the ends of lines.

use memchr::{memchr_iter, memrchr};

/// Returns how many bytes at the start of `payload` are whole lines of at most `max` bytes each, LF included, and
/// whether a longer line follows them, finished or not. The first `searched` bytes are known to contain no LF.
pub(crate) fn whole(payload: &[u8], searched: usize, max: usize) -> (usize, bool) {
    let end = memrchr(b'\n', &payload[searched..]).map_or(0, |at| searched + at + 1);
    if end <= max && payload.len() - end <= max {
        return (end, false);
    }
    // Rare: only a read longer than the longest line can contain a line that is too long.
    let mut start = 0;
    for at in memchr_iter(b'\n', &payload[..end]) {
        if at + 1 - start > max {
            return (start, true);
        }
        start = at + 1;
    }
    (end, payload.len() - end > max)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn lines_end_at_lf_and_may_be_as_long_as_max() {
        for (payload, searched, expected) in [
            (&b""[..], 0, (0, false)),
            (b"abc", 0, (0, false)),
            (b"abcd", 0, (0, false)),
            (b"abcde", 0, (0, true)),
            (b"abc\n", 0, (4, false)),
            (b"abcd\n", 0, (0, true)),
            (b"a\nb\nc", 0, (4, false)),
            (b"a\nb\ncdefg", 0, (4, true)),
            (b"a\nbcde\nf", 0, (2, true)),
            (b"abc\nabc\nabc\n", 0, (12, false)),
            (b"ab\n", 2, (3, false)),
            (b"\n\n\n\n\n", 0, (5, false)),
        ] {
            assert_eq!(whole(payload, searched, 4), expected, "{payload:?}");
        }
    }
}
