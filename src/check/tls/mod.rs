//! TLS between the check and the balancer: the negotiated session, or why there is none.
#![cfg_attr(not(feature = "tls"), allow(dead_code, reason = "nothing is negotiated"))]

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod client;
pub(super) mod told;

use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

#[cfg(not(feature = "tls"))]
pub(super) use absent::Client;
#[cfg(feature = "tls")]
pub(super) use client::Client;
use told::Told;

/// A plain or encrypted connection.
pub(super) trait Stream: Read + Write {
    /// Why TLS ended it, if it did.
    fn fault(&mut self) -> Option<Fault> {
        None
    }
}

impl Stream for std::net::TcpStream {}

/// The negotiated session.
#[derive(Serialize)]
pub(super) struct Session {
    /// The version in the SSL TLV's spelling, such as `TLSv1.3`.
    pub(super) version: &'static str,
    /// The cipher suite's IANA name.
    pub(super) cipher: String,
    /// The group of the key exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<String>,
    #[serde(rename = "handshake_seconds", serialize_with = "seconds")]
    handshake: Duration,
    pub(super) client_certificate: ClientCertificate,
    /// The Common Name of the client's certificate, if it was sent and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_name: Option<String>,
    /// The server's certificate, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    /// The same facts as the back end was told them.
    pub(super) told: Told,
}

/// Whether the client's certificate was asked for and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientCertificate {
    NotAsked,
    /// The server asked for it, and there was none.
    Asked,
    Sent,
}

/// The server's certificate.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Certificate {
    /// Its names and addresses.
    names: Vec<String>,
    /// The Common Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// The authority's Common Name, or its organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Begin of its validity, as RFC 3339.
    not_before: String,
    not_after: String,
    /// Whole days left; negative if it has expired.
    days_left: i64,
}

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// A stable name for programs.
    pub(super) name: &'static str,
    /// Words that follow "the TLS handshake".
    pub(super) words: String,
    pub(super) advice: Vec<String>,
}

impl Fault {
    /// The name of the fault that the server closed before its first byte.
    pub(super) const CLOSED: &str = "closed";

    /// The fault that the `ClientHello` was passed through to the server.
    pub(super) fn passed_through() -> Self {
        Fault {
            name: "passed_through",
            words: "does not begin: the ClientHello arrives at the server, so nothing before it speaks TLS".to_owned(),
            advice: vec!["let the balancer's listener speak TLS, or check without --tls".to_owned()],
        }
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Session {
    /// The properties that equal nodes share, without times. A node with another certificate is different.
    pub(super) fn without_times(&self) -> String {
        let Session { version, cipher, group, alpn, certificate, client_certificate, .. } = self;
        format!("{version} {cipher} {group:?} {alpn:?} {certificate:?} {client_certificate:?}")
    }
}

/// The lines about TLS and the certificates, and those about the SSL TLV.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { version, cipher, group, alpn, handshake, certificate, .. } = self;
        write!(f, "  TLS         {version}, {cipher}")?;
        group.as_ref().map_or(Ok(()), |group| write!(f, ", {group}"))?;
        alpn.as_ref().map_or(Ok(()), |alpn| write!(f, ", ALPN {alpn}"))?;
        writeln!(f, ", handshake in {:.3} ms", handshake.as_secs_f64() * 1000.0)?;
        match certificate {
            Some(certificate) => writeln!(f, "  certificate {certificate}")?,
            None => writeln!(f, "  certificate unknown, because it cannot be read")?,
        }
        match self.client_certificate {
            ClientCertificate::NotAsked => {}
            ClientCertificate::Asked => writeln!(f, "  client's    certificate asked for, none given (--tls-cert)")?,
            ClientCertificate::Sent => {
                let name = self.client_name.as_ref().map(|name| format!(" CN {name},")).unwrap_or_default();
                writeln!(f, "  client's    certificate{name} sent")?;
            }
        }
        self.told.fmt(f)
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Most names shown; a certificate may have hundreds.
        const SHOWN: usize = 5;
        match (&self.names[..], &self.subject) {
            ([], Some(subject)) => write!(f, "CN {subject}")?,
            ([], None) => f.write_str("without a name")?,
            (names, _) => {
                f.write_str(&names[..names.len().min(SHOWN)].join(", "))?;
                if let more @ 1.. = names.len().saturating_sub(SHOWN) {
                    write!(f, " and {more} more")?;
                }
            }
        }
        if let Some(issuer) = &self.issuer {
            write!(f, ", by {issuer}")?;
        }
        let until = self.not_after.get(..10).unwrap_or_default();
        match self.days_left {
            days @ ..0 => write!(f, ", expired for {} days, since {until}", -days),
            days => write!(f, ", {days} days left, until {until}"),
        }
    }
}
