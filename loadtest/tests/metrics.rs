//! `--metrics`, scraped during a run as Prometheus does it, and read by promtool.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{Misdeed, Server, pause};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running loadtest with `--metrics`, which ends when it is dropped.
struct Run(Child, SocketAddr);

impl Run {
    fn start(server: &Server, load: &str) -> Self {
        let command = format!("rr {} --metrics 127.0.0.1:0 -d 10m -c 4 {load}", server.address);
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(command.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("metrics are at http://").and_then(|url| url.strip_suffix("/metrics"));
        let address = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        Run(child, address)
    }

    /// The head and the body of the answer to `request`.
    fn ask(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.1).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_owned(), body.to_owned())
    }

    fn scrape(&self, accept: &str) -> String {
        let (head, body) = self.ask(&format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"));
        let kind = if accept.contains("openmetrics") { "application/openmetrics-text" } else { "text/plain" };
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(kind), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        body
    }

    /// Waits until `is_there` is true of the metrics, and returns them.
    fn await_metrics(&self, is_there: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.scrape("text/plain");
            if is_there(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{text}");
            pause(Duration::from_millis(50));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of the sample with this name and labels.
fn value(text: &str, sample: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is missing:\n{text}")).parse().unwrap()
}

fn promtool(arguments: &[&str], input: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (tests/run does it)");
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_run_is_scraped_and_clean_to_promtool() {
    let server = Server::start(Misdeed::Dies);
    let run = Run::start(&server, "-R 1000 --warmup 0s --reconnect");
    let text = run
        .await_metrics(|text| value(text, "loadtest_connections_lost_total") > 0 && text.contains("percentile=\"50\""));
    assert_eq!(promtool(&["check", "metrics"], &text), "");
    assert_eq!(value(&text, "loadtest_offered_messages_per_second"), 1000);
    assert!(value(&text, "loadtest_messages_total") > 0 && !text.contains("loadtest_latency_seconds_sum 0\n"));
    let count = value(&text, "loadtest_latency_seconds_count");
    assert_eq!(value(&text, "loadtest_latency_seconds_bucket{le=\"+Inf\"}"), count);
    let lost = value(&text, "loadtest_errors_total{reason=\"connection: closed by the target\"}");
    assert!(lost > 0 && lost <= value(&text, "loadtest_connections_lost_total"), "{text}");

    // Prometheus's tool for OpenMetrics files wants timestamps, which scrapes do not have.
    let open = run.scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(open.contains("# TYPE loadtest_messages counter\n") && open.ends_with("\n# EOF\n"), "{open}");
    let now_s = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let timed =
        open.lines().map(|line| if line.starts_with('#') { line.to_owned() } else { format!("{line} {now_s}") });
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("open"), directory.path().join("data"));
    fs::write(&file, timed.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let [file, data] = [&file, &data].map(|path| path.to_str().unwrap());
    promtool(&["tsdb", "create-blocks-from", "openmetrics", file, data], "");
    // promtool can dump the data only if there is a write-ahead log too.
    fs::create_dir(Path::new(data).join("wal")).unwrap();
    let text = promtool(&["tsdb", "dump", data], "");
    assert!(text.contains("__name__=\"loadtest_messages_total\""), "{text}");
}

#[test]
fn requests_that_are_none_and_clients_that_say_nothing_do_not_stop_it() {
    let server = Server::start(Misdeed::None);
    let run = Run::start(&server, "-R 100");
    let silent = TcpStream::connect(run.1).unwrap();
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9000));
    for (request, status) in [
        ("GET /other HTTP/1.1\r\n\r\n", "404 "),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405 "),
        ("GET /metrics HTTP/2.0\r\n\r\n", "505 "),
        ("nonsense\r\n\r\n", "400 "),
        (&long, "431 "),
        ("HEAD /metrics?x HTTP/1.0\r\n\r\n", "200 "),
    ] {
        let (head, body) = run.ask(request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {head}");
        assert_eq!(body.is_empty(), request.starts_with("HEAD"), "{body}");
    }
    drop(silent);
    run.await_metrics(|text| value(text, "loadtest_messages_total") > 0);
}

#[test]
fn an_address_that_is_in_use_is_refused_before_the_run() {
    let server = Server::start(Misdeed::None);
    let address = server.address.to_string();
    let arguments = ["rr", &address, "--metrics", &address, "-d", "1s"];
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest")).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(&format!("--metrics {address}: ")), "{error}");
}
