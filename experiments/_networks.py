"""Networks of the inference experiments: model files, data sets, training, users' own files.

A network classifies by argmax over dense layers with ReLU between them. It is kept with the floats
that it was trained to; how they become integers is said in ``jaxstark/vm/dense.py`` and in every
model file, under ``quantisation``.
"""

from __future__ import annotations

import csv
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _record
import numpy as np

from jaxstark.vm.dense import DenseProgram, compile_dense, quantize

MODELS = Path(__file__).resolve().parent / "models"
SHIPPED = ("iris", "digits")
FORMAT = "jaxstark-network/1"
RULE = (
    "feature x -> round(x * input_scale); weight -> round(W * 2^fraction_bits); bias -> "
    "round(b * input_scale * 2^fraction_bits), and half of 2^fraction_bits more where a shift "
    "follows; behind each ReLU a right shift by fraction_bits. All in integers; argmax, the lowest "
    "class among equal ones."
)
Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Network:
    """A network and how it is quantised.

    Attributes:
      name: what it is called in output.
      layers: ``(W [n_in, n_out], b [n_out])``, all of floats or all of integers.
      input_range: least and largest feature, in the units of the data.
      input_scale: factor from a feature to its integer; 1 for integer networks.
      fraction_bits: fraction bits of the weights; None for integer networks.
      shifts: right shifts behind the ReLUs of integer networks; None for none.
      classes: names; empty for those of a user, which are numbered.
    """

    name: str
    layers: Layers
    input_range: tuple[float, float]
    input_scale: float = 1.0
    fraction_bits: int | None = None
    shifts: Sequence[int] | None = None
    classes: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of every layer, the inputs first."""
        return (len(self.layers[0][0]), *(len(b) for _, b in self.layers))

    def class_name(self, number: int) -> str:
        """Name of a class."""
        return self.classes[number] if self.classes else f"class {number}"

    def compiled(self) -> DenseProgram:
        """The program; ``ValueError`` for a network that does not fit or could overflow."""
        layers, shifts = self.layers, self.shifts
        if self.fraction_bits is not None:
            layers, shifts = quantize(layers, self.input_scale, self.fraction_bits)
        least, largest = (round(end * self.input_scale) for end in self.input_range)
        return compile_dense(layers, (least, largest), shifts=shifts)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """The logits of the network as it stands, before quantising; float64 ``[n, classes]``."""
        h = np.asarray(features, np.float64)
        for w, b in self.layers[:-1]:
            h = np.maximum(h @ w + b, 0)
        w, b = self.layers[-1]
        return h @ w + b

    def samples(self, features: np.ndarray, where: str) -> np.ndarray:
        """The integers of features ``[n, n_in]``; ``ValueError`` outside the range, with place."""
        least, largest = self.input_range
        if features.shape[1] != self.sizes[0]:
            raise ValueError(
                f"{where}: expected {self.sizes[0]} features in a sample, got {features.shape[1]}"
            )
        bad = ~((features >= least) & (features <= largest))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(
                f"{where}, sample {row}, feature {column}: expected {least:g}..{largest:g}, the "
                f"range that the network is quantised for, got {features[row, column]:g}"
            )
        scaled = features * self.input_scale
        if self.fraction_bits is None and (scaled != np.rint(scaled)).any():
            row, column = np.argwhere(scaled != np.rint(scaled))[0]
            raise ValueError(
                f"{where}, sample {row}, feature {column}: expected an integer for a network of "
                f"integers, got {features[row, column]:g}"
            )
        return np.rint(scaled).astype(np.int64)


def load_data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features float64 ``[n, features]`` and labels int64 ``[n]`` of a data set, in its order."""
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError(
            f"the {name} data comes with scikit-learn, which is not installed: run "
            "pip install 'jaxstark[experiments]'"
        ) from None
    features, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    return np.asarray(features, np.float64), np.asarray(labels, np.int64)


