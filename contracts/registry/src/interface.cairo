//! What callers see of the registry: its functions, and the reasons with which it reverts.

use starknet::ContractAddress;

/// Values of `Record::status`.
pub const ABSENT: u8 = 0;
pub const OPEN: u8 = 1;
pub const RECORDED: u8 = 2;

/// What is known of one key (submitter, statement hash, digest).
///
/// All fields are zero if nothing came yet. While the status is `OPEN`, `felts` and `chunks` count
/// what came so far and `block` is zero; once it is `RECORDED` they are totals, and `block` is the
/// number of the block that completed the record.
#[derive(Copy, Drop, Serde, PartialEq, Debug)]
pub struct Record {
    pub status: u8,
    pub felts: u32,
    pub chunks: u32,
    pub block: u64,
}

#[starknet::interface]
pub trait IRegistry<TContractState> {
    /// Takes the next chunk of a proof of the caller; the last one completes the record.
    fn record(ref self: TContractState, message: Array<felt252>);
    /// Forgets the chunks of an incomplete record of the caller, who may then start again.
    fn abandon(ref self: TContractState, statement_hash: felt252, digest: felt252);
    fn record_of(
        self: @TContractState, submitter: ContractAddress, statement_hash: felt252, digest: felt252,
    ) -> Record;
    fn chunks_received(
        self: @TContractState, submitter: ContractAddress, statement_hash: felt252, digest: felt252,
    ) -> u32;
}

pub mod errors {
    pub const MAGIC: felt252 = 'bad magic';
    pub const VERSION: felt252 = 'bad version';
    pub const HEADER: felt252 = 'bad header';
    pub const STATEMENT: felt252 = 'bad statement';
    pub const CHUNK: felt252 = 'bad chunk';
    pub const ORDER: felt252 = 'wrong chunk';
    pub const MISMATCH: felt252 = 'chunk mismatch';
    pub const LENGTH: felt252 = 'bad length';
    pub const DIGEST: felt252 = 'bad digest';
    pub const TWICE: felt252 = 'already recorded';
    pub const NOTHING_OPEN: felt252 = 'nothing to abandon';
}
