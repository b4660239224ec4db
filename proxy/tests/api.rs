//! What a caller reads from a header: addresses, TLVs by their meaning, its text, and the names of errors.

use std::collections::HashSet;

use proxy_protocol_header::tlv::{self, Malformed, Ssl};
use proxy_protocol_header::{Error, Header, Status, Tlvs, parse};

fn header(input: &[u8]) -> Header<'_> {
    match parse(input) {
        Ok(Status::Complete(header)) => header,
        other => panic!("{other:?}"),
    }
}

/// A version 2 header with `block` after its length field.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], u16::try_from(value.len()).unwrap().to_be_bytes().as_slice(), value].concat()
}

#[test]
fn addresses_and_words() {
    let inet = b"\xC0\x00\x02\x01\xC6\x33\x64\x02\xDB\xC4\x01\xBB";
    let mut inet6 = [0; 36];
    (inet6[15], inet6[31], inet6[33], inet6[35]) = (1, 2, 3, 4);
    let mut unix = [0; 216];
    unix[..6].copy_from_slice(b"/r\x1bn\"\0");
    unix[108..112].copy_from_slice(b"\0abc");
    for (input, ends, words) in [
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56260 443\r\n".to_vec(),
            Some(["192.0.2.1:56260", "198.51.100.2:443"]),
            "PROXY v1 TCP4 192.0.2.1:56260 -> 198.51.100.2:443",
        ),
        (b"PROXY TCP6 ::1 ::2 3 4\r\n".to_vec(), Some(["[::1]:3", "[::2]:4"]), "PROXY v1 TCP6 [::1]:3 -> [::2]:4"),
        (b"PROXY UNKNOWN ff\x1b\r\n".to_vec(), None, "PROXY v1 UNKNOWN"),
        (
            v2(0x21, 0x11, inet),
            Some(["192.0.2.1:56260", "198.51.100.2:443"]),
            "PROXY v2 TCP4 192.0.2.1:56260 -> 198.51.100.2:443",
        ),
        (
            v2(0x21, 0x12, inet),
            Some(["192.0.2.1:56260", "198.51.100.2:443"]),
            "PROXY v2 UDP4 192.0.2.1:56260 -> 198.51.100.2:443",
        ),
        (v2(0x21, 0x21, &inet6), Some(["[::1]:3", "[::2]:4"]), "PROXY v2 TCP6 [::1]:3 -> [::2]:4"),
        (v2(0x21, 0x22, &inet6), Some(["[::1]:3", "[::2]:4"]), "PROXY v2 UDP6 [::1]:3 -> [::2]:4"),
        (v2(0x21, 0x31, &unix), None, "PROXY v2 UNIX_STREAM \"/r<1B>n<22>\" -> \"<00>abc\""),
        (v2(0x21, 0x32, &unix), None, "PROXY v2 UNIX_DGRAM \"/r<1B>n<22>\" -> \"<00>abc\""),
        (v2(0x21, 0x00, b""), None, "PROXY v2 UNSPEC"),
        (v2(0x20, 0x11, inet), None, "PROXY v2 LOCAL"),
        (v2(0x21, 0x00, &tlv(0xE5, b"\n")), None, "PROXY v2 UNSPEC, 0xe5 0a"),
        (
            v2(0x21, 0x00, &[tlv(tlv::AUTHORITY, b"a\"b"), tlv(tlv::NOOP, b"12")].concat()),
            None,
            "PROXY v2 UNSPEC, AUTHORITY \"a<22>b\", NOOP of 2 bytes",
        ),
        (
            v2(0x21, 0x00, &tlv(tlv::SSL, &[b"\x01\0\0\0\x01".as_slice(), &tlv(0x21, b"TLSv1.3")].concat())),
            None,
            "PROXY v2 UNSPEC, SSL (client 0x01, verify 1, VERSION \"TLSv1.3\")",
        ),
    ] {
        let header = header(&input);
        let parsed = ends.map(|ends| ends.map(|end| end.parse().unwrap()));
        assert_eq!([header.source(), header.destination()], parsed.map_or([None; 2], |ends| ends.map(Some)), "{words}");
        assert_eq!(header.to_string(), words);
    }
}

