//! The server: one thread, one poll, one slab of connections.
//!
//! [`Server`] is the interface for programs and embedders; the loop is in `reactor`.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{SocketAddr, TcpListener, TcpStream};
//!
//! use proxy_echo::config::{Config, LogLevel, ProxyProtocol, Settings};
//! use proxy_echo::server::Server;
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let settings = Settings { proxy_protocol: ProxyProtocol::Off, log: LogLevel::Quiet, ..Settings::default() };
//! let server = Server::with_listeners(&Config::new(settings)?, vec![listener])?;
//! let handle = server.handle();
//! let running = std::thread::spawn(|| server.run());
//!
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! client.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello");
//! drop(client);
//!
//! handle.stop()?;
//! running.join().expect("it does not panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod reactor;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use self::reactor::{ALARM, Parts, Reactor, SIGNALS};
use crate::config::Config;
use crate::net::kernel::{self, Kernel, StopRequests};
use crate::net::listener::{self, Listener};
pub use crate::net::listener::{BindError, Place};
use crate::observe::events::Listening;
use crate::observe::log::{Log, LogLevel};

/// A server that is bound to its addresses. [`Server::run`] serves.
pub struct Server {
    reactor: Reactor<Kernel>,
    stop: Arc<StopRequests>,
}

impl Server {
    /// Listens on the addresses of `config`. It handles no signals and reads no environment: stop it by its [`Handle`].
    ///
    /// # Errors
    ///
    /// The server cannot listen on an address, or the system refuses the poll, timer or pipe that it needs.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        Self::new(config, false, || Ok(listener::bind(config)?))
    }

    /// Accepts from `listeners` instead of the addresses of `config`. They are made non-blocking, and get the options
    /// of `config`.
    ///
    /// # Errors
    ///
    /// The server cannot listen on a socket, or the system refuses the poll, timer or pipe that it needs.
    pub fn with_listeners(config: &Config, listeners: Vec<TcpListener>) -> Result<Self, Error> {
        let listeners = listeners.into_iter().map(|listener| (listener, None)).collect();
        Self::new(config, false, || Ok(listener::take(listeners, config)?))
    }

    /// Starts the server as a program: takes the sockets that a service manager passed, if any, reports to the manager,
    /// and handles the process's signals from here on. SIGINT and SIGTERM stop it.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub fn as_program(config: &Config) -> Result<Self, Error> {
        Self::new(config, true, || {
            let passed = listener::passed()?;
            Ok(if passed.is_empty() { listener::bind(config)? } else { listener::take(passed, config)? })
        })
    }

    fn new(
        config: &Config,
        is_program: bool,
        listen: impl FnOnce() -> Result<Vec<Listener>, Error>,
    ) -> Result<Self, Error> {
        let kernel = Kernel::new(ALARM, SIGNALS, is_program)?;
        let stop = kernel.stop_requests();
        // Bind the admin port before the listeners: if it fails, a port shared with other processes has not taken
        // clients yet, who would be lost.
        let admin = config.admin.map(listener::bind_admin).transpose()?;
        let mut listeners = Vec::new();
        for listener in listen()? {
            let on = Listening { address: listener.socket.local_addr()?, mode: listener.mode };
            listeners.push((listener, on));
        }
        let log = Log::new(config.log_format, config.log > LogLevel::Quiet)?;
        let watchdog_ms = kernel.watchdog_ms();
        let parts = Parts { system: kernel, listeners, admin, log, watchdog_ms };
        Ok(Server { reactor: Reactor::new(config, parts)?, stop })
    }

    /// The addresses that the server listens on.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.reactor.listening().iter().map(|on| on.address).collect()
    }

    /// A handle that stops the server from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.stop))
    }

    /// Serves until it is stopped, and logs the start and the end.
    ///
    /// # Errors
    ///
    /// The poll failed.
    pub fn run(self) -> Result<(), Error> {
        Ok(self.reactor.run(&mut kernel::batch())?)
    }
}

/// Stops a server, from any thread.
#[derive(Clone, Debug)]
pub struct Handle(Arc<StopRequests>);

impl Handle {
    /// Asks the server to stop: it accepts no more connections, and open ones may finish within the time limits of the
    /// settings. A second call closes them at once.
    ///
    /// # Errors
    ///
    /// The server cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.0.add()
    }
}

/// Why the server cannot start or continue.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot listen on an address.
    Bind(BindError),
    /// The system refuses the poll, timer or pipe that the server needs.
    System(io::Error),
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Error::Bind(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::System(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Bind(error) => error.fmt(f),
            Error::System(error) => write!(f, "the system refuses what the server needs: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Bind(error) => std::error::Error::source(error),
            Error::System(error) => Some(error),
        }
    }
}
