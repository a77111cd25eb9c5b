"""The commitment scheme: StarkWare's proofs, the mini proofs, and changes of them."""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from jaxstark import fri_verify, pcs_verify
from jaxstark.circle import SecurePoint, secure_point
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import BLAKE2S
from jaxstark.params import ProofParams
from tests.constant_proof import constant_proof
from tests.recording import RecordingChannel
from tests.vectors import load, mini_proofs, real_proof

MINI = [
    "fib_only_empty_preprocessed", "mixed_logup_fold1", "mixed_logup_fold2_last0",
    "mixed_logup_fold3_blowup2_last1", "preprocessed_taller_than_lifting",
]  # fmt: skip


@pytest.fixture(scope="module")
def circuit(vectors):
    return real_proof(vectors, "stwo_cairo_circuit_proof", "stwo-2.2")


@pytest.fixture(scope="module")
def minis(vectors):
    return mini_proofs(vectors)


def bump(felt):
    return QM31((felt.a + 1) % P, *felt[1:])


def with_stark(opening, **changes):
    return replace(opening, stark=replace(opening.stark, **changes))


def at(items, index, value):
    """A tuple with one entry replaced."""
    return (*items[:index], value, *items[index + 1 :])


def section(opening):
    with pytest.raises(VerificationError) as error:
        opening.verify()
    return error.value.section


def transcript(opening):
    """Log of the channel from the sampled values on."""
    log = []
    positions, _ = replace(opening, channel=RecordingChannel(opening.channel, log)).verify()
    return positions, log


def check_real(opening):
    """Challenges and positions of the meta file."""
    expected = opening.expected
    assert list(expected["composition"]) == expected["composition_random_coeff"]
    assert [list(c) for c in opening.oods_point] == expected["oods_point"]
    positions, log = transcript(opening)
    drawn = [list(data) for op, data in log if op == "draw_felt"]
    assert drawn == [expected["deep_random_coeff"], *expected["fri_alphas"]]
    assert list(opening.params.fri_steps(opening.log_size)) == expected["fri_fold_steps"]
    words = [w for op, data in log if op == "draw_u32s" for w in data]
    mask = (1 << (opening.log_size + opening.params.log_blowup)) - 1
    raw = [w & mask for w in words][: opening.params.n_queries]
    assert raw == expected["raw_query_positions"]
    assert positions == expected["query_positions"] == sorted(set(raw))


def test_starkware_circuit_proof(circuit):
    check_real(circuit)


def test_starkware_circuit_proof_tampered(circuit):
    stark = circuit.stark
    sampled = at(
        stark.sampled_values, 1,
        at(stark.sampled_values[1], 7, (bump(stark.sampled_values[1][7][0]),)),
    )  # fmt: skip
    assert section(with_stark(circuit, sampled_values=sampled)) == "proof of work"
    assert section(with_stark(circuit, proof_of_work=stark.proof_of_work + 1)) == "proof of work"
    rows = stark.queried_values[2].copy()
    rows[5, 3] ^= 1
    changed = at(stark.queried_values, 2, rows)
    assert section(with_stark(circuit, queried_values=changed)) == "merkle"
    assert section(replace(circuit, channel=circuit.channel.mix_u64(0))) == "proof of work"
    # Without the proof of work, a wrong point or sample is caught by FRI itself.
    params = replace(circuit.params, pow_bits=0)
    other = replace(circuit, params=params, oods_point=secure_point(QM31(1, 2, 3, 4)))
    assert section(other) in ("merkle", "fri")


def test_starkware_poseidon252_proof(vectors):
    opening = real_proof(vectors, "stwo_cairo_ret_opcode_poseidon252", "stwo-2.2-poseidon252")
    check_real(opening)
    stark = opening.stark
    assert section(with_stark(opening, proof_of_work=stark.proof_of_work ^ 1)) == "proof of work"
    rows = stark.queried_values[0].copy()
    rows[0, 0] ^= 1
    changed = at(stark.queried_values, 0, rows)
    assert section(with_stark(opening, queried_values=changed)) == "merkle"


