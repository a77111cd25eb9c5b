"""experiments/registry.py: the hashes it prints, and one sentence for bad usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet import registry
from jaxstark.starknet.fake import INSTANT, FakeNode

SCRIPT = Path(__file__).resolve().parents[2] / "experiments/registry.py"
OK, FAILED, USAGE = 0, 1, 2


def run(*args: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STARKNET", "KEYSTORE"))}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=inherited | environment,
        timeout=120,
    )


def test_the_hashes_are_computed_from_the_class(tmp_path):
    done = run(folder=tmp_path)
    assert done.returncode == OK, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["class_hash"] == hex(registry.CLASS_HASH)
    assert row["compiled_class_hash"] == hex(registry.COMPILED_CLASS_HASH)
    assert row["same_as_package"] is True


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--action=declare"], "--max_fee_strk: expected the most that may be paid, got none"),
        (["--action=deploy", "--max_fee_strk=x"], "amount of STRK"),
        (["--action=deploy", "--max_fee_strk=1", "--network=sepolia"], "STARKNET_RPC_URL"),
        (
            [
                "--action=deploy",
                "--max_fee_strk=1",
                "--network=mainnet",
                "--rpc_url=http://h/t0ken",
            ],
            "--allow_mainnet",
        ),
        (["--action=deploy", "--max_fee_strk=1", "--rpc_url=nowhere"], "RPC URL"),
        (["--action=deploy", "--max_fee_strk=1", f"--salt={1 << 252}"], "--salt"),
        (["--action=sell"], "action"),
    ],
)
def test_bad_usage_is_one_sentence(args, sentence, tmp_path):
    done = run(*args, folder=tmp_path)
    assert done.returncode == USAGE, done.stderr
    assert sentence in done.stderr and done.stderr.count("\n") == 1
    assert "t0ken" not in done.stderr


def test_declaring_asks_and_sends_and_never_shows_the_key(tmp_path):
    with FakeNode(seed=4, advance=INSTANT) as fake:
        key = hex(fake.account.private_key)
        environment = {
            "STARKNET_RPC_URL": fake.url,
            "STARKNET_ACCOUNT_ADDRESS": hex(fake.account.address),
            "STARKNET_PRIVATE_KEY": key,
        }
        common = ["--network=sepolia", "--max_fee_strk=20"]
        outputs = [
            run("--action=declare", *args, *common, folder=tmp_path, **environment)
            for args in (["--dry_run"], [], [])
        ]
        outputs.append(run("--action=deploy", *common, folder=tmp_path, **environment))
        refused = run(
            *("--action=deploy", "--salt=1", "--network=sepolia", "--max_fee_strk=0"),
            folder=tmp_path,
            **environment,
        )
        sent = fake.requests
    for done in outputs:
        assert done.returncode == OK, done.stderr
    rows = [json.loads(done.stdout.splitlines()[-1]) for done in outputs]
    assert [row["tx_hash"] != "0x0" for row in rows] == [False, True, False, True]
    assert [row["done_before"] for row in rows] == [False, False, True, False]
    assert (sent["addDeclareTransaction"], sent["addInvokeTransaction"]) == (1, 1)
    assert refused.returncode == FAILED
    warning, error = refused.stderr.splitlines()
    assert warning.startswith("warning: the private key is in the environment")
    assert error.startswith("error: fee: expected at most 0 STRK")
    assert all(key[2:] not in done.stdout + done.stderr for done in [*outputs, refused])
