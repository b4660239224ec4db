//! Chromium without a window, controlled through its `DevTools` protocol over a pipe.
#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(60);
const CHROMIUM: &str = "chromium";
/// The protocol uses descriptors 3 and 4; the shell makes them from the child's standard input and output.
const ON_PIPE: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A browser with one page.
pub struct Browser {
    process: Child,
    commands: Option<ChildStdin>,
    messages: Receiver<Value>,
    last_id: u64,
    session: String,
    /// Events received while waiting for an answer.
    events: Vec<Value>,
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts a new browser, which ends when the value is dropped.
    pub fn start() -> Self {
        let found = Command::new(CHROMIUM).arg("--version").stderr(Stdio::null()).output();
        assert!(
            found.is_ok_and(|output| output.status.success()),
            "this test looks at the page with Chromium, which is missing: apt install chromium"
        );
        let profile = tempfile::tempdir().expect("a directory for the browser's profile");
        let mut process = Command::new("sh")
            .args(["-c", ON_PIPE, "sh", CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, messages) = channel();
        // A pipe cannot be read with a deadline, but a channel can. The thread ends with the browser.
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the protocol is JSON");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser {
            commands: process.stdin.take(),
            process,
            messages,
            last_id: 0,
            session: String::new(),
            events: Vec::new(),
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let session = browser.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Sets the width of the window in px, the user's colour scheme, and the medium.
    pub fn look(&mut self, width: u32, scheme: &str, medium: &str) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"media": medium, "features": features}));
    }

    /// Opens the page at an address, and returns the addresses requested meanwhile.
    pub fn open(&mut self, url: &str) -> Vec<String> {
        self.events.clear();
        self.call("Page.navigate", &json!({"url": url}));
        self.wait_for("Page.loadEventFired");
        self.requests()
    }

    /// The addresses requested since the page was opened.
    pub fn requests(&mut self) -> Vec<String> {
        // The answer to a later command comes after everything that the page did before.
        self.evaluate("document.readyState");
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.filter_map(|event| event["params"]["request"]["url"].as_str()).map(str::to_owned).collect()
    }

    /// The value of an expression in the page; of a promise, its result.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let command = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", &command);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Writes a picture of the whole page as PNG.
    pub fn take_picture(&mut self, path: &Path) {
        let clip = self.whole_page();
        let whole = json!({"captureBeyondViewport": true, "format": "png", "clip": clip});
        let picture = self.call("Page.captureScreenshot", &whole);
        write_decoded(path, &picture);
    }

    /// Prints the page to a PDF file.
    pub fn print(&mut self, path: &Path) {
        let pages = self.call("Page.printToPDF", &json!({"preferCSSPageSize": true}));
        write_decoded(path, &pages);
    }

    /// Warnings and errors of the console and the log.
    pub fn complaints(&mut self) -> Vec<String> {
        self.evaluate("0");
        std::mem::take(&mut self.complaints)
    }

    fn whole_page(&mut self) -> Value {
        let size = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].take();
        json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let commands = self.commands.as_mut().expect("it is open until the end");
        commands.write_all(format!("{command}\0").as_bytes()).expect("the browser reads");
        let end = Instant::now() + DEADLINE;
        loop {
            let mut message = self.next(end, method);
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.take_event(message);
        }
    }

    fn wait_for(&mut self, event: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.events.iter().any(|seen| seen["method"] == event) {
            let message = self.next(end, event);
            self.take_event(message);
        }
    }

    fn next(&mut self, end: Instant, awaited: &str) -> Value {
        match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("{awaited} did not come within {DEADLINE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the browser ended before {awaited}"),
        }
    }

    fn take_event(&mut self, event: Value) {
        let parameters = &event["params"];
        let is_complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => parameters["type"] != "log",
            Some("Log.entryAdded") => {
                parameters["entry"]["level"] != "info" && parameters["entry"]["level"] != "verbose"
            }
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
        self.events.push(event);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends by itself, with all its processes, when the other end of the pipe is closed.
        self.commands.take();
        let end = Instant::now() + DEADLINE;
        while self.messages.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok() {}
        if Instant::now() >= end {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn write_decoded(path: &Path, answer: &Value) {
    let bytes = BASE64.decode(answer["data"].as_str().expect("base64")).expect("base64");
    fs::write(path, bytes).expect("the target's directory can be written");
}
