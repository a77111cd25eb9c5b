"""Tables made by the device: word for word those of the host."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jaxstark import circle, twiddles  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.state_machine import state_machine  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.plan import plan  # noqa: E402
from jaxstark.resident import points, program  # noqa: E402
from jaxstark.resident.program import Program, abstract_tables, tables  # noqa: E402
from jaxstark.resident.protocol import abstract_inputs  # noqa: E402

SIZES = (1, 2, 3, 6, 17)


def test_tables_equal_those_of_the_host() -> None:
    sizes = program.TableSizes(SIZES, SIZES, (), SIZES, 0, 0)
    for log_domain in (2, 11):
        made = program._made(sizes._replace(domain=log_domain), points.multiples())
        for got, expected in zip((made.x, made.y), circle.domain_points(log_domain), strict=True):
            assert np.array_equal(got, expected)
    for k in SIZES:
        assert np.array_equal(made.forward[k], twiddles.forward_table(k))
        assert np.array_equal(made.inverse[k], twiddles.inverse_table(k))
        assert np.array_equal(made.back[k], circle.shifted_slots(k, k + 1, -1))
        assert made.back[k].dtype == np.int32


def test_abstract_tables_have_the_shapes_of_tables() -> None:
    air = state_machine()
    shape = air.shape((7, 5), {"initial": [0, 0], "final": [0, 0]})
    p = Program(air.structure, shape, ProofParams(0, 2, 5, 2, 1))
    found, expected = tables(p), abstract_tables(p)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for got, like in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (got.shape, got.dtype) == (like.shape, like.dtype)
    # Programs that differ in the last layer alone share what is large.
    other = tables(Program(air.structure, shape, ProofParams(0, 2, 5, 2)))
    assert other.x is found.x and other.last.shape != found.last.shape
    again = tables(Program(air.structure, shape, ProofParams(3, 2, 9, 2, 1)))
    assert again is found  # of the same sizes


@pytest.mark.parametrize("log_blowup", [1, 4])
def test_the_plan_knows_the_bytes_of_the_arguments(log_blowup: int) -> None:
    lookups = state_machine(), (20, 16), {"initial": [0, 0], "final": [0, 0]}
    for air, sizes, public in (lookups, (legacy26(), (20,), {})):
        shape, params = air.shape(sizes, public), ProofParams(26, log_blowup, 70, 4)
        p = Program(air.structure, shape, params)
        arrays = jax.tree.leaves((abstract_tables(p), abstract_inputs(p)))
        size = sum(a.size * a.dtype.itemsize for a in arrays)
        assert plan(shape, params).argument_bytes == pytest.approx(size, rel=1e-4)
