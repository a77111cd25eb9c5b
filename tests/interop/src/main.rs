//! `jaxstark-interop verify`: accept or reject jaxstark proofs with upstream's verifier.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read};
use std::process::ExitCode;

use jaxstark_interop::batch::{verify_lines, verify_texts, Outcome};
use jaxstark_interop::reject::silence_panics;

const USAGE: &str = "usage: jaxstark-interop verify CASES.jsonl|-
       jaxstark-interop verify --key KEY.json --proof PROOF.json [--public VALUES.json]

CASES.jsonl holds one {\"name\", \"key\", \"public_values\", \"proof\"} a line; one
{\"name\", \"accepted\", \"error\"} a line is written for each. Exit status: 0 if all lines were
processed, whatever the outcome; with --key, 0 for accepted and 1 for rejected; 2 for misuse.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    silence_panics();
    match run(&args) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode, String> {
    match args {
        [flag] if flag == "--help" || flag == "-h" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        [command, path] if command == "verify" && !path.starts_with("--") => verify_batch(path),
        [command, options @ ..] if command == "verify" && options.len() > 1 => verify_one(options),
        _ => Err("expected: verify, then a file of cases or --key and --proof".into()),
    }
}

fn verify_batch(path: &str) -> Result<ExitCode, String> {
    let input: Box<dyn Read> = match path {
        "-" => Box::new(io::stdin()),
        path => Box::new(fs::File::open(path).map_err(|error| format!("{path}: {error}"))?),
    };
    verify_lines(BufReader::new(input), io::stdout().lock())
        .map_err(|error| format!("{path}: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn verify_one(options: &[String]) -> Result<ExitCode, String> {
    let mut files = BTreeMap::new();
    for pair in options.chunks(2) {
        match pair {
            [flag, path] if ["--key", "--proof", "--public"].contains(&flag.as_str()) => {
                // Lossy: text that is not UTF-8 is a rejection, not a misuse of the command.
                let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if files.insert(flag.as_str(), text).is_some() {
                    return Err(format!("{flag}: given twice"));
                }
            }
            _ => return Err(format!("unexpected {pair:?}")),
        }
    }
    let key = files.get("--key").ok_or("--key is missing")?;
    let proof = files.get("--proof").ok_or("--proof is missing")?;
    let public = files.get("--public").map_or("{}", String::as_str);
    let outcome = Outcome::new(None, verify_texts(key, public, proof));
    let line = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    println!("{line}");
    Ok(ExitCode::from(u8::from(!outcome.accepted)))
}
