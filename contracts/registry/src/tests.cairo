//! The registry as its callers meet it; `make contracts-test` runs these.

use core::poseidon::poseidon_hash_span;
use starknet::syscalls::deploy_syscall;
use starknet::testing::{pop_log, set_block_number, set_contract_address};
use starknet::{ContractAddress, SyscallResultTrait};
use crate::interface::{
    ABSENT, IRegistrySafeDispatcher, IRegistrySafeDispatcherTrait, OPEN, RECORDED, Record,
};
use crate::registry::Registry;
use crate::sponge::SpongeTrait;

const TWO_16: felt252 = 0x10000;
const TWO_32: felt252 = 0x100000000;
const MAGIC: felt252 = 'jaxstark' * TWO_32 + TWO_16;
const AIR: felt252 = 0x1234;
/// 26 bits of proof of work, blow-up 2, fold step 4, 70 queries.
const PARAMETERS: felt252 = 26 + 0x100 + 4 * 0x1000000 + 70 * TWO_32;
/// Components of 2^10 and 2^20 rows.
const SIZES: felt252 = 2 + 10 * 0x100 + 20 * 0x2000;
const BLOCK: u64 = 1234567;

fn alice() -> ContractAddress {
    0xa11ce.try_into().unwrap()
}

fn bob() -> ContractAddress {
    0xb0b.try_into().unwrap()
}

fn deploy() -> IRegistrySafeDispatcher {
    let class = Registry::TEST_CLASS_HASH.try_into().unwrap();
    let (address, _) = deploy_syscall(class, 0, [].span(), false).unwrap_syscall();
    set_contract_address(alice()); // who calls
    set_block_number(BLOCK);
    IRegistrySafeDispatcher { contract_address: address }
}

/// Three statement values and then other felts, `felts` in all.
fn payload(felts: u32) -> Span<felt252> {
    let mut out = array![3, 11, 22, 33];
    while out.len() != felts {
        out.append(out.len().into() * 0x1000000007);
    }
    out.span()
}

fn statement() -> felt252 {
    poseidon_hash_span([AIR, PARAMETERS, SIZES, 11, 22, 33].span())
}

/// Chunk `index` of `count`: the felts `start..end` of the payload behind their header.
fn chunk(
    payload: Span<felt252>, index: felt252, count: felt252, start: u32, end: u32,
) -> Array<felt252> {
    let mut out = array![
        MAGIC, AIR, PARAMETERS, SIZES, statement(), poseidon_hash_span(payload),
        payload.len().into(), index + count * TWO_16,
    ];
    out.append_span(payload.slice(start, end - start));
    out
}

fn whole(payload: Span<felt252>) -> Array<felt252> {
    chunk(payload, 0, 1, 0, payload.len())
}

/// `felts` with one of them changed.
fn with(felts: @Array<felt252>, index: u32, value: felt252) -> Array<felt252> {
    let mut out = array![];
    for i in 0..felts.len() {
        out.append(if i == index {
            value
        } else {
            *felts[i]
        });
    }
    out
}

#[feature("safe_dispatcher")]
fn accepts(registry: IRegistrySafeDispatcher, message: Array<felt252>) {
    match registry.record(message) {
        Result::Ok(()) => {},
        Result::Err(reasons) => core::panics::panic(reasons),
    }
}

#[feature("safe_dispatcher")]
fn refuses(registry: IRegistrySafeDispatcher, message: Array<felt252>, reason: felt252) {
    match registry.record(message) {
        Result::Ok(()) => core::panic_with_felt252('accepted'),
        Result::Err(reasons) => assert_eq!(*reasons[0], reason),
    }
}

#[feature("safe_dispatcher")]
fn found(
    registry: IRegistrySafeDispatcher, who: ContractAddress, payload: Span<felt252>,
) -> Record {
    let digest = poseidon_hash_span(payload);
    let record = registry.record_of(who, statement(), digest).unwrap();
    assert_eq!(registry.chunks_received(who, statement(), digest).unwrap(), record.chunks);
    record
}

/// A record of which chunks are missing.
fn open(felts: u32, chunks: u32) -> Record {
    Record { status: OPEN, felts, chunks, block: 0 }
}

