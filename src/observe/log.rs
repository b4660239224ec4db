//! Writes the log to standard output through a bounded queue and a thread, so that a slow reader never holds up the
//! reactor.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::observe::events::{Entry, Event};

/// The level of the log. Each level includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Only the server's start and stop.
    Quiet,
    /// Connections except health checks.
    Clients,
    /// All connections.
    Connections,
    /// Connections and the lines that they send.
    Lines,
}

/// The format of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of words.
    Text,
    /// A JSON object on one line.
    Json,
}

/// Collects entries into a batch. The batch is queued at the end of a reactor turn, or when it is full.
pub(crate) struct Log {
    format: LogFormat,
    batch: Batch,
    dropped: Arc<Dropped>,
    writer: Option<Writer>,
    /// In a simulation, the memory that takes the log instead of standard output.
    #[cfg(test)]
    kept: Option<Arc<std::sync::Mutex<Vec<u8>>>>,
}

/// The number of lines that were dropped or could not be written.
#[derive(Default)]
struct Dropped {
    total: AtomicU64,
    /// The number of those that the log has not mentioned yet.
    unreported: AtomicU64,
}

impl Dropped {
    fn add(&self, lines: u64) {
        self.total.fetch_add(lines, Ordering::Relaxed);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }

    /// Drops a batch, with the events in it.
    fn lose(&self, batch: &Batch) {
        self.add(batch.lines);
        self.unreported.fetch_add(batch.dropped, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
    /// The number of dropped lines that it mentions.
    dropped: u64,
}

struct Writer {
    queue: Sender<Batch>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    /// Disconnected when the writer's thread has ended.
    ended: Receiver<()>,
}

impl Log {
    /// A batch with this many bytes is queued at once.
    const FULL_BATCH_BYTES: usize = 16 * 1024;
    /// Most queued batches.
    const MAX_QUEUED_BATCHES: usize = 4096;
    /// Most queued bytes, in all batches together.
    const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;
    /// How long the server's end waits for the rest of the log to be written.
    const MAX_FINISH_TIME: Duration = Duration::from_secs(1);

    /// A log in `format`. Without `background` every entry is written at once. That suits the start, and a second
    /// thread would make each message cost more.
    pub(crate) fn new(format: LogFormat, background: bool) -> io::Result<Self> {
        let dropped = Arc::new(Dropped::default());
        let writer = if background { Some(Writer::start(Arc::clone(&dropped))?) } else { None };
        Ok(Log {
            format,
            batch: Batch::default(),
            dropped,
            writer,
            #[cfg(test)]
            kept: None,
        })
    }

    /// A log that is kept in memory.
    #[cfg(test)]
    pub(crate) fn in_memory(format: LogFormat, kept: Arc<std::sync::Mutex<Vec<u8>>>) -> Self {
        Log { format, batch: Batch::default(), dropped: Arc::default(), writer: None, kept: Some(kept) }
    }

    /// Writes entries in the background from now on.
    pub(crate) fn detach(&mut self) {
        #[cfg(test)]
        if self.kept.is_some() {
            return;
        }
        if self.writer.is_none() {
            self.writer = Writer::start(Arc::clone(&self.dropped)).ok();
        }
    }

    /// Adds an entry.
    pub(crate) fn write(&mut self, connection: Option<u64>, event: Event<'_>) {
        render(&mut self.batch.text, self.format, connection, event);
        self.batch.lines += 1;
        if self.batch.text.len() >= Self::FULL_BATCH_BYTES || self.writer.is_none() {
            self.flush();
        }
    }

    /// Adds `lines` already rendered entries.
    pub(crate) fn write_rendered(&mut self, text: &[u8], lines: u64) {
        self.batch.text.extend_from_slice(text);
        self.batch.lines += lines;
    }

    /// Renders an entry for later.
    pub(crate) fn render(&self, out: &mut Vec<u8>, connection: Option<u64>, event: Event<'_>) {
        render(out, self.format, connection, event);
    }

    /// Counts dropped lines that were not rendered.
    pub(crate) fn drop_lines(&mut self, lines: u64) {
        self.dropped.add(lines);
    }

    /// The number of lines dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.total.load(Ordering::Relaxed)
    }

    /// Hands the batch to the writer, with the number of lines dropped before it.
    #[inline(always)]
    pub(crate) fn flush(&mut self) {
        if self.batch.lines > 0 {
            self.queue_batch();
        }
    }

    #[cold]
    fn queue_batch(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        #[cfg(test)]
        if let Some(kept) = &self.kept {
            return kept.lock().expect("nobody panics with it").extend_from_slice(&batch.text);
        }
        if self.writer.is_none() && would_block() {
            self.detach();
        }
        let Some(writer) = &self.writer else {
            return batch.print(&self.dropped);
        };
        batch.dropped = self.dropped.unreported.swap(0, Ordering::Relaxed);
        if batch.dropped > 0 {
            render(&mut batch.text, self.format, None, Event::LinesDropped(batch.dropped));
        }
        if let Err(batch) = writer.try_send(batch) {
            self.dropped.lose(&batch);
        }
    }

    /// Waits for the writer, for at most `MAX_FINISH_TIME`.
    pub(crate) fn finish(mut self) {
        self.flush();
        if let Some(Writer { queue, ended, .. }) = self.writer {
            drop(queue);
            let (Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) =
                ended.recv_timeout(Self::MAX_FINISH_TIME);
        }
    }
}

impl Writer {
    fn start(dropped: Arc<Dropped>) -> io::Result<Self> {
        let (queue, batches) = bounded::<Batch>(Log::MAX_QUEUED_BATCHES);
        let (end, ended) = bounded(0);
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&waiting);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            let _end: Sender<()> = end;
            for batch in batches {
                batch.print(&dropped);
                taken.fetch_sub(batch.text.len(), Ordering::Relaxed);
            }
        })?;
        Ok(Writer { queue, waiting, ended })
    }

    /// Queues a batch, or gives it back if there is no room.
    fn try_send(&self, batch: Batch) -> Result<(), Batch> {
        let size = batch.text.len();
        if self.waiting.load(Ordering::Relaxed) + size > Log::MAX_QUEUED_BYTES {
            return Err(batch);
        }
        self.waiting.fetch_add(size, Ordering::Relaxed);
        self.queue.try_send(batch).map_err(|refused| {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            refused.into_inner()
        })
    }
}

impl Batch {
    /// Writes to standard output. On a full disk or a closed pipe the lines are lost and counted; nothing else happens.
    fn print(&self, dropped: &Dropped) {
        let mut stdout = io::stdout().lock();
        if stdout.write_all(&self.text).and_then(|()| stdout.flush()).is_err() {
            dropped.lose(self);
        }
    }
}

/// Whether writing a line would block on the reader of standard output. A pipe that is ready takes at least a page,
/// which is more than a line about the server's start or stop.
#[cfg(target_os = "linux")]
fn would_block() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())) == Ok(0)
}

#[cfg(not(target_os = "linux"))]
fn would_block() -> bool {
    false
}

fn render(out: &mut Vec<u8>, format: LogFormat, connection: Option<u64>, event: Event<'_>) {
    let entry = Entry { time: SystemTime::now(), connection, event };
    // Cannot fail: writing to a Vec succeeds, and all keys of an entry's maps are strings.
    let _ = match format {
        LogFormat::Text => write!(out, "{entry}"),
        LogFormat::Json => serde_json::to_writer(&mut *out, &entry).map_err(io::Error::from),
    };
    out.push(b'\n');
}
