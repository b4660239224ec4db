//! The host names that a browser's page may use in requests to the admin port.
//!
//! A hostile site can make its own name resolve to this server's address (DNS rebinding). The browser then takes the
//! server for that site, and lets the site's page read its answers. The request still names the site in `Host`.

use std::net::IpAddr;

/// The server's names, set by the operator.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    pub(super) fn new(names: &[String]) -> Self {
        Hosts(names.iter().map(|name| bare(name).to_owned()).collect())
    }

    /// Whether a request to `host`, with or without a port, may be answered. Addresses, `localhost` and an empty host
    /// are always allowed: they cannot be the name of a site.
    pub(super) fn allow(&self, host: &str) -> bool {
        let name = bare(without_port(host));
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.is_empty()
            || name.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The host without its port, which follows the last colon; an IPv6 address in brackets has colons itself.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The name without a trailing dot.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_are_allowed_and_no_others() {
        let hosts = Hosts::new(&["echo.example".to_owned(), "Proxy-Echo.".to_owned()]);
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9000",
            "[2001:db8::1]:9000",
            "localhost",
            "LocalHost:9000",
            "localhost.:9000",
            "echo.example",
            "ECHO.example:9000",
            "echo.example.",
            "proxy-echo",
            "",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9000",
            "echo.example.evil",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:80.evil.example",
            "[::1].evil.example",
            "[evil.example]:80",
            "evil.example:",
            "sub.echo.example",
            "echo.example@evil.example",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }
}
