//! The kernel's side: sockets that accept, sockets that carry traffic, and a timer that is polled like one.

pub(crate) mod alarm;
pub(crate) mod listener;
pub(crate) mod socket;
