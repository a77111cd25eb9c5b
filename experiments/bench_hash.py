"""Time Merkle commitments and the proof of work.

    python experiments/bench_hash.py --commits=26x17,8x17,26x18 --values=17 --bits=22

``--commits`` lists columns x log2 of the leaves, ``--values`` log sizes of FRI layers with four
values in a leaf. The first call of the first entry includes all compilation; later first calls
show what a new size costs. Reports compressions and nonces per second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import _record
import jax
import numpy as np
from absl import app, flags

from jaxstark import merkle
from jaxstark.fields.m31 import P
from jaxstark.grind import grind
from jaxstark.hash import blake2s

_COMMITS = flags.DEFINE_list("commits", ["26x17", "8x17", "26x18"], "Trees: COLUMNSxLOG_LEAVES.")
_VALUES = flags.DEFINE_list("values", ["17"], "Log sizes of FRI layers.")
_BITS = flags.DEFINE_integer("bits", 20, "Difficulty of the proof of work; 0 skips it.", 0, 40)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Warm calls.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "", "JSON-lines file to append the row to.")
_record.define_flags()

PACK_LOG = 2


def _timed(call: Callable[[], Any], compressions: int) -> dict[str, float]:
    """First call, best warm call and the compressions per second of the latter."""
    elapsed = []
    for _ in range(_REPEATS.value + 1):
        start = time.perf_counter()
        jax.block_until_ready(call())
        elapsed.append(time.perf_counter() - start)
    warm = min(elapsed[1:])
    return {
        "first_ms": round(1e3 * elapsed[0], 3),
        "warm_ms": round(1e3 * warm, 3),
        "compressions_per_s": round(compressions / warm),
    }


def _tree(columns: int, log_size: int) -> dict[str, Any]:
    values = _random(columns, log_size)
    blocks = -(-columns // blake2s.BLOCK_WORDS)
    row: dict[str, Any] = {"columns": columns, "log_leaves": log_size}
    return row | _timed(lambda: merkle.commit([values]), (blocks + 1) << log_size)


def _layer(log_size: int) -> dict[str, Any]:
    values = _random(4, log_size)
    row: dict[str, Any] = {"log_size": log_size, "pack_log": PACK_LOG}
    return row | _timed(lambda: merkle.commit_values(values, PACK_LOG), 2 << (log_size - PACK_LOG))


def _random(columns: int, log_size: int) -> jax.Array:
    rng = np.random.default_rng(0)
    return jax.device_put(rng.integers(0, P, (columns, 1 << log_size), np.uint32))


def _proof_of_work(bits: int) -> dict[str, Any]:
    """One search; what the compiled programs of the trees do not share is compiled before."""
    grind(bytes(32), 1)
    start = time.perf_counter()
    nonce = grind(bytes(range(32)), bits)
    seconds = time.perf_counter() - start
    return {
        "bits": bits,
        "nonce": nonce,
        "ms": round(1e3 * seconds, 3),
        "nonces_per_s": round((nonce + 1) / seconds),
    }


def main(argv: list[str]) -> None:
    del argv
    trees = [tuple(map(int, text.split("x"))) for text in _COMMITS.value]
    row: dict[str, Any] = _record.start() | {"experiment": "hash"}
    row["commits"] = [_tree(columns, log_size) for columns, log_size in trees]
    row["values"] = [_layer(int(log_size)) for log_size in _VALUES.value]
    row["grind"] = _proof_of_work(_BITS.value) if _BITS.value else None
    if _OUT.value:
        _record.write_record(_OUT.value, row)
    _record.last_line(row)


if __name__ == "__main__":
    app.run(main)
