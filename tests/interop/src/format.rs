//! JSON forms of keys, proofs and public values.

use serde::{Deserialize, Serialize};
use stwo::core::fields::m31::{BaseField, P};
use stwo::core::fields::qm31::SecureField;
use stwo::core::fri::FriConfig;
use stwo::core::pcs::PcsConfig;
use stwo::core::proof::StarkProof;
use stwo::core::vcs::blake2_hash::Blake2sHash;
use stwo::core::vcs_lifted::blake2_merkle::Blake2sMerkleHasher;

use crate::reject::{ensure, Reject};

pub const KEY_FORMAT: &str = "jaxstark-key/1";
pub const PROOF_FORMAT: &str = "jaxstark-proof/1";
pub const PROFILE: &str = "stwo-2.2";

/// Public vectors by name, in declaration order.
pub type PublicValues = serde_json::Map<String, serde_json::Value>;

/// All that a verifier trusts besides AIR and public values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub format: String,
    pub profile: String,
    pub air: String,
    pub log_sizes: Vec<u32>,
    pub preprocessed_root: String,
    pub config: Config,
}

/// Parameters of the commitment scheme, as a key spells them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub pow_bits: u32,
    pub log_blowup_factor: u32,
    pub log_last_layer_degree_bound: u32,
    pub n_queries: usize,
    pub fold_step: u32,
}

/// A proof as it leaves a prover: upstream's proof lacks AIR, sizes and claimed sums.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
    pub format: String,
    pub profile: String,
    pub air: String,
    pub log_sizes: Vec<u32>,
    pub claimed_sums: Vec<SecureField>,
    pub stark_proof: StarkProof<Blake2sMerkleHasher>,
}

impl Key {
    pub fn from_json(text: &str) -> Result<Self, Reject> {
        let key: Self =
            serde_json::from_str(text).map_err(|e| Reject::new("key", e.to_string()))?;
        expect("key", "format", KEY_FORMAT, &key.format)?;
        expect("key", "profile", PROFILE, &key.profile)?;
        key.root()?;
        key.config.to_pcs()?;
        Ok(key)
    }

    /// The root of tree 0.
    pub fn root(&self) -> Result<Blake2sHash, Reject> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&self.preprocessed_root, &mut bytes)
            .map_err(|e| Reject::new("key", format!("preprocessed_root: {e}")))?;
        Ok(Blake2sHash(bytes))
    }
}

impl Config {
    /// Upstream's form. It asserts the bounds that are checked here.
    pub fn to_pcs(self) -> Result<PcsConfig, Reject> {
        let in_range = (1..=16).contains(&self.log_blowup_factor)
            && self.log_last_layer_degree_bound <= 10
            && self.fold_step > 0;
        ensure(in_range, "key", || format!("out of range: {self:?}"))?;
        Ok(PcsConfig {
            pow_bits: self.pow_bits,
            fri_config: FriConfig::new(
                self.log_last_layer_degree_bound,
                self.log_blowup_factor,
                self.n_queries,
                self.fold_step,
            ),
            lifting_log_size: None,
        })
    }
}

impl ProofFile {
    pub fn from_json(text: &str) -> Result<Self, Reject> {
        let proof: Self =
            serde_json::from_str(text).map_err(|e| Reject::new("parse", e.to_string()))?;
        expect("parse", "format", PROOF_FORMAT, &proof.format)?;
        expect("parse", "profile", PROFILE, &proof.profile)?;
        proof.check_canonical()?;
        Ok(proof)
    }

    /// The key fixes all of this: nothing is taken from the proof.
    pub fn check_key(&self, key: &Key) -> Result<(), Reject> {
        expect("key", "air", &key.air, &self.air)?;
        ensure(self.log_sizes == key.log_sizes, "key", || {
            format!(
                "log_sizes: expected {:?}, got {:?}",
                key.log_sizes, self.log_sizes
            )
        })?;
        let (config, got) = (key.config.to_pcs()?, self.stark_proof.config);
        ensure(config == got, "key", || {
            format!("config: expected {config:?}, got {got:?}")
        })?;
        Ok(())
    }

    /// Upstream's deserializer takes words that are not below p, and its arithmetic overflows on
    /// them.
    fn check_canonical(&self) -> Result<(), Reject> {
        let stark = &self.stark_proof;
        let fri = &stark.fri_proof;
        let layers = std::iter::once(&fri.first_layer).chain(&fri.inner_layers);
        let witnesses = layers.flat_map(|layer| &layer.fri_witness);
        let secure = (self.claimed_sums.iter())
            .chain(stark.sampled_values.iter().flatten().flatten())
            .chain(witnesses)
            .chain(fri.last_layer_poly.iter())
            .flat_map(|felt| felt.to_m31_array());
        let base = stark.queried_values.iter().flatten().flatten().copied();
        ensure(secure.chain(base).all(|word| word.0 < P), "parse", || {
            "a field element has a word that is not below 2^31 - 1".into()
        })
    }
}