#[test]
fn many_tlvs_are_counted_where_they_are_not_displayed() {
    let bytes = tlv(tlv::NOOP, b"").repeat(tlv::MAX_DISPLAYED + 3);
    let words = Tlvs::new(&bytes).unwrap().to_string();
    assert_eq!(words.matches("NOOP").count(), tlv::MAX_DISPLAYED);
    assert!(words.ends_with(", and 3 more"), "{words}");
}

#[test]
fn long_tlvs_are_passed_over_where_their_values_would_take_too_much() {
    let long = tlv(tlv::AUTHORITY, &[1; 1000]);
    let inner = [&b"\x01\0\0\0\0"[..], &tlv(tlv::SSL_CN, &[1; 1000]).repeat(30)].concat();
    for (bytes, words) in [
        (long.repeat(30), "AUTHORITY \""),
        (tlv(tlv::SSL, &inner), "SSL (client 0x01, verify 0, CN \""),
        ([&long.repeat(30)[..], &tlv(tlv::SSL, &inner)].concat(), "AUTHORITY \""),
    ] {
        let bytes = [&bytes[..], &tlv(tlv::ALPN, b"h2")].concat();
        let tlvs = Tlvs::new(&bytes).unwrap();
        let shown = tlvs.to_string();
        assert!(shown.starts_with(words) && shown.contains(" more"), "{shown}");
        assert!(shown.len() < 10_000, "{} bytes are displayed", shown.len());
        let short =
            tlvs.displayed().any(|tlv| tlv.kind == tlv::ALPN) || tlvs.displayed().any(|tlv| tlv.kind == tlv::SSL);
        assert!(short, "TLVs within the limit are displayed: {shown}");
        assert_eq!(tlvs.displayed().count() + tlvs.not_displayed(), tlvs.iter().count());
    }
}

#[test]
fn tlvs_are_whole_or_refused() {
    assert_eq!(Tlvs::new(b"").map(Tlvs::is_empty), Some(true));
    for broken in [b"\x04".as_slice(), b"\x04\0", b"\x04\0\x01", b"\x04\0\0\x04\0"] {
        assert_eq!(Tlvs::new(broken), None, "{broken:?}");
    }
}

/// Each reader finds its TLV among others, returns nothing if it is absent, and an error if its value is malformed.
#[test]
fn readers() {
    type Reader = fn(Tlvs<'_>) -> Result<Option<String>, Malformed>;
    fn owned<T: ToString>(read: Result<Option<T>, Malformed>) -> Result<Option<String>, Malformed> {
        read.map(|value| value.map(|value| value.to_string()))
    }
    /// Type, reader, a value, the result of reading it, a malformed value.
    type Row<'a> = (u8, Reader, &'a [u8], &'a str, Option<&'a [u8]>);
    let readers: [Row<'_>; 8] = [
        (tlv::AUTHORITY, |t| owned(t.authority()), "exämple.com".as_bytes(), "exämple.com", Some(b"\xFF")),
        (tlv::NETNS, |t| owned(t.netns()), b"blue", "blue", Some(b"\xC3")),
        (tlv::ALPN, |t| owned(Ok(t.alpn().map(|id| id.escape_ascii()))), b"\xFFh2", "\\xffh2", None),
        (tlv::UNIQUE_ID, |t| owned(Ok(t.unique_id().map(|id| id.escape_ascii()))), b"\0id", "\\x00id", None),
        (tlv::AWS, |t| owned(t.aws_vpc_endpoint_id()), b"\x01vpce-08d2", "vpce-08d2", Some(b"\x01\xFF")),
        (tlv::AZURE, |t| owned(t.azure_link_id()), b"\x01\x02\x01\0\0", "258", Some(b"\x01\x02")),
        (tlv::GOOGLE_PSC, |t| owned(t.google_psc_connection_id()), b"\0\0\0\0\0\0\x01\x02", "258", Some(b"\x01\x02")),
        (tlv::SSL, |t| owned(t.ssl()), b"\x01\0\0\0\0", "(client 0x01, verify 0)", Some(b"\x01\0\0\0")),
    ];
    for (kind, read, value, expected, malformed) in readers {
        // Another TLV before it, and a second of its type after it.
        let bytes = [tlv(tlv::NOOP, b"\0"), tlv(kind, value), tlv(kind, b"\x01\xFF")].concat();
        let tlvs = Tlvs::new(&bytes).unwrap();
        assert_eq!(read(tlvs), Ok(Some(expected.to_owned())));
        assert_eq!(tlvs.get(kind), Some(value));
        assert_eq!(read(Tlvs::new(&tlv(tlv::NOOP, b"\0")).unwrap()), Ok(None), "{expected}");
        if let Some(malformed) = malformed {
            let bytes = tlv(kind, malformed);
            assert_eq!(read(Tlvs::new(&bytes).unwrap()), Err(Malformed { kind }), "{expected}");
        }
    }
    // A TLV of another subtype, or of none, holds no id.
    for other in [b"\x02vpce".as_slice(), b""] {
        let bytes = [tlv(tlv::AWS, other), tlv(tlv::AZURE, other), tlv(tlv::AWS, b"\x01vpce-1")].concat();
        let tlvs = Tlvs::new(&bytes).unwrap();
        assert_eq!((tlvs.aws_vpc_endpoint_id(), tlvs.azure_link_id()), (Ok(Some("vpce-1")), Ok(None)));
    }
    assert_eq!(
        Malformed { kind: tlv::AZURE }.to_string(),
        "the value of TLV AZURE_LINKID does not have the form of its type"
    );
}