fn event(who: ContractAddress, payload: Span<felt252>, chunks: u32) -> Registry::Event {
    Registry::Event::Recorded(
        Registry::Recorded {
            submitter: who,
            statement_hash: statement(),
            digest: poseidon_hash_span(payload),
            air_id: AIR,
            parameters: PARAMETERS,
            log_sizes: SIZES,
            felts: payload.len(),
            chunks,
        },
    )
}

/// Keys and data of an event.
fn felts_of(event: @Registry::Event) -> (Array<felt252>, Array<felt252>) {
    let mut keys = array![];
    let mut data = array![];
    starknet::Event::append_keys_and_data(event, ref keys, ref data);
    (keys, data)
}

fn assert_event(
    registry: IRegistrySafeDispatcher, who: ContractAddress, payload: Span<felt252>, chunks: u32,
) {
    let got = pop_log::<Registry::Event>(registry.contract_address).expect('an event');
    assert_eq!(felts_of(@got), felts_of(@event(who, payload, chunks)));
    assert!(pop_log::<Registry::Event>(registry.contract_address).is_none(), "one event");
}

#[test]
fn sponge_is_starknet_poseidon() {
    for felts in 4..12_u32 {
        let all = payload(felts);
        let expected = poseidon_hash_span(all);
        assert_eq!(SpongeTrait::new().finish(all), expected);
        let mut head = all.slice(0, 4);
        let carried = SpongeTrait::new().absorb(ref head);
        assert_eq!(carried.finish(all.slice(4, felts - 4)), expected);
    }
    assert_eq!(SpongeTrait::new().finish([].span()), poseidon_hash_span([].span()));
}

#[test]
fn one_chunk_is_recorded_with_an_event() {
    let registry = deploy();
    for felts in 4..8_u32 {
        let all = payload(felts);
        assert_eq!(found(registry, alice(), all).status, ABSENT);
        accepts(registry, whole(all));
        let record = Record { status: RECORDED, felts, chunks: 1, block: BLOCK };
        assert_eq!(found(registry, alice(), all), record);
        assert_event(registry, alice(), all, 1);
    }
}

#[test]
fn largest_fields_of_a_record_survive_storage() {
    let registry = deploy();
    set_block_number(0xffffffffffffffff);
    accepts(registry, whole(payload(7)));
    assert_eq!(found(registry, alice(), payload(7)).block, 0xffffffffffffffff);
}

#[test]
fn chunks_join_in_order() {
    let registry = deploy();
    let all = payload(15);
    accepts(registry, chunk(all, 0, 3, 0, 6));
    assert_eq!(found(registry, alice(), all), open(6, 1));
    accepts(registry, chunk(all, 1, 3, 6, 10));
    assert_eq!(found(registry, alice(), all), open(10, 2));
    assert!(pop_log::<Registry::Event>(registry.contract_address).is_none(), "no event yet");
    accepts(registry, chunk(all, 2, 3, 10, 15));
    let record = Record { status: RECORDED, felts: 15, chunks: 3, block: BLOCK };
    assert_eq!(found(registry, alice(), all), record);
    assert_event(registry, alice(), all, 3);
}

#[test]
fn a_record_is_made_once() {
    let registry = deploy();
    let all = payload(15);
    accepts(registry, whole(all));
    refuses(registry, whole(all), 'already recorded');
    refuses(registry, chunk(all, 0, 3, 0, 6), 'already recorded');
    refuses(registry, chunk(all, 1, 3, 6, 10), 'already recorded');
    let other = payload(14); // the same statement
    accepts(registry, chunk(other, 0, 2, 0, 6));
    accepts(registry, chunk(other, 1, 2, 6, 14));
    refuses(registry, chunk(other, 1, 2, 6, 14), 'already recorded');
}

#[test]
fn nobody_takes_the_record_of_another() {
    let registry = deploy();
    let all = payload(15);
    set_contract_address(bob());
    accepts(registry, whole(all));
    assert_eq!(found(registry, alice(), all).status, ABSENT);
    assert_event(registry, bob(), all, 1);
    set_contract_address(alice());
    accepts(registry, chunk(all, 0, 2, 0, 6));
    set_contract_address(bob());
    refuses(registry, chunk(all, 1, 2, 6, 15), 'already recorded');
    set_contract_address(alice());
    accepts(registry, chunk(all, 1, 2, 6, 15));
    assert_event(registry, alice(), all, 2);
}

