//! Reads the names and the validity of a certificate (RFC 5280, section 4.1). rustls verifies it; this module only
//! reads it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use proxy::escape::Escaped;

use super::Certificate;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const SUBJECT_ALTERNATIVE_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

const DAY: u64 = 24 * 60 * 60;

/// Reads the certificate; `now` decides the days left.
pub(super) fn read(der: &[u8], now: SystemTime) -> der::Result<Certificate> {
    let fields = Fields::read(der)?;
    let [not_before, not_after] = fields.validity;
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY).unwrap_or(i64::MAX);
    let end = SystemTime::UNIX_EPOCH + not_after;
    let days_left = match end.duration_since(now) {
        Ok(left) => days(left),
        // A part of a day counts as a day, so that an expired certificate never has "0 days left".
        Err(over) => -days(over.duration()) - 1,
    };
    let date = |time| humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + time).to_string();
    Ok(Certificate {
        names: fields.names,
        subject: attribute(fields.subject, COMMON_NAME)?,
        issuer: attribute(fields.issuer, COMMON_NAME)?.or(attribute(fields.issuer, ORGANIZATION)?),
        not_before: date(not_before),
        not_after: date(not_after),
        days_left,
    })
}

/// The subject's Common Name.
pub(super) fn common_name(der: &[u8]) -> Option<String> {
    attribute(Fields::read(der).ok()?.subject, COMMON_NAME).ok()?
}

struct Fields<'a> {
    issuer: AnyRef<'a>,
    /// Begin and end of its validity, since 1970.
    validity: [Duration; 2],
    subject: AnyRef<'a>,
    names: Vec<String>,
}

impl<'a> Fields<'a> {
    fn read(der: &'a [u8]) -> der::Result<Self> {
        // The Certificate, and the TBSCertificate in it.
        let mut certificate = inside(AnyRef::from_der(der)?)?;
        let mut reader = inside(AnyRef::decode(&mut certificate)?)?;
        // The version if it is not v1, the serial number, the algorithm of the signature.
        if is_context(AnyRef::decode(&mut reader)?, 0) {
            AnyRef::decode(&mut reader)?;
        }
        AnyRef::decode(&mut reader)?;
        let issuer = AnyRef::decode(&mut reader)?;
        let mut times = inside(AnyRef::decode(&mut reader)?)?;
        let validity = [time(AnyRef::decode(&mut times)?)?, time(AnyRef::decode(&mut times)?)?];
        let subject = AnyRef::decode(&mut reader)?;
        let mut names = Vec::new();
        while !reader.is_finished() {
            let field = AnyRef::decode(&mut reader)?;
            if is_context(field, 3) {
                names = alternative_names(AnyRef::from_der(field.value())?)?;
            }
        }
        Ok(Fields { issuer, validity, subject, names })
    }
}

/// The subject's alternative names, from the extensions.
fn alternative_names(extensions: AnyRef<'_>) -> der::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut extensions = inside(extensions)?;
    while !extensions.is_finished() {
        let mut extension = inside(AnyRef::decode(&mut extensions)?)?;
        let is_wanted = ObjectIdentifier::decode(&mut extension)? == SUBJECT_ALTERNATIVE_NAMES;
        // An optional flag says whether the extension is critical.
        let mut value = AnyRef::decode(&mut extension)?;
        while !extension.is_finished() {
            value = AnyRef::decode(&mut extension)?;
        }
        if !is_wanted {
            continue;
        }
        let mut general = inside(AnyRef::from_der(value.value())?)?;
        while !general.is_finished() {
            names.extend(general_name(AnyRef::decode(&mut general)?));
        }
    }
    Ok(names)
}

