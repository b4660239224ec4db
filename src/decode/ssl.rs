//! The fields inside an SSL TLV (section 2.2.6). Errors in it do not make the header invalid, because receivers that do
//! not read the TLV never see them. They are marked as tolerated.

use super::Fields;
use proxy::Tlv;
use proxy::escape::Hex;
use proxy::tlv::{Head, SSL, Ssl};

/// Adds the fields inside the SSL TLV whose value is from `at` to `end`.
pub(super) fn add(fields: &mut Fields<'_>, depth: usize, [at, end]: [usize; 2]) {
    let input = fields.input;
    let value = &input[at..end];
    let Some((&[client, a, b, c, d], inner)) = value.split_first_chunk::<{ Ssl::FIXED_LEN }>() else {
        let words = format!("{} too few: {} are needed before the TLVs inside", Hex(value), Ssl::FIXED_LEN);
        return fields.tolerate(depth, "client and verify", [at, end - at], words);
    };
    fields.add(depth, "client", [at, 1], |_| describe_client(client));
    fields.add(depth, "verify", [at + 1, 4], |_| describe_verify(client, u32::from_be_bytes([a, b, c, d])));
    let mut rest = inner;
    while !rest.is_empty() {
        let offset = end - rest.len();
        let Some((Head { kind, value_len }, after)) = Head::split_from(rest) else {
            let words = format!("{}: too few bytes for another TLV", Hex(rest));
            return fields.tolerate(depth, "left over", [offset, rest.len()], words);
        };
        let Some((value, next)) = after.split_at_checked(value_len) else {
            let label = Tlv { kind, value: after }.label().to_string();
            let words = format!("{label} of {value_len} bytes, but {} are left in the SSL TLV", after.len());
            return fields.tolerate(depth, "TLV", [offset, rest.len()], words);
        };
        let length = Head::LEN + value_len;
        if kind == SSL {
            fields.tolerate(depth, "TLV", [offset, length], "SSL inside an SSL TLV".to_owned());
        } else {
            fields.add(depth, "TLV", [offset, length], |_| Tlv { kind, value }.to_string());
        }
        rest = next;
    }
}

fn describe_client(bits: u8) -> String {
    let words = [
        (Ssl::TLS, "TLS"),
        (Ssl::CERTIFICATE_IN_CONNECTION, "certificate in this connection"),
        (Ssl::CERTIFICATE_IN_SESSION, "certificate in this session"),
    ];
    let undefined = bits & !words.iter().fold(0, |all, (bit, _)| all | bit);
    let mut said: Vec<String> =
        words.iter().filter(|(bit, _)| bits & bit != 0).map(|&(_, word)| word.to_owned()).collect();
    if bits & Ssl::TLS == 0 {
        said.insert(0, "no TLS".to_owned());
    }
    if undefined != 0 {
        said.push(format!("undefined bits 0x{undefined:02x}"));
    }
    format!("0x{bits:02x}: {}", said.join(", "))
}

/// Describes `verify`. It concerns a certificate, and means nothing if the client presented none.
fn describe_verify(client: u8, verify: u32) -> String {
    let has_certificate = client & (Ssl::CERTIFICATE_IN_CONNECTION | Ssl::CERTIFICATE_IN_SESSION) != 0;
    let words = match (client & Ssl::TLS != 0, has_certificate, verify) {
        (false, false, _) => "without TLS there is nothing to verify",
        (false, true, _) => "a certificate without TLS contradicts itself: whether it was verified is unknown",
        (true, false, _) => "the client presented no certificate, so none was verified",
        (true, true, 0) => "the client's certificate was verified",
        (true, true, _) => "the client's certificate was not verified",
    };
    format!("{verify}: {words}")
}
