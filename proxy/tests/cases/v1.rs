//! Section 2.1, version 1.

use proxy::{Addresses, Error};

use crate::{accepted, described, refused};

#[test]
fn lines_accepted() {
    for (name, line, addresses) in [
        ("the example", "TCP4 192.168.0.1 192.168.0.11 56324 443", "Stream 192.168.0.1:56324 192.168.0.11:443"),
        (
            "equal ends, a health check",
            "TCP4 10.0.2.67 10.0.2.67 28225 32004",
            "Stream 10.0.2.67:28225 10.0.2.67:32004",
        ),
        ("the shortest with IPv4", "TCP4 0.0.0.0 0.0.0.0 0 0", "Stream 0.0.0.0:0 0.0.0.0:0"),
        ("the shortest with IPv6", "TCP6 :: :: 0 0", "Stream [::]:0 [::]:0"),
        ("different forms of address", "TCP6 ::1 1:2:3:4:5:6:7:8 1 2", "Stream [::1]:1 [1:2:3:4:5:6:7:8]:2"),
        ("UNKNOWN alone", "UNKNOWN", "Unspecified"),
        ("UNKNOWN with a space only", "UNKNOWN ", "Unspecified"),
        ("UNKNOWN with addresses", "UNKNOWN 1.2.3.4 5.6.7.8 1 2", "Unspecified"),
        ("UNKNOWN with anything", "UNKNOWN  \t\0 \u{fffd} PROXY TCP4 256.0.0.1", "Unspecified"),
        ("UNKNOWN with a lone CR", "UNKNOWN a\rb", "Unspecified"),
        ("UNKNOWN with a lone LF", "UNKNOWN a\nb", "Unspecified"),
        ("UNKNOWN with LF before CR", "UNKNOWN \n\r.", "Unspecified"),
        ("UNKNOWN with CR before CRLF", "UNKNOWN \r", "Unspecified"),
    ] {
        let line = format!("PROXY {line}\r\n");
        let header = accepted(name, line.as_bytes());
        assert_eq!(described(&header), format!("V1 Proxy {addresses}"), "{name}");
        assert_eq!(header.tlvs.iter().count(), 0, "{name}");
    }
}

#[test]
fn longest_lines_accepted() {
    let ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for (name, line, length, addresses) in [
        (
            "TCP/IPv4",
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_owned(),
            56,
            "Stream 255.255.255.255:65535 255.255.255.255:65535".to_owned(),
        ),
        (
            "TCP/IPv6",
            format!("PROXY TCP6 {ones} {ones} 65535 65535\r\n"),
            104,
            format!("Stream [{ones}]:65535 [{ones}]:65535"),
        ),
        ("unknown, short form", "PROXY UNKNOWN\r\n".into(), 15, "Unspecified".into()),
        ("unknown, worst case", format!("PROXY UNKNOWN {ones} {ones} 65535 65535\r\n"), 107, "Unspecified".into()),
        ("unknown, 107 bytes of anything", format!("PROXY UNKNOWN {:x<91}\r\n", ""), 107, "Unspecified".into()),
    ] {
        assert_eq!(line.len(), length, "{name}");
        assert_eq!(described(&accepted(name, line.as_bytes())), format!("V1 Proxy {addresses}"), "{name}");
    }
}

