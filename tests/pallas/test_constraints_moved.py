"""Masks one row back of many components: the right slots of the right columns, in few gathers."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from jaxstark import circle, composition  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.pallas.constraints.config import QuotientConfig  # noqa: E402
from jaxstark.pallas.constraints.moved import (  # noqa: E402
    Component,
    columns_back,
    one_row_back,
)
from jaxstark.shape import INTERACTION, TRACE  # noqa: E402
from jaxstark.vm.air import template  # noqa: E402

pytestmark = pytest.mark.floor

AIR = template(15)
# The widths of rows are 256 for 2^7 rows and 512 for more.
SIZES = (9, 8, 8, 7, 7, 8, 9, 8, 8)


def components() -> list[Component]:
    """All of the machine; the columns of a size and tree lie in two arrays."""
    shape = AIR.shape(SIZES, {name: [0, 0] for name, _ in AIR.public_values})
    rng, groups = np.random.default_rng(0), {}
    for k in set(SIZES):
        counts = [sum(other == k for other in columns) for columns in shape.columns[:3]]
        whole = [rng.integers(0, P, (n, 2 << k), np.uint32) for n in counts]
        groups[k] = tuple((words[:5], words[5:]) for words in whole)
    where = composition.locate(AIR, shape)
    return [
        Component(i, where[i], groups[k], np.asarray(circle.shifted_slots(k, k + 1, -1)))
        for i, k in enumerate(SIZES)
    ]


def on_device(one: Component) -> Component:
    """Its arrays as JAX's."""
    return one._replace(groups=jax.tree.map(jnp.asarray, one.groups))


@pytest.mark.parametrize("config", [QuotientConfig(), QuotientConfig(gather=True)])
def test_rows_are_those_of_the_columns_one_row_back(config):
    given = components()
    found = one_row_back(AIR, [on_device(one) for one in given], config=config)
    for one in given:
        table, places = found[one.index]
        wanted = columns_back(AIR, one.index, one.where)
        assert [tree for tree, _ in wanted][-4:] == [INTERACTION] * 4
        assert {tree for tree, _ in wanted[:-4]} <= {TRACE}
        lanes = config.lanes(len(one.back))
        order = one.back if config.gather else np.append(one.back[:lanes], one.back[-lanes:])
        for (tree, row), place in zip(wanted, places, strict=True):
            column = np.concatenate(one.groups[tree])[row]
            assert np.array_equal(table[place], column[order])


def test_components_of_all_sizes_share_arrays():
    """As each gather and each array is a launch."""
    given = components()
    arrays = [one[2:] for one in given]

    def function(arrays):
        made = [Component(*one[:2], *own) for one, own in zip(given, arrays, strict=True)]
        found = one_row_back(AIR, made)
        assert len({id(table) for table, _ in found.values()}) == 2
        return [table for table, _ in found.values()]

    of = jax.make_jaxpr(function)(arrays)
    count = str(of).count("= gather[")
    assert 0 < count <= 2 * 2 * len(set(SIZES))
