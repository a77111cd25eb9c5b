"""The settings of submit.py and registry.py, what is printed, and the network of this process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import _script
from absl import flags

from jaxstark.starknet import sizes
from jaxstark.starknet.accounts import Account, load
from jaxstark.starknet.fees import show
from jaxstark.starknet.guard import check_network
from jaxstark.starknet.job import RECORD, Job
from jaxstark.starknet.networks import NETWORKS, Network, RpcUrl
from jaxstark.starknet.outbox_sqlite import MEMORY
from jaxstark.starknet.progress import Landed, Progress, Result, Timing
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.secret import Secret
from jaxstark.starknet.settings import ENVIRONMENT, Settings, resolve
from jaxstark.starknet.signing import KeySigner
from jaxstark.starknet.submission import Submission, describe
from jaxstark.starknet.submission_error import SubmissionError
from jaxstark.starknet.submitter import Simulation

WORDS = {
    "checked": "network, contracts and account checked",
    "signing": "signing",
    "signed": "signed and kept",
    "sending": "sending",
    "sent": "accepted by the node",
    "unclear": "no clear answer",
    "refused": "refused by the node",
    "waiting": "waiting for a block",
    "pre_confirmed": "pre-confirmed",
    "resending": "sending the same transaction again",
    "replacing": "replacing it by one that pays more",
    "accepted": "accepted on L2",
    "reverted": "reverted",
    "dead": "another transaction took its nonce",
    "reopened": "its block was undone",
    "reading": "reading the event back",
}


LOCAL = Timing(poll=0.1, resend=1.0, bump_after=10.0, give_up=60.0, settle=0.2)
"""Pauses for a network on this machine, which makes a block as soon as it is asked."""


SETTINGS = {
    "rpc_url": "URL of a node; it may hold a secret, so prefer STARKNET_RPC_URL.",
    "account": "sncast account, or starkli account file.",
    "account_address": "Address of the account.",
    "accounts_file": "Accounts file of sncast.",
    "keystore": "Keystore file; its password comes from a prompt, a file or KEYSTORE_PASSWORD.",
    "password_file": "File whose first line is the password of the keystore.",
}


def define_settings(**more: str) -> None:
    """Define the flags of the settings, more of them with their help texts, and ``--profile``."""
    for name, text in (SETTINGS | more).items():
        flags.DEFINE_string(name, None, text)
    flags.DEFINE_string("profile", None, "Profile of snfoundry.toml.")


def settings() -> Settings:
    """The settings of flags, environment and files."""
    given = {name: flags.FLAGS[name].value for name in ENVIRONMENT if name in flags.FLAGS}
    return resolve(given, os.environ, folder=Path.cwd(), profile=flags.FLAGS.profile)


def connect(found: Settings, target: Network, allow_mainnet: bool) -> tuple[Node, Account]:
    """Node and account of a network outside this process; a warning about the key is printed."""
    url = found.get("rpc_url") or target.rpc_url
    if url is None:
        raise _script.UsageError(
            f"--rpc_url: expected the URL of a node of {target.name} in STARKNET_RPC_URL, got none"
        )
    node = Node(RpcUrl(url))
    check_network(node, target, allow_mainnet)  # before a password is asked for
    account = load(found, target)
    if account.warning:
        print(f"warning: {account.warning}", file=sys.stderr)
    return node, account


def attempt(run: Callable[[], int], interrupted: str) -> int:
    """The exit code of ``run``; a failed submission, or an interruption, ends in one sentence."""
    try:
        return run()
    except SubmissionError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"error: interrupted; {interrupted}", file=sys.stderr)
    return _script.FAILED


class Place(NamedTuple):
    """Where to submit, and as whom; ``registry`` and ``outbox`` are None if the user names them."""

    network: Network
    node: Node
    account: Account
    registry: int | None
    outbox: str | None
    timing: Timing


@contextlib.contextmanager
def fake_network(job: Job | None) -> Iterator[Place]:
    """A network in this process with a funded account and a registry; it ends with the process.

    At the contracts of a job there is a model of a marketplace, which has the usual entry points.
    """
    from jaxstark.starknet.fake import FakeNode, LogModel, job_steps

    with FakeNode(seed=0) as fake:
        targets = {} if job is None else job.targets
        for contract in {t.contract for step, t in targets.items() if step != RECORD}:
            fake.deploy(LogModel(job_steps()), address=contract)
        network = NETWORKS["fake"]
        key = Secret(hex(fake.account.private_key))
        account = Account(
            fake.account.address, KeySigner(key, network.chain_id), "the fake network"
        )
        node = Node(RpcUrl(fake.url))
        yield Place(network, node, account, fake.registry, MEMORY, LOCAL)


class Reporter:
    """Prints a line per step; a step that lasts is printed once."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", 0)

    def __call__(self, step: Progress) -> None:
        if step.what not in WORDS or (step.what, step.index) == self._last:
            return
        self._last = (step.what, step.index)
        place = f"{step.index + 1}/{step.total}" if step.index >= 0 else ""
        detail = f": {step.detail}" if step.detail else ""
        name = f" {step.tx_hash:#066x}" if step.what == "signed" and step.tx_hash else ""
        print(f"  {place:<6}{WORDS[step.what]}{name}{detail}", flush=True)


