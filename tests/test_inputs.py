"""The statement that a prover binds is the one that a verifier binds."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("jax")

from jaxstark import statement  # noqa: E402
from jaxstark.inputs import bound_channel  # noqa: E402
from jaxstark.profile import get_profile  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.golden.cases import golden  # noqa: E402

CASE = golden("range_sum")
PUBLIC = CASE.public


def trace_with(public) -> Trace:
    trace = object.__new__(Trace)  # of which the statement is all that is read
    object.__setattr__(trace, "public_values", public)
    return trace


def test_it_is_bound_in_one_order_and_nothing_is_kept_of_another():
    """The configuration is absorbed once for all proofs with a key."""
    key = CASE.key
    others = [
        replace(key, air=key.air + "x"),
        replace(key, log_sizes=tuple(k + 1 for k in key.log_sizes)),
        replace(key, params=replace(key.params, n_queries=key.params.n_queries + 1)),
        replace(key, preprocessed_root=bytes(32)),
    ]
    changed = {name: [(w + 1) % 97 for w in words] for name, words in PUBLIC.items()}
    seen = set()
    for _ in range(2):
        for known, public in [*((k, PUBLIC) for k in (key, *others)), (key, changed)]:
            profile = get_profile(known.profile)
            want = statement.bind_statement(
                profile.new_channel(), profile, known.air, known.params, known.log_sizes, public
            ).mix_root(known.preprocessed_root)
            got = bound_channel(trace_with(public), known)
            assert got == want and got.n_draws == 0
            seen.add(got.digest)
    assert len(seen) == 6
