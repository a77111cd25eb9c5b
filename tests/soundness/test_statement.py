"""The statement: a proof holds for its key, its public values and its AIR, and for no others."""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import fields, replace

import numpy as np
import pytest

import jaxstark
from jaxstark.air.definition import Air, Component, first_row, last_row
from jaxstark.air.plonk import Circuit, plonk
from jaxstark.air.range_sum import range_sum, range_sum_trace
from jaxstark.errors import VerificationError
from jaxstark.fields.m31 import P
from jaxstark.key import VerifyingKey
from jaxstark.params import PRESETS, ProofParams, require_secure
from jaxstark.proof import Proof
from jaxstark.trace import Trace
from tests.golden.cases import CASES, SECURE, SMALL, golden
from tests.soundness.forging import PARAMS, rejected


def verify(item, proof=None, key=None, public=None, **options):
    options.setdefault("insecure", True)
    jaxstark.verify(proof or item.proof, key or item.key, public or item.public, **options)


@pytest.mark.parametrize("name", [n for n in SMALL if golden(n).public])
def test_t1_every_word_of_every_public_value_is_bound(name):
    item = golden(name)
    verify(item)
    count = 0
    for vector, words in item.public.items():
        for i, word in enumerate(words):
            for other in {(word + 1) % P, (word - 1) % P, 0, P - 1, word ^ 1} - {word, P}:
                changed = dict(item.public, **{vector: [*words[:i], other, *words[i + 1 :]]})
                assert rejected(item.proof, item.key, changed) in ("logup", "oods")
                count += 1
            for bad in (word + P, -1, word + 0.5, None, "x"):
                changed = dict(item.public, **{vector: [*words[:i], bad, *words[i + 1 :]]})
                with pytest.raises(ValueError, match=f"public value {vector}"):
                    verify(item, public=changed)
        for other_length in (words[:-1], [*words, 0]):
            changed = dict(item.public, **{vector: other_length})
            if dict(item.air.public_values)[vector] is None:  # a statement, but not a true one
                assert rejected(item.proof, item.key, changed) == "logup"
                continue
            with pytest.raises(ValueError, match="words"):
                verify(item, public=changed)
    assert count >= 6
    names = list(item.public)
    swapped = dict(
        item.public, **{names[0]: item.public[names[1]], names[1]: item.public[names[0]]}
    )
    with pytest.raises((VerificationError, ValueError)):
        verify(item, public=swapped)
    for wrong in ({}, {names[0]: item.public[names[0]]}, dict(item.public, more=[1])):
        with pytest.raises(ValueError, match="public values"):
            jaxstark.verify(item.proof, item.key, wrong, insecure=True)


@pytest.mark.parametrize("name", SMALL)
def test_t1_every_field_of_the_key_is_compared(name):
    item, params = golden(name), golden(name).key.params
    root = item.key.preprocessed_root
    changes = [{"preprocessed_root": bytes([root[0] ^ 1]) + root[1:]}]
    for field in fields(ProofParams):
        value = getattr(params, field.name)
        for other in {value + 1, max(value - 1, 1)} - {value}:
            changes.append({"params": replace(params, **{field.name: other})})
    for change in changes:
        assert rejected(item.proof, replace(item.key, **change), item.public) == "key"
    assert len(changes) >= 8


def test_t1_a_claim_of_the_keys_values_does_not_help():
    """The proof claims what another key demands: its transcript is another then."""
    item = golden("range_sum")
    for change in ({"pow_bits": 1}, {"n_queries": 5}, {"fold_step": 1}, {"log_last_layer": 0}):
        params = replace(item.key.params, **change)
        proof = replace(item.proof, stark=replace(item.proof.stark, params=params))
        section = rejected(proof, replace(item.key, params=params), item.public)
        assert section in ("shape", "logup", "oods", "proof of work")
    key = replace(item.key, preprocessed_root=bytes(32))
    commitments = (bytes(32), *item.proof.stark.commitments[1:])
    proof = replace(item.proof, stark=replace(item.proof.stark, commitments=commitments))
    assert rejected(proof, key, item.public) == "oods"


def renamed(air: Air, name: str) -> Air:
    return Air(name, air.components, air.relations, air.public_values, air.public_terms)


def test_t1_the_air_id_is_bound():
    item = golden("range_sum")
    air = renamed(item.air, "range_sum/5b")
    key = replace(item.key, air=air.name, definition=air)
    assert rejected(item.proof, key, item.public) == "key"
    assert rejected(replace(item.proof, air=air.name), key, item.public) == "oods"
    with pytest.raises(ValueError, match="AIR: expected"):
        jaxstark.verify(item.proof, item.key, item.public, air=air, insecure=True)
    with pytest.raises(ValueError, match="AIR id: expected one of"):
        jaxstark.verify(item.proof, replace(key, definition=None), item.public, insecure=True)


