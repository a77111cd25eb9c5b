"""The host channel: published operations, immutability, rejection, proof of work."""

from __future__ import annotations

import struct
from dataclasses import FrozenInstanceError, replace

import pytest

from jaxstark import channel as channel_module
from jaxstark.channel import Blake2sChannel, Poseidon252Channel
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.poseidon252 import F252, hades, hash_many, hash_pair
from jaxstark.hash.suite import BLAKE2S, POSEIDON252
from tests.recording import RecordingChannel, recording_suite
from tests.vectors import digest, load

CHANNELS = [Blake2sChannel(), Poseidon252Channel()]
BOTH = pytest.mark.parametrize("channel", CHANNELS, ids=["blake2s", "poseidon252"])
SOME = QM31(1, 2, 3, 4)


def test_published_channel_operations(vectors):
    for case in load(vectors, "stwo_cairo_unit_vectors.json")["channel"]:
        start = Blake2sChannel()
        if case["op"] == "mix_felts":
            felts = [QM31(*f) for f in case["felts"]]
            assert start.mix_felts(felts).digest == digest(case["digest_u32le"])
            assert start.mix_felts(felts[::-1] + [SOME]).digest != digest(case["digest_u32le"])
        elif case["op"] == "mix_u64":
            assert start.mix_u64(case["value"]).digest == digest(case["digest_u32le"])
            assert start.mix_u64(case["value"] ^ 1).digest != digest(case["digest_u32le"])
        elif case["op"] == "draw_u32s":
            assert start.draw_u32s()[0] == case["words"]
            assert start.draw_u32s()[1].draw_u32s()[0] != case["words"]
        else:
            felts, _ = start.draw_felts(case["n"])
            assert [list(f) for f in felts] == case["felts"]


def test_hades_known_answer_and_nearby_inputs():
    # The permutation of the zero state, published with the Starknet implementations.
    zero = hades(0, 0, 0)
    assert zero == (
        3446325744004048536138401612021367625846492093718951375866996507163446763827,
        1590252087433376791875644726012779423683501236913937337746052470473806035332,
        867921192302518434283879514999422690776342565400001269945778456016268852423,
    )
    assert hades(F252, -F252, 2 * F252) == zero
    assert hades(1, 0, 0) != zero
    assert all(0 <= x < F252 for x in hades(F252 - 1, F252 - 2, 5))


@BOTH
def test_operations_leave_the_channel_as_it_is(channel):
    before = replace(channel)
    for op in (
        lambda: channel.mix_felts([SOME]),
        lambda: channel.mix_u32s([1, 2]),
        lambda: channel.mix_u64(7),
        lambda: channel.draw_felt()[1],
        lambda: channel.draw_felts(3)[1],
        lambda: channel.draw_u32s()[1],
    ):
        after = op()
        assert channel == before and after != before and type(after) is type(channel)
    with pytest.raises(FrozenInstanceError):
        channel.n_draws = 3


@BOTH
def test_a_mix_resets_the_draw_counter_and_draws_advance_it(channel):
    a, drawn = channel.draw_felt()
    b, twice = drawn.draw_felt()
    assert a != b and (drawn.n_draws, twice.n_draws) == (1, 2)
    assert twice.mix_u64(1) == channel.mix_u64(1)
    assert twice.mix_u64(1).n_draws == 0


@BOTH
def test_t4_draws_are_whole_canonical_qm31(channel):
    felts, after = channel.draw_felts(5)
    assert len(felts) == 5 and after.n_draws == 3  # two from each draw, the last half is lost
    assert all(type(f) is QM31 and all(0 <= w < P for w in f) for f in felts)
    assert felts[0] == channel.draw_felt()[0]
    assert felts[1] != channel.draw_felt()[1].draw_felt()[0]
    assert channel.draw_felts(0) == ([], channel)


@BOTH
def test_t3_different_data_gives_different_states(channel):
    states = [
        channel,
        channel.mix_felts([SOME]),
        channel.mix_felts([SOME, SOME]),
        channel.mix_felts([SOME, QM31(1, 2, 3, 5)]),
        channel.mix_felts([QM31(2, 1, 3, 4)]),
        channel.mix_u32s([1, 2, 3, 4, 5]),
        channel.mix_u32s([1, 2, 3, 4, 5, 0]),
        channel.mix_u32s(list(range(7))),
        channel.mix_u32s([*range(7), 0]),
        channel.mix_u64(5),
        channel.mix_u64(5 << 32),
    ]
    assert len(set(states)) == len(states)


def test_blake2s_words_and_numbers_share_their_bytes():
    start = Blake2sChannel()
    assert start.mix_u64(5 + (6 << 32)) == start.mix_u32s([5, 6])
    assert start.mix_u32s([1, 2, 3, 4]) == start.mix_felts([SOME])
    assert start.mix_root(bytes(8)) == start.mix_u64(0)


