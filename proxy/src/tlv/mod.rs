//! TLVs (type, length, value), which follow the addresses of a version 2 header (sections 2.2 to 2.2.8). The types include
//! those that cloud balancers chose from the range for applications.

use core::fmt;

mod display;
mod read;
mod ssl;

pub use display::Displayed;
pub use read::Malformed;
pub use ssl::Ssl;

/// ALPN (section 2.2.1).
pub const ALPN: u8 = 0x01;
/// Host name that the client asked for (section 2.2.2).
pub const AUTHORITY: u8 = 0x02;
/// Checksum of the header (section 2.2.3).
pub const CRC32C: u8 = 0x03;
/// Padding (section 2.2.4).
pub const NOOP: u8 = 0x04;
/// Opaque id of the connection (section 2.2.5).
pub const UNIQUE_ID: u8 = 0x05;
/// TLS of the client's connection, with nested TLVs (section 2.2.6).
pub const SSL: u8 = 0x20;
/// In [`SSL`]: the TLS version.
pub const SSL_VERSION: u8 = 0x21;
/// In [`SSL`]: the Common Name of the client's certificate.
pub const SSL_CN: u8 = 0x22;
/// In [`SSL`]: the cipher.
pub const SSL_CIPHER: u8 = 0x23;
/// In [`SSL`]: the algorithm that signed the frontend's certificate.
pub const SSL_SIG_ALG: u8 = 0x24;
/// In [`SSL`]: the algorithm of the key of the frontend's certificate.
pub const SSL_KEY_ALG: u8 = 0x25;
/// In [`SSL`]: the group of the key exchange.
pub const SSL_GROUP: u8 = 0x26;
/// In [`SSL`]: the signature scheme of the handshake.
pub const SSL_SIG_SCHEME: u8 = 0x27;
/// In [`SSL`]: the client's certificate, X.509 in DER.
pub const SSL_CLIENT_CERT: u8 = 0x28;
/// Name of the network namespace (section 2.2.7).
pub const NETNS: u8 = 0x30;
/// Google Cloud Private Service Connect: the connection id, a big-endian `u64`.
pub const GOOGLE_PSC: u8 = 0xE0;
/// AWS: a byte of value [`AWS_VPC_ENDPOINT_ID`], then the id of the VPC endpoint.
pub const AWS: u8 = 0xEA;
/// Azure: a byte of value [`AZURE_LINK_ID`], then the LINKID of the private endpoint, a little-endian `u32`.
pub const AZURE: u8 = 0xEE;

/// The first byte of an [`AWS`] value that holds the id of a VPC endpoint.
pub const AWS_VPC_ENDPOINT_ID: u8 = 1;
/// The first byte of an [`AZURE`] value that holds a LINKID.
pub const AZURE_LINK_ID: u8 = 1;

/// The longest unique id in bytes (section 2.2.5).
pub const MAX_UNIQUE_ID_LEN: usize = 128;

/// Most TLVs displayed of a header or of an [`SSL`] TLV, so that a line of a log has a limit.
pub const MAX_DISPLAYED: usize = 32;

/// Most bytes of values displayed of a header, and of an [`SSL`] TLV's nested TLVs.
pub const MAX_DISPLAYED_BYTES: usize = 2048;

/// The names of the TLVs inside [`SSL`], from [`SSL_VERSION`] on.
const SSL_NAMES: [&str; 8] = ["VERSION", "CN", "CIPHER", "SIG_ALG", "KEY_ALG", "GROUP", "SIG_SCHEME", "CLIENT_CERT"];

/// The beginning of a TLV: its type, and the length of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The type.
    pub kind: u8,
    /// The length of the value in bytes, as the sender states it.
    pub value_len: usize,
}

impl Head {
    /// Bytes before the value: one of type, two of length.
    pub const LEN: usize = 3;

    /// Splits `bytes` into the head at their start and the bytes after it; `None` if there are fewer than [`Head::LEN`].
    #[must_use]
    pub fn split_from(bytes: &[u8]) -> Option<(Head, &[u8])> {
        let (&[kind, high, low], after) = bytes.split_first_chunk()?;
        Some((Head { kind, value_len: u16::from_be_bytes([high, low]).into() }, after))
    }
}

/// One TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The registered type, or one from the ranges of section 2.2.8.
    pub kind: u8,
    /// At most 65,535 bytes.
    pub value: &'a [u8],
}

