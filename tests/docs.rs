//! Runs the commands of README and docs/ from their text, as a reader runs them. Their output must have the shape of
//! the sample.
//!
//! A fenced block is run if its language is `sh` (a script that must succeed) or `console` (commands after `$ `, each
//! with its output). `console stays` starts a program that keeps running, as in a second terminal. The sample of
//! `console part` has only some lines of the output. A block after `<!-- not run: REASON -->` is listed instead. Each
//! page has its own network.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use regex::Regex;

/// The longest wait for one command, on a machine that does other work.
const DEADLINE: Duration = Duration::from_secs(60);
/// Verdicts in a sample that may differ in another run.
const VERDICTS: &str = "FINE|INVALID|RATE NOT ACHIEVED|UNKNOWN";

struct Block {
    /// The first word is the language.
    info: String,
    text: String,
    line: usize,
    not_run: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> BTreeMap<String, String> {
    let docs = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let names = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "proxy/README.md"]
        .map(|name| root().join(name));
    let name = |path: &PathBuf| path.strip_prefix(root()).expect("a path below").to_str().expect("UTF-8").to_owned();
    pages.chain(names).map(|path| (name(&path), fs::read_to_string(&path).expect("a page"))).collect()
}

fn blocks(name: &str, page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut not_run = None;
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        match (inside, line.strip_prefix("```")) {
            (false, Some(info)) => {
                blocks.push(Block {
                    info: info.to_owned(),
                    text: String::new(),
                    line: number + 1,
                    not_run: not_run.take(),
                });
                inside = true;
            }
            (true, Some(_)) => inside = false,
            (true, None) => writeln!(blocks.last_mut().expect("one was opened").text, "{line}").expect("memory"),
            (false, None) => {
                let reason = line.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
                not_run = reason.map(str::to_owned).or(not_run);
                assert!(
                    !line.starts_with("    ") || line.trim().is_empty(),
                    "{name}:{}: a block without a fence",
                    number + 1
                );
            }
        }
    }
    assert!(!inside && not_run.is_none(), "{name}: a fence that is not closed, or a reason without a block");
    blocks
}

/// A shell in its own namespaces. All programs started in it end with it.
struct Shell {
    child: Child,
    folder: tempfile::TempDir,
    commands: usize,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(root()).expect("the project") {
            let entry = entry.expect("an entry");
            if entry.file_name() != "target" {
                std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name())).expect("a link");
            }
        }
        let programs = Path::new(env!("CARGO_BIN_EXE_proxy-echo")).parent().expect("a folder");
        let path = format!("{}:{}:/usr/sbin:/sbin", programs.display(), env::var("PATH").expect("a path"));
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"]);
        command.env("PATH", path).current_dir(folder.path()).stdin(Stdio::piped());
        let mut shell = Shell { child: command.spawn().expect("unshare starts"), folder, commands: 0 };
        // The pages use `cargo` only to run the program, which is already built.
        let (_, said) = shell.run("ip link set lo up; cargo() { shift; [ \"$1\" != --release ] || shift; [ \"$1\" != -- ] || shift; proxy-echo \"$@\"; }");
        assert_eq!(said, "");
        shell
    }

    /// Starts a command. Returns the file with its output.
    fn start(&mut self, command: &str, suffix: &str) -> PathBuf {
        self.commands += 1;
        let output = self.folder.path().join(format!(".output-{}", self.commands));
        let line = format!("{{ {command}\n}} >{0} 2>&1 </dev/null {suffix}\n", output.display());
        self.child.stdin.as_mut().expect("it is piped").write_all(line.as_bytes()).expect("the shell reads");
        output
    }

    /// Runs `command`. Returns its exit status and its output.
    fn run(&mut self, command: &str) -> (i32, String) {
        let status = self.folder.path().join(".status");
        let output = self.start(command, &format!("; echo $? >{0}.new; mv {0}.new {0}", status.display()));
        let code = until(|| fs::read_to_string(&status).ok()).unwrap_or_else(|| panic!("it does not end: {command}"));
        fs::remove_file(&status).expect("it was there");
        (code.trim().parse().expect("a status"), fs::read_to_string(output).expect("an output"))
    }

    /// Starts `command`, and waits until it has printed what `sample` shows.
    fn stays(&mut self, command: &str, sample: &str, part: bool) {
        let output = self.start(command, "&");
        let said = || fs::read_to_string(&output).unwrap_or_default();
        let found = until(|| has_shape(&said(), sample, part).then_some(()));
        assert!(found.is_some(), "{command}\nsaid:\n{}\nand not:\n{sample}", said());
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Some(value) = found() {
            return Some(value);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A line without its numbers, their units, and the width of columns.
fn shape(line: &str) -> String {
    let number = Regex::new(r"[0-9]+([.,:-][0-9]+)*").expect("a pattern");
    let unit = Regex::new(r"# ?(ns|µs|ms|s|min|B|KiB|MiB|GiB)(?-u:\b)").expect("a pattern");
    let verdict = Regex::new(&format!("^({VERDICTS})")).expect("a pattern");
    let line = number.replace_all(line, "#");
    let line = verdict.replace(&line, "VERDICT");
    unit.replace_all(&line, "#").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The label of a line: the text before its figures.
fn label(line: &str) -> String {
    let shape = shape(line.trim());
    shape.split(['#', ':']).next().unwrap_or_default().trim().to_owned()
}

/// Whether `said` has exactly the lines of `sample`, or, if it is a part, their labels in this order.
fn has_shape(said: &str, sample: &str, part: bool) -> bool {
    if part {
        let mut lines = said.lines().map(label);
        return sample.lines().map(label).all(|wanted| lines.any(|line| line == wanted));
    }
    said.lines().map(shape).eq(sample.lines().map(shape))
}

/// The commands of a block, each with its sample. A command continues after `> `.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
        } else {
            let (command, sample) = commands.last_mut().expect("a block of the console begins with a command");
            match line.strip_prefix("> ") {
                Some(more) if sample.is_empty() => write!(command, "\n{more}").expect("memory"),
                _ => writeln!(sample, "{line}").expect("memory"),
            }
        }
    }
    commands
}

