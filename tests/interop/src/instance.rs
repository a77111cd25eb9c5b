//! An AIR with its sizes and public values: the statement that a proof is about.

use num_traits::Zero;
use stwo::core::air::{Component, Components};
use stwo::core::channel::Channel;
use stwo::core::circle::SECURE_FIELD_CIRCLE_GEN;
use stwo::core::fields::m31::BaseField;
use stwo::core::fields::qm31::{SecureField, SECURE_EXTENSION_DEGREE};
use stwo::core::fields::FieldExpOps;
use stwo::core::pcs::{PcsConfig, TreeVec};
use stwo_constraint_framework::preprocessed_columns::PreProcessedColumnId;
use stwo_constraint_framework::{
    FrameworkComponent, Relation, TraceLocationAllocator, INTERACTION_TRACE_IDX,
};

use crate::air::{resolve, Air, Description, Eval, Inputs};
use crate::format::{parse_public, PublicValues};
use crate::prologue::{self, RelationElements};
use crate::reject::{ensure, Reject};

/// Largest log size of a circle domain in upstream.
const MAX_LOG_DOMAIN: u32 = 30;

pub struct Instance {
    pub id: String,
    pub log_sizes: Vec<u32>,
    pub config: PcsConfig,
    pub public: Vec<Vec<BaseField>>,
    pub description: Description,
    air: Box<dyn Air>,
}

/// Sizes that follow from an instance alone.
pub struct Shape {
    /// Log sizes of the columns of trees 0, 1 and, if there is a lookup, 2.
    pub columns: TreeVec<Vec<u32>>,
    /// Whether a component has lookups, hence a claimed sum.
    pub has_lookups: Vec<bool>,
    /// Number of samples of every column of every tree, composition included.
    pub n_samples: Vec<Vec<usize>>,
    /// Lookups on all rows, with the verifier's own.
    pub n_lookups: usize,
}

impl Instance {
    pub fn new(
        id: &str,
        log_sizes: &[u32],
        config: PcsConfig,
        public: &PublicValues,
    ) -> Result<Self, Reject> {
        let air =
            resolve(id).ok_or_else(|| Reject::new("key", format!("unknown AIR id {id:?}")))?;
        let description = air.description();
        check_sizes(&description, log_sizes, config.fri_config.log_blowup_factor)?;
        Ok(Self {
            id: id.to_owned(),
            log_sizes: log_sizes.to_vec(),
            config,
            public: parse_public(&description.public, public)?,
            description,
            air,
        })
    }

    /// Absorbs everything that is known before the first commitment.
    pub fn bind(&self, channel: &mut impl Channel) {
        prologue::bind_statement(
            channel,
            &self.id,
            &self.config,
            &self.log_sizes,
            &self.public,
        );
    }

    pub fn components(
        &self,
        relations: &[RelationElements],
        claimed_sums: &[SecureField],
    ) -> Vec<FrameworkComponent<Eval>> {
        let ids = self.description.preprocessed.iter().map(|(id, _)| id);
        let ids: Vec<_> = ids
            .map(|id| PreProcessedColumnId { id: id.clone() })
            .collect();
        let mut allocator = TraceLocationAllocator::new_with_preprocessed_columns(&ids);
        let inputs = Inputs {
            public: &self.public,
            relations,
        };
        let rows = self.air.rows(&inputs).into_iter();
        rows.zip(&self.log_sizes)
            .zip(claimed_sums)
            .map(|((rows, &log_size), claimed)| {
                FrameworkComponent::new(&mut allocator, Eval { rows, log_size }, *claimed)
            })
            .collect()
    }

