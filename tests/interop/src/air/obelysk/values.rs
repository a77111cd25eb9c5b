//! Value components, for what needs the integer behind a word: ReLU, comparisons and shifts.
//!
//! A component provides tuples (opcode, a, r, x): x is the result for the operands a and r. Every
//! row speaks for itself. A word in limbs could also be p, which is 0 in the field: an inverse, the
//! hint, excludes it.

use num_traits::Zero;
use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::EvalAtRow;

use super::columns::columns;
use super::{constant, preprocessed, provide, take, Component, ComponentShape, Part, BYTE, CO};
use crate::air::Rows;
use crate::prologue::RelationElements;

const LT: u32 = 17;
const RELU: u32 = 19;
const SHR: u32 = 20;

/// Largest shift.
const MAX_SHIFT: u32 = 16;

/// Rows of the tables: bytes, and pairs of nibbles.
const LOG_TABLE: u32 = 8;

pub(super) fn part(
    name: &'static str,
    columns: &[&str],
    rows: fn(&[RelationElements]) -> Rows,
) -> Part {
    Part {
        shape: ComponentShape::of_columns(name, columns),
        preprocessed: vec![],
        rows,
    }
}

pub(super) fn table(
    name: &'static str,
    ids: &[&str],
    rows: fn(&[RelationElements]) -> Rows,
) -> Part {
    let part = part(name, &["uses"], rows);
    Part {
        shape: part.shape.of_size(Some(LOG_TABLE)),
        preprocessed: ids.iter().map(|id| (*id).into()).collect(),
        ..part
    }
}

/// The sum of `limbs[i] base^i`.
pub(super) fn weigh<E: EvalAtRow>(limbs: &[E::F], base: u32) -> E::F {
    let rest = limbs.iter().rev().cloned();
    rest.fold(E::F::zero(), |sum, limb| sum * BaseField::from(base) + limb)
}

/// `bit` is the lowest bit of the canonical word `value`: value = 2 h + bit with h in four bytes,
/// the highest of them below 2^6. `word` is the three higher bytes and the hint.
fn parity<E: EvalAtRow>(
    eval: &mut E,
    byte: &RelationElements,
    value: E::F,
    bit: E::F,
    word: [E::F; 4],
) {
    let one = || constant::<E>(1);
    let [h1, h2, h3, hint] = word;
    eval.add_constraint(bit.clone() * (one() - bit.clone()));
    eval.add_constraint(bit.clone() * (one() - value.clone() * hint.clone()));
    eval.add_constraint((one() - bit.clone()) * hint);

    let half = (value - bit) * BaseField::from(2).inverse();
    let higher = weigh::<E>(&[E::F::zero(), h1.clone(), h2.clone(), h3.clone()], 1 << 8);
    let highest = h3.clone() * BaseField::from(4);
    for limb in [half - higher, h1, h2, h3, highest] {
        take(eval, byte, one(), &[limb]);
    }
}

columns! { ReluRow: a negative x h1 h2 h3 hint uses }

/// The word itself, or 0 if it is above (p - 1) / 2: then its double wraps, and is odd.
#[derive(Clone, Debug)]
pub struct Relu {
    co: RelationElements,
    byte: RelationElements,
}

impl Relu {
    pub(super) fn part() -> Part {
        part("relu", ReluRow::<()>::NAMES, |relations| {
            let (co, byte) = (relations[CO].clone(), relations[BYTE].clone());
            Self { co, byte }.into()
        })
    }
}

impl Component for Relu {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let row = ReluRow::read(|_| eval.next_trace_mask());
        let double = row.a() * BaseField::from(2);
        let word = [row.h1(), row.h2(), row.h3(), row.hint()];
        parity(eval, &self.byte, double, row.negative(), word);
        eval.add_constraint(row.x() - row.a() + row.a() * row.negative());

        let tuple = [constant::<E>(RELU), row.a(), E::F::zero(), row.x()];
        provide(eval, &self.co, row.uses(), &tuple);
        eval.finalize_logup_in_pairs();
    }
}

columns! {
    LessRow:
        a b odd_a odd_b odd_d differ x
        a_h1 a_h2 a_h3 a_hint
        b_h1 b_h2 b_h3 b_hint
        d_h1 d_h2 d_h3 d_hint
        uses
}

/// Whether a < b: then a - b wraps, and p, an odd number, is added to the difference.
#[derive(Clone, Debug)]
pub struct Less {
    co: RelationElements,
    byte: RelationElements,
}

