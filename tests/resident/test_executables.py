"""T37: compiled proofs on disk are found again, and only by what they were compiled from."""

from __future__ import annotations

import os
import pickle
import stat
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from jax.experimental.compilation_cache import compilation_cache  # noqa: E402

from jaxstark import resident, setup  # noqa: E402
from jaxstark.air.registry import SHIPPED  # noqa: E402
from jaxstark.commit import Committed, commit_rows  # noqa: E402
from jaxstark.pallas.hashes import DeviceHashes  # noqa: E402
from jaxstark.params import ProofParams  # noqa: E402
from jaxstark.resident import driver, executables  # noqa: E402
from jaxstark.shape import PREPROCESSED, size_groups  # noqa: E402

ROWS = np.arange(8, dtype=np.uint32)


class Source:
    """A program that counts how often it is lowered."""

    def __init__(self, factor: int = 3) -> None:
        self.factor, self.lowered = factor, 0

    def __call__(self):
        self.lowered += 1
        programs = [
            jax.jit(lambda x: {"out": x * np.uint32(self.factor)}),
            jax.jit(lambda x: x + np.uint32(1)),
        ]
        rows = jax.ShapeDtypeStruct(ROWS.shape, ROWS.dtype)
        return [program.lower(rows) for program in programs], ("like", self.factor)


def load(folder, source, what: Any = "what"):
    (run, more), extra = executables.load_or_compile(folder, what, source)
    assert np.array_equal(more(ROWS), ROWS + 1)
    return np.asarray(run(ROWS)["out"]).tolist(), extra


def files(folder) -> list[Path]:
    return sorted(folder.iterdir())


def expected(factor: int = 3):
    return (ROWS * factor).tolist(), ("like", factor)


