"""Train the 64-32-10 network on handwritten digits and write experiments/models/digits.json.

    python experiments/train_digits.py

The last 360 of the 1,797 samples are held out, unshuffled: neighbours may be by one writer, whom
training should not have seen. Prints the accuracy of floats and of the quantised network.
"""

from __future__ import annotations

from pathlib import Path

import _networks
import _record
import _script
import numpy as np
from absl import flags

from jaxstark import require_jax

FLAGS = flags.FLAGS
flags.DEFINE_string("out", str(_networks.MODELS / "digits.json"), "Model file to write.")
flags.DEFINE_integer("seed", 0, "Seed of the first weights.", lower_bound=0)
flags.DEFINE_integer("steps", 500, "Steps of Adam.", lower_bound=1)
_record.define_flags()

HELD_OUT = 360


def main() -> int:
    require_jax()
    features, labels = _networks.load_data("digits")
    held_out = np.arange(len(labels)) >= len(labels) - HELD_OUT
    _script.start()
    layers = _networks.fit(
        features[~held_out], labels[~held_out], (64, 32, 10), seed=FLAGS.seed, steps=FLAGS.steps
    )
    # Pixels are integers; the scale gives the hidden layer four bits behind the point.
    classes = tuple(map(str, range(10)))
    network = _networks.Network("digits", layers, (0, 16), 16, 8, classes=classes)
    found = _networks.accuracies(network, features, labels, held_out)
    first = len(labels) - HELD_OUT
    _networks.save(
        Path(FLAGS.out),
        network,
        [f"pixel {row} {column}" for row in range(8) for column in range(8)],
        {
            "data": f"scikit-learn load_digits, {len(labels)} samples in its order",
            "held_out": f"samples {first}..{len(labels) - 1} ({HELD_OUT} of {len(labels)})",
            "script": "experiments/train_digits.py",
            "seed": FLAGS.seed,
            "steps": FLAGS.steps,
            "accuracy": found,
        },
    )
    return _networks.report(network, found, FLAGS.out)


if __name__ == "__main__":
    _script.run(main)
