//! `--resolve-every`: resolves the targets' names again while the load runs, and tells the workers about changes.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;

use mio::Waker;

use super::control::Control;
use crate::plan::{self, Plan};

/// Ends its thread when it is dropped; a lookup in progress ends by itself.
#[derive(Debug)]
pub(super) struct Resolver {
    _end: Sender<()>,
}

impl Resolver {
    /// Resolves the names of `plan` from now on, if the plan asks for it.
    ///
    /// # Errors
    ///
    /// The system refuses the thread.
    pub(super) fn start(plan: &Plan, control: &Arc<Control>, wakers: &Arc<Vec<Waker>>) -> io::Result<Option<Self>> {
        let Some(every) = plan.resolve_every else { return Ok(None) };
        let (end, ended) = mpsc::channel();
        let (names, family, mut known) = (plan.names.clone(), plan.family, plan.targets.clone());
        let (control, wakers) = (control.clone(), wakers.clone());
        let look = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(every) {
                // If a name cannot be resolved, keep its addresses: a name server's failure is not the target's.
                let Ok(found) = plan::addresses(&names, family) else { continue };
                if found != known {
                    known.clone_from(&found);
                    control.replace_addresses(found);
                    for waker in wakers.iter() {
                        // If waking fails, the worker's own alarm wakes it.
                        let _ = waker.wake();
                    }
                }
            }
        };
        thread::Builder::new().name("resolver".to_owned()).spawn(look)?;
        Ok(Some(Resolver { _end: end }))
    }
}
