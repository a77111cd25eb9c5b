"""The binary form is canonical, refuses everything else, and never allocates on a claim."""

import dataclasses
import random
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31, ZERO
from jaxstark.proof import Proof, check_proof, write_atomically
from tests.strategies import Columns, proofs, random_proof


def mutate(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    word = 4 * (at // 4)
    edge = struct.pack("<I", rng.choice((0, 1, P, P + 1, 1 << 31, 0xFFFFFFFF)))
    return rng.choice(
        (
            data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
            data[:word] + edge + data[word + 4 :],
            data[:word] + data[word + 4 :],
            data[:word] + edge + data[word:],
            data[:at],
            data + rng.randbytes(rng.randint(1, 8)),
        )
    )


@given(proofs())
def test_round_trip_and_canonical(case: tuple[Proof, Columns]) -> None:
    proof, _ = case
    data = proof.to_bytes()
    back = Proof.from_bytes(data)
    assert back == proof and hash(back) == hash(proof) and back.sha256() == proof.sha256()
    assert back.to_bytes() == data


def test_t26_mutations_are_refused_or_other_proofs() -> None:
    accepted = 0
    for seed in range(2000):
        rng = random.Random(seed)
        proof, _ = random_proof(rng, rng.choice(("stwo-2.2", "stwo-2.2-poseidon252")))
        data = proof.to_bytes()
        changed = mutate(rng, data)
        try:
            other = Proof.from_bytes(changed)
        except ProofShapeError:
            assert changed != data
            continue
        accepted += 1
        assert other.to_bytes() == changed and (other == proof) == (changed == data)
    assert accepted > 100, "the mutations should also reach well-formed proofs"


def test_t26_random_bytes_and_types_are_refused() -> None:
    rng = random.Random(1)
    head = b"jaxstark" + struct.pack("<I", 1)
    junk = [head + rng.randbytes(4 * rng.randrange(60)) for _ in range(300)]
    for data in [b"", b"jaxstark", head, None, 7, "text", bytearray(head), *junk]:
        with pytest.raises(ProofShapeError):
            Proof.from_bytes(data)  # type: ignore[arg-type]


def test_t30_huge_lengths_allocate_nothing() -> None:
    proof, _ = random_proof(random.Random(3))
    data = proof.to_bytes()
    cases = []
    for at in range(8, len(data), 4):
        cases += [data[:at] + struct.pack("<I", n) + data[at + 4 :] for n in (1 << 24, 2**32 - 1)]
    tracemalloc.start()
    try:
        for case in cases:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                Proof.from_bytes(case)
            except ProofShapeError as error:
                assert len(str(error)) < 1000
            assert tracemalloc.get_traced_memory()[1] - before < 200_000
    finally:
        tracemalloc.stop()


def test_t25_words_of_p_or_more_are_refused() -> None:
    proof, _ = random_proof(random.Random(4))
    proof = dataclasses.replace(proof, claimed_sums=(QM31(1, 2, 3, 987654321),))
    data = proof.to_bytes()
    needle = struct.pack("<4I", 1, 2, 3, 987654321)
    assert data.count(needle) == 1
    for word in (P, P + 1, 0xFFFFFFFF):
        changed = data.replace(needle, struct.pack("<4I", 1, 2, 3, word))
        with pytest.raises(ProofShapeError):
            Proof.from_bytes(changed)
    Proof.from_bytes(data.replace(needle, struct.pack("<4I", 1, 2, 3, P - 1)))


def test_t25_malformed_objects_are_refused_by_every_form() -> None:
    proof, columns = random_proof(random.Random(12))
    stark = proof.stark
    word = np.full((len(columns[0]), 1), P, np.uint32)
    bad = [
        dataclasses.replace(proof, profile="stwo-9"),
        dataclasses.replace(proof, profile=[]),
        dataclasses.replace(proof, air=""),
        dataclasses.replace(proof, air="\u00e9"),
        dataclasses.replace(proof, air="a" * 256),
        dataclasses.replace(proof, log_sizes=()),
        dataclasses.replace(proof, log_sizes=(31,)),
        dataclasses.replace(proof, log_sizes=(True,)),
        dataclasses.replace(proof, log_sizes=[3]),
        dataclasses.replace(proof, claimed_sums=(QM31(0, 0, 0, P),)),
        dataclasses.replace(proof, claimed_sums=(QM31(0, 0, 0, np.uint32(1)),)),
        dataclasses.replace(proof, claimed_sums=((0, 0, 0, 0),)),
        dataclasses.replace(proof, claimed_sums=(ZERO[:3],)),
        dataclasses.replace(proof, stark=None),
    ]
    starks = [
        {"params": None},
        {"commitments": stark.commitments[:-1]},
        {"commitments": (b"short", *stark.commitments[1:])},
        {"decommitments": (*stark.decommitments, ())},
        {"sampled_values": (((ZERO,),) * 9, *stark.sampled_values[1:])},
        {"queried_values": 5},
        {"queried_values": (word.astype(np.int64), *stark.queried_values[1:])},
        {"queried_values": (np.zeros((9, 1), np.uint32), *stark.queried_values[1:])},
        {"queried_values": (word, *stark.queried_values[1:])} if len(word) else {"params": 1},
        {"proof_of_work": -1},
        {"proof_of_work": 1 << 64},
        {"proof_of_work": True},
        {"fri_layers": ()},
        {"fri_layers": (None,)},
        {"last_layer": ()},
        {"last_layer": (ZERO,) * 3},
        {"last_layer": (ZERO,) * 2048},
    ]
    bad += [dataclasses.replace(proof, stark=dataclasses.replace(stark, **f)) for f in starks]
    check_proof(proof)
    for case in bad:
        for write in (check_proof, Proof.to_bytes, Proof.to_json, lambda p: p.to_felts(columns)):
            with pytest.raises(ProofShapeError):
                write(case)


def test_equality_sees_every_field() -> None:
    proof, _ = random_proof(random.Random(12))
    stark = proof.stark
    assert stark != "something else"
    table = next(i for i, t in enumerate(stark.queried_values) if t.size)
    changed = [t.copy() for t in stark.queried_values]
    changed[table][0, 0] ^= 1
    layer = dataclasses.replace(stark.fri_layers[0], commitment=bytes(32))
    for fields in (
        {"queried_values": tuple(changed)},
        {"queried_values": stark.queried_values[1:]},
        {"proof_of_work": stark.proof_of_work ^ 1},
        {"fri_layers": (layer, *stark.fri_layers[1:])},
    ):
        assert dataclasses.replace(stark, **fields) != stark


@pytest.mark.parametrize("suffix", [".json", ".bin"])
def test_files_round_trip_and_name_their_form(tmp_path, suffix: str) -> None:
    proof, _ = random_proof(random.Random(5))
    path = tmp_path / f"proof{suffix}"
    proof.save(path)
    proof.save(path)  # replaces
    assert Proof.load(path) == proof
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    path.write_bytes(b"\xff\xfe broken")
    with pytest.raises(ProofShapeError):
        Proof.load(path)
    for call in (proof.save, Proof.load):
        with pytest.raises(ValueError, match="ending in .json or .bin"):
            call(tmp_path / "proof.txt")
    with pytest.raises(FileNotFoundError):
        Proof.load(tmp_path / f"absent{suffix}")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "proof.bin"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("jaxstark.proof.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == [path.name]
