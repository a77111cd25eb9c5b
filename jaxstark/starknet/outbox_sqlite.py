"""The outbox in an SQLite file: write-ahead log, full synchronisation, a lock per account.

A file is meant for one user on one machine. The lock of an account is held on a file beside the
outbox and ends with its process, however that ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from jaxstark.starknet.outbox import ACCEPTED, LIVE, STATES, Attempt, JobRow
from jaxstark.starknet.sqlite_file import MEMORY as MEMORY
from jaxstark.starknet.sqlite_file import SqliteFile
from jaxstark.starknet.submission_error import SubmissionError

VERSION = 1
_SCHEMA = """
CREATE TABLE network (name TEXT NOT NULL) STRICT;
CREATE TABLE jobs (
  key TEXT PRIMARY KEY, chain_id TEXT NOT NULL, account TEXT NOT NULL, plan TEXT NOT NULL,
  transactions INTEGER NOT NULL, skip INTEGER NOT NULL, max_fee TEXT NOT NULL,
  done INTEGER NOT NULL, created REAL NOT NULL
) STRICT;
CREATE TABLE attempts (
  number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs (key),
  place INTEGER NOT NULL, tx_hash TEXT NOT NULL UNIQUE, nonce INTEGER NOT NULL,
  payload TEXT NOT NULL, bounds TEXT NOT NULL, tip TEXT NOT NULL, worst_fee TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('live', 'accepted', 'reverted', 'dead')),
  sends INTEGER NOT NULL, error TEXT NOT NULL, fee TEXT NOT NULL, created REAL NOT NULL,
  sent REAL NOT NULL
) STRICT;
CREATE INDEX attempts_of_job ON attempts (job, place);
CREATE INDEX live_attempts ON attempts (state) WHERE state = 'live';
CREATE TABLE journal (
  number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, job TEXT NOT NULL,
  place INTEGER NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE INDEX journal_of_job ON journal (job);
"""
_JOB = "key, chain_id, account, plan, transactions, skip, max_fee, done, created"
_ATTEMPT = (
    "job, place, tx_hash, nonce, payload, bounds, tip, worst_fee, state, sends, error, fee, "
    "created, sent"
)


class SqliteOutbox(SqliteFile):
    """An outbox in a file, or in memory for a trial.

    Args:
      path: of the file, as in ``SqliteFile``; ``":memory:"`` for none.
      now: seconds since 1970.

    Raises ``ValueError`` for a file that is no outbox of this version. Its methods raise
    ``SubmissionError`` where the file cannot be read or written; nothing is sent after that.
    """

    def __init__(self, path: str | os.PathLike[str], now: Callable[[], float] = time.time) -> None:
        super().__init__(path, _SCHEMA, VERSION, "outbox")
        self._now = now

    def bind(self, network: str) -> None:
        """See ``Outbox``."""
        with self.transaction():
            names = [name for (name,) in self.rows("SELECT name FROM network")]
            if not names:
                self.rows("INSERT INTO network (name) VALUES (?)", (network,))
            elif names != [network]:
                raise SubmissionError(
                    f"outbox {self.path}: expected one of network {network}, got one of "
                    f"{names[0]}; every network needs its own: name another with --outbox"
                )

    def sender(self, chain_id: int, account: int) -> AbstractContextManager[None]:
        """See ``Outbox``."""
        taken = (
            f"account {account:#x}: expected to be its only sender, but another process is sending "
            f"for it with outbox {self.path}; wait until that has ended"
        )
        return self.lock(f"{chain_id:x}.{account:x}", taken)

    def add_job(self, job: JobRow) -> None:
        """See ``Outbox``."""
        values = (
            job.key,
            hex(job.chain_id),
            hex(job.account),
            job.plan,
            job.transactions,
            job.skip,
            str(job.max_fee),
            int(job.done),
            job.created,
        )
        with self.transaction():
            self.rows(
                f"INSERT INTO jobs ({_JOB}) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                values,
            )
            self._note(job.key, -1, "planned", f"{job.transactions} transactions")

    def job(self, key: str) -> JobRow | None:
        """See ``Outbox``."""
        for k, c, a, plan, n, skip, fee, done, created in self.rows(
            f"SELECT {_JOB} FROM jobs WHERE key = ?", (key,)
        ):
            return JobRow(k, int(c, 16), int(a, 16), plan, n, skip, int(fee), bool(done), created)
        return None

    def set_job(self, key: str, *, max_fee: int | None = None, done: bool | None = None) -> None:
        """See ``Outbox``."""
        with self.transaction():
            if max_fee is not None:
                self.rows("UPDATE jobs SET max_fee = ? WHERE key = ?", (str(max_fee), key))
            if done is not None:
                self.rows("UPDATE jobs SET done = ? WHERE key = ?", (int(done), key))
                self._note(key, -1, "done" if done else "reopened")

    def add_attempt(self, attempt: Attempt) -> None:
        """See ``Outbox``."""
        with self.transaction():
            for other in self.attempts(attempt.job, attempt.index):
                if other.state == ACCEPTED or (
                    other.state == LIVE and other.nonce != attempt.nonce
                ):
                    raise SubmissionError(
                        f"transaction {attempt.index + 1}: expected the nonce of "
                        f"{other.tx_hash:#x}, which is {other.state} with nonce {other.nonce}, got "
                        f"{attempt.nonce}; nothing was kept"
                    )
            self.rows(
                f"INSERT INTO attempts ({_ATTEMPT}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    attempt.job,
                    attempt.index,
                    hex(attempt.tx_hash),
                    attempt.nonce,
                    attempt.payload,
                    attempt.bounds,
                    str(attempt.tip),
                    str(attempt.worst_fee),
                    attempt.state,
                    attempt.sends,
                    attempt.error,
                    str(attempt.fee),
                    attempt.created,
                    attempt.sent,
                ),
            )
            self._note(
                attempt.job,
                attempt.index,
                "signed",
                f"{attempt.tx_hash:#x} nonce {attempt.nonce} at most {attempt.worst_fee} FRI",
            )

    def attempts(self, key: str, index: int | None = None) -> list[Attempt]:
        """See ``Outbox``."""
        if index is None:
            return self._attempts("WHERE job = ? ORDER BY number", key)
        return self._attempts("WHERE job = ? AND place = ? ORDER BY number", key, index)

    def live_attempts(self, chain_id: int, account: int) -> list[Attempt]:
        """See ``Outbox``."""
        where = (
            "WHERE state = 'live' AND job IN (SELECT key FROM jobs WHERE chain_id = ? AND "
            "account = ?) ORDER BY nonce, number"
        )
        return self._attempts(where, hex(chain_id), hex(account))

    def settled_attempts(self, chain_id: int, account: int, nonce: int) -> list[Attempt]:
        """See ``Outbox``."""
        where = (
            "WHERE state IN ('accepted', 'reverted') AND nonce = ? AND job IN "
            "(SELECT key FROM jobs WHERE chain_id = ? AND account = ?) ORDER BY number"
        )
        return self._attempts(where, nonce, hex(chain_id), hex(account))

    def _attempts(self, where: str, *values: Any) -> list[Attempt]:
        rows = self.rows(f"SELECT {_ATTEMPT} FROM attempts {where}", values)
        return [
            Attempt(
                job, place, int(tx, 16), nonce, payload, bounds, int(tip), int(worst), state,
                sends, error, int(fee), created, sent,
            )
            for job, place, tx, nonce, payload, bounds, tip, worst, state, sends, error, fee,
            created, sent in rows
        ]  # fmt: skip

    def sending(self, tx_hash: int, when: float) -> None:
        """See ``Outbox``."""
        change = "SET sends = sends + 1, sent = ?, error = ''"
        self._change(tx_hash, change, (when,), "sending", "")

    def refused(self, tx_hash: int, error: str) -> None:
        """See ``Outbox``."""
        self._change(tx_hash, "SET error = ?", (error,), "refused", error)

    def settle(self, tx_hash: int, state: str, fee: int = 0) -> None:
        """See ``Outbox``."""
        if state not in STATES:
            raise ValueError(f"state: expected one of {', '.join(STATES)}, got {state!r}")
        self._change(tx_hash, "SET state = ?, fee = ?", (state, str(fee)), state, f"fee {fee} FRI")

    def _change(
        self, tx_hash: int, change: str, values: tuple[Any, ...], what: str, detail: str
    ) -> None:
        with self.transaction():
            rows = self.rows(
                f"UPDATE attempts {change} WHERE tx_hash = ? RETURNING job, place",
                (*values, hex(tx_hash)),
            )
            if not rows:
                raise ValueError(f"transaction: expected one of the outbox, got {tx_hash:#x}")
            ((job, place),) = rows
            self._note(job, place, what, f"{tx_hash:#x} {detail}".strip())

    def note(self, key: str, index: int, what: str, detail: str = "") -> None:
        """See ``Outbox``."""
        with self.transaction():
            self._note(key, index, what, detail)

    def _note(self, key: str, index: int, what: str, detail: str = "") -> None:
        self.rows(
            "INSERT INTO journal (time, job, place, what, detail) VALUES (?,?,?,?,?)",
            (self._now(), key, index, what, detail),
        )

    def journal(self, key: str) -> Sequence[tuple[float, int, str, str]]:
        """See ``Outbox``."""
        query = "SELECT time, place, what, detail FROM journal WHERE job = ? ORDER BY number"
        return self.rows(query, (key,))


def default_outbox(network: str) -> Path:
    """The user's outbox for a network (``XDG_STATE_HOME`` is respected)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "jaxstark" / f"{network}.sqlite"
