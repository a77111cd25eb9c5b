"""The limb codec: 31-bit words and 32-byte digests in felts, with one spelling."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.errors import ProofShapeError
from jaxstark.fields.m31 import P
from jaxstark.starknet import limbs
from jaxstark.starknet.felts import PRIME
from tests.strategies import random_digests, random_word

SUITES = ("blake2s", "poseidon252")
words = st.lists(st.one_of(st.sampled_from([0, 1, P - 1]), st.integers(0, P - 1)), max_size=40)
hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=70)


def as_array(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint32)


@given(words)
def test_words_round_trip(values):
    felts = limbs.pack_words(as_array(values))
    assert len(felts) == limbs.word_felts(len(values)) == -(-len(values) // 8)
    assert all(0 <= felt < 1 << 248 for felt in felts)
    found = limbs.unpack_words(felts, len(values))
    assert found.dtype == np.uint32
    assert found.tolist() == values


@given(words)
def test_words_are_little_endian_limbs(values):
    padded = values + [0] * (-len(values) % 8)
    expected = [
        sum(word << 31 * j for j, word in enumerate(padded[i : i + 8]))
        for i in range(0, len(padded), 8)
    ]
    assert limbs.pack_words(as_array(values)) == expected


@given(hashes)
def test_digests_round_trip(values):
    felts = limbs.pack_digests("blake2s", values)
    assert len(felts) == limbs.digest_felts("blake2s", len(values))
    assert len(felts) == len(values) + -(-len(values) // 31)
    assert limbs.unpack_digests("blake2s", felts, len(values)) == tuple(values)


@given(hashes)
def test_the_last_bytes_of_digests_are_pooled(values):
    felts = limbs.pack_digests("blake2s", values)
    for felt, digest in zip(felts, values, strict=False):
        assert felt == int.from_bytes(digest[:31], "little")
    pool = b"".join(felt.to_bytes(31, "little") for felt in felts[len(values) :])
    assert pool[: len(values)] == bytes(digest[31] for digest in values)
    assert not any(pool[len(values) :])


@given(st.lists(st.integers(0, PRIME - 1), max_size=40))
def test_poseidon_digests_are_felts(values):
    assert limbs.pack_digests("poseidon252", values) == values
    assert limbs.digest_felts("poseidon252", len(values)) == len(values)
    assert limbs.unpack_digests("poseidon252", values, len(values)) == tuple(values)


@pytest.mark.parametrize("limb", range(8))
def test_a_limb_of_p_is_refused(limb):
    with pytest.raises(ProofShapeError, match="words below"):
        limbs.unpack_words([P << 31 * limb], 8)
    assert limbs.unpack_words([(P - 1) << 31 * limb], 8)[limb] == P - 1


def test_a_word_of_p_is_not_packed():
    for bad in (P, (1 << 32) - 1):
        with pytest.raises(ProofShapeError, match="words below"):
            limbs.pack_words(as_array([0, bad]))


@pytest.mark.parametrize("count", range(1, 8))
def test_unused_limbs_are_zero(count):
    for limb in range(count, 8):
        with pytest.raises(ProofShapeError, match="unused limbs of 0"):
            limbs.unpack_words([1 << 31 * limb], count)


def test_unused_bytes_of_the_pool_are_zero():
    felts = limbs.pack_digests("blake2s", [bytes(32)] * 3)
    for byte in range(3, 31):
        bad = [*felts[:-1], 1 << 8 * byte]
        with pytest.raises(ProofShapeError, match="unused bytes of 0"):
            limbs.unpack_digests("blake2s", bad, 3)


def test_felts_have_248_bits():
    for bad in (1 << 248, PRIME - 1):
        with pytest.raises(ProofShapeError, match="below 2\\^248"):
            limbs.unpack_words([bad], 8)
        with pytest.raises(ProofShapeError, match="below 2\\^248"):
            limbs.unpack_digests("blake2s", [bad, 0], 1)
        with pytest.raises(ProofShapeError, match="below 2\\^248"):
            limbs.unpack_digests("blake2s", [0, bad], 1)


@pytest.mark.parametrize("bad", [PRIME, -1, True, 1.0, None, "0"])
def test_streams_hold_felts(bad):
    with pytest.raises(ProofShapeError, match="expected an int"):
        limbs.unpack_words([bad], 8)
    with pytest.raises(ProofShapeError, match="expected an int"):
        limbs.unpack_digests("poseidon252", [bad], 1)
    with pytest.raises(ProofShapeError, match="expected an int"):
        limbs.unpack_digests("blake2s", [bad, 0], 1)


def test_the_number_of_felts_is_exact():
    for felts, count in (([], 1), ([0], 0), ([0, 0], 8), ([0], 9)):
        with pytest.raises(ProofShapeError, match="felts"):
            limbs.unpack_words(felts, count)
    for felts, count in (([], 1), ([0], 1), ([0, 0, 0], 1), ([0], 0)):
        with pytest.raises(ProofShapeError, match="felts"):
            limbs.unpack_digests("blake2s", felts, count)


@pytest.mark.parametrize("bad", [b"x", bytes(31), 5, None, PRIME])
def test_only_digests_of_the_suite_are_packed(bad):
    for suite in SUITES:
        if suite == "poseidon252" and bad == 5:
            continue
        with pytest.raises(ProofShapeError, match="digest"):
            limbs.pack_digests(suite, [bad])


def round_trip(rng: random.Random) -> None:
    """A random pair of streams, and one felt of each changed: refused or other content."""
    values = [random_word(rng) for _ in range(rng.randrange(60))]
    felts = limbs.pack_words(as_array(values))
    assert limbs.unpack_words(felts, len(values)).tolist() == values
    suite = rng.choice(SUITES)
    digests = random_digests(rng, get_suite(suite), rng.randrange(70))
    packed = limbs.pack_digests(suite, digests)
    assert limbs.unpack_digests(suite, packed, len(digests)) == digests
    for stream, read, again in (
        (
            felts,
            lambda f: limbs.unpack_words(f, len(values)),
            lambda v: limbs.pack_words(v),
        ),
        (
            packed,
            lambda f: limbs.unpack_digests(suite, f, len(digests)),
            lambda v: limbs.pack_digests(suite, v),
        ),
    ):
        if not stream:
            continue
        changed = list(stream)
        changed[rng.randrange(len(stream))] ^= 1 << rng.randrange(252)
        try:
            found = read(changed)
        except ProofShapeError:
            continue
        assert again(found) == changed != stream


def get_suite(name: str):
    from jaxstark.hash.suite import BLAKE2S, POSEIDON252

    return {"blake2s": BLAKE2S, "poseidon252": POSEIDON252}[name]


def test_random_streams_have_one_spelling():
    rng = random.Random(1)
    for _ in range(500):
        round_trip(rng)


@pytest.mark.slow
def test_ten_thousand_random_streams_have_one_spelling():
    rng = random.Random(2)
    for _ in range(10_000):
        round_trip(rng)
