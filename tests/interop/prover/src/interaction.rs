//! LogUp columns of any component, from the same `evaluate` that upstream's provers run.
//!
//! Upstream's generators repeat each component's lookups by hand. Going through the rows one by one
//! is slow, and enough for golden proofs.

use std::collections::BTreeMap;
use std::ops::Mul;

use jaxstark_interop::air::Eval;
use num_traits::Zero;
use stwo::core::fields::m31::BaseField;
use stwo::core::fields::qm31::{SecureField, SECURE_EXTENSION_DEGREE};
use stwo::core::fields::FieldExpOps;
use stwo::core::Fraction;
use stwo_constraint_framework::preprocessed_columns::PreProcessedColumnId;
use stwo_constraint_framework::{EvalAtRow, FrameworkEval, ORIGINAL_TRACE_IDX};

/// Columns of one component in row order.
#[derive(Clone)]
pub struct Rows<'a> {
    pub columns: &'a [Vec<BaseField>],
    pub preprocessed: BTreeMap<&'a str, &'a [BaseField]>,
}

/// The LogUp columns of a component.
pub struct Interaction {
    /// In row order, four coordinates for each batch of lookups.
    pub columns: Vec<Vec<BaseField>>,
    pub claimed: SecureField,
}

/// The interaction of a component; `None` without lookups.
///
/// Fails on the first row that breaks a constraint, which upstream's prover cannot name.
pub fn interaction(eval: &Eval, rows: &Rows<'_>) -> Result<Option<Interaction>, String> {
    let n_rows = 1 << eval.log_size;
    let (mut numerators, mut denominators, mut n_batches) = (vec![], vec![], 0);
    for row in 0..n_rows {
        let result = eval.evaluate(RowEvaluator::new(rows, row));
        if let Some(constraint) = result.violated {
            return Err(format!("row {row} breaks constraint {constraint}"));
        }
        n_batches = result.fractions.len().div_ceil(2);
        for pair in result.fractions.chunks(2) {
            let batch: Fraction<SecureField, SecureField> = pair.iter().copied().sum();
            numerators.push(batch.numerator);
            denominators.push(batch.denominator);
        }
    }
    if n_batches == 0 {
        return Ok(None);
    }
    if denominators.iter().any(SecureField::is_zero) {
        return Err("a lookup has denominator 0".into());
    }
    let inverses = SecureField::batch_inverse(&denominators);
    let mut values = numerators.iter().zip(inverses).map(|(n, d)| *n * d);

    // Within a row the batches add up; the last column also adds up over the rows.
    let mut columns = vec![vec![SecureField::zero(); n_rows]; n_batches];
    for row in 0..n_rows {
        let mut sum = SecureField::zero();
        for column in &mut columns {
            sum += values.next().expect("as many batches in every row");
            column[row] = sum;
        }
    }
    let last = columns.last_mut().expect("at least one batch");
    let claimed: SecureField = last.iter().copied().sum();
    // The shift makes the cyclic sum zero, so that one constraint fits all rows.
    let shift = claimed / BaseField::from(n_rows);
    let mut total = SecureField::zero();
    for value in last {
        total += *value - shift;
        *value = total;
    }
    let coordinates = columns.iter().flat_map(|column| {
        (0..SECURE_EXTENSION_DEGREE)
            .map(|i| column.iter().map(|value| value.to_m31_array()[i]).collect())
    });
    Ok(Some(Interaction {
        columns: coordinates.collect(),
        claimed,
    }))
}

/// Evaluates one row: keeps the lookups, notes the first constraint that does not hold.
struct RowEvaluator<'a> {
    rows: &'a Rows<'a>,
    row: usize,
    next_column: usize,
    n_constraints: usize,
    violated: Option<usize>,
    fractions: Vec<Fraction<SecureField, SecureField>>,
}

impl<'a> RowEvaluator<'a> {
    fn new(rows: &'a Rows<'a>, row: usize) -> Self {
        Self {
            rows,
            row,
            next_column: 0,
            n_constraints: 0,
            violated: None,
            fractions: vec![],
        }
    }
}

impl EvalAtRow for RowEvaluator<'_> {
    type F = BaseField;
    type EF = SecureField;

    fn next_interaction_mask<const N: usize>(
        &mut self,
        interaction: usize,
        offsets: [isize; N],
    ) -> [BaseField; N] {
        assert_eq!(interaction, ORIGINAL_TRACE_IDX);
        let column = &self.rows.columns[self.next_column];
        self.next_column += 1;
        let n_rows = column.len() as isize;
        offsets.map(|offset| column[(self.row as isize + offset).rem_euclid(n_rows) as usize])
    }

    fn get_preprocessed_column(&mut self, column: PreProcessedColumnId) -> BaseField {
        self.rows.preprocessed[column.id.as_str()][self.row]
    }

    fn add_constraint<G>(&mut self, constraint: G)
    where
        Self::EF: Mul<G, Output = Self::EF> + From<G>,
    {
        if self.violated.is_none() && !SecureField::from(constraint).is_zero() {
            self.violated = Some(self.n_constraints);
        }
        self.n_constraints += 1;
    }

    fn combine_ef(values: [BaseField; SECURE_EXTENSION_DEGREE]) -> SecureField {
        SecureField::from_m31_array(values)
    }

    fn write_logup_frac(&mut self, fraction: Fraction<SecureField, SecureField>) {
        self.fractions.push(fraction);
    }

    /// The columns do not exist yet: their constraints hold by construction.
    fn finalize_logup_in_pairs(&mut self) {}
}
