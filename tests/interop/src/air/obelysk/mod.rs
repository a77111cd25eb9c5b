//! `obelysk/FEATURES/INPUT_ADDRESS/PROGRAM_HASH`: executions of the Obelysk virtual machine.
//!
//! FEATURES has a bit for each value component that the program needs; constraints depend on
//! nothing else. The program and the initial memory are in tree 0, hence in the key, and the hash
//! only names them. The input has its place in memory at INPUT_ADDRESS, where the verifier's own
//! terms initialise it. `docs/obelysk.md` describes the machine.

mod bitwise;
mod columns;
mod steps;
mod values;

use num_traits::One;
use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::EvalAtRow;

use super::{
    constant, lookup, number, preprocessed, Air, Component, ComponentShape, Description, Inputs,
    PublicTerm, Rows,
};
use crate::prologue::RelationElements;
pub use bitwise::{Bitwise, Nibbles};
pub use steps::{Memory, Program, Steps};
pub use values::{Bytes, Less, Relu, Shift};

/// Bits of FEATURES.
const RELU: u32 = 1 << 0;
const LESS: u32 = 1 << 1;
const SHIFT: u32 = 1 << 2;
const BITWISE: u32 = 1 << 3;

/// Relations in the order in which their elements are drawn. Behind them come those of the tables:
/// bytes at `BYTE` if there are any, then pairs of nibbles.
const INSTRUCTION: usize = 0;
const CO: usize = 1; // opcode, a, r, x
const CELL: usize = 2; // space, address, time of the last access, word
const AGE: usize = 3;
const OUTPUT: usize = 4; // index, word
const BYTE: usize = 5;

/// Spaces of the memory argument.
const REGISTER: u32 = 0;
const MEMORY: u32 = 1;
const STACK: u32 = 2;

/// Largest address at which an input can begin.
const MAX_MEMORY: u32 = 1 << 24;

pub(super) fn parse(args: &[&str]) -> Option<Box<dyn Air>> {
    let &[features, input_address, hash] = args else {
        return None;
    };
    let features = number(features, 0..=(RELU | LESS | SHIFT | BITWISE))?;
    let input_address = number(input_address, 0..=MAX_MEMORY)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (hash.len() == 64 && hash.bytes().all(is_digit)).then(|| {
        Box::new(Obelysk {
            features,
            input_address,
        }) as _
    })
}

struct Obelysk {
    features: u32,
    input_address: u32,
}

/// A component: its shape, its preprocessed columns, and how it is made from all relations.
struct Part {
    shape: ComponentShape,
    preprocessed: Vec<String>,
    rows: fn(&[RelationElements]) -> Rows,
}

impl Obelysk {
    fn has(&self, features: u32) -> bool {
        self.features & features != 0
    }

    /// The components, in order.
    fn parts(&self) -> Vec<Part> {
        let mut parts = steps::parts();
        let value_parts = [
            (RELU, Relu::part as fn() -> Part),
            (LESS, Less::part),
            (SHIFT, Shift::part),
            (BITWISE, Bitwise::part),
            (RELU | LESS | SHIFT, Bytes::part),
            (BITWISE, Nibbles::part),
        ];
        let needed = value_parts.iter().filter(|(users, _)| self.has(*users));
        parts.extend(needed.map(|(_, part)| part()));
        parts
    }
}

impl Air for Obelysk {
    fn description(&self) -> Description {
        let n_tables = usize::from(self.has(RELU | LESS | SHIFT)) + usize::from(self.has(BITWISE));
        let mut description = Description {
            n_relations: BYTE + n_tables,
            public: vec![("input", None), ("output", None)],
            ..Description::default()
        };
        for (index, part) in self.parts().into_iter().enumerate() {
            let ids = part.preprocessed.into_iter();
            description.preprocessed.extend(ids.map(|id| (id, index)));
            description.components.push(part.shape);
        }
        description
    }

    fn rows(&self, inputs: &Inputs<'_>) -> Vec<Rows> {
        let parts = self.parts().into_iter();
        parts.map(|part| (part.rows)(inputs.relations)).collect()
    }

    /// The verifier initialises the cells of the input and takes every word of the output once.
    fn public_terms(&self, public: &[Vec<BaseField>]) -> Vec<PublicTerm> {
        let provide = |relation, values: &[BaseField]| PublicTerm {
            relation,
            values: values.to_vec(),
            multiplicity: -BaseField::one(),
        };
        let inputs = public[0].iter().enumerate().map(|(i, word)| {
            let address = BaseField::from(self.input_address) + BaseField::from(i);
            let (space, time) = (BaseField::from(MEMORY), BaseField::from(0));
            provide(CELL, &[space, address, time, *word])
        });
        let outputs = public[1].iter().enumerate();
        let outputs = outputs.map(|(i, word)| provide(OUTPUT, &[BaseField::from(i), *word]));
        inputs.chain(outputs).collect()
    }
}

/// Uses a tuple `multiplicity` times.
fn take<E: EvalAtRow>(
    eval: &mut E,
    relation: &RelationElements,
    multiplicity: E::F,
    values: &[E::F],
) {
    lookup(eval, relation, multiplicity.into(), values);
}

/// Provides a tuple `multiplicity` times.
fn provide<E: EvalAtRow>(
    eval: &mut E,
    relation: &RelationElements,
    multiplicity: E::F,
    values: &[E::F],
) {
    lookup(eval, relation, (-multiplicity).into(), values);
}
