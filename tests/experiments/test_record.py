"""Result rows are whole, appended, and say where they come from."""

from __future__ import annotations

import json
import threading
import types

import _record
import pytest

import jaxstark
from jaxstark import doctor


def test_environment_names_code_machine_and_versions():
    env = _record.environment()
    assert env["cpu_count"] >= 1
    assert env["python"].startswith("3.")
    assert env["versions"]["numpy"]
    assert {"jaxstark", "jax", "jaxlib", "numpy"} <= set(env["versions"])
    assert env["versions"]["jaxstark"] == jaxstark.__version__
    assert env["git_sha"] is None or len(env["git_sha"]) == 40
    assert env["git_dirty"] in (None, True, False)
    assert json.loads(_record.compact(env)) == env


def test_environment_names_the_device():
    pytest.importorskip("jax")
    env = _record.environment()
    assert env["platform"] == "cpu"
    assert env["device_kind"]
    assert env["device_count"] >= 1
    assert env["platform_version"] == "cpu" and env["driver"] is None


def test_environment_names_the_driver_and_the_plug_in_of_a_gpu(monkeypatch):
    class Device:
        platform, device_kind = "gpu", "a GPU"
        client = types.SimpleNamespace(platform_version="cuda 13000")

    monkeypatch.setattr(pytest.importorskip("jax"), "devices", lambda: [Device()])
    versions = {"jax-cuda13-plugin": "0.11.2"}
    monkeypatch.setattr(doctor, "nvidia", lambda: ("nvidia-smi 580.1", "13.0", ()))
    monkeypatch.setattr(doctor, "package_version", versions.get)
    env = _record.environment()
    assert (env["driver"], env["platform_version"]) == ("nvidia-smi 580.1", "cuda 13000")
    assert env["versions"]["jax-cuda13-plugin"] == "0.11.2" and env["versions"]["jax"] is None
    assert "jax-cuda12-plugin" not in env["versions"]


def test_environment_outside_a_clone_has_no_sha(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "REPO", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    env = _record.environment()
    assert env["git_sha"] is None
    assert env["git_dirty"] is None


def test_rows_are_appended_in_order(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    for i in range(3):
        _record.write_record(path, {"i": i})
    assert path.read_text() == '{"i":0}\n{"i":1}\n{"i":2}\n'
    assert _record.read_records(path) == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_a_torn_row_is_closed_and_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"i":0}\n{"i":')
    _record.write_record(path, {"i": 2})
    assert _record.read_records(path) == [{"i": 0}, {"i": 2}]


def test_concurrent_rows_do_not_interleave(tmp_path):
    path = tmp_path / "rows.jsonl"

    def write(worker: int) -> None:
        for i in range(20):
            _record.write_record(path, {"worker": worker, "i": i, "pad": "x" * 3000})

    threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 80
    assert [r["i"] for r in rows if r["worker"] == 2] == list(range(20))


def test_a_figure_that_is_no_number_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    with pytest.raises(ValueError, match="JSON"):
        _record.write_record(path, {"seconds": float("nan")})
    assert not path.exists()


def test_last_line_is_compact_json(capsys):
    print("text for people")
    _record.last_line({"accepted": True, "seconds": 0.5})
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == '{"accepted":true,"seconds":0.5}'


def test_cache_is_set_up_only_on_demand(tmp_path, monkeypatch):
    jax = pytest.importorskip("jax")
    updates = {}
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    assert _record.setup_jax_cache(None) is None
    assert _record.setup_jax_cache("none") is None
    assert updates == {}
    assert _record.setup_jax_cache(tmp_path / "own") == tmp_path / "own"
    assert updates["jax_compilation_cache_dir"] == str(tmp_path / "own")
    assert updates["jax_persistent_cache_min_compile_time_secs"] == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _record.setup_jax_cache("") == tmp_path / "xdg" / "jaxstark" / "jax"
    assert (tmp_path / "xdg" / "jaxstark" / "jax").is_dir()
