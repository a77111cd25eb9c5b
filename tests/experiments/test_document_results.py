"""The tables of the documents: those of the results file, and what is not there is refused."""

from __future__ import annotations

import json

import _benchmark
import pytest
from _documents import BLOCK, TABLES, Figures, filled, up

from tests.experiments.test_scripts import REPO, USAGE, assert_one_sentence, last, script

RESULTS = REPO / "results" / "benchmark_results.json"
DOCUMENTS = [REPO / "BUILD_NOTES.md", REPO / "README.md"]


def block(name: str, inside: str = "") -> str:
    return f"<!-- results: {name} -->\n{inside}<!-- end of results -->\n"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_show_the_results_file(path):
    text = path.read_text()
    assert filled(text, Figures(_benchmark.load(RESULTS))) == text


def test_every_table_is_in_a_document_once():
    named = [found[2] for path in DOCUMENTS for found in BLOCK.finditer(path.read_text())]
    assert sorted(named) == sorted(TABLES)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (2.348, 3, "2.35"),
        (2.35, 3, "2.35"),
        (2.3401, 3, "2.35"),
        (0.7427, 3, "0.743"),
        (9.991, 3, "10.0"),
        (99.91, 3, "100"),
        (12345.0, 3, "12400"),
        (0.09951, 2, "0.10"),
        (30.0, 1, "30"),
    ],
)
def test_figures_are_rounded_up(value, digits, text):
    assert up(value, digits) == text


def test_a_table_follows_its_rows_and_the_rest_stays(tmp_path):
    document = json.loads(RESULTS.read_text())
    changed = 0
    for row in document["rows"]:
        subject = (row["section"], row["workload"], row["log_size"], row["params"], row["source"])
        if subject == ("proof", "vm", 16, "stwo-96", "device") and row["transcript"] == "device":
            row["seconds"]["warm"]["median"] = 0.123456
            changed += 1
    assert changed == 1
    results, notes, other = tmp_path / "r.json", tmp_path / "n.md", tmp_path / "o.md"
    results.write_text(json.dumps(document))
    notes.write_text(f"before\n{block('summary', 'old\n')}after\n")
    other.write_text(filled(block("batches"), Figures(document)))
    ran = script("document_results", f"--results={results}", f"--documents={notes},{other}")
    assert ran.returncode == 0, ran.stderr
    assert last(ran)["tables"] == ["summary", "batches"] and last(ran)["changed"] == ["n.md"]
    text = notes.read_text()
    assert text.startswith("before\n<!-- results: summary -->\n| one H200")
    assert text.endswith("|\n<!-- end of results -->\nafter\n")
    assert "| 124 |" in text and "old" not in text


def test_first_proofs_stand_beside_those_with_the_other_transcript():
    document = json.loads(RESULTS.read_text())
    cold = [row for row in document["rows"] if row["section"] == "cold"]
    for number, row in enumerate(cold):
        row["seconds"]["to_proof"] = 100 + number
    of = {(r["workload"], r["cache"], r["transcript"]): r["seconds"]["to_proof"] for r in cold}

    def shown() -> list[list[str]]:
        lines = TABLES["first proofs"](Figures(document)).splitlines()[2:]
        return [[cell.strip() for cell in line.split("|")[4:6]] for line in lines]

    kinds = [(workload, cache) for workload in ("legacy26", "vm") for cache in ("empty", "filled")]
    assert shown() == [[str(of[*k, "device"]), str(of[*k, "host"])] for k in kinds]
    document["rows"] = [r for r in cold if r["transcript"] == "device" or r["workload"] == "vm"]
    assert shown()[0] == [str(of["legacy26", "empty", "device"]), ""]
    assert shown()[3] == [str(of["vm", "filled", "device"]), str(of["vm", "filled", "host"])]


def test_rows_on_a_cpu_stand_in_order_whichever_parameters_were_measured():
    document = json.loads(RESULTS.read_text())

    def shown() -> list[list[str]]:
        lines = TABLES["cpu"](Figures(document)).splitlines()[2:]
        return [[cell.strip() for cell in line.split("|")[1:5]] for line in lines]

    before = shown()
    document["rows"] = [
        row
        for row in document["rows"]
        if (row["platform"], row["workload"], row["log_size"], row["params"])
        != ("cpu", "vm", 16, "stwo-96")
    ]
    after = shown()
    assert [line[0] for line in after] == [line[0] for line in before]
    (at,) = [i for i, line in enumerate(before) if line[0] == "VM, 2^16 steps"]
    assert before[at][3] and after[at] == [before[at][0], "", "", before[at][3]]
    assert after[:at] + after[at + 1 :] == before[:at] + before[at + 1 :]


def test_rows_on_a_cpu_name_the_cores_of_their_hosts():
    document = json.loads(RESULTS.read_text())
    own = [r for r in document["rows"] if r["platform"] == "cpu" and r["log_size"] == 16]
    stwo, published = (
        next(r for r in own if (r["workload"], r["params"]) == ("vm", params))
        for params in ("stwo-96", "published")
    )
    document["rows"] = [stwo]
    run = document["runs"][stwo["run"]]

    def shown() -> str:
        (line,) = TABLES["cpu"](Figures(document)).splitlines()[2:]
        return line.split("|")[5].strip()

    assert shown() == str(run["environment"]["cpu_count"]) == "2"
    other = {"environment": {**run["environment"], "cpu_count": 16}}
    document["runs"].append(other)
    document["rows"].append({**published, "run": len(document["runs"]) - 1})
    assert shown() == "2, 16"


@pytest.mark.parametrize(
    ("texts", "expected", "found"),
    [
        ([block("summary"), block("weather")], "one of proofs, others", "weather"),
        ([block("summary"), "nothing\n"], "<!-- results: name -->", "none"),
    ],
)
def test_nothing_is_written_where_a_table_is_unknown_or_missing(tmp_path, texts, expected, found):
    paths = [tmp_path / f"{i}.md" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    ran = script("document_results", f"--documents={','.join(map(str, paths))}")
    sentence = assert_one_sentence(ran, USAGE)
    assert expected in sentence and found in sentence
    assert [path.read_text() for path in paths] == texts


def test_rows_that_the_stages_need_are_asked_for(tmp_path):
    results = tmp_path / "r.json"
    document = json.loads(RESULTS.read_text())
    document["rows"] = [row for row in document["rows"] if row["log_size"] != 24]
    results.write_text(json.dumps(document))
    notes = tmp_path / "n.md"
    notes.write_text(block("stages"))
    ran = script("document_results", f"--results={results}", f"--documents={notes}")
    assert "2^24" in assert_one_sentence(ran, USAGE)
    assert notes.read_text() == block("stages")


def test_a_file_that_is_missing_is_named(tmp_path):
    ran = script("document_results", f"--documents={tmp_path / 'none.md'}")
    assert "none.md" in assert_one_sentence(ran, USAGE)
