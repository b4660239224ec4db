//! The policy: networks of trusted peers, and what a connection must begin with.

use std::net::IpAddr;

use proxy_protocol_header::policy::{Expect, Mode, Network, Policy};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn networks_contain_their_addresses() {
    for (network, shown, inside, outside) in [
        ("10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("10.1.2.3/8", "10.1.2.3/8", "10.255.0.1", "11.0.0.0"),
        ("192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
        ("192.0.2.1/32", "192.0.2.1/32", "::ffff:192.0.2.1", "192.0.2.0"),
        ("192.0.2.0/31", "192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
        ("0.0.0.0/0", "0.0.0.0/0", "255.1.2.3", "::1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("::ffff:192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::1", "::1/128", "::1", "::2"),
        ("::/0", "::/0", "2001:db8::1", "10.0.0.1"),
    ] {
        let parsed: Network = network.parse().expect(network);
        assert_eq!(parsed.to_string(), shown);
        assert_eq!(shown.parse(), Ok(parsed));
        assert!(parsed.contains(ip(inside)), "{network} {inside}");
        assert!(!parsed.contains(ip(outside)), "{network} {outside}");
    }
}

#[test]
fn what_is_not_a_network_is_refused() {
    let texts = "| |10|10.0.0.0/|10.0.0.0/33|10.0.0.0/+8|10.0.0.0/-1|10.0.0.0/256|::/129|::ffff:10.0.0.0/95|::/ 1|/8|10.0.0.0/8/8|a.test";
    for text in texts.split('|') {
        let error = text.parse::<Network>().expect_err(text);
        assert_eq!(error.to_string(), "not an address or a network such as 10.0.0.0/8 or 2001:db8::/32");
    }
}

#[test]
fn what_a_connection_must_begin_with() {
    let trusted = vec!["10.0.0.0/8".parse().expect("a network"), "2001:db8::/32".parse().expect("a network")];
    for (mode, friend, stranger) in [
        (Mode::Required, Expect::Header, None),
        (Mode::Optional, Expect::Either, Some(Expect::Payload)),
        (Mode::Mixed, Expect::Header, Some(Expect::Payload)),
        (Mode::Off, Expect::Payload, Some(Expect::Payload)),
    ] {
        let policy = Policy { mode, trusted: trusted.clone() };
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
            assert_eq!(policy.admit(ip(peer)), Some(friend), "{peer}");
        }
        for peer in ["11.1.2.3", "::ffff:11.1.2.3", "2001:db9::1", "::10.1.2.3"] {
            assert_eq!(policy.admit(ip(peer)), stranger, "{peer}");
        }
        let open = Policy { mode, trusted: Vec::new() };
        assert_eq!(open.admit(ip("11.1.2.3")), Some(friend));
    }
    assert_eq!(Policy::default().admit(ip("11.1.2.3")), Some(Expect::Header));
}
