//! The events of the log as JSON objects; docs/server.md lists their fields.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::connection::Reason;
use crate::observe::events::{Entry, Event, Farewell, Listening, mixed, offset, shown};
use crate::policy;
use proxy::escape::{Escaped, Hex};
use proxy::tlv::Value;
use proxy::{Addresses, Header, Tlv, Tlvs, Version, unix_path};

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &Text(humantime::format_rfc3339_millis(self.time)))?;
        map.serialize_entry("event", name(&self.event))?;
        if let Some(number) = self.connection {
            map.serialize_entry("connection", &number)?;
        }
        fields(&self.event, &mut map)?;
        map.end()
    }
}

fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::Listening(_) => "listening",
        Event::AdminListening(_) => "admin_listening",
        Event::Guessing { .. } => "guessing",
        Event::Accepted { .. } => "accepted",
        Event::Header(_) => "header",
        Event::Plain => "plain",
        Event::Refused { .. } => "refused",
        Event::Input(_) => "input",
        Event::Gone(_) => "gone",
        Event::AcceptFailed(_) => "accept_failed",
        Event::Full(_) => "full",
        Event::Leaving { .. } => "leaving",
        Event::Stopping { .. } => "stopping",
        Event::Cut(_) => "cut",
        Event::Closing(_) => "closing",
        Event::NothingReloaded => "nothing_reloaded",
        Event::SignalIgnored(_) => "signal_ignored",
        Event::LogFull => "log_full",
        Event::MaxHeldLowered(..) => "max_held_lowered",
        Event::MemoryShort(_) => "memory_short",
        Event::WatchFailed(_) => "watch_failed",
        Event::LinesDropped(_) => "lines_dropped",
        Event::Terminated => "terminated",
    }
}

fn fields<M: SerializeMap>(event: &Event<'_>, map: &mut M) -> Result<(), M::Error> {
    match event {
        Event::Listening(Listening { address, mode }) => {
            map.serialize_entry("address", address)?;
            map.serialize_entry("proxy_protocol", policy::name(*mode))
        }
        Event::AdminListening(address) => map.serialize_entry("address", address),
        Event::Guessing { trusted } => map.serialize_entry("trusted", trusted),
        Event::Accepted { peer } => map.serialize_entry("peer", peer),
        Event::Header(header) => header_fields(header, map),
        Event::Refused { refusal, received } => {
            map.serialize_entry("reason", refusal.name())?;
            map.serialize_entry("message", refusal.as_str())?;
            map.serialize_entry("offset", &offset(received))?;
            map.serialize_entry("received", &Text(Escaped(shown(received))))?;
            mixed(*refusal, received).map_or(Ok(()), |hint| map.serialize_entry("hint", hint))
        }
        Event::Input(bytes) => map.serialize_entry("text", &Text(Escaped(bytes))),
        Event::Gone(Farewell { reason, received, sent, unsent, lasted }) => {
            map.serialize_entry("reason", reason.name())?;
            if let Reason::Failed(kind) = reason {
                map.serialize_entry("error", &Text(kind))?;
            }
            map.serialize_entry("bytes_in", received)?;
            map.serialize_entry("bytes_out", sent)?;
            map.serialize_entry("bytes_unsent", unsent)?;
            map.serialize_entry("seconds", &lasted.as_secs_f64())
        }
        Event::AcceptFailed(error) | Event::WatchFailed(error) => map.serialize_entry("error", &Text(error)),
        Event::Full(limit) => map.serialize_entry("connections", limit),
        Event::Leaving { delay } => map.serialize_entry("seconds", &delay.as_secs_f64()),
        Event::Stopping { open, timeout, .. } => {
            map.serialize_entry("connections", open)?;
            map.serialize_entry("seconds", &timeout.as_secs_f64())
        }
        Event::MaxHeldLowered(bytes, source) => {
            map.serialize_entry("bytes", bytes)?;
            map.serialize_entry("source", source.name())
        }
        Event::MemoryShort(limit) => map.serialize_entry("bytes", limit),
        Event::LinesDropped(count) => map.serialize_entry("lines", count),
        Event::Cut(open) | Event::Closing(open) => map.serialize_entry("connections", open),
        Event::SignalIgnored(number) => map.serialize_entry("signal", number),
        Event::Plain | Event::NothingReloaded | Event::LogFull | Event::Terminated => Ok(()),
    }
}

pub(crate) fn header_fields<M: SerializeMap>(header: &Header<'_>, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("version", &if header.version == Version::V1 { 1 } else { 2 })?;
    map.serialize_entry("family", header.family())?;
    match header.addresses {
        Addresses::Unspecified => {}
        Addresses::Inet { source, destination, .. } => {
            map.serialize_entry("source", &source)?;
            map.serialize_entry("destination", &destination)?;
        }
        Addresses::Inet6 { source, destination, .. } => {
            map.serialize_entry("source", &source)?;
            map.serialize_entry("destination", &destination)?;
        }
        Addresses::Unix { source, destination, .. } => {
            map.serialize_entry("source", &Text(Escaped(unix_path(source))))?;
            map.serialize_entry("destination", &Text(Escaped(unix_path(destination))))?;
        }
    }
    if header.version == Version::V2 {
        tlv_fields(header.tlvs, map)?;
    }
    Ok(())
}

fn tlv_fields<M: SerializeMap>(tlvs: Tlvs<'_>, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("tlvs", &List(|| tlvs.displayed().map(TlvObject)))?;
    match tlvs.not_displayed() {
        0 => Ok(()),
        more => map.serialize_entry("tlvs_left_out", &more),
    }
}

/// Serializes a displayed value as a string.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Serializes the items of an iterator as an array.
struct List<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

struct TlvObject<'a>(Tlv<'a>);

impl Serialize for TlvObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &self.0.kind)?;
        if let Some(name) = self.0.name() {
            map.serialize_entry("name", name)?;
        }
        match self.0.decode() {
            Value::Text(text) => map.serialize_entry("text", &Text(Escaped(text)))?,
            Value::Checksum(checksum) => map.serialize_entry("checksum", &checksum)?,
            Value::Padding(length) => map.serialize_entry("padding", &length)?,
            Value::Id(id) => map.serialize_entry("id", &id)?,
            Value::Bytes(bytes) => map.serialize_entry("hex", &Text(Hex(bytes)))?,
            Value::Ssl(ssl) => {
                map.serialize_entry("client", &ssl.client)?;
                map.serialize_entry("verify", &ssl.verify)?;
                tlv_fields(ssl.tlvs, &mut map)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use proxy::{Command, Status, V2, tlv};

    #[test]
    fn what_is_logged_of_a_header_has_a_limit() {
        const MAX_LINE_BYTES: usize = 16 * 1024;
        let mut bytes = Vec::new();
        let tlvs = [Tlv { kind: tlv::AUTHORITY, value: &[1; 1024] }; 32];
        let header = V2 { command: Command::Proxy, addresses: Addresses::Unspecified, tlvs: &tlvs, crc32c: false };
        header.encode(&mut bytes).unwrap();
        let Ok(Status::Complete(header)) = proxy::parse(&bytes) else { panic!("a header") };
        let entry = Entry { time: SystemTime::UNIX_EPOCH, connection: Some(1), event: Event::Header(&header) };
        let (text, json) = (entry.to_string(), serde_json::to_string(&entry).unwrap());
        assert!(text.len() < MAX_LINE_BYTES && text.ends_with(", and 30 more"), "{} bytes", text.len());
        assert!(json.len() < MAX_LINE_BYTES && json.ends_with(r#""tlvs_left_out":30}"#), "{} bytes", json.len());
    }
}
