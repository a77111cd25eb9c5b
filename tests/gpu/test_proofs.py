"""T31: whole proofs on the GPU have the bytes of the golden ones, which a CPU made.

A new shape compiles for half a minute and more: the other cases are slow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jaxstark  # noqa: E402
from jaxstark import setup, transfer  # noqa: E402
from jaxstark.errors import ProvingError  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.trace import Trace  # noqa: E402
from tests.golden.cases import CASES, PROOFS, golden  # noqa: E402

pytestmark = pytest.mark.gpu
DEFAULT = [("legacy26", "host"), ("obelysk", "host")]
COMPILED = ("legacy26", "device")
WITH_TREE_0 = ("range_sum_stwo96", "device")
OTHERS = [
    pair
    for pair in ((name, where) for name in CASES for where in ("host", "device"))
    if pair not in (*DEFAULT, COMPILED, WITH_TREE_0)
]
REPETITIONS = 100


def check(name: str, proof: jaxstark.Proof, where: str, opened: str = "xla") -> None:
    """The golden bytes, accepted, made by kernels on this GPU."""
    assert proof.to_bytes() == (PROOFS / f"{name}.proof.bin").read_bytes()
    item = golden(name)
    jaxstark.verify(proof, item.key, item.public, insecure=True)
    made = proof.provenance
    assert made is not None
    assert (made.device, made.transcript) == (jax.devices()[0].device_kind, where)
    stages = dict(made.stages)
    assert stages.pop("open").startswith(opened)
    work = stages.pop("proof of work")
    assert work == ("mosaic_gpu" if CASES[name].params.pow_bits else "none")
    assert all(text.startswith("mosaic_gpu") for text in stages.values())


def prove(
    name: str, where: str, keep_evaluations: bool = True, trace: Trace | None = None
) -> jaxstark.Proof:
    return jaxstark.prove(
        CASES[name].example()[0] if trace is None else trace,
        params=CASES[name].params,
        insecure=True,
        implementation="mosaic_gpu",
        transcript=where,
        keep_evaluations=keep_evaluations,
    )


@pytest.mark.parametrize(("name", "where"), DEFAULT)
def test_t31_golden_proofs(name, where):
    check(name, prove(name, where), where)


def test_t31_wherever_a_trace_is_its_stages_are_compiled_once(compilations, monkeypatch):
    """With the transcript on the host. A large trace of NumPy is sent in parts, by threads."""
    monkeypatch.setattr(transfer, "LEAST_PART", 1 << 10)
    trace, _ = CASES["legacy26"].example()
    columns = trace.host_columns()["steps"]
    table = np.stack([columns[name] for name in trace.columns["steps"]])
    assert table.nbytes > 2 * transfer.LEAST_PART
    resident, named = jax.numpy.asarray(table), jax.device_put(table, jax.devices()[0])
    places = (table, resident, named, transfer.lock(table))
    first, *others = [Trace(trace.air, {"steps": given}) for given in places]
    check("legacy26", prove("legacy26", "host", trace=first), "host")
    compilations.clear()
    for given in others:
        check("legacy26", prove("legacy26", "host", trace=given), "host")
        assert not [e for e in compilations if "jaxpr_to_mlir" in e or "backend_compile" in e]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "where"), OTHERS)
def test_t31_every_golden_proof(name, where):
    check(name, prove(name, where), where)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "where"), [*DEFAULT, COMPILED, WITH_TREE_0, ("range_sum_stwo96", "host")]
)
def test_t31_golden_proofs_without_kept_evaluations(name, where):
    """Components of some are below the sizes of the kernels, which open nothing of them."""
    opened = "mosaic_gpu" if name == "range_sum_stwo96" else ""
    check(name, prove(name, where, keep_evaluations=False), where, opened)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


def compiled(name: str, folder, where: str = "device") -> jaxstark.Prover:
    trace, sizes = CASES[name].example()
    return jaxstark.compile(
        trace.air.shape(sizes, trace.public_values),
        CASES[name].params,
        public_values=trace.public_values,
        insecure=True,
        implementation="mosaic_gpu",
        transcript=where,
        cache_dir=folder,
    )


@pytest.fixture(scope="module")
def prover(folder):
    return compiled(COMPILED[0], folder)


def test_t31_100_proofs_are_one(prover):
    """As one program, with the transcript on the device."""
    trace, _ = CASES[COMPILED[0]].example()
    first = prover(trace)
    check(*COMPILED[:1], first, COMPILED[1])
    digests = {prover(trace).sha256() for _ in range(REPETITIONS)}
    assert digests == {first.sha256()}


def test_t31_another_trace_is_another_proof(prover):
    """The program has nothing of the first trace in it."""
    case = replace(CASES[COMPILED[0]], seed=CASES[COMPILED[0]].seed + 1)
    trace, _ = case.example()
    proof = prover(trace)
    jaxstark.verify(proof, prover.key, {}, insecure=True)
    assert proof != golden(COMPILED[0]).proof


def test_t31_a_trace_in_page_locked_memory_has_the_same_proof(prover):
    trace, _ = CASES[COMPILED[0]].example()
    columns = trace.host_columns()["steps"]
    table = transfer.lock(np.stack([columns[name] for name in trace.columns["steps"]]))
    assert transfer.page_locked(table)
    locked = Trace(trace.air, {"steps": table})
    check(COMPILED[0], prover(locked), "device")
    assert all(np.array_equal(c, columns[n]) for n, c in locked.host_columns()["steps"].items())


def test_a_broken_trace_is_a_proving_error(prover):
    trace, _ = CASES[COMPILED[0]].example()
    columns = {name: np.array(c) for name, c in trace.columns["steps"].items()}
    columns["product"][17] ^= 1
    for given in (columns, transfer.lock(np.stack(list(columns.values())))):
        with pytest.raises(ProvingError, match="component steps, row 17, C11: expected 0, got"):
            prover(Trace(trace.air, {"steps": given}))


def test_t37_a_compiled_proof_is_found_again(prover, folder, compilations):
    """Nothing of the proof is compiled, and its bytes are the same."""
    (stored,) = folder.iterdir()
    written = stored.stat().st_mtime_ns
    compilations.clear()
    again = compiled(COMPILED[0], folder)
    assert not [e for e in compilations if "jaxpr_to_mlir" in e or "backend_compile" in e]
    trace, _ = CASES[COMPILED[0]].example()
    check(COMPILED[0], again(trace), "device")
    assert list(folder.iterdir()) == [stored] and stored.stat().st_mtime_ns == written


def test_t37_compiled_stages_are_found_again(tmp_path, compilations):
    """With the transcript on the host, all of them in one file."""
    trace, _ = CASES["legacy26"].example()
    check("legacy26", compiled("legacy26", tmp_path, "host")(trace), "host")
    (stored,) = tmp_path.iterdir()
    compilations.clear()
    again = compiled("legacy26", tmp_path, "host")
    assert not [e for e in compilations if "jaxpr_to_mlir" in e or "backend_compile" in e]
    check("legacy26", again(trace), "host")
    assert list(tmp_path.iterdir()) == [stored]


def test_t37_a_compiled_proof_and_its_tree_0_are_found_again(tmp_path, compilations):
    name, where = WITH_TREE_0
    trace, _ = CASES[name].example()
    check(name, compiled(name, tmp_path)(trace), where)
    stored = sorted(tmp_path.iterdir())
    assert len(stored) == 2
    setup.forget_preprocessed()
    compilations.clear()
    again = compiled(name, tmp_path)
    assert not [e for e in compilations if "jaxpr_to_mlir" in e or "backend_compile" in e]
    check(name, again(trace), where)
    assert sorted(tmp_path.iterdir()) == stored


@pytest.mark.slow
@pytest.mark.parametrize("keep_evaluations", [True, False])
def test_t31_a_batch_has_the_proofs_of_prove(keep_evaluations):
    params = ProofParams(4, 1, 5, 2, 0)
    traces = [replace(CASES["range_sum"], seed=seed).example()[0] for seed in range(3)]
    options = {"params": params, "insecure": True, "implementation": "mosaic_gpu"}
    proofs = jaxstark.prove_batch(
        iter(traces), batch=2, keep_evaluations=keep_evaluations, **options
    )
    assert [p.sha256() for p in proofs] == [jaxstark.prove(t, **options).sha256() for t in traces]
