//! The body of the fuzz target for `decode`. A test runs it on the inputs of the parser's tests.

use proxy::Status;
use proxy_echo::decode::{Decoded, Field, Outcome};

/// Asserts that the explanation of `input` agrees with the parser, that its fields cover the header without a gap, and
/// that the field marked wrong contains the wrong byte.
pub(crate) fn decode(input: &[u8]) {
    let decoded = Decoded::new(input);
    let shown = [decoded.to_string(), decoded.json()].concat();
    assert!(shown.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{shown}");
    let mut end = 0;
    for field in decoded.fields.iter().filter(|field| field.depth == 0) {
        assert!(field.offset == end || field.offset == end + 1 && input[end] == b' ', "{shown}");
        assert!(field.length > 0);
        end = field.offset + field.length;
    }
    assert!(decoded.fields.iter().all(|field| field.offset + field.length <= end && end <= input.len()), "{shown}");
    let wrong: Vec<&Field> = decoded.fields.iter().filter(|field| field.is_wrong).collect();
    match (decoded.outcome, proxy::parse(input)) {
        (Outcome::Valid(header), Ok(Status::Complete(parsed))) => {
            assert!(wrong.is_empty() && header == parsed && end == input.len(), "{shown}");
            assert!(header.len() == input.len() || decoded.fields.iter().any(|field| field.offset == header.len()));
        }
        (Outcome::Incomplete(missing), Ok(Status::Partial)) => {
            assert!(wrong.is_empty() && (end == input.len() || input.ends_with(b" ")), "{shown}");
            if let Some(missing) = missing {
                let length = 16 + usize::from(input[14]) * 256 + usize::from(input[15]);
                assert_eq!(input.len() + missing, length);
            }
        }
        (Outcome::Invalid(error, at), Err(parsed)) => {
            assert_eq!((error, Some(at)), (parsed, proxy::error_offset(input)));
            let [field] = wrong[..] else { panic!("{shown}") };
            // A wrong checksum shows only at the header's last byte, wherever the checksum is.
            let is_checksum = error == proxy::Error::Crc32cMismatch && field.value.starts_with("CRC32C 0x");
            assert!(is_checksum || (field.offset..field.offset + field.length).contains(&at), "{shown}");
        }
        (outcome, parsed) => panic!("{outcome:?}, but the parser says {parsed:?}"),
    }
}
