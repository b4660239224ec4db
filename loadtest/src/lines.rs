//! Writes lines in a separate thread while a run goes on, so that a slow or absent reader delays nothing.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use proxy_echo_args::json::Json;

/// Standard error as a file. It is not opened again, because that would truncate a file.
pub const STDERR: &str = "/dev/stderr";

/// Most lines that wait for a slow reader.
const MAX_QUEUED: usize = 64;
/// Longest wait for a slow reader at the end of the program.
const PATIENCE: Duration = Duration::from_secs(1);

/// The destination of lines.
#[derive(Debug)]
pub struct Lines {
    queue: SyncSender<String>,
    /// A message for each written line, and the error that ended the thread.
    written: Receiver<io::Result<()>>,
    count: u64,
    left_out: u64,
}

impl Lines {
    /// Writes to `output`.
    ///
    /// # Errors
    ///
    /// The file cannot be created. A named pipe is opened once it has a reader.
    pub fn open(output: &Json) -> io::Result<Self> {
        let waits = matches!(output, Json::File(path) if path.metadata().is_ok_and(|metadata| !metadata.is_file()));
        let output = output.clone();
        let open = move || open(&output);
        let opened = if waits { None } else { Some(open()?) };
        let (queue, lines) = mpsc::sync_channel(MAX_QUEUED);
        let (sender, written) = mpsc::channel();
        thread::Builder::new().name("lines".to_owned()).spawn(move || {
            let result = opened.map_or_else(open, Ok).and_then(|out| write_all(out, &lines, &sender));
            if let Err(error) = result {
                // The receiver is gone if the program did not wait.
                let _ = sender.send(Err(error));
            }
        })?;
        Ok(Lines { queue, written, count: 0, left_out: 0 })
    }

    /// Writes a line without waiting: if the queue is full, the line is left out.
    pub fn write(&mut self, line: String) {
        self.count += 1;
        if let Err(TrySendError::Full(_)) = self.queue.try_send(line) {
            self.left_out += 1;
        }
    }

    /// The number of lines left out so far because the reader is slow.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Waits a moment for the last lines. Returns a note if some were not written.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        let Lines { queue, written, count, .. } = self;
        drop(queue);
        let deadline = Instant::now() + PATIENCE;
        let mut missing = count;
        let mut why = "its reader is slow".to_owned();
        while let Ok(result) = written.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            match result {
                Ok(()) => missing -= 1,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => "its reader left".clone_into(&mut why),
                Err(error) => why = error.to_string(),
            }
        }
        (missing > 0).then(|| format!("{missing} of {count} lines were not written: {why}"))
    }
}

fn open(output: &Json) -> io::Result<Box<dyn Write + Send>> {
    Ok(match output {
        Json::File(path) if path == Path::new(STDERR) => Box::new(io::stderr()),
        Json::File(path) => Box::new(File::create(path)?),
        Json::Off | Json::Stdout => Box::new(io::stdout()),
    })
}

fn write_all(mut out: impl Write, lines: &Receiver<String>, written: &mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    for line in lines {
        out.write_all(line.as_bytes())?;
        out.flush()?;
        let _ = written.send(Ok(()));
    }
    Ok(())
}