@pytest.mark.parametrize("name", MINI)
def test_mini_proofs(minis, name):
    opening = minis[name]
    positions, channel = opening.verify()
    assert positions == sorted(set(positions)) and channel.n_draws > 0
    assert np.all(np.array(positions) < 1 << (opening.log_size + opening.params.log_blowup))


@pytest.mark.parametrize("name", MINI)
def test_t9_t12_every_part_of_a_mini_proof_is_bound(minis, name):
    opening = minis[name]
    stark = opening.stark
    bad = []
    for i, tree in enumerate(stark.sampled_values):  # every sampled value (T12)
        for j, samples in enumerate(tree):
            for k, value in enumerate(samples):
                wrong = at(stark.sampled_values, i, at(tree, j, at(samples, k, bump(value))))
                bad.append({"sampled_values": wrong})
    for i, rows in enumerate(stark.queried_values):
        for index in np.ndindex(rows.shape):
            wrong = rows.copy()
            wrong[index] = (wrong[index] + 1) % P
            bad.append({"queried_values": at(stark.queried_values, i, wrong)})
        if rows.shape[1] > 1:
            wrong = rows[:, [1, 0, *range(2, rows.shape[1])]]
            if not np.array_equal(wrong, rows):
                bad.append({"queried_values": at(stark.queried_values, i, wrong)})
            bad.append({"queried_values": at(stark.queried_values, i, rows[:, 1:])})
    for i, hashes in enumerate(stark.decommitments):
        longer = (*hashes, stark.commitments[0])
        bad.append({"decommitments": at(stark.decommitments, i, longer)})
        for j in range(len(hashes)):
            bad.append({"decommitments": at(stark.decommitments, i, at(hashes, j, bytes(32)))})
            bad.append({"decommitments": at(stark.decommitments, i, hashes[:j] + hashes[j + 1 :])})
    for i, layer in enumerate(stark.fri_layers):
        for wrong in (
            replace(layer, commitment=bytes(32)),
            replace(layer, fri_witness=(*layer.fri_witness, QM31(0, 0, 0, 0))),
            replace(layer, fri_witness=tuple(bump(v) for v in layer.fri_witness)),
            replace(layer, hash_witness=(*layer.hash_witness, bytes(32))),
        ):
            if wrong != layer:
                bad.append({"fri_layers": at(stark.fri_layers, i, wrong)})
    for i, value in enumerate(stark.last_layer):
        bad.append({"last_layer": at(stark.last_layer, i, bump(value))})
    bad.append({"last_layer": stark.last_layer * 2})
    bad.append({"fri_layers": stark.fri_layers[:-1]})
    for i, root in enumerate(stark.commitments):
        bad.append({"commitments": at(stark.commitments, i, root[::-1])})
    for changes in bad:
        with pytest.raises(VerificationError):
            with_stark(opening, **changes).verify()
    assert len(bad) > 40


def test_t11_another_valid_nonce_gives_other_queries(minis):
    opening = minis["mixed_logup_fold1"]
    log = []
    replace(opening, channel=RecordingChannel(opening.channel, log)).verify()
    mixed = [data for op, data in log if op == "mix_u64"]
    assert mixed == [opening.stark.proof_of_work]
    # A larger nonce with enough zero bits passes the proof of work but not the openings.
    zero_bits = replace(opening, params=replace(opening.params, pow_bits=0))
    assert section(with_stark(zero_bits, proof_of_work=opening.stark.proof_of_work + 1)) != (
        "proof of work"
    )
    for nonce in (-1, 1 << 64, None, 1.0, True):
        with pytest.raises(ProofShapeError):
            with_stark(opening, proof_of_work=nonce).verify()


def test_t5_transcript_order(minis):
    opening = minis["mixed_logup_fold2_last0"]
    _, log = transcript(opening)
    layers = len(opening.stark.fri_layers)
    assert [op for op, _ in log] == [
        "mix_felts", "draw_felt", *["mix_root", "draw_felt"] * layers,
        "mix_felts", "mix_u64", "draw_u32s",
    ]  # fmt: skip
    assert log[0][1] == tuple(
        tuple(v) for tree in opening.stark.sampled_values for column in tree for v in column
    )


