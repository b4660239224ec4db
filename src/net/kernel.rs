//! The real system of a running server: mio's poll, signals, the alarm, and the service manager.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::unix::pipe;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

use super::alarm::Alarm;
use super::listener::Listener;
use super::manager::{Manager, News};
use super::socket::Socket;
use super::system::{Batch, Event, Signal, System};
use crate::connection::Ready;

/// Most events taken from the kernel at a time.
const MAX_EVENTS: usize = 256;

pub(crate) struct Kernel {
    poll: Poll,
    alarm: Alarm,
    signals: Option<Signals>,
    /// Readable after a signal that stops the server, as the socket of `signals` is. There are two, because the kernel
    /// may have no memory for a byte in one of them.
    second_bell: Option<pipe::Receiver>,
    stop: Arc<StopRequests>,
    manager: Option<Manager>,
}

/// Requests to stop from other threads.
#[derive(Debug)]
pub(crate) struct StopRequests {
    waker: Waker,
    count: AtomicUsize,
}

impl StopRequests {
    pub(crate) fn add(&self) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::Release);
        self.waker.wake()
    }
}

impl Kernel {
    /// `alarm` and `signals` are the tokens of their events. Only a program (`is_program`) handles signals and notifies
    /// a service manager.
    pub(crate) fn new(alarm: usize, signals: usize, is_program: bool) -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), Token(alarm))?;
        let stop = Arc::new(StopRequests { waker: Waker::new(poll.registry(), Token(signals))?, count: 0.into() });
        let mut kernel = Kernel { poll, alarm, signals: None, second_bell: None, stop, manager: None };
        if is_program {
            let mut taken = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
            for signal in ignored_signals() {
                // Serve even if a signal cannot be handled, as under valgrind.
                let _ = taken.add_signal(signal);
            }
            kernel.poll.registry().register(&mut taken, Token(signals), Interest::READABLE)?;
            kernel.signals = Some(taken);
            // Handlers run in the order in which they were added: `signals` has the signal before the bell rings.
            let (sender, mut receiver) = pipe::new()?;
            let sender = OwnedFd::from(sender);
            signal_hook::low_level::pipe::register(SIGINT, sender.try_clone()?)?;
            signal_hook::low_level::pipe::register(SIGTERM, sender)?;
            kernel.poll.registry().register(&mut receiver, Token(signals), Interest::READABLE)?;
            kernel.second_bell = Some(receiver);
            kernel.manager = Some(Manager::from_env());
        }
        Ok(kernel)
    }

    pub(crate) fn stop_requests(&self) -> Arc<StopRequests> {
        Arc::clone(&self.stop)
    }

    /// The time within which the manager expects a notice that the process is alive.
    pub(crate) fn watchdog_ms(&self) -> Option<u64> {
        self.manager.as_ref().and_then(Manager::watchdog_ms)
    }
}

impl System for Kernel {
    type Stream = Socket;
    type Listener = Listener;
    type Batch = Events;

    #[inline]
    fn wait(&mut self, batch: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        loop {
            let timeout = timeout.or_else(|| self.alarm.timeout());
            match self.poll.poll(batch, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn watch(&mut self, stream: &mut Socket, token: usize) -> io::Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut stream.0, Token(token), interest()).inspect_err(|_| {
            // A debug build of mio remembers the failed registration, and would refuse the next one.
            let _ = registry.deregister(&mut stream.0);
        })
    }

    fn watch_listener(&mut self, listener: &mut Listener, token: usize) -> io::Result<()> {
        self.poll.registry().register(&mut listener.socket, Token(token), Interest::READABLE)
    }

    fn accept(&mut self, listener: &Listener) -> io::Result<(Socket, SocketAddr)> {
        listener.socket.accept().map(|(stream, peer)| (Socket(stream), peer))
    }

    fn has_waiting(&self, listener: &Listener) -> bool {
        listener.has_waiting()
    }

    fn keep_out(&self, listener: &Listener) {
        listener.keep_out();
    }

    fn set_alarm(&mut self, at_ms: u64, now_ms: u64) -> io::Result<()> {
        self.alarm.set(at_ms, now_ms)
    }

    #[inline]
    fn take_alarm(&mut self) -> bool {
        self.alarm.take_over()
    }

    fn signals(&mut self) -> Vec<Signal> {
        if let Some(bell) = &mut self.second_bell {
            while bell.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }
        let requests = self.stop.count.swap(0, Ordering::Acquire);
        let taken = self.signals.iter_mut().flat_map(Signals::pending).map(|signal| match signal {
            SIGINT | SIGTERM => Signal::Stop,
            SIGHUP => Signal::Reload,
            number => Signal::Other(number),
        });
        std::iter::repeat_n(Signal::Stop, requests.min(2)).chain(taken).collect()
    }

    fn tell(&mut self, news: News, status: &str) -> io::Result<()> {
        self.manager.as_mut().map_or(Ok(()), |manager| manager.tell(news, status))
    }
}

/// Signals that end a process by default and that the server ignores: a signal sent by mistake, or a log that reaches
/// `ulimit -f`, must not end a server. Left out are the signals of a fault, SIGQUIT, and those that cannot be handled.
fn ignored_signals() -> Vec<i32> {
    let mut signals = vec![SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ, SIGXCPU];
    #[cfg(target_os = "linux")]
    {
        signals.extend([libc::SIGIO, libc::SIGPWR, libc::SIGSTKFLT]);
        signals.extend(libc::SIGRTMIN()..=libc::SIGRTMAX());
    }
    signals
}

/// The interest of a connection for its whole life. Edge-triggered events cost nothing while there is nothing to
/// report.
fn interest() -> Interest {
    let interest = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let interest = interest | Interest::PRIORITY;
    interest
}

/// An empty batch with room for `MAX_EVENTS`.
pub(crate) fn batch() -> Events {
    Events::with_capacity(MAX_EVENTS)
}

impl Batch for Events {
    type Event = mio::event::Event;

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &mio::event::Event> {
        Events::iter(self)
    }

    fn is_full(&self) -> bool {
        Events::iter(self).count() >= MAX_EVENTS
    }

    #[inline]
    fn is_empty(&self) -> bool {
        Events::is_empty(self)
    }
}

impl Event for mio::event::Event {
    #[inline(always)]
    fn token(&self) -> usize {
        self.token().0
    }

    #[inline(always)]
    fn is_error(&self) -> bool {
        self.is_error()
    }

    #[inline(always)]
    fn ready(&self) -> Ready {
        let mut ready = Ready::WRITABLE;
        if self.is_readable() {
            ready = ready.union(Ready::READABLE);
        }
        if self.is_read_closed() || self.is_error() {
            ready = ready.union(Ready::READABLE).union(Ready::READ_CLOSED);
        }
        if self.is_priority() {
            ready = ready.union(Ready::PRIORITY);
        }
        ready
    }
}