#[test]
fn chunks_come_in_order() {
    let registry = deploy();
    let all = payload(15);
    refuses(registry, chunk(all, 1, 3, 6, 10), 'wrong chunk');
    accepts(registry, chunk(all, 0, 3, 0, 6));
    refuses(registry, chunk(all, 0, 3, 0, 6), 'wrong chunk');
    refuses(registry, chunk(all, 2, 3, 10, 15), 'wrong chunk');
    refuses(registry, whole(all), 'wrong chunk');
    set_contract_address(bob());
    refuses(registry, chunk(all, 1, 3, 6, 10), 'wrong chunk');
}

#[test]
fn chunks_of_one_proof_agree() {
    let registry = deploy();
    let all = payload(15);
    accepts(registry, chunk(all, 0, 2, 0, 6));
    let second = chunk(all, 1, 2, 6, 15);
    refuses(registry, with(@second, 0, MAGIC + 1), 'chunk mismatch');
    refuses(registry, with(@second, 1, AIR + 1), 'chunk mismatch');
    refuses(registry, with(@second, 2, PARAMETERS + 1), 'chunk mismatch');
    refuses(registry, with(@second, 3, SIZES + 0x100), 'chunk mismatch');
    refuses(registry, with(@second, 6, 16), 'chunk mismatch');
    refuses(registry, with(@second, 7, 1 + 3 * TWO_16), 'chunk mismatch');
    // Felts 4 and 5 are the key.
    refuses(registry, with(@second, 4, 1), 'wrong chunk');
    refuses(registry, with(@second, 5, 1), 'wrong chunk');
    accepts(registry, second);
}

#[test]
fn malformed_headers_are_refused() {
    let registry = deploy();
    let good = whole(payload(15));
    let cases = [
        (0, 0, 'bad magic'), (0, MAGIC + 0x1000000000000, 'bad magic'), (0, -1, 'bad magic'),
        (0, MAGIC + TWO_32, 'bad magic'), (0, MAGIC + TWO_16, 'bad version'),
        (0, MAGIC - TWO_16, 'bad version'), (0, MAGIC + 2, 'bad header'),
        (1, 0x100000000000000000000000000000000000000000000000000000000000000, 'bad header'),
        (2, PARAMETERS + 39, 'bad header'), // 65 bits of proof of work
        (2, PARAMETERS - 0x100, 'bad header'), (2, PARAMETERS + 0x1000, 'bad header'), // blow-up
        (2, PARAMETERS + 11 * 0x10000, 'bad header'), // last layer
        (2, PARAMETERS - 4 * 0x1000000, 'bad header'), // fold step
        (2, PARAMETERS + 27 * 0x1000000, 'bad header'),
        (2, PARAMETERS - 70 * TWO_32, 'bad header'), (2, PARAMETERS + 4096 * TWO_32, 'bad header'),
        (2, PARAMETERS + 2 * TWO_32 * TWO_32, 'bad header'), (2, -1, 'bad header'), // hash
        (3, 0, 'bad header'), (3, 1, 'bad header'), (3, SIZES - 1, 'bad header'),
        (3, SIZES + 1, 'bad header'), (3, SIZES + 21 * 0x100, 'bad header'),
        (3, SIZES - 10 * 0x100, 'bad header'), (3, SIZES + 0x40000, 'bad header'),
        (3, SIZES + TWO_32 * TWO_32 * TWO_32 * TWO_32, 'bad header'), (3, 41, 'bad header'),
        (6, TWO_32, 'bad header'), (7, 0, 'bad chunk'), (7, 1 + TWO_16, 'bad chunk'),
        (7, 0xffff * TWO_16 + 0xffff, 'bad chunk'), (7, TWO_32, 'bad chunk'),
    ];
    for (index, value, reason) in cases.span() {
        refuses(registry, with(@good, *index, *value), *reason);
    }
    for felts in 0..8_u32 {
        let mut short = array![];
        short.append_span(good.span().slice(0, felts));
        refuses(registry, short, 'bad header');
    }
    accepts(registry, good);
}

