"""A database is copied aside while somebody else owns it: consistently, and without a trace beside the original."""

from __future__ import annotations

import os
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from engine.importers.legacy.copying import copied_aside, is_still, take_copy
from ledger.errors import StorageError, StorageFault
from tests.engine.importers.legacy.legacy_databases import live_child, run_child, snapshot

PREPARE = """
    import os, sqlite3, sys
    c = sqlite3.connect("old.db", isolation_level=None)
    c.execute("PRAGMA journal_mode = %s")
    c.execute("CREATE TABLE pairs (a INTEGER, b INTEGER, padding TEXT)")
"""
# A file that takes a while to copy. Each commit counts up two rows that are far apart in it, another two each time, and
# moves them from the WAL into the file at once.
RESTLESS = """
    import itertools, time
    c.execute("PRAGMA wal_autocheckpoint = 1")
    c.execute("PRAGMA synchronous = OFF")
    c.execute("BEGIN")
    c.executemany("INSERT INTO pairs VALUES (?, 0, hex(randomblob(2000)))", ((i,) for i in range(4000)))
    c.execute("COMMIT")
    print("ready", flush=True)
    for count in itertools.count():
        low = count % 100 + 1
        c.execute("BEGIN")
        c.execute("UPDATE pairs SET b = b + 1 WHERE rowid IN (?, ?)", (low, 4001 - low))
        c.execute("COMMIT")
        time.sleep(0.1 if count % 40 == 39 else 0.003)
"""


def writer(journal: str, script: str) -> str:
    """A program that makes a database and does what a script says."""
    return textwrap.dedent(PREPARE % journal) + textwrap.dedent(script)


def rows(copy: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(copy)) as connection:
        return list(connection.execute("SELECT a, b FROM pairs ORDER BY a, b"))


def copied_rows(file: Path) -> list[tuple[int, int]]:
    with copied_aside(str(file)) as copy:
        return rows(copy)


INSERT = "c.execute('INSERT INTO pairs VALUES (1, 2, NULL)')\n"


@pytest.mark.parametrize("journal", ["DELETE", "WAL", "PERSIST", "TRUNCATE"])
def test_a_closed_database_comes_over_whole_and_stays_as_it_is(tmp_path: Path, journal: str) -> None:
    run_child(tmp_path, writer(journal, f"{INSERT}c.close()"))
    before = snapshot(tmp_path)
    assert copied_rows(tmp_path / "old.db") == [(1, 2)]
    assert snapshot(tmp_path) == before


def test_what_a_killed_writer_left_in_the_wal_comes_over_and_the_wal_stays(tmp_path: Path) -> None:
    """Opened where it stands, SQLite would move the WAL into the file."""
    run_child(tmp_path, writer("WAL", f"{INSERT}os._exit(0)"))
    before = snapshot(tmp_path)
    assert before.keys() >= {"old.db", "old.db-wal"}
    assert copied_rows(tmp_path / "old.db") == [(1, 2)]
    assert snapshot(tmp_path) == before


def test_a_wal_is_found_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    run_child(tmp_path / "real", writer("WAL", f"{INSERT}os._exit(0)"))
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "real" / "old.db")
    assert copied_rows(link) == [(1, 2)]


def test_what_a_killed_writer_had_not_committed_is_rolled_back_in_the_copy(tmp_path: Path) -> None:
    """With a rollback journal the file itself holds half of it; only the journal tells what was before."""
    spill = """
        c.executemany("INSERT INTO pairs VALUES (?, 1, hex(randomblob(1000)))", ((i,) for i in range(100)))
        c.execute("PRAGMA cache_size = 5")
        c.execute("BEGIN")
        c.execute("UPDATE pairs SET b = 2")
        os._exit(0)
    """
    run_child(tmp_path, writer("DELETE", spill))
    before = snapshot(tmp_path)
    assert before.keys() == {"old.db", "old.db-journal"}
    assert {b for _, b in copied_rows(tmp_path / "old.db")} == {1}
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_live_writer_is_not_disturbed_nor_its_open_transaction_taken(tmp_path: Path, journal: str) -> None:
    holding = """
        c.execute("BEGIN IMMEDIATE")
        c.execute("INSERT INTO pairs VALUES (5, 6, NULL)")
        print("ready", flush=True)
        sys.stdin.read()
    """
    with live_child(tmp_path, writer(journal, INSERT + textwrap.dedent(holding))):
        before = snapshot(tmp_path)
        assert copied_rows(tmp_path / "old.db") == [(1, 2)]
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_copy_of_a_restless_database_is_one_moment_of_it_or_refused(tmp_path: Path, journal: str) -> None:
    """A torn copy has one row of a pair as it was and the other as it is; SQLite's own check does not see that."""
    with live_child(tmp_path, writer(journal, RESTLESS)):
        for _ in range(4):
            try:
                counts = [b for _, b in copied_rows(tmp_path / "old.db")]
            except StorageError as error:
                assert error.fault is StorageFault.DATABASE_BUSY  # noqa: PT017  refused is as good
                continue
            assert counts == counts[::-1]


