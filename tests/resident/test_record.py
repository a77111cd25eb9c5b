"""The prover's own checks of its messages, and how messages become a proof."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from jaxstark.air.evaluate import relation_elements  # noqa: E402
from jaxstark.air.legacy26 import legacy26  # noqa: E402
from jaxstark.air.public_terms import logup_total, public_entries  # noqa: E402
from jaxstark.air.state_machine import state_machine  # noqa: E402
from jaxstark.fields import qm31  # noqa: E402
from jaxstark.fields.m31 import P  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.resident.protocol import Messages, pack, unpacker  # noqa: E402
from jaxstark.resident.record import fault_of, felts, nested  # noqa: E402
from tests.golden.cases import golden  # noqa: E402

PARAMS = ProofParams(0, 1, 3, 2, 1)
WORDS = partial(np.random.default_rng(0).integers, 0, P, dtype=np.uint32)


def honest(log_last: int = 3, **changes) -> Messages:
    """Messages of an AIR without lookups whose checks pass; the last layer has 4 coefficients."""
    last = np.zeros((1 << log_last, 4), np.uint32)
    last[: 1 << PARAMS.log_last_layer] = WORDS((1 << PARAMS.log_last_layer, 4))
    fields: dict[str, Any] = dict.fromkeys(Messages._fields)
    fields |= {"drawn": (), "claims": np.zeros((0, 4), np.uint32), "last": last}
    fields |= {"defect": np.zeros(4, np.uint32)}
    return Messages(**(fields | changes))


def word(shape: tuple[int, ...], *place: int) -> np.ndarray:
    out = np.zeros(shape, np.uint32)
    out[place] = 1
    return out


def test_honest_messages_have_no_fault():
    assert fault_of(legacy26(), PARAMS, ([], []), honest()) is None
    assert fault_of(legacy26(), PARAMS, ([], []), honest(log_last=PARAMS.log_last_layer)) is None


@pytest.mark.parametrize("coordinate", range(4))
def test_a_defect_is_named(coordinate):
    messages = honest(defect=word((4,), coordinate))
    assert fault_of(legacy26(), PARAMS, ([], []), messages) == "the constraints do not hold"


@pytest.mark.parametrize("place", [(2, 0), (5, 3), (7, 1)])
def test_a_last_layer_of_too_high_degree_is_named(place):
    fault = fault_of(legacy26(), PARAMS, ([], []), honest(last=word((8, 4), *place)))
    assert fault is not None
    assert "not low degree: its last FRI layer has more than 2^1 coefficients" in fault


def balanced() -> Messages:
    """Messages of an AIR with lookups whose claims make up for the public terms."""
    air, public = state_machine(), golden("state_machine").public
    drawn = tuple(WORDS((2, 4)) for _ in air.relations)
    elements = {
        relation: relation_elements(z, alpha, relation.arity)
        for relation, pair in zip(air.relations, drawn, strict=True)
        for z, alpha in [felts(pair.T)]
    }
    claims = WORDS((sum(c.n_entries > 0 for c in air.info.components), 4))
    total = logup_total(air, public, elements, felts(claims.T))
    claims[0] = qm31.sub(felts(claims.T)[0], total)
    return honest(drawn=drawn, claims=claims)


def test_lookups_that_do_not_balance_are_named():
    air, public, messages = state_machine(), golden("state_machine").public, balanced()
    terms = public_entries(air, public)
    assert fault_of(air, PARAMS, terms, messages) is None
    for index in np.ndindex(*messages.claims.shape):
        claims = messages.claims.copy()
        claims[index] = (int(claims[index]) + 1) % P
        fault = fault_of(air, PARAMS, terms, messages._replace(claims=claims))
        assert fault == "the lookups do not balance"
    drawn = (messages.drawn[0] ^ np.uint32(1), *messages.drawn[1:])
    fault = fault_of(air, PARAMS, terms, messages._replace(drawn=drawn))
    assert fault == "the lookups do not balance"
    other = public_entries(air, {name: [w + 1 for w in words] for name, words in public.items()})
    assert fault_of(air, PARAMS, other, messages) == "the lookups do not balance"


def test_messages_pass_through_one_vector():
    """Every leaf comes back at its place, empty ones too."""
    messages = Messages(
        roots=WORDS((3, 8)),
        drawn=(WORDS((2, 4)), WORDS((2, 4))),
        claims=np.zeros((0, 4), np.uint32),
        defect=WORDS(4),
        samples=WORDS((5, 4)),
        layers=WORDS((2, 8)),
        last=WORDS((2, 4)),
        nonce=WORDS(2),
        positions=WORDS(7),
        rows=[None, ([WORDS((3, 7)), WORDS((1, 7))], WORDS((6, 8, 7)))],
        cosets=[(WORDS((4, 7, 4)), WORDS((4, 8, 7))), (WORDS((4, 7, 2)), WORDS((0, 8, 7)))],
    )
    like = jax.eval_shape(lambda m: m, messages)
    words = np.asarray(pack(jax.tree.map(jnp.asarray, messages)))
    assert words.dtype == np.uint32 and words.ndim == 1
    back = unpacker(like)(words)
    assert jax.tree.structure(back) == jax.tree.structure(messages)
    for got, want in zip(jax.tree.leaves(back), jax.tree.leaves(messages), strict=True):
        assert got.shape == want.shape and np.array_equal(got, want)


def test_samples_are_nested_by_tree_and_column():
    shape = golden("range_sum").air.shape(golden("range_sum").key.log_sizes)
    samples = WORDS((shape.n_samples, 4))
    trees = nested(shape, samples)
    assert [[len(c) for c in t] for t in trees] == [[len(m) for m in t] for t in shape.all_offsets]
    assert [list(v) for t in trees for c in t for v in c] == samples.tolist()
