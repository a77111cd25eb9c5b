"""FRI: where its last layers go on in one launch."""

from __future__ import annotations

import pytest

pytest.importorskip("jax")

from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.params import PRESETS  # noqa: E402
from jaxstark.resident.low_degree import tail_layers  # noqa: E402
from jaxstark.resident.program import Program  # noqa: E402


@pytest.mark.parametrize(
    ("log_size", "begins"),
    [(10, 11), (15, 12), (16, 9), (18, 11), (20, 13), (22, 11), (23, 12), (24, 13)],
)
def test_the_tail_begins_where_a_block_is_fast_enough_and_takes_all_that_is_left(log_size, begins):
    """2^13 values only in large proofs, which have launches enough."""
    air, params = legacy26(), PRESETS["stwo-96"]
    p = Program(air.structure, air.shape((log_size,)), params)
    steps = params.fri_steps(p.log_size)
    logs = [p.log_domain - sum(steps[:i]) for i in range(len(steps))]
    first = logs.index(begins)
    assert [tail_layers(p, i) for i in range(first)] == [0] * first
    assert tail_layers(p, first) == len(steps) - first