def test_proofs_of_one_air_do_not_pass_for_another():
    for name in SMALL:
        for other in SMALL:
            if name != other:
                wrong = golden(other)
                assert rejected(golden(name).proof, wrong.key, wrong.public) == "key"


# --- T6: bounds and minimum security ---------------------------------------------------------


@pytest.mark.parametrize("field", [f.name for f in fields(ProofParams)])
@pytest.mark.parametrize("value", [-1, 1 << 31, 1 << 70, None, 1.0, True])
def test_t6_parameters_out_of_bounds_are_rejected_on_both_sides(field, value):
    item = golden("range_sum")
    with pytest.raises(ValueError, match=f"{field}: expected an int in"):
        replace(item.key.params, **{field: value})
    json_name = {"log_blowup": "log_blowup_factor", "log_last_layer": "log_last_layer_degree_bound"}
    json_name = json_name.get(field, field)
    data = item.data
    config = data["stark_proof"]["config"]
    (config if field == "pow_bits" else config["fri_config"])[json_name] = value
    with pytest.raises(VerificationError):
        Proof.from_json(json.dumps(data))
    key = json.loads(item.key.to_json())
    key["config"][json_name] = value
    with pytest.raises(ValueError):
        VerifyingKey.from_json(json.dumps(key))


@pytest.mark.parametrize("field", ["log_blowup", "n_queries", "fold_step"])
def test_t6_no_blowup_no_queries_no_fold(field):
    item = golden("range_sum")
    with pytest.raises(ValueError, match=f"{field}: expected an int in 1"):
        replace(item.key.params, **{field: 0})
    # Even a parameter object that was made around its checks does not pass for the key's.
    weak = replace(item.key.params)
    object.__setattr__(weak, field, 0)
    proof = replace(item.proof, stark=replace(item.proof.stark, params=weak))
    assert rejected(proof, item.key, item.public) == "key"


def test_t6_minimum_security_is_the_verifiers_and_not_the_proofs():
    for name in SMALL:
        item = golden(name)
        with pytest.raises(ValueError, match=r"expected pow_bits .* at least 96 bits"):
            verify(item, insecure=False)
        bits = item.key.params.formula_bits
        verify(item, insecure=False, minimum_bits=bits)
        with pytest.raises(ValueError, match=f"at least {bits + 1} bits"):
            verify(item, insecure=False, minimum_bits=bits + 1)
    secure = golden(SECURE[0])
    verify(secure, insecure=False)
    with pytest.raises(ValueError, match="at least 97 bits"):
        verify(secure, insecure=False, minimum_bits=97)
    for bad in (-1, 1.5, "96"):
        with pytest.raises(ValueError, match="minimum_bits"):
            verify(secure, insecure=False, minimum_bits=bad)


def test_t6_the_prover_refuses_weak_parameters_unless_told():
    trace, log_sizes = CASES["range_sum"].example()
    calls = (
        lambda params: jaxstark.prove(trace, params=params),
        lambda params: jaxstark.compile(trace.air.shape(log_sizes), params),
    )
    for call in calls:
        with pytest.raises(ValueError, match="preset test: expected"):
            call("test")
        with pytest.raises(ValueError, match="params: expected"):
            call(PRESETS["test"])
        with pytest.raises(ValueError, match="preset: expected one of"):
            call("stwo-97")
    require_secure(PRESETS["stwo-96"])


# --- T41: forged tree 0 ----------------------------------------------------------------------


def wider_table(log_size: int) -> np.ndarray:
    """0, 1, .., with a word out of range in the last row."""
    table = np.arange(1 << log_size, dtype=np.uint32)
    table[-1] = 1_000_003
    return table


def no_row(log_size: int) -> np.ndarray:
    return np.zeros(1 << log_size, np.uint32)


def with_generator(air: Air, column: str, generator) -> Air:
    """The AIR with another preprocessed column under the same id."""
    components = tuple(
        Component(
            c.name,
            c.columns,
            c.evaluate,
            tuple((n, generator if n == column else g) for n, g in c.preprocessed),
            c.log_size,
            c.unused,
        )
        for c in air.components
    )
    return Air(air.name, components, air.relations, air.public_values, air.public_terms)


