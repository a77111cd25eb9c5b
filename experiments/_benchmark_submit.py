"""``benchmark_pipeline.py --submit``: the proof of a row, packed and recorded on the fake network.

It happens after the row was measured. Every row has a fake network of its own, in this process, so
that one proof may be recorded for several rows. Gas is that of two models: nothing here is a price.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import _end_to_end
import _script
import _submit
from _benchmark_jobs import DIGITS, Case

from jaxstark import Proof
from jaxstark.air.planning import check_public_values
from jaxstark.params import MINIMUM_BITS
from jaxstark.starknet import packer, sizes
from jaxstark.starknet.fees import FeePolicy, parse_strk
from jaxstark.starknet.header import ENCODINGS, HEADER_FELTS, Header
from jaxstark.starknet.job import Job
from jaxstark.starknet.outbox_sqlite import SqliteOutbox
from jaxstark.starknet.signing import require_starknet_py
from jaxstark.starknet.submission import make_submission
from jaxstark.starknet.submission_error import SubmissionError

SECTIONS = ("legacy26", "vm", "inference")
RECORDED, FAILED = "recorded", "failed"
ENCODING = "limb248"
POLICY = FeePolicy(parse_strk("900"))  # of the thousand that the fake account has


class Submitting:
    """Packs and records the proofs of rows; ``failed`` counts those that were not recorded.

    Raises ``UsageError`` if none of the sections has rows of single proofs, and ``ImportError`` if
    starknet-py is not installed.
    """

    def __init__(self, sections: Sequence[str]) -> None:
        if not set(sections) & set(SECTIONS):
            raise _script.UsageError(
                f"--submit: expected a section among {', '.join(SECTIONS)} with it, got "
                f"{', '.join(sections)}"
            )
        require_starknet_py()
        self.failed = 0

    def __call__(self, proof: Proof, case: Case) -> dict[str, Any]:
        """The member ``starknet`` of a row.

        Args:
          proof: of statement 0 of the case; it is verified again.
          case: what was proved.

        A proof that cannot be packed or recorded has the status ``"failed"`` and a reason; one
        that is not accepted raises ``VerificationError``.
        """
        try:
            return self._record(proof, case)
        except (SubmissionError, ValueError) as error:
            self.failed += 1
            return {"network": "fake", "status": FAILED, "reason": " ".join(str(error).split())}

    def _record(self, proof: Proof, case: Case) -> dict[str, Any]:
        air = case.key.definition or case.shape.air
        if air is None:
            raise ValueError("case: expected a key or a shape with its AIR, got neither")
        insecure = case.params.formula_bits < MINIMUM_BITS
        _script.timed_verify(proof, case.key, case.public_values, insecure=insecure)
        public = check_public_values(air, case.public_values)
        start = time.perf_counter()
        message = packer.encode(proof, case.key, air, public, ENCODING)
        packing = time.perf_counter() - start
        felts = {
            encoding: HEADER_FELTS + len(packer.payload(proof, case.key, air, public, encoding))
            for encoding in ENCODINGS
        }
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(_submit.fake_network(None))
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            outbox = stack.enter_context(
                contextlib.closing(SqliteOutbox(os.path.join(folder, "outbox.sqlite")))
            )
            submission = make_submission(message, Job.record_only(place.registry or 0))
            found = _end_to_end.submit(place, submission, POLICY, outbox)
            gas = _end_to_end.gas_used(place.node, found.result)
        header, size = Header.decode(message), sizes.measured(message)
        return {
            "network": "fake",
            "status": RECORDED,
            "encoding": ENCODING,
            "felts": felts,
            "transactions": len(found.result.transactions),
            "calldata_felts": list(submission.felts),
            "l2_gas": {"model": size.total_gas, "fake": gas["l2_gas"]},
            "model_strk": round(size.strk(), 6),
            "statement_hash": hex(header.statement),
            "digest": hex(header.digest),
            "seconds": {
                "pack": round(packing, DIGITS),
                "submit": round(found.submit, DIGITS),
                "read_back": round(found.read_back, DIGITS),
            },
        }
