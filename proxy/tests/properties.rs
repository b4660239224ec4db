//! Properties of the parser on generated inputs: the law, agreement with the oracle, and that parsing undoes encoding.

extern crate proxy_protocol_header as proxy;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use proxy::Status;

#[path = "common/fuzz_bodies.rs"]
mod fuzz_bodies;
#[path = "common/strategies.rs"]
mod strategies;
use fuzz_bodies::oracle::{self, SIGNATURE};
use strategies::{bytes, damaged, header, shuffled_words, v2_odd_tlvs};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn a_valid_header_is_complete_whatever_follows(header in header(), payload in bytes(20)) {
        let input = [header.as_slice(), &payload].concat();
        let Ok(Status::Complete(parsed)) = proxy::parse(&input) else { panic!("{:?}", proxy::parse(&input)) };
        prop_assert_eq!(parsed.raw, header);
        fuzz_bodies::parse(&input);
    }

    #[test]
    fn of_a_damaged_header_the_oracle_says_the_same(input in damaged()) {
        fuzz_bodies::parse(&input);
    }

    #[test]
    fn of_shuffled_words_the_oracle_says_the_same(input in shuffled_words()) {
        fuzz_bodies::parse(&input);
    }

    #[test]
    fn of_odd_tlvs_the_oracle_says_the_same(input in v2_odd_tlvs()) {
        fuzz_bodies::parse(&input);
    }

    #[test]
    fn of_arbitrary_bytes_the_oracle_says_the_same(signed in any::<bool>(), rest in bytes(300)) {
        let input = [if signed { SIGNATURE } else { b"" }, &rest].concat();
        fuzz_bodies::parse(&input);
    }

    #[test]
    fn what_is_encoded_is_parsed_back(input in bytes(600)) {
        fuzz_bodies::round_trip(&input);
    }
}

/// A comparison proves little if all its inputs are refused, or all accepted.
#[test]
fn the_strategies_reach_both_answers() {
    let mut runner = TestRunner::deterministic();
    for (strategy, least) in [(damaged().boxed(), 150), (v2_odd_tlvs().boxed(), 250), (shuffled_words().boxed(), 15)] {
        let inputs = (0..1000).map(|_| strategy.new_tree(&mut runner).expect("a value").current());
        let (refused, taken): (Vec<_>, Vec<_>) = inputs.partition(|input| proxy::parse(input).is_err());
        let complete = taken.iter().filter(|input| proxy::parse(input) != Ok(Status::Partial)).count();
        assert!(refused.len() >= least && complete >= least, "{} refused, {complete} complete", refused.len());
    }
}
