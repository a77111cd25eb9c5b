"""Stage times from a profile: every kernel belongs to the stage that it is part of."""

from __future__ import annotations

import gzip
import json

import _benchmark_profile as profile
import pytest
from _benchmark_profile import Event

# Kernels of a proof with lookups, in order, and the stages that they belong to.
PROOF = [
    ("loop_minimum_fusion", "commit trace"),
    ("fft_tile_pass_mosaic_gpu_kernel", "commit trace"),
    ("blake2s_Tree_mosaic_gpu_kernel", "commit trace"),
    ("blake2s_climb_from_mosaic_gpu_kernel", "commit trace"),
    ("constraints_fractions_mosaic_gpu_kernel", "commit interaction"),
    ("fft_tile_pass_mosaic_gpu_kernel", "commit interaction"),
    ("blake2s_Tree_mosaic_gpu_kernel", "commit interaction"),
    ("constraints_quotient_mosaic_gpu_kernel", "commit composition"),
    ("constraints_quotient_mosaic_gpu_kernel", "commit composition"),
    ("blake2s_Tree_mosaic_gpu_kernel", "commit composition"),
    ("oods_drawn_bases_mosaic_gpu_kernel", "evaluate out of domain"),
    ("channel_step_and_constraints_check_mosaic_gpu_kernel", "evaluate out of domain"),
    ("deep_launch_mosaic_gpu_kernel", "DEEP quotients"),
    ("deep_run_mosaic_gpu_kernel", "DEEP quotients"),
    ("blake2s_Tree_mosaic_gpu_kernel", "FRI"),
    ("fri_fold_mosaic_gpu_kernel", "FRI"),
    ("fri_tail_mosaic_gpu_kernel", "FRI"),
    ("channel_step_mosaic_gpu_kernel", "FRI"),
    ("grind_search_mosaic_gpu_kernel", "proof of work"),
    ("channel_mix_and_draw_blocks_mosaic_gpu_kernel", "open"),
    ("loop_concatenate_fusion", "open"),
]


def events(names) -> list[Event]:
    return [Event(10.0 * i, 1 << i, name) for i, name in enumerate(names)]


@pytest.mark.parametrize("without", [(), ("commit interaction", "proof of work")])
def test_every_kernel_belongs_to_its_stage(without):
    proof = [(name, stage) for name, stage in PROOF if stage not in without]
    want: dict[str, float] = {}
    for event, (_, stage) in zip(events(n for n, _ in proof), proof, strict=True):
        want[stage] = want.get(stage, 0.0) + event.duration / 1e6
    assert profile.by_stage(events(n for n, _ in proof)) == pytest.approx(want)


def test_operations_have_the_median_of_their_seconds(monkeypatch):
    times = [(1, 9), (2, 7), (4, 8)]
    runs = iter([[profile.Event(0, a, "a"), profile.Event(9, b, "b")] for a, b in times])
    monkeypatch.setattr(profile, "profiled", lambda run: next(runs))
    assert profile.operations(lambda: None) == [("a", 2e-6), ("b", 8e-6)]
    monkeypatch.setattr(profile, "profiled", lambda run: [])
    assert profile.operations(lambda: None) == []


def test_names_are_those_of_the_kernels():
    """What a stage begins with is the folder and the function of a kernel that there is."""
    jax = pytest.importorskip("jax")
    from jaxstark.air.registry import SHIPPED
    from jaxstark.resident import driver
    from tests.resident.test_program import program

    assert jax.default_backend() and "range_sum" in SHIPPED
    (lowered,) = driver.lower(program("range_sum", 12), lowering_platforms=("cuda",))
    text = lowered.as_text()
    for prefix, stage in profile.BEGINS:
        assert prefix in text, stage


def test_a_profile_has_the_operations_of_the_streams_only(tmp_path):
    def name(kind: str, pid: int, tid: int | None, text: str) -> dict:
        place = {"pid": pid} | ({} if tid is None else {"tid": tid})
        return {"ph": "M", "name": kind, "args": {"name": text}, **place}

    def operation(pid: int, tid: int, ts: float, text: str) -> dict:
        return {"ph": "X", "pid": pid, "tid": tid, "ts": ts, "dur": 2.0, "name": text}

    trace = [
        name("process_name", 1, None, "/device:GPU:0"),
        name("thread_name", 1, 7, "Stream #14(Compute)"),
        name("thread_name", 1, 8, "XLA Ops"),
        name("process_name", 2, None, "/host:CPU"),
        name("thread_name", 2, 7, "Stream of the host"),
        operation(1, 7, 5.0, "second"),
        operation(1, 7, 1.0, "first"),
        operation(1, 7, 9.0, "MemcpyD2H"),
        operation(1, 8, 2.0, "the same again"),
        operation(2, 7, 3.0, "python"),
    ]
    path = tmp_path / "plugins" / "host.trace.json.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(json.dumps({"traceEvents": trace}).encode()))
    assert profile.read(tmp_path) == [Event(1.0, 2.0, "first"), Event(5.0, 2.0, "second")]
    assert profile.read(tmp_path / "elsewhere") == []
