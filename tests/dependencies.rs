//! The dependencies of the programs: allowed licences, and no crate in two versions.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences that demand only attribution.
const ALLOWED: [&str; 9] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
];

/// Name, version and licence of all packages that the workspace's programs and libraries are built from, without those
/// only for tests and build scripts. Windows is left out, because the programs do not support it.
fn packages() -> Vec<[String; 3]> {
    let output = Command::new(env!("CARGO"))
        // cargo fetches the packages of other systems only now.
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();

    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
    let mut open: Vec<String> = list(&metadata["workspace_members"]).iter().map(text).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id.clone()) {
            continue;
        }
        for dependency in list(&nodes[&id]["deps"]) {
            // The kind of a normal dependency is null.
            let is_needed = |kind: &Value| kind["kind"].is_null() && !text(&kind["target"]).contains("windows");
            if list(&dependency["dep_kinds"]).iter().any(is_needed) {
                open.push(text(&dependency["pkg"]));
            }
        }
    }
    let packages = list(&metadata["packages"]).into_iter().filter(|package| found.contains(&text(&package["id"])));
    packages.map(|package| [&package["name"], &package["version"], &package["license"]].map(text)).collect()
}

/// Whether an SPDX expression (without nested brackets) has an allowed choice.
fn is_allowed(licence: &str) -> bool {
    // The old spelling of OR is a slash.
    let licence = licence.replace('/', " OR ");
    let allows = |part: &str| part.split(" OR ").any(|one| ALLOWED.contains(&one.trim()));
    licence.split(" AND ").all(|part| allows(part.trim().trim_matches(['(', ')'])))
}

#[test]
fn every_licence_is_allowed() {
    let packages = packages();
    assert!(packages.len() > 20, "{packages:?}");
    let refused: Vec<_> = packages.iter().filter(|[_, _, licence]| !is_allowed(licence)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn what_is_not_allowed_is_noticed() {
    for licence in ["MIT", "Apache-2.0 / MIT", "(MIT OR GPL-3.0) AND Unicode-3.0", "LGPL-2.1-or-later OR Zlib"] {
        assert!(is_allowed(licence), "{licence}");
    }
    for licence in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR MPL-2.0) AND MIT"] {
        assert!(!is_allowed(licence), "{licence}");
    }
}

#[test]
fn no_crate_is_there_in_two_versions() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for [name, version, _] in packages() {
        versions.entry(name).or_default().insert(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}