fn run(page: &str, blocks: &[Block]) -> usize {
    let mut shell = None;
    let mut run = 0;
    for block in blocks.iter().filter(|block| block.not_run.is_none()) {
        let mut words = block.info.split(' ');
        let language = words.next().unwrap_or_default();
        let flags: Vec<&str> = words.collect();
        if !["sh", "console"].contains(&language) {
            continue;
        }
        let shell = shell.get_or_insert_with(Shell::new);
        let place = format!("{page}:{}", block.line);
        run += 1;
        if language == "sh" {
            let (code, said) = shell.run(&block.text);
            assert_eq!(code, 0, "{place}\n{}said:\n{said}", block.text);
            continue;
        }
        for (command, sample) in commands(&block.text) {
            if flags.contains(&"stays") {
                shell.stays(&command, &sample, flags.contains(&"part"));
                continue;
            }
            // Try again, as a reader would, if a program that was started before is not ready yet.
            let mut said = String::new();
            let found = until(|| {
                let status;
                (status, said) = shell.run(&command);
                assert!(![2, 126, 127].contains(&status), "{place}: {command}\ncannot be run:\n{said}");
                has_shape(&said, &sample, flags.contains(&"part")).then_some(())
            });
            assert!(found.is_some(), "{place}: {command}\nsaid:\n{said}\nand the sample is:\n{sample}");
        }
    }
    run
}

#[test]
fn the_commands_of_the_pages_do_what_the_pages_show() {
    build_loadtest();
    let pages = pages();
    let results: Vec<(String, usize, Vec<Block>)> = thread::scope(|scope| {
        let page = |(name, text): (String, String)| {
            let blocks = blocks(&name, &text);
            let run = run(&name, &blocks);
            (name, run, blocks)
        };
        let threads: Vec<_> = pages.into_iter().map(|named| scope.spawn(move || page(named))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a page that is right")).collect()
    });
    for (page, run, blocks) in results {
        println!("{page}: {run} blocks are run");
        for block in blocks {
            if let Some(reason) = block.not_run {
                println!("{page}:{}: not run: {reason}", block.line);
            }
        }
    }
}

/// Builds the load generator, which is a program of another package. It exists already if the whole workspace is
/// tested.
fn build_loadtest() {
    let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "loadtest"]).status();
    assert!(built.expect("cargo runs").success());
}

#[test]
fn no_link_of_the_pages_is_dead() {
    let link = Regex::new(r"\]\(([^) ]+)\)").expect("a pattern");
    let mut dead = Vec::new();
    for (page, text) in pages() {
        let folder = root().join(&page).parent().expect("a folder").to_owned();
        for (_, [target]) in link.captures_iter(&text).map(|found| found.extract()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root().join(&page) } else { folder.join(file) };
            let found = if anchor.is_empty() {
                path.exists()
            } else {
                fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(&anchor.to_owned()))
            };
            if !found {
                dead.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// The anchors that GitHub makes from headings.
fn anchors(text: &str) -> Vec<String> {
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>())
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

#[test]
fn the_front_page_is_short_and_no_sentence_stands_twice() {
    let pages = pages();
    assert!(pages["README.md"].lines().count() <= 200);
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut twice = Vec::new();
    // The cookbook's files and the crate's page may repeat sentences, because they are read alone.
    for (page, text) in
        pages.iter().filter(|(page, _)| !["proxy/README.md", "docs/receivers.md"].contains(&page.as_str()))
    {
        let prose: Vec<&str> = text.split("```").step_by(2).flat_map(|text| text.split("<!--")).collect();
        for sentence in prose.join("\n\n").split("\n\n").flat_map(|paragraph| paragraph.split(". ")) {
            let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
            let prose = sentence.len() > 60 && !sentence.contains("not run: ");
            if prose && let Some(other) = seen.insert(sentence.clone(), page.clone()) {
                twice.push(format!("{other} and {page}: {sentence}"));
            }
        }
    }
    assert!(twice.is_empty(), "{twice:#?}");
}
