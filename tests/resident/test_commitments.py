"""Commitments to columns of several sizes: values of the reference, few launches of kernels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import commit  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.pallas import together  # noqa: E402
from jaxstark.pallas.channel import api as channel  # noqa: E402
from jaxstark.params import PRESETS, ProofParams  # noqa: E402
from jaxstark.resident import commitments  # noqa: E402
from jaxstark.resident.program import Program, abstract_tables, tables  # noqa: E402
from jaxstark.shape import INTERACTION, PREPROCESSED, TRACE  # noqa: E402
from tests.resident.test_program import VM, VM_SIZES, program  # noqa: E402


def words(*dims: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, P, dims, np.uint32)


def test_sizes_of_chains_of_two_lengths_are_those_of_the_reference():
    """Two arrays of the larger size, one of them in pieces; a hash runs beside them."""
    params = ProofParams(0, 1, 3, 2, 1)
    p = replace(program("range_sum", 11, params), interpret=True)
    t, message = tables(p), (words(8), words(4))
    groups = [[words(1, 1 << 7)], [words(2, 1 << 11), words(1, 1 << 11)], [words(1, 1 << 11)]]

    @jax.jit
    def run(t, groups, message):
        hashing = [partial(channel.hashing, message, interpret=True)]
        return commitments.polynomials(p, t, groups, hashing)

    got, (digest,) = run(t, groups, message)
    for pieces, *made in zip(groups, *got, strict=True):
        want = commit.commit_rows([np.concatenate(pieces)], 1)
        assert np.array_equal(made[0], want.coefficients[0])
        assert np.array_equal(made[1], want.evaluations[0])
    assert np.array_equal(digest, channel.hash_words(message, interpret=True))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (PREPROCESSED, [[140], [50, 100], [20, 48, 48, 72], [48, 72, 72]]),
        (TRACE, [[140], [50, 112], [20, 100], [72, 80], [24, 48, 48, 72], [48, 72, 72]]),
        (INTERACTION, [[140], [50, 112], [20, 100], [72, 80], [24, 48, 48, 72], [48, 72, 72]]),
    ],
)
def test_sizes_of_the_machine_share_their_launches(tree, expected, monkeypatch):
    """Columns of 2^8 and 2^12 rows have two and three kernels, those of 2^16 and 2^20 four."""
    shape = VM.shape(VM_SIZES, {name: [0, 0] for name, _ in VM.public_values})
    p, seen = Program(VM.structure, shape, PRESETS["stwo-96"]), []

    def record(kernels, *, interpret):
        del interpret
        seen.append(sorted(kernel.code for kernel in kernels))
        return [[jax.numpy.zeros(out.shape, out.dtype) for out in k.out] for k in kernels]

    def run(t, groups, message):
        return commitments.polynomials(p, t, groups, [partial(channel.hashing, message)])[0]

    monkeypatch.setattr(together, "run_together", record)
    arrays = [(len(members), k) for k, members in p.groups[tree]]
    groups = [[jax.ShapeDtypeStruct((n, 1 << k), np.uint32)] for n, k in arrays]
    message = [jax.ShapeDtypeStruct((8,), np.uint32)]
    made = jax.eval_shape(run, abstract_tables(p), groups, message)
    assert [x.shape for x in made.coefficients] == [(n, 1 << k) for n, k in arrays]
    assert [x.shape for x in made.evaluations] == [(n, 2 << k) for n, k in arrays]
    assert seen == expected
    assert all(sum(codes) <= together.MAX_CODE for codes in seen)
