"""The state of the fake chain: numbers under tuples, with a journal to undo writes."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, MutableMapping

Key = tuple[Hashable, ...]


class State:
    """A map from keys to felts in which absent means 0.

    Every write is journalled: ``rollback`` undoes all after a ``mark``, which reverts a call,
    forgets a simulation and unwinds blocks alike.
    """

    def __init__(self, values: MutableMapping[Key, int] | None = None) -> None:
        self.values: MutableMapping[Key, int] = {} if values is None else values
        self.journal: list[tuple[Key, int]] = []

    def read(self, key: Key) -> int:
        """The value under ``key``."""
        return self.values.get(key, 0)

    def write(self, key: Key, value: int) -> None:
        """Set the value under ``key``."""
        self.journal.append((key, self.read(key)))
        self.values[key] = value

    def mark(self) -> int:
        """A point in time for ``rollback``, ``view`` and ``changed``."""
        return len(self.journal)

    def rollback(self, mark: int) -> None:
        """Undo every write after ``mark``."""
        while len(self.journal) > mark:
            key, old = self.journal.pop()
            self.values[key] = old

    def changed(self, mark: int) -> dict[Key, tuple[int, int]]:
        """Keys whose value differs from that at ``mark``, with the old and the new value."""
        olds: dict[Key, int] = {}
        for key, old in self.journal[mark:]:
            olds.setdefault(key, old)
        return {k: (old, self.read(k)) for k, old in olds.items() if old != self.read(k)}

    def view(self, mark: int) -> State:
        """The state as it was at ``mark``; writes to it leave this one alone."""
        olds = {key: old for key, (old, _) in self.changed(mark).items()}
        return State(ChainMap({}, olds, self.values))


def nonce_key(address: int) -> Key:
    """Where the nonce of an account lies."""
    return ("nonce", address)


def class_key(address: int) -> Key:
    """Where the class hash of a contract lies; 0 means that nothing is deployed there."""
    return ("class", address)


def storage_key(address: int, key: Key) -> Key:
    """Where a variable of a contract lies."""
    return ("storage", address, *key)


def declared_key(class_hash: int) -> Key:
    """Where it stands that a class is declared."""
    return ("declared", class_hash)
