//! Upstream's prover behind jaxstark's prologue.

use jaxstark_interop::format::{Key, ProofFile, PublicValues, KEY_FORMAT, PROFILE, PROOF_FORMAT};
use jaxstark_interop::instance::Instance;
use jaxstark_interop::prologue::draw_relations;
use jaxstark_interop::verifier::verify;
use num_traits::Zero;
use serde::Serialize;
use stwo::core::channel::{Blake2sChannel, Channel};
use stwo::core::fields::m31::BaseField;
use stwo::core::fields::qm31::SecureField;
use stwo::core::poly::circle::CanonicCoset;
use stwo::core::utils::{bit_reverse_index, coset_index_to_circle_domain_index};
use stwo::core::vcs_lifted::blake2_merkle::Blake2sMerkleChannel;
use stwo::prover::backend::simd::SimdBackend;
use stwo::prover::mempool::BaseColumnPool;
use stwo::prover::poly::circle::{CircleEvaluation, PolyOps};
use stwo::prover::poly::twiddles::TwiddleTree;
use stwo::prover::poly::BitReversedOrder;
use stwo::prover::{prove as stwo_prove, CommitmentSchemeProver, ComponentProver};

use crate::case::{Case, Trace, TraceFile};
use crate::interaction::{interaction, Rows};

pub type Column = CircleEvaluation<SimdBackend, BaseField, BitReversedOrder>;

/// One line of output; the verifier takes it as it is.
#[derive(Serialize)]
pub struct Golden {
    pub name: String,
    pub key: Key,
    pub public_values: PublicValues,
    pub proof: ProofFile,
    #[serde(flatten)]
    pub trace: Option<TraceFile>,
}

/// What does not depend on the trace, made once for any number of proofs.
pub struct Setup {
    pub twiddles: TwiddleTree<SimdBackend>,
    pub pool: BaseColumnPool<SimdBackend>,
    /// Upstream can keep the coefficients of all columns to evaluate them out of domain.
    pub keep_coefficients: bool,
}

impl Setup {
    pub fn new(instance: &Instance, keep_coefficients: bool) -> Self {
        let log_size = instance.log_sizes.iter().max().expect("some component");
        let log_domain = log_size + instance.config.fri_config.log_blowup_factor;
        let domain = CanonicCoset::new(log_domain).circle_domain();
        Self {
            twiddles: SimdBackend::precompute_twiddles(domain.half_coset),
            pool: BaseColumnPool::new(),
            keep_coefficients,
        }
    }
}

/// The columns of trees 0 and 1 as upstream stores them.
#[derive(Clone)]
pub struct Stored {
    pub preprocessed: Vec<Column>,
    pub trace: Vec<Column>,
}

impl Stored {
    pub fn new(trace: &Trace) -> Self {
        let columns = trace.columns.iter().flatten();
        Self {
            preprocessed: trace.preprocessed.iter().map(|c| stored(c)).collect(),
            trace: columns.map(|c| stored(c)).collect(),
        }
    }
}

/// Row j is point j of the trace coset; upstream stores the circle domain bit-reversed.
fn stored(rows: &[BaseField]) -> Column {
    let log_size = rows.len().ilog2();
    let mut values = vec![BaseField::zero(); rows.len()];
    for (row, value) in rows.iter().enumerate() {
        let natural = coset_index_to_circle_domain_index(row, log_size);
        values[bit_reverse_index(natural, log_size)] = *value;
    }
    let domain = CanonicCoset::new(log_size).circle_domain();
    CircleEvaluation::new(domain, values.into_iter().collect())
}

/// Proves a case and checks the proof before it is handed out.
pub fn golden(case: &Case, with_trace: bool) -> Result<Golden, String> {
    let (instance, trace) = case.load()?;
    let setup = Setup::new(&instance, false);
    let proof = prove(&instance, &trace, Stored::new(&trace), &setup)?;
    let key = key(case, &proof);
    verify(&key, &trace.public, proof.clone()).map_err(|error| error.to_string())?;
    Ok(Golden {
        name: case.name.clone().unwrap_or_else(|| case.air.clone()),
        key,
        public_values: trace.public.clone(),
        proof,
        trace: with_trace.then(|| trace.to_file(&instance.description)),
    })
}

/// The key of a case; its root is taken from a proof of ours.
pub fn key(case: &Case, proof: &ProofFile) -> Key {
    Key {
        format: KEY_FORMAT.into(),
        profile: PROFILE.into(),
        air: case.air.clone(),
        log_sizes: case.log_sizes.clone(),
        preprocessed_root: hex::encode(proof.stark_proof.commitments[0].0),
        config: case.config,
    }
}

/// The same steps as the verifier's, on the prover's side.
pub fn prove(
    instance: &Instance,
    trace: &Trace,
    columns: Stored,
    setup: &Setup,
) -> Result<ProofFile, String> {
    // 1. Bind the statement, then commit the columns.
    let channel = &mut Blake2sChannel::default();
    let mut scheme = CommitmentSchemeProver::<SimdBackend, Blake2sMerkleChannel>::with_memory_pool(
        instance.config,
        &setup.twiddles,
        &setup.pool,
    );
    if setup.keep_coefficients {
        scheme.set_store_polynomials_coefficients();
    }
    instance.bind(channel);
    for tree in [columns.preprocessed, columns.trace] {
        let mut builder = scheme.tree_builder();
        builder.extend_evals(tree);
        builder.commit(channel);
    }

    // 2. LogUp: elements are drawn after the trace.
    let mut claims = vec![SecureField::zero(); instance.log_sizes.len()];
    let (mut relations, mut claimed_sums) = (vec![], vec![]);
    if instance.description.n_relations > 0 {
        relations = draw_relations(channel, instance.description.n_relations);
        let mut tree = vec![];
        for (index, component) in instance.components(&relations, &claims).iter().enumerate() {
            let made = interaction(component, &rows(instance, trace, index))?;
            let Some(made) = made else { continue };
            tree.extend(made.columns.iter().map(|column| stored(column)));
            claims[index] = made.claimed;
            claimed_sums.push(made.claimed);
        }
        channel.mix_felts(&claimed_sums);
        let mut builder = scheme.tree_builder();
        builder.extend_evals(tree);
        builder.commit(channel);
    }

    // 3. Upstream takes over.
    let components = instance.components(&relations, &claims);
    let components: Vec<_> = components
        .iter()
        .map(|component| component as &dyn ComponentProver<SimdBackend>)
        .collect();
    let stark_proof =
        stwo_prove(&components, channel, scheme).map_err(|error| error.to_string())?;
    Ok(ProofFile {
        format: PROOF_FORMAT.into(),
        profile: PROFILE.into(),
        air: instance.id.clone(),
        log_sizes: instance.log_sizes.clone(),
        claimed_sums,
        stark_proof,
    })
}

fn rows<'a>(instance: &'a Instance, trace: &'a Trace, component: usize) -> Rows<'a> {
    let owned = instance.description.preprocessed.iter();
    Rows {
        columns: &trace.columns[component],
        preprocessed: owned
            .zip(&trace.preprocessed)
            .filter(|((_, owner), _)| *owner == component)
            .map(|((id, _), column)| (id.as_str(), column.as_slice()))
            .collect(),
    }
}
