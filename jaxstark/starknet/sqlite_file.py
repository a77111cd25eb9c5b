"""A durable SQLite file of one owner: versioned tables, atomic changes, locks on its name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from jaxstark.starknet.submission_error import SubmissionError

MEMORY = ":memory:"


class SqliteFile:
    """Tables in a file with write-ahead log and full synchronisation.

    Args:
      path: the file, made with its folder if absent, readable by its owner only; ``":memory:"``
        for none.
      schema: statements that make the tables of a new file.
      version: of the schema.
      what: what the file is, for messages.

    Raises ``ValueError`` for a file of something else or of another version. Its methods raise
    ``SubmissionError`` where the file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], schema: str, version: int, what: str) -> None:
        self.path = str(path)
        self._what = what
        self._held: set[str] = set()  # locks, where there is no file
        if self.path != MEMORY:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        found, problem = None, "another file"
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            found = self._prepare(schema, version)
        except sqlite3.OperationalError as error:  # read-only, locked, no room
            problem = f"a file that cannot be used ({error})"
        except sqlite3.DatabaseError:
            pass
        if found != version:
            self._db.close()
            raise ValueError(
                f"{what} {self.path}: expected an {what} of version {version}, got {problem}"
            )

    def _prepare(self, schema: str, version: int) -> int:
        """Version of the file, which gets its tables if it is new."""
        with self._atomic():
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if (found, tables) != (0, 0):
                return found
            for statement in schema.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {version}")
        return version

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _atomic(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a mistake of the program, not of the file
        except sqlite3.Error as error:
            raise SubmissionError(
                f"{self._what} {self.path}: expected a file that can be read and written, got an "
                f"error ({error}); nothing more was sent; mend that and run again"
            ) from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes within it are made and on the disk when it ends, or none is."""
        with self._usable(), self._atomic():
            yield

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query, or of a change that returns some."""
        with self._usable():
            return self._db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def lock(self, name: str, taken: str) -> Iterator[None]:
        """Hold a name, over all processes that use the file; it ends with its process.

        Raises ``SubmissionError`` with the text ``taken`` if another holds it.
        """
        if self.path == MEMORY:
            if name in self._held:
                raise SubmissionError(taken)
            self._held.add(name)
            try:
                yield
            finally:
                self._held.discard(name)
            return
        # The file itself, however it is spelled: a link to it must not have locks of its own.
        path = f"{os.path.realpath(self.path)}.{name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise SubmissionError(taken) from None
            yield
        finally:
            os.close(descriptor)
