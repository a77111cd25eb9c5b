"""``prove``, ``verify``, ``compile``: what they accept, refuse and promise."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxstark
from jaxstark import transfer
from jaxstark.air.range_sum import range_sum, range_sum_trace
from jaxstark.air.wide_fibonacci import wide_fibonacci, wide_fibonacci_columns
from jaxstark.errors import ProofShapeError, ProvingError, VerificationError
from jaxstark.fields.m31 import P
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams
from jaxstark.proof import Proof
from jaxstark.trace import Trace
from tests.golden.cases import CASES, PROOFS, SMALL, golden
from tests.soundness.forging import PARAMS

INSECURE = {"params": PARAMS, "insecure": True}


@pytest.fixture
def fibonacci():
    """AIR and columns of a small trace."""
    return wide_fibonacci(26), wide_fibonacci_columns(26, 5, seed=1)["fibonacci"]


def one_sentence(error: BaseException, *words: str) -> None:
    message = str(error)
    assert "\n" not in message and len(message) < 500, message
    for word in words:
        assert word in message, message


# --- The promises ----------------------------------------------------------------------------


def test_prove_leaves_the_callers_arrays_alone(fibonacci):
    air, columns = fibonacci
    host = {name: column.copy() for name, column in columns.items()}
    device = {name: jnp.asarray(column) for name, column in columns.items()}
    table = jnp.stack(list(device.values()))
    proofs = [
        jaxstark.prove(Trace(air, {"fibonacci": given}), **INSECURE)
        for given in (host, device, table, np.stack(list(host.values())), transfer.lock(table))
    ]
    assert all(proof == proofs[0] for proof in proofs)
    for name, column in columns.items():
        assert np.array_equal(host[name], column)
        assert not device[name].is_deleted() and np.array_equal(device[name], column)
    assert not table.is_deleted()


def test_proofs_are_deterministic_and_depend_on_the_trace(fibonacci):
    air, columns = fibonacci
    first = jaxstark.prove(Trace(air, {"fibonacci": columns}), **INSECURE)
    assert jaxstark.prove(Trace(air, {"fibonacci": columns}), **INSECURE).sha256() == first.sha256()
    other = wide_fibonacci_columns(26, 5, seed=2)
    assert jaxstark.prove(Trace(air, other), **INSECURE) != first


def test_stages_are_reported_in_order(fibonacci):
    air, columns = fibonacci
    stages = []
    trace = Trace(air, {"fibonacci": columns})
    proof = jaxstark.prove(trace, on_stage=lambda *stage: stages.append(stage), **INSECURE)
    assert [name for name, _ in stages][:3] == ["set-up", "commit trace", "compose"]
    assert stages[-1][0] == "open" and all(seconds >= 0 for _, seconds in stages)
    assert proof == jaxstark.prove(trace, **INSECURE)


def test_verify_returns_nothing_and_takes_an_air_or_finds_it():
    item = golden("range_sum")
    options: Any = {"insecure": True}
    assert jaxstark.verify(item.proof, item.key, item.public, **options) is None
    bare = replace(item.key, definition=None)
    jaxstark.verify(item.proof, bare, item.public, **options)
    jaxstark.verify(item.proof, bare, item.public, air=range_sum(5), **options)
    arrays = {name: np.array(words, np.uint32) for name, words in item.public.items()}
    jaxstark.verify(item.proof, bare, arrays, **options)
    scalars = {name: words[0] for name, words in item.public.items()}
    jaxstark.verify(item.proof, bare, scalars, **options)


def test_compile_returns_a_prover_of_one_shape(fibonacci, compilations):
    air, columns = fibonacci
    seen = []
    compiled = jaxstark.compile(
        air.shape((5,)), PARAMS, insecure=True, on_stage=lambda name, _: seen.append(name)
    )
    assert seen[:2] == ["set-up", "commit trace"] and seen[-1] == "open"
    assert compiled.key == air.setup((5,), PARAMS)
    compilations.clear()
    proof = compiled(Trace(air, {"fibonacci": columns}))
    assert compilations == []
    jaxstark.verify(proof, compiled.key, insecure=True)
    with pytest.raises(ValueError, match="trace: expected AIR wide_fibonacci/26"):
        compiled(Trace(wide_fibonacci(5), wide_fibonacci_columns(5, 5)))
    with pytest.raises(ValueError, match=r"with log sizes \(5,\)"):
        compiled(Trace(air, wide_fibonacci_columns(26, 6)))
    broken = dict(columns, c4=np.roll(columns["c4"], 1))
    with pytest.raises(ProvingError, match="row"):
        compiled(Trace(air, {"fibonacci": broken}))


def test_set_up_and_proof_share_one_tree_0(monkeypatch):
    from jaxstark import setup

    commit, committed = setup.commit_rows, []
    monkeypatch.setattr(setup, "commit_rows", lambda *a: committed.append(a) or commit(*a))
    setup.forget_preprocessed()
    trace, log_sizes = replace(CASES["range_sum"], log_size=5).example()
    for _ in range(2):
        proof = jaxstark.prove(trace, params=PARAMS, insecure=True, implementation="xla")
    key = trace.air.setup(log_sizes, PARAMS, implementation="xla")
    assert len(committed) == 1
    jaxstark.verify(proof, key, trace.public_values, insecure=True)


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "columns"])
@pytest.mark.parametrize("where", ["numpy", "device", "device by name"])
def test_compile_has_all_programs_wherever_a_trace_is(where, apart, fibonacci, compilations):
    """Arrays that were sent to a device by name are of another kind for ``jit``."""
    import jax

    air, columns = fibonacci
    place = {
        "numpy": lambda rows: rows,
        "device": jax.numpy.asarray,
        "device by name": lambda rows: jax.device_put(rows, jax.devices()[0]),
    }[where]
    whole = np.stack(list(columns.values()))
    table = {name: place(c) for name, c in columns.items()} if apart else place(whole)
    trace = Trace(air, {"fibonacci": table})
    jax.clear_caches()  # what another test has compiled
    compiled = jaxstark.compile(air.shape((5,)), PARAMS, insecure=True)
    compilations.clear()
    proof = compiled(trace)
    assert compilations == []
    jaxstark.verify(proof, compiled.key, insecure=True)


# --- A second proof compiles nothing ---------------------------------------------------------


@pytest.mark.parametrize("name", ["range_sum", "wide_fibonacci", "state_machine"])
def test_a_second_proof_of_a_shape_compiles_nothing(name, compilations):
    """Neither another trace, nor other public values, nor another number of distinct queries."""
    params = ProofParams(pow_bits=3, log_blowup=1, n_queries=20, fold_step=2, log_last_layer=1)
    case = replace(CASES[name], log_size=5)
    counts = []
    for seed in range(4):
        trace, log_sizes = replace(case, seed=seed).example()
        if seed == 1:
            compilations.clear()
        proof = jaxstark.prove(trace, params=params, insecure=True)
        key = trace.air.setup(log_sizes, params)
        jaxstark.verify(proof, key, trace.public_values, insecure=True)
        counts.append(proof.stark.queried_values[1].shape[1])
    assert compilations == []
    assert len(set(counts[1:])) > 1 or counts[0] != counts[1], counts


def test_the_listener_sees_compilations(compilations):
    """A constant of its own makes this program new to every cache in memory."""
    salt = time.time_ns() % 1000

    @jax.jit
    def fresh(x):
        return x * np.uint32(3) + np.uint32(salt)

    fresh(np.zeros(3, np.uint32))
    count = len(compilations)
    assert count >= 2
    fresh(np.ones(3, np.uint32))
    assert len(compilations) == count
    fresh(np.ones(4, np.uint32))
    assert len(compilations) > count


# --- Bad input: traces -----------------------------------------------------------------------


def bad_traces():
    good = wide_fibonacci_columns(26, 5, seed=1)["fibonacci"]
    c0 = good["c0"]
    large = c0.copy()
    large[7] = P
    short = {name: column[:24] for name, column in good.items()}
    missing = {name: column for name, column in good.items() if name != "c3"}
    return {
        "24 rows": (short, ("power of two", "24")),
        "no rows": ({n: c[:0] for n, c in good.items()}, ("at least 2 rows", "got 0")),
        "one row": ({n: c[:1] for n, c in good.items()}, ("at least 2 rows", "got 1")),
        "p": (good | {"c0": large}, ("column c0", str(P), "words below")),
        "2^32 - 1": (good | {"c0": c0 | np.uint32(0xFFFFFFFF)}, ("column c0", "4294967295")),
        "int64": (good | {"c0": c0.astype(np.int64)}, ("uint32", "int64")),
        "float": (good | {"c0": c0.astype(np.float32)}, ("uint32", "float32")),
        "list": (good | {"c0": c0.tolist()}, ("uint32", "list")),
        "two axes": (good | {"c0": c0[None, :]}, ("one-dimensional", "(1, 32)")),
        "another length": (good | {"c9": c0[:16]}, ("expected 32 rows", "got 16")),
        "missing": (missing, ("expected 26 columns", "got 25", "c3")),
        "surplus": (good | {"c26": c0}, ("expected 26 columns", "got 27", "c26")),
        "table": (np.stack(list(good.values()))[:25], ("[26, rows]", "(25, 32)")),
        "nothing": ({}, ("expected 26 columns", "got 0")),
        "none": (None, ("expected a mapping", "NoneType")),
    }


@pytest.mark.parametrize("title", bad_traces())
def test_bad_columns_are_refused_in_one_sentence(title, fibonacci, compilations):
    air, _ = fibonacci
    table, words = bad_traces()[title]
    start = time.perf_counter()
    with pytest.raises(ValueError) as error:
        Trace(air, {"fibonacci": table})
    one_sentence(error.value, "trace of wide_fibonacci/26, component fibonacci", *words)
    assert compilations == [] and time.perf_counter() - start < 2


@pytest.mark.parametrize("given", [{}, {"other": {}}, None, [], {"fibonacci": {}, "more": {}}])
def test_bad_components_are_refused_in_one_sentence(given, fibonacci):
    air, _ = fibonacci
    with pytest.raises(ValueError) as error:
        Trace(air, given)
    one_sentence(error.value, "wide_fibonacci/26", "expected", "got")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.astype(np.int64), ("uint32", "int64")),
        (lambda t: t[:, :31], ("power of two", "31")),
        (lambda t: t[:25], ("[26, rows]", "(25, 32)")),
        (lambda t: np.where(t == t[3, 5], np.uint32(P), t), ("words below", str(P))),
    ],
    ids=["dtype", "rows", "columns", "p"],
)
def test_a_component_in_one_array_is_checked_as_a_whole(change, words, fibonacci):
    air, columns = fibonacci
    table = np.stack(list(columns.values()))
    whole = Trace(air, {"fibonacci": table})
    assert whole.columns["fibonacci"]["c3"].tolist() == columns["c3"].tolist()
    assert list(whole.host_columns()["fibonacci"]) == list(columns) and whole.log_sizes == (5,)
    with pytest.raises(ValueError) as error:
        Trace(air, {"fibonacci": change(table)})
    one_sentence(error.value, *words)


def test_bad_public_values_are_refused_in_one_sentence():
    air = range_sum(4)
    columns, public = range_sum_trace(5, 4)
    for wrong, words in (
        ({}, ("expected ['start', 'result']", "got []")),
        (dict(public, more=[1]), ("more",)),
        (dict(public, start=[P]), ("start", str(P - 1), str(P))),
        (dict(public, start=[-1]), ("start", "-1")),
        (dict(public, start=[1, 2]), ("start", "expected 1 words, got 2")),
        (dict(public, start=[]), ("start", "expected 1 words, got 0")),
        (dict(public, start="7x"), ("start", "integers")),
        (dict(public, start=None), ("start", "integers", "None")),
        (dict(public, start=[0.5]), ("start", "0.5")),
    ):
        with pytest.raises(ValueError) as error:
            Trace(air, columns, wrong)
        one_sentence(error.value, *words)


def test_a_trace_that_breaks_its_air_is_a_proving_error(fibonacci):
    air, columns = fibonacci
    wrong = columns["c25"].copy()
    wrong[3] ^= 1
    named = dict(columns, c25=wrong)
    for given in (named, transfer.lock(np.stack(list(named.values())))):
        with pytest.raises(ProvingError) as error:
            jaxstark.prove(Trace(air, {"fibonacci": given}), **INSECURE)
        one_sentence(error.value, "component fibonacci, row 3, c25: expected 0, got")
        assert not isinstance(error.value, ValueError)


def test_bad_arguments_of_prove_are_refused_before_any_work(fibonacci, compilations):
    air, columns = fibonacci
    trace = Trace(air, {"fibonacci": columns})
    other = air.setup((5,), replace(PARAMS, n_queries=4))
    nothing: Any = None
    compilations.clear()
    for call, words in (
        (lambda: jaxstark.prove(columns), ("trace: expected a jaxstark.Trace, got dict",)),
        (lambda: jaxstark.prove(nothing), ("NoneType",)),
        (lambda: jaxstark.prove(trace, params="stwo-97"), ("preset", "stwo-96", "stwo-97")),
        (lambda: jaxstark.prove(trace, params="test"), ("preset test", "insecure=True")),
        (lambda: jaxstark.prove(trace, params=PARAMS), ("at least 96 bits", "insecure=True")),
        (
            lambda: jaxstark.prove(trace, params=ProofParams(0, 1, 3, 6), insecure=True),
            ("component fibonacci", "at least 2^6 rows", "got 2^5"),
        ),
        (lambda: jaxstark.prove(trace, profile="stwo-9", **INSECURE), ("profile", "'stwo-9'")),
        (
            lambda: jaxstark.prove(trace, profile="stwo-2.2-poseidon252", **INSECURE),
            ("blake2s", "poseidon252"),
        ),
        (lambda: jaxstark.prove(trace, key=other, **INSECURE), ("key: expected the key of",)),
        (lambda: jaxstark.compile(air.shape((5, 6)), PARAMS), ("1 log sizes", "got 2")),
        (lambda: jaxstark.compile(air.shape((5.0,)), PARAMS), ("log sizes: expected ints",)),
        (
            lambda: jaxstark.compile(air.shape((0,)), PARAMS),
            ("expected a log size in 1..", "got 0"),
        ),
        (lambda: jaxstark.compile(air.shape((40,)), PARAMS), ("got 40",)),
        (lambda: air.setup((5, 5), PARAMS), ("1 log sizes", "got 2")),
    ):
        with pytest.raises(ValueError) as error:
            call()
        message = str(error.value)
        assert "\n" not in message, message
        for word in words:
            assert word in message, message
    assert compilations == []


@pytest.mark.parametrize("params", [None, 7, (1, 1, 3)])
def test_params_of_another_type_are_refused(params, fibonacci):
    air, columns = fibonacci
    with pytest.raises(ValueError, match="params: expected ProofParams"):
        jaxstark.prove(Trace(air, {"fibonacci": columns}), params=params, insecure=True)


# --- Bad input: proofs and keys --------------------------------------------------------------


def test_truncated_and_oversized_proofs_are_refused_in_one_sentence():
    for name in SMALL:
        item = golden(name)
        data, text = item.proof.to_bytes(), item.text
        columns = item.air.shape(item.key.log_sizes).all_columns
        felts = item.proof.to_felts(columns)
        for size in (0, 1, 7, len(data) // 2, len(data) - 1):
            with pytest.raises(ProofShapeError) as error:
                Proof.from_bytes(data[:size])
            one_sentence(error.value, "expected", "got")
        for size in (0, 1, len(text) // 2, len(text) - 1):
            with pytest.raises(ProofShapeError) as error:
                Proof.from_json(text[:size])
            one_sentence(error.value, "expected", "got")
        for size in (0, 1, len(felts) // 2, len(felts) - 1):
            with pytest.raises(ProofShapeError) as error:
                Proof.from_felts(felts[:size], columns)
            one_sentence(error.value, "expected", "got")
        for load in (
            lambda data=data: Proof.from_bytes(data + b"\0"),
            lambda text=text: Proof.from_json(text + "0"),
            lambda felts=felts, columns=columns: Proof.from_felts([*felts, 0], columns),
        ):
            with pytest.raises(ProofShapeError) as error:
                load()
            one_sentence(error.value, "expected", "got")


def test_proof_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="ending in .json or .bin, got '.txt'"):
        Proof.load(tmp_path / "proof.txt")
    with pytest.raises(FileNotFoundError):
        Proof.load(tmp_path / "absent.bin")
    file = tmp_path / "proof.bin"
    file.write_bytes((PROOFS / "plonk.proof.json").read_bytes())
    with pytest.raises(ProofShapeError):
        Proof.load(file)
    key = tmp_path / "key.json"
    key.write_text(golden("plonk").text)
    with pytest.raises(ValueError, match="key"):
        VerifyingKey.load(key)


def test_a_proof_for_another_air_key_or_statement_is_rejected_in_one_sentence():
    item, other = golden("range_sum"), golden("state_machine")
    sizes = replace(item.key, log_sizes=(7, 5))
    more = replace(item.key, params=replace(item.key.params, n_queries=7))
    wrong = dict(item.public, result=[1])
    for key, public, words in (
        (other.key, other.public, ("key: AIR id", "'state_machine'", "'range_sum/5'")),
        (sizes, item.public, ("key: log sizes", "(7, 5)", "(6, 5)")),
        (more, item.public, ("key: config", "n_queries=7", "n_queries=6")),
        (item.key, wrong, ("oods",)),
    ):
        with pytest.raises(VerificationError) as error:
            jaxstark.verify(item.proof, key, public, insecure=True)
        one_sentence(error.value, *words)


def test_a_key_that_fits_no_air_is_the_callers_mistake():
    item = golden("range_sum")
    keys: list[tuple[Any, tuple[str, ...]]] = [
        (replace(item.key, log_sizes=(6,)), ("2 log sizes", "got 1")),
        (replace(item.key, log_sizes=(6, 4)), ("component table", "2^5", "2^4")),
        (replace(item.key, air="range_sum/6", definition=None), ("component table", "2^6")),
        (replace(item.key, air="no_such", definition=None), ("AIR id", "'no_such'")),
        (None, ("key: expected a VerifyingKey, got NoneType",)),
        (item.proof, ("key: expected a VerifyingKey, got Proof",)),
    ]
    for key, words in keys:
        with pytest.raises(ValueError) as error:
            jaxstark.verify(item.proof, key, item.public, insecure=True)
        one_sentence(error.value, *words)


def test_malformed_key_files_are_refused_in_one_sentence():
    good = json.loads(golden("range_sum").key.to_json())
    for change in (
        {"format": "jaxstark-key/9"},
        {"profile": "stwo-1"},
        {"air": ""},
        {"log_sizes": []},
        {"log_sizes": [6, -1]},
        {"preprocessed_root": "00"},
        {"config": {}},
        {"config": dict(good["config"], n_queries=0)},
        {"surplus": 1},
    ):
        with pytest.raises(ValueError) as error:
            VerifyingKey.from_json(json.dumps(good | change))
        one_sentence(error.value, "key: ", "expected", "got")


def test_bad_proofs_are_rejected_before_expensive_work():
    """Wrong shapes cost less than a verification."""
    item = golden("wide_fibonacci")
    long = replace(
        item.proof, stark=replace(item.proof.stark, last_layer=item.proof.stark.last_layer * 1024)
    )
    start = time.perf_counter()
    for _ in range(20):
        with pytest.raises(ProofShapeError, match="last"):
            jaxstark.verify(long, item.key, insecure=True)
    assert time.perf_counter() - start < 4
