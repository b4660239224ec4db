//! The TLV about TLS, which contains further TLVs (section 2.2.6).

use super::{
    Malformed, SSL, SSL_CIPHER, SSL_CLIENT_CERT, SSL_CN, SSL_GROUP, SSL_KEY_ALG, SSL_SIG_ALG, SSL_SIG_SCHEME,
    SSL_VERSION, Tlvs,
};

/// The value of an [`SSL`] TLV: the sender's knowledge of TLS on the client's connection.
///
/// The readers of text return `Ok(None)` if the sender did not state it, and [`Malformed`] if it is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Bits: [`Ssl::TLS`], [`Ssl::CERTIFICATE_IN_CONNECTION`], [`Ssl::CERTIFICATE_IN_SESSION`].
    pub client: u8,
    /// 0 if the client gave a certificate and it was verified. HAProxy sends 0 without a certificate too:
    /// [`Ssl::is_verified`] tells them apart.
    pub verify: u32,
    /// The TLVs inside, types 0x21 to 0x28.
    pub tlvs: Tlvs<'a>,
}

#[expect(clippy::missing_errors_doc, reason = "stated once, at the type")]
impl<'a> Ssl<'a> {
    /// Bit of [`Ssl::client`]: the client connected over TLS.
    pub const TLS: u8 = 1;
    /// Bit of [`Ssl::client`]: it gave a certificate over this connection.
    pub const CERTIFICATE_IN_CONNECTION: u8 = 2;
    /// Bit of [`Ssl::client`]: it gave a certificate at least once in the TLS session.
    pub const CERTIFICATE_IN_SESSION: u8 = 4;

    /// Length of the part before the TLVs in bytes: one byte of bits, four of [`Ssl::verify`].
    pub const FIXED_LEN: usize = 5;

    /// `None` unless the fixed bytes and whole TLVs are there. None of those may be an SSL TLV, so that nesting has an end.
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let (&[client, a, b, c, d], bytes) = value.split_first_chunk()?;
        let tlvs = Tlvs::new(bytes)?;
        let is_nested = tlvs.iter().any(|tlv| tlv.kind == SSL);
        (!is_nested).then_some(Ssl { client, verify: u32::from_be_bytes([a, b, c, d]), tlvs })
    }

    /// Whether the client connected over TLS.
    #[must_use]
    pub fn is_tls(self) -> bool {
        self.client & Self::TLS != 0
    }

    /// Whether the client presented a certificate, over this connection or earlier in its TLS session.
    #[must_use]
    pub fn has_certificate(self) -> bool {
        self.client & (Self::CERTIFICATE_IN_CONNECTION | Self::CERTIFICATE_IN_SESSION) != 0
    }

    /// Whether the client presented a certificate and the sender verified it.
    #[must_use]
    pub fn is_verified(self) -> bool {
        self.has_certificate() && self.verify == 0
    }

    /// The TLS version, such as `TLSv1.3`.
    pub fn version(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_VERSION)
    }

    /// The Common Name of the client's certificate. Rely on it only if it [`is_verified`](Ssl::is_verified).
    pub fn common_name(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_CN)
    }

    /// The cipher, such as `ECDHE-RSA-AES128-GCM-SHA256`.
    pub fn cipher(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_CIPHER)
    }

    /// The algorithm that signed the frontend's certificate, such as `RSA-SHA256`.
    pub fn sig_alg(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_SIG_ALG)
    }

    /// The algorithm of the key of the frontend's certificate, such as `RSA2048`.
    pub fn key_alg(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_KEY_ALG)
    }

    /// The group of the key exchange, such as `X25519`.
    pub fn group(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_GROUP)
    }

    /// The signature scheme of the handshake, such as `rsa_pss_rsae_sha256`.
    pub fn sig_scheme(self) -> Result<Option<&'a str>, Malformed> {
        self.tlvs.text(SSL_SIG_SCHEME)
    }

    /// The client's certificate, X.509 in DER.
    #[must_use]
    pub fn client_cert(self) -> Option<&'a [u8]> {
        self.tlvs.get(SSL_CLIENT_CERT)
    }
}
