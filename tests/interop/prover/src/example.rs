//! Satisfying traces from a seed, for AIRs that have such an example, and fixed columns.

use num_traits::{One, Zero};
use serde_json::json;
use stwo::core::fields::m31::BaseField;
use stwo::core::fields::FieldExpOps;

use crate::case::Trace;

/// A trace of the AIR of that id; `None` for an AIR without example or sizes that do not fit.
pub fn trace(id: &str, log_sizes: &[u32], seed: u64) -> Option<Trace> {
    let parts: Vec<_> = id.split('/').collect();
    let random = &mut Random(seed);
    let mut trace = match (parts.as_slice(), log_sizes) {
        (["wide_fibonacci", n], &[k]) => wide_fibonacci(n.parse().ok()?, k, random),
        (["plonk", "fibonacci", _], &[k]) => plonk(k, random),
        (["state_machine"], &[x, y]) => state_machine(x, y, random),
        (["legacy26"], &[k]) => legacy26(k, random),
        (["range_sum", _], &[k, bits]) => range_sum(k, bits, random),
        _ => return None,
    };
    trace.preprocessed = preprocessed(id, log_sizes)?;
    Some(trace)
}

/// The columns of tree 0 where the id says what they are.
pub fn preprocessed(id: &str, log_sizes: &[u32]) -> Option<Vec<Vec<BaseField>>> {
    let parts: Vec<_> = id.split('/').collect();
    let columns = match (parts.as_slice(), log_sizes) {
        (["wide_fibonacci", _] | ["state_machine"] | ["legacy26"], _) => vec![],
        (["plonk", "fibonacci", _], &[k]) => {
            let wires = |first: u32| (first..first + (1 << k)).map(felt).collect();
            vec![wires(0), wires(1), wires(2), vec![felt(1); 1 << k]]
        }
        (["range_sum", _], &[k, bits]) => {
            let selector = |row: usize| {
                let mut column = vec![felt(0); 1 << k];
                column[row] = felt(1);
                column
            };
            let table = (0..1 << bits).map(felt).collect();
            vec![selector(0), selector((1 << k) - 1), table]
        }
        _ => return None,
    };
    Some(columns)
}

fn wide_fibonacci(n_columns: usize, log_size: u32, random: &mut Random) -> Trace {
    let mut columns = vec![random.column(log_size), random.column(log_size)];
    while columns.len() < n_columns {
        let (a, b) = (&columns[columns.len() - 2], &columns[columns.len() - 1]);
        let next = a.iter().zip(b).map(|(a, b)| a.square() + b.square());
        columns.push(next.collect());
    }
    Trace {
        columns: vec![columns],
        ..Trace::default()
    }
}

fn plonk(log_size: u32, random: &mut Random) -> Trace {
    let n = 1 << log_size;
    let mut values = vec![random.felt(), random.felt()];
    while values.len() < n + 2 {
        values.push(values[values.len() - 2] + values[values.len() - 1]);
    }
    let mut mult = vec![felt(2); n];
    mult[n - 2..].fill(felt(1));
    let columns = vec![
        mult,
        values[..n].to_vec(),
        values[1..n + 1].to_vec(),
        values[2..].to_vec(),
    ];
    let public = json!({"inputs": [values[0].0, values[1].0], "outputs": [values[n + 1].0]});
    Trace {
        columns: vec![columns],
        public: public.as_object().cloned().unwrap_or_default(),
        ..Trace::default()
    }
}

fn state_machine(log_x: u32, log_y: u32, random: &mut Random) -> Trace {
    let (x, y) = (random.felt(), random.felt());
    let steps = |from: BaseField, k: u32| (0..1 << k).map(|i| from + felt(i)).collect();
    let (x_end, y_end) = (x + felt(1 << log_x), y + felt(1 << log_y));
    let columns = vec![
        vec![steps(x, log_x), vec![y; 1 << log_x]],
        vec![vec![x_end; 1 << log_y], steps(y, log_y)],
    ];
    let public = json!({"initial": [x.0, y.0], "final": [x_end.0, y_end.0]});
    Trace {
        columns,
        public: public.as_object().cloned().unwrap_or_default(),
        ..Trace::default()
    }
}

/// Random additions, subtractions, multiplications and loads of immediates.
fn legacy26(log_size: u32, random: &mut Random) -> Trace {
    let zero = BaseField::zero();
    let rows = (0..1 << log_size).map(|pc| {
        let (src1, src2, kind, dst) = (
            random.felt(),
            random.felt(),
            random.below(4),
            random.below(32),
        );
        let result = [src1 + src2, src1 - src2, src1 * src2, src2][kind as usize];
        let flag = |i| felt(u32::from(kind == i));
        let bit = |i: u32| felt(dst >> i & 1);
        let one = BaseField::one();
        #[rustfmt::skip]
        let row = [
            felt(pc), zero, zero, felt(pc + 1), result, zero, felt(kind + 1), src1, src2, result,
            one, flag(0), flag(1), flag(2), flag(3), src1 * src2, zero, zero, zero, zero,
            bit(0), bit(1), bit(2), bit(3), bit(4), felt(dst),
        ];
        row
    });
    let rows: Vec<_> = rows.collect();
    let columns = (0..26).map(|i| rows.iter().map(|row| row[i]).collect());
    Trace {
        columns: vec![columns.collect()],
        ..Trace::default()
    }
}

fn range_sum(log_size: u32, bits: u32, random: &mut Random) -> Trace {
    let values: Vec<_> = (0..1 << log_size)
        .map(|_| random.below(1 << bits))
        .collect();
    let start = random.felt();
    let totals = values.iter().scan(start, |total, value| {
        *total += felt(*value);
        Some(*total)
    });
    let totals: Vec<_> = totals.collect();
    let mut multiplicity = vec![felt(0); 1 << bits];
    for value in &values {
        multiplicity[*value as usize] += felt(1);
    }
    let public = json!({"start": [start.0], "result": [totals[totals.len() - 1].0]});
    Trace {
        columns: vec![
            vec![values.into_iter().map(felt).collect(), totals],
            vec![multiplicity],
        ],
        public: public.as_object().cloned().unwrap_or_default(),
        ..Trace::default()
    }
}

fn felt(value: u32) -> BaseField {
    BaseField::from(value)
}

/// SplitMix64: good enough for traces, and no dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }

    fn felt(&mut self) -> BaseField {
        felt(self.below(stwo::core::fields::m31::P))
    }

    fn column(&mut self, log_size: u32) -> Vec<BaseField> {
        (0..1 << log_size).map(|_| self.felt()).collect()
    }
}
