"""The command line: one sentence and an exit code for every outcome."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxstark.__main__ import ACCEPTED, REJECTED, UNUSABLE, main
from jaxstark.doctor import STAGES

GOLDEN = Path(__file__).resolve().parent / "golden" / "proofs"


@pytest.fixture
def golden(tmp_path):
    """Arguments that verify a copy of the first golden proof: proof, key, public values."""
    proofs = sorted(GOLDEN.glob("*.proof.json"))
    assert proofs, f"no golden proof under {GOLDEN}"
    stem = proofs[0].name.removesuffix(".proof.json")
    for file in GOLDEN.glob(f"{stem}.*"):
        shutil.copy(file, tmp_path)
    args = [str(tmp_path / f"{stem}.proof.json"), str(tmp_path / f"{stem}.key.json")]
    if (tmp_path / f"{stem}.public.json").exists():
        args += ["--public", str(tmp_path / f"{stem}.public.json")]
    return args


def one_sentence(capsys) -> str:
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return err


def test_verify_accepts_a_golden_proof(golden, capsys):
    assert main(["verify", *golden, "--insecure"]) == ACCEPTED
    out = capsys.readouterr().out
    assert out.startswith("accepted: ")
    assert out.count("\n") == 1


def test_verify_rejects_a_changed_nonce(golden, capsys):
    text = Path(golden[0]).read_text()
    before, mark, after = text.partition('"proof_of_work":')
    assert mark
    nonce = after.split(",")[0].split("}")[0]
    Path(golden[0]).write_text(f"{before}{mark}{int(nonce) + 1}{after[len(nonce) :]}")
    assert main(["verify", *golden, "--insecure"]) == REJECTED
    assert one_sentence(capsys).startswith("rejected: ")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_verify_rejects_a_malformed_proof(golden, content, capsys):
    Path(golden[0]).write_bytes(content)
    assert main(["verify", *golden, "--insecure"]) == REJECTED
    assert one_sentence(capsys).startswith("rejected: ")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_malformed_key_is_the_callers_mistake(golden, content, capsys):
    Path(golden[1]).write_bytes(content)
    assert main(["verify", *golden, "--insecure"]) == UNUSABLE
    assert one_sentence(capsys).startswith("error: ")


@pytest.mark.parametrize("position", [0, 1])
def test_an_absent_file_is_named(golden, position, capsys):
    golden[position] = golden[position].replace("golden", "absent") + ".absent.json"
    assert main(["verify", *golden, "--insecure"]) == UNUSABLE
    assert golden[position] in one_sentence(capsys)


def test_a_folder_is_no_proof(golden, tmp_path, capsys):
    (tmp_path / "folder.json").mkdir()
    golden[0] = str(tmp_path / "folder.json")
    assert main(["verify", *golden, "--insecure"]) == UNUSABLE
    assert "folder.json" in one_sentence(capsys)


def test_a_higher_demand_refuses_the_key(golden, capsys):
    assert main(["verify", *golden, "--minimum-bits", "5000"]) == UNUSABLE
    assert "5000" in one_sentence(capsys)


@pytest.mark.parametrize("content", ["", "[1]", "1", '{"a": '])
def test_bad_public_values_are_a_mistake(golden, tmp_path, content, capsys):
    (tmp_path / "bad.json").write_text(content)
    args = [*golden[:2], "--public", str(tmp_path / "bad.json"), "--insecure"]
    assert main(["verify", *args]) == UNUSABLE
    assert "public values" in one_sentence(capsys)


def test_unknown_public_values_are_a_mistake(golden, tmp_path, capsys):
    (tmp_path / "bad.json").write_text('{"no such value": [1]}')
    args = [*golden[:2], "--public", str(tmp_path / "bad.json"), "--insecure"]
    assert main(["verify", *args]) == UNUSABLE
    assert one_sentence(capsys).startswith("error: ")


@pytest.mark.parametrize("reference", ["nothing", "no.such:air", "json:loads", "os:environ", ":"])
def test_an_air_that_is_none_is_a_mistake(golden, reference, capsys):
    assert main(["verify", *golden, "--insecure", "--air", reference]) == UNUSABLE
    assert one_sentence(capsys).startswith("error: ")


def test_an_own_air_is_loaded_from_the_callers_folder(golden, tmp_path):
    air_id = json.loads(Path(golden[1]).read_text())["air"]
    other = "legacy26" if air_id != "legacy26" else "range_sum/4"
    (tmp_path / "own_air.py").write_text(
        "from jaxstark.air import registry\n"
        f"def mine():\n    return registry.resolve({air_id!r})\n"
        f"def other():\n    return registry.resolve({other!r})\n"
    )
    repo = Path(__file__).resolve().parent.parent
    for name, code in (("mine", ACCEPTED), ("other", UNUSABLE)):
        done = subprocess.run(
            [sys.executable, "-m", "jaxstark", "verify", *golden, "--insecure"]
            + ["--air", f"own_air:{name}"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(repo)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr


def test_info_says_what_a_proof_claims(golden, capsys):
    assert main(["info", golden[0], *golden[2:]]) == ACCEPTED
    out = capsys.readouterr().out
    for word in ("profile", "AIR", "queries", "blow-up", "FRI layers", "security"):
        assert word in out
    assert "not computed" not in out
    assert "nothing was verified" in out


def test_info_of_a_malformed_proof_is_a_rejection(tmp_path, capsys):
    (tmp_path / "bad.json").write_text("{}")
    assert main(["info", str(tmp_path / "bad.json")]) == REJECTED
    assert one_sentence(capsys).startswith("rejected: ")


def test_doctor_names_every_stage(capsys):
    assert main(["doctor"]) == ACCEPTED
    out = capsys.readouterr().out
    assert all(stage in out for stage in STAGES)
    assert main(["doctor", "--json"]) == ACCEPTED
    assert set(json.loads(capsys.readouterr().out)["stages"]) == set(STAGES)


def test_version_and_usage(capsys):
    assert main(["--version"]) == ACCEPTED
    assert capsys.readouterr().out.startswith("jaxstark ")
    assert main([]) == UNUSABLE
    assert "usage" in capsys.readouterr().err
    for bad in (["verify"], ["nonsense"], ["verify", "a", "b", "--minimum-bits", "x"]):
        with pytest.raises(SystemExit) as stop:
            main(bad)
        assert stop.value.code == UNUSABLE
