r"""What proofs cost: device time of a results file, felts and gas on Starknet, at given prices.

    python experiments/economics.py --results=results/benchmark_results.json \
        --device_per_hour_usd=3 --strk_usd=0.1 --charge_usd=0.05 --utilisation=0.5
    python experiments/economics.py .. --scope=job  # execution, trace and verification, too
    python experiments/economics.py .. --proof=p.bin --key=k.json  # felts of a proof
    python experiments/economics.py .. --published=experiments/published_claims.json

Prices have no defaults, except the least gas price of the protocol. Times are those of measured,
verified rows. ``--published`` takes a file of published figures (``_economics_published.py``), puts
their inputs beside the measured rows and recomputes what is claimed to follow from them. A table, a
picture, and one JSON object as the last line. docs/starknet.md, section "Costs".
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import _benchmark
import _economics_claims
import _economics_felts
import _economics_published
import _economics_tables as tables
import _economics_verdicts as judged
import _record
import _script
from _economics import SCOPES, SECTIONS, Prices, chain_strk, check_rows, cost, timing, usable
from _economics_tables import Line
from absl import flags

from jaxstark.starknet import envelope, sizes
from jaxstark.starknet.header import ENCODINGS, HEADER_FELTS

FLAGS = flags.FLAGS
flags.DEFINE_string("results", None, "Results file of benchmark_pipeline.py.", required=True)
flags.DEFINE_float("device_per_hour_usd", None, "Price of the device's hour.", required=True)
flags.DEFINE_float("utilisation", 1.0, "Share of the paid time in which the device proves.")
flags.DEFINE_integer(
    "gas_price_fri",
    sizes.MINIMUM_PRICE,
    "FRI per L2 gas; by default the least that the protocol takes.",
    lower_bound=1,
)
flags.DEFINE_float("strk_usd", None, "USD for one STRK; without it, no cost of the chain in USD.")
flags.DEFINE_float("charge_usd", None, "What is charged for a proof, to break even.")
flags.DEFINE_bool("chain", True, "Count a record of each proof on Starknet.")
flags.DEFINE_enum("scope", "proof", SCOPES, "job: with execution, trace and verification.")
flags.DEFINE_enum("encoding", "limb248", list(ENCODINGS), "Encoding of the messages.")
flags.DEFINE_integer(
    "max_felts",
    envelope.DEFAULT_CHUNK,
    "Felts of a message.",
    lower_bound=HEADER_FELTS + 2,
    upper_bound=envelope.MAX_CALLDATA - envelope.CALL_FELTS,
)
flags.DEFINE_integer("felts", None, "Felts of the message of all rows, header included.")
flags.DEFINE_string("proof", None, "Proof whose packed felts count for the rows that it fits.")
flags.DEFINE_string("key", None, "Its key.")
flags.DEFINE_string("public", None, "JSON object of its public values.")
flags.DEFINE_string("air", None, "module:attribute of its AIR, if it is not shipped.")
flags.DEFINE_string("published", None, "File of published figures to compare and to check.")
flags.DEFINE_bool("insecure", False, "Take rows and proofs without security, too, marked !.")
flags.DEFINE_list("sections", None, "Only these: proof, throughput.")
flags.DEFINE_list("workloads", None, "Only these workloads.")
flags.DEFINE_list("log_sizes", None, "Only these sizes.")
flags.DEFINE_list("params", None, "Only these parameters.")
flags.DEFINE_list("sources", None, "Only these sources of the trace.")
flags.DEFINE_list("transcripts", None, "Only these transcripts.")
flags.DEFINE_list("batch", None, "Only throughput with these batches.")
flags.DEFINE_string("out", "out/economics.png", "Picture to write (.png, .svg or .pdf).")
flags.DEFINE_bool("plot", True, "Draw the picture.")
flags.DEFINE_integer("dpi", 110, "Resolution.", lower_bound=30, upper_bound=600)

FILTERS = {
    **{"sections": "section", "workloads": "workload", "log_sizes": "log_size"},
    **{"params": "params", "sources": "source", "transcripts": "transcript", "batch": "batch"},
}


def prices() -> Prices:
    """The prices of the flags; ``UsageError`` for one that is not positive."""
    hourly, share = _script.rates("device_per_hour_usd", "utilisation")
    if share > 1:
        raise _script.UsageError(f"--utilisation: expected at most 1, got {share:g}")
    strk, charge = (
        None if FLAGS[name].value is None else _script.rates(name)[0]
        for name in ("strk_usd", "charge_usd")
    )
    if charge is not None and strk is None and FLAGS.chain:
        raise _script.UsageError("--charge_usd: expected --strk_usd or --nochain with it, got none")
    return Prices(hourly, share, FLAGS.gas_price_fri, strk, charge, FLAGS.chain)


def check_flags() -> None:
    """Refuse flags that do not go together, before anything is read."""
    if (FLAGS.proof is None) != (FLAGS.key is None):
        raise _script.UsageError("--proof, --key: expected both or neither, got one")
    if FLAGS.proof is None and (FLAGS.public or FLAGS.air):
        raise _script.UsageError("--public, --air: expected --proof with them, got none")
    if FLAGS.felts is not None and FLAGS.proof is not None:
        raise _script.UsageError("--felts, --proof: expected one of them, got both")
    if FLAGS.plot and Path(FLAGS.out).suffix not in (".png", ".svg", ".pdf"):
        raise _script.UsageError(
            f"--out: expected a .png, .svg or .pdf file, got {Path(FLAGS.out).name!r}"
        )


def chosen(rows: list[_benchmark.Row]) -> list[_benchmark.Row]:
    """The rows of the filters; ``UsageError`` for a value that no row has."""
    for flag, name in FILTERS.items():
        wanted = FLAGS[flag].value
        if wanted is None:
            continue
        known = list(dict.fromkeys(str(r[name]) for r in rows if r.get(name) is not None))
        for text in wanted:
            if text not in known:
                raise _script.UsageError(
                    f"--{flag}: expected some of {', '.join(known) or 'none'}, got {text!r}"
                )
        rows = [row for row in rows if str(row.get(name)) in wanted]
    return rows


def select(path: Path) -> tuple[dict[str, Any], list[_benchmark.Row], dict[str, int]]:
    """The document, its rows that count, and how many were left out why."""
    document = _benchmark.load(path)
    every = check_rows(document, str(path))
    rows, left = usable(chosen([r for r in every if r["section"] in SECTIONS]), FLAGS.insecure)
    if FLAGS.scope == "job":
        whole = [row for row in rows if timing(row, f"{path}: ").job is not None]
        if len(whole) < len(rows):
            left["without the times of a whole job"] = len(rows) - len(whole)
        rows = whole
    if not rows:
        why = "".join(f"; {count} {reason}" for reason, count in left.items())
        raise _script.UsageError(f"{path}: expected rows of verified proofs, got none{why}")
    return document, rows, left


def known_sizes(rows: list[_benchmark.Row]) -> list[_economics_felts.Known | str]:
    """The size of every row's message, or why it is not known."""
    if not FLAGS.chain:
        return ["nothing is recorded" for _ in rows]
    if FLAGS.felts is not None:
        given = _economics_felts.given(FLAGS.felts, rows, FLAGS.encoding, FLAGS.max_felts)
        return [given for _ in rows]
    out = [_economics_felts.of_row(row, FLAGS.encoding, FLAGS.max_felts) for row in rows]
    if FLAGS.proof is None:
        return out
    packed = _economics_felts.packed(
        *(FLAGS.proof, FLAGS.key, FLAGS.public, FLAGS.air),
        *(FLAGS.encoding, FLAGS.max_felts, FLAGS.insecure),
    )
    fits = [packed.fits(row) for row in rows]
    if not any(fits):
        raise _script.UsageError(
            f"--proof: expected a proof of the shape and parameters of a row, got 2^"
            f"{packed.log_size} rows, {packed.cells} cells and {packed.params}"
        )
    measured = _economics_felts.Known(packed.size, _economics_felts.PACKED)
    return [measured if fit else other for fit, other in zip(fits, out, strict=True)]


