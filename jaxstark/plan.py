"""Size, memory and time of a proof, computed from its shape before anything runs.

Figures are models, documented where they are computed; measured times belong in benchmark
records. The sizes are exact expectations over random queries (protocol sections 12 and 14).

Resident design: coefficients, extended evaluations and digests of every tree stay on the device
until the openings are gathered, as do the caller's columns. For a tree of column sizes k and
height h (bytes): ``4 sum 2^k + 4 sum 2^(k+B) + 32 (2^(h+1) - 1)``.

Time of a stage is ``max(bytes / bandwidth, compressions / hash_rate)``: a bound for a machine that
overlaps both perfectly; field arithmetic, launches and host round trips are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxstark.params import ProofParams, fri_packing
from jaxstark.shape import PREPROCESSED, TRACE, ProofShape, size_groups

WORD, DIGEST, SECURE = 4, 32, 16  # bytes
_WORDS_PER_BLOCK = 16  # a Blake2s compression takes 64 bytes
_FFT_LAYERS_PER_PASS = 11  # with exchange through shared memory
_CONFIG_WORDS = 5


@dataclass(frozen=True)
class StagePlan:
    """One stage: bytes on the device at its peak, bytes moved, Blake2s compressions, seconds."""

    name: str
    peak_bytes: int
    moved_bytes: int
    compressions: int
    seconds: float | None = None


@dataclass(frozen=True)
class ProofSize:
    """Expected size of a proof with Blake2s or Poseidon252 digests.

    Attributes:
      felts: of the STARK proof in the Cairo layout, by part.
      total_felts: their sum.
      total_bytes: of the binary form, with an AIR id of 16 characters.
    """

    felts: dict[str, float]
    total_felts: float
    total_bytes: float


@dataclass(frozen=True)
class Plan:
    """What ``plan`` found out; ``str(plan)`` is a table."""

    shape: ProofShape
    params: ProofParams
    size: ProofSize
    stages: tuple[StagePlan, ...]

    @property
    def peak_bytes(self) -> int:
        """Largest peak of any stage."""
        return max(stage.peak_bytes for stage in self.stages)

    @property
    def compressions(self) -> int:
        """Compressions of one proof, expected grinding included."""
        return sum(stage.compressions for stage in self.stages)

    @property
    def seconds(self) -> float | None:
        """Sum over the stages; None without rates."""
        times = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(times) if len(times) == len(self.stages) else None

    def lines(self) -> list[str]:
        """A table for printing; all figures are estimates, rounded to three digits."""
        size, p = self.size, self.params
        out = [
            f"plan: 2^{self.shape.log_size} rows, {sum(map(len, self.shape.columns))} columns, "
            f"blow-up {1 << p.log_blowup}, {p.n_queries} queries, fold step {p.fold_step}",
            f"proof: about {_scaled(size.total_bytes, 'B')}, {_scaled(size.total_felts, 'felts')}",
            f"{'stage':<22}{'peak':>10}{'moved':>10}{'hashes':>10}{'time':>10}",
        ]
        for s in self.stages:
            out.append(
                f"{s.name:<22}{_scaled(s.peak_bytes, 'B'):>10}{_scaled(s.moved_bytes, 'B'):>10}"
                f"{_scaled(s.compressions):>10}{_time(s.seconds):>10}"
            )
        out.append(
            f"{'all':<22}{_scaled(self.peak_bytes, 'B'):>10}"
            f"{_scaled(sum(s.moved_bytes for s in self.stages), 'B'):>10}"
            f"{_scaled(self.compressions):>10}{_time(self.seconds):>10}"
        )
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())


def plan(
    shape: ProofShape,
    params: ProofParams,
    *,
    bandwidth: float | None = None,
    hash_rate: float | None = None,
    hash_felts: int = 8,
) -> Plan:
    """Plan a proof.

    Args:
      shape: its shape.
      params: its parameters.
      bandwidth: bytes per second that the device moves; with ``hash_rate`` it gives times.
      hash_rate: Blake2s compressions per second.
      hash_felts: felts per digest in the size: 8 for Blake2s, 1 for Poseidon252.

    Raises ``ValueError`` if the shape is too small for the parameters or a rate is not positive.
    """
    for name, rate in (("bandwidth", bandwidth), ("hash_rate", hash_rate)):
        if rate is not None and not rate > 0:
            raise ValueError(f"{name}: expected a positive number, got {rate!r}")
    stages = []
    for stage in _stages(shape, params):
        seconds = None
        if bandwidth is not None and hash_rate is not None:
            seconds = max(stage.moved_bytes / bandwidth, stage.compressions / hash_rate)
        fields = (stage.name, stage.peak_bytes, stage.moved_bytes, stage.compressions)
        stages.append(StagePlan(*fields, seconds))
    return Plan(shape, params, proof_size(shape, params, hash_felts), tuple(stages))


def tree_compressions(columns: Sequence[int], log_blowup: int) -> int:
    """Blake2s compressions of one tree whose columns have these log sizes, without blow-up.

    A block is compressed once per row of the size group that completes it, as smaller groups are
    absorbed at their own size (protocol section 4); the last block of a leaf, and every node,
    once per leaf or node.
    """
    if not columns:
        return 0
    height, words, total = max(columns) + log_blowup, 0, 0
    n_words = len(columns)
    last_block = (n_words - 1) // _WORDS_PER_BLOCK
    for log_size, group in size_groups(tuple(columns)):
        done = min(words // _WORDS_PER_BLOCK, last_block)
        words += len(group)
        total += (min(words // _WORDS_PER_BLOCK, last_block) - done) << (log_size + log_blowup)
    return total + (1 << height) + (1 << height) - 1


def proof_size(shape: ProofShape, params: ProofParams, hash_felts: int = 8) -> ProofSize:
    """Expected size over random queries; exact for the distribution of the protocol."""
    log_domain = shape.log_size + params.log_blowup
    trees, masks = shape.all_columns, shape.all_offsets

    def distinct(level: int) -> float:
        """Expected number of nodes of a level of 2^level that have a query below them."""
        n = 2.0**level
        return n * (1 - (1 - 1 / n) ** params.n_queries)

    def witness(height: int) -> float:
        """Expected siblings that are not themselves known, over all levels up to the root."""
        return sum(2 * distinct(level - 1) - distinct(level) for level in range(1, height + 1))

    paths = [witness(max(c) + params.log_blowup) if c else 0.0 for c in trees]
    rows = distinct(log_domain)
    fri_values, fri_hashes, done = 0.0, 0.0, 0
    steps = params.fri_steps(shape.log_size)
    for step in steps:
        # All of a coset is opened, so its subtree costs nothing, packed or not.
        level = log_domain - done
        fri_values += 2**step * distinct(level - step) - distinct(level)
        fri_hashes += witness(level - step) + 1
        done += step
    n_trees, n_columns, n_layers = len(trees), sum(map(len, trees)), len(steps)
    last = 1 << params.log_last_layer
    felts = {
        "config": float(_CONFIG_WORDS),
        "commitments": 1.0 + hash_felts * n_trees,
        "sampled values": 1.0 + n_trees + n_columns + 4 * sum(len(m) for t in masks for m in t),
        "decommitments": 1.0 + n_trees + hash_felts * sum(paths),
        "queried values": 1.0 + n_trees + n_columns * rows,
        "proof of work": 1.0,
        "fri": 2 * n_layers + 4 * fri_values + hash_felts * fri_hashes + 3 + 4 * last,
    }
    # The binary form has no length before three of the per-tree lists, one length less in the
    # last layer, a nonce of two words, digests of 32 bytes, and the claims in front.
    total = sum(felts.values())
    n_hashes = n_trees + sum(paths) + fri_hashes
    claims = 3 + (1 + 2) + (1 + 4) + 1 + len(shape.log_sizes) + 1
    sums = 4 * len(shape.log_sizes) if shape.n_lookups else 0
    words = total - 4 + 1 + (8 - hash_felts) * n_hashes + claims + sums
    return ProofSize(felts, total, WORD * words)


def _fft_bytes(log_in: int, log_out: int) -> int:
    """Bytes moved by one transform: each pass reads and writes, the first reads its input only."""
    passes = -(-log_out // _FFT_LAYERS_PER_PASS)
    return WORD * ((1 << log_in) + (2 * passes - 1) * (1 << log_out))


def _stages(shape: ProofShape, params: ProofParams) -> list[StagePlan]:
    blowup, log_size = params.log_blowup, shape.log_size
    log_domain = log_size + blowup
    trees = shape.all_columns
    secure_domain = SECURE << log_domain

    def values(columns: Sequence[int], shift: int = 0) -> int:
        return sum(WORD << (k + shift) for k in columns)

    def digests(log_leaves: int) -> int:
        return DIGEST * ((2 << log_leaves) - 1)

    def held(columns: Sequence[int]) -> int:
        if not columns:
            return 0
        return values(columns) + values(columns, blowup) + digests(max(columns) + blowup)

    def commit_moves(columns: Sequence[int]) -> int:
        """Extend, hash the leaves (read once), write every digest once (levels are fused)."""
        if not columns:
            return 0
        extend = sum(_fft_bytes(k, k + blowup) for k in columns)
        return extend + values(columns, blowup) + digests(max(columns) + blowup)

    def interpolate(columns: Sequence[int]) -> int:
        return sum(_fft_bytes(k, k) for k in columns)

    # Held throughout: the caller's columns, twiddles and their inverses, tree 0.
    now = values(trees[TRACE]) + 2 * (WORD << log_domain) + held(trees[PREPROCESSED])
    out = []
    for name, columns in zip(("trace", "interaction"), trees[TRACE:-1], strict=False):
        now += held(columns)
        if name == "interaction":
            now += values(columns)  # as produced, before interpolation
        moved = interpolate(columns) + commit_moves(columns)
        if name == "interaction":
            moved += values(trees[TRACE]) + 2 * values(columns)  # fractions and prefix sums
        out.append(StagePlan(f"commit {name}", now, moved, tree_compressions(columns, blowup)))
    columns = [k for tree in trees[:-1] for k in tree]
    # Constraints live on domains of log size k + 1: the committed one if the blow-up is 2.
    extra = 0 if blowup == 1 else values(columns, 1)
    extended = 0 if blowup == 1 else sum(_fft_bytes(k, k + 1) for k in columns)
    accumulator = SECURE << (log_size + 1)
    moved = values(columns, 1) + extended + accumulator + 4 * _fft_bytes(log_size + 1, log_size + 1)
    now += held(trees[-1])
    out.append(
        StagePlan(
            "composition",
            now + extra + 2 * accumulator,
            moved + commit_moves(trees[-1]),
            tree_compressions(trees[-1], blowup),
        )
    )
    columns += trees[-1]
    out.append(StagePlan("out-of-domain values", now, values(columns), 0))
    out.append(
        StagePlan("quotients", now + 2 * secure_domain, values(columns, blowup) + secure_domain, 0)
    )
    moved, compressions, done = 0, 0, 0
    now += secure_domain
    for step in params.fri_steps(log_size):
        log_layer = log_domain - done
        packing = fri_packing(log_layer, step)
        layer, tree = SECURE << log_layer, digests(log_layer - packing)
        folded = layer >> step
        # Hash: read the layer, write the digests. Fold: read the layer, write the next one.
        moved += 2 * layer + folded + tree
        compressions += (2 << (log_layer - packing)) - 1
        now += folded + tree
        done += step
    out.append(StagePlan("FRI", now, moved, compressions))
    out.append(StagePlan("grinding (expected)", now, 0, 1 << params.pow_bits))
    size = proof_size(shape, params)
    out.append(StagePlan("openings", now, 2 * int(size.total_bytes), 0))
    return out


def _scaled(value: float, unit: str = "") -> str:
    """Three digits with a decimal prefix: ``1.23 MB``."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < 999.5 or prefix == "T":
            break
        value /= 1000
    digits = f"{value:.3g}" if value < 999.5 else f"{value:.0f}"
    return f"{digits} {prefix}{unit}".rstrip()


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-6 else "<0.001 ms"
