//! Explains a failed handshake in words that say what to do.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, HandshakeType, InvalidMessage};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// The certificate is an authority's own, which verifiers do not accept from a server.
    Authority,
    /// The server has no certificate for the name in SNI.
    UnknownName,
    /// The server does not speak TLS.
    NotTls,
    /// The server demands a client certificate.
    CertificateWanted,
    /// The server refuses the client's certificate.
    CertificateRefused,
    /// The server accepts none of the protocols offered by ALPN.
    NoProtocol,
    /// The server and the client have no version or cipher in common.
    NothingInCommon,
    /// Another reason, in rustls's words.
    Other,
}

/// The cause of `error`.
#[must_use]
pub fn explain(error: &Error) -> Failure {
    match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Failure::Expired
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            Failure::NotYetValid
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Failure::WrongName,
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => Failure::UnknownIssuer,
        // rustls passes webpki's error on unchanged.
        Error::InvalidCertificate(CertificateError::Other(other)) if other.0.to_string() == "CaUsedAsEndEntity" => {
            Failure::Authority
        }
        // The first byte is not the type of a TLS record: plain text, or a PROXY header that was sent back. In the other
        // case an echo sent the client's own first message back.
        Error::InvalidMessage(InvalidMessage::InvalidContentType)
        | Error::InappropriateHandshakeMessage { got_type: HandshakeType::ClientHello, .. } => Failure::NotTls,
        Error::AlertReceived(AlertDescription::CertificateRequired) => Failure::CertificateWanted,
        // An alert about a certificate can only mean the client's, because the server sends it.
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Failure::CertificateRefused,
        Error::AlertReceived(AlertDescription::UnrecognisedName) => Failure::UnknownName,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) | Error::NoApplicationProtocol => {
            Failure::NoProtocol
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure)
        | Error::PeerIncompatible(_) => Failure::NothingInCommon,
        _ => Failure::Other,
    }
}

impl Failure {
    /// A stable name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Failure::Expired => "expired",
            Failure::NotYetValid => "not_yet_valid",
            Failure::WrongName => "wrong_name",
            Failure::UnknownIssuer => "unknown_issuer",
            Failure::Authority => "authority",
            Failure::UnknownName => "unknown_name",
            Failure::NotTls => "not_tls",
            Failure::CertificateWanted => "certificate_wanted",
            Failure::CertificateRefused => "certificate_refused",
            Failure::NoProtocol => "no_protocol",
            Failure::NothingInCommon => "nothing_in_common",
            Failure::Other => "other",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Expired => "the server's certificate has expired",
            Failure::NotYetValid => "the server's certificate is not valid yet: compare the clocks",
            Failure::WrongName => "the server's certificate is for another name: --tls-name gives the right one",
            Failure::UnknownIssuer => {
                "no trusted authority signed the server's certificate (self-signed?): --tls-ca names the authority"
            }
            Failure::Authority => {
                "the server's certificate is an authority's own (CA:TRUE), as `openssl req -x509` makes it: make one with \
                 -addext basicConstraints=critical,CA:FALSE, or take any with --tls-insecure"
            }
            Failure::UnknownName => {
                "the server has no certificate for the name that it is asked by: --tls-name gives the right one"
            }
            Failure::NotTls => "the server does not speak TLS on this port",
            Failure::CertificateWanted => "the server wants a client's certificate: --tls-cert and --tls-key",
            Failure::CertificateRefused => "the server refuses the client's certificate, that of --tls-cert",
            Failure::NoProtocol => "the server takes none of the protocols of --alpn",
            Failure::NothingInCommon => "the server and this program share no version of TLS or no cipher",
            Failure::Other => "the handshake failed",
        })
    }
}
