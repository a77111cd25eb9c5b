"""What the submitter's tests share: a clock, small messages, a fake node without a socket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jaxstark.params import ProofParams
from jaxstark.starknet.accounts import Account
from jaxstark.starknet.envelope import split
from jaxstark.starknet.fake import FakeNode
from jaxstark.starknet.fees import FRI, FeePolicy
from jaxstark.starknet.felts import poseidon_hash_many
from jaxstark.starknet.header import Header, statement_hash
from jaxstark.starknet.job import Job
from jaxstark.starknet.networks import NETWORKS, RpcUrl
from jaxstark.starknet.outbox_sqlite import MEMORY, SqliteOutbox
from jaxstark.starknet.progress import Observer, Timing
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.secret import Secret
from jaxstark.starknet.signing import KeySigner, Signer
from jaxstark.starknet.submission import Submission, make_submission
from jaxstark.starknet.submitter import Submitter

PARAMS = ProofParams(8, 1, 3, 2, 0)
CAP = 5 * FRI


class FakeClock:
    """Time that passes only when somebody sleeps; the chain moves on with it."""

    def __init__(self, node: FakeNode | None = None) -> None:
        self.time, self.node, self.slept = 1_800_000_000.0, node, 0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept += 1
        if self.node is not None:
            self.node.tick()


def in_process(fake: FakeNode):
    """A transport that calls the fake node directly; a reset or a late answer is no answer."""

    def post(body: bytes, timeout: float) -> tuple[int, bytes]:
        reply, fault = fake.answer(json.loads(body))
        if fault is not None and fault.answer == "http":
            return fault.code, b"told to fail"
        if fault is not None and fault.answer == "reset":
            raise ConnectionResetError("connection reset by peer")
        return 200, json.dumps(reply).encode()

    return post


def message(number: int = 0, felts: int = 6) -> list[int]:
    """A well-formed message of one chunk that stands for a proof; distinct for every number."""
    values = [number]
    body = [len(values), *values, *((number << 32) + i for i in range(felts))]
    head = Header("limb248", 11, PARAMS, "blake2s", (4,), 0, poseidon_hash_many(body), len(body))
    statement = statement_hash(head.air_id, head.parameters, head.sizes, values)
    return [*replace(head, statement=statement).encode(), *body]


class CheapSigner:
    """Stands for a Stark signature, which takes a hundred times as long."""

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id

    def sign_transaction(self, transaction) -> list[int]:
        return [transaction.calculate_hash(self.chain_id), 1]


@dataclass
class Kit:
    """A fake network, an account on it, and what submits for it."""

    fake: FakeNode
    outbox: SqliteOutbox = field(default_factory=lambda: SqliteOutbox(MEMORY))
    events: list[str] = field(default_factory=list)
    cheap: bool = False

    def __post_init__(self) -> None:
        self.clock = FakeClock(self.fake)
        url = RpcUrl("http://127.0.0.1:1/rpc")
        self.node = Node(url, in_process(self.fake), clock=self.clock)
        signer: Signer = CheapSigner(self.fake.chain_id)
        if self.cheap:
            self.fake._chain.verify = lambda digest, signature, _: signature == (digest, 1)
        else:
            signer = KeySigner(Secret(hex(self.fake.account.private_key)), self.fake.chain_id)
        self.account = Account(self.fake.account.address, signer, "a test")

    def submission(self, number: int = 0, felts: int = 6, **options: Any) -> Submission:
        return make_submission(
            message(number, felts), Job.record_only(self.fake.registry), **options
        )

    def submitter(self, observer: Observer | None = None, **options: Any) -> Submitter:
        def note(progress) -> None:
            self.events.append(progress.what)
            if observer is not None:
                observer(progress)

        options = {"policy": FeePolicy(CAP), "timing": Timing(settle=8.0)} | options
        policy = options.pop("policy")
        return Submitter(
            self.node,
            NETWORKS["sepolia"],
            self.account,
            self.outbox,
            policy,
            clock=self.clock,
            observer=note,
            **options,
        )

    def sends(self) -> int:
        return self.fake.requests.get("addInvokeTransaction", 0)

    def unfinished(self) -> list[str]:
        """Keys of the jobs in the outbox that are not done."""
        return [key for (key,) in self.outbox.rows("SELECT key FROM jobs WHERE NOT done")]

    def records(self) -> list[int]:
        """Digests of all records of the chain, in order."""
        found = self.fake.events(self.fake.registry)
        return [event.keys[3] for event in found]


def chunks_of(number: int, felts: int, room: int) -> Sequence[Sequence[int]]:
    return split(message(number, felts), room)
