"""What a proof costs on Starknet: felts, bytes, transactions, gas and STRK, for every preset.

Sizes of a message are counted. Sizes of proofs that were not made are estimates: expectations over
random queries (``plan.proof_size``). Gas is a model of L2 gas alone: figures marked "source" are
constants of Starknet 0.14.2, as published with its sequencer (blockifier 0.18); those marked
"measured" are what transactions to the registry took beyond them on starknet-devnet 0.8.1. The
model is within 2 % of those transactions. L1 data gas, some hundreds a transaction, is left out.
docs/starknet.md, section "Sizes and costs".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxstark.params import PRESETS, ProofParams
from jaxstark.plan import ProofSize, proof_size
from jaxstark.shape import INTERACTION, ProofShape
from jaxstark.starknet.envelope import CALL_FELTS, DEFAULT_CHUNK, HEADER_FELTS, split_sizes
from jaxstark.starknet.fees import FRI as FRI_PER_STRK
from jaxstark.starknet.header import ENCODINGS, SUITES, Header
from jaxstark.starknet.limbs import BYTES, WORDS

FELT_BYTES = 32
MINIMUM_PRICE = 8 * 10**9  # FRI per L2 gas: the floor since Starknet 0.14.1 (source)

STEP, POSEIDON, PEDERSEN, RANGE_CHECK = 100, 491, 4050, 70  # L2 gas of a step and builtins (source)
DATA_FELT = 5120  # of calldata, signatures and event data (source)
EVENT_KEY = 2 * DATA_FELT  # of an event key, its selector included (source)
NEW_SLOT = 402_000  # of a storage slot that was 0 before (source)
# The operating system's part of an invoke transaction, and of two felts of its calldata (source).
TRANSACTION = 4348 * STEP + 4 * PEDERSEN + 90 * RANGE_CHECK + 12 * POSEIDON
CALLDATA_PAIR = 11 * STEP + POSEIDON
SIGNATURE = 2  # felts of an ordinary account's signature
# Checking a signature, dispatching one call, reading a header, the keys of storage (measured).
ACCOUNT = 660_000
# Copying a felt of a message through the account and absorbing it (measured).
EXECUTED_FELT = 2_950
# Of a record; of the sponge state and the header of an unfinished one, beside it.
RECORD_SLOTS, PARTIAL_SLOTS = 1, 4
EVENT_KEYS, EVENT_DATA = 4, 5  # of Recorded, its selector included


@dataclass(frozen=True)
class Size:
    """The size of one message in one encoding, and what recording it costs.

    Attributes:
      encoding: ``"limb248"`` or ``"serde"``.
      felts: of the message in one chunk, header included.
      bytes: 32 for each of them.
      chunks: felts of every message that is sent, headers included; one for each transaction.
      gas: L2 gas by part, over all transactions (a model).
      estimated: whether the felts are an expectation; the chunks then are too.
    """

    encoding: str
    felts: int
    bytes: int
    chunks: tuple[int, ...]
    gas: dict[str, int]
    estimated: bool

    @property
    def transactions(self) -> int:
        """How many transactions record it."""
        return len(self.chunks)

    @property
    def total_gas(self) -> int:
        """Sum of the gas."""
        return sum(self.gas.values())

    def strk(self, price: int = MINIMUM_PRICE) -> float:
        """STRK at a price in FRI per L2 gas; ``ValueError`` unless it is a positive int."""
        if type(price) is not int or price < 1:
            raise ValueError(f"price: expected a positive int of FRI per gas, got {price!r}")
        return self.total_gas * price / FRI_PER_STRK


@dataclass(frozen=True)
class Row:
    """The sizes of proofs with some parameters, by encoding; none if they do not fit the shape."""

    name: str
    params: ProofParams
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Report:
    """Rows of a size report; ``str(report)`` is a table.

    Attributes:
      rows: the proof at hand, if there is one, then every preset.
      price: FRI per L2 gas.
    """

    rows: tuple[Row, ...]
    price: int

    def lines(self) -> list[str]:
        """The table; a tilde marks an estimate."""
        out = [
            f"{'parameters':<16}{'encoding':<10}{'felts':>9}{'bytes':>11}{'transactions':>14}"
            f"{'L2 gas':>10}{'STRK':>9}"
        ]
        for row in self.rows:
            if not row.sizes:
                rows = row.params.fold_step + row.params.log_last_layer
                out.append(f"{row.name:<16}needs components of 2^{rows} rows or more")
            for size in row.sizes:
                mark = "~" if size.estimated else ""
                out.append(
                    f"{row.name:<16}{size.encoding:<10}{mark + str(size.felts):>9}"
                    f"{mark + str(size.bytes):>11}{mark + str(size.transactions):>14}"
                    f"{size.total_gas / 1e6:>8.1f} M{size.strk(self.price):>9.3f}"
                )
        out.append(
            f"gas is a model; STRK at {self.price / 1e9:g} gFri; ~: expected over random queries"
        )
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())


def measured(message: Sequence[int], max_felts: int = DEFAULT_CHUNK) -> Size:
    """The size of a message of one chunk, as ``pack`` makes it.

    Raises ``Refused`` if it has no header, and ``ValueError`` for a bad ``max_felts``.
    """
    return counted(Header.decode(message).encoding, len(message), max_felts)


def counted(encoding: str, felts: int, max_felts: int = DEFAULT_CHUNK) -> Size:
    """The size of a message of so many felts, header included; ``ValueError`` for other values."""
    _check_encoding(encoding)
    if type(felts) is not int or felts <= HEADER_FELTS:
        raise ValueError(f"felts: expected an int above {HEADER_FELTS}, got {felts!r}")
    return _size(encoding, felts - HEADER_FELTS, max_felts, False)


def estimate(
    shape: ProofShape,
    params: ProofParams,
    encoding: str = "limb248",
    *,
    statement: int = 0,
    suite: str = "blake2s",
    max_felts: int = DEFAULT_CHUNK,
) -> Size:
    """The expected size of the message of a proof that need not exist.

    Args:
      shape: its shape.
      params: its parameters.
      encoding: ``"limb248"`` or ``"serde"``.
      statement: felts of the statement values (``statement_values``).
      suite: ``"blake2s"`` or ``"poseidon252"``.
      max_felts: felts of a message, as for ``split``.

    Raises ``ValueError`` for an unknown encoding or suite, and for a shape that is too small for
    the parameters.
    """
    _check_encoding(encoding)
    if suite not in SUITES:
        raise ValueError(f"suite: expected one of {', '.join(SUITES)}, got {suite!r}")
    sums = _claimed_sums(shape)
    if encoding == "serde":
        size = proof_size(shape, params, 8 if suite == "blake2s" else 1)
        body = 1 + 4 * sums + size.total_felts
    else:
        body = _limb_felts(shape, params, sums, suite)
    return _size(encoding, round(1 + statement + body), max_felts, True)


def report(
    shape: ProofShape,
    *,
    proof: Row | None = None,
    statement: int = 0,
    suite: str = "blake2s",
    price: int = MINIMUM_PRICE,
    max_felts: int = DEFAULT_CHUNK,
) -> Report:
    """The sizes of proofs of a shape for every preset, after those of a proof that exists.

    Args:
      shape: the shape.
      proof: sizes of that proof (``measured``, ``counted``).
      statement: as for ``estimate``.
      suite: as for ``estimate``.
      max_felts: as for ``estimate``.
      price: FRI per L2 gas.

    The row of a preset that the shape is too small for has no sizes. Raises what ``estimate``
    raises, and ``ValueError`` for a price that is not positive.
    """
    if type(price) is not int or price < 1:
        raise ValueError(f"price: expected a positive int of FRI per gas, got {price!r}")
    rows = [] if proof is None else [proof]
    for name, params in PRESETS.items():
        fits = min(shape.log_sizes) >= params.fold_step + params.log_last_layer
        found = [
            estimate(shape, params, encoding, statement=statement, suite=suite, max_felts=max_felts)
            for encoding in (ENCODINGS if fits else ())
        ]
        rows.append(Row(name, params, tuple(found)))
    return Report(tuple(rows), price)


def gas_of(chunks: Sequence[int]) -> dict[str, int]:
    """L2 gas to record messages of these lengths, by part (a model).

    ``data`` is calldata, signatures and the event; ``transaction`` what every one costs;
    ``storage`` new slots; ``execution`` copying and hashing the message.
    """
    n, felts = len(chunks), sum(chunks)
    sent = felts + CALL_FELTS * n
    event = EVENT_KEYS * EVENT_KEY + EVENT_DATA * DATA_FELT
    slots = RECORD_SLOTS + (PARTIAL_SLOTS if n > 1 else 0)
    return {
        "data": (sent + SIGNATURE * n) * DATA_FELT + event,
        "transaction": n * (TRANSACTION + ACCOUNT) + sent * CALLDATA_PAIR // 2,
        "storage": slots * NEW_SLOT,
        "execution": felts * EXECUTED_FELT,
    }


def _size(encoding: str, payload: int, max_felts: int, estimated: bool) -> Size:
    chunks = tuple(HEADER_FELTS + n for n in split_sizes(payload, max_felts))
    felts = payload + HEADER_FELTS
    return Size(encoding, felts, FELT_BYTES * felts, chunks, gas_of(chunks), estimated)


def _check_encoding(encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {encoding!r}")


def _claimed_sums(shape: ProofShape) -> int:
    if shape.air is not None:
        return sum(1 for info in shape.air.info.components if info.n_entries)
    return len(shape.log_sizes) if len(shape.columns) > INTERACTION else 0


def _limb_felts(shape: ProofShape, params: ProofParams, sums: int, suite: str) -> float:
    """Expected felts of ``limb_proof.encode``: parts of known size, then the openings.

    The openings are read off the Cairo layout, of which digests of 0 felts leave the words and
    digests of 1 felt the number of digests.
    """
    without: ProofSize = proof_size(shape, params, 0)
    with_one: ProofSize = proof_size(shape, params, 1)
    n_trees, n_layers = len(shape.all_columns), len(params.fri_steps(shape.log_size))
    last = 1 << params.log_last_layer
    witness = without.felts["fri"] - 2 * n_layers - 3 - 4 * last
    opened = without.felts["queried values"] - 1 - n_trees + witness
    digests = with_one.total_felts - without.total_felts - n_trees - n_layers
    roots = n_trees - 1 + n_layers
    each = 1 + 1 / BYTES if suite == "blake2s" else 1.0
    pool = -(-roots // BYTES) if suite == "blake2s" else 0
    fixed = -(-4 * (sums + shape.n_samples + last) // WORDS) + 1 + roots + pool
    # A stream whose length is random ends in the middle of a felt: half a felt on average.
    ends = 0.5 + (0.5 if suite == "blake2s" else 0.0)
    return fixed + opened / WORDS + digests * each + ends
