//! The AIRs, each in a file of its own.
//!
//! A new AIR is a file or a folder beside this one, its component types in `components!` and its
//! name in `resolve`. Order matters everywhere: columns, constraints and lookup entries are
//! numbered in the order in which `evaluate` asks for them.

mod legacy26;
mod obelysk;
mod plonk;
mod range_sum;
mod state_machine;
mod wide_fibonacci;

use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::preprocessed_columns::PreProcessedColumnId;
use stwo_constraint_framework::{EvalAtRow, FrameworkEval, RelationEntry};

use crate::prologue::RelationElements;

/// Constraints and lookups of one component, written once for verifier and prover.
trait Component {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E);
}

macro_rules! components {
    ($($variant:ident($type:ty)),+ $(,)?) => {
        /// A component of any AIR. One type, because upstream's evaluation is not object safe.
        #[derive(Clone, Debug)]
        pub enum Rows { $($variant($type)),+ }

        $(impl From<$type> for Rows {
            fn from(component: $type) -> Self { Self::$variant(component) }
        })+

        impl Rows {
            fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
                match self { $(Self::$variant(component) => component.evaluate(eval)),+ }
            }
        }
    };
}

components! {
    WideFibonacci(wide_fibonacci::Sequence),
    Plonk(plonk::Gate),
    StateMachine(state_machine::Increment),
    Legacy26(legacy26::Steps),
    RangeSum(range_sum::Sum),
    RangeTable(range_sum::Table),
    // Boxed: it has many relations, and all components are of one type.
    ObelyskSteps(Box<obelysk::Steps>),
    ObelyskProgram(obelysk::Program),
    ObelyskMemory(obelysk::Memory),
    ObelyskRelu(obelysk::Relu),
    ObelyskLess(obelysk::Less),
    ObelyskShift(obelysk::Shift),
    ObelyskBitwise(obelysk::Bitwise),
    ObelyskBytes(obelysk::Bytes),
    ObelyskNibbles(obelysk::Nibbles),
}

/// The AIR of an id such as `wide_fibonacci/26`.
pub fn resolve(id: &str) -> Option<Box<dyn Air>> {
    let mut parts = id.split('/');
    let (name, args) = (parts.next()?, parts.collect::<Vec<_>>());
    match name {
        "wide_fibonacci" => wide_fibonacci::parse(&args),
        "plonk" => plonk::parse(&args),
        "state_machine" => state_machine::parse(&args),
        "legacy26" => legacy26::parse(&args),
        "range_sum" => range_sum::parse(&args),
        "obelysk" => obelysk::parse(&args),
        _ => None,
    }
}

/// A family of components with public values.
pub trait Air {
    fn description(&self) -> Description;

    /// The components, in the order of the description.
    fn rows(&self, inputs: &Inputs<'_>) -> Vec<Rows>;

    /// LogUp entries that the verifier adds by itself.
    fn public_terms(&self, _public: &[Vec<BaseField>]) -> Vec<PublicTerm> {
        vec![]
    }
}

/// The shape of an AIR, whatever its sizes and public values.
#[derive(Clone, Debug, Default)]
pub struct Description {
    pub components: Vec<ComponentShape>,
    /// Columns of tree 0 in order: id, and the component whose size it has.
    pub preprocessed: Vec<(String, usize)>,
    pub n_relations: usize,
    /// Public vectors in declaration order, with their lengths. Those of any length are for
    /// `public_terms` alone: constraints must not depend on them.
    pub public: Vec<(&'static str, Option<usize>)>,
}

#[derive(Clone, Debug)]
pub struct ComponentShape {
    pub name: &'static str,
    pub columns: Vec<String>,
    /// The only log size that the component can have, where it is not free.
    pub log_size: Option<u32>,
}

impl ComponentShape {
    fn new(name: &'static str, columns: &str) -> Self {
        Self::of_columns(name, &columns.split_whitespace().collect::<Vec<_>>())
    }

    fn of_columns(name: &'static str, columns: &[&str]) -> Self {
        Self {
            name,
            columns: columns.iter().map(|column| (*column).into()).collect(),
            log_size: None,
        }
    }

