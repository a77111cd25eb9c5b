//! `plonk/NAME` and `plonk/fibonacci/K`: one gate per row, wires tied by a lookup.
//!
//! The circuit is in the preprocessed columns, hence in the key; NAME only tells circuits apart.
//! The Fibonacci circuit of 2^K gates takes two public inputs on wires 0 and 1 and makes the value
//! of its last wire public. Any other circuit here has no public wires: its wires balance among
//! themselves.

use num_traits::One;
use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::EvalAtRow;

use super::{
    constant, lookup, number, preprocessed, Air, Component, ComponentShape, Description, Inputs,
    PublicTerm, Rows,
};
use crate::prologue::RelationElements;

pub(super) fn parse(args: &[&str]) -> Option<Box<dyn Air>> {
    let fibonacci = match args {
        [_name] => None,
        ["fibonacci", log_size] => Some(number(log_size, 1..=24)?),
        _ => return None,
    };
    Some(Box::new(Plonk { fibonacci }))
}

struct Plonk {
    fibonacci: Option<u32>,
}

impl Air for Plonk {
    fn description(&self) -> Description {
        let (n_inputs, n_outputs) = match self.fibonacci {
            Some(_) => (2, 1),
            None => (0, 0),
        };
        Description {
            components: vec![
                ComponentShape::new("gates", "mult a_val b_val c_val").of_size(self.fibonacci)
            ],
            preprocessed: ["plonk_a_wire", "plonk_b_wire", "plonk_c_wire", "plonk_op"]
                .map(|id| (id.into(), 0))
                .to_vec(),
            n_relations: 1,
            public: vec![("inputs", Some(n_inputs)), ("outputs", Some(n_outputs))],
        }
    }

    fn rows(&self, inputs: &Inputs<'_>) -> Vec<Rows> {
        let wire = inputs.relations[0].clone();
        vec![Gate { wire }.into()]
    }

    fn public_terms(&self, public: &[Vec<BaseField>]) -> Vec<PublicTerm> {
        let Some(log_size) = self.fibonacci else {
            return vec![];
        };
        let term = |wire: u32, value, multiplicity| PublicTerm {
            relation: 0,
            values: vec![BaseField::from(wire), value],
            multiplicity,
        };
        let one = BaseField::one();
        // Wire 0 is read by one gate, wire 1 by two; the last wire has no reader but the verifier.
        vec![
            term(0, public[0][0], -one),
            term(1, public[0][1], -(one + one)),
            term((1 << log_size) + 1, public[1][0], one),
        ]
    }
}

#[derive(Clone, Debug)]
pub struct Gate {
    wire: RelationElements,
}

impl Component for Gate {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let a_wire = preprocessed(eval, "plonk_a_wire");
        let b_wire = preprocessed(eval, "plonk_b_wire");
        let c_wire = preprocessed(eval, "plonk_c_wire");
        let op = preprocessed(eval, "plonk_op");
        let mult = eval.next_trace_mask();
        let a = eval.next_trace_mask();
        let b = eval.next_trace_mask();
        let c = eval.next_trace_mask();

        let sum = op.clone() * (a.clone() + b.clone());
        let product = (constant::<E>(1) - op) * (a.clone() * b.clone());
        eval.add_constraint(c.clone() - sum - product);

        lookup(eval, &self.wire, E::EF::one(), &[a_wire, a]);
        lookup(eval, &self.wire, E::EF::one(), &[b_wire, b]);
        lookup(eval, &self.wire, E::EF::from(-mult), &[c_wire, c]);
        eval.finalize_logup_in_pairs();
    }
}
