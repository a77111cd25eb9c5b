"""Delete every rule of the Obelysk AIR, one at a time, and show which forgeries notice.

    python experiments/vm_mutations.py

A mutant is detected by the forgeries that it accepts (their tests in tests/soundness then fail), by
forgeries of which it no longer names all that is broken, or by the honest trace, whose lookups no
longer balance. Prints markdown tables and exits with 1 if a mutant survives. Needs NumPy only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import _record
import _script
from absl import flags

from tests.soundness.vm_forgeries import ALL
from tests.soundness.vm_mutants import (
    CONSTRAINT,
    ENTRY,
    HONEST,
    Mutant,
    Verdict,
    mutants,
    verdict,
)
from tests.soundness.vm_program import honest

FLAGS = flags.FLAGS
flags.DEFINE_bool("totals", False, "Print the totals only.")
flags.DEFINE_integer("names", 1, "Forgeries to name for each mutant.", lower_bound=1)

Row = tuple[Mutant, Verdict]


def detected_by(found: Verdict, names: int) -> str:
    """The cell of the table that names what detects a mutant."""
    if not found.tests:
        return "**nothing**"
    forgeries = [*found.accepted] or [f"{name} (names fewer rules)" for name in found.implied]
    shown = [f"“{name}”" for name in forgeries[:names]]
    if len(forgeries) > names:
        shown.append(f"{len(forgeries) - names} more")
    return ", ".join([*shown, *[HONEST] * found.honest])


def totals(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Counts by component, and of all together."""
    groups = dict.fromkeys(mutant.component for mutant, _ in rows)
    out = []
    for name in (*groups, "all"):
        part = [(m, v) for m, v in rows if name in (m.component, "all")]
        out.append(
            {
                "component": name,
                "constraints": sum(m.kind == CONSTRAINT for m, _ in part),
                "entries": sum(m.kind == ENTRY for m, _ in part),
                "others": sum(m.kind not in (CONSTRAINT, ENTRY) for m, _ in part),
                "forgery": sum(bool(v.accepted) for _, v in part),
                "false": sum(v.false for _, v in part),
                "implied": sum(bool(v.implied and not v.accepted) for _, v in part),
                "honest_only": sum(v.tests == (HONEST,) for _, v in part),
                "survivors": sum(not v.tests for _, v in part),
            }
        )
    return out


def main() -> int:
    started = time.perf_counter()
    rows = [(mutant, verdict(mutant)) for mutant in mutants()]
    seconds = time.perf_counter() - started
    if not FLAGS.totals:
        print("| component | deleted | lets a false statement through | detected by |")
        print("|---|---|---|---|")
        for mutant, found in rows:
            says = "yes" if found.false else ""
            cells = (mutant.component, mutant.title, says, detected_by(found, FLAGS.names))
            print("| " + " | ".join(cells) + " |")
        print()
    print(
        "| component | constraints | entries | all of a relation | a forgery is accepted | of a "
        "false statement | implied by others | only the honest trace fails | survivors |"
    )
    print("|---" * 9 + "|")
    summary = totals(rows)
    for counts in summary:
        print("| " + " | ".join(map(str, counts.values())) + " |")
    survivors = [f"{mutant.component}: {mutant.title}" for mutant, found in rows if not found.tests]
    print(
        f"\n{len(rows)} mutants, {len(ALL)} forgeries, {len(survivors)} survivors, {seconds:.0f} s"
    )
    for name in survivors:
        print(f"survives: {name}")
    _record.last_line(
        {
            "experiment": "vm_mutations",
            "air": honest().air.structure.name,
            "mutants": len(rows),
            "forgeries": len(ALL),
            "survivors": survivors,
            "totals": summary,
            "seconds": round(seconds, 1),
            "environment": _record.environment(),
        }
    )
    return _script.FAILED if survivors else _script.OK


if __name__ == "__main__":
    _script.run(main)
