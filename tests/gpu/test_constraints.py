"""T32, T33: constraints, lookups and the prover's own check on the GPU."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from jaxstark import composition  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.range_sum import range_sum  # noqa: E402
from jaxstark.air.state_machine import state_machine  # noqa: E402
from jaxstark.air.wide_fibonacci import wide_fibonacci  # noqa: E402
from jaxstark.interaction import interaction_columns  # noqa: E402
from jaxstark.pallas.constraints import api  # noqa: E402
from jaxstark.transcript import HostHashes  # noqa: E402
from tests.gpu._reference import assert_equal, cpu  # noqa: E402
from tests.pallas import test_constraints as cases  # noqa: E402
from tests.pallas import test_constraints_point as points  # noqa: E402

pytestmark = pytest.mark.gpu
SLOW = pytest.mark.slow
VM_SIZES = (9, 8, 8, 8, 8, 8, 8, 8, 8)
# AIR, component, log sizes; words are often 0 and p.
COMPONENTS = [
    pytest.param(legacy26(), 0, (8,), id="legacy26"),
    pytest.param(legacy26(), 0, (14,), id="legacy26 2^14"),
    pytest.param(range_sum(7), 0, (9, 7), id="range_sum"),
    pytest.param(cases.corner(), 1, (7, 8), id="corner"),
    pytest.param(state_machine(), 1, (12, 11), id="state_machine"),
    pytest.param(cases.corner(), 1, (4, 4), id="corner 2^4"),
    pytest.param(range_sum(4), 0, (6, 4), id="range_sum 2^6"),
    pytest.param(wide_fibonacci(26), 0, (10,), id="wide_fibonacci", marks=SLOW),
    *(
        pytest.param(cases.VM, i, VM_SIZES, id=f"obelysk {name}", marks=SLOW if i else ())
        for i, name in enumerate(cases.VM_NAMES)
    ),
]


def on_device(arguments: tuple) -> tuple:
    """Static arguments as they are, arrays on the GPU."""
    return jax.tree.map(lambda a: jnp.asarray(a) if isinstance(a, np.ndarray) else a, arguments)


@pytest.mark.parametrize(("air", "index", "log_sizes"), COMPONENTS)
def test_t32_quotients_are_those_of_xla(air, index, log_sizes):
    arguments = cases.quotient_case(air, index, log_sizes)
    with cpu():
        want = np.asarray(composition.component_quotient(*arguments))
    static, arrays = arguments[:3], on_device(arguments[3:])
    assert_equal(api.component_quotient(*static, *arrays), want)


@pytest.mark.parametrize(("air", "index", "log_sizes"), COMPONENTS)
def test_t32_interaction_columns_are_those_of_xla(air, index, log_sizes):
    if not air.info.components[index].n_entries:
        pytest.skip("a component without lookups")
    arguments = cases.interaction_case(air, index, log_sizes[index])
    with cpu():
        want = [np.asarray(a) for a in interaction_columns(*arguments)]
    pieces, claimed = api.interaction(*arguments[:2], *on_device(arguments[2:]))
    assert_equal(np.concatenate(pieces), want[0])
    assert_equal(claimed, want[1])


@pytest.mark.parametrize("name", points.AIRS)
def test_t32_the_check_at_the_point_is_that_of_the_verifier(name):
    case = points.random_case(*points.AIRS[name])
    arguments = points.arguments(case)
    got, _ = api.defect(*arguments[:2], *on_device(arguments[2:]))
    assert np.asarray(got).tolist() == points.expected(case) != [0, 0, 0, 0]


@pytest.mark.parametrize("name", points.AIRS)
def test_t32_the_check_and_a_step_of_the_channel_share_a_launch(name):
    case = points.random_case(*points.AIRS[name])
    arguments = points.arguments(case)
    mixed = np.arange(8, dtype=np.uint32), arguments[2].reshape(-1)
    given = on_device((*arguments[2:], mixed))
    for _ in range(4):
        got, step = api.defect(*arguments[:2], *given)
        assert np.asarray(got).tolist() == points.expected(case)
        digest, drawn = HostHashes().mix_and_draw(mixed[0], mixed[1:])
        assert_equal(step.digest, digest)
        assert_equal(step.drawn, drawn)


@pytest.mark.parametrize("name", ["legacy26", "range_sum", "obelysk"])
def test_t32_the_check_at_the_point_of_a_proof_passes(name):
    arguments = points.arguments(points.honest_case(name))
    got, _ = api.defect(*arguments[:2], *on_device(arguments[2:]))
    assert np.asarray(got).tolist() == [0, 0, 0, 0]
