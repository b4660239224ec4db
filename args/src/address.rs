//! Addresses: those to listen on are resolved at once, those to connect to are only checked for their form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

/// A port to listen on; 0 lets the system choose.
///
/// # Errors
///
/// The text is not a port.
pub fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if text.starts_with(|c: char| c.is_ascii_digit()) => Ok(port),
        // Kubernetes sets such a variable in every pod, if a Service has the program's name.
        _ if text.starts_with("tcp://") => {
            Err("expected a port from 0 to 65535; Kubernetes sets this for a Service: enableServiceLinks: false"
                .to_owned())
        }
        _ => Err("expected a port from 0 to 65535".to_owned()),
    }
}

/// Addresses to listen on: `192.0.2.1:9000`, `[::1]:9000`, `localhost:9000` (every address of that name that this machine
/// has, IPv4 first), or `:9000` (all addresses of both families).
///
/// # Errors
///
/// The text has another form, or its name is not known.
pub fn listen(text: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let (host, port) = split(text)?;
    if host.is_empty() {
        // A socket of IPv6's unspecified address takes IPv4 connections too.
        let has_ipv6 = is_ours(Ipv6Addr::UNSPECIFIED.into());
        let ip = if has_ipv6 { IpAddr::from(Ipv6Addr::UNSPECIFIED) } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = (host, port).to_socket_addrs().map_err(|error| format!("the name '{host}' is not known: {error}"))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_unstable();
    addresses.dedup();
    // /etc/hosts often has ::1 for localhost even if the machine has no IPv6.
    if addresses.iter().any(|address| is_ours(address.ip())) {
        addresses.retain(|address| is_ours(address.ip()));
    }
    Ok(addresses)
}

/// The first of the addresses that [`listen`] reads.
///
/// # Errors
///
/// Those of [`listen`].
pub fn listen_one(text: &str) -> Result<SocketAddr, String> {
    listen(text)?.first().copied().ok_or_else(|| "the name has no address".to_owned())
}

/// An address to connect to, which is resolved later: `NAME:PORT`, `192.0.2.1:PORT`, `[::1]:PORT`, or `:PORT` for
/// `localhost:PORT`.
///
/// # Errors
///
/// The text has another form. For a URL the message says what to write instead.
pub fn target(text: &str) -> Result<String, String> {
    let (host, port) = split(text)?;
    if port == 0 {
        return Err("nobody listens on port 0".to_owned());
    }
    if host.is_empty() { Ok(format!("localhost:{port}")) } else { Ok(text.to_owned()) }
}

/// Splits `HOST:PORT` into host and port. An IPv6 address keeps its brackets.
fn split(text: &str) -> Result<(&str, u16), String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let place = rest.split('/').next().unwrap_or(rest);
        return Err(match (place.contains(':'), scheme) {
            (true, _) => format!("a URL is not an address: write {place}"),
            (false, "http") => format!("a URL is not an address: write {place}:80"),
            (false, "https") => format!("a URL is not an address: write {place}:443"),
            _ => "a URL is not an address: write HOST:PORT".to_owned(),
        });
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("put an IPv6 address in brackets before its port: [{text}]:PORT"));
    }
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let is_host = !host.contains(|c: char| c.is_whitespace() || "/@".contains(c))
                && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
            match port.parse() {
                Ok(port) if is_host && !port_has_sign(text) => Ok((host, port)),
                _ => Err("expected HOST:PORT or ADDRESS:PORT".to_owned()),
            }
        }
        None => Err("the port is missing: expected HOST:PORT or ADDRESS:PORT".to_owned()),
    }
}

/// Whether the port has a sign, which `parse` would accept: `"+80"` is a number.
fn port_has_sign(text: &str) -> bool {
    text.contains(":+")
}

/// Whether a socket of this machine can be bound to the address. Sends nothing.
fn is_ours(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number() {
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65_535)));
        for text in ["", "-1", "+80", "65536", "10k", "http", "80 "] {
            assert_eq!(port(text), Err("expected a port from 0 to 65535".to_owned()), "{text}");
        }
        assert!(port("tcp://10.0.0.1:80").is_err_and(|error| error.contains("enableServiceLinks")));
    }

    #[test]
    fn what_can_be_listened_on() {
        assert_eq!(listen("127.0.0.1:9000"), Ok(vec!["127.0.0.1:9000".parse().unwrap()]));
        assert_eq!(listen("[::1]:0"), Ok(vec!["[::1]:0".parse().unwrap()]));
        let all = listen(":9000").unwrap();
        assert!(matches!(all[..], [address] if address.ip().is_unspecified() && address.port() == 9000), "{all:?}");
        let local = listen("localhost:9000").unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 9000), "{local:?}");
        assert_eq!(Some(&listen_one("localhost:9000").unwrap()), local.first());
        assert!(listen("no-such-name.invalid:1").is_err_and(|error| error.contains("'no-such-name.invalid'")));
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for (text, words) in [
            ("localhost", "the port is missing"),
            ("localhost:", "expected HOST:PORT"),
            ("localhost:port", "expected HOST:PORT"),
            ("localhost:65536", "expected HOST:PORT"),
            ("localhost:+80", "expected HOST:PORT"),
            ("two words:80", "expected HOST:PORT"),
            ("1:2:80", "expected HOST:PORT"),
            ("::1", "[::1]:PORT"),
            ("http://localhost:8000/", "a URL is not an address: write localhost:8000"),
            ("https://localhost", "a URL is not an address: write localhost:443"),
        ] {
            assert!(target(text).is_err_and(|error| error.contains(words)), "{text}: {:?}", target(text));
            assert!(listen(text).is_err_and(|error| error.contains(words)), "{text}: {:?}", listen(text));
        }
        assert_eq!(target("localhost:0"), Err("nobody listens on port 0".to_owned()));
    }

    #[test]
    fn what_can_be_connected_to() {
        for text in ["example.com:80", "192.0.2.1:80", "[2001:db8::1]:80"] {
            assert_eq!(target(text), Ok(text.to_owned()));
        }
        assert_eq!(target(":80"), Ok("localhost:80".to_owned()));
    }
}
