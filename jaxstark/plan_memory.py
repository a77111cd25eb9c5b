"""Memory of a proof by stage, from its shape.

The model is that of the kernels' prover, as XLA allocates its programs. Arguments stay
throughout: the caller's columns, twiddles and domain points, tree 0. Extended evaluations and
digests of every tree stay until the openings are gathered, coefficients until the columns are
evaluated out of the domain. For a tree of column sizes k and height h (bytes): ``4 sum 2^k +
4 sum 2^(k+B) + 32 (2^(h+1) - 1)``. A transform needs its result twice, as each pass reads the one
before.

Where evaluations are not kept, coefficients stay instead, to the end, and of the evaluations there
is one chunk at a time (``shape.chunks``). Digests, as many words as 16 columns of a tree's domain,
are kept in any case, and all columns are still there at once on the domain of the constraints, of
twice the rows, which at blow-up 2 is that of the evaluations. So it is not less for every shape:
where the largest size has few columns, a chunk, its second buffer and the numerators that it is
added to may take more than the columns did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxstark.params import ProofParams, fri_packing
from jaxstark.shape import MAX_WORDS, ProofShape, begins_apart, chunks, parts, size_groups

WORD, DIGEST, SECURE = 4, 32, 16  # bytes
WORDS_PER_BLOCK = 16  # a Blake2s compression takes 64 bytes
_FFT_TILE_LOG = 12  # larger columns take several passes


def values(columns: Sequence[int], shift: int = 0) -> int:
    """Bytes of columns on domains larger by a shift."""
    return sum(WORD << (k + shift) for k in columns)


def digests(log_leaves: int) -> int:
    """Bytes of all levels of a tree."""
    return DIGEST * ((2 << log_leaves) - 1)


@dataclass(frozen=True)
class Memory:
    """Bytes on the device: before a program starts, and the most in each of its stages."""

    argument_bytes: int
    peaks: dict[str, int]

    @property
    def peak_bytes(self) -> int:
        """The most in any stage."""
        return max(self.peaks.values())


def memory(
    shape: ProofShape, params: ProofParams, batch: int, keep_evaluations: bool = True
) -> Memory:
    """The memory of a program that makes ``batch`` proofs.

    Raises ``ValueError`` if the shape is too small for the parameters.
    """
    log_size, blowup = shape.log_size, params.log_blowup
    log_domain = log_size + blowup
    fixed, *trees = shape.all_columns
    columns = [k for tree in shape.all_columns for k in tree]
    secure_domain = SECURE << log_domain
    peaks: dict[str, int] = {}

    def part(columns: Sequence[int], shift: int) -> int:
        """Bytes of the second buffers of transforms, which work on one array of each size."""
        if keep_evaluations:
            groups = parts(tuple(columns), blowup, max(MAX_WORDS // batch, 1 << log_domain))
        else:
            groups = chunks(tuple(columns), log_size, blowup)
        largest: dict[int, int] = {}
        for k, members in groups:
            if k > _FFT_TILE_LOG:
                largest[k] = max(largest.get(k, 0), values([k] * len(members), shift))
        return sum(largest.values())

    def committing(columns: Sequence[int]) -> int:
        """Most bytes while a tree is committed to whose columns are at hand."""
        coefficients, evaluations = values(columns), values(columns, blowup)
        if not keep_evaluations:
            # Of a table in row order each part is a copy.
            return coefficients + max(
                2 * part(columns, 0), _committing_in_turn(columns, log_size, blowup)
            )
        leaves = 0
        words, height = 0, max(columns) + blowup
        for k, members in size_groups(tuple(columns)):
            # Words that a block has absorbed, or not yet, are lifted to the next size.
            lifted = (DIGEST if words >= WORDS_PER_BLOCK else 0) + WORD * (words % WORDS_PER_BLOCK)
            leaves = max(leaves, (lifted + DIGEST) << (k + blowup))
            words += len(members)
        hashing = coefficients + evaluations + max(leaves, digests(height))
        return max(
            coefficients + part(columns, 0),
            coefficients + evaluations + part(columns, blowup),
            hashing,
        )

    def committed(columns: Sequence[int]) -> int:
        kept = values(columns, blowup) if keep_evaluations else 0
        return kept + digests(max(columns) + blowup)

    held = coefficients = 0
    for name, tree in zip(("trace", "interaction"), trees[:-1], strict=False):
        peak = committing(tree)
        if name == "interaction":
            # The table as it is updated, fractions, prefix sums and shares of the last column.
            peak = max(peak, 2 * values(tree) + (3 * SECURE << max(tree)))
        peaks[f"commit {name}"] = held + coefficients + peak
        held, coefficients = held + committed(tree), coefficients + values(tree)
    # Constraints live on domains of log size k + 1: the committed one if the blow-up is 2.
    opened = [k for tree in shape.columns for k in tree]
    if blowup == 1:
        opened = [] if keep_evaluations else opened[len(fixed) :]
    extended = values(opened, 1) + part(opened, 1)
    accumulator = SECURE << (log_size + 1)
    quotients = sum(SECURE << (k + 1) for k in set(shape.log_sizes)) + accumulator
    composing = max(extended + quotients, 2 * accumulator, committing(trees[-1]))
    peaks["composition"] = held + coefficients + composing
    held, coefficients = held + committed(trees[-1]), coefficients + values(trees[-1])
    # Sums of up to 64 weighted coefficients, in QM31.
    peaks["out-of-domain values"] = held + coefficients + values(columns) // 16
    # A program that has committed to the trace leaves its coefficients to the next one.
    if not keep_evaluations:
        held += coefficients
    elif batch == 1 and begins_apart(shape):
        held += values(trees[0])
    smaller = sum(2 * SECURE << (k + blowup) for k in set(columns) if k < log_size)
    dividing = secure_domain if keep_evaluations else _dividing_in_turn(shape, blowup)
    peaks["quotients"] = held + smaller + dividing
    held, log_layer = held + secure_domain, log_domain
    for step in params.fri_steps(log_size):
        held += digests(log_layer - fri_packing(log_layer, step))
        log_layer -= step
        held += SECURE << log_layer
    peaks |= dict.fromkeys(("FRI", "grinding (expected)", "openings"), held)
    if not keep_evaluations:
        # Once all else is opened; the tree of the trace may be an argument of a program.
        rows_made = coefficients + digests(max(trees[0]) + blowup) + 2 * _chunk(shape, blowup)
        peaks["openings"] = max(held, rows_made)

    tables = {k + blowup for k in columns} | ({k + 1 for k in columns} if blowup > 1 else set())
    inverses = {*columns, log_size + 1, log_domain}
    before = values([*tables, *inverses, log_domain, log_domain])
    if any(len(mask) == 2 for tree in shape.offsets for mask in tree):
        before += values(list(set(shape.log_sizes)), 1)  # slots one row back
    if fixed:
        before += 2 * values(fixed) + values(fixed, blowup) + digests(max(fixed) + blowup)
    rows = batch * values(trees[0])
    # The next batch, as it comes and side by side, is there before this one is proved.
    ahead = 2 * rows if batch > 1 else 0
    peaks = {name: before + rows + ahead + batch * peak for name, peak in peaks.items()}
    return Memory(before + rows, peaks)


def _committing_in_turn(columns: Sequence[int], log_size: int, blowup: int) -> int:
    """Most bytes beside the coefficients while chunks are made, absorbed and dropped."""
    groups = chunks(tuple(columns), log_size, blowup)
    most = state = pending = words = 0
    for index, (k, members) in enumerate(groups):
        made = values([k] * len(members), blowup)
        words += len(members)
        last = index == len(groups) - 1
        absorbed = digests(k + blowup) if last else 0
        if not last and words >= WORDS_PER_BLOCK:
            absorbed = DIGEST << (k + blowup)
        buffer = made if k > _FFT_TILE_LOG else 0
        most = max(most, state + pending + made + max(buffer, absorbed))
        if absorbed:
            state, words = absorbed, words % WORDS_PER_BLOCK
            pending = words * WORD << (k + blowup)
        else:
            pending += made
    return most


def _chunk(shape: ProofShape, blowup: int) -> int:
    """Bytes of the largest chunk of any tree."""
    groups = [g for tree in shape.all_columns[1:] for g in chunks(tree, shape.log_size, blowup)]
    return max(values([k] * len(members), blowup) for k, members in groups)


def _dividing_in_turn(shape: ProofShape, blowup: int) -> int:
    """Bytes of a chunk and the numerators that it is added to, or of the quotients at last."""
    log_size = shape.log_size
    shifted = {
        k
        for columns, masks in zip(shape.columns, shape.offsets, strict=True)
        for k, mask in zip(columns, masks, strict=True)
        if len(mask) == 2
    }
    # The point, the row before it, and for every smaller size one more.
    points = 1 + bool(shifted) + len(shifted - {log_size})
    quotients = SECURE << (log_size + blowup)
    trees = shape.all_columns[1:]
    largest = sum(k == log_size for tree in trees for k, _ in chunks(tree, log_size, blowup))
    numerators = points * quotients if largest > 1 else 0
    made = _chunk(shape, blowup)
    return numerators + made + max(made, numerators if largest > 2 else quotients, quotients)


def shrunk(shape: ProofShape, less: int) -> ProofShape:
    """The shape with ``2^less`` times fewer rows."""
    columns = tuple(tuple(k - less for k in tree) for tree in shape.columns)
    return replace(shape, log_sizes=tuple(k - less for k in shape.log_sizes), columns=columns)
