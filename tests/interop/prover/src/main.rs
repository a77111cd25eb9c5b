//! `jaxstark-interop-prover`: proofs and timings of upstream's own prover, on jaxstark's AIRs.

mod bench;
mod case;
mod example;
mod interaction;
mod prove;

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use case::Case;

const USAGE: &str = "usage: jaxstark-interop-prover prove CASES.jsonl|- [--with-trace]
       jaxstark-interop-prover bench CASES.jsonl|- [--runs N] [--warmups N] [--drop-coefficients]

A case is one line of JSON: {\"air\", \"log_sizes\", \"config\"} with either \"seed\" or \"columns\"
(component to column to values in row order), and optionally \"name\", \"public_values\" and
\"preprocessed\" (id to values in row order). prove writes one {\"name\", \"key\", \"public_values\",
\"proof\"} a line, with the columns beside them if asked; bench writes one line of timings a case.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let [command, path, options @ ..] = args else {
        return Err(USAGE.into());
    };
    match command.as_str() {
        "prove" => {
            let with_trace = match options {
                [] => false,
                [flag] if flag == "--with-trace" => true,
                _ => return Err(USAGE.into()),
            };
            for_each_case(path, |case| prove::golden(&case, with_trace))
        }
        "bench" => {
            let options = bench::Options::parse(options).ok_or(USAGE)?;
            for_each_case(path, |case| bench::bench(&case, &options))
        }
        _ => Err(USAGE.into()),
    }
}

/// Writes one line for each case.
fn for_each_case<T: serde::Serialize>(
    path: &str,
    run: impl Fn(Case) -> Result<T, String>,
) -> Result<(), String> {
    let mut text = String::new();
    let read = match path {
        "-" => io::stdin().read_to_string(&mut text).map(drop),
        path => fs::read_to_string(path).map(|content| text = content),
    };
    read.map_err(|error| format!("{path}: {error}"))?;
    let mut output = io::stdout().lock();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let fail = |error: String| format!("{path}, line {}: {error}", index + 1);
        let case = serde_json::from_str(line).map_err(|error| fail(error.to_string()))?;
        let result = run(case).map_err(fail)?;
        let json = serde_json::to_string(&result).map_err(|error| error.to_string())?;
        writeln!(output, "{json}").map_err(|error| error.to_string())?;
    }
    Ok(())
}
