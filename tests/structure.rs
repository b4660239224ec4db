//! The module structure of the two programs, read from their sources: few top-level modules, and no circular dependencies.
//!
//! In each folder, the dependencies between its files and folders must have no circle. Those between a file and the
//! `mod.rs` of its folder do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's path from the crate's root, such as `["server", "accept"]`.
type Module = Vec<String>;

/// The modules below `folder` of this package, each with its source.
fn modules(folder: &str) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), Module::new())];
    while let Some((folder, module)) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mut child = module.clone();
            match path.file_stem().unwrap().to_str().unwrap() {
                "main" => continue,
                "lib" | "mod" => {}
                name => child.push(name.to_owned()),
            }
            if path.is_dir() {
                folders.push((path, child));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(child, fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(found.len() > 10, "{folder} holds {} modules: where are the others?", found.len());
    found
}

/// The paths that `source` names from `crate`, `super` or `self`, with the groups of `use` written out.
fn paths(source: &str) -> Vec<Vec<&str>> {
    // In the module `tests`, `super` is the file itself: skip it.
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for (at, _) in ["crate::", "super::", "self::"].iter().flat_map(|start| code.match_indices(start)) {
        let is_comment = code[..at].lines().next_back().is_some_and(|line| line.trim_start().starts_with("//"));
        if code[..at].ends_with(is_part) || is_comment {
            continue;
        }
        let path = code[at..].split(|c| !is_part(c)).next().unwrap();
        let parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
        // `use super::{accept, Server}`: each name may be a module.
        let group = code[at + path.len()..].strip_prefix('{').map_or("", |group| group.split('}').next().unwrap());
        let names = group.split(',').map(|name| name.trim().split("::").next().unwrap());
        found.extend(names.map(|name| [&parts[..], &[name]].concat()));
    }
    found
}

/// The module that `path` names, seen from `module`: the longest part of the path that is a module.
fn target(module: &Module, path: &[&str], all: &BTreeMap<Module, String>) -> Option<Module> {
    let mut at = module.clone();
    for &part in path {
        match part {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            name => {
                at.push(name.to_owned());
                if !all.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
    }
    (at != *module).then_some(at)
}

/// Dependencies between neighbours, by their parent module.
fn arrows(all: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<(String, String)>> {
    let mut arrows: BTreeMap<Module, BTreeSet<_>> = BTreeMap::new();
    for (module, source) in all {
        for path in paths(source) {
            let Some(target) = target(module, &path, all) else { continue };
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) {
                arrows.entry(module[..shared].to_vec()).or_default().insert((from.clone(), to.clone()));
            }
        }
    }
    arrows
}

/// The circles: the dependencies that are left after modules without dependencies are removed again and again.
fn circles(arrows: &BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
    let mut left = arrows.clone();
    loop {
        let begins: BTreeSet<String> = left.iter().map(|(from, _)| from.clone()).collect();
        let before = left.len();
        left.retain(|(_, to)| begins.contains(to));
        if left.len() == before {
            return left;
        }
    }
}

#[test]
fn no_arrows_run_in_a_circle() {
    for folder in ["src", "loadtest/src"] {
        let arrows = arrows(&modules(folder));
        assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 20, "{folder}: no arrows were read");
        for (module, arrows) in arrows {
            let circles = circles(&arrows);
            assert!(circles.is_empty(), "{folder}/{}: {circles:?}", module.join("/"));
        }
    }
}

#[test]
fn a_newcomer_meets_few_rooms() {
    let rooms = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().count();
    assert!(rooms <= 13, "src has {rooms} rooms");
}

#[test]
fn a_circle_is_seen() {
    let arrows = |pairs: &[(&str, &str)]| pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect();
    assert!(circles(&arrows(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(circles(&arrows(&[("a", "b"), ("b", "a"), ("b", "c")])), arrows(&[("a", "b"), ("b", "a")]));
}