def fit(
    features: np.ndarray, labels: np.ndarray, sizes: Sequence[int], *, seed: int, steps: int
) -> Layers:
    """Train by Adam on the cross entropy of all samples at once; float64 layers.

    Nothing here depends on the order of parallel work, and 64-bit floats leave rounding far below
    the digits that ``save`` keeps: a rerun on a CPU gives the same file.
    """
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(seed)
    # Centred features keep all neurons alive, and small ones the steps even; undone at the end.
    mean, scale = features.mean(axis=0), np.abs(features).max()
    start = [
        (rng.normal(size=pair) * math.sqrt(2 / pair[0]), np.full(pair[1], 0.5))
        for pair in zip(sizes, sizes[1:], strict=False)
    ]
    rate, first, second, tiny = 0.01, 0.9, 0.999, 1e-8

    def loss(layers: Any, x: Any, wanted: Any) -> Any:
        h = x
        for w, b in layers[:-1]:
            h = jnp.maximum(h @ w + b[None, :], 0.0)
        w, b = layers[-1]
        scores = jax.nn.log_softmax(h @ w + b[None, :])
        return -(scores * wanted).sum() / x.shape[0]

    @jax.jit
    def train(layers: Any, x: Any, wanted: Any) -> Any:
        def step(state: Any, number: Any) -> Any:
            layers, mean, square = state
            slope = jax.grad(loss)(layers, x, wanted)
            mean = jax.tree.map(lambda m, g: first * m + (1 - first) * g, mean, slope)
            square = jax.tree.map(lambda s, g: second * s + (1 - second) * g**2, square, slope)
            speed = rate * jnp.sqrt(1 - second**number) / (1 - first**number)
            layers = jax.tree.map(
                lambda w, m, s: w - speed * m / (jnp.sqrt(s) + tiny), layers, mean, square
            )
            return (layers, mean, square), None

        zeros = jax.tree.map(jnp.zeros_like, layers)
        numbers = jnp.arange(1, steps + 1, dtype=jnp.float64)
        return jax.lax.scan(step, (layers, zeros, zeros), numbers)[0][0]

    with jax.enable_x64(True):
        wanted = np.eye(sizes[-1])[labels]
        trained = train(start, (features - mean) / scale, wanted)
        layers = [(np.asarray(w), np.asarray(b)) for w, b in trained]
    w, b = layers[0]
    layers[0] = (w / scale, b - mean @ w / scale)
    return [(np.round(w, 6), np.round(b, 6)) for w, b in layers]


def accuracies(
    network: Network, features: np.ndarray, labels: np.ndarray, held_out: np.ndarray
) -> dict[str, dict[str, float]]:
    """Share of right classes, of floats and integers: on the training set, held out, and all."""
    samples = network.samples(features, network.name)
    right = {
        "float": network.logits(features).argmax(axis=1) == labels,
        "quantised": network.compiled().classify(samples) == labels,
    }
    parts = {"trained_on": ~held_out, "held_out": held_out, "all": np.ones_like(held_out)}
    return {
        kind: {part: round(float(hits[rows].mean()), 4) for part, rows in parts.items()}
        for kind, hits in right.items()
    }


def report(network: Network, found: dict[str, dict[str, float]], out: str) -> int:
    """Print the accuracies of a trained network; the exit code of its script."""
    print(f"{network.name}: layers {'-'.join(map(str, network.sizes))}, written to {out}")
    print(f"{'accuracy':<12}{'trained on':>12}{'held out':>12}{'all':>12}")
    for kind, part in found.items():
        print(f"{kind:<12}" + "".join(f"{100 * share:>10.2f} %" for share in part.values()))
    program = network.compiled()
    print(f"model hash   {program.model_hash.hex()}")
    _record.last_line(
        {
            "experiment": f"train_{network.name}",
            "accuracy": found,
            "steps_of_one_sample": program.step_bound(1),
            "model_hash": program.model_hash.hex(),
            "out": out,
        }
    )
    return 0


