//! The kernel's side: sockets that accept, sockets that carry traffic, a timer that is polled like one, and the seam behind
//! which a simulation can stand instead.

pub(crate) mod alarm;
pub(crate) mod kernel;
pub(crate) mod listener;
pub(crate) mod manager;
pub(crate) mod socket;
pub(crate) mod system;
