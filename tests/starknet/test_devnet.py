"""The contract and the submitter on a real Starknet node: `make devnet-test`.

Skipped without starknet-devnet in STARKNET_DEVNET or on PATH. The node executes the compiled class
and charges for it as the network does, with blocks every second; it is on the loopback interface.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet import registry
from jaxstark.starknet.calls import Call
from jaxstark.starknet.deploy import Sender, Sent, declare, deploy, registry_address
from jaxstark.starknet.envelope import accept, split
from jaxstark.starknet.felts import PRIME, poseidon_hash_many
from jaxstark.starknet.header import HEADER_FELTS, Header, Refused, statement_hash
from jaxstark.starknet.job import Job, Target
from jaxstark.starknet.networks import STRK_TOKEN
from jaxstark.starknet.packer import pack
from jaxstark.starknet.registry import Record, Recorded, Status
from jaxstark.starknet.submission import make_submission
from jaxstark.starknet.submission_error import NodeError, SubmissionError, revert_reason
from tests.golden.cases import golden
from tests.starknet import devnet
from tests.starknet.devnet import Devnet

PROGRAM = devnet.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None,
        reason="starknet-devnet is neither in STARKNET_DEVNET nor on PATH: run make devnet-test",
    ),
]
REGISTRY = registry_address()
SECURE = "range_sum_stwo96"  # a proof at 96 bits


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet.running(str(PROGRAM)) as found:
        yield found


@pytest.fixture(scope="module")
def deployed(node) -> tuple[Sent, Sent]:
    """The registry is on the node; what that took."""
    sender = Sender(node.node, devnet.NETWORK, node.account(0), devnet.POLICY)
    return declare(sender), deploy(sender)


@pytest.fixture(scope="module")
def packed() -> list[int]:
    case = golden(SECURE)
    return pack(case.proof, case.key, case.public)


def show(capsys, what: str, fee: int, felts: int = 0) -> None:
    gas = fee / devnet.L2_GAS_PRICE / 1e6
    size = f"{felts:6} felts " if felts else " " * 13
    with capsys.disabled():
        print(f"\n  {what:<42}{size}{gas:8.2f} M gas {fee / 1e18:8.4f} STRK", end="")


def gas_of(node: Devnet, tx_hash: int) -> dict:
    answer = node.node.read("getTransactionReceipt", {"transaction_hash": hex(tx_hash)})
    return answer["execution_resources"]


def view(node: Devnet, call: Call) -> list[int]:
    return node.node.call(call.contract, call.selector(), call.arguments)


def record_of(node: Devnet, who: int, message: list[int]) -> Record:
    return Record.decode(view(node, registry.record_of_call(REGISTRY, who, *message[4:6])))


def retold(message: list[int], values: list[int]) -> list[int]:
    """The message with other statement values, and hashes that fit them."""
    count, body = message[HEADER_FELTS], message[HEADER_FELTS + 1 :]
    payload = [len(values), *values, *body[count:]]
    air, parameters, sizes = message[1:4]
    statement = statement_hash(air, parameters, sizes, values)
    header = replace(
        Header.decode(message),
        statement=statement,
        digest=poseidon_hash_many(payload),
        felts=len(payload),
    )
    return [*header.encode(), *payload]


# ------------------------------------------------------------------ the contract


def test_declaring_and_deploying_is_done_once(node, deployed, capsys):
    declared, placed = deployed
    show(capsys, "declare the class", declared.fee)
    show(capsys, "deploy the contract", placed.fee)
    assert node.node.class_hash(REGISTRY) == registry.CLASS_HASH
    assert 0 < declared.fee <= declared.worst_fee
    sender = Sender(node.node, devnet.NETWORK, node.account(1), devnet.POLICY)
    assert declare(sender).done and deploy(sender).done
    estimate = deploy(sender, salt=1, dry_run=True)
    assert estimate.worst_fee > 0 and not estimate.tx_hash
    assert node.node.class_hash(registry_address(1)) is None
    with pytest.raises(SubmissionError, match="nothing more was sent"):
        deploy(replace(sender, policy=replace(devnet.POLICY, max_fee=1)), salt=1)
    assert node.node.nonce(sender.account.address) == 0


def contract_says(node: Devnet, message: list[int]) -> str:
    """Why the contract refuses a first message; empty if it does not."""
    call = Call("record", REGISTRY, "record", (len(message), *message))
    try:
        assert view(node, call) == []
    except NodeError as error:
        return revert_reason(error.data)
    return ""


def model_says(message: list[int]) -> str:
    try:
        accept(None, message)
    except Refused as error:
        return error.reason
    return ""


def tampered(message: list[int]) -> Iterator[list[int]]:
    """Each felt of the header and some of the body in several ways, and other lengths."""
    for index in [*range(HEADER_FELTS + 6), len(message) - 1]:
        good = message[index]
        bits = [1 << k for k in range(0, 251, 13 if index < HEADER_FELTS else 125)]
        for value in {0, 1, good + 1, good - 1, PRIME - 1, *(good ^ bit for bit in bits)}:
            yield [*message[:index], value % PRIME, *message[index + 1 :]]
    for felts in (0, 1, 7, 8, 9, len(message) - 1):
        yield message[:felts]
    yield [*message, 0]


@pytest.mark.usefixtures("deployed")
def test_the_contract_refuses_what_the_model_refuses_for_the_same_reason(node):
    case = golden("range_sum")
    message = pack(case.proof, case.key, case.public, insecure=True)
    assert contract_says(node, message) == model_says(message) == ""
    message = retold(message[:50], [5, 6, 7])  # short, so that a call is quick
    first, second, third = split(message, 24)
    sizes = [(30,) * 40, (1,) * 24, (1,) * 25, (31,) * 40, (1,) * 41, (0,), ()]
    words = [len(s) + sum(size << 8 + 5 * i for i, size in enumerate(s)) for s in sizes]
    cases = [
        *(message, *tampered(message), first, *tampered(first), second, third),
        *(retold(message, []), retold(message, [1] * 20)),
        *([*message[:3], word, *message[4:]] for word in words),
    ]
    seen = set()
    for felts in cases:
        expected = model_says(felts)
        assert contract_says(node, felts) == expected, felts[: HEADER_FELTS + 2]
        seen.add(expected)
    assert seen == {
        "",
        *("bad magic", "bad version", "bad header", "bad statement", "bad chunk"),
        *("wrong chunk", "bad length", "bad digest"),
    }


# ------------------------------------------------------------------ real proofs


@pytest.mark.usefixtures("deployed")
def test_a_real_proof_is_recorded_by_a_multicall(node, packed, tmp_path, capsys):
    sender, payee = node.account(0), 0xFACE
    pay = Target(STRK_TOKEN, "transfer", ("worker", "amount"))
    job = Job({**Job.record_only(REGISTRY).targets, "pay": pay}, worker=payee, amount=12345)
    submission = make_submission(packed, job)
    assert [c.step for c in submission.transactions[0]] == ["record", "pay"]
    submit = devnet.submitter(node.url, sender, tmp_path / "outbox.db", None)
    result = submit.submit(submission)
    show(capsys, f"record {SECURE} and pay, one multicall", result.fee, submission.felts[0])

    (landed,) = result.transactions
    receipt = node.node.receipt(landed.tx_hash)
    assert receipt is not None and receipt.succeeded and receipt.final
    (event,) = registry.recorded_events(receipt.events, REGISTRY)
    assert event == Recorded.expected(packed, sender.address) == result.record
    record = Record(Status.RECORDED, len(packed) - HEADER_FELTS, 1, landed.block)
    assert record_of(node, sender.address, packed) == record
    balance = Call("view", STRK_TOKEN, "balance_of", (payee,))
    assert view(node, balance) == [12345, 0]
    gas = gas_of(node, landed.tx_hash)
    assert gas["l2_gas"] * devnet.L2_GAS_PRICE <= result.fee

    again = submit.submit(submission)
    assert again.already and again.transactions == result.transactions
    assert view(node, balance) == [12345, 0]
    # Another account records the same proof as its own, before or after.
    other = devnet.submitter(node.url, node.account(1), tmp_path / "other.db", None)
    other.submit(make_submission(packed, Job.record_only(REGISTRY)))
    assert record_of(node, node.account(1).address, packed).status is Status.RECORDED


@pytest.mark.usefixtures("deployed")
def test_the_proof_that_was_recorded_can_be_fetched_and_verified(node, packed):
    from jaxstark.starknet.packer import unpack

    keys = [[registry.RECORDED_SELECTOR], [node.account(1).address], [packed[4]], [packed[5]]]
    ((tx_hash, _),) = node.node.events(REGISTRY, keys)
    answer = node.node.read("getTransactionByHash", {"transaction_hash": hex(tx_hash)})
    calldata = [int(felt, 16) for felt in answer["calldata"]]
    found = calldata[5:]  # one call: its number, address, selector, two lengths
    assert found == packed
    case = golden(SECURE)
    assert unpack(found, case.key).proof == case.proof


STEPS = ("signing", "signed", "sending", "sent", "accepted", "reading")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("number", range(len(STEPS)), ids=STEPS)
def test_a_submitter_that_dies_half_way_goes_on(node, packed, tmp_path, capsys, number):
    step = STEPS[number]
    sender, outbox, room = node.account(2), tmp_path / "outbox.db", len(packed) // 3 + 60
    message = retold(packed, [number])  # a record of its own for each case
    index = 2 if step == "reading" else 1
    before = node.node.nonce(sender.address, "pre_confirmed")
    address, key = node.keys[2]
    done = subprocess.run(
        [sys.executable, devnet.__file__, node.url, str(outbox), str(room), step, str(index)],
        input=json.dumps(message),
        env=os.environ
        | {
            "DEVNET_ADDRESS": hex(address),
            "DEVNET_KEY": key,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == devnet.KILLED, done.stderr
    assert record_of(node, sender.address, message).status is not Status.ABSENT

    submission = make_submission(message, Job.record_only(REGISTRY), chunk_felts=room)
    assert len(submission.transactions) == 3
    result = devnet.submitter(node.url, sender, outbox, None).submit(submission)
    assert node.node.nonce(sender.address) == before + 3  # every chunk was sent once
    assert len(result.transactions) == 3
    keys, _ = result.record.encode()
    ((tx_hash, event),) = node.node.events(REGISTRY, [[k] for k in keys])
    assert tx_hash == result.transactions[-1].tx_hash
    assert Recorded.decode(event.keys, event.data) == Recorded.expected(
        split(message, len(submission.transactions[0][0].arguments) - 1)[0], sender.address
    )
    assert record_of(node, sender.address, message).chunks == 3
    if step == "sent":
        for landed, felts in zip(result.transactions, submission.felts, strict=True):
            show(capsys, "one of three chunks", landed.fee, felts)


@pytest.mark.usefixtures("deployed")
def test_a_second_record_is_refused_by_the_contract(node, packed, tmp_path):
    sender = node.account(1)
    submission = make_submission(packed, Job.record_only(REGISTRY))
    submit = devnet.submitter(node.url, sender, tmp_path / "outbox.db", None)
    assert submit.submit(submission).already  # it asks first
    with pytest.raises(SubmissionError, match="already recorded"):
        submit.simulate(submission)
