//! The eight felts at the head of a message, and their bounds.
//!
//! | felt | content |
//! |---|---|
//! | 0 | "jaxstark" << 32 + version << 16 + encoding |
//! | 1 | AIR id, 31 bytes |
//! | 2 | parameters: 8 bits each of proof of work, blow-up, last layer and fold step, 32 bits of
//! |   | queries, then the hash's id |
//! | 3 | log sizes: 8 bits of their count, 5 bits of each |
//! | 4 | statement hash |
//! | 5 | digest of the payload |
//! | 6 | felts of the payload, all chunks together |
//! | 7 | index of the chunk + count of chunks << 16 |

use core::num::traits::Zero;
use crate::interface::errors;
use crate::sponge::{SpongeImpl, SpongeTrait};

pub const FELTS: u32 = 8;

const TWO_16: felt252 = 0x10000;
const TWO_32: felt252 = 0x100000000;
const VERSION: felt252 = 1;
const LIMB248: felt252 = 'jaxstark' * TWO_32 + VERSION * TWO_16;
const SERDE: felt252 = LIMB248 + 1;

const MAX_POW_BITS: u128 = 64;
const MAX_LOG_BLOWUP: u128 = 16;
const MAX_LOG_LAST_LAYER: u128 = 10;
const MAX_FOLD_STEP: u128 = 30;
const MAX_QUERIES: u128 = 4096;
const MAX_HASH_ID: u128 = 1;
const MAX_COMPONENTS: u128 = 40;
const MAX_LOG_SIZE: u128 = 30;
const LOW_SIZES: u128 = 24; // sizes in the lower 128 bits: 8 + 5 * 24

#[derive(Copy, Drop)]
pub struct Header {
    pub magic: felt252,
    pub air_id: felt252,
    pub parameters: felt252,
    pub log_sizes: felt252,
    pub statement_hash: felt252,
    pub digest: felt252,
    pub felts: u32,
    pub chunk: u32,
    pub chunks: u32,
}

/// The header of a message; leaves the body in `message`. Reverts if a field is out of bounds.
pub fn read(ref message: Span<felt252>) -> Header {
    let Option::Some(words) = message.multi_pop_front::<8>() else {
        core::panic_with_felt252(errors::HEADER)
    };
    let [magic, air_id, parameters, log_sizes, statement_hash, digest, felts, position] = (*words)
        .unbox();
    check_magic(magic);
    check_air_id(air_id);
    check_parameters(parameters);
    check_log_sizes(log_sizes);
    let felts: u32 = felts.try_into().expect(errors::HEADER);
    let position: u32 = position.try_into().expect(errors::CHUNK);
    let (chunks, chunk) = DivRem::div_rem(position, 0x10000);
    assert(chunk < chunks, errors::CHUNK);
    Header { magic, air_id, parameters, log_sizes, statement_hash, digest, felts, chunk, chunks }
}

#[generate_trait]
pub impl HeaderImpl of HeaderTrait {
    fn is_last(self: @Header) -> bool {
        *self.chunk + 1 == *self.chunks
    }

    /// A hash of what all chunks of one proof have in common beside the key of the record.
    fn shared(self: @Header) -> felt252 {
        SpongeTrait::new()
            .pair(*self.magic, *self.air_id)
            .pair(*self.parameters, *self.log_sizes)
            .pair((*self.felts).into(), (*self.chunks).into())
            .finish([].span())
    }
}

fn check_magic(magic: felt252) {
    if magic == LIMB248 || magic == SERDE {
        return;
    }
    let word: u128 = magic.try_into().expect(errors::MAGIC);
    let (name, rest) = DivRem::div_rem(word, 0x100000000);
    assert(name.into() == 'jaxstark', errors::MAGIC);
    assert(rest / 0x10000 == 1, errors::VERSION);
    core::panic_with_felt252(errors::HEADER) // the encoding
}

fn check_air_id(air_id: felt252) {
    let id: u256 = air_id.into();
    assert(id.high < 0x1000000000000000000000000000000, errors::HEADER); // 31 bytes
}

fn check_parameters(parameters: felt252) {
    let word: u128 = parameters.try_into().expect(errors::HEADER);
    let (word, pow_bits) = DivRem::div_rem(word, 0x100);
    let (word, log_blowup) = DivRem::div_rem(word, 0x100);
    let (word, log_last_layer) = DivRem::div_rem(word, 0x100);
    let (word, fold_step) = DivRem::div_rem(word, 0x100);
    let (hash_id, queries) = DivRem::div_rem(word, 0x100000000);
    assert(pow_bits <= MAX_POW_BITS, errors::HEADER);
    assert(log_blowup.is_non_zero() && log_blowup <= MAX_LOG_BLOWUP, errors::HEADER);
    assert(log_last_layer <= MAX_LOG_LAST_LAYER, errors::HEADER);
    assert(fold_step.is_non_zero() && fold_step <= MAX_FOLD_STEP, errors::HEADER);
    assert(queries.is_non_zero() && queries <= MAX_QUERIES, errors::HEADER);
    assert(hash_id <= MAX_HASH_ID, errors::HEADER);
}

fn check_log_sizes(log_sizes: felt252) {
    let word: u256 = log_sizes.into();
    let (mut rest, count) = DivRem::div_rem(word.low, 0x100);
    assert(count.is_non_zero() && count <= MAX_COMPONENTS, errors::HEADER);
    let mut upper = word.high;
    for i in 0..count {
        if i == LOW_SIZES {
            rest = upper;
            upper = 0;
        }
        let (quotient, size) = DivRem::div_rem(rest, 32);
        assert(size.is_non_zero() && size <= MAX_LOG_SIZE, errors::HEADER);
        rest = quotient;
    }
    assert(rest.is_zero() && upper.is_zero(), errors::HEADER);
}
