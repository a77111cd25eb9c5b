//! `legacy26`: the 26-column AIR that jaxstark replaces. It proves nothing; it is here because
//! timings are taken on it.

use stwo_constraint_framework::EvalAtRow;

use super::{Air, Component, ComponentShape, Description, Inputs, Rows};

const COLUMNS: &str = "pc_curr reg0_curr reg1_curr pc_next reg0_next reg1_next opcode src1_val \
    src2_val result one is_add is_sub is_mul is_load_imm product is_load is_store mem_addr mem_val \
    dst_b0 dst_b1 dst_b2 dst_b3 dst_b4 dst_idx";

pub(super) fn parse(args: &[&str]) -> Option<Box<dyn Air>> {
    args.is_empty().then(|| Box::new(Legacy26) as _)
}

struct Legacy26;

impl Air for Legacy26 {
    fn description(&self) -> Description {
        Description {
            components: vec![ComponentShape::new("steps", COLUMNS)],
            ..Description::default()
        }
    }

    fn rows(&self, _: &Inputs<'_>) -> Vec<Rows> {
        vec![Steps.into()]
    }
}

#[derive(Clone, Debug)]
pub struct Steps;

impl Component for Steps {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let columns: [E::F; 26] = std::array::from_fn(|_| eval.next_trace_mask());
        let [pc_curr, _, _, pc_next, reg0_next, _, _, src1, src2, result, one, is_add, is_sub, is_mul, is_load_imm, product, is_load, is_store, _, mem_val, bits @ .., dst_idx] =
            columns;
        let bits: [E::F; 5] = bits;
        let boolean = |flag: &E::F| flag.clone() * (one.clone() - flag.clone());

        // C1, C2
        eval.add_constraint(pc_next - pc_curr - one.clone());
        eval.add_constraint(reg0_next - result.clone());
        // C3 to C8
        for selector in [&is_add, &is_sub, &is_mul, &is_load_imm, &is_load, &is_store] {
            eval.add_constraint(boolean(selector));
        }
        // C9 to C15
        eval.add_constraint(is_add * (result.clone() - src1.clone() - src2.clone()));
        eval.add_constraint(is_sub * (result.clone() - src1.clone() + src2.clone()));
        eval.add_constraint(product.clone() - src1.clone() * src2.clone());
        eval.add_constraint(is_mul * (result.clone() - product));
        eval.add_constraint(is_load_imm * (result.clone() - src2));
        eval.add_constraint(is_load * (result - mem_val.clone()));
        eval.add_constraint(is_store * (mem_val - src1));
        // C16 to C20
        for bit in &bits {
            eval.add_constraint(boolean(bit));
        }
        // C21: the weights 2, 4, 8, 16 are sums of `one`.
        let mut weight = one.clone();
        let [mut total, high @ ..] = bits;
        for bit in high {
            weight = weight.clone() + weight;
            total += weight.clone() * bit;
        }
        eval.add_constraint(dst_idx - total);
    }
}
