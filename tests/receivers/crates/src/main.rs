//! Runs a library behind a minimal echo server: `receivers LIBRARY` listens on 127.0.0.1:8080, sends each client the
//! address in its header, and echoes the rest.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use ppp::PartialResult;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A header's length and the client that it names.
type Parsed = (usize, Option<SocketAddr>);

/// `None` if more bytes are needed.
type Parse = fn(&[u8]) -> Result<Option<Parsed>, String>;

fn main() -> io::Result<()> {
    let library = std::env::args().nth(1).unwrap_or_default();
    match library.as_str() {
        "ppp" => serve(ppp),
        "proxy-protocol" => serve(proxy_protocol),
        "haproxy-protocol" => serve(haproxy_protocol),
        "proxy-header" => in_tokio(proxy_header()),
        "proxy-protocol-rs" => in_tokio(proxy_protocol_rs()),
        other => Err(io::Error::other(format!("no library is named '{other}'"))),
    }
}

/// Reads until the result is complete, as the library's example `server` does.
fn ppp(bytes: &[u8]) -> Result<Option<Parsed>, String> {
    let result = ppp::HeaderResult::parse(bytes);
    if result.is_incomplete() {
        return Ok(None);
    }
    let (length, client) = match result {
        ppp::HeaderResult::V1(header) => {
            let header = header.map_err(|error| error.to_string())?;
            let client = match header.addresses {
                ppp::v1::Addresses::Tcp4(ends) => Some((ends.source_address, ends.source_port).into()),
                ppp::v1::Addresses::Tcp6(ends) => Some((ends.source_address, ends.source_port).into()),
                ppp::v1::Addresses::Unknown => None,
            };
            (header.header.len(), client)
        }
        ppp::HeaderResult::V2(header) => {
            let header = header.map_err(|error| error.to_string())?;
            let client = match header.addresses {
                _ if header.command == ppp::v2::Command::Local => None,
                ppp::v2::Addresses::IPv4(ends) => Some((ends.source_address, ends.source_port).into()),
                ppp::v2::Addresses::IPv6(ends) => Some((ends.source_address, ends.source_port).into()),
                _ => None,
            };
            (header.len(), client)
        }
    };
    Ok(Some((length, client)))
}

/// Its errors of an unexpected end mean an unfinished header. For input shorter than a signature it gives the same
/// error as for garbage.
fn proxy_protocol(bytes: &[u8]) -> Result<Option<Parsed>, String> {
    use proxy_protocol::{ParseError, ProxyHeader, parse, version1, version2};
    let mut rest = bytes;
    let header = match parse(&mut rest) {
        Ok(header) => header,
        Err(ParseError::NotProxyHeader) if bytes.len() < 13 => return Ok(None),
        Err(ParseError::Version1 { source: version1::ParseError::UnexpectedEof }) => return Ok(None),
        Err(ParseError::Version2 { source: version2::ParseError::UnexpectedEof }) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let client = match header {
        ProxyHeader::Version1 { addresses: version1::ProxyAddresses::Ipv4 { source, .. } } => Some(source.into()),
        ProxyHeader::Version1 { addresses: version1::ProxyAddresses::Ipv6 { source, .. } } => Some(source.into()),
        ProxyHeader::Version2 { command: version2::ProxyCommand::Local, .. } => None,
        ProxyHeader::Version2 { addresses: version2::ProxyAddresses::Ipv4 { source, .. }, .. } => Some(source.into()),
        ProxyHeader::Version2 { addresses: version2::ProxyAddresses::Ipv6 { source, .. }, .. } => Some(source.into()),
        _ => None,
    };
    Ok(Some((bytes.len() - rest.len(), client)))
}

/// It has one parser per version; the first byte decides which to use.
fn haproxy_protocol(bytes: &[u8]) -> Result<Option<Parsed>, String> {
    use haproxy_protocol::{Error, ProxyHdrV1, ProxyHdrV2, RemoteAddress};
    let parsed = match bytes.first() {
        None => return Ok(None),
        Some(b'P') => ProxyHdrV1::parse(bytes).map(|(length, header)| (length, header.to_remote_addr())),
        Some(_) => ProxyHdrV2::parse(bytes).map(|(length, header)| (length, header.to_remote_addr())),
    };
    match parsed {
        Ok((length, RemoteAddress::TcpV4 { src, .. })) => Ok(Some((length, Some(src.into())))),
        Ok((length, RemoteAddress::TcpV6 { src, .. })) => Ok(Some((length, Some(src.into())))),
        Ok((length, _)) => Ok(Some((length, None))),
        Err(Error::Incomplete { .. }) => Ok(None),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// For libraries that parse a buffer.
fn serve(parse: Parse) -> io::Result<()> {
    for stream in TcpListener::bind("127.0.0.1:8080")?.incoming() {
        let stream = stream?;
        thread::spawn(move || echo(stream, parse));
    }
    Ok(())
}

fn echo(mut stream: TcpStream, parse: Parse) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 65_536]);
    let (length, client) = loop {
        let count = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..count]);
        match parse(&bytes) {
            Ok(Some(parsed)) => break parsed,
            Ok(None) if count > 0 => {}
            _ => return Ok(()),
        }
    };
    writeln!(stream, "{}", client.unwrap_or(peer))?;
    stream.write_all(&bytes[length..])?;
    io::copy(&mut stream.try_clone()?, &mut stream)?;
    Ok(())
}

/// For libraries that wrap a stream of tokio.
fn in_tokio(serving: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(serving)
}

async fn proxy_header() -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            let stream = proxy_header::io::ProxiedStream::create_from_tokio(stream, Default::default()).await?;
            let client = stream.proxy_header().proxied_address().map_or(peer, |address| address.source);
            echo_in_tokio(stream, client).await
        });
    }
}

async fn proxy_protocol_rs() -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let listener = proxy_protocol_rs::ProxyProtocolListener::new(listener, Default::default());
    loop {
        // An error concerns only one connection.
        let Ok(stream) = listener.accept().await else { continue };
        let client = stream.client_addr();
        tokio::spawn(echo_in_tokio(stream, client));
    }
}

async fn echo_in_tokio(stream: impl AsyncRead + AsyncWrite + Unpin, client: SocketAddr) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    writer.write_all(format!("{client}\n").as_bytes()).await?;
    let mut bytes = vec![0; 65_536];
    loop {
        match reader.read(&mut bytes).await? {
            0 => return Ok(()),
            count => writer.write_all(&bytes[..count]).await?,
        }
    }
}