/// A DNS name or an address (RFC 5280, section 4.2.1.6); TCP clients use no other names.
fn general_name(name: AnyRef<'_>) -> Option<String> {
    match name.value() {
        text if is_context(name, 2) => Some(Escaped(text).to_string()),
        address if is_context(name, 7) => match address.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).to_string()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The last attribute of this kind in a name, because it is the most specific one.
fn attribute(name: AnyRef<'_>, kind: ObjectIdentifier) -> der::Result<Option<String>> {
    let mut found = None;
    let mut name = inside(name)?;
    while !name.is_finished() {
        let mut set = reader(AnyRef::decode(&mut name)?.value())?;
        while !set.is_finished() {
            let mut attribute = inside(AnyRef::decode(&mut set)?)?;
            let is_wanted = ObjectIdentifier::decode(&mut attribute)? == kind;
            let value = AnyRef::decode(&mut attribute)?;
            if is_wanted {
                found = Some(Escaped(value.value()).to_string());
            }
        }
    }
    Ok(found)
}

fn time(time: AnyRef<'_>) -> der::Result<Duration> {
    match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>().map(|time| time.to_unix_duration()),
        _ => time.decode_as::<GeneralizedTime>().map(|time| time.to_unix_duration()),
    }
}

/// A reader of the contents of a sequence.
fn inside(sequence: AnyRef<'_>) -> der::Result<SliceReader<'_>> {
    sequence.tag().assert_eq(Tag::Sequence)?;
    reader(sequence.value())
}

fn reader(bytes: &[u8]) -> der::Result<SliceReader<'_>> {
    SliceReader::new(bytes)
}

/// Whether the field has the context tag `number`.
fn is_context(field: AnyRef<'_>, number: u32) -> bool {
    matches!(field.tag(), Tag::ContextSpecific { number: found, .. } if found == TagNumber(number))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        // UTCTime until 2049, and GeneralizedTime from then on (RFC 5280, section 4.1.2.5).
        (params.not_before, params.not_after) = (date_time_ymd(2020, 2, 29), date_time_ymd(2050, 1, 1));
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn full() -> Vec<u8> {
        certificate(|params| {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationName, DnValue::PrintableString("Example".try_into().unwrap()));
            name.push(DnType::CommonName, "echo\u{1b}[2J");
            let addresses = ["192.0.2.1", "2001:db8::1"].map(|ip| SanType::IpAddress(ip.parse::<IpAddr>().unwrap()));
            let others =
                [SanType::DnsName("*.echo.test".try_into().unwrap()), SanType::URI("urn:x".try_into().unwrap())];
            params.subject_alt_names = others.into_iter().chain(addresses).collect();
        })
    }

    #[test]
    fn names_and_days_are_read() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(2_524_608_000 - 10 * DAY);
        let found = read(&full(), start).unwrap();
        assert_eq!(found.names, ["*.echo.test", "192.0.2.1", "2001:db8::1"]);
        // Control characters are escaped.
        assert_eq!(found.subject.as_deref(), Some("echo<1B>[2J"));
        assert_eq!(found.issuer, found.subject);
        assert_eq!((&found.not_before[..], &found.not_after[..]), ("2020-02-29T00:00:00Z", "2050-01-01T00:00:00Z"));
        for (days, seconds, left) in [(0, 0, 10), (0, 1, 9), (9, DAY - 1, 0), (10, 0, 0), (10, 1, -1), (11, 1, -2)] {
            let now = start + Duration::from_secs(days * DAY + seconds);
            assert_eq!(read(&full(), now).unwrap().days_left, left, "{days} days and {seconds} s");
        }
        let only_organization =
            certificate(|params| params.distinguished_name.push(DnType::OrganizationName, "Example"));
        let found = read(&only_organization, start).unwrap();
        assert_eq!((found.names, found.subject, found.issuer.as_deref()), (vec![], None, Some("Example")));
    }

    /// The server may send any bytes.
    #[test]
    fn a_broken_certificate_is_an_error_at_most() {
        let sound = full();
        for end in 0..sound.len() {
            assert!(read(&sound[..end], SystemTime::now()).is_err(), "{end} bytes");
        }
        for at in 0..sound.len() {
            for byte in [0, 0x30, 0x80, 0xFF] {
                let mut broken = sound.clone();
                broken[at] = byte;
                let _ = read(&broken, SystemTime::now());
                let _ = common_name(&broken);
            }
        }
    }
}