def show_plan(submission: Submission, price: int) -> dict[str, Any]:
    """Print the transactions and a model of their cost; the same for a record."""
    rows = describe(submission)
    for number, row in enumerate(rows, 1):
        steps = ", ".join(f"{c['step']} -> {c['contract'][:12]}.." for c in row["calls"])
        print(f"transaction  {number} of {len(rows)}: {row['felts']} felts; {steps}")
    messages = [
        len(call.arguments) - 1
        for calls in submission.transactions
        for call in calls
        if call.step == "record"
    ]
    gas = sum(sizes.gas_of(messages).values())
    print(
        f"cost         about {gas / 1e6:.1f} M L2 gas for the record (a model), "
        f"{show(gas * price)} at {price / 1e9:g} gFri"
    )
    return {"transactions": rows, "model_l2_gas": gas, "model_fee_fri": gas * price}


def show_simulation(found: Simulation) -> dict[str, Any]:
    """Print what a node estimates; the same for a record."""
    for number, (estimate, bounds, reason) in enumerate(
        zip(found.estimates, found.bounds, found.reverts, strict=True), 1
    ):
        outcome = f"would be reverted: {reason}" if reason else "would succeed"
        print(f"transaction  {number} of {len(found.bounds)}: {outcome}")
        for (name, used), (_, most) in zip(estimate.items(), bounds.items(), strict=True):
            print(
                f"  {name:<12}{used.amount:>12} units at {used.price} FRI, "
                f"at most {most.amount} at {most.price}"
            )
    print(f"worst fee    {show(found.worst_fee)}, tips included")
    print(f"balance      {show(found.balance)}")
    return {
        "bounds": [bounds.to_json() for bounds in found.bounds],
        "worst_fee_fri": found.worst_fee,
        "reverts": list(found.reverts),
        "balance_fri": found.balance,
    }


def show_result(result: Result) -> dict[str, Any]:
    """Print the record that was read back; the same for a record."""
    for number, landed in enumerate(result.transactions, 1):
        link = f"  {landed.link}" if landed.link else ""
        print(f"transaction  {number}: {landed.tx_hash:#066x} in block {landed.block}{link}")
    record = result.record
    print(f"record       statement {record.statement_hash:#x}")
    print(f"             digest    {record.digest:#x}")
    print(f"             submitter {record.submitter:#x}")
    print("             recorded, not verified: the registry keeps it and checks no proof")
    print(f"fee          {show(result.fee)}{' (paid before)' if result.already else ''}")
    return {
        "transactions": [_landed(landed) for landed in result.transactions],
        "statement_hash": hex(record.statement_hash),
        "digest": hex(record.digest),
        "submitter": hex(record.submitter),
        "fee_fri": result.fee,
        "already": result.already,
        "job": result.job,
    }


def _landed(landed: Landed) -> dict[str, Any]:
    return {
        "hash": hex(landed.tx_hash),
        "block": landed.block,
        "fee_fri": landed.fee,
        "link": landed.link,
    }