def test_draws_with_a_word_of_2p_or_more_are_thrown_away(monkeypatch):
    def blocks(words):
        def stub(data):
            (counter,) = struct.unpack("<I", data[32:36])
            return struct.pack("<8I", *words[counter])

        return stub

    for bad in (2 * P, 2 * P + 1):
        draws = [
            [bad] + [9] * 7,
            [9] * 7 + [bad],
            [2 * P - 1, P, P - 1, 0, 1, 2, 3, P + 1],
            [5] * 8,
        ]
        monkeypatch.setattr(channel_module, "_blake2s", blocks(draws))
        felt, after = Blake2sChannel().draw_felt()
        assert felt == QM31(P - 1, 0, P - 1, 0) and after.n_draws == 3
        felts, after = Blake2sChannel().draw_felts(3)
        assert felts == [felt, QM31(1, 2, 3, 1), QM31(5, 5, 5, 5)] and after.n_draws == 4
        # The plain words of queries are not rejected.
        assert Blake2sChannel().draw_u32s()[0] == draws[0]


@BOTH
def test_t11_proof_of_work_needs_every_bit(channel):
    bits = 6
    nonce = next(n for n in range(1 << 16) if channel.pow_ok(bits, n))
    assert nonce == min(n for n in range(nonce + 1) if channel.pow_ok(bits, n))
    assert not any(channel.pow_ok(bits, n) for n in range(nonce))
    assert all(channel.pow_ok(0, n) for n in range(3))
    # The bits are part of the prefix, so a nonce is for one target only.
    assert channel.pow_prefix(bits) != channel.pow_prefix(bits - 1)
    assert channel.pow_prefix(bits) != channel.mix_u64(1).pow_prefix(bits)
    for value in (-1, 1 << 64):
        with pytest.raises(ValueError, match="64-bit"):
            channel.pow_ok(bits, value)
        with pytest.raises(ValueError, match="64-bit"):
            channel.mix_u64(value)


def test_t11_one_bit_short_is_rejected():
    def zero_bits(channel, bits, nonce):
        data = channel_module._blake2s(channel.pow_prefix(bits) + struct.pack("<Q", nonce))
        value = int.from_bytes(data[:16], "little")
        return (value & -value).bit_length() - 1

    channel, bits = Blake2sChannel().mix_u64(3), 5
    short = next(n for n in range(1 << 12) if zero_bits(channel, bits, n) == bits - 1)
    exact = next(n for n in range(1 << 12) if zero_bits(channel, bits, n) == bits)
    assert channel.pow_ok(bits, exact) and not channel.pow_ok(bits, short)


def test_poseidon_hash_of_lists_and_leaves():
    assert hash_many([]) == hades(1, 0, 0)[0]
    assert hash_many([5]) == hades(5, 1, 0)[0]
    assert hash_many([5]) != hash_many([5, 0]) != hash_many([5, 0, 0])
    assert hash_pair(1, 2) == hades(1, 2, 2)[0] != hash_pair(2, 1)
    # A leaf: eight words a felt, a partial group with its length on top.
    row = list(range(1, 11))
    first = sum(w << (31 * (7 - i)) for i, w in enumerate(row[:8]))
    assert POSEIDON252.leaf(row) == hash_many([first, (9 << 31) + 10 + (2 << 248)])
    assert POSEIDON252.leaf([0] * 8) != POSEIDON252.leaf([0] * 7) != POSEIDON252.leaf([0] * 9)


def test_blake2s_leaves_of_any_width():
    assert BLAKE2S.empty_root.hex().startswith("69217a30")
    assert BLAKE2S.leaf([]) == BLAKE2S.empty_root
    rows = [[1, 2, 3], [4, 5, 6]]
    import numpy as np

    both = BLAKE2S.leaves(np.array(rows, np.uint32))
    assert both == [BLAKE2S.leaf(row) for row in rows] and both[0] != both[1]
    assert BLAKE2S.leaves(np.zeros((3, 0), np.uint32)) == [BLAKE2S.empty_root] * 3


@pytest.mark.parametrize("suite", [BLAKE2S, POSEIDON252], ids=lambda s: s.name)
def test_t2_recording_channel_logs_the_same_transcript(suite):
    def transcript(channel):
        channel = channel.mix_felts([SOME]).mix_u32s([1]).mix_u64(2).mix_root(suite.empty_root)
        _, channel = channel.draw_felt()
        _, channel = channel.draw_felts(2)
        return channel.draw_u32s()

    log, again = [], []
    words, end = transcript(recording_suite(suite, log).new_channel())
    assert isinstance(end, RecordingChannel)
    assert (words, end.inner) == transcript(suite.new_channel())
    transcript(RecordingChannel(suite.new_channel(), again))
    assert log == again
    assert [op for op, _ in log] == [
        "mix_felts", "mix_u32s", "mix_u64", "mix_root", "draw_felt", "draw_felts", "draw_u32s",
    ]  # fmt: skip
    transcript(RecordingChannel(suite.new_channel().mix_u64(1), other := []))
    assert other != log
