//! The type-length-value vectors behind the addresses of a version 2 header (sections 2.2 to 2.2.8), and what cloud
//! balancers put into the range for applications.

use std::{fmt, iter};

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
/// TLS of the client's connection, with vectors of its own (section 2.2.6).
pub const SSL: u8 = 0x20;
/// Name of the network namespace (section 2.2.7).
pub const NETNS: u8 = 0x30;
/// Google Cloud Private Service Connect: the connection id.
pub const GOOGLE_PSC: u8 = 0xE0;
/// AWS: subtype 1 is the id of the VPC endpoint.
pub const AWS: u8 = 0xEA;
/// Azure: subtype 1 is the LINKID of the private endpoint.
pub const AZURE: u8 = 0xEE;

/// The longest unique id in bytes (section 2.2.5).
pub const MAX_UNIQUE_ID_LEN: usize = 128;

/// The names of the vectors inside [`SSL`], from 0x21 on (section 2.2).
const SSL_NAMES: [&str; 8] = ["VERSION", "CN", "CIPHER", "SIG_ALG", "KEY_ALG", "GROUP", "SIG_SCHEME", "CLIENT_CERT"];

/// One vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The registered type, or one from the ranges of section 2.2.8.
    pub kind: u8,
    /// At most 65,535 bytes.
    pub value: &'a [u8],
}

/// The vectors of a header, in their order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// `bytes` should be whole vectors; iteration ends at what is none.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Tlvs { bytes }
    }

    /// The vectors, in their order.
    pub fn iter(self) -> impl Iterator<Item = Tlv<'a>> {
        let mut bytes = self.bytes;
        iter::from_fn(move || {
            let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
            bytes = rest;
            Some(Tlv { kind, value })
        })
    }
}

impl fmt::Debug for Tlvs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What a vector says, as far as its type is known and its value has the form that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text, by its sender's word: a protocol, host, cipher or other name. Not checked to be printable.
    Text(&'a [u8]),
    /// A CRC32C.
    Checksum(u32),
    /// Padding, with its length in bytes.
    Padding(usize),
    /// TLS of the client's connection.
    Ssl(Ssl<'a>),
    /// The number of a link (Azure) or connection (Google).
    Id(u64),
    /// Bytes of no known form.
    Bytes(&'a [u8]),
}

/// The value of an [`SSL`] vector (section 2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Bits: 1 the client uses TLS, 2 it gave a certificate in this connection, 4 in this TLS session.
    pub client: u8,
    /// 0 if the client gave a certificate and it was verified.
    pub verify: u32,
    /// The vectors inside, types 0x21 to 0x28.
    pub tlvs: Tlvs<'a>,
}

impl<'a> Tlv<'a> {
    /// The name of the type, in a header or inside an [`SSL`] vector, or `None` where it has none.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self.kind {
            ALPN => "ALPN",
            AUTHORITY => "AUTHORITY",
            CRC32C => "CRC32C",
            NOOP => "NOOP",
            UNIQUE_ID => "UNIQUE_ID",
            SSL => "SSL",
            0x21..=0x28 => SSL_NAMES[usize::from(self.kind - 0x21)],
            NETNS => "NETNS",
            GOOGLE_PSC => "GOOGLE_PSC",
            AWS if self.value.first() == Some(&1) => "AWS_VPC_ENDPOINT",
            AZURE if self.value.first() == Some(&1) => "AZURE_LINKID",
            _ => return None,
        })
    }

    /// What the value says. A value that has not the form of its type is [`Value::Bytes`].
    #[must_use]
    pub fn decode(self) -> Value<'a> {
        match (self.kind, self.value) {
            (ALPN | AUTHORITY | NETNS | 0x21..=0x27, text) | (AWS, [1, text @ ..]) => Value::Text(text),
            (UNIQUE_ID, id) if id.iter().all(u8::is_ascii_graphic) => Value::Text(id),
            (CRC32C, &[a, b, c, d]) => Value::Checksum(u32::from_be_bytes([a, b, c, d])),
            (NOOP, padding) => Value::Padding(padding.len()),
            (SSL, bytes) => Ssl::parse(bytes).map_or(Value::Bytes(bytes), Value::Ssl),
            (GOOGLE_PSC, bytes) => match bytes.try_into() {
                Ok(id) => Value::Id(u64::from_be_bytes(id)),
                Err(_) => Value::Bytes(bytes),
            },
            (AZURE, &[1, a, b, c, d]) => Value::Id(u32::from_le_bytes([a, b, c, d]).into()),
            (_, bytes) => Value::Bytes(bytes),
        }
    }
}

impl<'a> Ssl<'a> {
    /// `None` unless the five fixed bytes are there and whole vectors follow. An SSL vector is not one of them, so that
    /// nesting has an end.
    fn parse(value: &'a [u8]) -> Option<Self> {
        let (&[client, a, b, c, d], bytes) = value.split_first_chunk()?;
        let tlvs = Tlvs::new(bytes);
        let whole: usize = tlvs.iter().take_while(|tlv| tlv.kind != SSL).map(|tlv| 3 + tlv.value.len()).sum();
        (whole == bytes.len()).then_some(Ssl { client, verify: u32::from_be_bytes([a, b, c, d]), tlvs })
    }
}
