"""What goes wrong on the way to a chain: one sentence each, with what to do about it."""

from __future__ import annotations

import re

from jaxstark.errors import ProofShapeError
from jaxstark.starknet.felts import read_short_string

_WRAPPERS = ("ENTRYPOINT_FAILED", "argent/multicall-failed", "ENTRYPOINT_NOT_FOUND")


class SubmissionError(Exception):
    """A submission cannot go on; the message says why, what was sent, and what to do.

    Whatever was sent before is in the outbox, and the same submission can be started again.
    """


class NodeError(SubmissionError):
    """The node answered with an error of the JSON-RPC specification.

    Attributes:
      code: number of the error, such as 52 for a wrong nonce.
      data: what the node added, as text; empty without.
    """

    def __init__(self, method: str, code: int, message: str, data: str = "") -> None:
        detail = f" ({shorten(data)})" if data else ""
        super().__init__(f"{method}: the node answers with error {code}, {message}{detail}")
        self.code = code
        self.message = message
        self.data = data


def shorten(text: str, limit: int = 300) -> str:
    """Words of a node, cut to a length that a sentence can hold."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def revert_reason(text: str) -> str:
    r"""The innermost short string in the reason of a revert, or the node's words.

    Nodes quote it behind its felt, as ``0x6e6f ('no')``, or give a list of bare felts, as
    ``"error": "[\"0x6e6f\"]"``.
    """
    found = re.findall(r"\('([^']{1,31})'\)", text)
    for listed in re.findall(r"\[([\s\\\",0-9a-fx]*)\]", text):
        felts = re.findall(r"0x[0-9a-f]{1,62}\b", listed)
        found += [words for felt in felts if (words := _short_string(int(felt, 16)))]
    reasons = [words for words in found if words not in _WRAPPERS]
    return reasons[-1] if reasons else shorten(text)


def _short_string(felt: int) -> str:
    """The printable text of a felt; empty for one that is none, or too short to be words."""
    try:
        text = read_short_string(felt)
    except ProofShapeError:
        return ""
    return text if len(text) > 1 and text.isprintable() else ""


class Unreachable(SubmissionError):
    """No answer that says whether the node acted: a time-out, a dropped connection, a bad gateway.

    Attributes:
      retry: whether the same request may succeed later.
    """

    def __init__(self, message: str, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry
        self.reason = message
