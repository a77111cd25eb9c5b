//! The value component of Xor, And and Or, and the table of nibbles behind it.

use std::array;

use num_traits::Zero;
use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::EvalAtRow;

use super::columns::columns;
use super::values::{part, table, weigh};
use super::{constant, preprocessed, provide, take, Component, Part, CO};
use crate::prologue::RelationElements;

const XOR: u32 = 5;
const AND: u32 = 24;
const OR: u32 = 25;

/// Nibbles of a word.
const LIMBS: usize = 8;

const COLUMNS: &[&str] = &[
    "a", "b", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "b1", "b2", "b3", "b4", "b5", "b6", "b7",
    "a_hint", "b_hint", "and0", "and1", "and2", "and3", "and4", "and5", "and6", "and7", "xor_uses",
    "and_uses", "or_uses",
];

/// The relation of the nibbles is the last one.
fn nibbles(relations: &[RelationElements]) -> RelationElements {
    relations.last().expect("relations").clone()
}

/// Exclusive or, and, or: from the nibbles of both words, the highest below 2^3.
#[derive(Clone, Debug)]
pub struct Bitwise {
    co: RelationElements,
    nibbles: RelationElements,
}

impl Bitwise {
    pub(super) fn part() -> Part {
        part("bitwise", COLUMNS, |relations| {
            let (co, nibbles) = (relations[CO].clone(), nibbles(relations));
            Self { co, nibbles }.into()
        })
    }
}

impl Component for Bitwise {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let mut next = |_| eval.next_trace_mask();
        let [a, b]: [E::F; 2] = array::from_fn(&mut next);
        let (a_higher, b_higher) = (array::from_fn(&mut next), array::from_fn(&mut next));
        let [a_hint, b_hint] = array::from_fn(&mut next);
        let and: [E::F; LIMBS] = array::from_fn(&mut next);
        let [xor_uses, and_uses, or_uses] = array::from_fn(&mut next);

        let a_limbs = limbs(eval, a.clone(), a_higher, a_hint);
        let b_limbs = limbs(eval, b.clone(), b_higher, b_hint);
        let limbs = a_limbs.into_iter().zip(b_limbs).zip(and.clone());
        let mut tuples: Vec<_> = limbs.map(|((u, v), w)| [u, v, w]).collect();
        let highest = tuples[LIMBS - 1].clone();
        tuples.push(highest.map(|limb| limb * BaseField::from(2)));
        for tuple in &tuples {
            take(eval, &self.nibbles, constant::<E>(1), tuple);
        }

        let meet = || weigh::<E>(&and, 1 << 4);
        let sum = || a.clone() + b.clone();
        for (opcode, x, uses) in [
            (XOR, sum() - meet() * BaseField::from(2), xor_uses),
            (AND, meet(), and_uses),
            (OR, sum() - meet(), or_uses),
        ] {
            let tuple = [constant::<E>(opcode), a.clone(), b.clone(), x];
            provide(eval, &self.co, uses, &tuple);
        }
        eval.finalize_logup_in_pairs();
    }
}

/// The eight nibbles of a word from the seven higher ones. They are not those of p: the sum of what
/// they lack to be all ones has an inverse, the hint.
fn limbs<E: EvalAtRow>(
    eval: &mut E,
    word: E::F,
    higher: [E::F; LIMBS - 1],
    hint: E::F,
) -> Vec<E::F> {
    let mut limbs = vec![E::F::zero()];
    limbs.extend(higher);
    limbs[0] = word - weigh::<E>(&limbs, 1 << 4);
    let lack = constant::<E>(7 * 15 + 7) - weigh::<E>(&limbs, 1);
    eval.add_constraint(lack * hint - constant::<E>(1));
    limbs
}

columns! { Pair: nibbles_u nibbles_v nibbles_and }

/// All pairs of numbers below 2^4, with their common bits.
#[derive(Clone, Debug)]
pub struct Nibbles {
    nibbles: RelationElements,
}

impl Nibbles {
    pub(super) fn part() -> Part {
        table("nibbles", Pair::<()>::NAMES, |relations| {
            let nibbles = nibbles(relations);
            Self { nibbles }.into()
        })
    }
}

impl Component for Nibbles {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let pair = Pair::read(|id| preprocessed(eval, id));
        let uses = eval.next_trace_mask();
        provide(eval, &self.nibbles, uses, &pair.to_vec());
        eval.finalize_logup_in_pairs();
    }
}
