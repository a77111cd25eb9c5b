"""What each launch of the DEEP kernel reads: fixed by a plan, without any data.

A kernel adds up the columns of one size for the numerators of all points that use one of them, so
that a column is read once. Kernels of small sizes share a launch. The last one has the size of the
result and all points, and starts from the numerators of the others, lifted.

Of arrays that come later each has a kernel of its own, which starts from the numerators of the one
before, so that one of them is there at a time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from jaxstark.deep import DeepPlan
from jaxstark.pallas.deep.config import LOG_LANES, DeepConfig

# A block of 128 words, or 512 with four words a thread, sees one pair of a column that is smaller
# by these factors.
_SPREAD_LOG = LOG_LANES + 2 - 1


class Run(NamedTuple):
    """Consecutive rows of one group and, for each point that uses them, consecutive terms.

    Attributes:
      tree: of the group.
      group: index within the tree.
      log: log2 of the rows of the group.
      row: the first column.
      count: columns.
      terms: ``(point, first term)`` for every point, ascending.
    """

    tree: int
    group: int
    log: int
    row: int
    count: int
    terms: tuple[tuple[int, int], ...]


class Step(NamedTuple):
    """One kernel.

    Attributes:
      log: log2 of its rows.
      points: whose numerators it computes, ascending.
      runs: what it adds.
    """

    log: int
    points: tuple[int, ...]
    runs: tuple[Run, ...]


@lru_cache(maxsize=64)
def steps(
    plan: DeepPlan, config: DeepConfig, later: frozenset[tuple[int, int]] = frozenset()
) -> tuple[Step, ...]:
    """The kernels of a plan with ``log_domain >= 7``, the last one with all points.

    ``later``: tree and group of the arrays that come later. Kernels of one size follow each other,
    with the same points; each but the last one reads one such array and nothing else.
    """
    by_size: dict[int, dict[tuple[int, int, int], dict[int, int]]] = {}
    term = 0
    for point, sizes in enumerate(plan.terms):
        for log, terms in sizes:
            for t in terms:
                column = by_size.setdefault(log, {}).setdefault((t.tree, t.group, t.row), {})
                column[point] = term
                term += 1
    launches: dict[int, list[Run]] = {plan.log_domain: []}
    left = 0 if later else config.merged_columns
    for log, columns in sorted(by_size.items()):
        if log <= plan.log_domain - _SPREAD_LOG and len(columns) <= left:
            left -= len(columns)
            target = plan.log_domain
        else:
            target = max(log, LOG_LANES)
        launches.setdefault(target, []).extend(_runs(log, columns))
    out: list[Step] = []
    for log, runs in sorted(launches.items()):
        points = sorted({point for run in runs for point, _ in run.terms})
        if log == plan.log_domain:
            points = range(len(plan.points))
        out += [Step(log, tuple(points), some) for some in _turns(runs, later)]
    return tuple(out)


def _turns(runs: list[Run], later: frozenset[tuple[int, int]]) -> list[tuple[Run, ...]]:
    """What the kernels of one size read: one array that comes later each, the last one the rest."""
    apart: dict[tuple[int, int], list[Run]] = {}
    rest = []
    for run in runs:
        if (run.tree, run.group) in later:
            apart.setdefault((run.tree, run.group), []).append(run)
        else:
            rest.append(run)
    *turns, last = [*apart.values()] or [[]]
    return [*map(tuple, turns), (*rest, *last)]


def spread(log: int, log_size: int, words: int) -> bool:
    """Whether the lift of ``2^log`` rows shows one pair to all ``128 words`` rows of a load."""
    return (2 << (log_size - log)) >= (words << LOG_LANES)


def _runs(log: int, columns: dict[tuple[int, int, int], dict[int, int]]) -> list[Run]:
    runs: list[Run] = []
    for (tree, group, row), used in sorted(columns.items()):
        terms = tuple(sorted(used.items()))
        before = runs[-1] if runs else None
        if before and (tree, group, row) == (before.tree, before.group, before.row + before.count):
            following = tuple((p, first + before.count) for p, first in before.terms)
            if terms == following:
                runs[-1] = before._replace(count=before.count + 1)
                continue
        runs.append(Run(tree, group, log, row, 1, terms))
    return runs