#[test]
fn lines_refused() {
    let up_to_105 = format!("PROXY UNKNOWN {:x<91}", "");
    let up_to_cr = up_to_105.clone() + "\r";
    for (name, good, rest, error) in [
        ("another protocol", "", "GET / HTTP/1.1\r\n", Error::Signature),
        ("another protocol that begins with P", "P", "OST / HTTP/1.1\r\n", Error::Signature),
        ("lower case PROXY", "", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Error::Signature),
        ("mixed case PROXY", "P", "roxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Error::Signature),
        ("a space before PROXY", "", " PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Error::Signature),
        ("PROXY alone", "PROXY", "\r\n", Error::V1Space),
        ("a tab behind PROXY", "PROXY", "\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Space),
        ("two spaces behind PROXY", "PROXY ", " TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Protocol),
        ("no protocol", "PROXY ", "\r\n", Error::V1Protocol),
        ("lower case protocol", "PROXY ", "tcp4 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Protocol),
        ("TCP of no family", "PROXY TCP", " 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Protocol),
        ("TCP5", "PROXY TCP", "5 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Protocol),
        ("UDP4", "PROXY U", "DP4 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Protocol),
        ("TCP4 alone", "PROXY TCP4", "\r\n", Error::V1Space),
        ("TCP6 alone", "PROXY TCP6", "\r\n", Error::V1Space),
        ("TCP46", "PROXY TCP4", "6 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Space),
        ("no address", "PROXY TCP4 ", "\r\n", Error::V1Ipv4),
        ("two spaces before an IPv4 source", "PROXY TCP4 ", " 1.2.3.4 5.6.7.8 1 2\r\n", Error::V1Ipv4),
        ("two spaces before an IPv6 source", "PROXY TCP6 ", " ::1 ::2 1 2\r\n", Error::V1Ipv6),
        ("a tab between addresses", "PROXY TCP4 1.2.3.4", "\t5.6.7.8 1 2\r\n", Error::V1Space),
        ("two spaces between addresses", "PROXY TCP4 1.2.3.4 ", " 5.6.7.8 1 2\r\n", Error::V1Ipv4),
        ("one address", "PROXY TCP4 1.2.3.4 1", " 2\r\n", Error::V1Ipv4),
        ("no ports", "PROXY TCP4 1.2.3.4 5.6.7.8", "\r\n", Error::V1Space),
        ("a colon before the port", "PROXY TCP4 1.2.3.4", ":1 5.6.7.8:2\r\n", Error::V1Space),
        ("one port", "PROXY TCP4 1.2.3.4 5.6.7.8 1", "\r\n", Error::V1Space),
        ("two spaces between ports", "PROXY TCP4 1.2.3.4 5.6.7.8 1 ", " 2\r\n", Error::V1Port),
        ("a hexadecimal source port", "PROXY TCP4 1.2.3.4 5.6.7.8 0", "x50 2\r\n", Error::V1Space),
        ("a hexadecimal destination port", "PROXY TCP4 1.2.3.4 5.6.7.8 1 0", "x50\r\n", Error::V1LineEnd),
        ("a third port", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2", " 3\r\n", Error::V1LineEnd),
        ("a trailing space", "PROXY TCP6 ::1 ::2 1 2", " \r\n", Error::V1LineEnd),
        ("a bare LF", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2", "\nGET /\r\n", Error::V1LineEnd),
        ("a bare CR", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", "GET /\r\n", Error::V1LineEnd),
        ("two CR", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r", "\r\n", Error::V1LineEnd),
        ("an IPv6 address in TCP4", "PROXY TCP4 ", "::1 ::1 1 2\r\n", Error::V1Ipv4),
        ("an IPv4 address in TCP6", "PROXY TCP6 1", ".2.3.4 5.6.7.8 1 2\r\n", Error::V1Ipv6),
        ("lower case UNKNOWN", "PROXY ", "unknown\r\n", Error::V1Protocol),
        ("a word that begins with UNKNOWN", "PROXY UNKNOWN", "S\r\n", Error::V1Protocol),
        ("a tab after UNKNOWN", "PROXY UNKNOWN", "\t1.2.3.4\r\n", Error::V1Protocol),
        ("UNKNOWN and a bare LF", "PROXY UNKNOWN", "\nGET /\r\n", Error::V1LineEnd),
        ("UNKNOWN and a bare CR", "PROXY UNKNOWN\r", "GET /\r\n", Error::V1LineEnd),
        ("108 bytes", &up_to_105, "x\r\n", Error::V1TooLong),
        ("CR at 106 and no LF at 107", &up_to_cr, "x\r\n", Error::V1TooLong),
    ] {
        refused(name, good.as_bytes(), rest.as_bytes(), error);
    }
}

/// The text of a line before and after an address, once for the source and once for the destination.
const AROUND_IPV4: [[&str; 2]; 2] = [["PROXY TCP4 ", " 192.0.2.1 1 2\r\n"], ["PROXY TCP4 192.0.2.1 ", " 1 2\r\n"]];
const AROUND_IPV6: [[&str; 2]; 2] = [["PROXY TCP6 ", " 2001:db8:: 1 2\r\n"], ["PROXY TCP6 2001:db8:: ", " 1 2\r\n"]];
const AROUND_PORT: [[&str; 2]; 2] = [["PROXY TCP6 ::1 ::2 ", " 2\r\n"], ["PROXY TCP6 ::1 ::2 1 ", "\r\n"]];

#[test]
fn fields_accepted() {
    let ipv4 = ["0.0.0.0", "9.10.99.100", "199.200.249.250", "255.255.255.255"].map(|text| (text, text));
    // Leading zeros pad a group to the four digits that section 2.1 allows.
    let ipv6 = [
        ("0000:0001:0020:0300:4000:000a:00b0:0c00", "0:1:20:300:4000:a:b0:c00"),
        ("ABCD:EF01:abcd:ef01:AbCd:eF01:0:1", "abcd:ef01:abcd:ef01:abcd:ef01:0:1"),
        ("::", "::"),
        ("1::", "1::"),
        ("::8", "::8"),
        ("0:0:3::", "0:0:3::"),
        ("1:2::7:8", "1:2::7:8"),
        ("1:0:0:4::8", "1:0:0:4::8"),
        // `::` for one group, at the start, inside and at the end.
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("1:2:3:4::6:7:8", "1:2:3:4:0:6:7:8"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        // The dotted forms that `inet_ntop` writes.
        ("::ffff:192.0.2.128", "::ffff:192.0.2.128"),
        ("::FFFF:0.0.0.0", "::ffff:0.0.0.0"),
        ("::192.0.2.128", "::c000:280"),
        ("::255.255.255.255", "::ffff:ffff"),
    ];
    for ((text, address), around) in
        ipv4.iter().map(|row| (row, AROUND_IPV4)).chain(ipv6.iter().map(|row| (row, AROUND_IPV6)))
    {
        for (place, [before, after]) in around.iter().enumerate() {
            let line = [before, *text, after].concat();
            let found = match accepted(text, line.as_bytes()).addresses {
                Addresses::Inet { source, destination, .. } => [source.ip(), destination.ip()][place].to_string(),
                Addresses::Inet6 { source, destination, .. } => [source.ip(), destination.ip()][place].to_string(),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, *address, "{text}");
        }
    }
    for text in ["0", "9", "10", "6553", "9999", "10000", "65535"] {
        for (place, [before, after]) in AROUND_PORT.iter().enumerate() {
            let line = [before, text, after].concat();
            let Addresses::Inet6 { source, destination, .. } = accepted(text, line.as_bytes()).addresses else {
                panic!()
            };
            assert_eq!([source.port(), destination.port()][place].to_string(), text);
        }
    }
}

#[test]
fn fields_refused() {
    let ipv4 = [
        ("octet 256 first", "25", "6.1.2.3", Error::V1Ipv4),
        ("octet 256 last", "1.2.3.25", "6", Error::V1Ipv4),
        ("octet 1000", "100", "0.2.3.4", Error::V1Ipv4),
        ("leading zero first", "0", "1.2.3.4", Error::V1Ipv4),
        ("leading zero last", "1.2.3.0", "4", Error::V1Ipv4),
        ("two zeros", "1.0", "0.3.4", Error::V1Ipv4),
        ("three octets", "1.2.3", "", Error::V1Ipv4),
        ("five octets", "1.2.3.4", ".5", Error::V1Space),
        ("one number", "169", "09060", Error::V1Ipv4),
        ("an empty octet", "1.", ".3.4", Error::V1Ipv4),
        ("a dot first", "", ".1.2.3", Error::V1Ipv4),
        ("a dot last", "1.2.3.", "", Error::V1Ipv4),
        ("a minus", "", "-1.2.3.4", Error::V1Ipv4),
        ("a plus", "1.2.", "+3.4", Error::V1Ipv4),
        ("hexadecimal", "0", "x1.2.3.4", Error::V1Ipv4),
        ("a letter", "1.2.3.4", "a", Error::V1Space),
        ("a prefix length", "1.2.3.4", "/8", Error::V1Space),
        ("a NUL", "1.2.3.4", "\0", Error::V1Space),
        ("a digit beyond ASCII", "1.2.3.", "\u{664}", Error::V1Ipv4),
    ];
    let ipv6 = [
        ("three colons", "1::", ":2", Error::V1Ipv6),
        ("three colons alone", "::", ":", Error::V1Ipv6),
        ("two gaps", "1::2:", ":3", Error::V1Ipv6),
        ("five digits", "1234", "5::", Error::V1Ipv6),
        ("five digits with a zero", "::0123", "4", Error::V1Ipv6),
        ("seven groups", "1:2:3:4:5:6:7", "", Error::V1Ipv6),
        ("seven groups and a colon", "1:2:3:4:5:6:7:", "", Error::V1Ipv6),
        ("nine groups", "1:2:3:4:5:6:7:8", ":9", Error::V1Ipv6),
        ("a gap for no group first", "::1:2:3:4:5:6:7", ":8", Error::V1Ipv6),
        ("a gap for no group inside", "1:2:3:4::5:6:7", ":8", Error::V1Ipv6),
        ("a gap for no group last", "1:2:3:4:5:6:7::", "8", Error::V1Ipv6),
        ("a gap after eight groups", "1:2:3:4:5:6:7:8", "::", Error::V1Ipv6),
        ("one colon first", ":", "1:2:3:4:5:6:7:8", Error::V1Ipv6),
        ("one colon last", "1::2:", "", Error::V1Ipv6),
        ("one colon", ":", "", Error::V1Ipv6),
        ("one group", "1", "", Error::V1Ipv6),
        ("a zone", "fe80::1", "%eth0", Error::V1Ipv6),
        ("a prefix length", "::1", "/64", Error::V1Ipv6),
        ("brackets", "", "[::1]", Error::V1Ipv6),
        ("a letter that is not a digit", "::", "g", Error::V1Ipv6),
        ("a sign", "::", "-1", Error::V1Ipv6),
        ("a prefix of hexadecimal", "::0", "x1", Error::V1Ipv6),
        // Dotted tails that `inet_ntop` would not write, or that are not an IPv4 address.
        ("dotted in full", "0:0:0:0:0:ffff:1", ".2.3.4", Error::V1Ipv6),
        ("dotted after a number", "1::1", ".2.3.4", Error::V1Ipv6),
        ("dotted after ffff:0", "::ffff:0:1", ".2.3.4", Error::V1Ipv6),
        ("dotted after fffe", "::fffe:1", ".2.3.4", Error::V1Ipv6),
        ("dotted and not decimal", "::ffff:1f", ".2.3.4", Error::V1Ipv4),
        ("dotted and too large", "::ffff:256", ".2.3.4", Error::V1Ipv4),
        ("dotted and too large after", "::ffff:1.2.3.25", "6", Error::V1Ipv4),
        ("dotted with a leading zero", "::01", ".2.3.4", Error::V1Ipv4),
        ("dotted and short", "::ffff:1.2.3", "", Error::V1Ipv4),
        ("dotted and long", "::ffff:1.2.3.4", ".5", Error::V1Space),
        ("dotted with a group after", "::1.2.3.4", ":5", Error::V1Space),
    ];
    let port = [
        ("65536", "6553", "6", Error::V1Port),
        ("70000", "7000", "0", Error::V1Port),
        ("a number that wraps to 80", "42949", "67376", Error::V1Port),
        ("a leading zero", "0", "80", Error::V1Port),
        ("two zeros", "0", "0", Error::V1Port),
        ("a minus", "", "-1", Error::V1Port),
        ("a plus", "", "+1", Error::V1Port),
        ("a name", "", "http", Error::V1Port),
        ("nothing", "", "", Error::V1Port),
    ];
    let rows = |rows: &[(&str, &str, &str, Error)], around: [[&str; 2]; 2]| {
        for (name, good, rest, error) in rows {
            for [before, after] in around {
                refused(name, [before, good].concat().as_bytes(), [*rest, after].concat().as_bytes(), *error);
            }
        }
    };
    rows(&ipv4, AROUND_IPV4);
    rows(&ipv6, AROUND_IPV6);
    rows(&port, AROUND_PORT);
}
