//! The system: listening sockets, connections' sockets, a timer that is polled like a socket, and the trait that lets a
//! simulation replace them.

pub(crate) mod alarm;
pub(crate) mod kernel;
pub(crate) mod listener;
pub(crate) mod manager;
pub(crate) mod socket;
pub(crate) mod system;
