//! Version 1, the human-readable line: each function reads one part of the grammar of section 2.1.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use super::{Addresses, Command, Error, Header, MAX_V1_LEN, Status, Stop, Tlvs, Transport, Version, tcp4};

/// The value in [`HEX`] of a byte that is not a hexadecimal digit.
const NO_DIGIT: u16 = 16;

/// The value of each byte as a hexadecimal digit.
const HEX: [u16; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u16;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u16;
        digit += 1;
    }
    table
};

/// Parses a line whose first byte is `P`.
#[inline(never)]
pub(super) fn parse(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    tcp4::parse(input).map_or_else(|| any(input), |header| Ok(Status::Complete(header)))
}

/// Parses any line, or the beginning of one.
#[inline(never)]
fn any(input: &[u8]) -> Result<Status<Header<'_>>, Error> {
    let mut cursor = Cursor { input, at: 0 };
    let protocol = match cursor.protocol() {
        Ok(protocol) => protocol,
        Err(stop) => return stop.into(),
    };
    let complete = |cursor: &Cursor, addresses| {
        let (raw, tlvs) = (&input[..cursor.at], Tlvs::default());
        Ok(Status::Complete(Header { raw, version: Version::V1, command: Command::Proxy, addresses, tlvs }))
    };
    let transport = Transport::Stream;
    match protocol {
        Protocol::Unknown => match cursor.ignored() {
            Ok(()) => complete(&cursor, Addresses::Unspecified),
            Err(stop) => stop.into(),
        },
        Protocol::Tcp4 => match cursor.ends(Cursor::ipv4) {
            Ok([(source, source_port), (destination, destination_port)]) => complete(
                &cursor,
                Addresses::Inet {
                    transport,
                    source: SocketAddrV4::new(source, source_port),
                    destination: SocketAddrV4::new(destination, destination_port),
                },
            ),
            Err(stop) => stop.into(),
        },
        Protocol::Tcp6 => match cursor.ends(Cursor::ipv6) {
            Ok([(source, source_port), (destination, destination_port)]) => complete(
                &cursor,
                Addresses::Inet6 {
                    transport,
                    source: SocketAddrV6::new(source, source_port, 0, 0),
                    destination: SocketAddrV6::new(destination, destination_port, 0, 0),
                },
            ),
            Err(stop) => stop.into(),
        },
    }
}

enum Protocol {
    Unknown,
    Tcp4,
    Tcp6,
}

struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline]
    fn peek(&self) -> Result<u8, Stop> {
        self.input.get(self.at).copied().ok_or(Stop::Partial)
    }

    #[inline]
    fn byte(&mut self, expected: u8, error: Error) -> Result<(), Stop> {
        if self.peek()? != expected {
            return Err(error.into());
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn literal(&mut self, expected: &[u8], error: Error) -> Result<(), Stop> {
        let rest = &self.input[self.at..];
        if rest.starts_with(expected) {
            self.at += expected.len();
            Ok(())
        } else if expected.starts_with(rest) {
            Err(Stop::Partial)
        } else {
            Err(error.into())
        }
    }

    fn crlf(&mut self) -> Result<(), Stop> {
        self.literal(b"\r\n", Error::V1LineEnd)
    }

    /// `PROXY`, a space, and `TCP4`, `TCP6` or `UNKNOWN`.
    #[inline]
    fn protocol(&mut self) -> Result<Protocol, Stop> {
        self.literal(b"PROXY", Error::Signature)?;
        self.byte(b' ', Error::V1Space)?;
        if self.peek()? == b'U' {
            self.literal(b"UNKNOWN", Error::V1Protocol)?;
            return Ok(Protocol::Unknown);
        }
        self.literal(b"TCP", Error::V1Protocol)?;
        let protocol = match self.peek()? {
            b'4' => Protocol::Tcp4,
            b'6' => Protocol::Tcp6,
            _ => return Err(Error::V1Protocol.into()),
        };
        self.at += 1;
        Ok(protocol)
    }

    /// After `UNKNOWN`: CRLF, or a space and any bytes up to the first CRLF.
    fn ignored(&mut self) -> Result<(), Stop> {
        match self.peek()? {
            b' ' => {}
            b'\r' | b'\n' => return self.crlf(),
            _ => return Err(Error::V1Protocol.into()),
        }
        let line = &self.input[..self.input.len().min(MAX_V1_LEN)];
        match memchr::memmem::find(&line[self.at..], b"\r\n") {
            Some(length) => self.at += length + 2,
            None if line.len() == MAX_V1_LEN => return Err(Error::V1TooLong.into()),
            // CR must come no later than one byte before the end.
            None if line.get(MAX_V1_LEN - 2).is_some_and(|&byte| byte != b'\r') => {
                return Err(Error::V1TooLong.into());
            }
            None => return Err(Stop::Partial),
        }
        Ok(())
    }

    /// Two addresses, their ports, CRLF.
    #[inline]
    fn ends<T>(&mut self, address: impl Fn(&mut Self) -> Result<T, Stop>) -> Result<[(T, u16); 2], Stop> {
        let (source, destination) = self.pair(address)?;
        let (source_port, destination_port) = self.pair(|cursor| cursor.decimal(u16::MAX, Error::V1Port))?;
        self.crlf()?;
        Ok([(source, source_port), (destination, destination_port)])
    }

    #[inline]
    fn pair<T>(&mut self, field: impl Fn(&mut Self) -> Result<T, Stop>) -> Result<(T, T), Stop> {
        self.byte(b' ', Error::V1Space)?;
        let first = field(self)?;
        self.byte(b' ', Error::V1Space)?;
        Ok((first, field(self)?))
    }

    /// A decimal number up to `max`. A digit after a leading zero is an error.
    #[inline]
    fn decimal(&mut self, max: u16, error: Error) -> Result<u16, Stop> {
        let mut value = 0;
        for (count, byte) in self.input[self.at..].iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                self.at += count;
                return if count > 0 { Ok(value as u16) } else { Err(error.into()) };
            }
            let follows_zero = count > 0 && value == 0;
            value = value * 10 + u32::from(digit);
            if value > u32::from(max) || follows_zero {
                return Err(error.into());
            }
        }
        Err(Stop::Partial)
    }

    fn ipv4(&mut self) -> Result<Ipv4Addr, Stop> {
        let mut octets = [0; 4];
        for (index, octet) in octets.iter_mut().enumerate() {
            if index > 0 {
                self.byte(b'.', Error::V1Ipv4)?;
            }
            *octet = self.decimal(255, Error::V1Ipv4)? as u8;
        }
        Ok(octets.into())
    }

    /// Eight groups of one to four hexadecimal digits, or fewer with one `::` in place of one or more zero groups.
    ///
    /// The dotted forms `::ffff:a.b.c.d` and `::a.b.c.d` are accepted too: `inet_ntop` writes them, and senders write them
    /// when they convert an IPv4 client's address for an IPv6 target.
    fn ipv6(&mut self) -> Result<Ipv6Addr, Stop> {
        let mut groups = [0; 8];
        let mut count = 0;
        let mut gap = None;
        if self.peek()? == b':' {
            self.literal(b"::", Error::V1Ipv6)?;
            gap = Some(0);
        }
        // At this point a group must follow, or, after a gap, the end of the address.
        while gap != Some(count) || self.peek()? != b' ' {
            if count + usize::from(gap.is_some()) == 8 {
                return Err(Error::V1Ipv6.into());
            }
            let start = self.at;
            groups[count] = self.hex_group()?;
            let may_be_dotted = gap == Some(0) && matches!(groups[..count], [] | [0xffff]);
            if may_be_dotted && self.peek()? == b'.' {
                self.at = start;
                let [a, b, c, d] = self.ipv4()?.octets();
                groups[count] = u16::from_be_bytes([a, b]);
                groups[count + 1] = u16::from_be_bytes([c, d]);
                count += 2;
                break;
            }
            count += 1;
            match self.peek()? {
                b':' if count < 8 => self.at += 1,
                b' ' => break,
                _ => return Err(Error::V1Ipv6.into()),
            }
            if gap.is_none() && self.peek()? == b':' {
                self.at += 1;
                gap = Some(count);
            }
        }
        match gap {
            None if count < 8 => return Err(Error::V1Ipv6.into()),
            None => {}
            Some(gap) => groups[gap..].rotate_right(8 - count),
        }
        Ok(groups.into())
    }

    /// One to four digits. The caller checks the byte after them.
    #[inline]
    fn hex_group(&mut self) -> Result<u16, Stop> {
        let rest = &self.input[self.at..];
        let window = match rest.first_chunk() {
            Some(window) => *window,
            None if rest.is_empty() => return Err(Stop::Partial),
            // Bytes that have not arrived yet count as not digits.
            None => {
                let mut window = [b' '; 4];
                window[..rest.len()].copy_from_slice(rest);
                window
            }
        };
        let (value, count) = match window.map(|byte| HEX[usize::from(byte)]) {
            [NO_DIGIT, ..] => return Err(Error::V1Ipv6.into()),
            [a, NO_DIGIT, ..] => (a, 1),
            [a, b, NO_DIGIT, _] => (a << 4 | b, 2),
            [a, b, c, NO_DIGIT] => (a << 8 | b << 4 | c, 3),
            [a, b, c, d] => (a << 12 | b << 8 | c << 4 | d, 4),
        };
        self.at += count;
        Ok(value)
    }
}
