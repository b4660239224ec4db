//! Finds the limits of this machine that stand in the way of a number of TCP connections, and the command that raises each.
//!
//! [`Limits::read`] takes a snapshot of the limits in Linux's `/proc` and `/sys`; [`Load::judge`] compares a load with
//! it. Both are plain values: no limit is changed, and no socket is opened. A limit that cannot be read is unknown,
//! never assumed.
//!
//! ```
//! use proxy_echo_limits::{Limits, Load, Verdict};
//!
//! let machine = Limits::read(|path| match path {
//!     "/proc/self/limits" => Some("Max open files            1024                 4096                 files".into()),
//!     _ => None,
//! });
//! let report = Load::server(10_000).judge(&machine);
//! assert_eq!(report.limits[0].verdict, Verdict::Short);
//! assert!(report.stands_in_the_way());
//! ```

mod load;
pub mod memory;
mod report;
mod snapshot;

pub use load::{Load, MAX_OF_SERVER, RESERVED_FILES};
pub use report::{Limit, Report, Verdict};
pub use snapshot::{Conntrack, Limits};

/// Reads a file of this machine.
#[must_use]
pub fn this_machine(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}
