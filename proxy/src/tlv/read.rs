//! Typed readers: each returns one TLV of a header by its meaning.
//!
//! If a header has several TLVs of one type, the first counts: the specification does not say, and most receivers take it.

use core::fmt;

use super::{
    ALPN, AUTHORITY, AWS, AWS_VPC_ENDPOINT_ID, AZURE, AZURE_LINK_ID, GOOGLE_PSC, NETNS, SSL, Ssl, Tlv, Tlvs, UNIQUE_ID,
};

/// The TLV is present, but its value does not have the form of its type: its text is not UTF-8, or its length is wrong.
/// [`Tlvs::get`] returns its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The type of the TLV.
    pub kind: u8,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Tlv { kind: self.kind, value: &[1] }.label();
        write!(f, "the value of TLV {name} does not have the form of its type")
    }
}

impl core::error::Error for Malformed {}

/// The readers return `Ok(None)` if there is no such TLV, and [`Malformed`] if its value does not have the form of its type.
#[expect(clippy::missing_errors_doc, reason = "stated once, above")]
impl<'a> Tlvs<'a> {
    /// The value of the first TLV of this type.
    #[must_use]
    pub fn get(self, kind: u8) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// The protocol that ALPN negotiated, such as `h2` (section 2.2.1). It is a sequence of bytes, usually text.
    #[must_use]
    pub fn alpn(self) -> Option<&'a [u8]> {
        self.get(ALPN)
    }

    /// The host name that the client asked for, for example by TLS's SNI (section 2.2.2).
    pub fn authority(self) -> Result<Option<&'a str>, Malformed> {
        self.text(AUTHORITY)
    }

    /// The id that the sender gave the connection: up to 128 bytes of any form (section 2.2.5).
    #[must_use]
    pub fn unique_id(self) -> Option<&'a [u8]> {
        self.get(UNIQUE_ID)
    }

    /// TLS of the client's connection (section 2.2.6).
    pub fn ssl(self) -> Result<Option<Ssl<'a>>, Malformed> {
        self.read(SSL, Ssl::parse)
    }

    /// The name of the network namespace (section 2.2.7).
    pub fn netns(self) -> Result<Option<&'a str>, Malformed> {
        self.text(NETNS)
    }

    /// The id of the AWS VPC endpoint that the connection came through, such as `vpce-08d2bf15fac5001c9`.
    pub fn aws_vpc_endpoint_id(self) -> Result<Option<&'a str>, Malformed> {
        match self.subtype(AWS, AWS_VPC_ENDPOINT_ID).map(str::from_utf8) {
            Some(Err(_)) => Err(Malformed { kind: AWS }),
            Some(Ok(text)) => Ok(Some(text)),
            None => Ok(None),
        }
    }

    /// The LINKID of the Azure private endpoint that the connection came through.
    pub fn azure_link_id(self) -> Result<Option<u32>, Malformed> {
        match self.subtype(AZURE, AZURE_LINK_ID) {
            Some(&[a, b, c, d]) => Ok(Some(u32::from_le_bytes([a, b, c, d]))),
            Some(_) => Err(Malformed { kind: AZURE }),
            None => Ok(None),
        }
    }

    /// The id of the connection through Google Cloud's Private Service Connect.
    pub fn google_psc_connection_id(self) -> Result<Option<u64>, Malformed> {
        self.read(GOOGLE_PSC, |value| value.try_into().ok().map(u64::from_be_bytes))
    }

    /// Of the first TLV of this type whose first byte is `subtype`: the bytes after that byte.
    fn subtype(self, kind: u8, subtype: u8) -> Option<&'a [u8]> {
        self.iter().filter(|tlv| tlv.kind == kind).find_map(|tlv| tlv.value.strip_prefix(&[subtype]))
    }

    pub(super) fn text(self, kind: u8) -> Result<Option<&'a str>, Malformed> {
        self.read(kind, |value| str::from_utf8(value).ok())
    }

    fn read<T>(self, kind: u8, read: impl Fn(&'a [u8]) -> Option<T>) -> Result<Option<T>, Malformed> {
        self.get(kind).map(|value| read(value).ok_or(Malformed { kind })).transpose()
    }
}
