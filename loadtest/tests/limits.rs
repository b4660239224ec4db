//! `loadtest limits`, run as a program.

use std::process::{Command, Output};

fn limits(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).arg("limits").args(args).output().expect("it runs")
}

#[test]
fn ports_of_a_machine_are_found_to_be_too_few() {
    let output = limits(&["100k"]);
    let words = String::from_utf8(output.stdout).expect("words");
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("SHORT    ports for outgoing connections (ip_local_port_range): needed 100000, "),
        "{words}"
    );

    let output = limits(&["100k", "--sources", "50", "--destinations", "2", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ports = report["limits"].as_array().expect("limits").iter().find(|limit| limit["name"] == "ports");
    assert_eq!((&report["end"], &ports.expect("ports")["verdict"]), (&"client".into(), &"enough".into()));
}

#[test]
fn one_connection_is_possible_and_none_is_refused() {
    assert_eq!(limits(&["1"]).status.code(), Some(0));
    assert_eq!(limits(&["0"]).status.code(), Some(2));
    assert_eq!(limits(&["1", "--sources", "0"]).status.code(), Some(2));
}
