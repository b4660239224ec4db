//! Tells the programs which commit they are built from, if it is known.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PROXY_ECHO_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    // A build from a tarball can set the commit in this variable.
    match std::env::var("PROXY_ECHO_COMMIT").ok().filter(|commit| !commit.is_empty()).or_else(commit) {
        Some(commit) => {
            println!("cargo:rustc-env=PROXY_ECHO_COMMIT={commit}");
            println!("cargo:rustc-env=PROXY_ECHO_VERSION={version} ({commit})");
        }
        None => println!("cargo:rustc-env=PROXY_ECHO_VERSION={version}"),
    }
}

/// The commit that is checked out here; cargo builds again when it changes. A package that was unpacked inside another
/// repository has no commit.
fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    if git(&["rev-parse", "--show-prefix"])? != "args/" {
        return None;
    }
    for name in ["HEAD", "refs/heads", "packed-refs"] {
        // In a worktree these files are in different directories. With a path that does not exist, cargo would always rebuild.
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    Some(commit)
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
