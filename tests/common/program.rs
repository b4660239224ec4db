//! Runs programs that come with Debian.

use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

/// The program `name` of Debian's `packages`.
pub fn program(name: &str, packages: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = directories.find_map(|directory| Some(directory.join(name)).filter(|file| file.is_file()));
    Command::new(found.unwrap_or_else(|| panic!("{name} is not installed: run `apt-get install {packages}`")))
}

/// A program that ends with its test.
#[allow(dead_code, reason = "not every test leaves a program running")]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Not SIGKILL, because nginx must end its child.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}