/// The TLVs of a header, or of an [`SSL`] TLV, in their order.
///
/// ```
/// # use proxy_protocol_header::{Tlvs, tlv};
/// let tlvs = Tlvs::new(b"\x02\0\x0bexample.com\x04\0\0").expect("whole TLVs");
/// for tlv in tlvs {
///     println!("type {}: {} bytes", tlv.kind, tlv.value.len());
/// }
/// assert_eq!(tlvs.get(tlv::AUTHORITY), Some(b"example.com".as_slice()));
/// assert_eq!(tlvs.authority(), Ok(Some("example.com")));
/// assert_eq!(tlvs.to_string(), "AUTHORITY \"example.com\", NOOP of 0 bytes");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// `bytes` as TLVs, or `None` if they are not whole TLVs.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let tlvs = Tlvs { bytes };
        let mut iter = tlvs.iter();
        iter.by_ref().for_each(drop);
        iter.bytes.is_empty().then_some(tlvs)
    }

    /// Takes `bytes` as whole TLVs without checking them. Iteration ends at the first TLV that is not whole.
    pub(crate) fn unchecked(bytes: &'a [u8]) -> Self {
        Tlvs { bytes }
    }

    /// The TLVs, in their order.
    #[must_use]
    pub fn iter(self) -> Iter<'a> {
        Iter { bytes: self.bytes }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of the TLVs.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl fmt::Debug for Tlvs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> IntoIterator for Tlvs<'a> {
    type Item = Tlv<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Tlvs<'a> {
    type Item = Tlv<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The iterator over [`Tlvs`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (head, after) = Head::split_from(self.bytes)?;
        let (value, rest) = after.split_at_checked(head.value_len)?;
        self.bytes = rest;
        Some(Tlv { kind: head.kind, value })
    }
}

/// The decoded value of a TLV, if its type is known and the value has the form of that type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text: a protocol, host, cipher or other name. It is not checked for UTF-8 or unprintable bytes.
    Text(&'a [u8]),
    /// A CRC32C.
    Checksum(u32),
    /// Padding, with its length in bytes.
    Padding(usize),
    /// TLS of the client's connection.
    Ssl(Ssl<'a>),
    /// The number of a link (Azure) or connection (Google).
    Id(u64),
    /// Bytes of unknown form.
    Bytes(&'a [u8]),
}

impl<'a> Tlv<'a> {
    /// The name of the type, in a header or inside an [`SSL`] TLV, or `None` where it has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self.kind {
            ALPN => "ALPN",
            AUTHORITY => "AUTHORITY",
            CRC32C => "CRC32C",
            NOOP => "NOOP",
            UNIQUE_ID => "UNIQUE_ID",
            SSL => "SSL",
            SSL_VERSION..=SSL_CLIENT_CERT => SSL_NAMES[usize::from(self.kind - SSL_VERSION)],
            NETNS => "NETNS",
            GOOGLE_PSC => "GOOGLE_PSC",
            AWS if self.value.first() == Some(&AWS_VPC_ENDPOINT_ID) => "AWS_VPC_ENDPOINT",
            AZURE if self.value.first() == Some(&AZURE_LINK_ID) => "AZURE_LINKID",
            _ => return None,
        })
    }

    /// Decodes the value. A value that does not have the form of its type is [`Value::Bytes`].
    #[must_use]
    pub fn decode(self) -> Value<'a> {
        match (self.kind, self.value) {
            (ALPN | AUTHORITY | NETNS | SSL_VERSION..=SSL_SIG_SCHEME, text)
            | (AWS, [AWS_VPC_ENDPOINT_ID, text @ ..]) => Value::Text(text),
            (UNIQUE_ID, id) if id.iter().all(u8::is_ascii_graphic) => Value::Text(id),
            (CRC32C, &[a, b, c, d]) => Value::Checksum(u32::from_be_bytes([a, b, c, d])),
            (NOOP, padding) => Value::Padding(padding.len()),
            (SSL, bytes) => Ssl::parse(bytes).map_or(Value::Bytes(bytes), Value::Ssl),
            (GOOGLE_PSC, bytes) => match bytes.try_into() {
                Ok(id) => Value::Id(u64::from_be_bytes(id)),
                Err(_) => Value::Bytes(bytes),
            },
            (AZURE, &[AZURE_LINK_ID, a, b, c, d]) => Value::Id(u32::from_le_bytes([a, b, c, d]).into()),
            (_, bytes) => Value::Bytes(bytes),
        }
    }
}
