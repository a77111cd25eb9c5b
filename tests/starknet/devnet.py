"""Starts a real starknet-devnet on the loopback interface, for test_devnet.py.

    python tests/starknet/devnet.py URL OUTBOX CHUNK_FELTS STEP INDEX

submits the message on standard input, as the test does, and dies at a step as a process dies that
is killed. The private key is a devnet's own, in the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxstark.starknet.accounts import Account
from jaxstark.starknet.deploy import registry_address
from jaxstark.starknet.fees import FRI, FeePolicy
from jaxstark.starknet.job import Job
from jaxstark.starknet.networks import NETWORKS, RpcUrl
from jaxstark.starknet.outbox_sqlite import SqliteOutbox
from jaxstark.starknet.progress import Observer, Progress, Timing
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.secret import Secret
from jaxstark.starknet.signing import KeySigner
from jaxstark.starknet.submission import make_submission
from jaxstark.starknet.submitter import Submitter

NETWORK = NETWORKS["devnet"]
L2_GAS_PRICE = 8 * 10**9  # FRI, the least on the public networks since Starknet 0.14.1
ARGUMENTS = (
    *("--host", "127.0.0.1", "--port", "0", "--seed", "7", "--accounts", "3"),
    *("--l2-gas-price-fri", str(L2_GAS_PRICE), "--block-generation-on", "1"),
)
KILLED = 9
POLICY = FeePolicy(max_fee=20 * FRI)
TIMING = Timing(poll=0.2, resend=5.0, give_up=60.0, settle=0.1)


def find() -> str | None:
    """The program, if STARKNET_DEVNET names it or it is on PATH."""
    named = os.environ.get("STARKNET_DEVNET")
    return named if named else shutil.which("starknet-devnet")


@dataclass(frozen=True)
class Devnet:
    """A running node: its URL, and address and private key of every account."""

    url: str
    keys: tuple[tuple[int, str], ...]

    @property
    def node(self) -> Node:
        return Node(RpcUrl(self.url))

    def account(self, index: int) -> Account:
        address, key = self.keys[index]
        return account(address, key)


def account(address: int, key: str) -> Account:
    return Account(address, KeySigner(Secret(key), NETWORK.chain_id), "devnet")


@contextlib.contextmanager
def running(program: str) -> Iterator[Devnet]:
    """A devnet with an empty chain; it is stopped behind the block."""
    with tempfile.TemporaryFile("w+") as log:
        environment = {"PATH": os.environ.get("PATH", ""), "RUST_LOG": "info"}
        process = subprocess.Popen(
            [program, *ARGUMENTS], stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            for _ in range(300):
                text = os.pread(log.fileno(), 1 << 20, 0).decode()
                found = re.search(r"listening on (127\.0\.0\.1:\d+)", text)
                if found or process.poll() is not None:
                    break
                time.sleep(0.1)
            if not found:
                raise RuntimeError(f"{program}: expected a listening node, got: {text[-2000:]}")
            pairs = re.findall(r"Account address.*?(0x\w+)\s+\| Private key.*?(0x\w+)", text)
            keys = tuple((int(address, 16), key) for address, key in pairs)
            yield Devnet(f"http://{found[1]}/rpc", keys)
        finally:
            process.terminate()
            process.wait(timeout=30)


def submitter(url: str, sender: Account, outbox: Path, observer: Observer | None) -> Submitter:
    return Submitter(
        Node(RpcUrl(url)),
        NETWORK,
        sender,
        SqliteOutbox(outbox),
        POLICY,
        timing=TIMING,
        observer=observer,
    )


def main(url: str, outbox: str, chunk_felts: str, step: str, index: str) -> None:
    sender = account(int(os.environ["DEVNET_ADDRESS"], 16), os.environ["DEVNET_KEY"])
    job = Job.record_only(registry_address())
    submission = make_submission(json.load(sys.stdin), job, chunk_felts=int(chunk_felts))

    def die(progress: Progress) -> None:
        if (progress.what, progress.index) == (step, int(index)):
            os._exit(KILLED)

    submitter(url, sender, Path(outbox), die).submit(submission)


if __name__ == "__main__":
    main(*sys.argv[1:])