def test_sizes_come_from_the_key(minis):
    """T27: a statement of other sizes rejects the proof, whatever the proof says."""
    opening = minis["mixed_logup_fold1"]
    fewer = replace(
        opening,
        columns=[opening.columns[0], opening.columns[1][:-1], *opening.columns[2:]],
        offsets=[opening.offsets[0], opening.offsets[1][:-1], *opening.offsets[2:]],
    )
    assert section(fewer) == "shape"
    masks = [list(tree) for tree in opening.offsets]
    masks[1][0] = (-1, 0)
    assert section(replace(opening, offsets=masks)) == "shape"
    dropped = replace(opening, columns=opening.columns[:2], offsets=opening.offsets[:2])
    assert section(dropped) == "shape"
    # Sizes of columns are not visible in the proof: they change leaf order and periodicity.
    sizes = [list(tree) for tree in opening.columns]
    sizes[1][5] += 1
    assert section(replace(opening, columns=sizes)) in ("merkle", "fri")
    for params in (
        replace(opening.params, fold_step=2),
        replace(opening.params, log_last_layer=1),
        replace(opening.params, log_blowup=2),
        replace(opening.params, n_queries=opening.params.n_queries + 3),
        replace(opening.params, pow_bits=12),
    ):
        with pytest.raises(VerificationError):
            replace(opening, params=params).verify()
    roots = (bytes(32), *opening.roots[1:])
    assert section(replace(opening, roots=roots)) == "commitments"


