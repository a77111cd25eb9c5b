"""The architecture holds: who imports whom, what library code may not contain (T40)."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "jaxstark"
MAX_LINES = 400
ORDER = 2**31 - 1

# What prover and verifier may have in common (T40).
SHARED = {
    *("errors", "types", "fields", "circle", "hash", "channel", "profile"),
    *("proof", "wire", "key", "params", "security", "plan", "shape", "air", "statement", "trace"),
    "queries",
}
# Stages of the prover and what only a prover runs.
PROVER_SIDE = {
    *("prover", "commit", "composition", "interaction", "logup", "oods", "deep", "fri", "grind"),
    *("fft", "fft_reference", "twiddles", "merkle", "setup", "compiled", "pallas", "opening"),
    *("batch", "resident", "transcript", "implementation", "inputs", "deep_coefficients"),
}
VERIFIER_SIDE = {"verifier", "pcs_verify", "fri_verify", "merkle_verify"}
PROGRAMS = {"prover", "verifier"}
MAY_IMPORT_PROGRAMS = {"prover", "verifier", "compiled", "batch", "__main__", "starknet"}
# A method of the shared ``Air`` forwards to the prover's set-up when it is called, never before.
FACADES = {("jaxstark.air.definition", "jaxstark.setup")}
# The lowest layers may import only what stands here, and themselves.
FOUNDATIONS = {
    "errors": "",
    "fields": "errors types",
    "circle": "errors types fields",
    "shape": "errors",
    "hash": "errors types fields channel",
}


def name_of(path: Path) -> str:
    parts = ("jaxstark", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(p): p for p in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in PATHS.items()}


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_of(name: str, tree: ast.AST, lazy: bool) -> Iterator[str]:
    """Names that a module imports; inside functions too if ``lazy``, never for types only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if PATHS[name].stem == "__init__" else name.rpartition(".")[0]
                for _ in range(node.level - 1):
                    package = package.rpartition(".")[0]
                base = f"{package}.{base}".rstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in PATHS else base
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            for other in node.orelse:
                yield from imports_of(name, other, lazy)
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_of(name, node, lazy)


def edges(lazy: bool) -> dict[str, set[str]]:
    return {name: set(imports_of(name, tree, lazy)) for name, tree in TREES.items()}


