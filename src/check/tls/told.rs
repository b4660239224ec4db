//! Compares the SSL TLV that the back end was sent (section 2.2.6) with the negotiated session.

use std::fmt;

use proxy::escape::Escaped;
use proxy::tlv::Ssl;
use serde::Serialize;
use serde_json::Value;

use super::{ClientCertificate, Session};
use crate::check::admin::Connection;

/// Four facts, each with its verdict.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::check) struct Told {
    version: Fact,
    cipher: Fact,
    common_name: Fact,
    verified: Fact,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Fact {
    verdict: Verdict,
    /// The value in the SSL TLV.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
    /// The value of the handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    negotiated: Option<String>,
    /// Why the verdict is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    #[default]
    Unknown,
    /// The two do not contradict each other.
    Same,
    Different,
}

impl Fact {
    fn unknown(because: &str) -> Self {
        Fact { because: Some(because.to_owned()), ..Fact::default() }
    }

    fn new(is_same: bool, told: &str, negotiated: &str) -> Self {
        let verdict = if is_same { Verdict::Same } else { Verdict::Different };
        Fact { verdict, told: Some(told.to_owned()), negotiated: Some(negotiated.to_owned()), because: None }
    }
}

impl Told {
    /// Compares `session` with the connection in the admin port's answer, `server`, if it was asked.
    pub(in crate::check) fn of(session: &Session, server: Option<&Result<Connection, String>>) -> Self {
        let nothing = |because: &str| {
            let fact = Fact::unknown(because);
            Told { version: fact.clone(), cipher: fact.clone(), common_name: fact.clone(), verified: fact }
        };
        let connection = match server {
            None => return nothing("--via-admin is not given"),
            Some(Err(_)) => return nothing("the admin port does not tell of this connection"),
            Some(Ok(connection)) => connection,
        };
        match (connection.version, find(&connection.tlvs, "SSL")) {
            (None, _) => nothing("the server reads no header"),
            (Some(1), _) => nothing("a header of version 1 has no TLVs"),
            (Some(_), None) => nothing("the header has no SSL TLV (HAProxy: send-proxy-v2-ssl-cn)"),
            (Some(_), Some(ssl)) => Told::of_ssl(session, ssl),
        }
    }

    fn of_ssl(session: &Session, ssl: &Value) -> Self {
        let [client, verify] = ["client", "verify"].map(|name| ssl[name].as_u64().unwrap_or_default());
        let has = |bit: u8| client & u64::from(bit) != 0;
        if !has(Ssl::TLS) {
            let told = Fact::new(false, "no TLS", session.version);
            let rest = Fact::unknown("the SSL TLV says that the client speaks no TLS");
            return Told { version: told, cipher: rest.clone(), common_name: rest.clone(), verified: rest };
        }
        let text = |name: &str| find(ssl["tlvs"].as_array()?, name)?["text"].as_str();
        let fact = |name: &str, option: &str, negotiated: &str, is_same: &dyn Fn(&str) -> bool| match text(name) {
            Some(told) => Fact::new(is_same(told), &printable(told), negotiated),
            None => Fact::unknown(&format!("the SSL TLV has no {name} (HAProxy: proxy-v2-options {option})")),
        };
        let has_certificate = has(Ssl::CERTIFICATE_IN_CONNECTION | Ssl::CERTIFICATE_IN_SESSION);
        let is_sent = session.client_certificate == ClientCertificate::Sent;
        let sent = if is_sent { "sent" } else { "none sent" };
        let verified = match (has_certificate, verify) {
            (false, _) => Fact::new(!is_sent, "no certificate", sent),
            (true, 0) => Fact::new(is_sent, "verified", sent),
            // Only the balancer knows the result of the verification.
            (true, error) => Fact::new(is_sent, &format!("not verified, error {error}"), sent),
        };
        let common_name = match (&session.client_name, text("CN")) {
            (None, None) => Fact::new(true, "none", "none"),
            (None, Some(told)) => Fact::new(false, &printable(told), "none"),
            (Some(name), _) => fact("CN", "cert-cn", name, &|told| told == name),
        };
        Told {
            version: fact("VERSION", "ssl", session.version, &|told| told == session.version),
            cipher: fact("CIPHER", "ssl-cipher", &session.cipher, &|told| short(told) == short(&session.cipher)),
            common_name,
            verified,
        }
    }

    fn facts(&self) -> [(&'static str, &Fact); 4] {
        let Told { version, cipher, common_name, verified } = self;
        [("version", version), ("cipher", cipher), ("CN", common_name), ("certificate", verified)]
    }

    /// Whether the SSL TLV contradicts the handshake.
    pub(in crate::check) fn contradicts(&self) -> bool {
        self.facts().iter().any(|(_, fact)| fact.verdict == Verdict::Different)
    }
}

fn find<'a>(tlvs: &'a [Value], name: &str) -> Option<&'a Value> {
    tlvs.iter().find(|tlv| tlv["name"] == name)
}

/// The text as the server shows it. The server escapes it; the text is used only if no unescaped bytes are left.
fn printable(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        text.to_owned()
    } else {
        Escaped(text.as_bytes()).to_string()
    }
}

/// A common form of a cipher's names: IANA's `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is OpenSSL's
/// `ECDHE-RSA-AES128-GCM-SHA256`.
fn short(cipher: &str) -> String {
    let name = cipher.strip_prefix("TLS_").unwrap_or(cipher).replace("_WITH_", "-").replace('_', "-");
    let name = name.replace("AES-128", "AES128").replace("AES-256", "AES256");
    name.replace("CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305")
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts();
        if let Some(because) = &self.version.because
            && facts.iter().all(|(_, fact)| fact.because.as_ref() == Some(because))
        {
            return writeln!(f, "  told        unknown, because {because}");
        }
        for (name, Fact { verdict, told, negotiated, because }) in facts {
            let [told, negotiated, because] =
                [told, negotiated, because].map(|words| words.as_deref().unwrap_or_default());
            match verdict {
                Verdict::Unknown => writeln!(f, "  told        {name} unknown, because {because}")?,
                Verdict::Same => writeln!(f, "  told        {name} {told}: right")?,
                Verdict::Different => writeln!(f, "  told        {name} {told}: wrong, it is {negotiated}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    /// Covers all ciphers of rustls with ring.
    #[test]
    fn a_cipher_has_two_names() {
        for (iana, openssl) in [
            ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
            ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(short(iana), short(openssl));
        }
        assert_ne!(short("TLS_AES_256_GCM_SHA384"), short("TLS_AES_128_GCM_SHA256"));
        assert_ne!(short("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), short("ECDHE-ECDSA-AES128-GCM-SHA256"));
    }
}