def picture(lines: list[Line], paid: Prices, title: str) -> str | None:
    """Draw the picture, or say in a line why not; its path."""
    if not FLAGS.plot:
        return None
    try:
        import _economics_plot
    except ImportError:
        print("no picture: matplotlib is not installed")
        return None
    out = Path(FLAGS.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    drawn = [_economics_plot.Line(line.label, line.cost, line.published) for line in lines]
    _economics_plot.draw(drawn, paid, title, out, FLAGS.dpi)
    print(f"picture      {out}")
    return str(out)


def main() -> int:
    paid = prices()
    check_flags()
    path = Path(FLAGS.results)
    published = []
    if FLAGS.published is not None:
        published = _economics_published.load(Path(FLAGS.published))
    document, rows, left = select(path)
    lines = []
    for row, size in zip(rows, known_sizes(rows), strict=True):
        times = timing(row, f"{path}: ")
        seconds = times.proof if times.job is None or FLAGS.scope == "proof" else times.job
        strk = None if isinstance(size, str) else chain_strk(size.size, paid)
        lines.append(tables.measured(row, times, size, cost(seconds, strk, paid)))
    starts = tables.starts(document["rows"], rows, paid, f"{path}: ")
    others = [line for item in published if (line := judged.published(item, paid)) is not None]
    verdicts = [verdict for item in published for verdict in _economics_claims.judge(item)]

    print(tables.heading(document, rows, path, paid, FLAGS.scope, FLAGS.encoding))
    print(tables.table(lines, paid))
    print("\n".join(tables.notes(lines, left, starts, paid)))
    if published:
        print(judged.published_text(others, published, verdicts, lines, paid))
    devices = ", ".join(dict.fromkeys(str(row.get("device")) for row in rows))
    title = f"{devices}: {tables.prices_text(paid)}, {FLAGS.scope}"
    drawn = picture([*lines, *others], paid, title)
    _record.last_line(
        {
            "experiment": "economics",
            "results": str(path),
            "commits": tables.commits(document, rows),
            "prices": {
                "device_per_hour_usd": paid.device_per_hour_usd,
                "utilisation": paid.utilisation,
                "gas_price_fri": paid.gas_price_fri,
                "strk_usd": paid.strk_usd,
                "charge_usd": paid.charge_usd,
            },
            "chain": paid.chain,
            "scope": FLAGS.scope,
            "encoding": FLAGS.encoding,
            "rows": [line.record for line in lines],
            "left_out": left,
            "starts": [start.record for start in starts],
            "published": [line.record for line in others],
            "claims": [judged.claim_record(verdict) for verdict in verdicts],
            "claims_by_verdict": dict(Counter(judged.verdict_word(v) for v in verdicts)),
            "picture": drawn,
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
