"""Secrets in memory: wrapped where they enter, so that no text form or copy shows them."""

from __future__ import annotations

from typing import Any, NoReturn

HIDDEN = "<hidden>"


class Secret:
    """A text that no text form shows; ``reveal()`` gives it to the code that needs it.

    Two secrets are never compared, hashed, copied or pickled.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text itself."""
        return self.__text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not copied or pickled")
