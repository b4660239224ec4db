//! `proxy-echo decode` from a user's view: words, forms of input, exit codes, and JSON compared with its schema.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Exit code, standard output and standard error of `proxy-echo decode`.
fn decode(args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-echo"));
    command.arg("decode").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // The program need not read all of its input.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Asserts that `input` is explained with exactly `words`.
fn assert_explains(input: &[u8], code: i32, words: &str) {
    let (status, stdout, stderr) = decode(&[], input);
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (Some(code), words, ""));
}

const V1: &[u8] = b"PROXY TCP4 124.100.123.123 10.0.8.154 53971 8888\r\nHello\r\n";

#[test]
fn a_line_word_by_word_and_the_payload_behind_it() {
    let words = "
  offset   bytes  field
       0       5  signature            PROXY
       6       4  protocol             TCP4
      11      15  source address       124.100.123.123
      27      10  destination address  10.0.8.154
      38       5  source port          53971
      44       4  destination port     8888
      48       2  line end             <CR><LF>
      50       7  payload              \"Hello<CR><LF>\"

valid: PROXY v1 TCP4 124.100.123.123:53971 -> 10.0.8.154:8888, 50 bytes
";
    assert_explains(V1, 0, &words[1..]);
}

#[test]
fn a_binary_header_with_tlvs_inside_a_tlv() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x36\xC0\0\x02\x01\xC6\x33\x64\x02\xDB\xC4\x01\xBB\
                   \x02\0\x0bexample.com\x20\0\x16\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x04test\xE1\0\0";
    let words = "
  offset   bytes  field
       0      12  signature             0d0a0d0a000d0a515549540a
      12       1  version and command   0x21: version 2, PROXY
      13       1  family and transport  0x11: AF_INET, STREAM
      14       2  length                54 bytes follow
      16       4  source address        192.0.2.1
      20       4  destination address   198.51.100.2
      24       2  source port           56260
      26       2  destination port      443
      28      14  TLV                   AUTHORITY \"example.com\"
      42      25  TLV                   SSL
      45       1    client              0x07: TLS, certificate in this connection, certificate in this session
      46       4    verify              0: the client's certificate was verified
      50      10    TLV                 VERSION \"TLSv1.3\"
      60       7    TLV                 CN \"test\"
      67       3  TLV                   0xe1 \n
valid: PROXY v2 TCP4 192.0.2.1:56260 -> 198.51.100.2:443, AUTHORITY \"example.com\", \
SSL (client 0x07, verify 0, VERSION \"TLSv1.3\", CN \"test\"), 0xe1 , 70 bytes
";
    assert_explains(header, 0, &words[1..]);
}