# ---- what makes a copy a good one


def prepared(folder: Path) -> tuple[Path, Path]:
    source, copy = folder / "old.db", folder / "aside" / "copy.db"
    copy.parent.mkdir()
    for side, content in (("", b"database"), ("-wal", b"frame 1")):
        Path(f"{source}{side}").write_bytes(content)
    assert take_copy(source, copy)
    assert is_still(source, copy)
    return source, copy


def test_a_wal_that_has_grown_since_does_not_spoil_the_copy(tmp_path: Path) -> None:
    source, copy = prepared(tmp_path)
    Path(f"{source}-wal").write_bytes(b"frame 1, frame 2")
    assert is_still(source, copy)


@pytest.mark.parametrize(
    ("side", "content"),
    [("", b"Database"), ("", b"database, longer"), ("-wal", b"frame 2"), ("-wal", b"frame"), ("-journal", b"new")],
)
def test_whatever_else_changed_since_spoils_the_copy(tmp_path: Path, side: str, content: bytes) -> None:
    """A checkpoint writes the file and begins the WAL anew; a new journal means that pages are being written."""
    source, copy = prepared(tmp_path)
    Path(f"{source}{side}").write_bytes(content)
    assert not is_still(source, copy)


@pytest.mark.parametrize("side", ["", "-wal"])
def test_a_file_that_went_away_spoils_the_copy(tmp_path: Path, side: str) -> None:
    source, copy = prepared(tmp_path)
    Path(f"{source}{side}").unlink()
    assert not is_still(source, copy)


def test_a_journal_that_went_away_spoils_the_copy(tmp_path: Path) -> None:
    """Its transaction was committed meanwhile; in the copy it would be rolled back."""
    source, copy = tmp_path / "old.db", tmp_path / "copy.db"
    source.write_bytes(b"database")
    Path(f"{source}-journal").write_bytes(b"pages")
    assert take_copy(source, copy)
    Path(f"{source}-journal").unlink()
    assert not is_still(source, copy)


def test_a_database_that_goes_away_while_it_is_copied_is_no_copy(tmp_path: Path) -> None:
    assert not take_copy(tmp_path / "gone.db", tmp_path / "copy.db")


# ---- what cannot be copied


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    assert_fault(tmp_path / "none.db", StorageFault.DATABASE_MISSING)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert_fault(tmp_path, StorageFault.NOT_A_DATABASE)


@pytest.mark.parametrize("content", [b"id,amount\n1,2\n" * 1000, b"x"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "old.csv").write_bytes(content)
    assert_fault(tmp_path / "old.csv", StorageFault.NOT_A_DATABASE)


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    fill = (
        "c.executemany('INSERT INTO pairs VALUES (?, 0, hex(randomblob(900)))', ((i,) for i in range(50)))\nc.close()"
    )
    run_child(tmp_path, writer("DELETE", fill))
    content = bytearray((tmp_path / "old.db").read_bytes())
    content[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    (tmp_path / "old.db").write_bytes(content)
    assert_fault(tmp_path / "old.db", StorageFault.DATABASE_DAMAGED)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    run_child(tmp_path, writer("DELETE", "c.close()"))
    (tmp_path / "old.db").chmod(0)
    assert_fault(tmp_path / "old.db", StorageFault.DATABASE_UNREADABLE)


def assert_fault(file: Path, fault: StorageFault) -> None:
    with pytest.raises(StorageError) as caught, copied_aside(str(file)):
        pytest.fail("it was copied")
    assert caught.value.fault is fault
    assert str(file) in str(caught.value)
