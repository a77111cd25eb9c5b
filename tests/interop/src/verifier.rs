//! The application's part of verification; the rest is upstream's `verify`.

use num_traits::Zero;
use stwo::core::air::Component;
use stwo::core::channel::{Blake2sChannel, Channel};
use stwo::core::fields::m31::P;
use stwo::core::fields::qm31::SecureField;
use stwo::core::pcs::CommitmentSchemeVerifier;
use stwo::core::vcs_lifted::blake2_merkle::Blake2sMerkleChannel;
use stwo::core::verifier::verify as stwo_verify;

use crate::format::{Key, ProofFile, PublicValues};
use crate::instance::{Instance, Shape};
use crate::prologue::draw_relations;
use crate::reject::{ensure, Reject};

/// Accepts a proof by returning `Ok`. The key and the public values are trusted, the proof is not.
pub fn verify(key: &Key, public: &PublicValues, proof: ProofFile) -> Result<(), Reject> {
    proof.check_key(key)?;
    let config = key.config.to_pcs()?;
    let instance = Instance::new(&key.air, &key.log_sizes, config, public)?;
    let shape = instance.shape();
    // With p of them, false tuples could cancel.
    ensure(shape.n_lookups < P as usize, "key", || {
        format!(
            "sizes: expected fewer than {P} lookups, got {}",
            shape.n_lookups
        )
    })?;
    let claims = shape.spread_claims(&proof.claimed_sums)?;
    check_shape(&shape, &proof)?;
    let roots = &proof.stark_proof.commitments;
    ensure(roots[0] == key.root()?, "key", || {
        "root of tree 0: expected the one of the key, got another".into()
    })?;

    // 1. Bind the statement, then the committed trace.
    let channel = &mut Blake2sChannel::default();
    let scheme = &mut CommitmentSchemeVerifier::<Blake2sMerkleChannel>::new(config);
    instance.bind(channel);
    scheme.commit(roots[0], &shape.columns[0], channel);
    scheme.commit(roots[1], &shape.columns[1], channel);

    // 2. LogUp: elements are drawn after the trace; the claimed sums must balance.
    let mut relations = vec![];
    if let Some(columns) = shape.columns.get(2) {
        relations = draw_relations(channel, instance.description.n_relations);
        let claimed: SecureField = claims.iter().copied().sum();
        let total = claimed + instance.public_sum(&relations)?;
        ensure(total.is_zero(), "logup", || {
            format!("claimed sums: expected a total of 0, got {total}")
        })?;
        channel.mix_felts(&proof.claimed_sums);
        scheme.commit(roots[2], columns, channel);
    }

    // 3. Upstream takes over.
    let components = instance.components(&relations, &claims);
    let components: Vec<_> = components.iter().map(|c| c as &dyn Component).collect();
    stwo_verify(&components, channel, scheme, proof.stark_proof)
        .map_err(|error| Reject::new("stwo", error.to_string()))
}

/// Upstream asserts these counts while its lookup state is open; that state asserts again when it
/// is dropped, and a panic during unwinding ends the process instead of one verification.
fn check_shape(shape: &Shape, proof: &ProofFile) -> Result<(), Reject> {
    let stark = &proof.stark_proof;
    let (expected, got) = (shape.n_samples.len(), stark.commitments.len());
    ensure(expected == got, "parse", || {
        format!("commitments: expected {expected} of them, got {got}")
    })?;
    let n_samples: Vec<Vec<_>> = stark
        .sampled_values
        .iter()
        .map(|tree| tree.iter().map(Vec::len).collect())
        .collect();
    ensure(n_samples == shape.n_samples, "parse", || {
        "sampled_values: another number of trees, columns or samples than the AIR has".into()
    })
}