/// The health check of an AWS NLB states a family with addresses, but has none.
#[test]
fn what_local_carries_is_shown_as_skipped() {
    let header =
        [b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x54\x03\0\x04\xBC\xE5\x95\x1F\x04\0\x4A".as_slice(), &[0; 74]].concat();
    let words = "
  offset   bytes  field
       0      12  signature             0d0a0d0a000d0a515549540a
      12       1  version and command   0x20: version 2, LOCAL
      13       1  family and transport  0x11: AF_INET, STREAM
      14       2  length                84 bytes follow
      16      84  block                 LOCAL: skipped by its length
      16       7    TLV                 CRC32C 0xbce5951f
      23      77    TLV                 NOOP of 74 bytes

valid: PROXY v2 LOCAL, 100 bytes
";
    assert_explains(&header, 0, &words[1..]);
}

#[test]
fn the_fault_is_marked_and_the_section_cited() {
    let words = "
  offset   bytes  field
       0       5  signature            PROXY
       6       4  protocol             TCP4
      11       7  source address       1.2.3.4
!     19       9  destination address  256.1.1.1

invalid: not an IPv4 address in canonical form at byte 21 (section 2.1)
";
    assert_explains(b"PROXY TCP4 1.2.3.4 256.1.1.1 1 2\r\n", 1, &words[1..]);
    let words = "
  offset   bytes  field
       0      12  signature             0d0a0d0a000d0a515549540a
      12       1  version and command   0x21: version 2, PROXY
      13       1  family and transport  0x01: AF_UNSPEC, STREAM
      14       2  length                7 bytes follow
!     16       7  TLV                   CRC32C 0x12345678, and the header's is 0xf59ff2eb

invalid: the CRC32C does not match the header at byte 22 (section 2.2.3)
";
    assert_explains(b"\r\n\r\n\0\r\nQUIT\n\x21\x01\0\x07\x03\0\x04\x12\x34\x56\x78", 1, &words[1..]);
}

#[test]
fn what_is_no_header_at_all_is_guessed() {
    for (input, field, guess) in [
        ("\x16\x03\x01\0", "<16><03><01><00>", "it looks like a TLS handshake, with no header before it"),
        ("SSH-2.0-client\r\n", "SSH-2.0-client", "it looks like SSH, with no header before it"),
        ("GET / HTTP/1.1\r\n\r\n", "GET", "it looks like HTTP, with no header before it"),
        ("E..<PROXY UNKNOWN\r\n", "E..<3C>PROXY", "a header begins at byte 4: --skip 4"),
    ] {
        let length = field.replace("<16><03><01><00>", "1234").replace("<3C>", "<").len();
        let words = format!(
            "  offset   bytes  field\n!      0  {length:>6}  signature  {field}\n\ninvalid: neither a PROXY line nor the \
             version 2 signature at byte 0 (sections 2.1 and 2.2)\n{guess}\n"
        );
        assert_explains(input.as_bytes(), 1, &words);
    }
}

/// Compares the line of the wrong field and the verdict.
#[test]
fn every_fault_is_told_in_its_own_words() {
    let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    let id = [&[0x21, 0, 0, 132, 5, 0, 129], [b'i'; 129].as_slice()].concat();
    let long = format!("PROXY UNKNOWN {}", "x".repeat(100));
    for (input, field, verdict) in [
        (
            b"PROXY UDP4 1.2.3.4 ".to_vec(),
            "protocol   UDP4",
            "the protocol is not TCP4, TCP6 or UNKNOWN at byte 7 (section 2.1)",
        ),
        (
            b"PROXY TCP6 ::1 ::1%lo 1 2\r\n".to_vec(),
            "destination address  ::1%lo",
            "not an IPv6 address at byte 18 (section 2.1)",
        ),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.4 080 2\r\n".to_vec(),
            "source port          080",
            "not a port from 0 to 65535 without leading zeros at byte 28 (section 2.1)",
        ),
        (b"PROXY\tTCP4".to_vec(), "space      <09>", "no space at the end of a field at byte 5 (section 2.1)"),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n".to_vec(),
            "line end             <LF>",
            "the line does not end in CRLF at byte 30 (section 2.1)",
        ),
        (long.into_bytes(), "line end   x", "no CRLF within 107 bytes at byte 105 (section 2.1)"),
        (v2(&[0x11]), "version and command  0x11: version 1, PROXY", "the version is not 2 at byte 12 (section 2.2)"),
        (
            v2(&[0x22]),
            "version and command  0x22: version 2, an undefined command",
            "the command is neither LOCAL nor PROXY at byte 12 (section 2.2)",
        ),
        (
            v2(&[0x21, 0x41]),
            "family and transport  0x41: undefined, STREAM",
            "the address family is undefined at byte 13 (section 2.2)",
        ),
        (
            v2(&[0x21, 0x13]),
            "family and transport  0x13: AF_INET, undefined",
            "the transport protocol is undefined at byte 13 (section 2.2)",
        ),
        (
            v2(&[0x21, 0x11, 0, 11]),
            "length                11 bytes follow, but the addresses take 12",
            "the length is too short for the address family at byte 15 (section 2.2)",
        ),
        (
            v2(&[0x21, 0x11, 0, 14]),
            "length                14 bytes follow: behind the addresses 2 are left, too few for a TLV",
            "bytes are left over after the last TLV at byte 15 (section 2.2)",
        ),
        (
            v2(&[&[0x21, 0x10, 0, 17], [0; 12].as_slice(), &[4, 0, 3]].concat()),
            "TLV                   NOOP of 3 bytes, but 2 are left",
            "a TLV reaches past the end of the header at byte 30 (section 2.2)",
        ),
        (
            v2(&[&[0x21, 0x10, 0, 17], [0; 12].as_slice(), &[4, 0, 1, 0]].concat()),
            "TLV                   NOOP of 1 bytes, which leaves 1: too few for another",
            "bytes are left over after the last TLV at byte 30 (section 2.2)",
        ),
        (
            v2(&[0x21, 0x10, 0, 15].into_iter().chain([0; 12]).chain([3, 0, 0]).collect::<Vec<_>>()),
            "TLV                   CRC32C ",
            "the CRC32C is not 4 bytes long at byte 30 (section 2.2.3)",
        ),
        (
            v2(&[&[0x21, 0x10, 0, 26], [0; 12].as_slice(), &[3, 0, 4, 0, 0, 0, 0].repeat(2)].concat()),
            "TLV                   CRC32C 0x00000000",
            "there is more than one CRC32C at byte 37 (section 2.2.3)",
        ),
        (
            v2(&[&[0x21, 0x10, 0, 144], [0; 12].as_slice(), &id[4..]].concat()),
            "TLV                   UNIQUE_ID \"iiii",
            "the unique id is longer than 128 bytes at byte 30 (section 2.2.5)",
        ),
    ] {
        let (status, text, _) = decode(&[], &input);
        assert_eq!(status, Some(1));
        let wrong: Vec<&str> = text.lines().filter(|line| line.starts_with('!')).collect();
        assert!(matches!(wrong[..], [line] if line[18..].starts_with(field)), "{field}:\n{text}");
        assert!(text.ends_with(&format!("\n\ninvalid: {verdict}\n")), "{verdict}:\n{text}");
    }
}

