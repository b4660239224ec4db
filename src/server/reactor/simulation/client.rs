//! A simulated client, with the kernel's side of its connection.

use std::collections::VecDeque;

use fastrand::Rng;

/// The behaviour of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Sends everything, reads everything, and closes.
    Honest,
    /// Connects and sends nothing.
    Silent,
    /// Does not finish its header or line.
    Unfinished,
    /// Sends a lot and reads nothing.
    Deaf,
    /// Resets the connection at some time.
    Resetting,
}

#[expect(clippy::struct_excessive_bools, reason = "the kernel keeps as many")]
pub(super) struct Client {
    pub(super) manner: Manner,
    pub(super) script: VecDeque<u8>,
    pub(super) expected: Vec<u8>,
    pub(super) received: Vec<u8>,
    /// Time of its next action, in µs.
    pub(super) next_us: u64,
    /// Whether it is connected to the admin port, where the server closes first.
    pub(super) is_admin: bool,
    pub(super) is_connected: bool,
    pub(super) is_over: bool,
    // The kernel's side.
    pub(super) inbox: VecDeque<u8>,
    pub(super) fin: bool,
    pub(super) reset: bool,
    pub(super) outbox: VecDeque<u8>,
    pub(super) space: usize,
    pub(super) wants_space: bool,
    pub(super) acknowledged: u64,
    /// Whether the server closed its side or sent FIN.
    pub(super) is_closed: bool,
    /// When the client sent FIN (`fin_us`) and the server closed (`closed_us`), in µs.
    pub(super) fin_us: u64,
    pub(super) closed_us: u64,
    pub(super) has_server_fin: bool,
    pub(super) token: Option<usize>,
    pub(super) has_input_edge: bool,
    pub(super) has_space_edge: bool,
}

impl Client {
    pub(super) fn new(manner: Manner, is_admin: bool, script: Vec<u8>, expected: Vec<u8>, rng: &mut Rng) -> Self {
        Client {
            manner,
            script: script.into(),
            expected,
            received: Vec::new(),
            next_us: rng.u64(..50_000),
            is_admin,
            is_connected: false,
            is_over: false,
            inbox: VecDeque::new(),
            fin: false,
            reset: false,
            outbox: VecDeque::new(),
            space: rng.usize(300..3000),
            wants_space: false,
            acknowledged: 0,
            is_closed: false,
            fin_us: u64::MAX,
            closed_us: 0,
            has_server_fin: false,
            token: None,
            has_input_edge: false,
            has_space_edge: false,
        }
    }

    /// Whether it has received everything it expects.
    pub(super) fn is_content(&self) -> bool {
        self.received == self.expected && self.script.is_empty()
    }

    /// How long the server took to close after the client's FIN, in µs.
    pub(super) fn closing_us(&self) -> u64 {
        self.closed_us.saturating_sub(self.fin_us)
    }

    /// Its state in words, for the report of a failed schedule.
    pub(super) fn describe(&self) -> String {
        let Client { manner, script, received, expected, inbox, outbox, fin, is_over, is_closed, .. } = self;
        let (script, inbox, outbox) = (script.len(), inbox.len(), outbox.len());
        let received = format!("{} of {}", received.len(), expected.len());
        let flags = format!("connected {}, fin {fin}, over {is_over}, closed {is_closed}", self.is_connected);
        format!("{manner:?}: to send {script}, on its way {inbox}, back {outbox}, received {received}, {flags}")
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_over && (self.manner != Manner::Honest || self.is_closed)
    }

    pub(super) fn read_all(&mut self, count: usize) {
        self.received.extend(self.outbox.drain(..count));
        self.acknowledged += count as u64;
        if self.wants_space && self.space - self.outbox.len() >= self.space / 3 {
            self.wants_space = false;
            self.has_space_edge = true;
        }
    }

    /// Takes its next action. Returns whether it could.
    pub(super) fn act(&mut self, rng: &mut Rng, now_us: u64, most: usize) -> bool {
        if self.manner == Manner::Resetting && rng.u8(..) < 30 {
            (self.reset, self.is_over, self.has_input_edge) = (true, true, true);
        } else if !self.script.is_empty() && (rng.bool() || self.outbox.is_empty()) {
            let count = rng.usize(1..=self.script.len().min(most));
            if self.inbox.len() + count <= 9000 {
                self.inbox.extend(self.script.drain(..count));
                self.has_input_edge = true;
            } else if self.is_closed {
                self.is_over = true;
            } else if self.outbox.is_empty() || self.manner == Manner::Deaf {
                return false;
            }
        } else if !self.outbox.is_empty() && self.manner != Manner::Deaf {
            let count = rng.usize(1..=self.outbox.len());
            self.read_all(count);
        } else if self.has_server_fin || self.is_closed {
            self.is_over = true;
        } else if matches!(self.manner, Manner::Honest | Manner::Resetting)
            && self.is_content()
            && !self.fin
            && !self.is_admin
        {
            (self.fin, self.has_input_edge, self.fin_us) = (true, true, now_us);
        } else {
            return false;
        }
        true
    }
}
