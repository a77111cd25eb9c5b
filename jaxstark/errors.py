"""The three ways in which a call can fail, besides ``ValueError`` for misuse."""

from __future__ import annotations


class ProvingError(Exception):
    """A trace breaks its constraints; the message names the component, row and constraint.

    Raised by ``prove`` instead of returning a proof that the verifier would reject.
    """


class VerificationError(Exception):
    """A proof does not prove its statement.

    Attributes:
      section: the part of the protocol that failed, such as ``"oods"`` or ``"fri"``.
    """

    def __init__(self, section: str, message: str) -> None:
        super().__init__(f"{section}: {message}")
        self.section = section


class ProofShapeError(VerificationError):
    """A proof is malformed: something has another size, type or range than its key demands."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__("shape", f"{what}: expected {expected}, got {got}")
        self.what = what
        self.expected = expected
        self.got = got
