//! The TLS session of a connection over a socket that never blocks. It uses rustls without rustls's buffers, so that
//! all held bytes are visible here: a partial record, and bytes that the socket did not take.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use proxy_echo_client::tls::explain;
use proxy_echo_client::tls::rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use proxy_echo_client::tls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus,
};
use proxy_echo_client::tls::rustls::{Error, HandshakeKind};

use super::{Client, MAX_CLEAR};

/// The TLS session of a connection.
pub struct Session {
    tls: UnbufferedClientConnection,
    /// Received bytes that are not whole yet: at most a record; during a handshake, the records of one message.
    partial: Vec<u8>,
    /// Bytes that the socket has not taken yet, from `taken` on: the output of one [`Session::send`], or a flight of
    /// the handshake.
    unsent: Vec<u8>,
    taken: usize,
}

/// The result of a read.
#[derive(Debug)]
pub struct Input {
    /// Bytes of payload; take them first.
    pub payload: usize,
    /// Whether the socket may have more.
    pub has_more: bool,
    /// Why no input follows.
    pub end: Option<io::Error>,
}

/// The result of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agreed {
    /// Whether it resumed an earlier session.
    pub is_resumed: bool,
    /// Version, cipher suite and protocol, in words.
    pub words: String,
}

/// rustls's error, in words that say what to do.
#[derive(Debug)]
struct TlsError(Error);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match explain(&self.0) {
            // The handshake may be over.
            proxy_echo_client::tls::Failure::Other => write!(f, "{}", self.0),
            failure => write!(f, "{failure}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(tls: UnbufferedClientConnection) -> Self {
        Session { tls, partial: Vec::new(), unsent: Vec::new(), taken: 0 }
    }

