"""submit.py: from proof files to a record that was read back, and one sentence for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("starknet_py")

from jaxstark.starknet.fake import FakeNode  # noqa: E402
from jaxstark.starknet.settings import ENVIRONMENT, read_env_file  # noqa: E402

REPO = Path(__file__).resolve().parent.parent.parent
SCRIPT = REPO / "experiments" / "submit.py"
GOLDEN = REPO / "tests" / "golden" / "proofs"
OK, FAILED, USAGE = 0, 1, 2


def submit(*args: str, case: str = "range_sum_stwo96", folder: Path | None = None, **environ: str):
    """Run the script on a golden proof, with these settings alone."""
    files = [f"--{f}={GOLDEN / case}.{f}.{'bin' if f == 'proof' else 'json'}" for f in ("proof",)]
    files += [f"--{f}={GOLDEN / case}.{f}.json" for f in ("key", "public")]
    clean = {k: v for k, v in os.environ.items() if k not in ENVIRONMENT.values()}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *files, *args],
        env=clean | environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder or tempfile.gettempdir(),
        timeout=300,
    )


def last(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == OK, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("args", [[], ["--max_felts=400"]], ids=["one", "three"])
def test_a_proof_becomes_a_record_on_the_fake_network(args):
    done = submit("--network=fake", "--max_fee_strk=5", *args)
    row = last(done)
    assert row["recorded"] and row["sent"] and len(row["transactions"]) == (3 if args else 1)
    assert 0 < row["fee_fri"] <= 5 * 10**18
    assert "recorded, not verified" in done.stdout and "accepted on L2" in done.stdout
    assert done.stderr == ""


def test_a_dry_run_needs_nothing_and_writes_nothing(tmp_path):
    for name in ("sepolia", "mainnet", "fake"):
        done = submit(
            f"--network={name}", "--dry_run", folder=tmp_path, XDG_STATE_HOME=str(tmp_path)
        )
        row = last(done)
        assert not row["sent"] and row["model_fee_fri"] > 0
        assert "nothing was sent" in done.stdout and list(tmp_path.iterdir()) == []
    low = submit("--network=sepolia", "--dry_run", "--max_fee_strk=0.001")
    assert "too low" in low.stdout and low.returncode == OK


def test_a_simulation_asks_the_node_and_sends_nothing():
    done = submit("--network=fake", "--simulate", "--max_fee_strk=5")
    row = last(done)
    assert not row["sent"] and row["reverts"] == [""] and "would succeed" in done.stdout


def settings_of(fake: FakeNode) -> dict[str, str]:
    """What .env says of a fake node and its account."""
    return {
        "STARKNET_RPC_URL": fake.url,
        "STARKNET_ACCOUNT_ADDRESS": hex(fake.account.address),
        "STARKNET_PRIVATE_KEY": hex(fake.account.private_key),
        "STARKNET_REGISTRY": hex(fake.registry),
    }


def test_a_simulation_writes_nothing(tmp_path):
    with FakeNode(seed=2) as fake:
        args = ("--network=devnet", "--simulate", "--max_fee_strk=5")
        environ = settings_of(fake) | {"XDG_STATE_HOME": str(tmp_path)}
        assert not last(submit(*args, folder=tmp_path, **environ))["sent"]
        assert "addInvokeTransaction" not in fake.requests
    assert list(tmp_path.iterdir()) == []


CAP = "--max_fee_strk=5"
# Runs a script that listens to SIGINT, which programs in the background ignore.
LISTENING = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_interruption_is_one_sentence(tmp_path):
    with FakeNode(seed=2, advance="manual") as fake:  # no block comes
        environ = settings_of(fake) | {"XDG_STATE_HOME": str(tmp_path)}
        files = [
            f"--{f}={GOLDEN / 'range_sum_stwo96'}.{f}.json" for f in ("proof", "key", "public")
        ]
        with subprocess.Popen(
            [sys.executable, "-c", LISTENING, str(SCRIPT), "--network=devnet", *files, CAP],
            env=os.environ | environ,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            assert any("waiting for a block" in line for line in process.stdout)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == FAILED
            warning, sentence = process.stderr.read().splitlines()
    assert warning.startswith("warning: the private key")
    assert sentence == "error: interrupted; run the same command again to go on"


def test_the_same_command_again_sends_nothing(tmp_path):
    with FakeNode(seed=2) as fake:
        (tmp_path / ".env").write_text("".join(f"{k}={v}\n" for k, v in settings_of(fake).items()))
        args = ("--network=devnet", "--max_fee_strk=5")
        first, again = (
            last(submit(*args, folder=tmp_path, XDG_STATE_HOME=str(tmp_path / "state")))
            for _ in range(2)
        )
        assert len(fake.events(fake.registry)) == 1 and fake.nonce(fake.account.address) == 1
    assert (first["sent"], again["sent"]) == (True, False) and again["recorded"]
    assert first["transactions"] == again["transactions"]
    assert first["outbox"] == str(tmp_path / "state" / "jaxstark" / "devnet.sqlite")


def test_a_job_with_all_calls_on_the_fake_network(tmp_path):
    steps = ("register_job", "submit_proof", "register_with_router", "pay", "submit_result")
    job = {
        "format": "jaxstark-job/1",
        "calls": {step: {"contract": "0x5ab1e"} for step in steps},
        "job": {"job_id": "0x100000000000000000000000000000007", "worker": "0x5"},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    row = last(submit("--network=fake", "--max_fee_strk=5", f"--job={tmp_path / 'job.json'}"))
    assert row["sent"]


BAD = {
    "network": (["--network=goerli"], USAGE, "network"),
    "no_cap": (["--network=fake"], USAGE, "--max_fee_strk"),
    "cap": (["--network=fake", "--max_fee_strk=0.001"], FAILED, "raise --max_fee_strk"),
    "mainnet": (["--network=mainnet", "--max_fee_strk=1"], USAGE, "--allow_mainnet"),
    "both": (["--network=fake", "--dry_run", "--simulate"], USAGE, "--dry_run"),
    "registry": (["--network=sepolia", "--max_fee_strk=1"], USAGE, "--registry"),
    "url": (
        ["--network=sepolia", "--max_fee_strk=1", "--registry=0x5"],
        USAGE,
        "STARKNET_RPC_URL",
    ),
    "address": (["--network=fake", "--max_fee_strk=1", "--registry=home"], USAGE, "registry"),
    "explorer": (
        ["--network=sepolia", "--max_fee_strk=1", "--explorer=mine"],
        USAGE,
        "voyager, starkscan",
    ),
    "facts": (["--network=fake", "--dry_run", "--pass_through=facts.json"], USAGE, "proof, a text"),
    "profile": (["--network=fake", "--max_fee_strk=1", "--profile=mine"], USAGE, "profile mine"),
    "offline": (
        ["--network=devnet", "--max_fee_strk=1", "--registry=0x5", "--rpc_url=ftp://secret"],
        USAGE,
        "RPC URL",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_one_sentence(name, tmp_path):
    args, code, words = BAD[name]
    (tmp_path / "facts.json").write_text('{"proof": {}, "proof_facts": ["0x1"]}')
    done = submit(*args, folder=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and words in done.stderr


def test_an_unverified_proof_is_not_submitted(tmp_path):
    data = bytearray((GOLDEN / "range_sum_stwo96.proof.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "proof.bin").write_bytes(data)
    done = submit("--network=fake", "--max_fee_strk=5", f"--proof={tmp_path / 'proof.bin'}")
    assert done.returncode == FAILED and done.stderr.count("\n") == 1
    assert "sending" not in done.stdout and "verified and packed" not in done.stdout


def test_a_proof_for_tests_only_needs_its_flag():
    done = submit("--network=fake", "--max_fee_strk=5", case="wide_fibonacci")
    assert done.returncode == USAGE and "insecure" in done.stderr


def test_the_example_of_settings_names_all_of_them():
    assert set(read_env_file(REPO / ".env.example")) == set(ENVIRONMENT.values())
    assert not any(read_env_file(REPO / ".env.example").values())
