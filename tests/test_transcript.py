"""The prover's transcript over arrays is the verifier's channel, whoever hashes."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark.channel import Blake2sChannel, draw_queries  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.fields.qm31 import QM31  # noqa: E402
from jaxstark.pallas.hashes import DeviceHashes  # noqa: E402
from jaxstark.transcript import HostHashes, Transcript  # noqa: E402

pytestmark = pytest.mark.floor
START = Blake2sChannel().mix_u32s([1, 2, 3])
RNG = np.random.default_rng(0)
ROOT = RNG.integers(0, 2**32, 8, np.uint32)
FELTS = RNG.integers(0, P, (7, 4), np.uint32)


def bytes_of(words) -> bytes:
    return np.asarray(words).astype("<u4").tobytes()


def steps(transcript: Transcript):
    """Every operation once; what is drawn, and the last digest."""
    first, transcript = transcript.mix_and_draw(ROOT, draws=2)
    (second, again), transcript = transcript.draw_felts(2)
    transcript = transcript.mix(FELTS.reshape(-1))
    (third,), transcript = transcript.draw_felts(1)
    prefix, transcript = transcript.mix_for_work(FELTS[0], bits=26)
    nonce = np.array([5, 1], np.uint32)
    positions = transcript.mix_and_draw_queries(nonce, log_domain=20, count=21)
    return first, second, again, third, prefix, positions, transcript.digest


def channel_steps(channel: Blake2sChannel):
    channel = channel.mix_root(bytes_of(ROOT))
    first, channel = channel.draw_felts(4)
    second, channel = channel.draw_felts(2)
    again, channel = channel.draw_felts(2)
    channel = channel.mix_felts([QM31(*map(int, felt)) for felt in FELTS])
    third, channel = channel.draw_felts(2)
    channel = channel.mix_felts([QM31(*map(int, FELTS[0]))])
    prefix = channel.pow_prefix(26)
    positions, _ = draw_queries(channel.mix_u64((1 << 32) + 5), 20, 21)
    return first, second, again, third, prefix, positions, channel.digest


def test_a_state_without_draws_is_its_digest():
    whole = Transcript.of(START, HostHashes())
    rest = Transcript.after(whole.digest, HostHashes())
    assert bytes_of(rest.digest) == START.digest and bytes_of(rest.n_draws) == bytes(4)
    assert all(map(np.array_equal, jax.tree.leaves(rest), jax.tree.leaves(whole)))


@pytest.mark.parametrize(
    "hashes", [HostHashes(), DeviceHashes(interpret=True)], ids=["host", "kernels"]
)
def test_every_step_is_that_of_the_channel(hashes):
    got = steps(Transcript.of(START, hashes))
    want = channel_steps(START)
    for mine, theirs in zip(got[:4], want[:4], strict=True):
        assert np.asarray(mine).tolist() == [list(felt) for felt in theirs]
    assert bytes_of(got[4]) == want[4] and bytes_of(got[6]) == want[6]
    assert np.asarray(got[5]).tolist() == want[5]


@pytest.mark.parametrize(
    "hashes", [HostHashes(), DeviceHashes(interpret=True)], ids=["host", "kernels"]
)
def test_a_step_beside_other_work_is_that_of_the_channel(hashes):
    """In kernels the work makes the step."""
    given = []

    def work(mixed):
        given.append(mixed)
        return "made", None if mixed is None else hashes.mix_and_draw(mixed[0], mixed[1:])

    start = Transcript.of(START, hashes)
    made, *got = start.mix_and_draw_beside(work, ROOT, FELTS[0])
    want = start.mix_and_draw(ROOT, FELTS[0])
    assert made == "made" and all(map(np.array_equal, *map(jax.tree.leaves, (got, want))))
    assert [mixed is None for mixed in given] == [not hashes.in_kernels]


def test_a_transcript_is_a_pytree_that_keeps_its_hasher():
    transcript = Transcript.of(START, HostHashes())
    leaves, tree = jax.tree.flatten(transcript)
    assert [leaf.shape for leaf in leaves] == [(8,), (1,)]
    assert jax.tree.unflatten(tree, leaves).hashes == HostHashes()


def test_the_draw_counter_moves_on_and_ends_with_the_next_words():
    transcript = Transcript.of(START, HostHashes())
    one, later = transcript.draw_felts(1)
    other, latest = later.draw_felts(2)
    assert latest.n_draws.tolist() == [3] and (one != other).any()
    both, after = transcript.draw_felts(3)
    assert (both == np.concatenate([one, other])).all() and after.n_draws.tolist() == [3]
    assert latest.mix(ROOT).n_draws.tolist() == [0]
    assert (latest.mix(ROOT).digest == transcript.mix(ROOT).digest).all()
