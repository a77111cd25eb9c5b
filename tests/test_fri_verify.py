"""FRI verification: published proofs, points of opened slots, tampering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jaxstark import circle, fri_verify
from jaxstark.channel import Blake2sChannel, draw_queries
from jaxstark.errors import ProofShapeError, VerificationError
from jaxstark.fields import qm31
from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import QM31
from jaxstark.hash.suite import BLAKE2S
from jaxstark.params import ProofParams
from tests.vectors import FriReader, load


def run(layers, last, params, log_size, positions, evals):
    """Everything that a verifier does with the FRI part, queries given."""
    fri_verify.check_shape(layers, last, params, log_size)
    alphas, _ = fri_verify.replay_commit(Blake2sChannel(), layers, last)
    answers = np.array(evals, np.uint32).T
    fri_verify.verify_queries(BLAKE2S, layers, last, params, log_size, alphas, positions, answers)


def cases(folder):
    """Name, whether it must fail, and the arguments of ``run``."""
    for case in load(folder, "stwo_cairo_unit_vectors.json")["fri"]:
        c = case["config"]
        params = ProofParams(
            0, c["log_blowup_factor"], c["n_queries"], c["fold_step"],
            c["log_last_layer_degree_bound"],
        )  # fmt: skip
        layers, last = FriReader(case["proof_felts"]).fri()
        # Upstream's test on an invalid domain misuses an API; its proof is valid.
        fails = case["should_fail"] and "invalid_domain" not in case["name"]
        arguments = (
            layers, last, params, case["log_degree_bound"], case["positions"], case["query_evals"],
        )  # fmt: skip
        yield case["name"], fails, arguments


def valid(folder):
    return [arguments for _, fails, arguments in cases(folder) if not fails]


def test_published_fri_proofs(vectors):
    outcomes = {}
    for name, fails, (layers, last, params, log_size, positions, evals) in cases(vectors):
        if not fails:
            run(layers, last, params, log_size, positions, evals)
        elif positions is None:
            with pytest.raises(ProofShapeError, match="FRI") as error:
                fri_verify.check_shape(layers, last, params, log_size)
            outcomes[name] = error.value.what
        else:
            with pytest.raises(VerificationError) as error:
                run(layers, last, params, log_size, positions, evals)
            outcomes[name] = error.value.section
    assert outcomes == {
        "proof_with_invalid_inner_layer_evaluation_fails_verification": "shape",
        "proof_with_added_layer_fails_verification": "FRI layers",
        "proof_with_removed_layer_fails_verification": "FRI layers",
        "proof_with_invalid_last_layer_degree_fails_verification": "FRI last-layer coefficients",
        "proof_with_invalid_last_layer_fails_verification": "fri",
    }


def test_t7_t9_every_change_of_a_fri_proof_is_rejected(vectors):
    for layers, last, params, log_size, positions, evals in valid(vectors):
        fixed = {"params": params, "log_size": log_size, "positions": positions}

        def check(layers=layers, last=last, evals=evals, fixed=fixed):
            run(layers, last, evals=evals, **fixed)

        for i, layer in enumerate(layers):

            def changed(i=i, layer=layer, layers=layers, **fields):
                return (*layers[:i], replace(layer, **fields), *layers[i + 1 :])

            witness = layer.fri_witness
            if witness:
                wrong = QM31((witness[0].a + 1) % P, *witness[0][1:])
                with pytest.raises(VerificationError):
                    check(layers=changed(fri_witness=(wrong, *witness[1:])))
            for entries in {witness[1:], (*witness, qm31.ONE)} - {witness}:
                with pytest.raises(ProofShapeError, match=f"FRI layer {i} witness"):
                    check(layers=changed(fri_witness=entries))
            with pytest.raises(VerificationError):
                check(layers=changed(commitment=bytes(32)))
            hashes = layer.hash_witness
            for entries in (hashes[:-1], (*hashes, bytes(32))):
                if entries != hashes:
                    with pytest.raises(ProofShapeError, match=f"FRI layer {i} hash witness"):
                        check(layers=changed(hash_witness=entries))
            if len(hashes) > 1:
                with pytest.raises(VerificationError, match="merkle"):
                    check(layers=changed(hash_witness=(hashes[1], hashes[0], *hashes[2:])))
        for entries in ((), (*last, last[0])):
            with pytest.raises(ProofShapeError, match="last-layer"):
                check(last=entries)
        for entries in (layers[:-1], (*layers, layers[-1])):
            with pytest.raises(ProofShapeError, match="FRI layers"):
                check(layers=entries)
        with pytest.raises(VerificationError):
            check(evals=[[(e[0] + 1) % P, *e[1:]] for e in evals])


def test_t7_a_last_layer_off_by_one_is_rejected_by_the_last_check(vectors):
    for layers, last, params, log_size, positions, evals in valid(vectors):
        alphas, _ = fri_verify.replay_commit(Blake2sChannel(), layers, last)
        answers = np.array(evals, np.uint32).T

        def queries(coefficients):
            fri_verify.verify_queries(
                BLAKE2S, layers, coefficients, params, log_size, alphas, positions, answers  # noqa: B023
            )  # fmt: skip

        queries(last)
        with pytest.raises(VerificationError) as error:
            queries((QM31((last[0].a + 1) % P, *last[0][1:]), *last[1:]))
        assert error.value.section == "fri"


def test_published_circle_points(vectors):
    for table in load(vectors, "stwo_cairo_unit_vectors.json")["circle_generator_multiples"][
        "tables"
    ]:
        indices = np.arange(len(table["points"]), dtype=np.int64) << table["shift"]
        points = np.stack(fri_verify.indices_to_points(indices % (1 << 31)), axis=1)
        assert points.tolist() == table["points"]
        assert fri_verify.indices_to_points(indices + 1).x.tolist() != [
            p[0] for p in table["points"]
        ]


@pytest.mark.parametrize("log_domain", [2, 3, 6])
def test_points_of_slots_are_those_of_the_tables(log_domain):
    slots = np.arange(1 << log_domain)
    points, table = fri_verify.circle_points(log_domain, slots), circle.domain_points(log_domain)
    assert np.array_equal(points.x, table.x) and np.array_equal(points.y, table.y)
    for folds in range(1, log_domain):
        domain = circle.line_domain(log_domain, folds)
        order = circle.bit_reversal(domain.log_size)
        line = fri_verify._line_points(log_domain, folds, np.arange(1 << domain.log_size))
        assert np.array_equal(line.x, domain.points().x[order])
    # Random slots of a domain that no table could hold.
    slots = np.array([0, 1, 12345678, (1 << 30) - 1])
    points, expected = fri_verify.circle_points(30, slots), circle.points_at(30, slots)
    assert np.array_equal(points.x, expected.x) and np.array_equal(points.y, expected.y)


def test_published_line_polynomial(vectors):
    for case in load(vectors, "stwo_cairo_unit_vectors.json")["line_poly_eval"]:
        coefficients = [QM31(*c) for c in case["coeffs"]]
        x = np.array([case["x"], case["x"] + 1], np.uint32)
        value = fri_verify._evaluate_line(coefficients, x).T.tolist()
        assert value[0] == case["value"] != value[1]


def test_published_qm31_product(vectors):
    case = load(vectors, "stwo_cairo_unit_vectors.json")["qm31_mul"]
    a, b = QM31(*case["a"]), QM31(*case["b"])
    assert list(qm31.mul(a, b)) == case["ab"] != list(qm31.mul(a, a))


def test_published_logup_constraint(vectors):
    """``(cur - prev) d1 d2 - num`` with denominators ``sum alpha^i v_i - z``, from a real proof."""
    case = load(vectors, "stwo_cairo_unit_vectors.json")["logup_constraint_sample"]

    def constraint(alpha):
        total, power = qm31.ZERO, qm31.ONE
        for value in case["relation_values"]:
            total = qm31.add(total, qm31.mul(power, QM31(*value)))
            power = qm31.mul(power, alpha)
        denominator = qm31.sub(total, QM31(*case["z"]))
        size = circle.m31.inv(1 << case["log_size"])
        step = qm31.sub(QM31(*case["interaction_cur"]), QM31(*case["interaction_prev"]))
        step = qm31.add(step, qm31.mul_base(QM31(*case["claimed_sum"]), size))
        return qm31.add(qm31.mul(step, denominator), QM31(*case["numerator_is_minus"]))

    alpha = QM31(*case["alpha"])
    assert list(constraint(alpha)) == case["result"]
    assert list(constraint(qm31.add(alpha, qm31.ONE))) != case["result"]


def test_t10_queries_are_the_masked_words_in_order():
    start = Blake2sChannel().mix_u64(9)
    words, channel = start.draw_u32s()
    more, channel = channel.draw_u32s()
    positions, after = draw_queries(start, 5, 11)
    assert positions == [w & 31 for w in words + more][:11] and after == channel
    assert draw_queries(start, 5, 8)[1] != channel
    many, _ = draw_queries(start, 3, 4000)
    counts = np.bincount(many, minlength=8)
    assert len(counts) == 8 and abs(counts - 500).max() < 100  # five standard deviations


def test_t30_a_short_witness_is_rejected_before_cosets_are_built():
    # 2^29 values for each query would be needed; nothing of that size may be allocated.
    with pytest.raises(ProofShapeError, match="536870911 QM31"):
        fri_verify._complete_cosets(
            "layer", (), np.array([5], np.int64), np.zeros((4, 1), np.uint32), 29
        )
