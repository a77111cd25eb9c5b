"""The submitter is killed at every step, and at every request, and started again: one record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet.fake import ACCEPTED, FakeNode, Fault  # noqa: E402
from jaxstark.starknet.fees import FeePolicy  # noqa: E402
from jaxstark.starknet.outbox_sqlite import SqliteOutbox  # noqa: E402
from jaxstark.starknet.rpc import Node  # noqa: E402
from tests.starknet.submit_kit import CAP, Kit, in_process, message  # noqa: E402

REPO = Path(__file__).resolve().parent.parent.parent


class Killed(BaseException):
    """The process ends here."""


def killing(at: int):
    """An observer that kills at its ``at``-th call, and a counter of its calls."""
    seen: list[str] = []

    def observer(step) -> None:
        seen.append(step.what)
        if len(seen) == at:
            raise Killed

    return observer, seen


SPOILED = (Fault.reset(after=True), Fault.slow(skip=1))
TWO = {"felts": 14, "chunk_felts": 26}


@pytest.mark.parametrize(
    ("chunks", "faults"),
    [({}, ()), ({}, SPOILED), (TWO, ()), pytest.param(TWO, SPOILED, marks=pytest.mark.slow)],
)
def test_killed_at_every_step(tmp_path, chunks, faults):
    at, steps, killed = 0, set(), True
    while killed:
        at += 1
        found = Kit(FakeNode(seed=1, advance="manual", faults=faults), cheap=True)
        path = tmp_path / f"{at}.sqlite"
        submission = found.submission(at, **chunks)
        killed = False
        for _ in range(3):  # killed at the same step of the second run, too
            found.outbox = SqliteOutbox(path)
            observer, seen = killing(at)
            try:
                found.submitter(observer).submit(submission)
                break
            except Killed:
                killed = True
                steps.add(seen[-1])
                found.outbox.close()
        found.outbox = SqliteOutbox(path)
        result = found.submitter().submit(submission)
        assert found.records() == [message(at, chunks.get("felts", 6))[5]], at
        assert found.fake.nonce(found.account.address) == len(submission.transactions)
        assert result.fee == sum(t.fee for t in found.fake.transactions(ACCEPTED)) <= CAP
    assert steps >= {"planned", "checked", "estimated", "signing", "signed", "sending"}
    assert steps >= {"pre_confirmed", "accepted", "reading", "done"}
    assert ("unclear" if faults else "sent") in steps


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_request(tmp_path, after):
    """Before the node gets a request, and after it has done what it was asked."""
    at, killed = 0, True
    while killed:
        at += 1
        found = Kit(FakeNode(seed=1, advance="manual"), cheap=True)
        path, post, seen = tmp_path / f"{at}.sqlite", in_process(found.fake), [0]

        def transport(body: bytes, timeout: float, post=post, seen=seen, at=at):
            seen[0] += 1
            if after:
                post(body, timeout)
            if seen[0] == at:
                raise Killed
            return post(body, timeout)

        alive, found.outbox = found.node, SqliteOutbox(path)
        if after:
            # Every request but the fatal one is answered from its first delivery.
            def once(body: bytes, timeout: float, post=post, seen=seen, at=at):
                seen[0] += 1
                answer = post(body, timeout)
                if seen[0] == at:
                    raise Killed
                return answer

            transport = once
        found.node = Node(alive.url, transport, clock=found.clock)
        try:
            found.submitter().submit(found.submission(at))
            killed = False
        except Killed:
            found.outbox.close()
            found.outbox = SqliteOutbox(path)
        found.node = alive
        found.submitter().submit(found.submission(at))
        assert found.records() == [message(at)[5]], at
        assert found.fake.nonce(found.account.address) == 1
    assert at > 12


CHILD = """
import os, sys
from jaxstark.starknet.accounts import Account
from jaxstark.starknet.fees import FeePolicy
from jaxstark.starknet.networks import NETWORKS, RpcUrl
from jaxstark.starknet.outbox_sqlite import SqliteOutbox
from jaxstark.starknet.progress import Timing
from jaxstark.starknet.rpc import Node
from jaxstark.starknet.secret import Secret
from jaxstark.starknet.signing import KeySigner
from jaxstark.starknet.submission import Submission
from jaxstark.starknet.submitter import Submitter

url, address, path, *plans = sys.argv[1:]
network = NETWORKS["sepolia"]
account = Account(int(address), KeySigner(Secret(os.environ["KEY"]), network.chain_id), "a test")

def run(plan, at):
    seen = []
    def observer(step):
        seen.append(step.what)
        if len(seen) == at:
            os._exit(9)  # nothing is flushed, closed or rolled back
    timing = Timing(poll=0.01, resend=0.2, settle=0.01)
    Submitter(
        Node(RpcUrl(url)), network, account, SqliteOutbox(path), FeePolicy(10**18),
        timing=timing, observer=observer,
    ).submit(Submission.from_plan(plan))

def child(plan, at):
    pid = os.fork()
    if not pid:
        try:
            run(plan, at)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for at, plan in enumerate(plans, 4):  # from "signing" on
    first, second = child(plan, at), child(plan, 0)
    print(at, first, second, flush=True)
"""


def test_processes_that_end_at_every_step(tmp_path):
    """The same with real processes, files and sockets: a step ends each without warning."""
    steps = 6
    with FakeNode(seed=4) as fake:
        found = Kit(fake)
        plans = [found.submission(n).plan() for n in range(steps)]
        command = [sys.executable, "-c", CHILD, fake.url, str(fake.account.address)]
        done = subprocess.run(
            [*command, str(tmp_path / "outbox.sqlite"), *plans],
            env=os.environ | {"KEY": hex(fake.account.private_key)},
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
        codes = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
        assert [second for _, _, second in codes] == [0] * steps
        assert [first for _, first, _ in codes] == [9] * steps
        assert found.records() == [message(n)[5] for n in range(steps)]
        assert fake.nonce(fake.account.address) == steps
        assert all(t.fee <= t.max_fee <= FeePolicy(CAP).max_fee for t in fake.transactions())