/// The words of the declared public vectors; names, order, lengths (where they are fixed) and range
/// must be right.
pub fn parse_public(
    declared: &[(&str, Option<usize>)],
    given: &PublicValues,
) -> Result<Vec<Vec<BaseField>>, Reject> {
    let fail = |message: String| Err(Reject::new("public values", message));
    if !given.keys().eq(declared.iter().map(|(name, _)| name)) {
        let names: Vec<_> = given.keys().collect();
        return fail(format!(
            "expected {declared:?} in this order, got {names:?}"
        ));
    }
    let mut vectors = Vec::with_capacity(declared.len());
    for ((name, length), value) in declared.iter().zip(given.values()) {
        let Ok(words) = Vec::<u32>::deserialize(value) else {
            return fail(format!("{name}: expected an array of words, got {value}"));
        };
        if let Some(length) = length.filter(|length| *length != words.len()) {
            let got = words.len();
            return fail(format!("{name}: expected {length} words, got {got}"));
        }
        if let Some(word) = words.iter().find(|word| **word >= P) {
            return fail(format!("{name}: expected words below 2^31 - 1, got {word}"));
        }
        let felts = words.into_iter().map(BaseField::from_u32_unchecked);
        vectors.push(felts.collect());
    }
    Ok(vectors)
}

fn expect(stage: &'static str, what: &str, expected: &str, got: &str) -> Result<(), Reject> {
    ensure(expected == got, stage, || {
        format!("{what}: expected {expected:?}, got {got:?}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: serde_json::Value) -> Result<Vec<Vec<BaseField>>, Reject> {
        let given = value.as_object().expect("an object");
        parse_public(&[("start", Some(1)), ("result", Some(2))], given)
    }

    #[test]
    fn public_values_need_names_order_lengths_and_range() {
        let vectors = parse(json!({"start": [7], "result": [0, P - 1]})).unwrap();
        assert_eq!(vectors[1][1].0, P - 1);
        for wrong in [
            json!({}),
            json!({"start": [7]}),
            json!({"result": [0, 1], "start": [7]}),
            json!({"start": [7], "result": [0, 1], "more": []}),
            json!({"start": [7], "result": [0]}),
            json!({"start": [P], "result": [0, 1]}),
            json!({"start": [1.0], "result": [0, 1]}),
            json!({"start": 7, "result": [0, 1]}),
        ] {
            assert_eq!(parse(wrong).unwrap_err().stage, "public values");
        }
    }

    #[test]
    fn public_vectors_can_be_of_any_length() {
        let parse = |words: serde_json::Value| {
            let given = json!({"input": words, "output": []});
            let declared = [("input", None), ("output", None)];
            parse_public(&declared, given.as_object().expect("an object"))
        };
        for n in [0, 1, 5000] {
            let vectors = parse(json!(vec![n; n])).unwrap();
            assert_eq!([vectors[0].len(), vectors[1].len()], [n, 0]);
        }
        for wrong in [
            json!([0, P]),
            json!([-1]),
            json!(["0"]),
            json!(0),
            json!(null),
        ] {
            assert_eq!(parse(wrong).unwrap_err().stage, "public values");
        }
    }

    #[test]
    fn keys_out_of_range_are_rejected() {
        let key = json!({
            "format": KEY_FORMAT, "profile": PROFILE, "air": "legacy26", "log_sizes": [6],
            "preprocessed_root": "00".repeat(32),
            "config": {"pow_bits": 5, "log_blowup_factor": 1, "log_last_layer_degree_bound": 0,
                "n_queries": 3, "fold_step": 1},
        });
        assert!(Key::from_json(&key.to_string()).is_ok());
        for (pointer, value) in [
            ("/format", json!("jaxstark-key/2")),
            ("/profile", json!("stwo-3")),
            ("/preprocessed_root", json!("00")),
            ("/preprocessed_root", json!("zz".repeat(32))),
            ("/log_sizes", json!([-1])),
            ("/config/log_blowup_factor", json!(0)),
            ("/config/log_blowup_factor", json!(17)),
            ("/config/log_last_layer_degree_bound", json!(11)),
            ("/config/fold_step", json!(0)),
            ("/config", json!({})),
        ] {
            let mut wrong = key.clone();
            *wrong.pointer_mut(pointer).expect("a member of the key") = value;
            let error = Key::from_json(&wrong.to_string()).unwrap_err();
            assert_eq!(error.stage, "key", "{pointer}");
        }
    }
}
