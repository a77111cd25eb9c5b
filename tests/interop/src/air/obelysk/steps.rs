//! The steps of an execution, the program that they follow and the memory that they use.

use stwo::core::fields::m31::BaseField;
use stwo_constraint_framework::{EvalAtRow, ORIGINAL_TRACE_IDX};

use super::columns::columns;
use super::{
    constant, preprocessed, provide, take, Component, ComponentShape, Part, AGE, CELL, CO,
    INSTRUCTION, MEMORY, OUTPUT, REGISTER, STACK,
};
use crate::prologue::RelationElements;

const HALT: u32 = 255;

columns! {
    /// A decoded instruction. A step reads the words a, b and d of src1, src2 and dst and computes
    ///
    /// ```text
    /// r       = r_ab a b + r_a a + r_b b + r_d d + stack depth + r_1
    /// value   = v_r r + v_x x + v_b b + v_q a / r + v_z r / r + v_1
    /// next_pc = seq + delta r / r + stack v_x value
    /// ```
    ///
    /// where 1 / 0 is 0 and x comes from memory, from the stack or from a value component.
    Instruction:
        pc op src1 src2 dst
        use1 keep1 use2 keep2 same access_d write
        r_ab r_a r_b r_d r_1 stack v_r v_x v_b v_q v_z v_1
        mem co out seq delta
}

columns! {
    /// What a step has besides its instruction.
    Step:
        next_pc a b d r x value inverse
        time_a time_b time_d time_x depth out_index age_uses
}

columns! {
    /// Columns of both that are also read on the row before, in the order of the columns.
    Before: stack v_x out next_pc depth out_index
}

columns! { Clock: step_first step_last step_clk }
columns! { Closing: time word }
columns! { Cell: cell_space cell_address cell_word cell_init cell_live }

fn rom(name: &str) -> String {
    format!("rom_{name}")
}

pub(super) fn parts() -> Vec<Part> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let mut rom_columns: Vec<_> = Instruction::<()>::NAMES.iter().map(|n| rom(n)).collect();
    rom_columns.push("rom_live".into());
    vec![
        Part {
            shape: ComponentShape::of_columns(
                "steps",
                &[Instruction::<()>::NAMES, Step::<()>::NAMES].concat(),
            ),
            preprocessed: owned(Clock::<()>::NAMES),
            rows: |relations| {
                let steps = Steps {
                    instruction: relations[INSTRUCTION].clone(),
                    co: relations[CO].clone(),
                    cell: relations[CELL].clone(),
                    age: relations[AGE].clone(),
                    output: relations[OUTPUT].clone(),
                };
                Box::new(steps).into()
            },
        },
        Part {
            shape: ComponentShape::of_columns("program", &["uses"]),
            preprocessed: rom_columns,
            rows: |relations| {
                let instruction = relations[INSTRUCTION].clone();
                Program { instruction }.into()
            },
        },
        Part {
            shape: ComponentShape::of_columns("memory", Closing::<()>::NAMES),
            preprocessed: owned(Cell::<()>::NAMES),
            rows: |relations| {
                let cell = relations[CELL].clone();
                Memory { cell }.into()
            },
        },
    ]
}

/// One step a row, at time clk + 1; time 0 is the initial state.
#[derive(Clone, Debug)]
pub struct Steps {
    instruction: RelationElements,
    co: RelationElements,
    cell: RelationElements,
    age: RelationElements,
    output: RelationElements,
}

impl Component for Steps {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let clock = Clock::read(|id| preprocessed(eval, id));
        let mut before = vec![];
        let mut next = |name| {
            if !Before::<E::F>::NAMES.contains(&name) {
                return eval.next_trace_mask();
            }
            let [previous, current] = eval.next_interaction_mask(ORIGINAL_TRACE_IDX, [-1, 0]);
            before.push(previous);
            current
        };
        let op = Instruction::read(&mut next);
        let row = Step::read(&mut next);
        let mut before = before.into_iter();
        let before = Before::read(|_| before.next().expect("a mask for each name"));

        control(eval, &clock, &before, &op, &row);
        formula(eval, &op, &row);
        operands(eval, &op, &row);
        self.lookups(eval, &clock, &op, &row);
    }
}

/// Starts at pc 0, goes where each step says and ends in a halt, which repeats itself.
fn control<E: EvalAtRow>(
    eval: &mut E,
    clock: &Clock<E::F>,
    before: &Before<E::F>,
    op: &Instruction<E::F>,
    row: &Step<E::F>,
) {
    let first = || clock.step_first();
    let later = || constant::<E>(1) - first();
    eval.add_constraint(first() * op.pc());
    eval.add_constraint(later() * (op.pc() - before.next_pc()));
    eval.add_constraint(clock.step_last() * (op.op() - constant::<E>(HALT)));

    // A call goes one deeper, a return (stack v_x = 1) one back.
    let returns = before.stack() * before.v_x();
    let depth = before.depth() + before.stack() - returns * BaseField::from(2);
    eval.add_constraint(first() * row.depth());
    eval.add_constraint(later() * (row.depth() - depth));

    eval.add_constraint(first() * row.out_index());
    eval.add_constraint(later() * (row.out_index() - before.out_index() - before.out()));
}

