"""The prover: one explicit program that reads like the protocol.

Numbered steps follow protocol sections 8 to 12. Everything large stays on the device; the host sees
roots, sampled values and opened rows, and runs the Fiat-Shamir channel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark import deep, fri, merkle, statement
from jaxstark.air.debugger import find_violation
from jaxstark.air.definition import Air
from jaxstark.air.evaluate import composition_at, logup_total
from jaxstark.air.planning import check_params
from jaxstark.channel import draw_queries
from jaxstark.commit import commit_coefficients, commit_rows
from jaxstark.composition import composition_coefficients
from jaxstark.errors import ProvingError
from jaxstark.fields import qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.grind import grind
from jaxstark.interaction import interaction_columns
from jaxstark.key import VerifyingKey
from jaxstark.logup import encode_elements
from jaxstark.opening import open_rows, sample
from jaxstark.params import ProofParams, require_secure
from jaxstark.profile import get_profile
from jaxstark.proof import Proof, StarkProof
from jaxstark.setup import DEFAULT_PROFILE, preprocessed, setup
from jaxstark.shape import INTERACTION, TRACE, ProofShape, size_groups
from jaxstark.trace import ColumnTable, Trace

# stage name, seconds since the stage before ended
OnStage = Callable[[str, float], None]


def prove(
    trace: Trace,
    *,
    params: ProofParams | str = "stwo-96",
    key: VerifyingKey | None = None,
    profile: str = DEFAULT_PROFILE,
    insecure: bool = False,
    on_stage: OnStage | None = None,
) -> Proof:
    """Prove that a trace satisfies its AIR.

    Args:
      trace: columns, AIR and public values; its arrays are neither changed nor consumed.
      params: a ``ProofParams`` or the name of a preset.
      key: checked against the trace if given; ``setup`` makes the same one otherwise.
      profile: protocol profile.
      insecure: allow parameters below the security floor, for tests.
      on_stage: called after every stage with its name and seconds. Stages are then timed one by
        one, which costs their overlap.

    Returns a proof that ``verify`` accepts. Raises ``ValueError`` for misuse and ``ProvingError``
    if the trace breaks a constraint, naming row and constraint.
    """
    if not isinstance(trace, Trace):
        raise ValueError(f"trace: expected a jaxstark.Trace, got {type(trace).__name__}")
    params = ProofParams.preset(params, insecure=insecure) if isinstance(params, str) else params
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    check_params(trace.air, shape, params)
    require_secure(params, shape, None, insecure)
    expected = setup(trace.air, trace.log_sizes, params, profile=profile)
    if key is not None and key != expected:
        raise ValueError(f"key: expected the key of this trace, {expected}, got {key}")
    return _run(trace, shape, expected, _Clock(on_stage), check=True)


class _Clock:
    """Reports stages; blocks on a stage's arrays only if somebody listens."""

    def __init__(self, on_stage: OnStage | None) -> None:
        self.on_stage, self.start = on_stage, time.perf_counter()

    def done(self, stage: str, arrays: Any = None) -> None:
        if self.on_stage is not None:
            jax.block_until_ready(arrays)
            now = time.perf_counter()
            self.on_stage(stage, now - self.start)
            self.start = time.perf_counter()


def _run(trace: Trace, shape: ProofShape, key: VerifyingKey, clock: _Clock, check: bool) -> Proof:
    """The protocol. ``check=False`` is for compiling: a blank trace need not hold."""
    air, params, profile = trace.air, key.params, get_profile(key.profile)
    log_size, log_blowup = shape.log_size, params.log_blowup
    rules = air.structure
    # Vectors of any length appear in public terms only: no stage is compiled for a length.
    public = {
        name: np.array(trace.public_values[name], np.uint32)
        for name, length in air.public_values
        if length is not None
    }

    # 1. Bind the statement and commit the columns: tree 0 comes from the key's setup.
    channel = statement.bind_statement(
        profile.new_channel(), profile, air.name, params, key.log_sizes, trace.public_values
    )
    fixed = preprocessed(air, key.log_sizes, log_blowup)
    channel = channel.mix_root(key.preprocessed_root)
    tables = [_table(trace.columns[c.name]) for c in air.components]
    trees = [fixed.committed, commit_rows(_group(tables, shape.columns[TRACE]), log_blowup)]
    channel = channel.mix_root(merkle.root_bytes(trees[-1].tree))
    clock.done("commit trace", trees)

    # 2. LogUp: relation elements must be unknown until the trace is fixed.
    elements, claimed, encoded = {}, [], ()
    if air.has_lookups:
        elements, channel = statement.draw_relations(channel, air)
        encoded = encode_elements(air, elements)
        columns, claimed = _interaction(rules, tables, fixed.columns, public, encoded)
        if check and logup_total(air, trace.public_values, elements, claimed) != qm31.ZERO:
            raise _explain(trace, "the lookups do not balance")
        channel = statement.bind_claims(channel, claimed)
        trees.append(commit_rows(_group(columns, shape.columns[INTERACTION]), log_blowup))
        channel = channel.mix_root(merkle.root_bytes(trees[-1].tree))
        clock.done("commit interaction", trees[-1])

    # 3. One random combination of all constraints, divided by the vanishing polynomial.
    coefficient, channel = channel.draw_felt()
    halves = composition_coefficients(
        rules, shape, log_blowup, trees, coefficient, public, encoded, claimed
    )
    clock.done("compose", halves)
    trees.append(commit_coefficients([halves], log_blowup))
    channel = channel.mix_root(merkle.root_bytes(trees[-1].tree))
    clock.done("commit composition", trees[-1])

    # 4. Open every column out of the domain, at a point drawn after all commitments.
    point, channel = statement.draw_oods_point(channel)
    sampled = sample(trees, shape, point)
    combined = composition_at(
        air, shape.log_sizes, sampled[:-1], trace.public_values, elements, claimed, coefficient
    )
    if check and not statement.composition_matches(sampled[-1], combined, point, log_size):
        raise _explain(trace, "the constraints do not hold")
    channel = channel.mix_felts([v for tree in sampled for column in tree for v in column])
    clock.done("evaluate out of domain")

    # 5. DEEP quotients tie the samples to the columns; FRI shows that they are low-degree.
    batching, channel = channel.draw_felt()
    quotients = deep.quotients(
        [t.evaluations for t in trees],
        shape.all_columns,
        shape.all_offsets,
        sampled,
        point,
        batching,
        log_size,
        log_blowup,
    )
    clock.done("DEEP quotients", quotients)
    layers, channel = fri.commit(channel, quotients, log_size, params, check=check)
    clock.done("FRI", layers)

    # 6. Proof of work, then the queries: no choice is left to the prover after them.
    bits = params.pow_bits if check else 0
    nonce = grind(channel.pow_prefix(bits), bits)
    channel = channel.mix_u64(nonce)
    clock.done("proof of work")
    drawn, channel = draw_queries(channel, log_size + log_blowup, params.n_queries)
    positions = np.unique(drawn)
    queried, witnesses = open_rows(trees, shape, positions, params)
    stark = StarkProof(
        params=params,
        commitments=tuple(merkle.root_bytes(t.tree) for t in trees),
        sampled_values=sampled,
        decommitments=witnesses,
        queried_values=queried,
        proof_of_work=nonce,
        fri_layers=fri.open(layers, positions, params),
        last_layer=tuple(layers.last_layer),
    )
    clock.done("open")
    return Proof(key.profile, air.name, key.log_sizes, tuple(claimed), stark)


