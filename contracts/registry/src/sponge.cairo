//! Starknet's Poseidon sponge, able to stop between two chunks.
//!
//! The hash is the one of `core::poseidon::poseidon_hash_span`: rate 2, padded with a one and then
//! zeros. Between pairs of felts its state is three felts, which storage can hold.

use core::poseidon::hades_permutation;

#[derive(Copy, Drop, Debug, PartialEq, starknet::Store)]
pub struct Sponge {
    pub s0: felt252,
    pub s1: felt252,
    pub s2: felt252,
}

#[generate_trait]
pub impl SpongeImpl of SpongeTrait {
    fn new() -> Sponge {
        Sponge { s0: 0, s1: 0, s2: 0 }
    }

    /// The state after two more felts.
    #[inline]
    fn pair(self: Sponge, x: felt252, y: felt252) -> Sponge {
        let (s0, s1, s2) = hades_permutation(self.s0 + x, self.s1 + y, self.s2);
        Sponge { s0, s1, s2 }
    }

    /// The state after all whole pairs of `felts`, which keeps an odd last felt.
    fn absorb(self: Sponge, ref felts: Span<felt252>) -> Sponge {
        let mut state = self;
        while let Option::Some(pair) = felts.multi_pop_front::<2>() {
            let [x, y] = (*pair).unbox();
            state = state.pair(x, y);
        }
        state
    }

    /// The hash of everything absorbed and then of `felts`.
    fn finish(self: Sponge, felts: Span<felt252>) -> felt252 {
        let mut rest = felts;
        let state = self.absorb(ref rest);
        let last = match rest.pop_front() {
            Option::Some(odd) => state.pair(*odd, 1),
            Option::None => state.pair(1, 0),
        };
        last.s0
    }
}
