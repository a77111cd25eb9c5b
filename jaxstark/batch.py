"""Many proofs of one shape: together on a GPU, while the host makes the next traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from jaxstark.air.planning import check_params
from jaxstark.implementation import choose
from jaxstark.key import VerifyingKey
from jaxstark.params import ProofParams, require_secure
from jaxstark.proof import Proof
from jaxstark.setup import DEFAULT_PROFILE, setup
from jaxstark.trace import Trace

DEFAULT_BATCH = 8


def prove_batch(
    traces: Iterable[Trace],
    *,
    params: ProofParams | str = "stwo-96",
    key: VerifyingKey | None = None,
    profile: str = DEFAULT_PROFILE,
    insecure: bool = False,
    implementation: str | None = None,
    batch: int = DEFAULT_BATCH,
) -> list[Proof]:
    """Prove traces of one AIR, one size and one length of public values.

    With kernels, ``batch`` traces are one program with its transcripts on the device. The next
    traces are taken from ``traces``, which may be a generator that executes them, and sent to the
    device while it proves. Under XLA traces are proved one after the other. The proofs are those of
    ``prove``, in order.

    Args:
      traces: the traces.
      params: as for ``prove``, like all options that are not listed here.
      key: checked against the traces if given.
      profile: protocol profile.
      insecure: allow parameters below the security floor.
      implementation: as for ``prove``.
      batch: traces in one program, at least 1. More of them need more memory; the last program is
        filled up with repetitions.

    Raises ``ValueError`` for misuse and ``ProvingError`` for the first trace that breaks a
    constraint; no proof is returned then.
    """
    if type(batch) is not int or batch < 1:
        raise ValueError(f"batch: expected an int of at least 1, got {batch!r}")
    params = ProofParams.preset(params, insecure=insecure) if isinstance(params, str) else params
    require_secure(params, None, None, insecure)
    chosen = choose(implementation, "host")
    proofs: list[Proof] = []
    pending = None
    expected: VerifyingKey | None = None
    first: Trace | None = None
    for group in _groups(traces, batch):
        for trace in group:
            _check(trace, first)
            first = first or trace
        if expected is None:
            shape = group[0].air.shape(group[0].log_sizes, group[0].public_values)
            check_params(group[0].air, shape, params)
            require_secure(params, shape, None, insecure)
            expected = setup(
                group[0].air,
                group[0].log_sizes,
                params,
                profile=profile,
                implementation=chosen,
            )
            if key is not None and key != expected:
                raise ValueError(f"key: expected the key of these traces, {expected}, got {key}")
        if chosen == "xla":
            from jaxstark.prover import prove

            options = {"params": params, "profile": profile, "insecure": insecure}
            proofs += [prove(t, key=expected, implementation="xla", **options) for t in group]
            continue
        from jaxstark.resident import batch as resident_batch

        started = resident_batch.start(group, shape, expected, batch)
        if pending is not None:
            proofs += resident_batch.finish(pending)
        pending = started
    if pending is not None:
        from jaxstark.resident import batch as resident_batch

        proofs += resident_batch.finish(pending)
    return proofs


def _groups(traces: Iterable[Trace], size: int) -> Iterator[list[Trace]]:
    source = iter(traces)
    while group := list(islice(source, size)):
        yield group


def _check(trace: Trace, first: Trace | None) -> None:
    if not isinstance(trace, Trace):
        raise ValueError(f"traces: expected jaxstark.Trace objects, got {type(trace).__name__}")
    if first is None or trace is first:
        return
    if trace.air != first.air or trace.log_sizes != first.log_sizes:
        raise ValueError(
            f"traces: expected all of AIR {first.air.name} with log sizes {first.log_sizes}, got "
            f"{trace.air.name} with {trace.log_sizes}"
        )
    lengths = [{n: len(v) for n, v in t.public_values.items()} for t in (first, trace)]
    if lengths[0] != lengths[1]:
        raise ValueError(f"public values: expected lengths {lengths[0]}, got {lengths[1]}")
