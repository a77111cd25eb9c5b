//! Many verifications from one file of JSON lines.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::format::{Key, ProofFile, PublicValues};
use crate::reject::{guarded, Reject};
use crate::verifier::verify;

/// One line of input. Other members are ignored, so that a case can carry its trace.
#[derive(Deserialize)]
struct Case<'a> {
    name: String,
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    public_values: &'a RawValue,
    #[serde(borrow)]
    proof: &'a RawValue,
}

/// One line of output; `name` is null where the input has none that can be read.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub name: Option<String>,
    pub accepted: bool,
    pub error: Option<String>,
}

impl Outcome {
    pub fn new(name: Option<String>, result: Result<(), Reject>) -> Self {
        Self {
            name,
            accepted: result.is_ok(),
            error: result.err().map(|reject| reject.to_string()),
        }
    }
}

/// Verifies every line that is not blank, in order. Fails only if reading or writing does.
pub fn verify_lines(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        serde_json::to_writer(&mut output, &verify_line(&line))?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// Verifies one line, given as bytes because it need not be UTF-8.
pub fn verify_line(line: &[u8]) -> Outcome {
    match serde_json::from_slice::<Case<'_>>(line) {
        Err(error) => Outcome::new(None, Err(Reject::new("parse", error.to_string()))),
        Ok(case) => {
            let result = verify_texts(case.key.get(), case.public_values.get(), case.proof.get());
            Outcome::new(Some(case.name), result)
        }
    }
}

/// Verifies a proof against a key and public values, all given as JSON texts.
pub fn verify_texts(key: &str, public_values: &str, proof: &str) -> Result<(), Reject> {
    guarded(|| {
        let key = Key::from_json(key)?;
        let public: PublicValues = serde_json::from_str(public_values)
            .map_err(|error| Reject::new("public values", error.to_string()))?;
        verify(&key, &public, ProofFile::from_json(proof)?)
    })
}
