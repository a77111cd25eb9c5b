//! `state_machine`: two components of sizes of their own hand a state (x, y) to each other.

use num_traits::One;
use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::EvalAtRow;

use super::{
    constant, lookup, Air, Component, ComponentShape, Description, Inputs, PublicTerm, Rows,
};
use crate::prologue::RelationElements;

pub(super) fn parse(args: &[&str]) -> Option<Box<dyn Air>> {
    args.is_empty().then(|| Box::new(StateMachine) as _)
}

struct StateMachine;

impl Air for StateMachine {
    fn description(&self) -> Description {
        Description {
            components: ["increment_x", "increment_y"]
                .map(|name| ComponentShape::new(name, "x y"))
                .to_vec(),
            n_relations: 1,
            public: vec![("initial", Some(2)), ("final", Some(2))],
            ..Description::default()
        }
    }

    fn rows(&self, inputs: &Inputs<'_>) -> Vec<Rows> {
        let increment = |coordinate| Increment {
            coordinate,
            state: inputs.relations[0].clone(),
        };
        vec![increment(0).into(), increment(1).into()]
    }

    fn public_terms(&self, public: &[Vec<BaseField>]) -> Vec<PublicTerm> {
        let term = |values: &[BaseField], multiplicity| PublicTerm {
            relation: 0,
            values: values.to_vec(),
            multiplicity,
        };
        let one = BaseField::one();
        vec![term(&public[0], -one), term(&public[1], one)]
    }
}

/// Takes a state and leaves it with one coordinate one higher.
#[derive(Clone, Debug)]
pub struct Increment {
    coordinate: usize,
    state: RelationElements,
}

impl Component for Increment {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let state = [eval.next_trace_mask(), eval.next_trace_mask()];
        let mut next = state.clone();
        next[self.coordinate] += constant::<E>(1);
        lookup(eval, &self.state, E::EF::one(), &state);
        lookup(eval, &self.state, -E::EF::one(), &next);
        eval.finalize_logup_in_pairs();
    }
}
