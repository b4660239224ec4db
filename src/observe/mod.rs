//! What the server knows about its connections, and what it reports.

pub(crate) mod balancers;
pub(crate) mod events;
pub(crate) mod hint;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod origin;
