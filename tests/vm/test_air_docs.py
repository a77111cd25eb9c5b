"""docs/obelysk.md says what the AIR is: its columns, counts and rules.

    python -m tests.vm.test_air_docs

prints the table of counts that the page holds.
"""

from __future__ import annotations

import re
from pathlib import Path

from jaxstark.air.legacy26 import legacy26
from jaxstark.fields.qm31 import DEGREE
from jaxstark.vm.air import air_of, template
from jaxstark.vm.circuit import FIELDS
from jaxstark.vm.limits import VALUE_OPS, Limits
from jaxstark.vm.workloads import synthetic

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "obelysk.md").read_text()
AIR = template((1 << len(VALUE_OPS)) - 1)  # with all components
HEADS = (
    *("component", "trace columns", "also read a row back", "lookups", "interaction columns"),
    *("rules", "LogUp constraints", "preprocessed columns"),
)


def counts() -> list[tuple[str | int, ...]]:
    """A row of figures for every component, as ``HEADS`` says."""
    return [
        (
            comp.name,
            len(comp.columns),
            sum(len(offsets) > 1 for offsets in info.offsets),
            info.n_entries,
            DEGREE * info.n_batches,
            info.n_rules,
            info.n_batches,
            len(comp.preprocessed),
        )
        for comp, info in zip(AIR.components, AIR.info.components, strict=True)
    ]


def counts_table() -> str:
    """The table of the page."""
    lines = [HEADS, ("---",) * len(HEADS), *counts()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def section(title: str) -> str:
    """The text below a heading, up to the next one of its level."""
    level = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.M)
    assert level, f"no section {title!r}"
    rest = PAGE[level.end() :]
    following = re.search(rf"^#{{1,{len(level[1])}}} ", rest, re.M)
    return rest[: following.start()] if following else rest


def documented(kind: str) -> dict[str, list[str]]:
    """Names of columns by component, in the order of the table whose second head is ``kind``."""
    table = section("Components and columns").split(f"| component | {kind} | |\n", 1)[1]
    out: dict[str, list[str]] = {}
    for line in table.splitlines()[1:]:
        if not line.startswith("| "):
            break
        component, names = (cell.strip() for cell in line.split("|")[1:3])
        found = re.findall(r"`([\w*]+)`", names)
        assert found, line
        if found == ["rom_*"]:
            found = [f"rom_{name}" for name in FIELDS]
        out.setdefault(component, []).extend(found)
    return out


def test_the_page_has_the_table_of_counts():
    assert counts_table() in PAGE, f"docs/obelysk.md, Counts: expected\n{counts_table()}"


def test_the_counts_are_those_of_the_shape():
    air = template(0)
    shape = air.shape((10, 9, 8))
    for tree, row in ((1, 1), (2, 4), (0, 7)):
        sizes = shape.columns[tree]
        found = [sum(k == size for k in sizes) for size in (10, 9, 8)]
        assert found == [figures[row] for figures in counts()[:3]]
    assert AIR.info.n_constraints == sum(int(row[5]) + int(row[6]) for row in counts())


def test_every_column_is_described_in_its_place():
    assert documented("columns") == {c.name: list(c.columns) for c in AIR.components}
    fixed = {c.name: list(c.preprocessed_names) for c in AIR.components if c.preprocessed}
    assert documented("preprocessed columns") == fixed


def test_every_relation_is_described():
    names = re.findall(r"^\| `(\w+)` \|", section("Relations and public terms"), re.M)
    assert names == [relation.name for relation in AIR.relations]


def test_every_family_of_rules_is_explained():
    text = section("Why it is sound")
    named = set(re.findall(r"`([^`\n]+)`", " ".join(re.findall(r"\*\*([^*]+)\*\*", text))))
    for info in AIR.info.components:
        for rule, _ in info.constraints[: info.n_rules]:
            family, _, part = rule.partition(": ")
            assert {family, part} & named, f"{info.name}, {rule}"
    rules = {rule for info in AIR.info.components for rule, _ in info.constraints}
    spans = re.findall(r"`([^`\n]+)`", text)
    assert {span for span in spans if ": " in span} <= rules


def test_the_step_formula_is_that_of_the_code():
    from jaxstark.vm import circuit

    formula = re.findall(r"^    (?:r|value|next_pc) +=.*$", circuit.__doc__ or "", re.M)
    assert len(formula) == 3
    assert "\n".join(formula) in section("The step")


def test_the_cells_of_a_step_are_those_of_the_shape():
    steps = 1 << 16
    program = synthetic(steps)
    limits = Limits(16, memory_size=0)
    sizes = limits.log_sizes(program)
    columns = air_of(program, limits).shape(sizes).columns
    fixed, trace, interaction = (sum(1 << k for k in tree) / steps for tree in columns)
    figures = (trace, interaction, trace + interaction, fixed)
    row = " | ".join(["| `obelysk`", *(f"{figure:.1f}" for figure in figures)])
    assert f"{row} |" in section("Counts")
    assert f"| {len(legacy26().components[0].columns)}.0 | 0 |" in section("Counts")


if __name__ == "__main__":
    print(counts_table(), end="")