impl Less {
    pub(super) fn part() -> Part {
        part("less", LessRow::<()>::NAMES, |relations| {
            let (co, byte) = (relations[CO].clone(), relations[BYTE].clone());
            Self { co, byte }.into()
        })
    }
}

impl Component for Less {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let row = LessRow::read(|_| eval.next_trace_mask());
        let word = [row.a_h1(), row.a_h2(), row.a_h3(), row.a_hint()];
        parity(eval, &self.byte, row.a(), row.odd_a(), word);
        let word = [row.b_h1(), row.b_h2(), row.b_h3(), row.b_hint()];
        parity(eval, &self.byte, row.b(), row.odd_b(), word);
        let word = [row.d_h1(), row.d_h2(), row.d_h3(), row.d_hint()];
        parity(eval, &self.byte, row.a() - row.b(), row.odd_d(), word);

        let xor = |u: E::F, v: E::F| u.clone() + v.clone() - u * v * BaseField::from(2);
        eval.add_constraint(row.differ() - xor(row.odd_a(), row.odd_b()));
        eval.add_constraint(row.x() - xor(row.differ(), row.odd_d()));

        let tuple = [constant::<E>(LT), row.a(), row.b(), row.x()];
        provide(eval, &self.co, row.uses(), &tuple);
        eval.finalize_logup_in_pairs();
    }
}

columns! {
    ShiftRow:
        a m cofactor
        rem0 rem1 low0 low1 high0 high1 rem_scaled0 rem_scaled1 high_scaled0 high_scaled1
        hint uses
}

/// The signed word a divided by m = 2^k and rounded down.
///
/// The word a + 2^30 = q m + rem is in 1..p, with rem < m and q = low + 2^15 high < 2^(31 - k); the
/// result is q - 2^(30 - k). Programs fix m, and cofactor = 2^16 / m scales the bounds.
#[derive(Clone, Debug)]
pub struct Shift {
    co: RelationElements,
    byte: RelationElements,
}

impl Shift {
    pub(super) fn part() -> Part {
        part("shift", ShiftRow::<()>::NAMES, |relations| {
            let (co, byte) = (relations[CO].clone(), relations[BYTE].clone());
            Self { co, byte }.into()
        })
    }
}

impl Component for Shift {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let row = ShiftRow::read(|_| eval.next_trace_mask());
        let half_word = |low, high| weigh::<E>(&[low, high], 1 << 8);
        let rem = || half_word(row.rem0(), row.rem1());
        let low = || half_word(row.low0(), row.low1());
        let high = || half_word(row.high0(), row.high1());
        let q = || low() + high() * BaseField::from(1 << 15);
        let rem_scaled = half_word(row.rem_scaled0(), row.rem_scaled1());
        let high_scaled = half_word(row.high_scaled0(), row.high_scaled1());

        eval.add_constraint(row.m() * row.cofactor() - constant::<E>(1 << MAX_SHIFT));
        eval.add_constraint(q() * row.m() + rem() - row.a() - constant::<E>(1 << 30));
        eval.add_constraint(rem() * row.cofactor() - rem_scaled);
        eval.add_constraint(high() * row.m() - high_scaled);
        eval.add_constraint((rem() + low() + high()) * row.hint() - constant::<E>(1));

        let two = BaseField::from(2);
        for limb in [
            row.rem0(),
            row.rem1(),
            row.rem_scaled0(),
            row.rem_scaled1(),
            row.low0(),
            row.low1(),
            row.high0(),
            row.high1(),
            row.low1() * two,
            row.high1() * two,
            row.high_scaled0(),
            row.high_scaled1(),
        ] {
            take(eval, &self.byte, constant::<E>(1), &[limb]);
        }
        let x = q() - row.cofactor() * BaseField::from(1 << (30 - MAX_SHIFT));
        let tuple = [constant::<E>(SHR), row.a(), row.m(), x];
        provide(eval, &self.co, row.uses(), &tuple);
        eval.finalize_logup_in_pairs();
    }
}

/// The numbers below 2^8.
#[derive(Clone, Debug)]
pub struct Bytes {
    byte: RelationElements,
}

impl Bytes {
    pub(super) fn part() -> Part {
        table("bytes", &["byte_value"], |relations| {
            let byte = relations[BYTE].clone();
            Self { byte }.into()
        })
    }
}

impl Component for Bytes {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let value = preprocessed(eval, "byte_value");
        let uses = eval.next_trace_mask();
        provide(eval, &self.byte, uses, &[value]);
        eval.finalize_logup_in_pairs();
    }
}
