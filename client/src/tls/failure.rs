//! Why a handshake failed, in words that name what to do.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// The certificate is another name's.
    WrongName,
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// What answers does not speak TLS.
    NotTls,
    /// The server wants a certificate of the client's.
    CertificateWanted,
    /// The server takes none of the protocols offered by ALPN.
    NoProtocol,
    /// The server and the client have no version or cipher in common.
    NothingInCommon,
    /// Something else: rustls's words have it.
    Other,
}

/// What `error` comes from.
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
        // A record's first byte is none of TLS's: plain text, or a PROXY header that was sent back.
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Failure::NotTls,
        Error::AlertReceived(AlertDescription::CertificateRequired) => Failure::CertificateWanted,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) | Error::NoApplicationProtocol => {
            Failure::NoProtocol
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure)
        | Error::PeerIncompatible(_) => Failure::NothingInCommon,
        _ => Failure::Other,
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
            Failure::NotTls => "the server does not speak TLS on this port",
            Failure::CertificateWanted => "the server wants a client's certificate: --tls-cert and --tls-key",
            Failure::NoProtocol => "the server takes none of the protocols of --alpn",
            Failure::NothingInCommon => "the server and this program share no version of TLS or no cipher",
            Failure::Other => "the handshake failed",
        })
    }
}
