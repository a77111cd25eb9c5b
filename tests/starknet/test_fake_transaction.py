"""Transaction hashes of the fake node: its own, starknet-py's and the network's are the same."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("starknet_py")
from starknet_py.net.client_models import ResourceBounds, ResourceBoundsMapping  # noqa: E402
from starknet_py.net.client_utils import _create_broadcasted_txn  # noqa: E402
from starknet_py.net.models.transaction import InvokeV3  # noqa: E402

from jaxstark.starknet.fake.errors import RpcError  # noqa: E402
from jaxstark.starknet.fake.transaction import (  # noqa: E402
    QUERY,
    Bound,
    Transaction,
    calls_of,
    parse,
    transaction_hash,
)
from jaxstark.starknet.felts import PRIME  # noqa: E402

SEPOLIA = int.from_bytes(b"SN_SEPOLIA", "big")
INTEGRATION = int.from_bytes(b"SN_INTEGRATION_SEPOLIA", "big")
NOTHING = {"version": 3, "tip": 0, "signature": ()}

# Transactions of public networks; their hashes are what the network's explorers show.
VECTORS = {
    # Sepolia
    0x76B52E17BC09064BD986EAD34263E6305EF3CECFB3AE9E19B86BF4F1A1A20EA: (
        SEPOLIA,
        Transaction(
            kind="INVOKE",
            sender=0x745D525A3582E91299D8D7C71730FFC4B1F191F5B219D800334BC0EDAD0983B,
            nonce=0x9803,
            l1_gas=Bound(0x186A0, 0x2D79883D20000),
            l2_gas=Bound(0x5F5E100, 0xBA43B7400),
            l1_data_gas=Bound(0x186A0, 0x2D79883D20000),
            calldata=(
                0x1,
                0x4138FD51F90D171DF37E9D4419C8CDB67D525840C58F8A5C347BE93A1C5277D,
                0x2468D193CD15B621B24C2A602B8DBCFA5EAA14F88416C40C09D7FD12592CB4B,
                0x0,
            ),
            **NOTHING,
        ),
    ),
    # Sepolia's integration network, with proof facts
    0x7C173B8A109AB589694C89431E2C6070EA8662087B012F62081FAB6BACA4F6E: (
        INTEGRATION,
        Transaction(
            kind="INVOKE",
            sender=0x7BFCD6BD5B220A1D46921D92924DDEC46BB7E49D05354C76A8714B41269B2F8,
            nonce=0x25,
            l1_gas=Bound(0, 0x15D3EF79800),
            l2_gas=Bound(0x7757FAC, 0x2CB417800),
            l1_data_gas=Bound(0xC0, 0x5DC),
            calldata=(
                0x1,
                0x70A5DA4F557B77A9C54546E4BCC900806E28793D8E3EAAA207428D2387249B7,
                0x31341177714D81AD9CCD0C903211BC056A60E8AF988D0FD918CC43874549653,
                0x0,
            ),
            proof_facts=(
                0x50524F4F4630,
                0x5649525455414C5F534E4F53,
                0x3E98C2D7703B03A7EDB73ED7F075F97F1DCBAA8F717CDF6E1A57BF058265473,
                0x5649525455414C5F534E4F5330,
                0x2256B2,
                0x4272EA7D22D1B1E91D4D6EB1C55FCB5769B676DF746CF2FE77AF8FFFB86EEF2,
                0x6989A681C469D769F3A706C56550A63741A4B2D32BEF4B1209A26DAAD1DBB6,
                0x0,
            ),
            **NOTHING,
        ),
    ),
    # Sepolia, a declaration
    0x30C852C522274765E1D681BC8A84CE7C41118370EF2BA7D18A427ED29F5B155: (
        SEPOLIA,
        Transaction(
            kind="DECLARE",
            sender=0x36D67AB362562A97F9FBA8A1051CF8E37FF1A1449530FB9F1F0E32AC2DA7D06,
            nonce=0x2B,
            l1_gas=Bound(0, 0x10968159929E),
            l2_gas=Bound(0x1FF3EC0, 0x197AA1CE3),
            l1_data_gas=Bound(0x120, 0x99F),
            class_hash=0x224518978ADB773CFD4862A894E9D333192FBD24BC83841DC7D4167C09B89C5,
            compiled_class_hash=0x6FF9F7DF06DA94198EE535F41B214DCE0B8BAFBDB45E6C6B09D4B3B693B1F17,
            **NOTHING,
        ),
    ),
    # Sepolia, an account's deployment
    0x32413F8CEE053089D6D7026A72E4108262CA3CFE868DD9159BC1DD160AEC975: (
        SEPOLIA,
        Transaction(
            kind="DEPLOY_ACCOUNT",
            sender=0x48419D3CC27F158917B45255D5376C06A9524484E19A1102279CBDC715C5522,
            nonce=0,
            l1_gas=Bound(0, 0x1597B3274D88),
            l2_gas=Bound(0xE6FA0, 0x1920D1317),
            l1_data_gas=Bound(0x210, 0x97C),
            class_hash=0x61DAC032F228ABEF9C6626F995015233097AE253A7F72D68552DB02F2971B8F,
            salt=0x2E94BA2293DFA45F86DFCF9952D7A33DC50CE2B00B932999FBE0844772604F3,
            calldata=(0x2E94BA2293DFA45F86DFCF9952D7A33DC50CE2B00B932999FBE0844772604F3,),
            **NOTHING,
        ),
    ),
}


@pytest.mark.parametrize("expected", VECTORS, ids=hex)
def test_hashes_of_transactions_of_public_networks(expected):
    chain_id, transaction = VECTORS[expected]
    assert transaction_hash(transaction, chain_id) == expected


def random_invoke(rng: random.Random) -> InvokeV3:
    def felts(most: int) -> list[int]:
        return [rng.randrange(PRIME) for _ in range(rng.randrange(most))]

    def bound() -> ResourceBounds:
        return ResourceBounds(rng.randrange(1 << 64), rng.randrange(1 << 128))

    return InvokeV3(
        version=3 + QUERY * rng.randrange(2),
        signature=felts(4),
        nonce=rng.randrange(PRIME),
        resource_bounds=ResourceBoundsMapping(l1_gas=bound(), l1_data_gas=bound(), l2_gas=bound()),
        tip=rng.randrange(1 << 64),
        calldata=felts(9),
        sender_address=rng.randrange(PRIME),
        account_deployment_data=felts(3),
        proof_facts=felts(4) or None,
    )


@pytest.mark.parametrize("seed", range(12))
def test_hash_of_what_is_broadcast_is_starknet_pys(seed):
    rng = random.Random(seed)
    invoke = random_invoke(rng)
    chain_id = rng.choice([SEPOLIA, INTEGRATION, int.from_bytes(b"SN_MAIN", "big")])
    parsed = parse(_create_broadcasted_txn(invoke))
    assert parsed.calldata == tuple(invoke.calldata)
    assert parsed.query == (invoke.version > 3)
    assert transaction_hash(parsed, chain_id) == invoke.calculate_hash(chain_id)


def test_every_field_changes_the_hash():
    chain_id, base = VECTORS[0x7C173B8A109AB589694C89431E2C6070EA8662087B012F62081FAB6BACA4F6E]
    changes: dict[str, object] = {
        "kind": "DECLARE",
        "version": 3 + QUERY,
        "sender": 1,
        "nonce": 1,
        "tip": 1,
        "l1_gas": Bound(1, 0x15D3EF79800),
        "l2_gas": Bound(0x7757FAC, 1),
        "l1_data_gas": Bound(0, 0x5DC),
        "calldata": base.calldata[:-1],
        "paymaster_data": (1,),
        "account_deployment_data": (1,),
        "data_modes": 1,
        "proof_facts": (),
    }
    hashes = {transaction_hash(base, chain_id), transaction_hash(base, SEPOLIA)}
    for name, value in changes.items():
        changed = Transaction(**{**vars(base), name: value})
        hashes.add(transaction_hash(changed, chain_id))
    assert len(hashes) == len(changes) + 2


GOOD = _create_broadcasted_txn(random_invoke(random.Random(0)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": "PAY"}, -32602),
        ({"version": "0x1"}, 61),
        ({"nonce": 3}, -32602),
        ({"nonce": "0x03"}, -32602),
        ({"nonce": hex(PRIME)}, -32602),
        ({"tip": hex(1 << 64)}, -32602),
        ({"calldata": "0x1"}, -32602),
        ({"calldata": ["0xZ"]}, -32602),
        ({"signature": None}, -32602),
        ({"resource_bounds": {}}, -32602),
        ({"resource_bounds": {**GOOD["resource_bounds"], "l2_gas": []}}, -32602),
        ({"nonce_data_availability_mode": "L3"}, -32602),
        ({"proof_facts": [1]}, -32602),
    ],
    ids=str,
)
def test_malformed_transactions_are_refused(change, code):
    with pytest.raises(RpcError) as caught:
        parse({**GOOD, **change})
    assert caught.value.code == code


def test_calls_of_a_multicall():
    assert calls_of([0]) == []
    assert calls_of([2, 5, 6, 0, 7, 8, 2, 1, 2]) == [(5, 6, ()), (7, 8, (1, 2))]
    for bad in ([], [1], [2, 5, 6, 0], [1, 5, 6, 1], [1, 5, 6, 0, 9], [PRIME - 1, 5, 6, 0]):
        with pytest.raises(ValueError, match="calldata"):
            calls_of(bad)
