"""Many proofs of one shape: together on a GPU, while the host makes the next traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from jaxstark.air.planning import check_params
from jaxstark.implementation import choose
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams, require_secure
from jaxstark.proof import Proof
from jaxstark.setup import DEFAULT_PROFILE, setup
from jaxstark.shape import ProofShape
from jaxstark.trace import Trace

DEFAULT_BATCH = 8
# A batch is axis y of the grid of every kernel, whose limit this is.
MAX_BATCH = 65535
# Traces that fit each other, their shape and their verifying key.
Group = tuple[list[Trace], ProofShape, VerifyingKey]


def prove_batch(
    traces: Iterable[Trace],
    *,
    params: ProofParams | str = "stwo-96",
    key: VerifyingKey | None = None,
    profile: str = DEFAULT_PROFILE,
    insecure: bool = False,
    implementation: str | None = None,
    batch: int = DEFAULT_BATCH,
    keep_evaluations: bool = True,
) -> list[Proof]:
    """Prove traces of one AIR, one size and one length of public values.

    With kernels, ``batch`` traces are one program with its transcripts on the device. The next
    traces are taken from ``traces``, which may be a generator that executes them, and sent to the
    device, both while it proves. Under XLA traces are proved one after the other. The proofs are
    those of ``prove``, in order.

    Args:
      traces: the traces.
      params: as for ``prove``, like all options that are not listed here.
      key: checked against the traces if given.
      profile: protocol profile.
      insecure: allow parameters below the security floor.
      implementation: as for ``prove``.
      batch: traces in one program, 1 to 65,535. More of them need more memory; the last program
        is filled up with repetitions.
      keep_evaluations: as for ``prove``.

    Raises ``ValueError`` for misuse, also of too large a batch for the memory, and ``ProvingError``
    for the first trace that breaks a constraint; no proof is returned then.
    """
    if type(batch) is not int or not 1 <= batch <= MAX_BATCH:
        raise ValueError(f"batch: expected an int of 1 to {MAX_BATCH}, got {batch!r}")
    params = ProofParams.preset(params, insecure=insecure) if isinstance(params, str) else params
    require_secure(params, None, None, insecure)
    chosen = choose(implementation, "host", keep_evaluations)
    groups = _checked(traces, params, key, profile, insecure, chosen, batch)
    if chosen == "mosaic_gpu":
        return _together(groups, batch, keep_evaluations)
    from jaxstark.prover import prove

    return [
        prove(
            trace,
            params=params,
            key=expected,
            profile=profile,
            insecure=insecure,
            implementation=chosen,
        )
        for group, _, expected in groups
        for trace in group
    ]


def _together(groups: Iterator[Group], batch: int, keep_evaluations: bool) -> list[Proof]:
    import jax

    from jaxstark.resident import batch as resident

    device = jax.config.jax_default_device

    def send(group: list[Trace], shape: ProofShape, expected: VerifyingKey) -> resident.Sent:
        with jax.default_device(device):
            return resident.send(group, shape, expected, batch, keep_evaluations)

    def start(sent: Future[resident.Sent]) -> resident.Started:
        with jax.default_device(device):
            return resident.start(sent.result())

    proofs: list[Proof] = []
    pending: Future[resident.Started] | None = None
    # Grinding is a loop that the runtime steps: starting a batch holds its thread until the search
    # ends. Other threads meanwhile take the next traces, send them, and finish the batch before.
    with (
        ThreadPoolExecutor(1, "prove_batch") as worker,
        ThreadPoolExecutor(1, "prove_batch_send") as sender,
    ):
        for group in groups:
            started = worker.submit(start, sender.submit(send, *group))
            if pending is not None:
                proofs += resident.finish(pending.result())
            pending = started
        if pending is not None:
            proofs += resident.finish(pending.result())
    return proofs


def _checked(
    traces: Iterable[Trace],
    params: ProofParams,
    key: VerifyingKey | None,
    profile: str,
    insecure: bool,
    implementation: str,
    batch: int,
) -> Iterator[Group]:
    """Groups of traces that fit each other, with their shape and verifying key."""
    groups = _groups(traces, batch)
    group = next(groups, None)
    if group is None:
        return
    first = group[0]
    for trace in group:
        _check(trace, first)
    shape = first.air.shape(first.log_sizes, first.public_values)
    check_params(first.air, shape, params)
    require_secure(params, shape, None, insecure)
    expected = setup(
        first.air, first.log_sizes, params, profile=profile, implementation=implementation
    )
    if key is not None and key != expected:
        raise ValueError(f"key: expected the key of these traces, {expected}, got {key}")
    yield group, shape, expected
    for group in groups:
        for trace in group:
            _check(trace, first)
        yield group, shape, expected


def _groups(traces: Iterable[Trace], size: int) -> Iterator[list[Trace]]:
    source = iter(traces)
    while group := list(islice(source, size)):
        yield group


def _check(trace: Trace, first: Trace) -> None:
    if not isinstance(trace, Trace):
        raise ValueError(f"traces: expected jaxstark.Trace objects, got {type(trace).__name__}")
    if trace is first:
        return
    if trace.air != first.air or trace.log_sizes != first.log_sizes:
        raise ValueError(
            f"traces: expected all of AIR {first.air.name} with log sizes {first.log_sizes}, got "
            f"{trace.air.name} with {trace.log_sizes}"
        )
    lengths = [{n: len(v) for n, v in t.public_values.items()} for t in (first, trace)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"public values: expected lengths {lengths[0]}, got {lengths[1]}")
