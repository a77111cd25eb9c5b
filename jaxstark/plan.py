"""Size, memory and time of a proof, computed from its shape before anything runs.

Figures are models, documented where they are computed; measured times belong in benchmark
records. The sizes are exact expectations over random queries (protocol sections 12 and 14).

Time of a stage is ``max(bytes / bandwidth, compressions / hash_rate)``: a bound for a machine that
overlaps both perfectly; field arithmetic, launches and host round trips are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jaxstark.params import ProofParams, fri_packing
from jaxstark.plan_memory import (
    SECURE,
    WORD,
    WORDS_PER_BLOCK,
    digests,
    memory,
    shrunk,
    values,
)
from jaxstark.shape import TRACE, ProofShape, check_keep_evaluations, size_groups

_FFT_LAYERS_PER_PASS = 11  # with exchange through shared memory
_CONFIG_WORDS = 5
_DEFAULT_FRACTION, _LARGEST_FRACTION = 0.75, 0.95  # of the memory, that JAX takes


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
    """What ``plan`` found out; ``str(plan)`` is a table.

    Attributes:
      shape: the shape of a proof.
      params: its parameters.
      size: of a proof.
      stages: in order; bytes are those of all proofs of a program, all else is of one proof.
      batch: proofs that one program makes.
      argument_bytes: of what is on the device before a program starts.
      keep_evaluations: as for ``prove``.
    """

    shape: ProofShape
    params: ProofParams
    size: ProofSize
    stages: tuple[StagePlan, ...]
    batch: int = 1
    argument_bytes: int = 0
    keep_evaluations: bool = True

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

    @property
    def title(self) -> str:
        """What is proved, in a few words."""
        several = f"{self.batch} proofs of " if self.batch > 1 else ""
        columns = sum(map(len, self.shape.columns))
        blowup = 1 << self.params.log_blowup
        again = "" if self.keep_evaluations else ", evaluations not kept"
        return f"{several}2^{self.shape.log_size} rows, {columns} columns, blow-up {blowup}{again}"

    def require(self, free_bytes: int, *, loaded: bool = False) -> None:
        """``ValueError`` if more than the free bytes of a device is needed, with what would fit.

        ``loaded``: the arguments are on the device already, and not among the free bytes.
        """
        needed = self.peak_bytes - (self.argument_bytes if loaded else 0)
        if needed > free_bytes:
            raise ValueError(
                f"memory of the device: expected {_scaled(needed, 'B')} free for {self.title}, "
                f"got {_scaled(free_bytes, 'B')}; {self.advice(free_bytes, loaded=loaded)}"
            )

    def advice(self, free_bytes: int, *, loaded: bool = False) -> str:
        """What would fit into the free bytes of a device, where this does not."""
        held = self.argument_bytes if loaded else 0
        total = free_bytes + held

        def fits(
            shape: ProofShape, params: ProofParams, batch: int, keep: bool = self.keep_evaluations
        ) -> bool:
            try:
                return memory(shape, params, batch, keep).peak_bytes <= total
            except ValueError:  # too small for the parameters
                return False

        options = []
        shape, params = self.shape, self.params
        if self.keep_evaluations and fits(shape, params, self.batch, keep=False):
            options.append("keep_evaluations=False")
        if batch := next((b for b in range(self.batch - 1, 0, -1) if fits(shape, params, b)), 0):
            options.append(f"batch={batch}")
        for blowup in range(params.log_blowup - 1, 0, -1):
            if fits(shape, replace(params, log_blowup=blowup), self.batch):
                options.append(f"blow-up {1 << blowup} with more queries")
                break
        for less in range(1, min(shape.log_sizes)):
            if fits(shrunk(shape, less), params, self.batch):
                options.append(f"2^{shape.log_size - less} rows")
                break
        if self.peak_bytes - held <= free_bytes * _LARGEST_FRACTION / _DEFAULT_FRACTION:
            options.append(
                f"environment variable XLA_PYTHON_CLIENT_MEM_FRACTION={_LARGEST_FRACTION}, if it "
                f"is at its default of {_DEFAULT_FRACTION}"
            )
        options.append(f"a device with {_scaled(self.peak_bytes, 'B')} free")
        return "this would fit: " + ", or ".join(options)

    def lines(self) -> list[str]:
        """A table for printing; all figures are estimates, rounded to three digits."""
        size, p = self.size, self.params
        out = [
            f"plan: {self.title}, {p.n_queries} queries, fold step {p.fold_step}",
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
    batch: int = 1,
    keep_evaluations: bool = True,
) -> Plan:
    """Plan a proof, or several in one program.

    Args:
      shape: its shape.
      params: its parameters.
      bandwidth: bytes per second that the device moves; with ``hash_rate`` it gives times.
      hash_rate: Blake2s compressions per second.
      hash_felts: felts per digest in the size: 8 for Blake2s, 1 for Poseidon252.
      batch: proofs that one program makes, as by ``prove_batch``. The traces of the next program
        are on the device meanwhile.
      keep_evaluations: as for ``prove``. False changes the memory, and adds what making evaluations
        again moves.

    Raises ``ValueError`` if the shape is too small for the parameters or a rate is not positive.
    """
    for name, rate in (("bandwidth", bandwidth), ("hash_rate", hash_rate)):
        if rate is not None and not rate > 0:
            raise ValueError(f"{name}: expected a positive number, got {rate!r}")
    if type(batch) is not int or batch < 1:
        raise ValueError(f"batch: expected an int of at least 1, got {batch!r}")
    check_keep_evaluations(keep_evaluations)
    found = memory(shape, params, batch, keep_evaluations)
    stages = []
    for stage in _stages(shape, params, found.peaks, keep_evaluations):
        seconds = None
        if bandwidth is not None and hash_rate is not None:
            seconds = max(stage.moved_bytes / bandwidth, stage.compressions / hash_rate)
        fields = (stage.name, stage.peak_bytes, stage.moved_bytes, stage.compressions)
        stages.append(StagePlan(*fields, seconds))
    size = proof_size(shape, params, hash_felts)
    return Plan(
        *(shape, params, size, tuple(stages), batch, found.argument_bytes, keep_evaluations)
    )


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
    last_block = (n_words - 1) // WORDS_PER_BLOCK
    for log_size, group in size_groups(tuple(columns)):
        done = min(words // WORDS_PER_BLOCK, last_block)
        words += len(group)
        total += (min(words // WORDS_PER_BLOCK, last_block) - done) << (log_size + log_blowup)
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


def _stages(
    shape: ProofShape, params: ProofParams, peaks: Mapping[str, int], keep_evaluations: bool
) -> list[StagePlan]:
    blowup, log_size = params.log_blowup, shape.log_size
    log_domain = log_size + blowup
    trees = shape.all_columns
    secure_domain = SECURE << log_domain

    def commit_moves(columns: Sequence[int]) -> int:
        """Extend, hash the leaves (read once), write every digest once (levels are fused)."""
        if not columns:
            return 0
        extend = sum(_fft_bytes(k, k + blowup) for k in columns)
        return extend + values(columns, blowup) + digests(max(columns) + blowup)

    def interpolate(columns: Sequence[int]) -> int:
        return sum(_fft_bytes(k, k) for k in columns)

    out = []

    def add(name: str, moved: int, compressions: int) -> None:
        out.append(StagePlan(name, peaks[name], moved, compressions))

    for name, columns in zip(("trace", "interaction"), trees[TRACE:-1], strict=False):
        moved = interpolate(columns) + commit_moves(columns)
        if name == "interaction":
            moved += values(trees[TRACE]) + 2 * values(columns)  # fractions and prefix sums
        add(f"commit {name}", moved, tree_compressions(columns, blowup))
    columns = [k for tree in trees[:-1] for k in tree]
    extended = columns
    if blowup == 1:
        extended = [] if keep_evaluations else columns[len(trees[0]) :]
    extended = sum(_fft_bytes(k, k + 1) for k in extended)
    accumulator = SECURE << (log_size + 1)
    moved = values(columns, 1) + extended + accumulator
    moved += 4 * _fft_bytes(log_size + 1, log_size + 1) + commit_moves(trees[-1])
    add("composition", moved, tree_compressions(trees[-1], blowup))
    columns += trees[-1]
    # What is not kept is evaluated for the quotients and for the openings.
    again = [] if keep_evaluations else columns[len(trees[0]) :]
    again = sum(_fft_bytes(k, k + blowup) for k in again)
    add("out-of-domain values", values(columns), 0)
    add("quotients", again + values(columns, blowup) + secure_domain, 0)
    moved, compressions, log_layer = 0, 0, log_domain
    for step in params.fri_steps(log_size):
        packing = fri_packing(log_layer, step)
        layer = SECURE << log_layer
        # Hash: read the layer, write the digests. Fold: read the layer, write the next one.
        moved += 2 * layer + (layer >> step) + digests(log_layer - packing)
        compressions += (2 << (log_layer - packing)) - 1
        log_layer -= step
    add("FRI", moved, compressions)
    add("grinding (expected)", 0, 1 << params.pow_bits)
    add("openings", again + 2 * int(proof_size(shape, params).total_bytes), 0)
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
