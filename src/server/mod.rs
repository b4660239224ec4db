//! The server: one thread, one poll, one slab of connections.
//!
//! [`Server`] is what a program or an embedder sees; the loop is in `reactor`.
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

/// A server that is bound, and serves when it is run.
pub struct Server {
    reactor: Reactor<Kernel>,
    stop: Arc<StopRequests>,
}

impl Server {
    /// Listens where `config` says. It takes no signals, and nothing from the environment: stop it by its [`Handle`].
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on, or a system without what a reactor needs.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        Self::new(config, false, || Ok(listener::bind(config)?))
    }

    /// Accepts from `listeners`, whatever addresses `config` names. They are set to not block, and given the options of the
    /// other listeners.
    ///
    /// # Errors
    ///
    /// A socket that cannot be listened on, or a system without what a reactor needs.
    pub fn with_listeners(config: &Config, listeners: Vec<TcpListener>) -> Result<Self, Error> {
        let listeners = listeners.into_iter().map(|listener| (listener, None)).collect();
        Self::new(config, false, || Ok(listener::take(listeners, config)?))
    }

    /// As a program of its own: takes the sockets that a service manager passed, if it did, tells the manager how it goes, and
    /// takes the process's signals from here on. SIGINT and SIGTERM stop it.
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
        // Before the listeners: clients who come in to a port that others share would be lost with a start that fails.
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

    /// The addresses that are listened on.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.reactor.listening().iter().map(|on| on.address).collect()
    }

    /// What stops the server from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.stop))
    }

    /// Serves until it is stopped, and says so in the log.
    ///
    /// # Errors
    ///
    /// The poll failed: there is nothing left to wait on.
    pub fn run(self) -> Result<(), Error> {
        Ok(self.reactor.run(&mut kernel::batch())?)
    }
}

/// Stops a server, from any thread.
#[derive(Clone, Debug)]
pub struct Handle(Arc<StopRequests>);

impl Handle {
    /// Asks the server to stop: it accepts no more, and what is open may finish within the time limits of its settings. A
    /// second time, it ends at once.
    ///
    /// # Errors
    ///
    /// The server cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.0.add()
    }
}

/// Why the server cannot start or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    Bind(BindError),
    /// The system lacks what a reactor needs.
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
