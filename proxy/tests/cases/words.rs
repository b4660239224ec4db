//! Describes a header in the words that the tables use.

use proxy::{Addresses, Header};

pub(crate) fn described(header: &Header) -> String {
    let path = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let addresses = match header.addresses {
        Addresses::Unspecified => "Unspecified".into(),
        Addresses::Inet { transport, source, destination } => format!("{transport:?} {source} {destination}"),
        Addresses::Inet6 { transport, source, destination } => format!("{transport:?} {source} {destination}"),
        Addresses::Unix { transport, source, destination } => {
            format!("{transport:?} {} {}", path(source), path(destination))
        }
    };
    format!("{:?} {:?} {addresses}", header.version, header.command)
}
