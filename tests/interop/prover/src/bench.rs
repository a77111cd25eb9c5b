//! Warm timings of upstream's prover.

use std::time::Instant;

use jaxstark_interop::format::Config;
use jaxstark_interop::verifier::verify;
use serde::Serialize;

use crate::case::Case;
use crate::prove::{key, prove, Setup, Stored};

pub struct Options {
    runs: usize,
    warmups: usize,
    keep_coefficients: bool,
}

impl Options {
    pub fn parse(args: &[String]) -> Option<Self> {
        let mut options = Self {
            runs: 5,
            warmups: 1,
            keep_coefficients: true,
        };
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--runs" => options.runs = args.next()?.parse().ok().filter(|n| *n > 0)?,
                "--warmups" => options.warmups = args.next()?.parse().ok()?,
                "--drop-coefficients" => options.keep_coefficients = false,
                _ => return None,
            }
        }
        Some(options)
    }
}

#[derive(Serialize)]
pub struct Timing {
    prover: &'static str,
    air: String,
    log_sizes: Vec<u32>,
    config: Config,
    threads: usize,
    keep_coefficients: bool,
    warmups: usize,
    median_s: f64,
    min_s: f64,
    runs_s: Vec<f64>,
}

/// Times whole proofs: from columns in memory to the proof, twiddles and buffers at hand.
pub fn bench(case: &Case, options: &Options) -> Result<Timing, String> {
    let (instance, trace) = case.load()?;
    if instance.description.n_relations > 0 {
        return Err("lookup columns are made one row at a time: timings would mislead".into());
    }
    let setup = Setup::new(&instance, options.keep_coefficients);
    let columns = Stored::new(&trace);
    let mut runs_s = vec![];
    let mut proof = None;
    for run in 0..options.warmups + options.runs {
        // The prover consumes its columns: copying them is not part of a proof.
        let columns = columns.clone();
        let start = Instant::now();
        proof = Some(prove(&instance, &trace, columns, &setup)?);
        if run >= options.warmups {
            runs_s.push(start.elapsed().as_secs_f64());
        }
    }
    let proof = proof.expect("at least one run");
    verify(&key(case, &proof), &trace.public, proof).map_err(|error| error.to_string())?;
    let mut sorted = runs_s.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Timing {
        prover: "stwo 2.3.0, SimdBackend",
        air: case.air.clone(),
        log_sizes: case.log_sizes.clone(),
        config: case.config,
        threads: rayon::current_num_threads(),
        keep_coefficients: options.keep_coefficients,
        warmups: options.warmups,
        median_s: sorted[sorted.len() / 2],
        min_s: sorted[0],
        runs_s,
    })
}