def closure(start: str, graph: dict[str, set[str]]) -> set[str]:
    """Modules reached from ``start``; the package root, which only re-exports, is left out."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name in seen or name == "jaxstark" or name not in graph:
            continue
        seen.add(name)
        todo += [to for to in graph[name] if (name, to) not in FACADES]
    return seen


def part_of(name: str) -> str:
    """``fields`` of ``jaxstark.fields.m31``; ``proof`` of ``jaxstark.proof_json``."""
    first = name.split(".")[1]
    return "proof" if first.startswith("proof_") else first


def parts(names: set[str]) -> set[str]:
    return {part_of(n) for n in names if n.startswith("jaxstark.")}


def who_imports(forbidden: set[str], start: str) -> list[tuple[str, str]]:
    """Edges from what ``start`` reaches, lazily too, into a forbidden part."""
    graph = edges(lazy=True)
    return sorted(
        (name, to)
        for name in closure(start, graph)
        for to in graph[name]
        if to.startswith("jaxstark.") and part_of(to) in forbidden
        if (name, to) not in FACADES and (name != start or part_of(to) != part_of(start))
    )


def test_the_scan_sees_the_package():
    assert {"jaxstark.fields.m31", "jaxstark.verifier", "jaxstark.prover"} <= set(PATHS)
    assert {"jax", "jax.numpy"} & edges(lazy=True)["jaxstark.fields.m31"]
    assert "jaxstark.fields.m31" in closure("jaxstark.verifier", edges(lazy=False))


def test_t40_importing_jaxstark_imports_no_jax():
    code = (
        "import sys, jaxstark, jaxstark.verifier, jaxstark.proof, jaxstark.key\n"
        "import jaxstark.air.registry, jaxstark.__main__, jaxstark.doctor\n"
        "jaxstark.verify, jaxstark.Proof, jaxstark.ProofParams, jaxstark.VerificationError\n"
        "bad = sorted(m for m in sys.modules if m == 'jax' or m.startswith(('jax.', 'jaxlib')))\n"
        "sys.exit(f'imported: {bad[:3]}' if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_t40_the_scan_knows_an_import_from_a_lazy_one():
    tree = ast.parse(
        "import a\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\n"
        "def f():\n    import c\nclass C:\n    import d\ntry:\n    import e\nexcept E:\n    pass"
    )
    assert set(imports_of("x", tree, lazy=False)) == {"a", "typing", "d", "e"}
    assert set(imports_of("x", tree, lazy=True)) == {"a", "typing", "c", "d", "e"}


def test_t40_what_a_verifier_loads_needs_no_jax():
    at_import = edges(lazy=False)
    verifier = closure("jaxstark.verifier", edges(lazy=True))
    shared = {n for n in PATHS if n != "jaxstark" and part_of(n) in SHARED}
    for name in sorted(verifier | shared | {"jaxstark"}):
        for module in closure(name, at_import) | {name}:
            jax = sorted(m for m in at_import[module] if m.split(".")[0] in ("jax", "jaxlib"))
            assert not jax, f"{name} loads {module}, which imports {jax}"


def test_t40_verifier_never_imports_the_prover():
    assert who_imports(PROVER_SIDE, "jaxstark.verifier") == []


def test_t40_prover_never_imports_the_verifier():
    assert who_imports(VERIFIER_SIDE, "jaxstark.prover") == []


def test_t40_prover_and_verifier_share_definitions_only():
    graph = edges(lazy=True)
    both = closure("jaxstark.verifier", graph) & closure("jaxstark.prover", graph)
    assert parts(both) <= SHARED, sorted(n for n in both if part_of(n) not in SHARED)


@pytest.mark.parametrize("part", sorted(FOUNDATIONS))
def test_foundations_import_only_what_is_below(part):
    allowed = {part, *FOUNDATIONS[part].split()}
    graph = edges(lazy=True)
    for name in PATHS:
        if name != "jaxstark" and part_of(name) == part:
            assert parts(graph[name]) <= allowed, name


def test_stages_never_import_the_programs():
    for name, reached in edges(lazy=True).items():
        if name != "jaxstark" and part_of(name) not in MAY_IMPORT_PROGRAMS:
            assert not parts(reached) & PROGRAMS, name


def test_library_never_imports_tests_or_experiments():
    for name, reached in edges(lazy=True).items():
        tops = {r.split(".")[0] for r in reached}
        assert not tops & {"tests", "experiments", "_record", "absl", "matplotlib", "pytest"}, name


def offenders(is_offence: Callable[[ast.AST], bool]) -> list[str]:
    """``module:line`` of every node of the library that offends."""
    return [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if is_offence(node)
    ]


def test_library_has_no_assert():
    assert offenders(lambda node: isinstance(node, ast.Assert)) == []


def test_only_the_command_line_prints():
    def prints(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and ast.unparse(node.func) == "print"

    assert [o for o in offenders(prints) if not o.startswith("jaxstark.__main__:")] == []


def test_library_never_changes_global_jax_configuration():
    def changes(node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            return ast.unparse(node.func).endswith("config.update")
        if isinstance(node, ast.Assign):
            return any("jax.config." in ast.unparse(target) for target in node.targets)
        return False

    assert offenders(changes) == []


def test_modules_stay_readable():
    counts = {name: len(path.read_text().splitlines()) for name, path in PATHS.items()}
    assert {name: count for name, count in counts.items() if count > MAX_LINES} == {}


def is_field_order(node: ast.AST) -> bool:
    """Whether a node is the order of the field, as a number or as a difference of constants."""
    value = None
    if isinstance(node, ast.Constant):
        value = node.value
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        # A difference that names something is no constant.
        with contextlib.suppress(Exception):
            value = eval(ast.unparse(node), {"__builtins__": {}})
    return type(value) is int and value == ORDER


def test_field_order_is_written_in_fields_only():
    assert [o for o in offenders(is_field_order) if not o.startswith("jaxstark.fields.")] == []


@pytest.mark.parametrize("text", ["2147483647", "0x7fffffff", "2**31 - 1", "(1 << 31) - 1"])
def test_the_scan_knows_the_field_order(text):
    assert any(map(is_field_order, ast.walk(ast.parse(f"x = f({text})"))))
    assert not any(map(is_field_order, ast.walk(ast.parse(f"x = n - 1, 2**31, {text!r}"))))


def test_tests_run_under_strict_promotion():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp
    import numpy as np

    assert jax.config.jax_numpy_rank_promotion == "raise"
    with pytest.raises(Exception, match="promotion"):
        jnp.add(jnp.zeros(2, np.uint32), jnp.zeros(2, np.int32))


def test_one_version():
    import jaxstark

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert jaxstark.__version__ == project["version"]
