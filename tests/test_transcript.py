"""The prover's transcript over arrays is the verifier's channel, whoever hashes."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark.channel import Blake2sChannel, draw_queries  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.hashes import DeviceHashes  # noqa: E402
from jaxstark.transcript import HostHashes, Made, Transcript  # noqa: E402

pytestmark = pytest.mark.floor
START = Blake2sChannel().mix_u32s([1, 2, 3])
RNG = np.random.default_rng(0)
ROOT = RNG.integers(0, 2**32, 8, np.uint32)
FELTS = RNG.integers(0, P, (7, 4), np.uint32)


def bytes_of(words) -> bytes:
    return np.asarray(words).astype("<u4").tobytes()


def steps(transcript: Transcript):
    """Every operation once; what is drawn, and the last digest."""
    first, transcript = transcript.mix_and_draw(ROOT, draws=3)
    transcript = transcript.mix(FELTS.reshape(-1))
    second, transcript = transcript.mix_and_draw(FELTS[1], FELTS[2])
    prefix, transcript = transcript.mix_for_work(FELTS[0], bits=26)
    nonce = np.array([5, 1], np.uint32)
    positions = transcript.mix_and_draw_queries(nonce, log_domain=20, count=21)
    return first, second, prefix, positions, transcript.digest


def channel_steps(channel: Blake2sChannel):
    channel = channel.mix_root(bytes_of(ROOT))
    first, channel = channel.draw_felts(6)
    channel = channel.mix_felts([QM31(*map(int, felt)) for felt in FELTS])
    channel = channel.mix_felts([QM31(*map(int, felt)) for felt in FELTS[1:3]])
    second, channel = channel.draw_felts(2)
    channel = channel.mix_felts([QM31(*map(int, FELTS[0]))])
    prefix = channel.pow_prefix(26)
    positions, _ = draw_queries(channel.mix_u64((1 << 32) + 5), 20, 21)
    return first, second, prefix, positions, channel.digest


def test_a_state_is_its_digest():
    """Draws do not change it: the next step has the same words after one and after four."""
    start = Transcript.of(START, HostHashes())
    assert bytes_of(start.digest) == START.digest
    few, one = start.mix_and_draw(ROOT)
    many, other = start.mix_and_draw(ROOT, draws=4)
    assert np.array_equal(many[:2], few) and len(np.unique(many, axis=0)) == 8
    assert np.array_equal(one.digest, other.digest)


@pytest.mark.parametrize(
    "hashes", [HostHashes(), DeviceHashes(interpret=True)], ids=["host", "kernels"]
)
def test_every_step_is_that_of_the_channel(hashes):
    got = steps(Transcript.of(START, hashes))
    want = channel_steps(START)
    for mine, theirs in zip(got[:2], want[:2], strict=True):
        assert np.asarray(mine).tolist() == [list(felt) for felt in theirs]
    assert bytes_of(got[2]) == want[2] and bytes_of(got[4]) == want[4]
    assert np.asarray(got[3]).tolist() == want[3]


@pytest.mark.parametrize(
    "hashes", [HostHashes(), DeviceHashes(interpret=True)], ids=["host", "kernels"]
)
def test_a_step_beside_other_work_is_that_of_the_channel(hashes):
    """In kernels the work makes the step."""
    given = []

    def work(digest):
        given.append(digest)
        return "made", None if digest is None else hashes.mix_and_draw(digest, [ROOT])

    start = Transcript.of(START, hashes)
    made, *got = start.mix_and_draw_beside(work, ROOT)
    want = start.mix_and_draw(ROOT)
    assert made == "made" and all(map(np.array_equal, *map(jax.tree.leaves, (got, want))))
    assert [digest is None for digest in given] == [not hashes.in_kernels]


@pytest.mark.parametrize(
    "hashes", [HostHashes(), DeviceHashes(interpret=True)], ids=["host", "kernels"]
)
@pytest.mark.parametrize("before", [None, FELTS])
def test_a_commitment_is_absorbed_after_what_comes_before_it(hashes, before):
    """In kernels whoever commits takes the steps, with its digest."""

    def commit(digest):
        if digest is None:
            return Made("tree", ROOT, None, before)
        if before is not None:
            digest = hashes.hash_words([digest, before])
        return Made("tree", ROOT, hashes.mix_and_draw(digest, [ROOT], 2), before)

    start = Transcript.of(START, hashes)
    tree, *got = start.commit_and_draw(commit, draws=2)
    want = (start if before is None else start.mix(before)).mix_and_draw(ROOT, draws=2)
    assert tree == "tree" and all(map(np.array_equal, *map(jax.tree.leaves, (got, want))))


def test_words_are_absorbed_in_row_major_order_wherever_they_are():
    words = np.arange(24, dtype=np.uint32).reshape(2, 3, 4)
    start = Transcript.of(START, HostHashes())
    want = start.mix(words.reshape(-1)).digest
    for given in (words, jax.numpy.asarray(words), np.asfortranarray(words)):
        assert np.array_equal(start.mix(given).digest, want)
    kernels = Transcript.of(START, DeviceHashes(interpret=True))
    assert np.array_equal(kernels.mix(words).digest, want)


def test_a_transcript_is_a_pytree_that_keeps_its_hasher():
    transcript = Transcript.of(START, HostHashes())
    leaves, tree = jax.tree.flatten(transcript)
    assert [leaf.shape for leaf in leaves] == [(8,)]
    assert jax.tree.unflatten(tree, leaves).hashes == HostHashes()
