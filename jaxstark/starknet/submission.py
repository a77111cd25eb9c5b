"""What is submitted: the calls of every transaction, and the event that means success.

A submission is made of a message's chunks and a job, checked whole before anything else happens:
the rule of the registry is applied to the chunks here first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from jaxstark.starknet.calls import Call, invoke_felts
from jaxstark.starknet.envelope import DEFAULT_CHUNK, check_whole, split
from jaxstark.starknet.felts import check_felts
from jaxstark.starknet.header import HEADER_FELTS
from jaxstark.starknet.job import RECORD, Job, require_room
from jaxstark.starknet.registry import Recorded

MAX_PROOF = 16 << 20  # characters of a proof that is passed through


@dataclass(frozen=True)
class Submission:
    """Transactions that belong together, in order.

    Attributes:
      transactions: calls of each.
      registry: contract whose event means success.
      expected: that event, with 0 for its submitter.
      proof, proof_facts: passed through to the network as they are, with a single transaction
        (SNIP-36: a proof of StarkWare's virtual machine, which ours is not).
    """

    transactions: tuple[tuple[Call, ...], ...]
    registry: int
    expected: Recorded
    proof: str | None = None
    proof_facts: tuple[int, ...] = ()

    @property
    def record_only(self) -> bool:
        """Whether nothing but the registry is called."""
        return all(c.step == RECORD for calls in self.transactions for c in calls)

    @property
    def felts(self) -> tuple[int, ...]:
        """Felts of every transaction that count towards the limit."""
        return tuple(invoke_felts(c) + len(self.proof_facts) for c in self.transactions)

    def continues(self, chunks: int, felts: int) -> bool:
        """Whether a record of which so many chunks, with so many felts of payload, are on the chain
        goes on with the next transaction of this submission.
        """
        sent = [
            call.arguments[0] - HEADER_FELTS  # an array of felts: a message behind its length
            for calls in self.transactions[:chunks]
            for call in calls
            if call.step == RECORD
        ]
        return chunks < len(self.transactions) and sum(sent) == felts

    def wanted(self, submitter: int) -> Recorded:
        """The event that means success for an account."""
        return replace(self.expected, submitter=submitter)

    def plan(self) -> str:
        """The submission as JSON text, for the outbox."""
        transactions = [
            [[c.step, hex(c.contract), c.entry_point, [hex(a) for a in c.arguments]] for c in calls]
            for calls in self.transactions
        ]
        obj = {
            "transactions": transactions,
            "registry": hex(self.registry),
            "expected": {name: hex(value) for name, value in asdict(self.expected).items()},
            "proof": self.proof,
            "proof_facts": [hex(fact) for fact in self.proof_facts],
        }
        return json.dumps(obj, separators=(",", ":"))

    @staticmethod
    def from_plan(text: str) -> Submission:
        """Inverse of ``plan``."""
        obj = json.loads(text)
        return Submission(
            tuple(
                tuple(
                    Call(step, int(to, 16), entry, tuple(int(a, 16) for a in arguments))
                    for step, to, entry, arguments in calls
                )
                for calls in obj["transactions"]
            ),
            int(obj["registry"], 16),
            Recorded(**{name: int(value, 16) for name, value in obj["expected"].items()}),
            obj["proof"],
            tuple(int(fact, 16) for fact in obj["proof_facts"]),
        )

    def key(self, chain_id: int, account: int) -> str:
        """Identity of the submission on a chain, as an account: 64 hex digits.

        The same proof handed in again has the same key, so that it is continued, not repeated.
        """
        text = json.dumps([hex(chain_id), hex(account), self.plan()])
        return hashlib.sha256(text.encode()).hexdigest()


def make_submission(
    message: Sequence[int],
    job: Job,
    *,
    chunk_felts: int = DEFAULT_CHUNK,
    proof: str | None = None,
    proof_facts: Sequence[int] = (),
) -> Submission:
    """The submission of a packed message.

    Args:
      message: one-chunk message of ``pack``, which verified the proof.
      job: targets and their arguments.
      chunk_felts: felts that the calldata of a transaction should not exceed.
      proof: text for the transaction's field ``proof``.
      proof_facts: felts for its field ``proof_facts``.

    Raises ``ProofShapeError`` for a message that the registry would refuse, and ``ValueError`` for
    one that does not fit transactions or pass-through data that are malformed.
    """
    facts = tuple(check_felts(list(proof_facts), "proof facts"))
    if proof is not None and not (type(proof) is str and 0 < len(proof) <= MAX_PROOF):
        raise ValueError(f"proof: expected text of at most {MAX_PROOF} characters, got another")
    if (proof is None) != (not facts):
        raise ValueError("proof and proof_facts: expected both or neither, got one of them")
    check_whole(message)
    room = job.chunk_room(chunk_felts, len(facts))
    chunks = split(message, room) if len(message) > room else [list(message)]
    if facts and len(chunks) > 1:
        raise ValueError(
            f"proof_facts: expected a message of one transaction, got one of {len(chunks)}"
        )
    transactions = job.calls(chunks)
    expected = Recorded.expected(chunks[0], 0)
    out = Submission(transactions, job.registry, expected, proof, facts)
    for index, felts in enumerate(out.felts):
        require_room(felts, f"transaction {index + 1} of {len(chunks)}")
    return out


def describe(submission: Submission) -> list[dict[str, Any]]:
    """Calls of all transactions, for a person or a record."""
    return [
        {
            "calls": [
                {
                    "step": call.step,
                    "contract": hex(call.contract),
                    "entry_point": call.entry_point,
                    "felts": len(call.arguments),
                }
                for call in calls
            ],
            "felts": felts,
        }
        for calls, felts in zip(submission.transactions, submission.felts, strict=True)
    ]
