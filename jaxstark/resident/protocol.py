"""The proof as one pure function of device arrays: numbered steps of protocol sections 8 to 12.

The transcript decides where challenges come from. On the host, the function runs as it stands:
every stage is one program, see ``ahead``, and what it sends is fetched. No operation of JAX stands
between stages, for each would be one more program. On the device, the function is traced whole and
the proof is one program, but for step 1 of some. The messages, hence the bytes, are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxstark.commit import Committed
from jaxstark.hash.blake2s import DIGEST_WORDS
from jaxstark.merkle import MerkleTree
from jaxstark.pallas.hashes import DeviceHashes
from jaxstark.resident import low_degree, openings, stages
from jaxstark.resident.commitments import root_of
from jaxstark.resident.program import Program, Tables
from jaxstark.shape import PREPROCESSED
from jaxstark.transcript import Transcript

Array = Any
# stage name, arrays that end it
Done = Callable[[str, Any], None]
# what a stage makes, given the stage and its arguments
Run = Callable[..., Any]


class Inputs(NamedTuple):
    """What a proof is made from; a pytree.

    Attributes:
      rows: per component, trace columns ``[columns, 2^k]`` in row order.
      fixed: the committed preprocessed columns.
      fixed_rows: the same columns by name, in row order.
      public: public values that constraints read, by name.
    """

    rows: Sequence[Array]
    fixed: Committed
    fixed_rows: dict[str, Array]
    public: dict[str, Array]


class Messages(NamedTuple):
    """All that leaves the device: what the prover sends, and the challenges for its own check.

    uint32. ``roots`` ``[trees, 8]`` without tree 0; ``drawn`` per relation ``[2, 4]``; ``claims``
    ``[n, 4]``; ``defect`` ``[4]``, 0 if the samples agree; ``samples`` ``[n, 4]``; ``layers``
    ``[layers, 8]`` roots; ``last`` ``[2^m, 4]``; ``nonce`` ``[2]``, low word first; ``positions``
    ``[q]`` as drawn; ``rows`` and ``cosets`` as of ``openings.open_queries``.
    """

    roots: Array
    drawn: tuple[Array, ...]
    claims: Array
    defect: Array
    samples: Array
    layers: Array
    last: Array
    nonce: Array
    positions: Array
    rows: Any
    cosets: Any


def abstract_inputs(p: Program) -> Inputs:
    """The shapes of the inputs of a program."""
    words = partial(jax.ShapeDtypeStruct, dtype=np.uint32)
    shape, blowup = p.shape, p.params.log_blowup
    columns = shape.columns[PREPROCESSED]
    groups = p.groups[PREPROCESSED]
    height = max(columns) + blowup if columns else 0
    levels = tuple(words((DIGEST_WORDS, 1 << j)) for j in range(height + 1))
    fixed = Committed(
        tuple(words((len(members), 1 << k)) for k, members in groups),
        tuple(words((len(members), 1 << (k + blowup))) for k, members in groups),
        MerkleTree(levels),
    )
    names = [name for name, _ in p.air.preprocessed]
    return Inputs(
        rows=[
            words((len(comp.columns), 1 << k))
            for comp, k in zip(p.air.components, shape.log_sizes, strict=True)
        ],
        fixed=fixed,
        fixed_rows={name: words((1 << k,)) for name, k in zip(names, columns, strict=True)},
        public={name: words((n,)) for name, n in p.air.public_values if n is not None},
    )


def _call(stage: Callable[..., Any], *arguments: Any) -> Any:
    return stage(*arguments)


def protocol(
    p: Program,
    t: Tables,
    inputs: Inputs,
    transcript: Transcript,
    done: Done = lambda stage, arrays: None,
    run: Run = _call,
) -> Messages:
    """Prove; ``transcript`` has absorbed the statement and the root of tree 0."""
    # 1. Commit the columns.
    tree, drawn, transcript = transcript.commit_and_draw(
        partial(run, stages.commit_trace, p.without_work, t, inputs.rows), p.trace_draws
    )
    trees = [inputs.fixed, tree]
    del tree  # which only the list keeps, see step 4
    return after_trace(p, t, inputs, trees, drawn, transcript, done, run)


def after_trace(
    p: Program,
    t: Tables,
    inputs: Inputs,
    trees: list[Committed],
    drawn: Array,
    transcript: Transcript,
    done: Done = lambda stage, arrays: None,
    run: Run = _call,
) -> Messages:
    """Steps 2 to 6 of ``protocol``, from trees 0 and 1 and the draws ``[2 n, 4]`` after the root.

    The list of trees is used up: what is not in it any more, the device has room for.
    """
    bits, p = p.params.pow_bits, p.without_work
    done("commit trace", trees[-1])

    # 2. LogUp: relation elements must be unknown until the trace is fixed.
    relations, lookups = (), ((), ())
    if p.air.has_lookups:
        pairs = drawn.reshape(-1, 2, 4)
        (tree, *lookups), drawn, transcript = transcript.commit_and_draw(
            partial(
                *(run, stages.commit_interaction),
                *(p, t, inputs.rows, inputs.fixed_rows, inputs.public, pairs),
            )
        )
        relations = tuple(pairs)
        trees.append(tree)
        done("commit interaction", tree)

    # 3. One random combination of all constraints, divided by the vanishing polynomial.
    coefficient = drawn[0]
    tree, drawn, transcript = transcript.commit_and_draw(
        partial(
            *(run, stages.commit_composition),
            *(p, t, tuple(trees), coefficient, inputs.public, *lookups),
        )
    )
    trees.append(tree)
    done("commit composition", trees[-1])

    # 4. Open every column out of the domain, at a point drawn after all commitments.
    samples, multiples = run(stages.sample, p, t, trees, drawn[0])
    # Frees the coefficients, but for those that are evaluated again.
    del tree
    trees[:] = [one._replace(coefficients=()) if one.evaluations else one for one in trees]
    done("evaluate out of domain", samples)

    # 5. DEEP quotients tie the samples to the columns; FRI shows that they are low-degree. The
    # prover's own check of the samples, no message, fills the time of the channel.
    check = partial(run, stages.defect, p, samples, multiples, coefficient, inputs.public, *lookups)
    defect, drawn, transcript = transcript.mix_and_draw_beside(check, samples)
    values = run(low_degree.quotients, p, t, trees, samples, multiples, drawn[0])
    done("DEEP quotients", values)
    layers: list[tuple[Array, MerkleTree]] = []
    alpha = None
    while (index := len(layers)) < len(p.params.fri_steps(p.log_size)):
        if transcript.hashes.in_kernels and low_degree.tail_layers(p, index):
            tail = run(low_degree.commit_tail, p, index, t, values, alpha, transcript.digest)
            (*committed, values), alpha = tail.values, None
            layers += zip(committed, map(MerkleTree, tail.levels), strict=True)
            transcript = replace(transcript, digest=tail.digest)
            continue
        (folded, layer), drawn, transcript = transcript.commit_and_draw(
            partial(run, low_degree.commit_layer, p, index, t, values, alpha)
        )
        values, alpha = values if folded is None else folded, drawn[0]
        layers.append((values, layer))
    last, sent = run(low_degree.last_layer, p, t, values, alpha)
    done("FRI", last)

    # 6. Proof of work, then the queries: no choice is left to the prover after them.
    nonce = np.zeros(2, np.uint32)
    if bits:
        prefix, transcript = transcript.mix_for_work(sent, bits=bits)
        nonce = run(low_degree.grind, p, bits, prefix)
    else:
        transcript = transcript.mix(sent)
    done("proof of work", nonce)
    positions = transcript.mix_and_draw_queries(
        nonce, log_domain=p.log_domain, count=p.params.n_queries
    )
    rows, cosets, roots = run(openings.open_queries, p, trees, layers, positions)
    if not p.keep_evaluations:
        coefficients = [tree.coefficients for tree in trees]
        trees.clear()
        layers.clear()
        opened = rows, cosets
        rows, cosets = run(openings.open_columns, p, t, coefficients, opened, positions)
    _, claims = lookups
    messages = Messages(
        roots=roots[0],
        drawn=relations,
        claims=claims if p.air.has_lookups else np.zeros((0, 4), np.uint32),
        defect=defect,
        samples=samples,
        layers=roots[1],
        last=last,
        nonce=nonce,
        positions=positions,
        rows=rows,
        cosets=cosets,
    )
    done("open", messages)
    return messages


def from_digest(
    p: Program, t: Tables, inputs: Inputs, digest: Array, tree: Committed | None = None
) -> Messages:
    """``protocol`` with the transcript on the device, or what is left of it after tree 1.

    ``digest``, uint32 ``[8]``: that of the transcript after the root of tree 0.
    """
    transcript = Transcript(digest, DeviceHashes(p.interpret))
    if tree is None:
        return protocol(p, t, inputs, transcript)
    drawn, transcript = transcript.mix_and_draw(root_of(tree.tree), draws=p.trace_draws)
    return after_trace(p, t, inputs, [inputs.fixed, tree], drawn, transcript)


@partial(jax.jit, static_argnums=0)
def on_device(
    p: Program, t: Tables, inputs: Inputs, digest: Array, tree: Committed | None = None
) -> Array:
    """``from_digest`` as one program; its messages in one vector, see ``pack``."""
    return pack(from_digest(p, t, inputs, digest, tree))


def pack(messages: Any) -> Array:
    """All messages, or arrays of a pytree, in one vector, for one transfer."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(messages)])


def unpacker(like: Any) -> Callable[[np.ndarray], Any]:
    """The inverse of ``pack`` for arrays of the shapes of ``like``."""
    leaves, tree = jax.tree.flatten(like)
    ends = accumulate(leaf.size for leaf in leaves)
    places = [(slice(end - x.size, end), x.shape) for x, end in zip(leaves, ends, strict=True)]
    return lambda words: tree.unflatten([words[at].reshape(shape) for at, shape in places])
