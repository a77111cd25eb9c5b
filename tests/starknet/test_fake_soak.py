"""Many submissions under random faults: the fake tells a careful client from a careless one.

The clients are the smallest there can be; the submitter's own tests are in ``test_submitter``.
"""

from __future__ import annotations

import json

import pytest

pytest.importorskip("starknet_py")
from starknet_py.net.client_utils import _create_broadcasted_txn  # noqa: E402
from starknet_py.net.models.transaction import InvokeV3  # noqa: E402

from jaxstark.starknet.fake import ACCEPTED, FakeNode, Fault, RandomFaults, Step, usual_faults  # noqa: E402
from jaxstark.starknet.fake.transaction import calls_of  # noqa: E402
from tests.starknet.fakes import bounds, call  # noqa: E402
from tests.starknet.stark_curve import sign  # noqa: E402

LIMITS = bounds(l2_gas=3_000_000, price=8_000_000_000, data=400)


class Lost(Exception):
    """No answer came, or an HTTP error."""


class Refused(Exception):
    """A JSON-RPC error came."""


class Client:
    """Submits numbers to a log, one transaction each."""

    def __init__(self, node: FakeNode, log: int) -> None:
        self.node, self.log = node, log
        self.address = node.account.address

    def ask(self, method: str, **params: object):
        reply, fault = self.node.answer({"id": 1, "method": f"starknet_{method}", "params": params})
        if fault is not None and fault.answer:
            raise Lost
        if "error" in reply:
            raise Refused(reply["error"]["code"])
        return json.loads(json.dumps(reply["result"]))

    def patiently(self, method: str, **params: object):
        while True:
            try:
                return self.ask(method, **params)
            except Lost:
                continue

    def nonce(self) -> int:
        where = {"contract_address": hex(self.address), "block_id": "latest"}
        return int(self.patiently("getNonce", **where), 16)

    def signed(self, number: int, nonce: int) -> dict:
        step = call(self.log, "go", [number])
        transaction = InvokeV3(
            calldata=[1, step.to_addr, step.selector, len(step.calldata), *step.calldata],
            resource_bounds=LIMITS,
            signature=[],
            nonce=nonce,
            sender_address=self.address,
            version=3,
            tip=0,
        )
        digest = transaction.calculate_hash(self.node.chain_id)
        transaction.signature.extend(sign(digest, self.node.account.private_key))
        return {"hash": hex(digest), "body": _create_broadcasted_txn(transaction)}

    def accepted(self, digest: str) -> bool | None:
        """Whether a transaction is accepted; None if it is unknown."""
        try:
            answer = self.patiently("getTransactionStatus", transaction_hash=digest)
        except Refused:
            return None
        return answer["finality_status"] == ACCEPTED

    def careful(self, number: int) -> None:
        """Send the same bytes until they are accepted and stay so."""
        transaction = self.signed(number, self.nonce())
        settled = 0
        while settled < 3:  # an accepted transaction may be undone once more
            state = self.accepted(transaction["hash"])
            settled = settled + 1 if state else 0
            if state is None:
                try:
                    self.ask("addInvokeTransaction", invoke_transaction=transaction["body"])
                except (Lost, Refused):
                    continue

    def careless(self, number: int) -> None:
        """Sign anew whenever an answer is missing, as the next transaction."""
        ahead = 0
        while True:
            transaction = self.signed(number, self.nonce() + ahead)
            try:
                self.ask("addInvokeTransaction", invoke_transaction=transaction["body"])
                break
            except Lost:
                ahead += 1
            except Refused:
                ahead = 0
        for _ in range(12):
            self.ask("blockNumber")


def soak(count: int, seed: int, faults: RandomFaults) -> FakeNode:
    node = FakeNode(seed=seed, random_faults=faults)
    client = Client(node, node.deploy_log({"go": Step("Gone")}))
    for number in range(count):
        client.careful(number)
    return node


def check(node: FakeNode, count: int) -> None:
    """None lost, none doubled, none over its cap, and the money adds up."""
    done = node.transactions()
    numbers = [e.keys[2] for t in done for e in t.events if len(e.keys) == 3 and not e.data]
    assert numbers == list(range(count))
    assert [t.status for t in done] == [ACCEPTED] * count
    assert [t.nonce for t in done] == list(range(count))
    cap = 3_000_000 * 8_000_000_000 + 400 * 10**6
    assert all(t.reverted is None and 0 < t.fee <= t.max_fee <= cap for t in done)
    assert node.balance(node.account.address) == 1_000 * 10**18 - sum(t.fee for t in done)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_careful_client_loses_and_doubles_nothing(seed):
    faults = RandomFaults(seed, rate=0.5, read_rate=0.1)
    node = soak(30, seed, faults)
    check(node, 30)
    assert len(node.struck) > 15
    again = soak(30, seed, faults)
    assert again.transactions() == node.transactions() and again.struck == node.struck


def test_a_thousand_submissions_with_random_faults():
    node = soak(1_000, 7, RandomFaults(7, rate=0.4, read_rate=0.05))
    check(node, 1_000)
    assert {name for _, name in node.struck} >= {fault.name for fault in usual_faults()}


def test_a_careless_client_is_found_out():
    """The same checks fail for a client that signs anew after a time-out."""
    node = FakeNode(seed=1, faults=[Fault.timeout(0.0)])
    client = Client(node, node.deploy_log({"go": Step("Gone")}))
    client.careless(0)
    assert len(node.transactions(ACCEPTED)) == 2
    with pytest.raises(AssertionError):
        check(node, 1)


def test_the_calls_are_what_was_signed():
    node = FakeNode()
    client = Client(node, 5)
    calldata = client.signed(9, 0)["body"]["calldata"]
    ((address, _, arguments),) = calls_of([int(felt, 16) for felt in calldata])
    assert (address, arguments) == (5, (9,))
