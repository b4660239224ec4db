//! State shared by the workers and the thread that waits for them.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Not known yet.
const UNKNOWN: u64 = u64::MAX;

/// Orders to the workers, and their progress.
#[derive(Debug)]
pub struct Control {
    epoch: Instant,
    start_ns: AtomicU64,
    stop: AtomicBool,
    opened: AtomicU64,
    /// The number of address lists after the first one, and the last of them.
    lists: AtomicU64,
    addresses: Mutex<Vec<SocketAddr>>,
    completed: Vec<AtomicU64>,
}

impl Control {
    pub(super) fn new(workers: usize) -> Self {
        Control {
            epoch: Instant::now(),
            start_ns: AtomicU64::new(UNKNOWN),
            stop: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            lists: AtomicU64::new(0),
            addresses: Mutex::new(Vec::new()),
            completed: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The time in ns, common to all workers.
    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    pub(super) fn begin(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Release);
    }

    pub(super) fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(Ordering::Acquire)).filter(|&start_ns| start_ns != UNKNOWN)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Sets the `addresses` to which the names resolve now.
    pub(super) fn replace_addresses(&self, addresses: Vec<SocketAddr>) {
        if let Ok(mut last) = self.addresses.lock() {
            *last = addresses;
            self.lists.fetch_add(1, Ordering::Release);
        }
    }

    /// The last list of addresses and its number, unless that is `seen`.
    pub(super) fn addresses(&self, seen: u64) -> Option<(u64, Vec<SocketAddr>)> {
        if self.lists.load(Ordering::Acquire) == seen {
            return None;
        }
        let last = self.addresses.lock().ok()?;
        Some((self.lists.load(Ordering::Acquire), last.clone()))
    }

    pub(super) fn count_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_lost(&self) {
        self.opened.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number of connections that were opened and not lost.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn publish(&self, worker: usize, completed: u64) {
        self.completed[worker].store(completed, Ordering::Relaxed);
    }

    pub(super) fn completed(&self) -> u64 {
        self.completed.iter().map(|completed| completed.load(Ordering::Relaxed)).sum()
    }
}