@pytest.fixture(autouse=True)
def no_other_cache():
    """XLA for CPUs cannot store again what JAX's own compilation cache gave it."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", before)
    compilation_cache.reset_cache()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made" / "here"


def test_t37_a_second_call_loads_what_the_first_one_stored(folder, compilations):
    first, second = Source(), Source()
    assert load(folder, first) == expected()
    (stored,) = files(folder)
    assert stored.name == executables.key_of("what") + executables.SUFFIX
    compilations.clear()
    assert load(folder, second) == expected()
    assert (first.lowered, second.lowered) == (1, 0)
    assert compilations == []
    assert files(folder) == [stored]


def test_t37_another_description_is_another_program(folder):
    load(folder, Source(), ("air", 8))
    other = Source(5)
    assert load(folder, other, ("air", 9)) == expected(5)
    assert other.lowered == 1 and len(files(folder)) == 2
    assert load(folder, Source(5), ("air", 8)) == expected()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"garbage" * 100,
        lambda data: pickle.dumps(("neither", "nor")),
        lambda data: pickle.dumps(((b"no executable", None, None), "like")),
    ],
    ids=["truncated", "empty", "garbage", "another pickle", "no executable"],
)
def test_t37_a_damaged_file_is_compiled_and_written_again(folder, damage):
    load(folder, Source())
    (stored,) = files(folder)
    stored.write_bytes(damage(stored.read_bytes()))
    again, then = Source(), Source()
    assert load(folder, again) == expected()
    assert load(folder, then) == expected()
    assert (again.lowered, then.lowered) == (1, 0)
    assert files(folder) == [stored]


def test_t37_files_are_for_their_owner_alone(folder):
    mask = os.umask(0)
    try:
        load(folder, Source())
    finally:
        os.umask(mask)
    (stored,) = files(folder)
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_t37_an_error_while_lowering_stores_nothing(folder):
    def fail():
        raise ValueError("no program")

    with pytest.raises(ValueError, match="no program"):
        executables.load_or_compile(folder, "what", fail)
    assert not folder.exists()


def test_t37_the_key_changes_with_everything_below_a_program(monkeypatch):
    keys = [executables.key_of("what"), executables.key_of("other")]
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", "") + " --xla_dump_to=nowhere")
    keys.append(executables.key_of("what"))
    monkeypatch.undo()
    assert executables.key_of("what") == keys[0]
    for target, value in (
        ("jax.__version__", "0.0.1"),
        ("importlib.metadata.version", lambda package: f"0.0.1 of {package}"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, value)
            keys.append(executables.key_of("what"))
    with monkeypatch.context() as patch:
        patch.setattr(executables, "code_hash", lambda: "other code")
        keys.append(executables.key_of("what"))
    assert len(set(keys)) == len(keys)


def test_t37_other_code_is_compiled_again(folder, monkeypatch):
    load(folder, Source())
    monkeypatch.setattr(executables, "code_hash", lambda: "other code")
    other = Source(5)
    assert load(folder, other) == expected(5) and other.lowered == 1


def test_t37_the_code_hash_covers_names_and_contents(tmp_path, monkeypatch):
    monkeypatch.setattr(executables, "_PACKAGE", tmp_path)

    def hashed() -> str:
        return executables.code_hash.__wrapped__()

    (tmp_path / "sub").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    seen = [hashed()]
    (tmp_path / "a.py").write_text("x = 2\n")
    seen.append(hashed())
    (tmp_path / "sub" / "b.py").write_text("")
    seen.append(hashed())
    (tmp_path / "sub" / "b.py").rename(tmp_path / "sub" / "c.py")
    seen.append(hashed())
    (tmp_path / "sub" / "c.py").rename(tmp_path / "c.py")
    seen.append(hashed())
    assert len(set(seen)) == len(seen)
    (tmp_path / "notes.txt").write_text("no code")
    assert hashed() == seen[-1]


def test_t37_the_code_hash_is_that_of_this_package():
    assert (executables._PACKAGE / "resident" / "executables.py").samefile(executables.__file__)


def test_hashes_are_compared_by_value():
    """They are static in a transcript: another value would compile the proof again."""
    assert DeviceHashes() == DeviceHashes() and hash(DeviceHashes()) == hash(DeviceHashes())
    assert DeviceHashes() != DeviceHashes(interpret=True)


@partial(jax.jit, static_argnums=0)
def tree_0(p, t, groups):
    """In place of the stage whose kernels a CPU does not compile."""
    return Committed(tuple(groups), tuple(g + p.params.log_blowup for g in groups), t.forward)


def test_t37_the_program_of_tree_0_is_found_again(folder, monkeypatch, compilations):
    """By its sizes: neither its words nor the AIR's rules are in it."""
    monkeypatch.setattr(driver.stages, "commit_fixed", tree_0)
    air, sizes, *_ = SHIPPED["range_sum"].example(5, 1)

    def groups(sizes, word):
        columns = air.shape(sizes).columns[PREPROCESSED]
        return [np.full((len(m), 1 << k), word, np.uint32) for k, m in size_groups(columns)]

    want = driver.commit_fixed(air, sizes, groups(sizes, 7), 1)
    stored = driver.commit_fixed(air, sizes, groups(sizes, 7), 1, folder)
    (file,) = files(folder)
    tree_0.clear_cache()
    compilations.clear()
    again = driver.commit_fixed(air, sizes, groups(sizes, 7), 1, folder)
    other = driver.commit_fixed(air, sizes, groups(sizes, 8), 1, folder)
    assert compilations == [] and files(folder) == [file]
    for made in (stored, again):
        assert all(map(np.array_equal, jax.tree.leaves(made), jax.tree.leaves(want)))
    assert all(map(np.array_equal, other.coefficients, groups(sizes, 8)))
    for larger, log_blowup in ((sizes, 2), ((sizes[0] + 1, *sizes[1:]), 1)):
        driver.commit_fixed(air, larger, groups(larger, 7), log_blowup, folder)
    assert len(files(folder)) == 3


def test_t37_tree_0_is_committed_once_whatever_folder_has_its_program(folder, monkeypatch):
    """The key does not depend on it, nor what is kept for the next proof."""
    air, sizes, *_ = SHIPPED["range_sum"].example(5, 1)
    asked = []

    def commit(air, log_sizes, groups, log_blowup, folder):
        asked.append(folder)
        return commit_rows(groups, log_blowup)

    monkeypatch.setattr(resident, "commit_fixed", commit)
    # A name that no other implementation has: this one is chosen for the kernels alone.
    monkeypatch.setattr(setup, "choose", lambda *_: "mosaic_gpu")
    setup.forget_preprocessed()
    params = ProofParams(0, 1, 3, 2, 1)
    keys = [setup.setup(air, sizes, params, cache_dir=where) for where in (folder, None, "other")]
    setup.forget_preprocessed()
    assert asked == [folder] and keys[0] == keys[1] == keys[2]