    fn of_size(mut self, log_size: Option<u32>) -> Self {
        self.log_size = log_size;
        self
    }
}

/// What constraints may depend on besides the columns.
pub struct Inputs<'a> {
    pub public: &'a [Vec<BaseField>],
    pub relations: &'a [RelationElements],
}

/// `multiplicity / combine(values)` in the relation of that index.
pub struct PublicTerm {
    pub relation: usize,
    pub values: Vec<BaseField>,
    pub multiplicity: BaseField,
}

/// A component of a known size, in the form that upstream evaluates.
pub struct Eval {
    pub rows: Rows,
    pub log_size: u32,
}

impl FrameworkEval for Eval {
    fn log_size(&self) -> u32 {
        self.log_size
    }

    /// Degree 3 at most, the one bound that the protocol supports.
    fn max_constraint_log_degree_bound(&self) -> u32 {
        self.log_size + 1
    }

    fn evaluate<E: EvalAtRow>(&self, mut eval: E) -> E {
        self.rows.evaluate(&mut eval);
        eval
    }
}

fn preprocessed<E: EvalAtRow>(eval: &mut E, id: &str) -> E::F {
    eval.get_preprocessed_column(PreProcessedColumnId { id: id.to_owned() })
}

fn constant<E: EvalAtRow>(value: u32) -> E::F {
    E::F::from(BaseField::from(value))
}

fn lookup<E: EvalAtRow>(
    eval: &mut E,
    relation: &RelationElements,
    multiplicity: E::EF,
    values: &[E::F],
) {
    eval.add_to_relation(RelationEntry::new(relation, multiplicity, values));
}

/// A decimal number in its only spelling: `26`, not `026` or `+26`.
fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let value = text.parse().ok()?;
    (range.contains(&value) && value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::resolve;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn only_canonical_ids_resolve() {
        for id in [
            "wide_fibonacci/26",
            "plonk/fibonacci/5",
            "plonk/other",
            "state_machine",
            "legacy26",
            "range_sum/8",
        ] {
            let description = resolve(id).expect(id).description();
            assert!(!description.components.is_empty(), "{id}");
        }
        for id in [
            "",
            "fibonacci",
            "wide_fibonacci",
            "wide_fibonacci/2",
            "wide_fibonacci/026",
            "wide_fibonacci/+26",
            "wide_fibonacci/26/",
            "plonk",
            "plonk/fibonacci/0",
            "legacy26/1",
            "range_sum/25",
        ] {
            assert!(resolve(id).is_none(), "{id}");
        }
    }

    #[test]
    fn only_canonical_ids_of_programs_resolve() {
        for args in ["0/0", "15/16777216"] {
            assert!(
                resolve(&format!("obelysk/{args}/{HASH}")).is_some(),
                "{args}"
            );
        }
        for args in [
            "16/0",
            "00/0",
            "-1/0",
            "/0",
            "0",
            "0/007",
            "0/+7",
            "0/16777217",
            "0/7/7",
        ] {
            assert!(
                resolve(&format!("obelysk/{args}/{HASH}")).is_none(),
                "{args}"
            );
        }
        let last_changed = |last: &str| format!("{}{last}", &HASH[..63]);
        for hash in ["", "e", "g", "F", "/", "ff", "f/"].map(last_changed) {
            let expected = hash.len() == 64 && hash.ends_with('e');
            let id = format!("obelysk/0/0/{hash}");
            assert_eq!(resolve(&id).is_some(), expected, "{id}");
        }
    }

    #[test]
    fn programs_have_the_components_that_they_need() {
        for (features, components, n_relations, n_preprocessed) in [
            (0, "steps program memory", 5, 38),
            (1, "steps program memory relu bytes", 6, 39),
            (3, "steps program memory relu less bytes", 6, 39),
            (4, "steps program memory shift bytes", 6, 39),
            (8, "steps program memory bitwise nibbles", 6, 41),
            (
                15,
                "steps program memory relu less shift bitwise bytes nibbles",
                7,
                42,
            ),
        ] {
            let air = resolve(&format!("obelysk/{features}/0/{HASH}")).expect("an id");
            let description = air.description();
            let names: Vec<_> = description.components.iter().map(|c| c.name).collect();
            assert_eq!(names.join(" "), components);
            assert_eq!(description.n_relations, n_relations);
            assert_eq!(description.preprocessed.len(), n_preprocessed);
        }
    }
}
