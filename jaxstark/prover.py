"""The prover: one explicit program that reads like the protocol.

Numbered steps follow protocol sections 8 to 12. Everything large stays on the device; the host sees
roots, sampled values and opened rows, and runs the Fiat-Shamir channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxstark import deep, fri, merkle, statement
from jaxstark.air.definition import Air
from jaxstark.air.evaluate import composition_at
from jaxstark.air.planning import check_params
from jaxstark.air.public_terms import logup_total
from jaxstark.channel import draw_queries
from jaxstark.commit import by_size, commit_coefficients, commit_rows
from jaxstark.composition import composition_coefficients
from jaxstark.fields import qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.grind import grind
from jaxstark.implementation import STAGES, Clock, OnStage, choose, provenance
from jaxstark.inputs import bound_channel, explain, read_by_constraints
from jaxstark.inputs import tables as device_tables
from jaxstark.interaction import interaction_columns
from jaxstark.key import VerifyingKey
from jaxstark.logup import encode_elements
from jaxstark.opening import open_rows, sample
from jaxstark.params import ProofParams, require_secure
from jaxstark.proof import Proof, StarkProof
from jaxstark.setup import DEFAULT_PROFILE, preprocessed, setup
from jaxstark.shape import INTERACTION, TRACE, ProofShape
from jaxstark.trace import Trace


def prove(
    trace: Trace,
    *,
    params: ProofParams | str = "stwo-96",
    key: VerifyingKey | None = None,
    profile: str = DEFAULT_PROFILE,
    insecure: bool = False,
    implementation: str | None = None,
    transcript: str = "host",
    keep_evaluations: bool = True,
    on_stage: OnStage | None = None,
) -> Proof:
    """Prove that a trace satisfies its AIR.

    Args:
      trace: columns, AIR and public values; its arrays are neither changed nor consumed.
      params: a ``ProofParams`` or the name of a preset.
      key: checked against the trace if given; ``setup`` makes the same one otherwise.
      profile: protocol profile.
      insecure: allow parameters below the security floor, for tests.
      implementation: ``"mosaic_gpu"``, ``"xla"``, or None for the first one that the default
        device runs.
      transcript: who runs the Fiat-Shamir channel: the ``"host"``, stage by stage, or, with
        kernels, the ``"device"``, where the proof is one program or two. The bytes are the same.
      keep_evaluations: False takes, with kernels, more time and for all but narrow tables less
        memory: the values of the columns on the FRI domain are made again where they are read, a
        few columns at a time. The bytes are the same; ``jaxstark.plan`` tells the memory of both.
      on_stage: called after every stage with its name and seconds, which add up to those of the
        proof, but for the import of JAX in a first one. Stages are then timed one by one, which
        costs their overlap. Before those of the protocol come "set-up", in which a first proof
        starts the device and commits to tree 0, and with kernels, in the first proof of a shape,
        "compile"; XLA compiles each stage when it first runs.

    Returns a proof that ``verify`` accepts. Raises ``ValueError`` for misuse and ``ProvingError``
    if the trace breaks a constraint, naming row and constraint. With kernels, ``ValueError`` also
    says what would fit if the device has too little memory, and ``MemoryError`` if it runs out.
    """
    clock = Clock(on_stage)
    if not isinstance(trace, Trace):
        raise ValueError(f"trace: expected a jaxstark.Trace, got {type(trace).__name__}")
    params = ProofParams.preset(params, insecure=insecure) if isinstance(params, str) else params
    shape = trace.air.shape(trace.log_sizes, trace.public_values)
    check_params(trace.air, shape, params)
    require_secure(params, shape, None, insecure)
    chosen = choose(implementation, transcript, keep_evaluations)
    expected = setup(trace.air, trace.log_sizes, params, profile=profile, implementation=chosen)
    if key is not None and key != expected:
        raise ValueError(f"key: expected the key of this trace, {expected}, got {key}")
    clock.done("set-up")
    if chosen == "mosaic_gpu":
        from jaxstark import resident

        return resident.prove(
            *(trace, shape, expected, transcript, clock),
            check=True,
            keep_evaluations=keep_evaluations,
        )
    return run(trace, shape, expected, clock, check=True)


def run(trace: Trace, shape: ProofShape, key: VerifyingKey, clock: Clock, check: bool) -> Proof:
    """The protocol under XLA, stage by stage. ``check=False``: a blank trace need not hold."""
    air, params = trace.air, key.params
    log_size, log_blowup = shape.log_size, params.log_blowup
    rules = air.structure
    public = read_by_constraints(trace)

    # 1. Bind the statement and commit the columns: tree 0 comes from the key's setup.
    channel = bound_channel(trace, key)
    fixed = preprocessed(air, key.log_sizes, log_blowup)
    tables = device_tables(trace)
    trees = [fixed.committed, commit_rows(by_size(tables, shape.columns[TRACE]), log_blowup)]
    channel = channel.mix_root(merkle.root_bytes(trees[-1].tree))
    clock.done("commit trace", trees)

    # 2. LogUp: relation elements must be unknown until the trace is fixed.
    elements, claimed, encoded = {}, [], ()
    if air.has_lookups:
        elements, channel = statement.draw_relations(channel, air)
        encoded = encode_elements(air, elements)
        columns, claimed = _interaction(rules, tables, fixed.columns, public, encoded)
        if check and logup_total(air, trace.public_values, elements, claimed) != qm31.ZERO:
            raise explain(trace, "the lookups do not balance")
        channel = statement.bind_claims(channel, claimed)
        trees.append(commit_rows(by_size(columns, shape.columns[INTERACTION]), log_blowup))
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
        raise explain(trace, "the constraints do not hold")
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
    ran = {stage: "xla" for stage in STAGES if air.has_lookups or stage != "commit interaction"}
    if not params.pow_bits:
        ran["proof of work"] = "none"
    made = provenance("host", ran)
    return Proof(key.profile, air.name, key.log_sizes, tuple(claimed), stark, made)


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
