"""Setup: commit the preprocessed columns of an AIR and make its verifying key.

The root of tree 0 fixes range tables, selectors and programs; a verifier takes it from the key and
never from a proof. Source: protocol section 15 items 1 and 2.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxstark import merkle
from jaxstark.air.definition import Air
from jaxstark.air.planning import check_params
from jaxstark.commit import Committed, commit_rows
from jaxstark.fields import m31
from jaxstark.implementation import choose
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams
from jaxstark.profile import get_profile
from jaxstark.shape import size_groups

DEFAULT_PROFILE = "stwo-2.2"


class Preprocessed(NamedTuple):
    """Tree 0, and its columns by name: uint32 ``[2^k]`` in row order, on the device."""

    committed: Committed
    columns: dict[str, Any]


@dataclass(frozen=True)
class _Folder:
    """Where compiled programs are kept, if anywhere. All are equal: so is what they compute."""

    path: str | os.PathLike[str] | None = field(default=None, compare=False)


def setup(
    air: Air,
    log_sizes: Sequence[int],
    params: ProofParams,
    *,
    profile: str = DEFAULT_PROFILE,
    implementation: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> VerifyingKey:
    """The verifying key of an AIR for these component sizes and parameters.

    Needs no trace and no secret: anyone who knows the AIR derives the same key, whatever the
    ``implementation``, which is chosen as in ``prove``. ``cache_dir``, with kernels: a folder that
    keeps the compiled program of tree 0, see ``jaxstark.compile``. Raises ``ValueError`` for sizes
    or parameters that cannot be proved.
    """
    suite = get_profile(profile).suite.name
    if suite != "blake2s":
        raise ValueError(f"profile {profile}: expected one with the blake2s suite, got {suite}")
    shape = air.shape(log_sizes)
    check_params(air, shape, params)
    chosen = choose(implementation, "host")
    fixed = preprocessed(air, tuple(log_sizes), params.log_blowup, chosen, cache_dir)
    root = merkle.root_bytes(fixed.committed.tree)
    return VerifyingKey(profile, air.name, tuple(log_sizes), root, params, air)


def preprocessed(
    air: Air,
    log_sizes: tuple[int, ...],
    log_blowup: int,
    implementation: str = "xla",
    cache_dir: str | os.PathLike[str] | None = None,
) -> Preprocessed:
    """The committed preprocessed columns; kept for the next proof of the same shape."""
    return _preprocessed(air, log_sizes, log_blowup, implementation, _Folder(cache_dir))


@lru_cache(maxsize=8)
def _preprocessed(
    air: Air, log_sizes: tuple[int, ...], log_blowup: int, implementation: str, folder: _Folder
) -> Preprocessed:
    sizes: dict[str, int] = {}
    for comp, k in zip(air.components, log_sizes, strict=True):
        sizes |= dict.fromkeys(comp.preprocessed_names, k)
    columns = {
        name: jnp.asarray(_generate(air, name, make, sizes[name]))
        for name, make in air.preprocessed
    }
    names = list(columns)
    groups = [
        jnp.stack([columns[names[i]] for i in group])
        for _, group in size_groups(tuple(sizes[name] for name in names))
    ]
    if groups and implementation == "mosaic_gpu":
        from jaxstark import resident

        committed = resident.commit_fixed(air, log_sizes, groups, log_blowup, folder.path)
        return Preprocessed(committed, columns)
    return Preprocessed(commit_rows(groups, log_blowup), columns)


def forget_preprocessed() -> None:
    """Drop the trees that ``preprocessed`` keeps, so that the next call commits again."""
    _preprocessed.cache_clear()


def _generate(air: Air, name: str, make: Any, log_size: int) -> np.ndarray:
    column = np.asarray(make(log_size))
    if (
        column.dtype != np.uint32
        or column.shape != (1 << log_size,)
        or not m31.is_canonical(column)
    ):
        raise ValueError(
            f"AIR {air.name}, preprocessed column {name}: expected {1 << log_size} uint32 words "
            f"below {m31.P}, got dtype {column.dtype} and shape {column.shape}"
        )
    return column
