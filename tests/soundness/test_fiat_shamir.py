"""Fiat-Shamir: equal transcripts on both sides, everything bound, in the right order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import jaxstark
from jaxstark import profile as profiles
from jaxstark import statement
from jaxstark.fields.m31 import P
from jaxstark.params import ProofParams
from jaxstark.profile import STWO_2_2
from tests.golden.cases import CASES, golden
from tests.recording import RecordingChannel, recording_suite

LOGUP, PLAIN = "range_sum", "wide_fibonacci"


@pytest.fixture
def logged(monkeypatch):
    """Calls a function with every channel recorded; returns its result and the log."""

    def call(function):
        log = []
        recording = replace(STWO_2_2, suite=recording_suite(STWO_2_2.suite, log))
        monkeypatch.setitem(profiles.PROFILES, STWO_2_2.name, recording)
        result = function()
        monkeypatch.setitem(profiles.PROFILES, STWO_2_2.name, STWO_2_2)
        return result, log

    return call


def prove(name, **changes):
    case = replace(CASES[name], **changes)
    trace, _ = case.example()
    return jaxstark.prove(trace, params=case.params, insecure=True)


def verify(name, proof=None):
    item = golden(name)
    jaxstark.verify(proof or item.proof, item.key, item.public, insecure=True)


@pytest.mark.parametrize("name", [LOGUP, PLAIN])
def test_t2_prover_and_verifier_have_one_transcript(name, logged):
    proof, proving = logged(lambda: prove(name))
    _, verifying = logged(lambda: verify(name, proof))
    assert proof == golden(name).proof
    assert proving == verifying and len(proving) > 20
    other, another = logged(lambda: prove(name, seed=77))
    assert another != proving and other != proof


def test_t5_everything_is_bound_before_the_challenges_that_depend_on_it(logged):
    _, log = logged(lambda: verify(LOGUP))
    proof = golden(LOGUP).proof
    stark = proof.stark
    layers = len(stark.fri_layers)
    expected = [
        "mix_u32s", "mix_u32s",  # tag, AIR id
        "mix_felts",  # configuration
        "mix_u32s", "mix_u32s",  # log sizes, public values
        "mix_root", "mix_root",  # trees 0 and 1
        "draw_felts",  # relation elements
        "mix_felts", "mix_root",  # claimed sums, tree 2
        "draw_felt",  # constraint coefficient
        "mix_root",  # composition
        "draw_felt",  # out-of-domain point
        "mix_felts",  # sampled values
        "draw_felt",  # DEEP coefficient
        *["mix_root", "draw_felt"] * layers,
        "mix_felts", "mix_u64", "draw_u32s",  # last layer, nonce, queries
    ]  # fmt: skip
    assert [op for op, _ in log][: len(expected)] == expected
    assert {op for op, _ in log[len(expected) :]} <= {"draw_u32s"}
    data = [d for op, d in log if op.startswith("mix")]
    roots = [d for op, d in log if op == "mix_root"]
    assert roots == [*stark.commitments, *(layer.commitment for layer in stark.fri_layers)]
    felts = [d for op, d in log if op == "mix_felts"]
    assert felts[1] == tuple(map(tuple, proof.claimed_sums))
    assert felts[3] == tuple(map(tuple, stark.last_layer))
    assert data[-1] == stark.proof_of_work
    # Nothing of the proof stays outside: what is not mixed is opened against a mixed root.
    assert len(felts[2]) == sum(len(c) for tree in stark.sampled_values for c in tree)


def test_t5_without_lookups_there_are_no_relation_elements(logged):
    _, log = logged(lambda: verify(PLAIN))
    operations = [op for op, _ in log]
    assert operations[5:9] == ["mix_root", "mix_root", "draw_felt", "mix_root"]
    assert "draw_felts" not in operations


def test_t4_every_challenge_is_a_whole_qm31(logged):
    seen = []
    for seed in range(3):
        _, log = logged(lambda seed=seed: prove(LOGUP, seed=seed))
        drawn = [data for op, data in log if op == "draw_felt"]
        drawn += [felt for op, data in log if op == "draw_felts" for felt in data]
        assert len(drawn) == 5 + len(golden(LOGUP).proof.stark.fri_layers)
        seen += drawn
    assert all(len(felt) == 4 and all(0 <= w < P for w in felt) for felt in seen)
    assert all(sum(w > 0 for w in felt) >= 3 for felt in seen)
    # Each coordinate varies: none is a constant or a copy of another.
    assert all(len({felt[i] for felt in seen}) > len(seen) - 2 for i in range(4))
    assert len({w for felt in seen for w in felt}) > 4 * len(seen) - 3


names = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
words = st.lists(st.integers(0, 3), max_size=4).map(tuple)
statements = st.fixed_dictionaries(
    {
        "air_id": names,
        "params": st.builds(
            ProofParams,
            pow_bits=st.integers(0, 3),
            log_blowup=st.integers(1, 3),
            n_queries=st.integers(1, 3),
            fold_step=st.integers(1, 3),
            log_last_layer=st.integers(0, 3),
        ),
        "log_sizes": st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
        "public_values": st.lists(words, max_size=4),
    }
)
BASE = {
    "air_id": "a",
    "params": ProofParams(1, 1, 1),
    "log_sizes": (1, 2),
    "public_values": [(1, 1), (2,)],
}


def absorbed(statement_of, flat=True):
    """What the prologue absorbs: the words alone, as if the calls were not separated."""
    log = []
    values = {f"v{i}": vector for i, vector in enumerate(statement_of["public_values"])}
    channel = RecordingChannel(STWO_2_2.new_channel(), log)
    end = statement.bind_statement(
        channel,
        STWO_2_2,
        statement_of["air_id"],
        statement_of["params"],
        statement_of["log_sizes"],
        values,
    )
    out = []
    for _, data in log:
        out += [w for felt in data for w in (felt if isinstance(felt, tuple) else (felt,))]
    return out if flat else end.inner


@given(statements, statements)
@example(BASE, BASE | {"public_values": [(1,), (1, 2)]})
@example(BASE, BASE | {"public_values": [(1, 1, 2)]})
@example(BASE, BASE | {"public_values": [(1, 1), (2,), ()]})
@example(BASE, BASE | {"log_sizes": (1,), "public_values": [(2, 1), (1, 2)]})
@example(BASE, BASE | {"log_sizes": (1, 2, 2)})
@example(BASE | {"air_id": "ab"}, BASE | {"air_id": "ab "})
@example(BASE | {"air_id": "abcd"}, BASE | {"air_id": "abcde"})
def test_t3_different_statements_never_absorb_the_same_words(first, second):
    assume(first != second)
    a, b = absorbed(first), absorbed(second)
    shorter = min(len(a), len(b))
    assert a[:shorter] != b[:shorter], "one is a prefix of the other"
    assert absorbed(first, flat=False) != absorbed(second, flat=False)


def test_t3_equal_statements_absorb_the_same_words():
    assert absorbed(BASE) == absorbed(dict(BASE))
    assert absorbed(BASE, flat=False) == absorbed(dict(BASE), flat=False)


def test_t3_an_air_id_of_zero_bytes_is_impossible():
    """The padding of the last word is safe: the length in bytes stands before it."""
    assert statement._words(b"ab") != statement._words(b"ab\0")
    with pytest.raises(ValueError, match="printable"):
        jaxstark.Air("a\0", golden(PLAIN).air.components)
