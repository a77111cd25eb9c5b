"""Felts, short strings, halves of 256 bits, and a Poseidon hash that can stop half-way."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.errors import ProofShapeError
from jaxstark.hash import poseidon252
from jaxstark.starknet import felts
from jaxstark.starknet.felts import PRIME, Sponge, poseidon_hash_many

FELTS = st.integers(0, PRIME - 1)
LISTS = st.lists(FELTS, max_size=12)


@pytest.fixture
def fresh():
    """A permutation that is looked up again, and no trace of it afterwards."""
    felts.permutation.cache_clear()
    yield
    felts.permutation.cache_clear()


def test_prime():
    assert PRIME == 0x800000000000011000000000000000000000000000000000000000000000001


@pytest.mark.parametrize("bad", [-1, PRIME, True, 1.0, "1", None, b"1"])
def test_only_ints_below_the_prime_are_felts(bad):
    with pytest.raises(ProofShapeError, match="value: expected an int"):
        felts.check_felt(bad, "value")
    with pytest.raises(ProofShapeError, match="values, felt 1: expected an int"):
        felts.check_felts([0, bad], "values")


def test_felts_come_in_lists():
    assert felts.check_felts((0, PRIME - 1), "values") == [0, PRIME - 1]
    for bad in ("12", {1: 2}, None, iter([1])):
        with pytest.raises(ProofShapeError, match="a list of felts"):
            felts.check_felts(bad, "values")


def test_short_strings():
    assert felts.short_string("bad magic") == 0x626164206D61676963
    assert felts.read_short_string(0x626164206D61676963) == "bad magic"
    assert felts.short_string("") == 0
    assert felts.read_short_string(0) == ""
    not_short: list[Any] = ["x" * 32, "é", "\0x", 5]
    for bad in not_short:
        with pytest.raises(ValueError, match="short string: expected"):
            felts.short_string(bad)
    for bad in (1 << 248, 0xFF, -1):
        with pytest.raises(ProofShapeError, match="short string"):
            felts.read_short_string(bad)


@given(st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=31))
def test_short_strings_round_trip(text):
    assert felts.read_short_string(felts.short_string(text)) == text


@given(st.integers(0, (1 << 256) - 1))
def test_halves_round_trip(value):
    low, high = felts.split_u256(value)
    assert value == low + (high << 128)
    assert 0 <= low < 1 << 128 and 0 <= high < 1 << 128


def test_halves_are_bounded():
    not_u256: list[Any] = [-1, 1 << 256, True, "1"]
    for bad in not_u256:
        with pytest.raises(ValueError, match="u256"):
            felts.split_u256(bad)


@pytest.mark.parametrize("compiled", [True, False])
def test_published_values(compiled):
    """Vectors of the Rust crate starknet-types-core 0.2."""
    permute = felts.permutation() if compiled else poseidon252.hades
    assert permute(0x9, 0xB, 0x2) == (
        0x510F3A3FAF4084E3B1E95FD44C30746271B48723F7EA9C8BE6A9B6B5408E7E6,
        0x4F511749BD4101266904288021211333FB0A514CB15381AF087462FA46E6BD9,
        0x186F6DD1A6E79CB1B66D505574C349272CD35C07C223351A0990410798BB9D8,
    )
    expected = 0x2742E049F7E1613E4A014EFEEC0D742882A798AE0AF8B8DD730358C23848775
    assert poseidon_hash_many([0xAA, 0xBB, 0xCC]) == expected


@given(LISTS)
def test_the_hash_is_that_of_the_protocol_suite(values):
    assert poseidon_hash_many(values) == poseidon252.hash_many(values)


@given(LISTS)
def test_the_hash_is_that_of_starknet_tools(values):
    module = pytest.importorskip("poseidon_py.poseidon_hash")
    assert poseidon_hash_many(values) == module.poseidon_hash_many(values)


@given(LISTS, st.integers(0, 6))
def test_a_hash_can_stop_after_any_pair(values, pairs):
    cut = min(2 * pairs, len(values) // 2 * 2)
    sponge = Sponge().absorb(values[:cut])
    assert Sponge(sponge.state).finish(values[cut:]) == poseidon_hash_many(values)


def test_a_hash_cannot_stop_inside_a_pair():
    with pytest.raises(ValueError, match="even number of felts, got 3"):
        Sponge().absorb([1, 2, 3])


def test_padding_tells_lengths_apart():
    hashes = {poseidon_hash_many(v) for v in ([], [1], [1, 0], [0], [0, 0], [1, 0, 0], [1, 1])}
    assert len(hashes) == 7


def test_without_the_compiled_package_the_hash_is_the_same(fresh, monkeypatch):
    values = [PRIME - 1, 5, PRIME - 2, 1 << 250, 7]
    expected = poseidon_hash_many(values)
    felts.permutation.cache_clear()
    monkeypatch.setitem(sys.modules, "poseidon_py", None)
    monkeypatch.setitem(sys.modules, "poseidon_py.c_bindings", None)
    assert felts.permutation() is poseidon252.hades
    assert poseidon_hash_many(values) == expected


def test_the_compiled_package_is_used_where_it_is_installed(fresh):
    pytest.importorskip("poseidon_py")
    assert felts.permutation() is not poseidon252.hades


@pytest.mark.parametrize("fault", ["wrong", OSError("no library"), StopIteration()])
def test_a_compiled_package_that_does_not_work_is_not_used(fresh, monkeypatch, fault):
    bindings = pytest.importorskip("poseidon_py.c_bindings")

    def broken(values):
        if isinstance(fault, Exception):
            raise fault
        return [values[0], values[1], values[2]]

    monkeypatch.setattr(bindings, "hades_permutation", broken)
    assert felts.permutation() is poseidon252.hades
