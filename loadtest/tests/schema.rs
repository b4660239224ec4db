//! Every output of `--json` fits the schema in `docs/schema`, and has no property that the schema does not list.

mod common;
#[cfg(feature = "tls")]
#[path = "common/tls.rs"]
mod front;

use common::{Misdeed, Server, report};
use jsonschema::Validator;
use loadtest::judge;
use loadtest::result::{self, Report};
use loadtest::{beside, held, profile};
use serde_json::{Value, json};

#[path = "page/sample.rs"]
mod sample;

const LENIENT: &str = "--warmup 0s --max-lag 1s --max-wait 1";

/// The schema, which allows further properties, and a stricter one, which does not.
fn validators() -> [Validator; 2] {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/loadtest-2.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut strict = schema.clone();
    close(&mut strict["$defs"]);
    for kind in ["run", "compare", "search", "beside"] {
        // A report also has a `kind`; a side of a comparison has none.
        strict["$defs"][kind]["properties"]["kind"] = json!(true);
    }
    [schema, strict].map(|schema| jsonschema::validator_for(&schema).unwrap())
}

/// Forbids properties that are not listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("required") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn check(validators: &[Validator; 2], report: &Report, what: &str) {
    // Write and read it first: a value that is not a number becomes null.
    let value: Value = serde_json::from_str(&serde_json::to_string(report).unwrap()).unwrap();
    for validator in validators {
        let errors: Vec<_> =
            validator.iter_errors(&value).map(|error| format!("{}: {error:.300}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}");
    }
}

#[test]
fn what_is_measured_is_as_the_schema_says() {
    let server = Server::start(Misdeed::None);
    let broken = Server::start(Misdeed::Corrupts);
    let drops = Server::start(Misdeed::Drops50th);
    let validators = validators();
    for load in [
        format!("rr {} -c 2 -d 60ms {LENIENT}", server.address),
        format!("rr {} -c 2 -d 60ms -R 1000 --slo p50<1s,p99.9<1s,errors<1% --shard 1/2 {LENIENT}", server.address),
        format!("rr {} -c 2 -d 60ms -R 1000000 --runs 2 {LENIENT}", server.address),
        format!("crr {} -c 2 --stages 0s:0,40ms:2k,60ms:100 --shard 2/2 {LENIENT}", server.address),
        // Nothing measured.
        format!("rr {} -c 2 -d 60ms -R 0.01 --slo max<1s {LENIENT}", server.address),
        format!("rr {} -c 2 -d 60ms --timeout 50ms {LENIENT}", broken.address),
        format!("rr {} -c 2 -d 60ms -R 5000 --timeout 50ms {LENIENT}", drops.address),
        format!("crr {} -c 2 -d 60ms {LENIENT}", server.address),
        format!("stream {} -c 2 -d 60ms {LENIENT}", server.address),
        format!("idle {} -c 2 -d 60ms --server-pid {} {LENIENT}", server.address, std::process::id()),
        format!("compare {0} {0} -c 2 -d 60ms -R 500 --min-pairs 3 --max-pairs 3 {LENIENT}", server.address),
        format!("search {} -c 2 -d 60ms --slo rate>=1000000 --first-rate 2 {LENIENT}", server.address),
        format!("search {} -c 2 -d 60ms --slo p50<1s --first-rate 500 --precision 0.9 {LENIENT}", server.address),
        // Every probe is INVALID.
        format!("search {} -c 2 -d 60ms --slo rate>0 --first-rate 2 --warmup 0s --max-lag 1ns", server.address),
    ] {
        check(&validators, &report(&load).unwrap(), &load);
    }
}

#[cfg(feature = "tls")]
#[test]
fn what_tls_adds_is_as_the_schema_says() {
    let server = front::Front::start(front::Way::Echoes);
    let load = format!("crr {} -c 2 -d 60ms {} --tls-resume --alpn echo {LENIENT}", server.address, server.trusted());
    check(&validators(), &report(&load).unwrap(), &load);
}

#[test]
fn samples_are_as_the_schema_says() {
    let runs = [
        sample::staged(),
        sample::overloaded(),
        sample::steady(),
        sample::hostile(),
        sample::idle(),
        sample::stalling(),
    ];
    let mut reports: Vec<_> = runs.into_iter().map(|run| Report::Run(Box::new(run))).collect();
    reports.push(Report::Compare(Box::new(sample::comparison())));
    reports.push(Report::Search(Box::new(sample::search())));
    reports.push(Report::Beside(Box::new(sample::beside())));
    for (index, mut report) in reports.into_iter().enumerate() {
        judge::conclude(&mut report, Some(15));
        check(&validators(), &report, &index.to_string());
    }
}

#[test]
fn the_schema_refuses_what_is_something_else() {
    let [schema, strict] = validators();
    let mut value = serde_json::to_value(Report::Run(Box::new(sample::steady()))).unwrap();
    value["more"] = json!(1);
    assert!(schema.is_valid(&value) && !strict.is_valid(&value));
    value["latency"]["max_ns"] = json!("long");
    assert!(!schema.is_valid(&value));
}
