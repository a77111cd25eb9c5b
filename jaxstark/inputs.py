"""What a prover takes from a trace: arrays on the device, and the statement in a channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxstark import statement, transfer
from jaxstark.air.debugger import find_violation
from jaxstark.errors import ProvingError
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams
from jaxstark.profile import Profile, get_profile
from jaxstark.trace import ColumnTable, Trace


def tables(trace: Trace) -> list[Any]:
    """The columns of every component on the device: uint32 ``[columns, 2^k]`` in row order.

    For programs under ``jit``, which wherever a trace was are those that ``compile`` has made.
    """
    return transfer.committed(tables_of([trace])[0])


def tables_of(traces: Sequence[Trace]) -> list[list[Any]]:
    """``tables`` of several traces of one AIR, sent together, for programs compiled beforehand."""
    every = [trace.columns[comp.name] for trace in traces for comp in trace.air.components]
    whole = [isinstance(columns, ColumnTable) for columns in every]
    arrays = [[c.array] if one else list(c.values()) for c, one in zip(every, whole, strict=True)]
    sent = iter(transfer.to_device([array for some in arrays for array in some]))
    made = []
    for some, one in zip(arrays, whole, strict=True):
        there = list(islice(sent, len(some)))
        made.append(there[0] if one else jnp.stack(transfer.committed(there)))
    rows = iter(made)
    return [list(islice(rows, len(trace.air.components))) for trace in traces]


def read_by_constraints(trace: Trace) -> dict[str, np.ndarray]:
    """Public values that programs read, by name.

    Vectors of any length appear in public terms only: no stage is compiled for a length.
    """
    return {
        name: np.array(trace.public_values[name], np.uint32)
        for name, length in trace.air.public_values
        if length is not None
    }


def bound_channel(trace: Trace, key: VerifyingKey) -> Any:
    """The channel on the host after the statement and the root of tree 0."""
    channel = _configured(get_profile(key.profile), key.air, key.params, key.log_sizes)
    channel = statement.bind_public_values(channel, trace.public_values)
    return channel.mix_root(key.preprocessed_root)


@lru_cache(maxsize=64)
def _configured(profile: Profile, air: str, params: ProofParams, log_sizes: tuple[int, ...]) -> Any:
    """The channel after ``statement.bind_configuration``, kept: channels are values."""
    return statement.bind_configuration(profile.new_channel(), profile, air, params, log_sizes)


def explain(trace: Trace, fault: str) -> ProvingError:
    """The error for a trace whose proof failed a check: it names the row and the constraint."""
    finding = find_violation(trace.air, trace.host_columns(), trace.public_values)
    return ProvingError(
        str(finding) if finding else f"AIR {trace.air.name}: {fault}, yet no row shows it"
    )
