//! Proofs of upstream's own prover: accepted as they are, rejected after any change.

use jaxstark_interop::batch::{verify_line, Outcome};
use jaxstark_interop::reject::silence_panics;
use serde_json::{json, Value};

const STRIDE: usize = 61;

fn cases() -> Vec<Value> {
    include_str!("../golden/proofs.jsonl")
        .lines()
        .map(|line| {
            let mut case: Value = serde_json::from_str(line).expect("golden JSON");
            let members = case.as_object_mut().expect("an object");
            members.retain(|name, _| name != "columns" && name != "preprocessed");
            case
        })
        .collect()
}

fn verify(case: &Value) -> Outcome {
    verify_line(case.to_string().as_bytes())
}

fn assert_rejected(case: &Value, what: &str) {
    let outcome = verify(case);
    assert!(!outcome.accepted, "{}: accepted {what}", case["name"]);
    assert!(outcome.error.is_some());
}

/// JSON pointers of all numbers, or of all arrays, below a value.
fn pointers(value: &Value, at: &str, arrays: bool, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            if arrays {
                found.push(at.to_owned());
            }
            for (i, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{i}"), arrays, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                pointers(member, &format!("{at}/{name}"), arrays, found);
            }
        }
        Value::Number(_) if !arrays => found.push(at.to_owned()),
        _ => {}
    }
}

#[test]
fn accepts_golden_proofs() {
    for case in cases() {
        let outcome = verify(&case);
        assert_eq!(outcome.name.as_deref(), case["name"].as_str());
        assert!(outcome.accepted, "{outcome:?}");
    }
}

#[test]
fn rejects_changed_numbers() {
    silence_panics();
    for case in cases() {
        let mut found = vec![];
        pointers(&case["proof"], "/proof", false, &mut found);
        for (i, pointer) in found.iter().enumerate().step_by(STRIDE) {
            let mut changed = case.clone();
            let number = changed.pointer_mut(pointer).expect("a number");
            let old = number.as_u64().expect("unsigned");
            // The second change keeps the value mod p: field elements have one spelling.
            *number = match i % 2 {
                0 => json!(old ^ 1),
                _ => json!(old + 0x7fff_ffff),
            };
            assert_rejected(&changed, pointer);
        }
    }
}

#[test]
fn rejects_changed_lengths() {
    silence_panics();
    for case in cases() {
        let mut found = vec![];
        pointers(&case["proof"], "/proof", true, &mut found);
        let inner = found
            .iter()
            .filter(|pointer| !pointer.contains("commitment"));
        for pointer in inner.step_by(STRIDE / 10) {
            let mut changed = case.clone();
            let array = changed.pointer_mut(pointer).and_then(Value::as_array_mut);
            let array = array.expect("an array");
            let Some(last) = array.pop() else { continue };
            assert_rejected(&changed, pointer);

            let array = changed.pointer_mut(pointer).and_then(Value::as_array_mut);
            array.expect("an array").extend([last.clone(), last]);
            assert_rejected(&changed, pointer);
        }
    }
}

#[test]
fn rejects_other_statements() {
    silence_panics();
    for case in cases() {
        for (pointer, value) in [
            ("/key/air", json!("wide_fibonacci/4")),
            ("/key/log_sizes/0", json!(8)),
            ("/key/log_sizes", json!([])),
            ("/key/preprocessed_root", json!("00".repeat(32))),
            ("/key/config/n_queries", json!(2)),
            ("/key/config/pow_bits", json!(4)),
            ("/public_values", json!({"other": [1]})),
        ] {
            let mut changed = case.clone();
            *changed.pointer_mut(pointer).expect("a member") = value;
            assert_rejected(&changed, pointer);
        }
        let mut found = vec![];
        pointers(&case["public_values"], "/public_values", false, &mut found);
        for pointer in found {
            let mut changed = case.clone();
            let number = changed.pointer_mut(&pointer).expect("a number");
            *number = json!(number.as_u64().expect("unsigned") ^ 1);
            assert_rejected(&changed, &pointer);
        }
    }
}

#[test]
fn rejects_sizes_with_p_lookups() {
    silence_panics();
    let is_small = |case: &Value| {
        case["key"]["air"] == "state_machine" && case["key"]["config"]["log_blowup_factor"] == 1
    };
    let mut case = cases().into_iter().find(is_small).expect("a case");
    // Two lookups a row in two components.
    for (log_size, too_many) in [(28, false), (29, true)] {
        case["key"]["log_sizes"] = json!([log_size, log_size]);
        case["proof"]["log_sizes"] = json!([log_size, log_size]);
        let error = verify(&case).error.expect("another size");
        assert_eq!(error.contains("lookups"), too_many, "{error}");
    }
}

/// Holds in release builds because their profile checks for overflow.
#[test]
fn rejects_a_last_layer_size_that_wraps() {
    silence_panics();
    for mut case in cases() {
        let size = "/proof/stark_proof/fri_proof/last_layer_poly/log_size";
        let size = case.pointer_mut(size).expect("a number");
        *size = json!(size.as_u64().expect("unsigned") + 64);
        assert_rejected(&case, "a last layer of another size");
    }
}

/// Upstream takes any witness for a tree without columns. It proves nothing and changes nothing,
/// but it means that a proof's bytes are not unique there.
#[test]
fn upstream_ignores_the_witness_of_an_empty_tree() {
    let mut case = cases().swap_remove(0);
    case["proof"]["stark_proof"]["decommitments"][0]["hash_witness"] = json!([vec![0; 32]]);
    assert!(verify(&case).accepted);
}
