"""Keys, passwords and tokens of URLs are in no log, error, step, file or output of a submission."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

pytest.importorskip("starknet_py")

from eth_keyfile.keyfile import create_keyfile_json  # noqa: E402

from jaxstark.starknet import accounts  # noqa: E402
from jaxstark.starknet.fake import FakeNode, Fault  # noqa: E402
from jaxstark.starknet.fees import FeePolicy  # noqa: E402
from jaxstark.starknet.job import Job  # noqa: E402
from jaxstark.starknet.networks import NETWORKS, RpcUrl  # noqa: E402
from jaxstark.starknet.outbox_sqlite import SqliteOutbox  # noqa: E402
from jaxstark.starknet.progress import Timing  # noqa: E402
from jaxstark.starknet.rpc import Node  # noqa: E402
from jaxstark.starknet.settings import resolve  # noqa: E402
from jaxstark.starknet.submission import make_submission  # noqa: E402
from jaxstark.starknet.submitter import Submitter  # noqa: E402
from tests.starknet.submit_kit import CAP, message  # noqa: E402

REPO = Path(__file__).resolve().parent.parent.parent
GOLDEN = REPO / "tests" / "golden" / "proofs"
PASSWORD, TOKEN = "pa55word-of-the-keystore", "t0ken-of-the-node"
FAILURES = [
    (),
    (Fault.timeout(0.05), Fault.http(500, skip=1), Fault.error(53, skip=2)),
    (Fault.error(55),),
    (Fault.revert(),),
    (Fault.reset(method="", times=10**6),),
    (Fault.http(403, method="estimateFee"),),
]


def forms(key: int) -> tuple[str, ...]:
    """Every spelling of a key that a text or a file might have."""
    raw = key.to_bytes(32, "big")
    return (f"{key:x}", f"{key:X}", str(key), raw.hex(), repr(raw)[2:-1], repr(list(raw))[1:-1])


def assert_hidden(text: str, key: int) -> None:
    for secret in (*forms(key), PASSWORD, TOKEN):
        assert secret not in text


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A fake node, a keystore with the key of its account, and settings that name both."""
    with FakeNode(seed=2) as fake:
        key = fake.account.private_key
        path = tmp_path / "keystore.json"
        content = create_keyfile_json(key.to_bytes(32, "big"), PASSWORD.encode(), iterations=2)
        path.write_text(json.dumps(content))
        environ = {
            "STARKNET_RPC_URL": f"{fake.url}/{TOKEN}",
            "STARKNET_KEYSTORE": str(path),
            "STARKNET_ACCOUNT_ADDRESS": hex(fake.account.address),
            "STARKNET_REGISTRY": hex(fake.registry),
            "KEYSTORE_PASSWORD": PASSWORD,
        }
        yield fake, environ


@pytest.mark.parametrize("faults", FAILURES, ids=lambda f: "+".join(x.name for x in f) or "none")
def test_nothing_shows_a_secret(network, tmp_path, caplog, faults):
    fake, environ = network
    for fault in faults:
        fake.inject(fault)
    caplog.set_level(logging.DEBUG)
    steps, shown = [], []
    settings = resolve({}, environ)
    account = accounts.load(settings, NETWORKS["sepolia"])
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    node = Node(RpcUrl(settings.get("rpc_url") or ""), tries=2)
    submitter = Submitter(
        node,
        NETWORKS["sepolia"],
        account,
        outbox,
        FeePolicy(CAP),
        timing=Timing(poll=0.01, resend=0.3, settle=0.01),
        observer=steps.append,
    )
    submission = make_submission(message(1), Job.record_only(fake.registry))
    try:
        shown.append(repr(submitter.submit(submission)))
    except Exception as error:
        shown += traceback.format_exception(error)
        shown.append(f"{error!r} {vars(error)} {error.__context__!r}")
    shown += [repr(x) for x in (settings, account, node, outbox, submitter, submission)]
    shown += [repr(vars(x)) for x in (submitter, submitter._drafter, submitter._lander)]
    assert_hidden("\n".join([*shown, repr(steps), caplog.text]), fake.account.private_key)
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p.name != "keystore.json")
    assert len(kept) > 1000 and fake.account.private_key.to_bytes(32, "big") not in kept
    assert_hidden(kept.decode("latin-1"), fake.account.private_key)


@pytest.mark.parametrize(
    ("source", "fault"), [("keystore", None), ("environment", Fault.http(403, method="getNonce"))]
)
def test_the_script_shows_no_secret(network, tmp_path, source, fault):
    fake, environ = network
    if fault is not None:
        fake.inject(fault)
    if source == "environment":
        environ |= {"STARKNET_KEYSTORE": "", "STARKNET_PRIVATE_KEY": hex(fake.account.private_key)}
    case = GOLDEN / "range_sum_stwo96"
    done = subprocess.run(
        [
            sys.executable,
            str(REPO / "experiments" / "submit.py"),
            *("--network=devnet", "--max_fee_strk=5", f"--outbox={tmp_path / 'outbox.sqlite'}"),
            *(
                f"--proof={case}.proof.bin",
                f"--key={case}.key.json",
                f"--public={case}.public.json",
            ),
        ],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == (0 if fault is None else 1), done.stderr
    assert_hidden(done.stdout + done.stderr, fake.account.private_key)
    lines = done.stderr.splitlines()
    warnings = [line for line in lines if line.startswith("warning:")]
    assert len(warnings) == (source == "environment") and len(lines) - len(warnings) == (
        fault is not None
    )
    assert (len(fake.events(fake.registry)) == 1) == (fault is None)
    kept = b"".join(p.read_bytes() for p in tmp_path.glob("outbox*")).decode("latin-1")
    assert_hidden(kept, fake.account.private_key)
