"""The economics: figures that follow from the rows and prices, nothing of what was not measured."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import pytest
from _benchmark import SCHEMA
from _economics import Prices, cost, significant
from _economics_claims import FORMULAS, judge
from _economics_published import CLAIMS, Published, load, rounding
from _script import UsageError

from jaxstark.params import PRESETS
from jaxstark.starknet import sizes
from jaxstark.starknet.header import statement_values
from jaxstark.starknet.packer import pack
from tests.experiments.test_scripts import FAILED, REPO, USAGE, assert_one_sentence, last, script
from tests.starknet.golden.cases import FOLDER, IRIS, packable

PARAMS = {"pow_bits": 26, "log_blowup": 1, "n_queries": 70, "fold_step": 4, "log_last_layer": 0}
TOTALS = {"formula": {"total": 96.0}, "johnson": {"total": 60.2}, "unique": {"total": 55.1}}


def proof(seconds: float = 0.01, **more: object) -> dict:
    row = {
        "run": 0,
        "section": "proof",
        "status": "measured",
        "verified": True,
        "workload": "legacy26",
        "log_size": 16,
        "steps": 65536,
        "trace_of": "execution",
        "columns": [0, 26],
        "committed_cells": 26 << 16,
        "params": "stwo-96",
        "params_values": PARAMS | {"formula_bits": 96},
        "insecure": False,
        "sound_air": False,
        "security": TOTALS,
        "transcript": "device",
        "source": "numpy",
        "platform": "gpu",
        "implementation": "mosaic_gpu",
        "device": "some GPU",
        "felts": 28188,
        "seconds": {
            "warm": {"median": seconds / 2},
            "execute": {"median": 0.001},
            "trace": {"median": 0.03},
            "verify": {"median": 0.004},
            "with_proof_of_work": {"mean": seconds, "mean_nonces": 1 << 25},
        },
    }
    return row | more


def throughput(rate: float = 2000.0) -> dict:
    more = {"section": "throughput", "batch": 32, "per_second": rate, "mean_nonces": 1 << 26}
    return proof() | more | {"seconds": {"verify": {"median": 0.004}}, "felts": None}


def cold() -> dict:
    return proof() | {"section": "cold", "cache": "empty", "seconds": {"to_proof": 36.0}}


def iris() -> dict:
    """The row of the committed proof of Iris flower 17."""
    p = packable(IRIS)
    shape = p.air.shape(p.key.log_sizes, p.public)
    trees = [len(tree) for tree in shape.columns]
    cells = sum(1 << k for tree in shape.columns[1:] for k in tree)
    values = {name: getattr(p.key.params, name) for name in PARAMS}
    more = {"workload": "iris", "log_size": shape.log_size, "steps": 317, "sound_air": True}
    more |= {"params": "compact-96", "params_values": values, "felts": None}
    return proof(0.02, columns=trees, committed_cells=cells, **more)


def write(path: Path, *rows: object) -> Path:
    runs = [{"arguments": [], "environment": {"git_sha": "a" * 40, "git_dirty": True}}]
    path.write_text(json.dumps({"schema": SCHEMA, "runs": runs, "rows": list(rows)}))
    return path


def economics(results: Path, *more: str, hourly: float = 3.6):
    flags = [f"--results={results}", f"--device_per_hour_usd={hourly}", *more]
    return script("economics", *flags, *([] if any("--out" in m for m in more) else ["--noplot"]))


def legacy_size() -> sizes.Size:
    from jaxstark.air.legacy26 import legacy26

    return sizes.estimate(legacy26().shape((16,)), PRESETS["stwo-96"])


def test_rows_of_proofs_that_keep_no_evaluations_are_marked(tmp_path):
    path = write(tmp_path / "r.json", proof(0.01), proof(0.02, keep_evaluations=False))
    done = economics(path, "--nochain")
    marked = [line for line in done.stdout.splitlines() if " stwo-96 ~ " in line]
    assert len(marked) == 1 and "20.00" in marked[0]
    assert "params ~: proved without keeping evaluations" in done.stdout
    assert len({line["row"] for line in last(done)["rows"]}) == 2
    alone = economics(write(tmp_path / "s.json", proof(0.01)), "--nochain")
    assert "params ~" not in alone.stdout


def test_every_figure_of_a_row_follows_from_what_was_measured(tmp_path):
    other = cold() | {"transcript": "host"}  # no row of its kind is here
    path = write(tmp_path / "r.json", proof(0.01), other, cold())
    prices = ["--strk_usd=0.5", "--charge_usd=0.2", "--utilisation=0.25"]
    prices.append("--gas_price_fri=9000000000")
    done = economics(path, *prices, f"--out={tmp_path / 'sub' / 'p.png'}")
    row = last(done)
    (line,) = row["rows"]
    size = legacy_size()
    strk = size.total_gas * 9e-9
    assert line["proof_seconds"] == line["seconds"] == 0.01
    assert line["job_seconds"] == pytest.approx(0.045)
    assert line["nonces_of_expected"] == 0.5
    assert line["per_hour"] == pytest.approx(90_000)
    assert line["device_usd"] == pytest.approx(3.6 / 90_000)
    assert line["chain_strk"] == pytest.approx(strk, rel=1e-5)
    assert line["chain_usd"] == pytest.approx(strk / 2, rel=1e-5)
    assert line["total_usd"] == pytest.approx(3.6 / 90_000 + strk / 2, rel=1e-5)
    assert line["parity_per_hour"] == pytest.approx(3.6 / (strk / 2), rel=1e-5)
    margin = 0.2 - strk / 2
    assert line["break_even_per_hour"] == pytest.approx(3.6 / margin, rel=1e-5)
    assert line["break_even_utilisation"] == pytest.approx(3.6 / margin / 360_000, rel=1e-5)
    assert line["profit_per_hour_usd"] == pytest.approx(90_000 * margin - 3.6, rel=1e-5)
    message = line["message"]
    assert (message["felts"], message["from"]) == (size.felts, "estimate")
    assert message["l2_gas"] == size.total_gas
    assert message["estimate_of_counted"] == pytest.approx(1, abs=0.05)
    (start,) = row["starts"]
    assert " device " in start["row"] and start["device_usd"] == pytest.approx(0.036)
    assert row["commits"] == ["a" * 12 + "+"]
    assert (tmp_path / "sub" / "p.png").read_bytes().startswith(b"\x89PNG")
    for words in (f"~{size.felts:,}", "some GPU", "96/60/55*", "recorded, not verified", "~: expe"):
        assert words in done.stdout, words


def test_job_counts_what_comes_before_and_after_the_proof(tmp_path):
    path = write(tmp_path / "r.json", proof(0.01), throughput(), proof(0.02, source="device"))
    row = last(economics(path, "--scope=job"))
    assert [line["seconds"] for line in row["rows"]] == [0.045]  # the others lack parts of it
    assert row["left_out"] == {"without the times of a whole job": 2}
    assert [line["job_seconds"] for line in last(economics(path))["rows"]] == [0.045, None, None]
    on_device = write(path, proof(0.02, workload="vm", source="device"))
    assert last(economics(on_device, "--nochain"))["rows"][0]["job_seconds"] == 0.055
    executed = throughput() | {"source": "execution"}
    row = last(economics(write(path, executed), "--scope=job"))
    assert row["rows"][0]["seconds"] == pytest.approx(1 / 2000 + 0.004)


def test_throughput_is_proofs_per_second(tmp_path):
    path = write(tmp_path / "r.json", proof(0.01), throughput(2000.0))
    row = last(economics(path, "--batch=32", "--utilisation=0.5"))
    (line,) = row["rows"]
    assert line["batch"] == 32
    assert line["per_hour"] == pytest.approx(3_600_000)
    assert line["device_usd"] == pytest.approx(1e-6)
    assert line["job_seconds"] is None


def test_no_price_is_made_up(tmp_path):
    path = write(tmp_path / "r.json", proof(0.01))
    done = economics(path)
    (line,) = last(done)["rows"]
    assert last(done)["prices"]["gas_price_fri"] == sizes.MINIMUM_PRICE
    assert line["chain_strk"] > 0
    unknown = ("chain_usd", "total_usd", "parity_per_hour", "break_even_per_hour")
    assert [line[name] for name in unknown] == [None] * 4
    assert "--strk_usd was not given" in done.stdout
    error = assert_one_sentence(script("economics", f"--results={path}"), USAGE)
    assert "device_per_hour_usd" in error
    (line,) = last(economics(path, "--nochain"))["rows"]
    assert line["total_usd"] == line["device_usd"] == pytest.approx(1e-5)
    assert line["message"] == {"unknown": "nothing is recorded"}


def test_rows_without_verification_or_security_do_not_count(tmp_path):
    unverified = proof(0.001, verified=False, source="device")
    insecure = proof(0.002, insecure=True, transcript="host")
    missing = {"section": "proof", "workload": "iris", "status": "skipped", "reason": "no data"}
    path = write(tmp_path / "r.json", proof(0.01), unverified, insecure, missing)
    done = economics(path)
    assert [line["seconds"] for line in last(done)["rows"]] == [0.01]
    assert sum(last(done)["left_out"].values()) == 3
    for words in ("1 not measured", "1 not verified", "1 of parameters without security"):
        assert f"left out     {words}" in done.stdout
    done = economics(path, "--insecure")
    assert [line["seconds"] for line in last(done)["rows"]] == [0.01, 0.002]
    assert last(done)["rows"][1]["insecure"] is True
    assert "96/60/55*!" in done.stdout
    error = assert_one_sentence(economics(path, "--sources=device", "--insecure"), USAGE)
    assert "expected rows of verified proofs, got none; 1 not verified" in error


def test_felts_of_the_machine_are_of_the_shape_that_was_proved(tmp_path):
    pytest.importorskip("numba")
    row = iris()
    (line,) = last(economics(write(tmp_path / "r.json", row)))["rows"]
    assert line["message"]["from"] == "estimate"
    message = packed_iris()
    assert line["message"]["felts"] == pytest.approx(len(message), rel=0.05)
    p = packable(IRIS)
    shape, values = p.air.shape(p.key.log_sizes, p.public), statement_values(p.public)
    size = sizes.estimate(shape, p.key.params, statement=len(values))
    assert line["message"]["felts"] == size.felts
    for other in (row | {"committed_cells": 1}, row | {"columns": [1, 2, 3]}):
        done = economics(write(tmp_path / "r.json", other))
        (line,) = last(done)["rows"]
        assert line["chain_strk"] is None
        assert "felts unknown: the workload executed here has other columns" in done.stdout
    done = economics(write(tmp_path / "r.json", row | {"workload": "mine"}))
    assert "felts unknown: no workload 'mine' is known here" in done.stdout


def test_felts_that_the_benchmark_counted_come_before_an_estimate(tmp_path):
    felts = {"limb248": 5101, "serde": 40_000}
    recorded = proof(0.01, starknet={"network": "fake", "status": "recorded", "felts": felts})
    failed = proof(0.02, starknet={"network": "fake", "status": "failed", "reason": "none"})
    done = economics(write(tmp_path / "r.json", recorded, failed))
    first, second = (line["message"] for line in last(done)["rows"])
    size = sizes.counted("limb248", 5101)
    assert (first["from"], first["felts"], first["l2_gas"]) == ("counted", 5101, size.total_gas)
    assert first["transactions"] == size.transactions == 2
    assert second["from"] == "estimate"
    assert " 5,101 " in done.stdout
    (line,) = last(economics(write(tmp_path / "r.json", recorded), "--encoding=serde"))["rows"]
    assert line["message"]["felts"] == 40_000


def packed_iris() -> list[int]:
    p = packable(IRIS)
    return pack(p.proof, p.key, p.public, air=p.air)


def test_felts_of_a_proof_are_packed_and_of_a_flag_given(tmp_path):
    path = write(tmp_path / "r.json", iris(), proof(0.01))
    files = [f"--proof={FOLDER / IRIS}.proof.bin", f"--key={FOLDER / IRIS}.key.json"]
    files.append(f"--public={FOLDER / IRIS}.public.json")
    first, second = last(economics(path, *files))["rows"]
    size = sizes.measured(packed_iris())
    assert (first["message"]["from"], first["message"]["felts"]) == ("packed", size.felts)
    assert first["message"]["l2_gas"] == size.total_gas
    assert second["message"]["from"] == "estimate"
    error = assert_one_sentence(economics(path, *files, "--workloads=legacy26"), USAGE)
    assert "--proof: expected a proof of the shape and parameters of a row" in error
    false = tmp_path / "public.json"
    public = json.loads((FOLDER / f"{IRIS}.public.json").read_text())
    false.write_text(json.dumps(public | {"output": [2]}))
    assert_one_sentence(economics(path, *files[:2], f"--public={false}"), FAILED)

    done = economics(path, "--felts=5000", "--workloads=legacy26")
    (line,) = last(done)["rows"]
    assert line["message"]["from"] == "given"
    assert line["message"]["l2_gas"] == sizes.counted("limb248", 5000).total_gas
    assert "=5,000" in done.stdout
    error = assert_one_sentence(economics(path, "--felts=5000"), USAGE)
    assert "--felts: expected rows of one workload" in error


def test_break_even_that_is_never_reached():
    prices = Prices(3.6, 1.0, 8 * 10**9, strk_usd=1.0, charge_usd=0.1)
    found = cost(0.01, 0.2, prices)
    assert found.break_even_per_hour == found.break_even_utilisation == math.inf
    assert found.profit_per_hour_usd == pytest.approx(360_000 * -0.1 - 3.6)
    assert found.record()["break_even_per_hour"] == "never"
    slow = cost(3600.0, 0.0, prices)
    assert slow.break_even_utilisation == pytest.approx(36)


def test_plain_decimals():
    assert [significant(x) for x in (0.00000614583, 0.05, 1234.5, 0.0, None, math.inf)] == [
        *("0.00000615", "0.0500", "1,234", "0", "-", "never")
    ]


BAD = {
    "none": ([], "expected rows of verified proofs, got none"),
    "hourly": (["--device_per_hour_usd=-1"], "--device_per_hour_usd: expected a positive number"),
    "utilisation": (["--utilisation=1.5"], "--utilisation: expected at most 1, got 1.5"),
    "strk": (["--strk_usd=nan"], "--strk_usd: expected a positive number"),
    "charge": (["--charge_usd=1"], "--charge_usd: expected --strk_usd or --nochain"),
    "gas": (["--gas_price_fri=0"], "gas_price_fri"),
    "filter": (["--params=best"], "--params: expected some of stwo-96, got 'best'"),
    "batch": (["--batch=8"], "--batch: expected some of none, got '8'"),
    "out": (["--plot", "--out=p.doc"], "--out: expected a .png, .svg or .pdf file, got 'p.doc'"),
    "key": (["--proof=p.bin"], "--proof, --key: expected both or neither"),
    "public": (["--public=p.json"], "expected --proof with them"),
    "felts": (["--felts=3"], "felts: expected an int above 8, got 3"),
    "both": (["--felts=9", "--proof=a", "--key=b"], "--felts, --proof: expected one of them"),
    "absent": (["--published=absent.json"], "absent.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_sentence(tmp_path, case):
    flags, words = BAD[case]
    rows = [] if case == "none" else [proof(0.01)]
    assert words in assert_one_sentence(economics(write(tmp_path / "r.json", *rows), *flags), USAGE)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([], "row 0: expected an object"),
        (proof() | {"log_size": "16"}, "row 0, log_size: expected int, got '16'"),
        (proof() | {"run": 3}, "row 0, run: expected one of 1 runs"),
        (proof() | {"security": {}}, "row 0, security: expected formula"),
        (proof() | {"params_values": {"a": 1}}, "params_values: expected parameters, got a"),
        (proof() | {"seconds": {}}, "seconds.with_proof_of_work.mean: expected a positive number"),
        (proof(0.0), "seconds.with_proof_of_work.mean: expected a positive number, got 0.0"),
        (throughput() | {"per_second": "fast"}, "per_second: expected a positive number"),
    ],
)
def test_rows_that_are_not_of_the_schema(tmp_path, row, words):
    assert words in assert_one_sentence(economics(write(tmp_path / "r.json", row)), USAGE)


def item(inputs: dict, claims: dict, params: str | None = None) -> Published:
    document = {"name": "it", "source": "here", "inputs": inputs, "claims": claims}
    return read([document | ({"params": params} if params else {})])[0]


def read(rows: object, schema: str = "jaxstark-published/1", text: str | None = None):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.json"
        body = json.dumps({"schema": schema, "rows": rows}) if text is None else text
        path.write_text(body)
        return load(path)


RUN = {"device_per_hour_usd": 2, "seconds": 0.5}
CHAIN = {"gas": 50_000_000, "gas_price_fri": 8_000_000_000, "strk_usd": 0.5}
CLAIMED = {
    # inputs, a claim that follows, its neighbour that does not
    "proofs_per_hour": (RUN, 7200, 8200),
    "device_usd": (RUN, 0.00028, 0.00017),
    "chain_strk": (CHAIN, 0.4, 0.5),
    "chain_usd": (CHAIN, 0.20, 0.22),
    "cost_usd": (RUN | CHAIN, 0.2003, 0.0003),
    "bulk_usd": (RUN | {"proofs": 1_000_000}, 278, 28),
    "savings_percent": (RUN | {"baseline_usd": 0.01}, 97.2, 99.9),
    "times_cheaper": (RUN | {"baseline_usd": 0.01}, 36, 360),
    "times_faster": (RUN | {"baseline_seconds": 5}, 10, 12),
    "cells_per_second": (RUN | {"log_size": 20, "columns": 26}, 54_525_952, 5_452_595),
    "break_even_per_hour": (RUN | CHAIN | {"charge_usd": 0.3}, 20, 10),
    "total_seconds": ({"stages_seconds": [0.4, 0.7, 2]}, 3.1, 1.0),
    "whole_seconds": ({"recorded_seconds": [7.5, 12.5]}, 8, 1),
    "felts": ({"log_size": 16, "columns": 26}, 494, 173),
}


def test_every_claim_has_a_formula_and_a_case():
    assert set(CLAIMED) == set(CLAIMS) == {*FORMULAS, "felts"}


@pytest.mark.parametrize("name", CLAIMED)
def test_claims_are_recomputed_from_their_own_inputs(name):
    inputs, right, wrong = CLAIMED[name]
    params = "test" if name == "felts" else None
    (good,) = judge(item(inputs, {name: right}, params))
    (bad,) = judge(item(inputs, {name: wrong}, params))
    assert (good.follows, bad.follows) == (True, False), (good, bad)
    (open_,) = judge(item({}, {name: right}, params))
    assert open_.follows is None
    assert open_.why.startswith("needs ")


def test_the_chain_counts_in_a_cost_only_with_all_its_prices():
    for name in ("cost_usd", "break_even_per_hour"):
        inputs = RUN | {"gas": 1000, "charge_usd": 1, "baseline_usd": 1}
        (verdict,) = judge(item(inputs, {name: 1}))
        assert verdict.why == "needs gas_price_fri, strk_usd"


def test_rounding_is_no_mistake():
    assert rounding(Decimal("0.10"), claim=True) == pytest.approx((0.095, 0.105))
    assert rounding(Decimal("0.10"), claim=False) == pytest.approx((0.095, 0.105))
    assert rounding(5400, claim=True) == (5350, 5450)
    assert rounding(5400, claim=False) == (5400, 5400)
    assert rounding(100, claim=True) == (95, 105)
    assert rounding(10, claim=True) == (9.5, 10.5)
    for seconds, rate, follows in (
        (0.666, 5405, True),
        (0.666, 5400, True),
        (0.666, 5500, False),
        (0.67, 5405, True),  # 0.666 rounds to it
        (1, 3500, False),
    ):
        (verdict,) = judge(item({"seconds": seconds}, {"proofs_per_hour": rate}))
        assert verdict.follows is follows, (seconds, rate)


def test_bounds_must_hold_for_all_that_was_recorded():
    for bound, follows in (
        ({"below": 1}, False),
        ({"below": 13}, True),
        ({"below": 10}, False),
        ({"above": 5}, True),
        ({"above": 10}, False),
    ):
        inputs = {"recorded_seconds": [7.5, 12.5]}
        (verdict,) = judge(item(inputs, {"whole_seconds": bound}))
        assert verdict.follows is follows, bound


def row_of(**more: object) -> list:
    return [{"name": "it", "source": "here"} | more]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "expected published figures of schema jaxstark-published/1 with rows"),
        ([1], "row 0: expected an object with some of"),
        (row_of(source=""), "source: expected a text, got ''"),
        (row_of(price=1), "got 'price'"),
        (row_of(inputs={"second": 1}), "inputs: expected an object with some of"),
        (row_of(claims={"felt": 1}), "claims: expected an object with some of"),
        (row_of(inputs=[]), "inputs: expected an object"),
        (row_of(inputs={"seconds": 0}), "seconds: expected a positive number, got 0"),
        (row_of(inputs={"seconds": "1"}), "seconds: expected a positive number, got '1'"),
        (row_of(inputs={"seconds": [2, 1]}), "seconds: expected [least, largest], got [2, 1]"),
        (row_of(inputs={"utilisation": 2}), "utilisation: expected at most 1, got 2"),
        (row_of(inputs={"log_size": 20.5}), "log_size: expected an int in 1..30, got 20.5"),
        (row_of(inputs={"stages_seconds": 1}), "stages_seconds: expected a list of numbers"),
        (row_of(claims={"felts": "173"}), "felts: expected a number, or one of below and above"),
        (row_of(claims={"felts": {"under": 1}}), "felts: expected a number, or one of below"),
        (row_of(params="best"), "params: preset: expected one of"),
        (row_of(params={"pow_bits": 1}), "params: "),
        (row_of() * 2, "expected names that differ, got 'it' twice"),
    ],
)
def test_published_files_of_another_form(rows, words):
    with pytest.raises(UsageError) as caught:
        read(rows)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["a,b", "[1]", '{"schema": "jaxstark-published/2", "rows": [1]}'])
def test_published_files_of_another_schema(text):
    with pytest.raises(UsageError, match="expected published figures of schema"):
        read([], text=text)


def test_published_rows_stand_beside_ours_and_wrong_claims_are_named(tmp_path):
    published = {
        "schema": "jaxstark-published/1",
        "rows": [
            {
                "name": "theirs",
                "source": "a page",
                "device": "another GPU",
                "params": "test",
                "inputs": RUN | {"log_size": 16, "columns": 26},
                "claims": {"proofs_per_hour": 10_000, "device_usd": 0.000278, "chain_usd": 1},
            },
            row_of(name="whole", claims={"whole_seconds": {"below": 1}})[0]
            | {"inputs": {"recorded_seconds": [7.5, 12.5]}},
        ],
    }
    file = tmp_path / "published.json"
    file.write_text(json.dumps(published))
    path = write(tmp_path / "r.json", proof(0.01), throughput(), proof(0.02, log_size=18))
    done = economics(path, f"--published={file}", "--strk_usd=0.5")
    row = last(done)
    (line,) = row["published"]
    assert line["device_per_hour_usd"] == 2  # its own price, not that of the flag
    assert line["device_usd"] == pytest.approx(2 * 0.5 / 3600, rel=1e-5)
    assert line["verified"] is False
    assert row["claims_by_verdict"] == {"does not follow": 2, "follows": 1, "not judged": 1}
    found = {(claim["row"], claim["claim"]): claim for claim in row["claims"]}
    assert found["theirs", "proofs_per_hour"]["from_inputs"] == pytest.approx(7200)
    beside = [text for text in done.stdout.splitlines() if text.startswith("beside")]
    assert len(beside) == 1  # a table of that size, made alone
    assert "ratio 50.0, device and parameters differ" in beside[0]
    for words in (
        "wrong        theirs, proofs_per_hour: claimed 10,000, but its inputs give 7,200 (6,545",
        "wrong        whole, whole_seconds: claimed below 1, but its inputs give 10.00 (7.500 to",
        "not judged   theirs, chain_usd: needs gas, gas_price_fri, strk_usd",
        "claims       3 judged, 2 wrong, 4 in all",
        "13!?",
        "source       theirs: a page",
    ):
        assert words in done.stdout, words


def test_the_shipped_file_holds_the_published_times():
    from _benchmark_measure import PUBLISHED

    rows = load(REPO / "experiments" / "published_claims.json")
    timed = {
        row.inputs["log_size"][0]: row.value("seconds") for row in rows if row.value("seconds")
    }
    assert timed == {k: pytest.approx(ms / 1000) for k, ms in PUBLISHED.items()}
    verdicts = [verdict for row in rows for verdict in judge(row)]
    assert [(v.claimed, v.follows) for v in verdicts] == [("173", False), ("below 1", False)]
