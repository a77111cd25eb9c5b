"""The debugger names the first row, constraint or tuple that breaks a trace."""

from __future__ import annotations

import pytest

from jaxstark.air import find_violation
from jaxstark.air.planning import check_public_values
from jaxstark.air.registry import SHIPPED


def _example(name):
    air, _, columns, public = SHIPPED[name].example(6, 1)
    return air, columns, check_public_values(air, public)


@pytest.mark.parametrize("name", SHIPPED)
def test_example_traces_are_clean(name):
    assert find_violation(*_example(name)) is None


@pytest.mark.parametrize(
    ("name", "component", "column", "row", "rule", "found_row"),
    [
        ("wide_fibonacci", "fibonacci", "c9", 7, "c9", 7),
        ("plonk", "gates", "a_val", 3, "gate", 3),
        ("legacy26", "steps", "is_add", 11, "C3", 11),
        ("range_sum", "sum", "total", 9, "step", 9),
        ("range_sum", "sum", "value", 0, "start", 0),
        ("range_sum", "table", "multiplicity", 2, "range", None),
        ("state_machine", "increment_y", "y", 4, "state", None),
        ("plonk", "gates", "mult", 5, "wire", None),
    ],
)
def test_t16_a_changed_cell_is_named(name, component, column, row, rule, found_row):
    air, columns, public = _example(name)
    changed = columns[component][column].copy()
    changed[row] += 2
    columns = {**columns, component: {**columns[component], column: changed}}
    finding = find_violation(air, columns, public)
    assert finding is not None and finding.rule == rule
    if found_row is not None:
        assert finding.row == found_row and f"row {found_row}" in str(finding)


def test_the_first_row_wins_over_the_first_constraint():
    air, columns, public = _example("legacy26")
    late, early = columns["steps"]["pc_curr"].copy(), columns["steps"]["dst_idx"].copy()
    late[9] += 1
    early[2] += 1
    columns = {"steps": {**columns["steps"], "pc_curr": late, "dst_idx": early}}
    finding = find_violation(air, columns, public)
    assert finding is not None and (finding.row, finding.rule) == (2, "C21")


def test_t18_the_row_before_row_0_is_the_last_row():
    from jaxstark.air import Air, component

    rule = component("a", name="step")(lambda row, air: air.constrain(row.a - row.prev.a - 1))
    import numpy as np

    finding = find_violation(Air("t", (rule,)), {"step": {"a": np.arange(8, dtype=np.uint32)}}, {})
    assert finding is not None and finding.row == 0


def test_a_wrong_public_value_unbalances_its_tuple():
    air, columns, public = _example("state_machine")
    public = {**public, "final": (public["final"][0], public["final"][1] + 1)}
    finding = find_violation(air, columns, public)
    assert finding is not None and finding.rule == "state"
    assert "net multiplicity" in str(finding)