/// The formula of `Instruction`.
fn formula<E: EvalAtRow>(eval: &mut E, op: &Instruction<E::F>, row: &Step<E::F>) {
    let nonzero = || row.r() * row.inverse();
    let is_zero = || constant::<E>(1) - nonzero();

    let r = op.r_ab() * row.a() * row.b()
        + op.r_a() * row.a()
        + op.r_b() * row.b()
        + op.r_d() * row.d()
        + op.stack() * row.depth()
        + op.r_1();
    eval.add_constraint(row.r() - r);
    eval.add_constraint(row.r() * is_zero());
    eval.add_constraint(row.inverse() * is_zero());
    // A division has a divisor.
    eval.add_constraint(op.v_q() * is_zero());

    let value = op.v_r() * row.r()
        + op.v_x() * row.x()
        + op.v_b() * row.b()
        + op.v_q() * row.a() * row.inverse()
        + op.v_z() * nonzero()
        + op.v_1();
    eval.add_constraint(row.value() - value);

    let popped = op.stack() * op.v_x() * row.value();
    eval.add_constraint(row.next_pc() - op.seq() - op.delta() * nonzero() - popped);
}

/// Operands that share an access are equal; what no access gives is 0.
fn operands<E: EvalAtRow>(eval: &mut E, op: &Instruction<E::F>, row: &Step<E::F>) {
    let one = || constant::<E>(1);
    let over_a = || op.use1() - op.keep1();
    let over_b = || op.use2() - op.keep2();
    eval.add_constraint((one() - op.use1()) * row.a());
    eval.add_constraint((one() - op.use2() - op.same()) * row.b());
    eval.add_constraint(op.same() * (row.b() - row.a()));
    eval.add_constraint((one() - op.access_d() - over_a() - over_b()) * row.d());
    eval.add_constraint(over_a() * (row.d() - row.a()));
    eval.add_constraint(over_b() * (row.d() - row.b()));
    eval.add_constraint((one() - op.mem() - op.co()) * row.x());

    eval.add_constraint((one() - op.use1()) * row.time_a());
    eval.add_constraint((one() - op.use2()) * row.time_b());
    eval.add_constraint((one() - op.access_d()) * row.time_d());
    eval.add_constraint((one() - op.mem()) * row.time_x());
}

impl Steps {
    /// An access takes a cell as the last access left it, at a time before, and leaves it anew.
    fn lookups<E: EvalAtRow>(
        &self,
        eval: &mut E,
        clock: &Clock<E::F>,
        op: &Instruction<E::F>,
        row: &Step<E::F>,
    ) {
        let Self {
            instruction,
            co,
            cell,
            age,
            output,
        } = self;
        take(eval, instruction, constant::<E>(1), &op.to_vec());
        take(eval, co, op.co(), &[op.op(), row.a(), row.r(), row.x()]);

        let register = |number, time, word| [constant::<E>(REGISTER), number, time, word];
        let now = || clock.step_clk() + constant::<E>(1);
        let (a, b) = (op.src1(), op.src2());
        let old = register(a.clone(), row.time_a(), row.a());
        take(eval, cell, op.use1(), &old);
        provide(eval, cell, op.keep1(), &register(a, now(), row.a()));
        let old = register(b.clone(), row.time_b(), row.b());
        take(eval, cell, op.use2(), &old);
        provide(eval, cell, op.keep2(), &register(b, now(), row.b()));
        let old = register(op.dst(), row.time_d(), row.d());
        take(eval, cell, op.access_d(), &old);
        let new = register(op.dst(), now(), row.value());
        provide(eval, cell, op.write(), &new);

        let space = op.stack() * BaseField::from(STACK - MEMORY) + constant::<E>(MEMORY);
        let old = [space.clone(), row.r(), row.time_x(), row.x()];
        take(eval, cell, op.mem(), &old);
        provide(eval, cell, op.mem(), &[space, row.r(), now(), row.value()]);

        let clk = || clock.step_clk();
        take(eval, age, op.use1(), &[clk() - row.time_a()]);
        take(eval, age, op.use2(), &[clk() - row.time_b()]);
        take(eval, age, op.access_d(), &[clk() - row.time_d()]);
        take(eval, age, op.mem(), &[clk() - row.time_x()]);
        provide(eval, age, row.age_uses(), &[clk()]);

        take(eval, output, op.out(), &[row.out_index(), row.value()]);
        eval.finalize_logup_in_pairs();
    }
}

/// The decoded instructions, each with the number of steps that execute it.
#[derive(Clone, Debug)]
pub struct Program {
    instruction: RelationElements,
}

impl Component for Program {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let op = Instruction::read(|name| preprocessed(eval, &rom(name)));
        let live = preprocessed(eval, "rom_live");
        let uses = eval.next_trace_mask();

        // Padding is never executed.
        eval.add_constraint((constant::<E>(1) - live) * uses.clone());
        provide(eval, &self.instruction, uses, &op.to_vec());
        eval.finalize_logup_in_pairs();
    }
}

/// Registers and cells: each is initialised once and closed once. The verifier's own terms
/// initialise the cells of the input.
#[derive(Clone, Debug)]
pub struct Memory {
    cell: RelationElements,
}

impl Component for Memory {
    fn evaluate<E: EvalAtRow>(&self, eval: &mut E) {
        let cell = Cell::read(|id| preprocessed(eval, id));
        let row = Closing::read(|_| eval.next_trace_mask());
        let padding = || constant::<E>(1) - cell.cell_live();
        let at = |time, word| [cell.cell_space(), cell.cell_address(), time, word];

        eval.add_constraint(padding() * row.time());
        eval.add_constraint(padding() * row.word());
        let initial = at(constant::<E>(0), cell.cell_word());
        provide(eval, &self.cell, cell.cell_init(), &initial);
        let last = at(row.time(), row.word());
        take(eval, &self.cell, cell.cell_live(), &last);
        eval.finalize_logup_in_pairs();
    }
}