/// A header for TCP over IPv4 with one SSL TLV with this value.
fn with_ssl(value: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(length(12 + 3 + value.len()));
    header.extend([192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2, 0x20]);
    header.extend(length(value.len()));
    header.extend(value);
    header
}

/// Section 2.2.6: `verify` is 0 if the client presented a certificate and it was verified; it means nothing else.
#[test]
fn verify_is_read_with_the_flags_beside_it() {
    for client in 0..=u8::MAX {
        for verify in [0, 1, 10, u32::MAX] {
            let words = match (client & 1 != 0, client & 6 != 0, verify) {
                (false, false, _) => "without TLS there is nothing to verify",
                (false, true, _) => "a certificate without TLS contradicts itself: whether it was verified is unknown",
                (true, false, _) => "the client presented no certificate, so none was verified",
                (true, true, 0) => "the client's certificate was verified",
                (true, true, _) => "the client's certificate was not verified",
            };
            let input = with_ssl(&[&[client], &verify.to_be_bytes()[..]].concat());
            let decoded = proxy_echo::decode::Decoded::new(&input);
            let value = |name: &str| &decoded.fields.iter().find(|field| field.name == name).unwrap().value;
            assert_eq!(*value("verify"), format!("{verify}: {words}"));
            assert_eq!(value("client").contains("no TLS"), client & 1 == 0);
            assert_eq!(value("client").contains("undefined bits"), client > 7);
        }
    }
}

/// The server does not read these TLVs, and accepts the header.
#[test]
fn faults_inside_an_ssl_tlv_are_marked_and_the_header_stays_valid() {
    for (value, marked) in [
        (&b"\x01\0\0"[..], "client and verify    010000 too few: 5 are needed before the TLVs inside"),
        (b"", "client and verify     too few: 5 are needed before the TLVs inside"),
        (b"\x01\0\0\0\0\x21\0\x09TLS", "TLV                  VERSION of 9 bytes, but 3 are left in the SSL TLV"),
        (b"\x01\0\0\0\0\x21\0\x03TLS\x22\0", "left over            2200: too few bytes for another TLV"),
        (b"\x01\0\0\0\0\x20\0\x05\x01\0\0\0\0", "TLV                  SSL inside an SSL TLV"),
    ] {
        let (status, text, _) = decode(&[], &with_ssl(value));
        assert_eq!(status, Some(0), "{text}");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('?')).collect();
        let said = lines.iter().map(|line| line[18..].trim_start()).collect::<Vec<_>>().join("|");
        assert_eq!(
            said.split_whitespace().collect::<Vec<_>>(),
            marked.split_whitespace().collect::<Vec<_>>(),
            "{text}"
        );
        assert!(text.contains("\nvalid: ") && text.contains("\nmarked with ?: "), "{text}");
        let (_, text, _) = decode(&["--json"], &with_ssl(value));
        assert_eq!(text.matches("\"tolerated\":true").count(), 1, "{text}");
    }
}

