//! Guesses what bytes that are not a header are instead, and says what to do about it.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use memchr::memmem;
use proxy::wire::V2_SIGNATURE;
use proxy::{Error, Status};

/// A sentence for the user about `input`, which is refused with `error`; `None` if nothing is known.
pub(crate) fn hint(input: &[u8], error: Error) -> Option<Cow<'static, str>> {
    match error {
        Error::Signature => other_protocol(input),
        _ => mixed_families(input, error).map(Cow::Borrowed),
    }
}

/// Senders that take the two addresses from different sockets can put two families into one line, which section 2.1
/// forbids.
pub(crate) fn mixed_families(input: &[u8], error: Error) -> Option<&'static str> {
    let mut words = input.split(|byte| b" \r\n".contains(byte)).skip(2).take(2);
    let mut is_any = |is: fn(&str) -> bool| words.any(|word| str::from_utf8(word).is_ok_and(is));
    match error {
        Error::V1Ipv6 if is_any(|word| word.parse::<Ipv4Addr>().is_ok()) => Some(
            "an IPv4 address in a TCP6 line: nginx and curl send this where the listener's family differs from the \
             client's; listen on the same family, or send version 2",
        ),
        Error::V1Ipv4 if is_any(|word| word.parse::<Ipv6Addr>().is_ok()) => Some(
            "an IPv6 address in a TCP4 line: nginx and curl send this where the listener's family differs from the \
             client's; listen on the same family, or send version 2",
        ),
        _ => None,
    }
}

fn other_protocol(input: &[u8]) -> Option<Cow<'static, str>> {
    let find = |start: &[u8]| memmem::find(input, start);
    let is_whole = |at: &usize| matches!(proxy::parse(&input[*at..]), Ok(Status::Complete(_)));
    if let Some(at) = find(&V2_SIGNATURE).or_else(|| find(b"PROXY ")).filter(is_whole) {
        return Some(format!("a header begins at byte {at}: --skip {at}").into());
    }
    let found = match input {
        [0x16, 3, ..] => "it looks like a TLS handshake, with no header before it",
        [b'S', b'S', b'H', b'-', ..] => "it looks like SSH, with no header before it",
        _ if find(b" HTTP/1.").is_some() => "it looks like HTTP, with no header before it",
        _ => return None,
    };
    Some(found.into())
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn two_families_in_one_line_are_named() {
        for (line, wanted) in [
            (&b"PROXY TCP6 ::1 127.0.0.1 1 2\r\n"[..], Some("an IPv4 address in a TCP6 line")),
            (b"PROXY TCP6 127.0.0.1 ::1 1 2\r\n", Some("an IPv4 address in a TCP6 line")),
            (b"PROXY TCP4 127.0.0.1 2001:db8::1 1 2\r\n", Some("an IPv6 address in a TCP4 line")),
            (b"PROXY TCP4 127.0.0.1 256.0.0.1 1 2\r\n", None),
            (b"PROXY TCP6 ::1 ::1%lo 1 2\r\n", None),
        ] {
            let error = proxy::parse(line).unwrap_err();
            let found = hint(line, error).map(|hint| hint.split(':').next().unwrap().to_owned());
            assert_eq!(found.as_deref(), wanted, "{}", line.escape_ascii());
        }
    }
}
