"""Checks against the node that come before anything is signed."""

from __future__ import annotations

from collections.abc import Sequence

from jaxstark.errors import ProofShapeError
from jaxstark.starknet.fees import show
from jaxstark.starknet.networks import STRK_TOKEN, Network, chain_name, check_spec_version
from jaxstark.starknet.registry import Record, record_of_call, recorded_events
from jaxstark.starknet.rpc import Event, Node
from jaxstark.starknet.submission import Submission
from jaxstark.starknet.submission_error import NodeError, SubmissionError

_NO_SUCH_VIEW = (21, 40, 41)  # no such entry point, a failing one


def check_network(node: Node, network: Network, allow_mainnet: bool) -> None:
    """Refuse a node of another specification or chain, and mainnet unless it is allowed.

    Raises ``ValueError``.
    """
    if network.is_mainnet and not allow_mainnet:
        raise ValueError(
            "network: expected --allow_mainnet for mainnet, where fees are real money, got none; "
            "nothing was sent"
        )
    check_spec_version(node.spec_version())
    found = node.chain_id()
    if found != network.chain_id:
        raise ValueError(
            f"chain: expected {chain_name(network.chain_id)} of network {network.name}, got "
            f"{chain_name(found)} at {node.url}; check --network and STARKNET_RPC_URL; nothing was "
            "sent"
        )


def check_contracts(node: Node, submission: Submission, account: int) -> None:
    """Refuse an account or a contract that is not deployed; ``SubmissionError``."""
    if node.class_hash(account) is None:
        raise SubmissionError(
            f"account {account:#x}: expected a deployed account, got no contract at that address; "
            "deploy it first (sncast account deploy, starkli account deploy); nothing was sent"
        )
    for contract in dict.fromkeys(c.contract for t in submission.transactions for c in t):
        if node.class_hash(contract) is None:
            step = next(
                c.step for t in submission.transactions for c in t if c.contract == contract
            )
            raise SubmissionError(
                f"contract {contract:#x} of step {step}: expected a deployed contract, got none at "
                "that address on this network; nothing was sent"
            )


def check_balance(node: Node, account: int, needed: int) -> int:
    """FRI that the account has; ``SubmissionError`` if that is less than needed."""
    from starknet_py.hash.selector import get_selector_from_name

    answer = node.call(STRK_TOKEN, get_selector_from_name("balance_of"), [account])
    if len(answer) != 2:
        raise SubmissionError(
            f"fee token: expected the two halves of a balance, got {len(answer)} felts; use "
            "another node; nothing more was sent"
        )
    balance = answer[0] + (answer[1] << 128)
    if balance < needed:
        raise SubmissionError(
            f"account {account:#x}: expected at least {show(needed)} for fees, got "
            f"{show(balance)}; send it STRK (a faucet on Sepolia) and run again; nothing more was "
            "sent"
        )
    return balance


def on_chain(node: Node, submission: Submission, account: int) -> Record:
    """What the registry has of the record; ``SubmissionError`` if the contract is no registry."""
    wanted = submission.wanted(account)
    call = record_of_call(submission.registry, account, wanted.statement_hash, wanted.digest)
    record: Record | None = None
    try:
        record = Record.decode(node.call(call.contract, call.selector(), call.arguments))
    except NodeError as error:
        if error.code not in _NO_SUCH_VIEW:
            raise
    except ProofShapeError:
        pass
    if record is None:
        raise SubmissionError(
            f"registry {submission.registry:#x}: expected a proof registry, got a contract without "
            "its view record_of; check --registry; nothing was sent"
        )
    return record


def check_event(events: Sequence[Event], submission: Submission, account: int) -> None:
    """Compare the events of a record with what was packed.

    Args:
      events: of the receipts of its transactions.
      submission: what was submitted.
      account: who did.

    Raises ``SubmissionError`` unless exactly one event is of this record, and equal.
    """
    wanted = submission.wanted(account)
    try:
        found = recorded_events(events, submission.registry)
    except ProofShapeError as error:
        raise SubmissionError(f"event: {error}; the record is not confirmed") from None
    if found != [wanted]:
        got = "none" if not found else "another" if len(found) == 1 else f"{len(found)} events"
        raise SubmissionError(
            f"event: expected Recorded with the header that was packed and digest "
            f"{wanted.digest:#x}, got {got}; the record is not confirmed"
        )
