"""Pack the cases again and write the golden vectors, or compare with ``--check``.

From the root of the repository: ``python -m tests.starknet.golden.regenerate``. The files of
``iris_compact96`` are those of

    python experiments/prove_inference.py --sample=17 --preset=compact-96
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from jaxstark.starknet import packer
from tests.starknet.golden.cases import ALL, ENCODINGS, VECTORS, packable, vector


def make() -> dict[str, Any]:
    """The vectors of all cases."""
    out: dict[str, Any] = {}
    for name in ALL:
        item = packable(name)
        out[name] = {
            encoding: vector(
                name,
                packer.pack(item.proof, item.key, item.public, encoding, insecure=item.insecure),
            )
            for encoding in ENCODINGS
        }
    return out


def main() -> int:
    """Write or compare; 1 if the vectors differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    text = json.dumps(make(), indent=1) + "\n"
    if parser.parse_args().check:
        return int(VECTORS.read_text() != text)
    VECTORS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