def save(path: Path, network: Network, features: Sequence[str], provenance: dict[str, Any]) -> None:
    """Write a model file, whole or not at all; one row of weights on a line."""
    from jaxstark.proof import write_atomically

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=True)

    layers = [
        '    {"W": [\n      '
        + ",\n      ".join(text(row) for row in w.tolist())
        + f'\n    ], "b": {text(b.tolist())}}}'
        for w, b in network.layers
    ]
    quantisation = {
        "input_scale": network.input_scale,
        "fraction_bits": network.fraction_bits,
        "input_range": list(network.input_range),
        "rule": RULE,
    }
    members = {
        "format": text(FORMAT),
        "name": text(network.name),
        "features": text(list(features)),
        "classes": text(list(network.classes)),
        "quantisation": json.dumps(quantisation, indent=2).replace("\n", "\n  "),
        "provenance": json.dumps(provenance, indent=2).replace("\n", "\n  "),
        "layers": "[\n" + ",\n".join(layers) + "\n  ]",
    }
    lines = ",\n".join(f"  {text(name)}: {value}" for name, value in members.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{{\n{lines}\n}}\n".encode("ascii"))


def load(name: str) -> Network:
    """A shipped network, as ``save`` wrote it."""
    path = MODELS / f"{name}.json"
    obj = json.loads(path.read_text())
    if obj.get("format") != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT}, got {obj.get('format')!r}")
    rule = obj["quantisation"]
    return Network(
        name,
        [(np.array(p["W"], np.float64), np.array(p["b"], np.float64)) for p in obj["layers"]],
        tuple(rule["input_range"]),
        rule["input_scale"],
        rule["fraction_bits"],
        classes=tuple(obj["classes"]),
    )


def read_weights(path: Path) -> Layers:
    """Layers of a .npz file with arrays W0, b0, W1, b1, ...; ``ValueError`` for anything else."""
    expected = f"{path}: expected an .npz file with arrays W0, b0, W1, b1, ..., got"
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError
        with file:
            arrays = {key: file[key] for key in file.files}
    except OSError as error:
        raise ValueError(f"{expected} {_reason(error)}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise ValueError(f"{expected} a file of another kind") from None
    count = len(arrays) // 2
    wanted = {f"{kind}{i}" for i in range(count) for kind in "Wb"}
    if not count or set(arrays) != wanted:
        raise ValueError(f"{expected} {', '.join(sorted(arrays)) or 'no array'}")
    types = {str(array.dtype) for array in arrays.values() if array.dtype.kind not in "fiu"}
    if types:
        raise ValueError(f"{path}: expected arrays of floats or integers, got {', '.join(types)}")
    return [(arrays[f"W{i}"], arrays[f"b{i}"]) for i in range(count)]


def read_samples(path: Path) -> np.ndarray:
    """Features float64 ``[n, n_in]`` of a CSV file; a first line that is no number is a header."""
    expected = f"{path}: expected CSV text, a sample on a line, got"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(n, row) for n, row in enumerate(csv.reader(file), 1) if row]
    except OSError as error:
        raise ValueError(f"{expected} {_reason(error)}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{expected} a file of another kind") from None
    if rows and all(_number(cell) is None for cell in rows[0][1]):
        del rows[0]
    if not rows:
        raise ValueError(f"{expected} no sample")
    width, out = len(rows[0][1]), []
    for line, row in rows:
        if len(row) != width:
            raise ValueError(
                f"{path}, line {line}: expected {width} numbers, as above, got {len(row)}"
            )
        values = [_number(cell) for cell in row]
        if None in values:
            cell = row[values.index(None)]
            raise ValueError(f"{path}, line {line}: expected numbers, got {cell[:40]!r}")
        out.append(values)
    return np.array(out, np.float64)


def _reason(error: OSError) -> str:
    return f"none ({(error.strerror or str(error)).lower()})"


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
