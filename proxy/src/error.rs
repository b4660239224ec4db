//! The reasons why bytes are not a header.

use core::fmt;

/// Why bytes are not a PROXY protocol header.
///
/// [`Display`](fmt::Display) gives a sentence for people, which may change between versions; [`Error::name`] gives a
/// stable name for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Neither `PROXY` nor the version 2 signature.
    Signature,
    /// Version 1: the protocol is not `TCP4`, `TCP6` or `UNKNOWN`.
    V1Protocol,
    /// Version 1: not four decimal numbers up to 255, without leading zeros, between single dots.
    V1Ipv4,
    /// Version 1: not an IPv6 address of 128 bits with at most one `::`.
    V1Ipv6,
    /// Version 1: not a decimal number up to 65535 without leading zeros.
    V1Port,
    /// Version 1: a field, or the word `PROXY`, does not end in a space.
    V1Space,
    /// Version 1: the line does not end in CRLF where it must.
    V1LineEnd,
    /// Version 1: no CRLF within 107 bytes.
    V1TooLong,
    /// Version 2: the version nibble is not 2.
    V2Version,
    /// Version 2: a command other than LOCAL (0) and PROXY (1).
    V2Command,
    /// Version 2: an address family above 3.
    V2Family,
    /// Version 2: a transport protocol above 2.
    V2Transport,
    /// Version 2: the length is too short for the addresses of the family.
    V2Length,
    /// Version 2: a TLV's length reaches past the end of the header.
    TlvOverrun,
    /// Version 2: one or two bytes are left after the last TLV.
    TlvTrailing,
    /// Version 2: a CRC32C whose value is not 4 bytes long.
    Crc32cLength,
    /// Version 2: a second CRC32C.
    Crc32cDuplicate,
    /// Version 2: the CRC32C is not that of the header.
    Crc32cMismatch,
    /// Version 2: a unique id of more than 128 bytes.
    UniqueIdLength,
}

impl Error {
    /// All errors, in the order of the specification.
    pub const ALL: &[Error] = &[
        Error::Signature,
        Error::V1Protocol,
        Error::V1Ipv4,
        Error::V1Ipv6,
        Error::V1Port,
        Error::V1Space,
        Error::V1LineEnd,
        Error::V1TooLong,
        Error::V2Version,
        Error::V2Command,
        Error::V2Family,
        Error::V2Transport,
        Error::V2Length,
        Error::TlvOverrun,
        Error::TlvTrailing,
        Error::Crc32cLength,
        Error::Crc32cDuplicate,
        Error::Crc32cMismatch,
        Error::UniqueIdLength,
    ];

    /// A stable name in `snake_case`, for programs: a metric's label, a field of JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.words().0
    }

    /// The sentence of [`fmt::Display`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.words().1
    }

    /// The section or sections of the specification that the input breaks, as `section 2.1`.
    #[must_use]
    pub const fn section(self) -> &'static str {
        self.words().2
    }

    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Error::Signature => {
                ("signature", "neither a PROXY line nor the version 2 signature", "sections 2.1 and 2.2")
            }
            Error::V1Protocol => ("v1_protocol", "the protocol is not TCP4, TCP6 or UNKNOWN", "section 2.1"),
            Error::V1Ipv4 => ("v1_ipv4", "not an IPv4 address in canonical form", "section 2.1"),
            Error::V1Ipv6 => ("v1_ipv6", "not an IPv6 address", "section 2.1"),
            Error::V1Port => ("v1_port", "not a port from 0 to 65535 without leading zeros", "section 2.1"),
            Error::V1Space => ("v1_space", "no space at the end of a field", "section 2.1"),
            Error::V1LineEnd => ("v1_line_end", "the line does not end in CRLF", "section 2.1"),
            Error::V1TooLong => ("v1_too_long", "no CRLF within 107 bytes", "section 2.1"),
            Error::V2Version => ("v2_version", "the version is not 2", "section 2.2"),
            Error::V2Command => ("v2_command", "the command is neither LOCAL nor PROXY", "section 2.2"),
            Error::V2Family => ("v2_family", "the address family is undefined", "section 2.2"),
            Error::V2Transport => ("v2_transport", "the transport protocol is undefined", "section 2.2"),
            Error::V2Length => ("v2_length", "the length is too short for the address family", "section 2.2"),
            Error::TlvOverrun => ("tlv_overrun", "a TLV reaches past the end of the header", "section 2.2"),
            Error::TlvTrailing => ("tlv_trailing", "bytes are left over after the last TLV", "section 2.2"),
            Error::Crc32cLength => ("crc32c_length", "the CRC32C is not 4 bytes long", "section 2.2.3"),
            Error::Crc32cDuplicate => ("crc32c_duplicate", "there is more than one CRC32C", "section 2.2.3"),
            Error::Crc32cMismatch => ("crc32c_mismatch", "the CRC32C does not match the header", "section 2.2.3"),
            Error::UniqueIdLength => ("unique_id_length", "the unique id is longer than 128 bytes", "section 2.2.5"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for Error {}
