"""Verify a proof file against a key file: one sentence, and 0, 1 or 2 as the exit code.

    python experiments/verify.py --proof=out/proof.json --key=out/key.json --public=out/public.json

The same function as ``python -m jaxstark verify``, behind flags.
"""

from __future__ import annotations

import _script
from absl import flags

from jaxstark.__main__ import main as command_line

FLAGS = flags.FLAGS
flags.DEFINE_string("proof", None, "Proof file, .json or .bin.", required=True)
flags.DEFINE_string("key", None, "Key file that the verifier trusts.", required=True)
flags.DEFINE_string("public", None, "JSON object of public values.")
flags.DEFINE_string("air", None, "module:attribute of an AIR that is not shipped.")
flags.DEFINE_integer("minimum_bits", None, "Security that the key must have.", lower_bound=0)
flags.DEFINE_bool("insecure", False, "Accept parameters that are for tests only.")


def main() -> int:
    # One token per option, so that no value is ever read as an option.
    arguments = ["verify"]
    for name in ("public", "air", "minimum_bits"):
        if FLAGS[name].value is not None:
            arguments.append(f"--{name.replace('_', '-')}={FLAGS[name].value}")
    if FLAGS.insecure:
        arguments.append("--insecure")
    return command_line([*arguments, "--", FLAGS.proof, FLAGS.key])


if __name__ == "__main__":
    _script.run(main)
