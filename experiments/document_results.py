"""Write the tables of results into the documents that show them.

    python experiments/document_results.py
    python experiments/document_results.py --results=out/results.json --documents=notes.md

A document holds pairs of lines, ``<!-- results: proofs -->`` and ``<!-- end of results -->``; the
table between them is written anew from the results file. Nothing is written if a table is unknown
or its rows are missing. The last line is one JSON object.
"""

from __future__ import annotations

from pathlib import Path

import _benchmark
import _record
import _script
from _documents import BLOCK, Figures, filled
from absl import flags

from jaxstark.proof import write_atomically

FLAGS = flags.FLAGS
REPO = Path(_script.REPO)
flags.DEFINE_string(
    "results", str(REPO / "results" / "benchmark_results.json"), "Results file of the benchmark."
)
flags.DEFINE_list(
    "documents", [str(REPO / "BUILD_NOTES.md"), str(REPO / "README.md")], "Markdown files."
)


def main() -> int:
    figures = Figures(_benchmark.load(Path(FLAGS.results)))
    before = {path: path.read_text() for path in map(Path, FLAGS.documents)}
    for path, text in before.items():
        if not BLOCK.search(text):
            raise _script.UsageError(
                f"{path}: expected a table between '<!-- results: name -->' and "
                "'<!-- end of results -->', got none"
            )
    after = {path: filled(text, figures) for path, text in before.items()}
    changed = [path for path, text in after.items() if text != before[path]]
    for path in changed:
        write_atomically(path, after[path].encode())
    tables = [found[2] for text in before.values() for found in BLOCK.finditer(text)]
    _record.last_line(
        {
            "experiment": "document_results",
            "tables": tables,
            "changed": [path.name for path in changed],
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
