"""T26: random mutations of serialized proofs: every one rejected, none does anything else.

A mutation that leaves the proof as it was (white space in JSON, say) is not one and is not counted.
"""

from __future__ import annotations

import copy
import json
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import jaxstark
from jaxstark.errors import VerificationError
from jaxstark.proof import Proof
from tests.golden.cases import golden

NAMES = ("range_sum", "state_machine", "wide_fibonacci", "plonk", "legacy26")
SECONDS = 20.0  # for one mutation, on a machine with other work
INTERESTING = (0, 1, 2, 255, 256, (1 << 31) - 2, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32)
FAR = ((1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 252, -1)


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to three edits: bits, bytes, words, and moved, lost, repeated or added stretches."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, length = rng.randrange(max(len(out), 1)), rng.choice((1, 2, 4, 8, 16, 32, 64))
        kind = rng.randrange(9)
        if kind <= 2:
            out[at : at + 1] = bytes([out[at] ^ 1 << rng.randrange(8)]) if out else b""
        elif kind == 3:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 4:
            word = rng.choice(INTERESTING) & 0xFFFFFFFF
            at -= at % 4
            out[at : at + 4] = word.to_bytes(4, "little")
        elif kind == 5:
            del out[at : at + length]
        elif kind == 6:
            out[at:at] = out[at : at + length]
        elif kind == 7:
            other = rng.randrange(max(len(out), 1))
            out[at : at + length] = out[other : other + length]
        else:
            out = out[:at] if rng.random() < 0.5 else out + rng.randbytes(length)
    return bytes(out)


def mutate_felts(rng: random.Random, felts: list[int]) -> list[Any]:
    """One to three edits of the list of felts."""
    out: list[Any] = list(felts)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, length = rng.randrange(max(len(out), 1)), rng.choice((1, 1, 2, 4, 8))
        kind = rng.randrange(8)
        value = out[at] if out and isinstance(out[at], int) else 0
        if kind <= 1:
            out[at : at + 1] = [value + rng.choice((-1, 1))]
        elif kind == 2:
            out[at : at + 1] = [value ^ 1 << rng.randrange(32)]
        elif kind == 3:
            out[at : at + 1] = [rng.choice((*INTERESTING, *FAR, None, 1.5, "0x1", True))]
        elif kind == 4:
            del out[at : at + length]
        elif kind == 5:
            out[at:at] = out[at : at + length]
        elif kind == 6:
            other = rng.randrange(max(len(out), 1))
            out[at : at + length] = out[other : other + length]
        else:
            out = out[:at] if rng.random() < 0.5 else out + [rng.randrange(1 << 32)] * length
    return out


def mutate_data(rng: random.Random, data: Any) -> Any:
    """One to three edits of JSON data, each at a random depth."""
    data = copy.deepcopy(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = None, None
        node = data
        while isinstance(node, dict | list) and node and (holder is None or rng.random() < 0.93):
            holder = node
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            node = node[key]
        if holder is None:
            return rng.choice((None, 0, [], {}, "x"))
        _edit(rng, holder, key)
    return data


def _edit(rng: random.Random, holder: Any, key: Any) -> None:
    value, kind = holder[key], rng.randrange(8)
    if kind <= 2 and type(value) is int:
        holder[key] = value + rng.choice((-1, 1)) if kind else value ^ 1 << rng.randrange(31)
    elif kind == 3:
        holder[key] = rng.choice((*INTERESTING, *FAR, None, 1.5, "x", True, [], {}, [value]))
    elif kind == 4:
        del holder[key]
    elif kind == 5 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    elif kind == 6 and isinstance(holder, list):
        other = rng.randrange(len(holder))
        holder[key], holder[other] = holder[other], holder[key]
    elif isinstance(holder, list):
        holder[key] = copy.deepcopy(rng.choice(holder))
    else:
        holder[f"{key}x"] = holder.pop(key)


def mutations(form: str, name: str, seed: int) -> tuple[Any, Callable[[Any], Proof]]:
    """A mutated form and the function that reads it."""
    rng, item = random.Random(f"{form} {name} {seed}"), golden(name)
    if form == "bytes":
        return mutate_bytes(rng, item.proof.to_bytes()), Proof.from_bytes
    if form == "text":
        return mutate_bytes(rng, item.text.encode()).decode("latin-1"), Proof.from_json
    if form == "json":
        return json.dumps(mutate_data(rng, item.data)), Proof.from_json
    columns = item.air.shape(item.key.log_sizes).all_columns
    felts = mutate_felts(rng, item.proof.to_felts(columns))
    return felts, lambda data: Proof.from_felts(data, columns)


def outcome(form: str, name: str, seed: int) -> str:
    """Section of the rejection, or ``"same"`` for a proof that the mutation has left as it was."""
    item = golden(name)
    data, load = mutations(form, name, seed)
    start = time.perf_counter()
    try:
        proof = load(data)
        if proof == item.proof:
            return "same"
        jaxstark.verify(proof, item.key, item.public, insecure=True)
    except VerificationError as error:
        assert len(str(error)) < 1000
        return error.section
    finally:
        assert time.perf_counter() - start < SECONDS
    raise AssertionError(f"accepted: mutation {seed} of the {form} form of {name}")


def run(form: str, first: int, count: int) -> Counter:
    """Outcomes of ``count`` mutations, spread over the proofs."""
    found: Counter = Counter()
    seed = first
    while sum(found.values()) - found["same"] < count:
        found[outcome(form, NAMES[seed % len(NAMES)], seed)] += 1
        seed += 1
        assert found["same"] <= count, "too few real mutations"
    return found


@pytest.mark.parametrize("form", ["bytes", "text", "json", "felts"])
def test_t26_two_thousand_mutations_are_rejected(form):
    found = run(form, 0, 500)
    assert sum(found.values()) - found["same"] == 500
    # Not all die in parsing: the verifier itself sees many.
    assert found["shape"] < 500 and {"merkle", "oods"} <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("form", ["bytes", "text", "json", "felts"])
def test_t26_a_hundred_thousand_mutations_are_rejected(form, part):
    """Together 100,000; part p starts at seed 10^6 (p + 1). ``-rP`` shows the outcomes."""
    found = run(form, 1_000_000 * (part + 1), 6250)
    print(form, part, sorted(found.items()))
    assert sum(found.values()) - found["same"] == 6250


@pytest.mark.parametrize("form", ["bytes", "text", "json", "felts"])
def test_t26_t30_mutations_allocate_no_more_than_the_proof(form):
    """Peak memory of reading and verifying stays near that of the unchanged proof."""
    item = golden("range_sum")

    def peak(action) -> int:
        tracemalloc.start()
        try:
            action()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def unchanged():
        proof = Proof.from_json(item.text)
        jaxstark.verify(proof, item.key, item.public, insecure=True)

    unchanged()  # fills the caches of twiddles and shapes
    limit = 4 * peak(unchanged)
    assert limit < 16 << 20
    for seed in range(5_000, 5_040):
        assert peak(lambda seed=seed: outcome(form, "range_sum", seed)) < limit


def test_mutations_are_deterministic_and_do_mutate():
    for form in ("bytes", "text", "json", "felts"):
        assert mutations(form, "plonk", 7)[0] == mutations(form, "plonk", 7)[0]
        found = Counter(outcome(form, "plonk", seed) == "same" for seed in range(30))
        assert found[False] > 20


def test_the_harness_notices_an_accepted_mutation(monkeypatch):
    """A verifier that accepts everything fails the test above."""
    monkeypatch.setattr(jaxstark, "verify", lambda *args, **options: None)
    with pytest.raises(AssertionError, match="accepted: mutation"):
        run("json", 0, 200)


@pytest.mark.parametrize(
    "junk", [b"", b"\0", b"jaxstark", bytes(1000), bytes(range(256)) * 40, None, 5, "text", []]
)
def test_t26_junk_is_rejected_by_every_form(junk):
    columns = golden("plonk").air.shape((6,)).all_columns
    for load in (Proof.from_bytes, Proof.from_json, lambda d: Proof.from_felts(d, columns)):
        with pytest.raises(VerificationError):
            load(junk)


@pytest.mark.parametrize("junk", [None, 1, "proof", {}, b"", object()])
def test_t26_what_is_no_proof_is_rejected(junk):
    item = golden("plonk")
    with pytest.raises(VerificationError):
        jaxstark.verify(junk, item.key, item.public, insecure=True)
