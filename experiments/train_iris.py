"""Train the 4-8-3 network on the Iris flowers and write experiments/models/iris.json.

    python experiments/train_iris.py

Every fifth of the 150 flowers, from number 2 on, is held out: the flowers are sorted by class, so
that each class loses ten. Prints the accuracy of floats and of the quantised network.
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
flags.DEFINE_string("out", str(_networks.MODELS / "iris.json"), "Model file to write.")
flags.DEFINE_integer("seed", 0, "Seed of the first weights.", lower_bound=0)
flags.DEFINE_integer("steps", 1000, "Steps of Adam.", lower_bound=1)
_record.define_flags()

FEATURES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
CLASSES = ("setosa", "versicolor", "virginica")


def main() -> int:
    require_jax()
    features, labels = _networks.load_data("iris")
    held_out = np.arange(len(labels)) % 5 == 2
    _script.start()
    layers = _networks.fit(
        features[~held_out], labels[~held_out], (4, 8, 3), seed=FLAGS.seed, steps=FLAGS.steps
    )
    # Features have one decimal; the scale gives the hidden layer, which has its scale, two.
    network = _networks.Network("iris", layers, (0, 8), 100, 10, classes=CLASSES)
    found = _networks.accuracies(network, features, labels, held_out)
    _networks.save(
        Path(FLAGS.out),
        network,
        FEATURES,
        {
            "data": "scikit-learn load_iris, 150 flowers in its order",
            "held_out": "flowers 2, 7, 12, ..., 147 (30 of 150)",
            "script": "experiments/train_iris.py",
            "seed": FLAGS.seed,
            "steps": FLAGS.steps,
            "accuracy": found,
        },
    )
    return _networks.report(network, found, FLAGS.out)


if __name__ == "__main__":
    _script.run(main)