#[test]
fn all_sizes_that_fit_are_read() {
    // 40 components of 2^1 or 2^30 rows; other counts than there are sizes; 41 components.
    let registry = deploy();
    let good = whole(payload(15));
    let mut ones: felt252 = 0;
    for _ in 0..40_u8 {
        ones = ones * 32 + 1;
    }
    for sizes in [ones * 0x100 + 40, ones * 30 * 0x100 + 40].span() {
        refuses(registry, with(@good, 3, *sizes), 'bad statement'); // past the header
    }
    refuses(registry, with(@good, 3, (ones * 32 + 1) * 0x100 + 41), 'bad header');
    refuses(registry, with(@good, 3, ones * 0x100 + 39), 'bad header');
    refuses(registry, with(@good, 3, ones * 0x100 + 24), 'bad header');
    refuses(registry, with(@good, 3, ones * 31 * 0x100 + 40), 'bad header');
}

#[test]
fn a_statement_that_does_not_hash_is_refused() {
    let registry = deploy();
    let good = whole(payload(15));
    refuses(registry, with(@good, 4, 1), 'bad statement');
    refuses(registry, with(@good, 1, AIR + 1), 'bad statement');
    refuses(registry, with(@good, 8, 2), 'bad statement');
    refuses(registry, with(@good, 8, 4), 'bad statement');
    refuses(registry, with(@good, 8, 15), 'bad statement');
    refuses(registry, with(@good, 8, -1), 'bad statement');
    refuses(registry, with(@good, 9, 12), 'bad statement');
    // Statement values lie in the first chunk.
    refuses(registry, chunk(payload(15), 0, 2, 0, 2), 'bad statement');
}

#[test]
fn a_proof_without_statement_values_is_recorded() {
    let registry = deploy();
    let all = [0, 5, 6].span();
    let statement = poseidon_hash_span([AIR, PARAMETERS, SIZES].span());
    accepts(registry, with(@whole(all), 4, statement));
}

#[test]
fn lengths_and_digests_are_checked() {
    let registry = deploy();
    let all = payload(15);
    let good = whole(all);
    refuses(registry, with(@good, 6, 14), 'bad length');
    refuses(registry, with(@good, 6, 16), 'bad length');
    refuses(registry, with(@good, 5, 1), 'bad digest');
    refuses(registry, with(@good, 22, 1), 'bad digest');
    refuses(registry, chunk(all, 0, 1, 0, 0), 'bad chunk');
    refuses(registry, chunk(all, 0, 2, 0, 0), 'bad chunk');
    refuses(registry, chunk(all, 0, 2, 0, 7), 'bad chunk');
    refuses(registry, with(@chunk(all, 0, 2, 0, 6), 6, 5), 'bad length');
    accepts(registry, chunk(all, 0, 2, 0, 6));
    refuses(registry, chunk(all, 1, 2, 6, 14), 'bad length');
    refuses(registry, chunk(all, 1, 2, 6, 6), 'bad chunk');
    refuses(registry, with(@chunk(all, 1, 2, 6, 15), 8, 1), 'bad digest');
    accepts(registry, chunk(all, 1, 2, 6, 15));
}

#[test]
#[feature("safe_dispatcher")]
fn an_incomplete_record_can_be_started_again() {
    let registry = deploy();
    let all = payload(15);
    let digest = poseidon_hash_span(all);
    let reason = registry.abandon(statement(), digest).unwrap_err();
    assert_eq!(*reason[0], 'nothing to abandon');
    accepts(registry, with(@chunk(all, 0, 2, 0, 6), 13, 1)); // no second chunk can mend this
    refuses(registry, chunk(all, 1, 2, 6, 15), 'bad digest');
    set_contract_address(bob());
    assert!(registry.abandon(statement(), digest).is_err(), "of another");
    set_contract_address(alice());
    registry.abandon(statement(), digest).unwrap();
    let nothing = Record { status: ABSENT, felts: 0, chunks: 0, block: 0 };
    assert_eq!(found(registry, alice(), all), nothing);
    accepts(registry, chunk(all, 0, 3, 0, 6));
    accepts(registry, chunk(all, 1, 3, 6, 10));
    accepts(registry, chunk(all, 2, 3, 10, 15));
    let reason = registry.abandon(statement(), digest).unwrap_err();
    assert_eq!(*reason[0], 'nothing to abandon'); // a complete record stays
    assert_eq!(found(registry, alice(), all).status, RECORDED);
}
