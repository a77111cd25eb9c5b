"""The outbox: its rules, its durability, its lock, and that nothing in it is secret."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jaxstark.starknet.outbox import ACCEPTED, DEAD, LIVE, REVERTED, Attempt, JobRow, Outbox
from jaxstark.starknet.outbox_sqlite import MEMORY, SqliteOutbox, default_outbox
from jaxstark.starknet.submission_error import SubmissionError

REPO = Path(__file__).resolve().parent.parent.parent
CHAIN, ACCOUNT = 0x534E, (1 << 250) + 7
JOB = JobRow("k1", CHAIN, ACCOUNT, "{}", 2, 0, 1 << 90, False, 5.0)
TRY = Attempt("k1", 0, (1 << 250) + 1, 4, "payload", "{}", 3, 1 << 80)


def attempt(**changes) -> Attempt:
    return dataclasses.replace(TRY, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def outbox(path):
    with SqliteOutbox(path, now=lambda: 9.0) as box:
        box.add_job(JOB)
        yield box


def test_it_is_an_outbox(outbox):
    box: Outbox = outbox
    assert box.job("k2") is None and box.job("k1") == JOB


def test_everything_is_there_after_reopening(outbox, path):
    outbox.add_attempt(TRY)
    outbox.sending(TRY.tx_hash, 7.5)
    outbox.refused(TRY.tx_hash, "53 too little")
    again = SqliteOutbox(path)
    assert again.attempts("k1") == [attempt(sends=1, sent=7.5, error="53 too little")]
    again.sending(TRY.tx_hash, 8.5)
    again.settle(TRY.tx_hash, ACCEPTED, fee=1 << 70)
    again.set_job("k1", max_fee=12, done=True)
    again.close()
    found = SqliteOutbox(path)
    assert found.attempts("k1", 0) == [attempt(sends=2, sent=8.5, state=ACCEPTED, fee=1 << 70)]
    assert found.attempts("k1", 1) == []
    assert found.job("k1") == dataclasses.replace(JOB, max_fee=12, done=True)
    assert [what for _, _, what, _ in found.journal("k1")] == (
        ["planned", "signed", "sending", "refused", "sending", "accepted", "done"]
    )


def test_a_job_is_added_once(outbox):
    outbox.add_job(dataclasses.replace(JOB, max_fee=1))
    assert outbox.job("k1") == JOB


def test_a_live_transaction_keeps_its_nonce(outbox):
    outbox.add_attempt(TRY)
    with pytest.raises(SubmissionError, match="which is live with nonce 4, got 5"):
        outbox.add_attempt(attempt(tx_hash=2, nonce=5))
    outbox.add_attempt(attempt(tx_hash=2))
    for tx_hash in (TRY.tx_hash, 2):
        with pytest.raises(SubmissionError, match="nothing was kept"):
            outbox.add_attempt(attempt(tx_hash=3, nonce=5))
        outbox.settle(tx_hash, DEAD)
    outbox.add_attempt(attempt(tx_hash=3, nonce=5))
    assert [a.tx_hash for a in outbox.attempts("k1")] == [TRY.tx_hash, 2, 3]


def test_an_accepted_transaction_is_never_signed_again(outbox):
    outbox.add_attempt(TRY)
    outbox.settle(TRY.tx_hash, ACCEPTED)
    with pytest.raises(SubmissionError, match="is accepted"):
        outbox.add_attempt(attempt(tx_hash=2))
    outbox.add_attempt(attempt(tx_hash=3, index=1, nonce=5))


def test_a_reverted_one_may_be_signed_anew(outbox):
    outbox.add_attempt(TRY)
    outbox.settle(TRY.tx_hash, REVERTED, fee=3)
    outbox.add_attempt(attempt(tx_hash=2, nonce=5))
    assert [a.state for a in outbox.attempts("k1")] == [REVERTED, LIVE]


def test_a_hash_is_kept_once(outbox):
    outbox.add_attempt(TRY)
    with pytest.raises(sqlite3.IntegrityError):
        outbox.add_attempt(TRY)
    assert len(outbox.attempts("k1")) == 1


def test_live_attempts_are_those_of_the_account_by_nonce(outbox):
    outbox.add_job(dataclasses.replace(JOB, key="k2", created=1.0))
    outbox.add_job(dataclasses.replace(JOB, key="k3", account=8))
    outbox.add_attempt(attempt(tx_hash=1, nonce=6))
    outbox.add_attempt(attempt(tx_hash=2, nonce=5, job="k2"))
    outbox.add_attempt(attempt(tx_hash=3, nonce=4, job="k3"))
    outbox.add_attempt(attempt(tx_hash=4, nonce=5, job="k2"))
    assert [a.tx_hash for a in outbox.live_attempts(CHAIN, ACCOUNT)] == [2, 4, 1]
    assert outbox.live_attempts(CHAIN + 1, ACCOUNT) == []


def test_changes_of_nothing_are_errors(outbox):
    for change in (lambda: outbox.sending(99, 1.0), lambda: outbox.settle(99, DEAD)):
        with pytest.raises(ValueError, match="0x63"):
            change()
    outbox.add_attempt(TRY)
    with pytest.raises(ValueError, match="state"):
        outbox.settle(TRY.tx_hash, "lost")
    with pytest.raises(sqlite3.IntegrityError):
        outbox.add_attempt(attempt(tx_hash=2, job="no such job"))


def test_one_sender_per_account_within_a_process(outbox, path):
    other = SqliteOutbox(path)
    with outbox.sender(CHAIN, ACCOUNT):
        with pytest.raises(SubmissionError, match="only sender"), other.sender(CHAIN, ACCOUNT):
            pass
        with other.sender(CHAIN, ACCOUNT + 1), other.sender(CHAIN + 1, ACCOUNT):
            pass
    with other.sender(CHAIN, ACCOUNT):
        pass


def test_one_sender_per_account_in_memory():
    box = SqliteOutbox(MEMORY)
    with (
        box.sender(1, 2),
        pytest.raises(SubmissionError, match="only sender"),
        box.sender(1, 2),
    ):
        pass
    with box.sender(1, 2):
        pass


def test_the_lock_ends_with_its_process(outbox, path):
    code = (
        "import os, sys\nfrom jaxstark.starknet.outbox_sqlite import SqliteOutbox\n"
        f"box = SqliteOutbox({str(path)!r})\n"
        f"lock = box.sender({CHAIN}, {ACCOUNT})\nlock.__enter__()\n"
        "print('held', flush=True)\nsys.stdin.read(1)\nos._exit(9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPO
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SubmissionError, match="only sender"), outbox.sender(CHAIN, ACCOUNT):
            pass
        holder.stdin.write(b"x")
        holder.stdin.close()
        assert holder.wait() == 9
    with outbox.sender(CHAIN, ACCOUNT):
        pass


def test_a_link_to_the_file_has_the_same_lock(outbox, path):
    (path.parent / "link").symlink_to(path)
    other = SqliteOutbox(path.parent / "link")
    with (
        outbox.sender(CHAIN, ACCOUNT),
        pytest.raises(SubmissionError, match="only sender"),
        other.sender(CHAIN, ACCOUNT),
    ):
        pass


def test_networks_that_share_a_chain_id_do_not_share_an_outbox(outbox, path):
    outbox.bind("devnet")
    outbox.bind("devnet")
    again = SqliteOutbox(path)
    with pytest.raises(SubmissionError, match="expected one of network sepolia, got one of devnet"):
        again.bind("sepolia")
    again.bind("devnet")


@pytest.mark.parametrize("pragma", ["query_only = ON", "max_page_count = 1"])
def test_a_file_that_cannot_be_written_is_one_sentence(outbox, pragma):
    outbox._db.execute(f"PRAGMA {pragma}")
    with pytest.raises(SubmissionError, match="can be read and written, got an error") as caught:
        outbox.add_attempt(attempt(payload="x" * 100_000))
    assert "\n" not in str(caught.value) and outbox.attempts("k1") == []
    outbox._db.execute("PRAGMA query_only = OFF")
    outbox._db.execute("PRAGMA max_page_count = 10000")
    outbox.add_attempt(TRY)  # no change is left open


def test_a_file_that_is_locked_is_not_called_another_file(outbox, path, monkeypatch):
    true = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: true(*a, **k | {"timeout": 0.01}))
    with (
        outbox.transaction(),
        pytest.raises(ValueError, match=r"a file that cannot be used \(database is locked\)"),
    ):
        SqliteOutbox(path)


def test_the_file_is_the_owners(outbox, path):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_it_writes_ahead_and_synchronises(path):
    box = SqliteOutbox(path)
    assert box._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert box._db.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("content", [b"not a database at all" * 50, None])
def test_other_files_are_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other"
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE diary (line TEXT)")
        db.close()
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="expected an outbox of version 1"):
        SqliteOutbox(path)
    if content is not None:
        assert path.read_bytes() == content


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_outbox("devnet") == tmp_path / "jaxstark" / "devnet.sqlite"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_outbox("x").parts[-4:] == (".local", "state", "jaxstark", "x.sqlite")
