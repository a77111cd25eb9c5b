"""A faulty AIR is refused when it is defined, with what was expected and what was found."""

from __future__ import annotations

import numpy as np
import pytest

from jaxstark.air import Air, Relation, component, first_row, row_index
from jaxstark.air.inspector import inspect_air
from jaxstark.air.planning import check_params, check_public_values
from jaxstark.air.registry import SHIPPED, resolve
from jaxstark.fields.m31 import P
from jaxstark.params import ProofParams

PAIR = Relation("pair", 2)


def _air(evaluate, columns="a b", **options):
    comp = component(
        columns, **{k: v for k, v in options.items() if k in ("unused", "preprocessed", "log_size")}
    )(evaluate)
    rest = {k: v for k, v in options.items() if k in ("relations", "public_values", "public_terms")}
    return Air("t", (comp,), **rest)


def test_t23_a_degree_above_three_is_an_error_at_definition():
    def quartic(row, air):
        air.constrain(row.a * row.a * row.b * row.b, "quartic")

    with pytest.raises(ValueError, match="quartic: expected degree at most 3, got 4"):
        _air(quartic)

    def cubic(row, air):
        air.constrain(row.a * row.a * row.b, "cubic")

    assert _air(cubic).info.components[0].constraints == (("cubic", 3),)


def test_t23_the_degree_of_a_lookup_batch_counts_both_denominators():
    def wide(row, air):
        air.lookup(PAIR, [row.a * row.a, row.b])
        air.lookup(PAIR, [row.a, row.b])

    with pytest.raises(ValueError, match="logup batch 0: expected degree at most 3, got 4"):
        _air(wide, relations=(PAIR,))


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (lambda row, air: air.constrain(row.prev.prev.a), "row.prev.prev"),
        (lambda row, air: air.constrain(row.next.a), "row.next"),
        (lambda row, air: air.constrain(row.zz), "expected one of a, b, got 'zz'"),
        (lambda row, air: air.constrain(row.a), r"got \['b'\] in none"),
        (lambda row, air: air.constrain(row.a + row.b * 1.5), "got 1.5"),
        (lambda row, air: air.lookup(PAIR, [row.a, row.b]), "expected a relation of the AIR"),
        (lambda row, air: air.public(PAIR, [row.a, row.b]), "expected in public_terms"),
    ],
)
def test_faulty_functions_are_refused(body, match):
    with pytest.raises(ValueError, match=match):
        _air(body)


def test_a_lookup_of_another_arity_is_refused():
    with pytest.raises(ValueError, match="expected 2 values for relation pair, got 1"):
        _air(lambda row, air: air.lookup(PAIR, [row.a + row.b]), relations=(PAIR,))


def test_t22_unused_columns_need_a_waiver_and_waivers_an_unused_column():
    def only_a(row, air):
        air.constrain(row.a)

    assert _air(only_a, unused=("b",)).info.components[0].unused == ("b",)
    with pytest.raises(ValueError, match="waivers for unused columns only"):
        _air(only_a, unused=("a", "b"))


def test_masks_follow_the_rows_that_are_read():
    air = _air(lambda row, air: air.constrain(row.a - row.prev.b))
    assert air.info.components[0].offsets == ((0,), (-1, 0))


def test_an_unused_relation_is_refused():
    with pytest.raises(ValueError, match="expected every relation in a lookup"):
        _air(lambda row, air: air.constrain(row.a + row.b), relations=(PAIR,))


def test_preprocessed_columns_have_the_size_of_every_reader():
    def rule(row, air):
        air.constrain(row.sel * row.a)

    one = component("a", preprocessed={"sel": first_row}, name="one")(rule)
    two = component("a", preprocessed={"sel": first_row}, name="two")(rule)
    air = Air("t", (one, two))
    assert air.shape((4, 4)).columns[0] == (4,)
    with pytest.raises(ValueError, match=r"column sel .* got 2\^4 rows in one and 2\^5 in two"):
        air.shape((4, 5))


def test_tree_0_is_empty_or_of_full_height():
    one = component("a", name="one")(lambda row, air: air.constrain(row.a))
    two = component("a", preprocessed={"sel": first_row}, name="two")(
        lambda row, air: air.constrain(row.sel * row.a)
    )
    air = Air("t", (one, two))
    assert air.shape((4, 5)).columns[0] == (5,)
    with pytest.raises(ValueError, match=r"tree 0 empty or .* got .* 2\^4"):
        air.shape((5, 4))