def _table(columns: Any) -> Any:
    """The columns of a component on the device: uint32 ``[columns, 2^k]``."""
    if isinstance(columns, ColumnTable):
        return jnp.asarray(columns.array)
    return jnp.stack(list(columns.values()))


def _group(tables: Sequence[Any], columns: tuple[int, ...]) -> list[Any]:
    """Tables ``[columns, 2^k]`` in component order to size groups, in ascending size."""
    out = []
    for k, _ in size_groups(columns):
        same = [t for t in tables if t.shape[0] and t.shape[1] == 1 << k]
        out.append(same[0] if len(same) == 1 else jnp.concatenate(same))
    return out


def _interaction(
    air: Air, tables: Sequence[Any], fixed: Any, public: Any, encoded: Any
) -> tuple[list[Any], list[QM31]]:
    """Interaction columns by component and the claimed sums, on the host."""
    columns, sums = [], []
    for index, comp in enumerate(air.components):
        if air.info.components[index].n_entries:
            names = comp.preprocessed_names
            rows = tables[index].shape[1]
            read = np.zeros((0, rows), np.uint32)
            if names:
                read = jnp.stack([fixed[n] for n in names])
            table, claimed = interaction_columns(air, index, tables[index], read, public, encoded)
            columns.append(table)
            sums.append(claimed)
    return columns, [qm31.from_ints(np.asarray(s)) for s in sums]


def _explain(trace: Trace, fault: str) -> ProvingError:
    finding = find_violation(trace.air, trace.host_columns(), trace.public_values)
    return ProvingError(
        str(finding) if finding else f"AIR {trace.air.name}: {fault}, yet no row shows it"
    )


class Prover:
    """A prover whose programs are compiled: call it with traces of one AIR and one size.

    Attributes:
      key: the verifying key of its proofs.
    """

    def __init__(self, air: Air, shape: ProofShape, key: VerifyingKey) -> None:
        self.air, self.shape, self.key = air, shape, key

    def __call__(self, trace: Trace, *, on_stage: OnStage | None = None) -> Proof:
        """Prove a trace; errors as in ``prove``."""
        if trace.air != self.air or trace.log_sizes != self.key.log_sizes:
            raise ValueError(
                f"trace: expected AIR {self.air.name} with log sizes {self.key.log_sizes}, got "
                f"{trace.air.name} with {trace.log_sizes}"
            )
        return _run(trace, self.shape, self.key, _Clock(on_stage), check=True)


def compile_prover(
    shape: ProofShape,
    params: ProofParams | str = "stwo-96",
    *,
    public_values: Any = None,
    profile: str = DEFAULT_PROFILE,
    insecure: bool = False,
    on_stage: OnStage | None = None,
) -> Prover:
    """Compile all programs of a shape, as made by ``air.shape``, ahead of the first proof.

    Runs every stage once on zeros, without proof of work; ``on_stage`` shows the progress.
    ``public_values`` matters only for AIRs with public vectors of any length. ``prove`` uses the
    same compiled programs.
    """
    params = ProofParams.preset(params, insecure=insecure) if isinstance(params, str) else params
    air = shape.air
    if air is None:
        raise ValueError("shape: expected one made by air.shape(...), got one without its AIR")
    check_params(air, shape, params)
    require_secure(params, shape, None, insecure)
    key = setup(air, shape.log_sizes, params, profile=profile)
    lengths = {n: 1 if length is None else length for n, length in air.public_values}
    blank = Trace(
        air,
        {
            c.name: np.zeros((len(c.columns), 1 << k), np.uint32)
            for c, k in zip(air.components, shape.log_sizes, strict=True)
        },
        public_values or {name: (0,) * length for name, length in lengths.items()},
    )
    _run(blank, shape, key, _Clock(on_stage or (lambda stage, seconds: None)), check=False)
    return Prover(air, shape, key)