def cheats():
    """Name, forged AIR and a trace that it accepts and the real AIR does not."""
    bits, log_size = 5, 6
    columns, public = range_sum_trace(log_size, bits, seed=9)
    value = columns["sum"]["value"].astype(np.uint64)
    value[value == 31] = 30  # the last row of the forged table holds another word
    value[3] = 1_000_003
    total = (np.cumsum(value) % np.uint64(P)).astype(np.uint32)
    table = wider_table(bits)
    counts = np.array([(value == t).sum() for t in table], np.uint32)
    columns = {
        "sum": {"value": value.astype(np.uint32), "total": total},
        "table": {"multiplicity": counts},
    }
    yield (
        "range table",
        with_generator(range_sum(bits), "range_sum_table", wider_table),
        columns,
        {"start": [0], "result": [int(total[-1])]},
    )
    columns, public = range_sum_trace(log_size, bits, seed=9)
    yield (
        "last row",
        with_generator(range_sum(bits), "range_sum_is_last", no_row),
        columns,
        dict(public, result=[12345]),
    )
    columns, public = range_sum_trace(log_size, bits, start=777, seed=9)
    free = with_generator(range_sum(bits), "range_sum_is_first", last_row)
    shifted = {
        "sum": {name: np.roll(column, -1) for name, column in columns["sum"].items()},
        "table": columns["table"],
    }
    end = int(shifted["sum"]["total"][-1])
    yield "first row", free, shifted, {"start": [777], "result": [end]}


@pytest.mark.parametrize("cheat", list(cheats()), ids=lambda cheat: cheat[0])
def test_t41_a_forged_tree_0_is_rejected_because_the_key_fixes_the_root(cheat):
    _, forged, columns, public = cheat
    honest, sizes = range_sum(5), (6, 5)
    assert forged.name == honest.name and forged != honest
    with pytest.raises(jaxstark.ProvingError):
        jaxstark.prove(Trace(honest, columns, public), params=PARAMS, insecure=True)
    # Committed honestly, it is a true proof of another statement ...
    proof = jaxstark.prove(Trace(forged, columns, public), params=PARAMS, insecure=True)
    own = forged.setup(sizes, PARAMS)
    jaxstark.verify(proof, own, public, insecure=True)
    jaxstark.verify(proof, own, public, air=honest, insecure=True)  # the root is all that differs
    # ... which the key of the real table turns away.
    key = honest.setup(sizes, PARAMS)
    assert key.preprocessed_root != own.preprocessed_root
    with pytest.raises(VerificationError, match="root of tree 0"):
        jaxstark.verify(proof, key, public, insecure=True)
    # Showing the root of the key with the openings of the forged table does not help.
    commitments = (key.preprocessed_root, *proof.stark.commitments[1:])
    shown = replace(proof, stark=replace(proof.stark, commitments=commitments))
    assert rejected(shown, key, public) in ("logup", "oods")


def test_t41_a_forged_program_is_rejected():
    """Another circuit under the same name: one gate multiplies instead of adding."""
    air = golden("plonk").air
    size, i = 64, np.arange(64, dtype=np.uint32)
    wires = np.stack([i, i + np.uint32(1), i + np.uint32(2)])
    op = np.ones(size, np.uint32)
    op[5] = 0
    forged = plonk(Circuit("fibonacci/6", wires, op, ((0, 1), (1, 2)), (65,)))
    assert forged.name == air.name
    params = golden("plonk").key.params
    key, own = air.setup((6,), params), forged.setup((6,), params)
    assert key == golden("plonk").key and own.preprocessed_root != key.preprocessed_root
    values = [3, 4]
    for j in range(size):
        a, b = values[-2:]
        values.append((a + b if op[j] else a * b) % P)
    table = np.array(values, np.uint32)
    mult = np.full(size, 2, np.uint32)
    mult[-2:] = 1
    columns = {"mult": mult, "a_val": table[:-2], "b_val": table[1:-1], "c_val": table[2:]}
    public = {"inputs": values[:2], "outputs": values[-1:]}
    proof = jaxstark.prove(Trace(forged, {"gates": columns}, public), params=params, insecure=True)
    jaxstark.verify(proof, own, public, insecure=True)
    assert rejected(proof, key, public) == "key"
    with pytest.raises(jaxstark.ProvingError, match="row 5, gate"):
        jaxstark.prove(Trace(air, {"gates": columns}, public), params=params, insecure=True)


def test_generators_of_the_forged_tables_differ_from_the_real_ones():
    assert last_row(3).tolist() != first_row(3).tolist() and not no_row(3).any()


# --- T30: huge claims allocate nothing -------------------------------------------------------


@pytest.mark.parametrize("log_size", [20, 28, 29])
def test_t30_a_huge_claimed_size_allocates_nothing(log_size):
    item = golden("wide_fibonacci")
    proof = replace(item.proof, log_sizes=(log_size,))
    key = replace(item.key, log_sizes=(log_size,))
    for case in ((proof, item.key), (item.proof, key), (proof, key)):
        tracemalloc.start()
        start = time.perf_counter()
        section = rejected(*case)
        elapsed, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert section in ("key", "shape") and peak < 1 << 20 and elapsed < 2