#[test]
fn tls_of_the_client() {
    let inside = [
        (tlv::SSL_VERSION, b"TLSv1.3".as_slice()),
        (tlv::SSL_CN, b"client.test"),
        (tlv::SSL_CIPHER, b"TLS_AES_256_GCM_SHA384"),
        (tlv::SSL_SIG_ALG, b"RSA-SHA256"),
        (tlv::SSL_KEY_ALG, b"RSA2048"),
        (tlv::SSL_GROUP, b"X25519"),
        (tlv::SSL_SIG_SCHEME, b"\xFF"),
        (tlv::SSL_CLIENT_CERT, b"0\x82"),
    ];
    let inside: Vec<u8> = inside.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
    let bytes = tlv(tlv::SSL, &[b"\x07\0\0\0\0", inside.as_slice()].concat());
    let ssl = Tlvs::new(&bytes).unwrap().ssl().unwrap().unwrap();
    assert!(ssl.is_tls() && ssl.has_certificate() && ssl.is_verified());
    let texts = [ssl.version(), ssl.common_name(), ssl.cipher(), ssl.sig_alg(), ssl.key_alg(), ssl.group()];
    let expected = ["TLSv1.3", "client.test", "TLS_AES_256_GCM_SHA384", "RSA-SHA256", "RSA2048", "X25519"];
    assert_eq!(texts, expected.map(|text| Ok(Some(text))));
    assert_eq!(ssl.sig_scheme(), Err(Malformed { kind: tlv::SSL_SIG_SCHEME }));
    assert_eq!(ssl.client_cert(), Some(b"0\x82".as_slice()));
}

/// HAProxy sends verify 0 also if the client gave no certificate.
#[test]
fn a_client_is_verified_only_with_a_certificate() {
    for (client, verify, is_verified) in [
        (0, 0, false),
        (Ssl::TLS, 0, false),
        (Ssl::CERTIFICATE_IN_CONNECTION, 0, true),
        (Ssl::CERTIFICATE_IN_SESSION, 0, true),
        (7, 0, true),
        (7, 1, false),
        (7, u32::MAX, false),
    ] {
        let ssl = Ssl { client, verify, tlvs: Tlvs::default() };
        assert_eq!(ssl.is_verified(), is_verified, "{ssl}");
        assert_eq!(ssl.version(), Ok(None));
    }
}

/// Programs tell errors apart by name: a name that changes breaks them.
#[test]
fn names_of_errors_are_stable() {
    let names: Vec<_> = Error::ALL.iter().map(|error| error.name()).collect();
    assert_eq!(
        names.join(" "),
        "signature v1_protocol v1_ipv4 v1_ipv6 v1_port v1_space v1_line_end v1_too_long v2_version v2_command v2_family \
         v2_transport v2_length tlv_overrun tlv_trailing crc32c_length crc32c_duplicate crc32c_mismatch unique_id_length"
    );
    let sentences: HashSet<_> = Error::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), names.len());
}
