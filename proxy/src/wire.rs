//! Constants of the wire format of version 2 (section 2.2), for programs that read a header field by field.

/// The first 12 bytes of every version 2 header. No other protocol begins with them.
pub const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Length of the part before the addresses in bytes: signature, version and command, family and transport, length.
pub const V2_FIXED_LEN: usize = 16;

/// Byte 12 of a `LOCAL` header: version 2, command 0.
pub const V2_LOCAL: u8 = 0x20;

/// Byte 12 of a `PROXY` header: version 2, command 1.
pub const V2_PROXY: u8 = 0x21;

/// Length of the two addresses in bytes, ports included, by family (high four bits of byte 13): UNSPEC, IPv4, IPv6, UNIX.
pub const ADDRESSES_LEN: [usize; 4] = [0, 12, 36, 216];
