//! `range_sum/BITS`: numbers below 2^BITS that add up from `start` to `result`.

use num_traits::One;
use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::{EvalAtRow, ORIGINAL_TRACE_IDX};

use super::{
    constant, lookup, number, preprocessed, Air, Component, ComponentShape, Description, Inputs,
    Rows,
};
use crate::prologue::RelationElements;

pub(super) fn parse(args: &[&str]) -> Option<Box<dyn Air>> {
    let &[bits] = args else { return None };
    let bits = number(bits, 1..=24)?;
    Some(Box::new(RangeSum { bits }))
}

struct RangeSum {
    bits: u32,
}

impl Air for RangeSum {
    fn description(&self) -> Description {
        Description {
            components: vec![
                ComponentShape::new("sum", "value total"),
                ComponentShape::new("table", "multiplicity").of_size(Some(self.bits)),
            ],
            preprocessed: vec![
                ("range_sum_is_first".into(), 0),
                ("range_sum_is_last".into(), 0),
                ("range_sum_table".into(), 1),
            ],
            n_relations: 1,
            public: vec![("start", Some(1)), ("result", Some(1))],
        }
    }

    fn rows(&self, inputs: &Inputs<'_>) -> Vec<Rows> {
        let range = &inputs.relations[0];
        let sum = Sum {
            start: inputs.public[0][0],
            result: inputs.public[1][0],
            range: range.clone(),
        };
        let table = Table {
            range: range.clone(),
        };
        vec![sum.into(), table.into()]
    }
}

#[derive(Clone, Debug)]
pub struct Sum {
    start: BaseField,
    result: BaseField,
    range: RelationElements,
}

impl Component for Sum {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let is_first = preprocessed(eval, "range_sum_is_first");
        let is_last = preprocessed(eval, "range_sum_is_last");
        let value = eval.next_trace_mask();
        let [previous, total] = eval.next_interaction_mask(ORIGINAL_TRACE_IDX, [-1, 0]);
        let (start, result) = (E::F::from(self.start), E::F::from(self.result));

        eval.add_constraint(is_first.clone() * (total.clone() - value.clone() - start));
        // Constraints are cyclic: without the selector row 0 would add to the last total.
        eval.add_constraint(
            (constant::<E>(1) - is_first) * (total.clone() - previous - value.clone()),
        );
        eval.add_constraint(is_last * (total - result));

        lookup(eval, &self.range, E::EF::one(), &[value]);
        eval.finalize_logup_in_pairs();
    }
}

#[derive(Clone, Debug)]
pub struct Table {
    range: RelationElements,
}

impl Component for Table {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let value = preprocessed(eval, "range_sum_table");
        let multiplicity = eval.next_trace_mask();
        lookup(eval, &self.range, E::EF::from(-multiplicity), &[value]);
        eval.finalize_logup_in_pairs();
    }
}
