//! The contract. It has no owner, no upgrade and no way to change or remove a complete record.

#[starknet::contract]
pub mod Registry {
    use starknet::storage::{
        Map, StoragePathEntry, StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::storage_access::StorePacking;
    use starknet::{ContractAddress, get_block_number, get_caller_address};
    use crate::header::{Header, HeaderTrait};
    use crate::interface::{ABSENT, IRegistry, OPEN, RECORDED, Record, errors};
    use crate::sponge::{Sponge, SpongeTrait};

    /// Submitter, statement hash, digest. The caller is part of it, so that nobody can take the
    /// record of a payload that they saw in somebody else's transaction.
    type Key = (ContractAddress, felt252, felt252);

    /// An incomplete record: the sponge after all chunks so far, and what they have in common.
    #[derive(Copy, Drop, starknet::Store)]
    struct Partial {
        sponge: Sponge,
        shared: felt252,
    }

    #[storage]
    struct Storage {
        records: Map<Key, Record>,
        partials: Map<Key, Partial>,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    pub enum Event {
        Recorded: Recorded,
    }

    /// A record is complete. Recorded, not verified.
    #[derive(Drop, starknet::Event)]
    pub struct Recorded {
        #[key]
        pub submitter: ContractAddress,
        #[key]
        pub statement_hash: felt252,
        #[key]
        pub digest: felt252,
        pub air_id: felt252,
        pub parameters: felt252,
        pub log_sizes: felt252,
        pub felts: u32,
        pub chunks: u32,
    }

    #[abi(embed_v0)]
    impl RegistryImpl of IRegistry<ContractState> {
        fn record(ref self: ContractState, message: Array<felt252>) {
            let mut body = message.span();
            let header = crate::header::read(ref body);
            let submitter = get_caller_address();
            let key = (submitter, header.statement_hash, header.digest);
            let slot = self.records.entry(key);
            let before = slot.read();
            assert(before.status != RECORDED, errors::TWICE);
            assert(header.chunk == before.chunks, errors::ORDER);
            let sponge = self.sponge_before(key, @header);

            let is_last = header.is_last();
            assert(body.len() != 0 && (is_last || body.len() % 2 == 0), errors::CHUNK);
            let felts = before.felts + body.len();
            assert(felts == header.felts || !is_last && felts < header.felts, errors::LENGTH);
            if header.chunk == 0 {
                assert(statement_hash(@header, body) == header.statement_hash, errors::STATEMENT);
            }
            if is_last {
                assert(sponge.finish(body) == header.digest, errors::DIGEST);
                if before.status == OPEN {
                    self.partials.entry(key).write(nothing());
                }
                let block = get_block_number();
                slot.write(Record { status: RECORDED, felts, chunks: header.chunks, block });
                self.emit(recorded(submitter, @header));
            } else {
                let sponge = sponge.absorb(ref body);
                self.partials.entry(key).write(Partial { sponge, shared: header.shared() });
                slot.write(Record { status: OPEN, felts, chunks: header.chunk + 1, block: 0 });
            }
        }

        fn abandon(ref self: ContractState, statement_hash: felt252, digest: felt252) {
            let key = (get_caller_address(), statement_hash, digest);
            let slot = self.records.entry(key);
            assert(slot.read().status == OPEN, errors::NOTHING_OPEN);
            self.partials.entry(key).write(nothing());
            slot.write(Record { status: ABSENT, felts: 0, chunks: 0, block: 0 });
        }

        fn record_of(
            self: @ContractState,
            submitter: ContractAddress,
            statement_hash: felt252,
            digest: felt252,
        ) -> Record {
            self.records.entry((submitter, statement_hash, digest)).read()
        }

        fn chunks_received(
            self: @ContractState,
            submitter: ContractAddress,
            statement_hash: felt252,
            digest: felt252,
        ) -> u32 {
            self.records.entry((submitter, statement_hash, digest)).read().chunks
        }
    }

    #[generate_trait]
    impl Internal of InternalTrait {
        /// The sponge that the body of a chunk goes into; reverts if its header is not that of the
        /// chunks before it.
        fn sponge_before(self: @ContractState, key: Key, header: @Header) -> Sponge {
            if *header.chunk == 0 {
                return SpongeTrait::new();
            }
            let partial = self.partials.entry(key).read();
            assert(partial.shared == header.shared(), errors::MISMATCH);
            partial.sponge
        }
    }

    /// The hash of AIR, parameters, sizes and the statement values, which lead the first chunk:
    /// their count, and then they themselves.
    fn statement_hash(header: @Header, body: Span<felt252>) -> felt252 {
        let mut body = body;
        let count: felt252 = *body.pop_front().expect(errors::STATEMENT);
        let count: u32 = count.try_into().expect(errors::STATEMENT);
        assert(count <= body.len(), errors::STATEMENT);
        let mut values = body.slice(0, count);
        let sponge = SpongeTrait::new().pair(*header.air_id, *header.parameters);
        match values.pop_front() {
            Option::Some(first) => sponge.pair(*header.log_sizes, *first).finish(values),
            Option::None => sponge.finish([*header.log_sizes].span()),
        }
    }

    fn nothing() -> Partial {
        Partial { sponge: SpongeTrait::new(), shared: 0 }
    }

    fn recorded(submitter: ContractAddress, header: @Header) -> Recorded {
        Recorded {
            submitter,
            statement_hash: *header.statement_hash,
            digest: *header.digest,
            air_id: *header.air_id,
            parameters: *header.parameters,
            log_sizes: *header.log_sizes,
            felts: *header.felts,
            chunks: *header.chunks,
        }
    }

    /// A record in one storage slot: status, felts << 8, chunks << 40, block << 56.
    impl RecordPacking of StorePacking<Record, u128> {
        fn pack(value: Record) -> u128 {
            value.status.into()
                + value.felts.into() * 0x100
                + value.chunks.into() * 0x10000000000
                + value.block.into() * 0x100000000000000
        }

        fn unpack(value: u128) -> Record {
            let (rest, status) = DivRem::div_rem(value, 0x100);
            let (rest, felts) = DivRem::div_rem(rest, 0x100000000);
            let (block, chunks) = DivRem::div_rem(rest, 0x10000);
            Record {
                status: status.try_into().unwrap(),
                felts: felts.try_into().unwrap(),
                chunks: chunks.try_into().unwrap(),
                block: block.try_into().unwrap(),
            }
        }
    }
}
