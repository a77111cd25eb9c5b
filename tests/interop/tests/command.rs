//! Exit status and output of the command.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use jaxstark_interop::batch::Outcome;
use serde_json::{json, Value};

const GOLDEN: &str = include_str!("../golden/proofs.jsonl");

fn run(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_jaxstark-interop"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    // A command that fails early does not read its input.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

fn outcomes(output: &Output) -> Vec<Outcome> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("one outcome a line"))
        .collect()
}

fn file(name: &str, value: &Value) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, value.to_string()).expect("a writable directory");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_batch_goes_on_after_rejections() {
    let good = GOLDEN.lines().next().expect("a case");
    let mut bad: Value = serde_json::from_str(good).expect("JSON");
    bad["name"] = json!("no proof");
    bad["proof"] = json!("nothing");
    let input = format!("{bad}\n\nnot JSON\n{{\"name\":\"bare\"}}\n{good}\n");
    let output = run(&["verify", "-"], &input);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let outcomes = outcomes(&output);
    let accepted: Vec<_> = outcomes.iter().map(|outcome| outcome.accepted).collect();
    assert_eq!(accepted, [false, false, false, true]);
    assert_eq!(outcomes[0].name.as_deref(), Some("no proof"));
    for outcome in &outcomes[..3] {
        let error = outcome.error.as_deref().expect("a reason");
        assert!(error.starts_with("parse: "), "{error}");
    }
    assert_eq!(outcomes[3].error, None);
}

#[test]
fn single_files_set_the_exit_status() {
    let case: Value = GOLDEN
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .find(|case| case["name"] == "state-machine-tall-first")
        .expect("a case with public values");
    let key = file("key.json", &case["key"]);
    let proof = file("proof.json", &case["proof"]);
    let public = file("public.json", &case["public_values"]);
    let status = |args: &[&str]| run(args, "").status.code();

    let all = [
        "verify", "--key", &key, "--proof", &proof, "--public", &public,
    ];
    assert_eq!(status(&all), Some(0));
    assert_eq!(status(&all[..5]), Some(1));
    assert_eq!(
        status(&["verify", "--key", &proof, "--proof", &proof]),
        Some(1)
    );
}

#[test]
fn misuse_exits_with_2() {
    for args in [
        &[][..],
        &["verify"],
        &["verify", "no such file"],
        &["verify", "--key", "no such file"],
        &["verify", "--what", "-"],
        &["prove", "-"],
    ] {
        let output = run(args, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