#[test]
fn two_families_in_one_line_are_explained() {
    let (status, text, _) = decode(&[], b"PROXY TCP6 ::1 127.0.0.1 40000 8888\r\n");
    assert_eq!(status, Some(1));
    let hint = "\nan IPv4 address in a TCP6 line: nginx and curl send this where the listener's family differs from the \
                client's; listen on the same family, or send version 2\n";
    assert!(text.ends_with(hint), "{text}");
}

#[test]
fn what_is_unfinished_says_how_much_is_due() {
    for (input, words) in [
        (b"".as_slice(), "incomplete: the input is empty\n"),
        (b"PROXY TCP4 1.2.3.4", "source address  1.2.3.4\n\nincomplete: more bytes can make it a header\n"),
        (b"\r\n\r\n\0\r\nQUIT\n", "\n\nincomplete: more bytes can make it a header\n"),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02",
            "source address        0102 (2 of 4 bytes)\n\nincomplete: 10 more bytes are due\n",
        ),
    ] {
        let (status, text, _) = decode(&[], input);
        assert!(status == Some(1) && text.ends_with(words), "{words}:\n{text}");
    }
}

#[test]
fn a_second_header_is_told_from_payload() {
    let (status, text, _) = decode(&[], &[b"PROXY UNKNOWN\r\n", V1].concat());
    assert_eq!(status, Some(0));
    let line = "      15      57  second header  PROXY v1 TCP4 124.100.123.123:53971 -> 10.0.8.154:8888: payload to ";
    assert!(text.contains(&format!("{line}the receiver\n")), "{text}");
}

#[test]
fn hexadecimal_in_every_usual_form() {
    for text in [
        "0d0a0d0a000d0a515549540a20000001ff",
        "0x0D0A0D0A000D0A515549540A20000001FF",
        "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 20 00 00 01 ff",
        "0d:0a:0d:0a:00:0d:0a:51:55:49:54:0a:20:00:00:01:ff",
        "0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x20, 0x00, 0x00, 0x01, 0xff",
        "\\x0d\\x0a\\x0d\\x0a\\x00\\x0d\\x0a\\x51\\x55\\x49\\x54\\x0a\\x20\\x00\\x00\\x01\\xff",
        "0d0a0d0a 000d0a51\n5549540a 20000001\nff\n",
        // xxd
        "00000000: 0d0a 0d0a 000d 0a51 5549 540a 2000 0001  .......QUIT. ...\n\
         00000010: ff                                       .\n",
        // hexdump -C
        "00000000  0d 0a 0d 0a 00 0d 0a 51  55 49 54 0a 20 00 00 01  |.......QUIT. ...|\n\
         00000010  ff                                                |.|\n\
         00000011\n",
        // tshark -x
        "0000  0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 20 00 00 01   .......QUIT. ...\n\
         0010  ff                                                .\n",
        // Wireshark's "Copy as Hex Dump"
        "0000   0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 20 00 00 01\n0010   ff\n",
        // tcpdump -X
        "\t0x0000:  0d0a 0d0a 000d 0a51 5549 540a 2000 0001  .......QUIT.....\n\
         \x20 0x0010:  ff                                       .\n",
    ] {
        for (args, input) in [(["--hex", text], ""), (["--hex", "-"], text)] {
            let (status, stdout, stderr) = decode(&args, input.as_bytes());
            assert!(stdout.ends_with("\nvalid: PROXY v2 LOCAL, 17 bytes\n"), "{text}\n{stdout}{stderr}");
            assert_eq!(status, Some(0));
        }
    }
}

#[test]
fn bytes_before_the_header_are_skipped() {
    let (status, stdout, _) = decode(&["--skip", "4"], &[b"E..<", V1].concat());
    assert_eq!((status, stdout), (Some(0), decode(&[], V1).1));
}

