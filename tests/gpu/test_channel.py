"""The channel on the GPU, with or without a commitment, and T35: the lowest nonce."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from jaxstark import fri, merkle  # noqa: E402
from jaxstark.channel import Blake2sChannel  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.grind import masks_of  # noqa: E402
from jaxstark.pallas.blake2s import api as blake2s  # noqa: E402
from jaxstark.pallas.blake2s import top  # noqa: E402
from jaxstark.pallas.channel import api  # noqa: E402
from jaxstark.pallas.channel import mosaic_gpu as channel_kernels  # noqa: E402
from jaxstark.pallas.fri import api as fri_kernels  # noqa: E402
from jaxstark.pallas.grind import api as grind_kernels  # noqa: E402
from jaxstark.pallas.hashes import DeviceHashes  # noqa: E402
from jaxstark.transcript import HostHashes, Transcript  # noqa: E402
from tests.gpu._reference import assert_equal, canonical, cpu  # noqa: E402

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(0)


def random(size: int) -> np.ndarray:
    return RNG.integers(0, 2**32, size, np.uint32)


@pytest.mark.parametrize("n_bytes", [1, 63, 64, 65, 127, 128, 192, 300, 2400, 40000])
def test_t28_hashes_are_those_of_hashlib(n_bytes):
    words = random(-(-n_bytes // 4))
    got = np.asarray(api.hash_words(jnp.asarray(words), n_bytes))
    assert got.tobytes() == hashlib.blake2s(words.tobytes()[:n_bytes]).digest()


def test_t31_every_step_is_that_of_the_host():
    """Long and short messages, several draws and one, queries."""
    start = Blake2sChannel().mix_u32s([1, 2, 3])
    results = []
    for hashes in (HostHashes(), DeviceHashes()):
        transcript, out = Transcript.of(start, hashes), []
        rng = np.random.default_rng(5)
        for count in (8, 4, 136, 2000):
            for draws in (7, 1):
                drawn, transcript = transcript.mix_and_draw(
                    rng.integers(0, P, count, np.uint32), draws=draws
                )
                out += [drawn, transcript.digest]
        prefix, transcript = transcript.mix_for_work(drawn.reshape(-1), bits=26)
        out.append(prefix)
        nonce = np.array([5, 1], np.uint32)
        out += [
            transcript.digest,
            transcript.mix_and_draw_queries(nonce, log_domain=21, count=70),
        ]
        results.append([np.asarray(x) for x in out])
    for got, want in zip(*reversed(results), strict=True):
        assert_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize(
    ("log_size", "packing"), [(2, 2), (5, 2), (9, 2), (13, 2), (16, 2), (9, 0)]
)
def test_t32_a_commitment_draws_what_the_channel_draws(log_size, packing):
    values, digest = canonical(RNG, 4, 1 << log_size), random(8)
    made = blake2s.commit_values_and_draw(jnp.asarray(values), jnp.asarray(digest), packing)
    assert_committed(made, merkle.commit_values(values, packing), digest, 1)


@pytest.mark.parametrize("draws", [1, 2, 7])
@pytest.mark.parametrize("log_size", [0, 1, 9, 10, 13, 16])
def test_t32_a_commitment_to_columns_draws_as_often_as_asked(log_size, draws):
    columns, digest = canonical(RNG, 3, 1 << log_size), random(8)
    made = blake2s.commit_and_draw([jnp.asarray(columns)], jnp.asarray(digest), draws=draws)
    assert_committed(made, merkle.commit([columns]), digest, draws)


def test_t32_a_batch_of_commitments_draws_what_each_draws():
    columns, digests = canonical(RNG, 5, 3, 1 << 10), random(40).reshape(5, 8)
    run = jax.vmap(lambda c, d: blake2s.commit_and_draw([c], d, draws=7))
    made = run(jnp.asarray(columns), jnp.asarray(digests))
    for i in range(5):
        one = jax.tree.map(lambda x, i=i: x[i], made)
        assert_committed(one, merkle.commit([columns[i]]), digests[i], 7)


@pytest.mark.parametrize("draws", [1, 3])
def test_t32_draws_after_a_tree_or_a_mix_are_repeated(draws, monkeypatch):
    """With the bound of the protocol this never happens: a bound that refuses most draws."""
    bound, layer, repeats = 7 << 29, random(16).reshape(8, 2), 0
    monkeypatch.setattr(channel_kernels, "REJECTED_FROM", bound)
    climb = jax.jit(lambda x, d: top.climb_from(x, d, draws=draws))
    mix = jax.jit(lambda x, d: channel_kernels.mix_and_draw(d, [x], draws))
    for digest in random(64).reshape(8, 8):
        made = climb(jnp.asarray(layer), jnp.asarray(digest))
        root = np.asarray(made.layers[-1])[:, 0]
        mixed = mix(jnp.asarray(root), jnp.asarray(digest))
        channel = Blake2sChannel(digest.tobytes()).mix_root(root.tobytes())
        later, want = channel, []
        while len(want) < draws:
            words, later = later.draw_u32s()
            if max(words) < bound:
                want.append([w % P for w in words])
            else:
                repeats += 1
        for got in ((made.digest, made.drawn), mixed):
            assert np.asarray(got[0]).tobytes() == channel.digest
            assert np.asarray(got[1]).reshape(draws, 8).tolist() == want
    assert repeats > 4 * draws


def assert_committed(made, tree: merkle.MerkleTree, digest: np.ndarray, draws: int) -> None:
    for got, want in zip(made.levels, tree.levels, strict=True):
        assert_equal(got, want)
    channel = Blake2sChannel(digest.tobytes()).mix_root(merkle.root_bytes(tree))
    drawn, _ = channel.draw_felts(2 * draws)
    assert np.asarray(made.step.digest).tobytes() == channel.digest
    assert np.asarray(made.step.drawn).tolist() == [word for felt in drawn for word in felt]


@pytest.mark.parametrize(("log_size", "steps"), [(5, (2, 2)), (9, (4, 4)), (11, (4, 4, 2))])
def test_t32_the_last_layers_in_one_launch_are_those_of_the_reference(log_size, steps):
    values, table = canonical(RNG, 4, 1 << log_size), canonical(RNG, 1 << log_size)
    digest = random(8)
    assert fri_kernels.fits_tail(1 << log_size, steps, ())
    got = fri_kernels.tail(*map(jnp.asarray, (values, table, digest)), steps)
    channel = Blake2sChannel(digest.tobytes())
    for index, step in enumerate(steps):
        tree = merkle.commit_values(values, 2)
        assert_equal(got.values[index], values)
        for a, b in zip(got.levels[index], tree.levels, strict=True):
            assert_equal(a, b)
        alpha, channel = channel.mix_root(merkle.root_bytes(tree)).draw_felt()
        multipliers = fri.multipliers(QM31(*alpha), step)
        with cpu():
            values = np.asarray(fri.fold(values, table[: values.shape[1]], multipliers))
    assert_equal(got.values[-1], values)
    assert np.asarray(got.digest).tobytes() == channel.digest


# Proof of work.


def lowest(prefix: np.ndarray, masks: np.ndarray) -> int:
    data, nonce = prefix.tobytes(), 0
    while True:
        digest = hashlib.blake2s(data + nonce.to_bytes(8, "little")).digest()
        if not (np.frombuffer(digest, "<u4")[:2] & masks).any():
            return nonce
        nonce += 1


@pytest.mark.parametrize("bits", [0, 1, 8, 12, 16])
def test_t35_the_lowest_nonce_is_found_again_and_again(bits):
    masks = masks_of(bits)
    for _ in range(4):
        prefix = random(8)
        want = lowest(prefix, masks)
        for _ in range(5):
            got = np.asarray(grind_kernels.grind(jnp.asarray(prefix), jnp.asarray(masks)))
            assert got.tolist() == [want, 0]


def test_t35_bits_of_the_second_word_count():
    prefix, masks = random(8), np.array([0b1111111, 0b11111], np.uint32)
    got = np.asarray(grind_kernels.grind(jnp.asarray(prefix), jnp.asarray(masks)))
    assert got.tolist() == [lowest(prefix, masks), 0]


def test_t35_a_search_of_many_chunks_ends_at_a_nonce_that_passes():
    prefix, masks = random(8), masks_of(28)
    nonce = np.asarray(grind_kernels.grind(jnp.asarray(prefix), jnp.asarray(masks)))
    again = np.asarray(grind_kernels.grind(jnp.asarray(prefix), jnp.asarray(masks)))
    digest = hashlib.blake2s(prefix.tobytes() + nonce.tobytes()).digest()
    assert not np.frombuffer(digest, "<u4")[0] & masks[0]
    assert nonce.tolist() == again.tolist()
