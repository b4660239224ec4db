//! Recognises servers of other protocols by their first bytes.

/// The protocol of a server that speaks first, or that answers bytes it does not understand.
pub(super) fn protocol(received: &[u8]) -> Option<&'static str> {
    let starts =
        [(&b"HTTP/"[..], "HTTP"), (b"SSH-", "SSH"), (b"220 ", "SMTP or FTP"), (b"* OK", "IMAP"), (b"+OK", "POP3")];
    starts.iter().find(|(start, _)| received.starts_with(start)).map(|&(_, name)| name)
}