    /// Begins the session: sends `first` in clear, then the first flight of the handshake.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn begin(&mut self, socket: &mut impl Write, first: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(first);
        self.process(&mut [], &mut []).end.map_or(Ok(()), Err)?;
        self.flush(socket).map(drop)
    }

    /// Whether the handshake is in progress.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The result of the handshake, when it is over.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        let version = self.tls.protocol_version().and_then(|version| version.as_str());
        let suite = self.tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        // rustls has names of its own for the suites of TLS 1.3; these are IANA's.
        let known = |name: Option<&str>| {
            name.unwrap_or("unknown").replacen("TLSv1_", "TLS 1.", 1).replacen("TLS13_", "TLS_", 1)
        };
        let mut words = format!("{}, {}", known(version), known(suite));
        if let Some(protocol) = self.tls.alpn_protocol() {
            words.push_str(", ALPN ");
            words.push_str(&protocol.escape_ascii().to_string());
        }
        Agreed { is_resumed: self.tls.handshake_kind() == Some(HandshakeKind::Resumed), words }
    }

    /// Whether bytes wait for the socket.
    #[must_use]
    #[inline]
    pub fn has_unsent(&self) -> bool {
        self.taken < self.unsent.len()
    }

    /// Reads once. Puts the payload into `room`, which is as large as `client` was told, and sends the handshake's
    /// answers.
    ///
    /// # Errors
    ///
    /// The socket's: `WouldBlock` if there is nothing to read.
    pub fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        client: &mut Client,
        room: &mut [u8],
    ) -> io::Result<Input> {
        let held = self.partial.len();
        let free = client.incoming.len() - held.min(client.incoming.len());
        let most = client.most_read.min(free);
        if most == 0 {
            return Err(io::Error::other("the server sent a TLS message that never ends"));
        }
        let count = loop {
            match socket.read(&mut client.incoming[held..held + most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            return Err(self.cut());
        }
        client.incoming[..held].copy_from_slice(&self.partial);
        self.partial.clear();
        let Processed { used, payload, end } = self.process(&mut client.incoming[..held + count], room);
        let mut end = end;
        if end.is_none() {
            self.partial.extend_from_slice(&client.incoming[used..held + count]);
        }
        if self.has_unsent()
            && let Err(error) = self.flush(socket)
        {
            // rustls's error is the cause.
            end = end.or(Some(error));
        }
        Ok(Input { payload, has_more: count == most, end })
    }

    /// The error of a socket that ended without `close_notify`: bytes may have been cut off.
    fn cut(&self) -> io::Error {
        if self.is_handshaking() {
            return ErrorKind::UnexpectedEof.into();
        }
        io::Error::other("closed by the target without close_notify")
    }

    /// Encrypts and sends as much of `clear` as possible at a time; nothing while the socket has not taken earlier
    /// bytes. Returns how many bytes were taken on.
    ///
    /// # Errors
    ///
    /// The socket's, and rustls's if nothing may be sent any more.
    pub fn send(&mut self, socket: &mut impl Write, client: &mut Client, clear: &[u8]) -> io::Result<usize> {
        if !self.flush(socket)? || clear.is_empty() || self.is_handshaking() {
            return Ok(0);
        }
        let clear = &clear[..clear.len().min(MAX_CLEAR)];
        let count = self.encrypt(clear, &mut client.outgoing)?;
        let mut rest = &client.outgoing[..count];
        while !rest.is_empty() {
            match socket.write(rest) {
                // A short write means that the socket is full, so that an edge will come.
                Ok(written) if written < rest.len() => {
                    self.unsent.extend_from_slice(&rest[written..]);
                    break;
                }
                Ok(_) => rest = &[],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(rest);
                    rest = &[];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(clear.len())
    }

    /// Sends the bytes that the socket did not take before. Returns whether it has taken all.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.has_unsent() {
            match socket.write(&self.unsent[self.taken..]) {
                Ok(count) => self.taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.taken = 0;
        Ok(true)
    }

    /// Sends `close_notify`. It is lost if the socket is full.
    pub fn close(&mut self, socket: &mut impl Write, client: &mut Client) {
        if !self.flush(socket).unwrap_or(false) {
            return;
        }
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self.tls.process_tls_records(&mut self.partial).state
            && let Ok(count) = traffic.queue_close_notify(&mut client.outgoing)
        {
            let _ = socket.write(&client.outgoing[..count]);
        }
    }

    fn encrypt(&mut self, clear: &[u8], outgoing: &mut [u8]) -> io::Result<usize> {
        match self.tls.process_tls_records(&mut self.partial).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.encrypt(clear, outgoing).map_err(|error| io::Error::other(error.to_string()))
            }
            Err(error) => Err(io::Error::other(TlsError(error))),
            // All input and all answers were handled.
            Ok(_) => Err(io::Error::other("the TLS session takes nothing more")),
        }
    }

    /// Processes the received bytes: puts payload into `room` and answers into `unsent`, until rustls needs more input.
    fn process(&mut self, incoming: &mut [u8], room: &mut [u8]) -> Processed {
        let mut done = Processed { used: 0, payload: 0, end: None };
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut incoming[done.used..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                let end = done.payload + record.payload.len();
                                room[done.payload..end].copy_from_slice(record.payload);
                                done.payload = end;
                            }
                            Err(error) => done.end = Some(io::Error::other(TlsError(error))),
                        }
                    }
                    done.end.is_none()
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.unsent);
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // The flight is in `unsent`, in order.
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    done.end = Some(ErrorKind::UnexpectedEof.into());
                    false
                }
                Ok(_) => false,
                Err(error) => {
                    // The alert that tells the server why is made in the next call.
                    let is_first = done.end.is_none();
                    if is_first {
                        done.end = Some(io::Error::other(TlsError(error)));
                    }
                    is_first
                }
            };
            done.used += discard;
            if !goes_on {
                return done;
            }
        }
    }
}

struct Processed {
    used: usize,
    payload: usize,
    end: Option<io::Error>,
}

/// Appends a flight to the bytes to send.
fn encode(mut data: EncodeTlsData<'_, ClientConnectionData>, unsent: &mut Vec<u8>) {
    let start = unsent.len();
    // rustls says how much room it needs.
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size, .. })) = data.encode(&mut []) else {
        return;
    };
    unsent.resize(start + required_size, 0);
    // Cannot fail: the room is as large as rustls asked for.
    let count = data.encode(&mut unsent[start..]).unwrap_or(0);
    unsent.truncate(start + count);
}
