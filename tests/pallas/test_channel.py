"""Channel kernels: the words of the channel on the host, and CUDA accepts every form."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark.channel import Blake2sChannel  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.pallas.channel import api, mosaic_gpu  # noqa: E402

pytestmark = pytest.mark.floor


def random(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, size, np.uint32)


def words_of(data: bytes) -> list[int]:
    return np.frombuffer(data, "<u4").tolist()


def host(digest: np.ndarray) -> Blake2sChannel:
    return Blake2sChannel(digest.astype("<u4").tobytes())


def shape(*dims: int):
    return jax.ShapeDtypeStruct(dims, np.uint32)


def lower(function, *shapes) -> str:
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("n_bytes", [1, 52, 64, 190])
def test_hash_is_hashlib(n_bytes):
    """Part of a block, one whole block, and a loop of two before a part; the last bytes are cut."""
    words = random(-(-n_bytes // 4), n_bytes)
    got = np.asarray(api.hash_words(words, n_bytes, interpret=True))
    assert got.tolist() == words_of(hashlib.blake2s(words.tobytes()[:n_bytes]).digest())


def test_hash_of_several_arrays_is_a_mix():
    digest, words = random(8), random(44, 1)
    got = np.asarray(api.hash_words((digest, words), interpret=True))
    assert got.tolist() == words_of(host(digest).mix_u32s(words.tolist()).digest)


def test_draws_of_a_batch_are_those_of_each():
    digests, roots = (np.stack([random(8, 3 * k + i) for i in range(3)]) for k in range(2))
    run = jax.vmap(lambda d, w: api.mix_and_draw(d, w, 2, interpret=True))
    mixed, drawn = map(np.asarray, run(digests, roots))
    for i, digest in enumerate(digests):
        channel = host(digest).mix_root(roots[i].tobytes())
        want, _ = channel.draw_felts(4)
        assert mixed[i].tolist() == words_of(channel.digest)
        assert drawn[i].tolist() == [word for felt in want for word in felt]


# With the bound of the protocol this never happens: a bound that refuses most draws.
BOUND = 7 << 29


def assert_drawn(words, channel: Blake2sChannel) -> int:
    """Draws of ``channel`` within ``BOUND``; returns how many others there are between them."""
    repeats = 0
    for row in np.asarray(words).reshape(-1, 8):
        want, channel = channel.draw_u32s()
        while max(want) >= BOUND:
            repeats += 1
            want, channel = channel.draw_u32s()
        assert row.tolist() == [w % P for w in want]
    return repeats


def test_draws_with_too_large_words_are_repeated(monkeypatch):
    monkeypatch.setattr(mosaic_gpu, "REJECTED_FROM", BOUND)
    root = random(8, 9)
    run = jax.jit(lambda d, w: mosaic_gpu.mix_and_draw(d, [w], 3, interpret=True))
    repeats = 0
    for seed in range(3):
        digest = random(8, seed)
        channel = host(digest).mix_root(root.tobytes())
        mixed, words = run(digest, root)
        assert np.asarray(mixed).tolist() == words_of(channel.digest)
        repeats += assert_drawn(words, channel)
    assert repeats > 4


def test_draws_at_once_are_successive_draws():
    digest, nonce = random(8, 2), random(2, 3)
    got = np.asarray(api.mix_and_draw_blocks(digest, nonce, 130, interpret=True))
    assert got.shape == (130, 8)
    channel = host(digest).mix_u32s(nonce.tolist())
    for row in got.tolist():
        want, channel = channel.draw_u32s()
        assert row == want


@pytest.mark.parametrize("count", [1, 7])
def test_mix_and_draw_is_the_channel_of_the_host(count):
    digest, root = random(8, 3), random(8, 4)
    channel = host(digest).mix_root(root.tobytes())
    want, _ = channel.draw_felts(2 * count)
    mixed, drawn = map(np.asarray, api.mix_and_draw(digest, root, count, interpret=True))
    assert mixed.tolist() == words_of(channel.digest)
    assert drawn.tolist() == [word for felt in want for word in felt]


@pytest.mark.parametrize("count", [4, 12])
def test_the_prefix_of_a_proof_of_work_follows_a_mix(count):
    """Messages of one block and of two."""
    digest, words = random(8, 6), random(count, 7)
    channel = host(digest).mix_u32s(words.tolist())
    mixed, prefix = api.mix_and_prefix(digest, words, 26, interpret=True)
    assert np.asarray(mixed).tolist() == words_of(channel.digest)
    assert np.asarray(prefix).tolist() == words_of(channel.pow_prefix(26))


def test_every_step_is_one_launch():
    digest = shape(8)
    forms = [
        lower(lambda w: api.hash_words(w, 38), shape(10)),
        lower(lambda d, w: api.hash_words((d, w)), digest, shape(600)),
        lower(lambda d, w: api.mix_and_draw_blocks(d, w, 10), digest, shape(2)),
        lower(lambda d, w: api.mix_and_draw_blocks(d, w, 1000), digest, shape(2)),
        lower(lambda d, w: api.mix_and_prefix(d, w, 26), digest, shape(4)),
        lower(lambda d, *w: api.mix_and_draw(d, w), digest, shape(500), shape(3)),
        lower(lambda d, w: api.mix_and_draw(d, w, 7), digest, shape(8)),
    ]
    assert [text.count("stablehlo.custom_call @mosaic_gpu") for text in forms] == [1] * len(forms)


def test_a_long_message_is_a_loop():
    """The program for 6,000 words, or for more than shared memory takes, is as long as for 60."""
    short, *long = (lower(api.hash_words, shape(n)) for n in (60, 6000, 10_000))
    assert all(len(text) < 1.4 * len(short) for text in long)


@pytest.mark.parametrize("n_bytes", [598, 600])
def test_copies_of_many_words(n_bytes):
    """Lanes that overlap, and a last word that is cut after one of them stored it."""
    test_hash_is_hashlib(n_bytes)


@pytest.mark.parametrize("draws", [False, True])
def test_a_message_too_long_for_shared_memory(draws, monkeypatch):
    monkeypatch.setattr(mosaic_gpu, "MAX_SHARED_WORDS", 20)
    digest, words = random(8), random(13, 1)
    channel = host(digest).mix_u32s(words.tolist())
    if not draws:
        got = mosaic_gpu.hash_words([digest, jax.numpy.asarray(words)], 82, interpret=True)
        cut = digest.tobytes() + words.tobytes()[:50]
        assert np.asarray(got).tolist() == words_of(hashlib.blake2s(cut).digest())
        return
    mixed, drawn = mosaic_gpu.mix_and_draw(digest, [words], interpret=True)
    want, _ = channel.draw_felts(2)
    assert np.asarray(mixed).tolist() == words_of(channel.digest)
    assert np.asarray(drawn).tolist() == [*want[0], *want[1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: api.hash_words(random(4), 12), "n_bytes: expected 13..16 for the words, got 12"),
        (lambda: api.hash_words(random(4), 17), "n_bytes: expected 13..16"),
        (lambda: api.hash_words(random(0)), "words: expected no empty array"),
        (lambda: api.hash_words(()), "words: expected no empty array"),
        (lambda: api.hash_words(random(8).reshape(2, 4)), "words: expected uint32"),
        (lambda: api.hash_words(random(8).astype(np.int32)), "words: expected uint32"),
        (lambda: api.mix_and_draw_blocks(random(8), random(2), 0), "count: expected at least 1"),
        (lambda: api.mix_and_draw_blocks(random(8), random(9), 1), "words: expected at most 8"),
        (lambda: api.mix_and_draw(random(7), random(8)), "digest: expected uint32"),
        (lambda: api.mix_and_draw(random(9), random(9)), "digest: expected uint32"),
        (lambda: api.mix_and_draw(random(8), random(8), 0), "count: expected at least 1, got 0"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