    /// Column sizes are needed before relation elements can be drawn: dummies have the same shape.
    pub fn shape(&self) -> Shape {
        let relations = vec![RelationElements::dummy(); self.description.n_relations];
        let none = vec![SecureField::zero(); self.log_sizes.len()];
        let components = self.components(&relations, &none);
        let counts = components.iter().map(|c| c.logup_counts());
        let n_lookups: usize = counts.map(|c| c.values().sum::<usize>()).sum();
        let components = Components {
            components: components.iter().map(|c| c as &dyn Component).collect(),
            n_preprocessed_columns: self.description.preprocessed.len(),
        };
        let has_lookups = components.components.iter().map(|component| {
            let bounds = component.trace_log_degree_bounds();
            bounds
                .get(INTERACTION_TRACE_IDX)
                .is_some_and(|columns| !columns.is_empty())
        });
        let log_size = components.composition_log_degree_bound() - 1;
        let points = components.mask_points(SECURE_FIELD_CIRCLE_GEN, log_size, false);
        let mut n_samples: Vec<Vec<_>> = points
            .iter()
            .map(|tree| tree.iter().map(Vec::len).collect())
            .collect();
        n_samples.push(vec![1; 2 * SECURE_EXTENSION_DEGREE]);
        Shape {
            has_lookups: has_lookups.collect(),
            columns: components.column_log_sizes(),
            n_samples,
            n_lookups: n_lookups + self.air.public_terms(&self.public).len(),
        }
    }

    /// The verifier's own part of the LogUp sum.
    pub fn public_sum(&self, relations: &[RelationElements]) -> Result<SecureField, Reject> {
        let mut sum = SecureField::zero();
        for term in self.air.public_terms(&self.public) {
            let denominator: SecureField = relations[term.relation].combine(&term.values);
            ensure(!denominator.is_zero(), "logup", || {
                "a public term has denominator 0".into()
            })?;
            sum += denominator.inverse() * term.multiplicity;
        }
        Ok(sum)
    }
}

impl Shape {
    /// One claimed sum for each component with lookups, spread over all components.
    pub fn spread_claims(&self, claimed: &[SecureField]) -> Result<Vec<SecureField>, Reject> {
        let expected = self.has_lookups.iter().filter(|has| **has).count();
        ensure(claimed.len() == expected, "parse", || {
            format!(
                "claimed_sums: expected {expected} of them, got {}",
                claimed.len()
            )
        })?;
        let mut claimed = claimed.iter();
        let spread = self.has_lookups.iter().map(|has| match has {
            true => *claimed.next().expect("counted above"),
            false => SecureField::zero(),
        });
        Ok(spread.collect())
    }
}

fn check_sizes(
    description: &Description,
    log_sizes: &[u32],
    log_blowup: u32,
) -> Result<(), Reject> {
    let components = &description.components;
    ensure(log_sizes.len() == components.len(), "key", || {
        format!(
            "log_sizes: expected {} of them, got {log_sizes:?}",
            components.len()
        )
    })?;
    for (component, &log_size) in components.iter().zip(log_sizes) {
        let fits = component.log_size.is_none_or(|only| only == log_size);
        let in_range = log_size >= 1 && log_size <= MAX_LOG_DOMAIN - log_blowup;
        ensure(fits && in_range, "key", || {
            format!("component {} cannot have 2^{log_size} rows", component.name)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stwo::core::fri::FriConfig;

    use super::*;

    #[test]
    fn lookups_are_counted_on_all_rows_and_for_the_verifier() {
        let config = PcsConfig {
            pow_bits: 0,
            fri_config: FriConfig::new(0, 1, 3, 1),
            lifting_log_size: None,
        };
        let count = |id: &str, log_sizes: &[u32], public: serde_json::Value| {
            let public = public.as_object().expect("an object");
            let instance = Instance::new(id, log_sizes, config, public).expect(id);
            instance.shape().n_lookups
        };
        assert_eq!(count("wide_fibonacci/3", &[4], json!({})), 0);
        assert_eq!(
            count("plonk/some", &[5], json!({"inputs": [], "outputs": []})),
            3 << 5
        );
        let id = format!("obelysk/1/2/{}", "0".repeat(64));
        let public = json!({"input": [1, 2, 3], "output": [4, 5]});
        let expected = (16 << 9) + (1 << 3) + (2 << 4) + (6 << 5) + (1 << 8) + 5;
        assert_eq!(count(&id, &[9, 3, 4, 5, 8], public), expected);
    }
}