#[test]
fn a_file_is_read_and_json_has_the_same() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), V1).expect("it is written");
    let (status, text, _) = decode(&[file.path().to_str().expect("a path"), "--json"], b"");
    assert_eq!(status, Some(0));
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["source"], json!("124.100.123.123:53971"));
    assert_eq!((&value["status"], &value["version"], &value["length"]), (&json!("valid"), &json!(1), &json!(50)));
    let field = json!({
        "offset": 11, "length": 15, "depth": 0, "name": "source address", "value": "124.100.123.123",
        "wrong": false, "tolerated": false
    });
    assert_eq!(value["fields"][2], field);

    let (status, text, _) = decode(&["--json", "--hex", "0d0a0d0a000d0a515549540a31"], b"");
    assert_eq!(status, Some(1));
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let fault = json!(["invalid", "v2_version", "the version is not 2", 12, "section 2.2"]);
    let found = json!([value["status"], value["reason"], value["message"], value["offset"], value["specification"]]);
    assert_eq!(found, fault);
    let (_, text, _) = decode(&["--json"], b"PROX");
    assert!(text.starts_with("{\"status\":\"incomplete\",\"missing\":null,"), "{text}");
}

#[test]
fn what_cannot_be_read_is_no_bad_header() {
    let too_long = vec![b' '; 1024 * 1024 + 1];
    for (args, input, words) in [
        (&["/nonexistent"][..], b"".as_slice(), "/nonexistent cannot be read: No such file or directory (os error 2)"),
        (
            &["PROXY TCP4 1.2.3.4 5.6.7.8 1 2\\r\\n"],
            b"",
            "the argument is the name of a file, and there is no such file; to decode a header itself: \
             printf 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\\r\\n' | proxy-echo decode",
        ),
        (
            &["0d0a0d0a000d0a515549540a"],
            b"",
            "the argument is the name of a file, and there is no such file; to decode a header itself: \
             proxy-echo decode --hex '0d0a0d0a000d0a515549540a'",
        ),
        (&[], &too_long, "the input is over 1 MiB, and a header is at most 65551 bytes: give its beginning"),
        (&["--hex", "0d0g"], b"", "--hex: 'g' is not a hexadecimal digit"),
        (&["--hex", "0d0"], b"", "--hex: \"0d0\" has an odd number of digits"),
        (&["--skip", "5"], b"four", "--skip leaves nothing of the 4 bytes"),
        (&["file", "--hex", "0d"], b"", "the argument '[FILE]' cannot be used with '--hex <TEXT>'"),
    ] {
        assert_eq!(decode(args, input), (Some(2), String::new(), format!("error: {words}\n")));
    }
}

/// Decodes every prefix of headers of each kind, and of bytes that are not a header.
#[test]
fn json_keeps_to_its_schema() {
    let schema = serde_json::from_str(include_str!("../docs/schema/decode-1.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let unix = [b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8", &[b'/'; 216][..]].concat();
    let many = with_ssl(&[&b"\x07\0\0\0\0\x21\0\x07TLSv1.3"[..], &b"\x04\0\0".repeat(40)].concat());
    let kinds =
        b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x24\x04\0\x01\0\xE0\0\x08\0\0\0\0\0\0\0\x07\xEE\0\x05\x01\x07\0\0\0\xE5\0\x01z\x05\0\x01i";
    let spoiled = b"\r\n\r\n\0\r\nQUIT\n\x21\x01\0\x07\x03\0\x04\x12\x34\x56\x78";
    let mixed = b"PROXY TCP6 ::1 127.0.0.1 40000 8888\r\n";
    let inputs =
        [V1, &unix, &many, kinds, spoiled, mixed, b"GET / HTTP/1.1\r\n", &with_ssl(b"\x01"), b"PROXY UNKNOWN\r\n"];
    let mut seen = std::collections::BTreeSet::new();
    for input in inputs {
        for length in 0..=input.len() {
            let value: Value =
                serde_json::from_str(&proxy_echo::decode::Decoded::new(&input[..length]).json()).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{value:#}: {errors:?}");
            seen.insert(value["status"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen.len(), 3);
    assert!(!validator.is_valid(&json!({ "status": "valid", "fields": [] })), "a schema that takes anything");
}
