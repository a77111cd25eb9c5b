//! `wide_fibonacci/N`: every row is a sequence of N numbers, `c = a^2 + b^2`.

use stwo_constraint_framework::EvalAtRow;

use super::{number, Air, Component, ComponentShape, Description, Inputs, Rows};

pub(super) fn parse(args: &[&str]) -> Option<Box<dyn Air>> {
    let &[n_columns] = args else { return None };
    let n_columns = number(n_columns, 3..=4096)? as usize;
    Some(Box::new(WideFibonacci { n_columns }))
}

struct WideFibonacci {
    n_columns: usize,
}

impl Air for WideFibonacci {
    fn description(&self) -> Description {
        let columns = (0..self.n_columns).map(|i| format!("c{i}")).collect();
        Description {
            components: vec![ComponentShape {
                name: "fibonacci",
                columns,
                log_size: None,
            }],
            ..Description::default()
        }
    }

    fn rows(&self, _: &Inputs<'_>) -> Vec<Rows> {
        let n_columns = self.n_columns;
        vec![Sequence { n_columns }.into()]
    }
}

#[derive(Clone, Debug)]
pub struct Sequence {
    n_columns: usize,
}

impl Component for Sequence {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let mut a = eval.next_trace_mask();
        let mut b = eval.next_trace_mask();
        for _ in 2..self.n_columns {
            let c = eval.next_trace_mask();
            eval.add_constraint(c.clone() - (a.clone() * a + b.clone() * b.clone()));
            (a, b) = (b, c);
        }
    }
}