def test_impossible_keys_are_misuse(minis):
    opening = minis["mixed_logup_fold1"]
    no_large_column = [list(tree) for tree in opening.columns]
    no_large_column[2] = [4] * len(no_large_column[2])
    sampled_above = [list(tree) for tree in opening.columns]
    sampled_above[0] = [6]
    for wrong in (
        replace(opening, columns=no_large_column),
        replace(opening, columns=sampled_above),
        replace(opening, log_size=6),
        replace(opening, offsets=opening.offsets[:-1]),
        replace(opening, params=replace(opening.params, log_blowup=16, fold_step=6)),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            wrong.verify()


JUNK = [None, -1, P, 1 << 64, True, 1.5, "x", b"", bytes(32), (), (1, 2), [], {}, object()]


def mutated(value, rng):
    """A copy of a tree of wire data with one random part changed, dropped, added or replaced."""
    if is_dataclass(value) and rng.random() < 0.97:
        name = rng.choice([f.name for f in fields(value) if f.name != "params"])
        return replace(value, **{name: mutated(getattr(value, name), rng)})  # type: ignore
    if isinstance(value, np.ndarray):
        choice = rng.randrange(5)
        if choice == 0 or not value.size:
            return value.astype(np.int64)
        if choice == 1:
            return value[:, :-1]
        if choice == 2:
            return value[:-1]
        copy = value.copy()
        copy.flat[rng.randrange(copy.size)] ^= 1 << rng.randrange(32)
        return copy
    if isinstance(value, tuple) and value and rng.random() < 0.9:
        i = rng.randrange(len(value))
        if isinstance(value, QM31):
            return QM31(*at(value, i, mutated(value[i], rng)))
        action = rng.random()
        if action < 0.05:
            return value[:i] + value[i + 1 :]
        if action < 0.1:
            return (*value[:i], value[i], *value[i:])
        return at(value, i, mutated(value[i], rng))
    if isinstance(value, bytes) and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return value[:i] + bytes([value[i] ^ (1 << rng.randrange(8))]) + value[i + 1 :]
    if isinstance(value, int) and rng.random() < 0.7:
        return value ^ (1 << rng.randrange(31))
    return rng.choice(JUNK)


def test_t26_mutated_proofs_raise_nothing_but_rejections(minis):
    rng, rejected = random.Random(7), 0
    for opening in minis.values():
        for _ in range(160):
            stark = mutated(opening.stark, rng)
            try:
                same = stark == opening.stark
            except Exception:  # comparing junk may fail; it is not the same proof
                same = False
            if same:
                continue
            rejected += 1
            with pytest.raises(VerificationError):
                replace(opening, stark=stark).verify()
    assert rejected > 600


def test_published_quotient_answers(vectors):
    case = load(vectors, "stwo_cairo_unit_vectors.json")["quotients"]["fri_answers"]
    masks = {1: (0,), 2: (-1, 0)}

    def answers(samples, rows):
        return pcs_verify.deep_answers(
            case["log_blowup"],
            case["column_log_degree_bounds"],
            [masks[len(s)] for s in samples],
            [[QM31(*v) for v in column] for column in samples],
            np.array(rows, np.uint32).T,
            SecurePoint(*(QM31(*c) for c in case["oods_point"])),
            QM31(*case["random_coeff"]),
            case["max_log_degree_bound"],
            np.array(case["query_positions"], np.int64),
        ).T.tolist()

    assert answers(case["samples"], case["rows"]) == case["answers"]
    changed = [[[1, 2, 3, 5], case["samples"][0][1]], *case["samples"][1:]]
    assert answers(changed, case["rows"])[0] != case["answers"][0]
    assert answers(case["samples"], [[4, 7, 9], [2, 4, 10]])[0] != case["answers"][0]


def test_published_positions_of_tree_0(vectors):
    for case in load(vectors, "stwo_cairo_unit_vectors.json")["preprocessed_positions"]:
        positions = np.array(case["positions"], np.int64)
        height, log_domain = case["pp_height"], case["lifting_log_size"]
        out = pcs_verify.tree_positions(positions, log_domain, height)
        assert out.tolist() == case["out"] != positions.tolist()
        assert (pcs_verify.tree_positions(positions, 12, 12) == positions).all()


def draw_point(channel):
    t, channel = channel.draw_felt()
    return secure_point(t), channel


@pytest.mark.parametrize("fold_step", [1, 3, 4])
@pytest.mark.parametrize("preprocessed", [(20,), (3, 4), ()], ids=["full", "short", "empty"])
def test_large_shapes_with_constant_columns(fold_step, preprocessed):
    """Sizes of a real proof, 70 queries; a tree 0 that is shorter has unsorted positions."""
    params = ProofParams(4, 1, 70, fold_step, log_last_layer=2)
    columns = [list(preprocessed), [20, 7, 20, 3], [20] * 4, [20] * 8]
    offsets = [[(0,)] * len(preprocessed), [(0,)] * 4, [(-1, 0)] * 4, [(0,)] * 8]
    start = BLAKE2S.new_channel()
    stark, point, channel = constant_proof(BLAKE2S, start, params, columns, offsets, 20, draw_point)

    def verify(stark):
        return pcs_verify.verify_values(
            BLAKE2S, channel, stark, params, columns, offsets, point, 20
        )

    positions, _ = verify(stark)
    assert 60 < len(positions) <= 70
    rows = stark.queried_values[1].copy()
    rows[[0, 1]] = rows[[1, 0]]  # two columns swapped
    with pytest.raises(VerificationError, match="merkle: tree 1"):
        verify(replace(stark, queried_values=at(stark.queried_values, 1, rows)))
    layer = replace(stark.fri_layers[0], fri_witness=stark.fri_layers[0].fri_witness[1:])
    with pytest.raises(ProofShapeError, match="FRI layer 0 witness"):
        verify(replace(stark, fri_layers=at(stark.fri_layers, 0, layer)))
    if preprocessed == (3, 4):
        leaves = pcs_verify.tree_positions(np.array(positions), 21, 5)
        assert (np.diff(leaves) < 0).any()


def test_a_point_on_the_domain_is_rejected_and_not_divided_by():
    params = ProofParams(0, 1, 3)
    columns, offsets = [[], [5], [5] * 8], [[], [(0,)], [(0,)] * 8]
    stark, _, channel = constant_proof(
        BLAKE2S, BLAKE2S.new_channel(), params, columns, offsets, 5, draw_point
    )
    x, y = (int(c[0]) for c in fri_verify.circle_points(6, np.array([0])))
    base = SecurePoint(QM31(x, 0, 0, 0), QM31(y, 0, 0, 0))
    with pytest.raises(VerificationError, match="collinear"):
        pcs_verify.verify_values(BLAKE2S, channel, stark, params, columns, offsets, base, 5)
