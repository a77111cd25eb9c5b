"""The documents are true: their Python runs, their links lead somewhere, their tables agree."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*REPO.glob("*.md"), *(REPO / "docs").glob("*.md")])
NOTEBOOK = REPO / "docs" / "quickstart.ipynb"
# A block that is not to be run says so: ```python no-run.
BLOCK = re.compile(r"^```python *([^\n]*)\n(.*?)^```$", re.M | re.S)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:docs|jaxstark|tests|experiments)/[\w./-]+)`")


def name_of(path: Path) -> str:
    return str(path.relative_to(REPO))


def blocks(path: Path) -> list[tuple[int, str]]:
    """Line and text of every Python block that is to be run."""
    text = path.read_text()
    return [
        (text.count("\n", 0, m.start(2)) + 1, m[2])
        for m in BLOCK.finditer(text)
        if "no-run" not in m[1].split()
    ]


def anchors(path: Path) -> set[str]:
    """What a link into a document may name, as GitHub spells it."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", path.read_text()), re.M)
    plain = (re.sub(r"[^\w\- ]", "", h.lower()) for h in headings)
    return {h.strip().replace(" ", "-") for h in plain}


def broken_links(path: Path) -> list[str]:
    """Links to files or headings that are not there."""
    out = []
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            out.append(target)
    return out


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if blocks(p)], ids=name_of)
def test_python_blocks_run_as_printed(path, tmp_path, monkeypatch):
    pytest.importorskip("jax")
    if "vm.execute" in path.read_text():
        pytest.importorskip("numba", reason="numba is missing: the executor was not run")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for line, text in blocks(path):
            # Blank lines in front give errors the line numbers of the document.
            exec(compile("\n" * (line - 1) + text, str(path), "exec"), namespace)


def test_the_protocol_has_blocks_that_run():
    assert len(blocks(REPO / "docs" / "protocol.md")) >= 3


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    assert broken_links(path) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_named_files_exist(path):
    named = set(PATH.findall(path.read_text()))
    assert sorted(n for n in named if not (REPO / n).exists()) == []


def test_the_scan_knows_a_broken_link(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, of sorts\n[a](page.md) [b](#a-title-of-sorts) [c](gone.md) [d](#gone)\n"
        "[e](https://example.org/x)\n```text\n[f](also-gone.md)\n```\n"
    )
    assert broken_links(page) == ["gone.md", "#gone"]


def test_the_scan_knows_blocks():
    text = "```python\na = 1\n```\n\n```python no-run\nb\n```\n```sh\nc\n```\n"
    assert [m[1] for m in BLOCK.finditer(text)] == ["", "no-run"]


def test_the_soundness_table_names_tests_that_exist():
    text = (REPO / "docs" / "soundness.md").read_text()
    rows = re.findall(r"^\| T(\d+) \|.*\|([^|]*)\|$", text, re.M)
    assert len(rows) > 25
    for number, cell in rows:
        files = re.findall(r"`([^`]+)`", cell)
        assert files, f"T{number} names no file"
        for file in files:
            tests = re.findall(r"def test_((?:t\d+_)+)", (REPO / file).read_text())
            assert any(f"t{number}_" in f"_{t}" for t in tests), f"T{number} is not in {file}"


def test_the_accuracies_are_those_of_the_model_files():
    page = (REPO / "docs" / "obelysk.md").read_text()
    models = sorted((REPO / "experiments" / "models").glob("*.json"))
    assert [model.stem for model in models] == ["digits", "iris"]
    for model in models:
        network = json.loads(model.read_text())
        accuracy = network["provenance"]["accuracy"]
        shares = [accuracy[kind][of] for of in ("all", "held_out") for kind in accuracy]
        cells = " | ".join(f"{100 * share:.2f} %" for share in shares)
        rule = network["quantisation"]
        (row,) = re.findall(rf"^\| {model.stem} \|.*$", page, re.M)
        assert f"| {rule['input_scale']} | {rule['fraction_bits']} |" in row
        assert row.endswith(f"| {cells} |")


def test_the_training_loop_is_the_one_that_is_tested():
    source = (REPO / "tests" / "experiments" / "test_inference.py").read_text()
    loop = re.search(r'OWN_NETWORK = """\n(.*?)"""', source, re.S)
    assert loop and any(text == loop[1] for _, text in blocks(REPO / "docs" / "obelysk.md"))


def test_the_notebook_is_a_notebook():
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch):
    pytest.importorskip("jax")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(REPO)}}
    )
    client.execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "accepted" in printed
    assert "rejected" in printed
