//! Records facts about the server's connections, and reports them: counts, origins and the log.

pub(crate) mod balancers;
pub(crate) mod events;
pub(crate) mod hint;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod origin;
