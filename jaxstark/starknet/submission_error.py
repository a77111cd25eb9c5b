"""What goes wrong on the way to a chain: one sentence each, with what to do about it."""

from __future__ import annotations

import re

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
    """The innermost short string that a node quotes in the reason of a revert, or its words."""
    quoted = re.findall(r"\('([^']{1,31})'\)|\b0x[0-9a-f]+ \('([^']{1,31})'\)", text)
    found = [a or b for a, b in quoted if (a or b) not in _WRAPPERS]
    return found[-1] if found else shorten(text)


class Unreachable(SubmissionError):
    """No answer that says whether the node acted: a time-out, a dropped connection, a bad gateway.

    Attributes:
      retry: whether the same request may succeed later.
    """

    def __init__(self, message: str, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry
        self.reason = message