def test_the_largest_component_has_columns_and_a_lookup():
    def use(row, air):
        air.lookup(PAIR, [row.a, row.a])
        air.provide(PAIR, [row.a, row.a])

    small = component("a", name="small")(use)
    plain = component("a", name="plain")(lambda row, air: air.constrain(row.a))
    air = Air("t", (small, plain), (PAIR,))
    air.shape((5, 5))
    with pytest.raises(ValueError, match="a lookup in the largest component"):
        air.shape((4, 5))

    empty = component("", preprocessed={"index": row_index}, name="empty")(
        lambda row, air: air.constrain(row.index * 0)
    )
    with pytest.raises(ValueError, match="a trace column in the largest component"):
        Air("t", (plain, empty)).shape((4, 5))


def test_t20_fewer_lookups_than_the_characteristic():
    def many(row, air):
        for _ in range(4):
            air.lookup(PAIR, [row.a, row.a])

    air = Air("t", (component("a", name="many")(many),), (PAIR,))
    assert air.shape((28,)).n_lookups == 1 << 30
    with pytest.raises(ValueError, match="expected fewer than .* lookups"):
        air.shape((29,))


def test_sizes_are_checked_against_the_parameters():
    air = resolve("wide_fibonacci/5")
    params = ProofParams(10, 2, 3, fold_step=4, log_last_layer=2)
    check_params(air, air.shape((6,)), params)
    with pytest.raises(ValueError, match=r"expected at least 2\^6 rows .* got 2\^5"):
        check_params(air, air.shape((5,)), params)
    with pytest.raises(ValueError, match="log blow-up at most 30, got 29"):
        check_params(air, air.shape((29,)), params)


@pytest.mark.parametrize("sizes", [(), (4, 4), (0,), (30,), (4.0,), (True,)])
def test_log_sizes_are_one_int_in_range_per_component(sizes):
    with pytest.raises(ValueError, match="log size"):
        resolve("legacy26").shape(sizes)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"start": 1},
        {"start": 1, "result": P},
        {"start": -1, "result": 2},
        {"start": 1.5, "result": 2},
        {"start": [1, 2], "result": 2},
        {"start": "x", "result": 1},
        {"start": 1, "result": 2, "more": 3},
    ],
)
def test_t25_public_values_are_checked(values):
    air = resolve("range_sum/8")
    assert check_public_values(air, {"start": 1, "result": np.array([5], np.uint32)}) == {
        "start": (1,),
        "result": (5,),
    }
    with pytest.raises(ValueError, match="public value"):
        check_public_values(air, values)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_airs_resolve_to_themselves_and_compare_by_value(name):
    air, sizes, _, _ = SHIPPED[name].example(7, 0)
    assert resolve(air.name) is air
    assert inspect_air(air) == air.info
    assert hash(air) == hash(resolve(air.name))
    assert air.shape(sizes).log_size == 7


@pytest.mark.parametrize(
    "air_id",
    [
        "",
        "nope",
        "wide_fibonacci",
        "wide_fibonacci/x",
        "legacy26/3",
        "wide_fibonacci/2",
        "range_sum/99",
        "plonk/fibonacci/0",
    ],
)
def test_unknown_air_ids_are_refused(air_id):
    with pytest.raises(ValueError):
        resolve(air_id)


def test_a_template_has_the_same_rules():
    def product(row, air):
        air.constrain(row.a * row.b, "product")

    def square(row, air):
        air.constrain(row.a * row.a - row.b, "square")

    one, other = (component("a b", name="rows")(rule) for rule in (product, square))
    template = Air("template", (one,))
    family = Air("family", (one,), template=template)
    assert family.structure is template and template.structure is template
    assert family == Air("family", (one,)), "the template is no part of the value"
    with pytest.raises(ValueError, match="AIR t: expected a template .* got template"):
        Air("t", (other,), template=template)


def test_constraints_cannot_read_public_vectors_of_any_length():
    def rule(row, air):
        air.constrain(row.a - row.b * air.public_values.words[0], "rule")

    assert _air(rule, public_values={"words": 2}).public_values == (("words", 2),)
    with pytest.raises(ValueError, match="public value: expected one of none, got 'words'"):
        _air(rule, public_values={"words": None})
