"""The packing script: files that say the same in every form, one sentence for bad input."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from jaxstark.params import PRESETS
from jaxstark.starknet import envelope
from jaxstark.starknet.packer import unpack
from tests.experiments.test_scripts import (
    CACHED,
    FAILED,
    REPO,
    USAGE,
    assert_one_sentence,
    last,
    script,
)
from tests.starknet.golden.cases import FOLDER, IRIS, packable

GOLDEN = REPO / "tests" / "golden" / "proofs"
ADDRESS = "0x7a1"


def inputs(name: str, folder: Path = GOLDEN, form: str = "json") -> list[str]:
    return [
        f"--proof={folder / name}.proof.{form}",
        f"--key={folder / name}.key.json",
        f"--public={folder / name}.public.json",
    ]


SMALL = [*inputs("range_sum"), "--insecure"]


def messages(folder: Path) -> list[list[int]]:
    data = json.loads((folder / "calldata.json").read_text())
    assert data["format"] == "jaxstark-calldata/1"
    return [[int(felt, 16) for felt in message] for message in data["messages"]]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A proof in several messages, with all files."""
    folder = tmp_path_factory.mktemp("packed")
    flags = [f"--out={folder}", f"--contract={ADDRESS}", "--max_felts=60", "--price=9"]
    return folder, script("pack_proof", *SMALL, *flags)


def test_every_form_holds_the_messages(packed):
    folder, done = packed
    row, chunks = last(done), messages(folder)
    assert row["verified"] is True
    assert row["chunks"] == [len(chunk) for chunk in chunks] == [60, 60, 60, 11]
    found = unpack(envelope.join(chunks), packable("range_sum").key, insecure=True)
    assert found.proof == packable("range_sum").proof
    for i, chunk in enumerate(chunks):
        words = (folder / f"message_{i}.calldata").read_text().split()
        assert all(word.startswith("0x") for word in words)
        assert [int(word, 16) for word in words] == [len(chunk), *chunk]
        (call,) = tomllib.loads((folder / f"message_{i}.toml").read_text())["call"]
        assert call["inputs"] == words
        assert (call["call_type"], call["function"]) == ("invoke", "record")
        assert call["contract_address"] == ADDRESS
    assert sorted(row["files"]) == sorted(path.name for path in folder.iterdir())


def test_the_record_has_sizes_of_every_preset(packed):
    _, done = packed
    row = last(done)
    assert set(row["sizes"]) == {"this proof", *PRESETS}
    limb, serde = row["sizes"]["this proof"]
    assert (limb["felts"], limb["estimated"], limb["transactions"]) == (row["felts"], False, 4)
    assert serde["felts"] > limb["felts"]
    assert row["price_fri"] == 9 * 10**9
    assert limb["strk"] == pytest.approx(sum(limb["gas"].values()) * 9e-9, abs=1e-6)
    assert {"git_sha", "cpu_count"} <= set(row["environment"])
    for word in ("verified", "statement", "digest", "STRK at 9 gFri", "~"):
        assert word in done.stdout


def test_messages_of_an_earlier_run_do_not_stay(packed, tmp_path):
    for path in packed[0].iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    last(script("pack_proof", *SMALL, f"--out={tmp_path}"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "calldata.json",
        "message_0.calldata",
        "notes.txt",
    ]
    assert len(messages(tmp_path)) == 1


def test_iris_with_compact_96_is_one_message(tmp_path):
    row = last(script("pack_proof", *inputs(IRIS, FOLDER, "bin"), f"--out={tmp_path}"))
    assert row["chunks"] == [1479]
    assert row["sizes"]["this proof"][0]["transactions"] == 1


def test_the_serde_form_can_be_asked_for(tmp_path):
    done = script("pack_proof", *SMALL, f"--out={tmp_path}", "--encoding=serde")
    assert last(done)["felts"] == 1251
    assert json.loads((tmp_path / "calldata.json").read_text())["encoding"] == "serde"


def test_a_false_proof_leaves_no_file(tmp_path):
    data = bytearray((GOLDEN / "range_sum.proof.bin").read_bytes())
    data[-1] ^= 1
    (tmp_path / "proof.bin").write_bytes(bytes(data))
    out = tmp_path / "out"
    done = script("pack_proof", *SMALL[1:], f"--proof={tmp_path / 'proof.bin'}", f"--out={out}")
    assert_one_sentence(done, FAILED)
    assert not out.exists()


BAD = {
    "nothing": ([], "proof"),
    "encoding": ([*SMALL, "--encoding=felts"], "encoding"),
    "max_felts": ([*SMALL, "--max_felts=5000"], "max_felts"),
    "statement": ([*SMALL, "--max_felts=10"], "statement values"),
    "contract": ([*SMALL, "--contract=registry"], "contract"),
    "zero": ([*SMALL, "--contract=0x0"], "contract"),
    "price": ([*SMALL, "--price=0"], "price"),
    "tiny price": ([*SMALL, "--price=1e-12"], "price"),
    "file": ([*SMALL, f"--out={GOLDEN / 'range_sum.key.json'}"], "expected a folder"),
    "absent": ([*SMALL[1:], "--proof=absent.json"], "absent.json"),
    "insecure": (SMALL[:-1], "insecure"),
    "public": ([*SMALL, f"--public={GOLDEN / 'range_sum.proof.bin'}"], "public"),
    "list": ([*SMALL, "--public=/dev/null"], "public"),
    "argument": ([*SMALL, "more"], "more"),
    "air": ([*SMALL, "--air=nothing"], "nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_sentence_and_exit_code_2(case, tmp_path):
    args, word = BAD[case]
    done = script("pack_proof", f"--out={tmp_path}", *args)
    assert word in assert_one_sentence(done, USAGE)
    assert not list(tmp_path.glob("message*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "limbs", "serde"),
    [("compact-96", [1479], [4500, 4500, 2819]), ("stwo-96", [3616], [4500] * 6 + [1897])],
)
def test_iris_proved_again_has_the_messages_that_we_claim(tmp_path, preset, limbs, serde):
    """In one transaction with either preset; the Serde form takes several."""
    pytest.importorskip("numba", reason="numba is missing: the executor was not run")
    pytest.importorskip("sklearn", reason="scikit-learn is missing: there are no data sets")
    proved = tmp_path / "proved"
    flags = ["--sample=17", f"--preset={preset}", f"--out={proved}", CACHED]
    last(script("prove_inference", *flags))
    if preset == "compact-96":
        for form in ("proof.bin", "key.json", "public.json"):
            assert (proved / form).read_bytes() == (FOLDER / f"{IRIS}.{form}").read_bytes()
    args = [f"--{n}={proved / f'{n}.json'}" for n in ("proof", "key", "public")]
    assert last(script("pack_proof", *args, f"--out={tmp_path / 'l'}"))["chunks"] == limbs
    more = [f"--out={tmp_path / 's'}", "--encoding=serde"]
    assert last(script("pack_proof", *args, *more))["chunks"] == serde
    assert len(messages(tmp_path / "s")) == len(serde)
