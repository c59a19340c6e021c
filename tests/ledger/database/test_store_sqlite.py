"""SQLite under the log: the contract of every engine, and what is SQLite's own."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger import store
from ledger.database import triggers
from ledger.database.connections import Database
from ledger.errors import StorageError
from ledger.events import Opened
from tests.ledger.database.store_contract import AppenderContract, deposit
from tests.ledger.database.store_support import (
    SAMPLE_VERSIONS,
    append_sample,
    content,
    content_seen,
    fill,
    findings_of,
    fingerprints,
    require_projections_match,
    sample_file,
)
from tests.script_server import run_program
from tests.support import BOOK, SequentialIds, TickingClock, ledger_file, log_of, open_keeper

NOBODY = 65534


class TestSqlite(AppenderContract):
    """The contract on SQLite, and what does not depend on the engine."""

    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        """A fresh, migrated database without a book."""
        return str(ledger_file(tmp_path))


def pragma(database: Database, name: str, *, writing: bool = False) -> object:
    """A setting of the connection that a transaction gets."""
    with database.writing() if writing else database.reading() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


# Settings


def test_every_connection_is_durable_and_holds_to_foreign_keys(tmp_path: Path) -> None:
    """Also the second one of a pool, and of every mode: synchronous 2 is FULL."""
    path = str(tmp_path / "new.db")
    for mode in ("create", "write", "read"):
        with Bookkeeper.open(path, mode) as keeper, keeper.database.reading():
            wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "query_only": int(mode == "read")}
            assert {name: pragma(keeper.database, name) for name in wanted} == wanted
            if mode != "read":
                assert {name: pragma(keeper.database, name, writing=True) for name in wanted} == wanted


def test_a_copy_that_sqlite_made_is_written_with_a_wal_again(tmp_path: Path) -> None:
    """VACUUM INTO gives a file with a rollback journal, with which a reader would hold the writers up."""
    source, copy = sample_file(tmp_path), tmp_path / "copy.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with Bookkeeper.open(str(copy), "read") as keeper:
        assert pragma(keeper.database, "journal_mode") == "delete"  # else this tests nothing
    with Bookkeeper.open(str(copy)) as keeper:
        assert pragma(keeper.database, "journal_mode") == "wal"
        keeper.append(BOOK, fill("f:9"))
    assert findings_of(copy) == []


def test_a_closed_ledger_is_one_file(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


# Paths

NAMES = [
    "a b.db",
    "what?.db",
    "?mode=memory",
    "a#b.db",
    "100%.db",
    "%41.db",
    ":memory:",
    "file:x.db",
    "file:x?mode=rwc",
    "'quoted\".db",
    "-rf",
    "żółw 雪.db",
    "a&immutable=1",
    "new\nline",
    "back\\slash",
    "no ending",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_a_path_whatever_it_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The file of just that name is made, written and read, and no other; made where nothing stands before the name."""
    monkeypatch.chdir(tmp_path)
    with Bookkeeper.open(name, "create") as keeper:
        keeper.open_book(BOOK, Opened(mode="paper"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    for number, location in enumerate((name, str(tmp_path / name))):
        with Bookkeeper.open(location) as keeper:
            keeper.append(BOOK, deposit(f"k:{number}"))
        assert [path.name for path in tmp_path.iterdir()] == [name]
        with Bookkeeper.open(location, "read") as keeper:
            assert keeper.view(BOOK).head.version == 2 + number
    with closing(sqlite3.connect(tmp_path / name)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (3,)


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("name", ["mistyped.db", "no folder/ledger.db", ":memory:", "", "x" * 300, "ledger.db/x"])
def test_a_mistyped_path_is_told_and_creates_nothing(tmp_path: Path, mode: str, name: str) -> None:
    ledger_file(tmp_path)
    before = fingerprints(tmp_path)
    with pytest.raises(StorageError) as raised:
        Bookkeeper.open(f"{tmp_path}/{name}", mode).close()  # type: ignore[arg-type]
    assert raised.value.code == ("not_a_database" if name == "" else "database_missing")
    assert fingerprints(tmp_path) == before


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_file_that_goes_before_it_is_used_is_not_made_anew(tmp_path: Path, mode: str) -> None:
    path = ledger_file(tmp_path)
    with Database.open(str(path), mode) as database:  # type: ignore[arg-type]
        path.unlink()
        with pytest.raises(StorageError, match="database_unreadable"):
            content(database)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_is_not_made_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="database_unreadable"):
        Bookkeeper.open(str(tmp_path / "no folder" / "ledger.db"), "create")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_file_that_is_no_database_is_told_and_left_as_it_was(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as one\n" * 100)
    before = fingerprints(tmp_path)
    with pytest.raises(StorageError, match="not_a_database"):
        Bookkeeper.open(str(path), mode)  # type: ignore[arg-type]
    assert fingerprints(tmp_path) == before


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_somebody_elses_database_is_told_and_left_as_it_was(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE fills (id INTEGER PRIMARY KEY)")
    before = fingerprints(tmp_path)
    with pytest.raises(StorageError, match="not_a_ledger"):
        Bookkeeper.open(str(path), mode)  # type: ignore[arg-type]
    assert fingerprints(tmp_path) == before


@pytest.mark.parametrize("mode", ["read", "write"])
def test_an_empty_file_is_no_ledger_yet(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StorageError, match="not_a_ledger"):
        Bookkeeper.open(str(path), mode)  # type: ignore[arg-type]
    assert path.read_bytes() == b""
    Bookkeeper.open(str(path), "create").close()
    Bookkeeper.open(str(path), mode).close()  # type: ignore[arg-type]


def test_making_a_ledger_again_changes_nothing(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    before = fingerprints(tmp_path)
    Bookkeeper.open(str(path), "create").close()
    assert fingerprints(tmp_path) == before


# Reading never writes


def run_python(script: str, *arguments: object) -> int:
    """The exit code of a Python process of its own, which may end as abruptly as it likes."""
    return run_program(script, *arguments).returncode


KILLED = """
import os, sys
from engine.bookkeeper import Bookkeeper
from tests.ledger.database.store_contract import deposit
keeper = Bookkeeper.open(sys.argv[1])
keeper.append("main", deposit("committed", "5"))

def stream():
    for number in range(700):
        yield deposit(f"half:{number}")
    os._exit(9)

keeper.append_all("main", stream())
"""


@pytest.fixture(scope="module")
def killed_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose writer was killed in the middle of its second append, and left a WAL; to be copied."""
    folder = tmp_path_factory.mktemp("killed")
    path = sample_file(folder)
    assert run_python(KILLED, path) == 9
    assert Path(f"{path}-wal").stat().st_size > 0
    return path


def copied(ledger: Path, folder: Path, *endings: str) -> Path:
    """A copy of a ledger with those of its companions."""
    for ending in ("", *endings):
        shutil.copy(f"{ledger}{ending}", folder / f"{ledger.name}{ending}")
    return folder / ledger.name


def read_all(path: Path) -> int:
    """Everything that reads; the version that it saw."""
    with Bookkeeper.open(str(path), "read") as keeper:
        assert check(keeper.database, BOOK).ok
        assert rebuild(keeper.database, BOOK, dry_run=True).changes == []
        assert len(log_of(keeper)) == keeper.view(BOOK).head.version
        return keeper.view(BOOK).head.version


@pytest.mark.parametrize("endings", [["-wal", "-shm"], ["-wal"]])
def test_reading_beside_a_killed_writers_wal_sees_its_commits_and_writes_nothing(
    killed_ledger: Path, tmp_path: Path, endings: list[str]
) -> None:
    """Of the append that was under way nothing is seen; file and WAL keep every byte."""
    path = copied(killed_ledger, tmp_path, *endings)
    before = fingerprints(tmp_path)
    assert sorted(before) == [path.name, f"{path.name}-wal"]
    assert read_all(path) == SAMPLE_VERSIONS + 1
    assert fingerprints(tmp_path) == before


def test_after_a_killed_writer_the_next_one_goes_on(killed_ledger: Path, tmp_path: Path) -> None:
    path = copied(killed_ledger, tmp_path, "-wal", "-shm")
    with Bookkeeper.open(str(path), clock=TickingClock()) as keeper:
        assert keeper.append(BOOK, deposit("committed", "5")).existed
        assert keeper.append(BOOK, deposit("half:0")).stored.version == SAMPLE_VERSIONS + 2
        require_projections_match(keeper)
    assert findings_of(path) == []


def test_reading_a_closed_ledger_keeps_its_bytes(tmp_path: Path) -> None:
    """SQLite may leave a WAL of no bytes beside it."""
    path = sample_file(tmp_path)
    before = fingerprints(tmp_path)
    assert read_all(path) == SAMPLE_VERSIONS
    nothing = sha256(b"").hexdigest()
    assert {name: digest for name, digest in fingerprints(tmp_path).items() if digest != nothing} == before


def test_what_was_opened_to_read_cannot_be_written(tmp_path: Path) -> None:
    with Bookkeeper.open(str(sample_file(tmp_path)), "read") as keeper:
        before = content(keeper.database)
        for statement in ("DELETE FROM marks", "CREATE TABLE t (x)", "DROP TRIGGER events_refuse_update"):
            with pytest.raises(StorageError, match="database_not_writable"), keeper.database.reading() as connection:
                connection.exec_driver_sql(statement)
        with pytest.raises(AssertionError):
            keeper.append(BOOK, deposit("k"))
        assert content(keeper.database) == before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere, so within it the process is another user."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's; it goes with what is in it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)


def test_a_ledger_in_a_folder_that_cannot_be_written_is_read(public_folder: Path) -> None:
    path = sample_file(public_folder)
    path.chmod(0o444)
    public_folder.chmod(0o555)
    with as_nobody():
        assert read_all(path) == SAMPLE_VERSIONS
        with pytest.raises(StorageError) as raised, Bookkeeper.open(str(path)) as keeper:
            keeper.append(BOOK, deposit("k"))
        assert raised.value.code in ("database_not_writable", "database_unreadable")
        with pytest.raises(StorageError):
            Bookkeeper.open(str(public_folder / "new.db"), "create")
    assert [found.name for found in public_folder.iterdir()] == [path.name]


def test_a_wal_in_a_folder_that_cannot_be_written_is_not_passed_by(killed_ledger: Path, public_folder: Path) -> None:
    """It is read, or the ledger is not: an `immutable` file would show the state from before the WAL."""
    path = copied(killed_ledger, public_folder, "-wal")
    for found in public_folder.iterdir():
        found.chmod(0o444)
    public_folder.chmod(0o555)
    with as_nobody():
        try:
            assert read_all(path) == SAMPLE_VERSIONS + 1
        except StorageError as error:
            assert error.code in ("database_unreadable", "database_not_writable")  # noqa: PT017 - either is right


def test_a_ledger_that_may_not_be_read_is_told(public_folder: Path) -> None:
    path = sample_file(public_folder)
    path.chmod(0)
    with as_nobody(), pytest.raises(StorageError, match="database_unreadable"):
        Bookkeeper.open(str(path), "read")


def test_a_full_disk_leaves_nothing_of_the_append(tmp_path: Path) -> None:
    """A limit on the size of a file is as good as a full disk; the note is larger than that."""
    with Bookkeeper.open(str(sample_file(tmp_path)), clock=TickingClock(), new_id=SequentialIds(1000)) as keeper:
        before = content(keeper.database)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with pytest.raises(StorageError) as raised:
                keeper.append_all(BOOK, (deposit(f"x:{number}", source_note="n" * 9_000) for number in range(1_000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert raised.value.code in ("database_full", "database_failed")
        assert content(keeper.database) == before
        keeper.append(BOOK, deposit("after"))
        require_projections_match(keeper)


# Locks


@pytest.fixture
def contended(tmp_path: Path) -> Iterator[tuple[Bookkeeper, Bookkeeper]]:
    """Two Bookkeepers on one ledger that do not wait for each other."""
    path = str(sample_file(tmp_path))
    with Bookkeeper.open(path, busy_timeout_s=0) as one, Bookkeeper.open(path, busy_timeout_s=0) as two:
        yield one, two


def test_a_reader_in_a_long_transaction_holds_no_writer_up(contended: tuple[Bookkeeper, Bookkeeper]) -> None:
    one, two = contended
    with one.database.reading() as connection:
        before = content_seen(connection)
        two.append(BOOK, deposit("x"))
        assert content_seen(connection) == before


def test_a_writer_holds_no_reader_up(contended: tuple[Bookkeeper, Bookkeeper]) -> None:
    one, two = contended
    before = content(two.database)
    with one.transaction(BOOK) as transaction:
        transaction.append(deposit("x"))
        assert content(two.database) == before
        assert two.view(BOOK).head.version == SAMPLE_VERSIONS
    assert two.view(BOOK).head.version == SAMPLE_VERSIONS + 1


def test_a_writer_has_the_lock_from_its_start(contended: tuple[Bookkeeper, Bookkeeper]) -> None:
    """Before it has written anything; so what it reads cannot be overtaken."""
    one, two = contended
    with one.database.writing():
        with pytest.raises(StorageError, match="database_busy") as raised:
            two.append(BOOK, deposit("x"))
        assert raised.value.advice is not None
    assert not two.append(BOOK, deposit("x")).existed


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    """It does not give up while there is time; when it has the lock it sees what the first one wrote."""
    path = str(sample_file(tmp_path))
    versions: list[int] = []

    def write() -> None:
        with Bookkeeper.open(path, busy_timeout_s=60) as second:
            started.set()
            versions.append(second.append(BOOK, deposit("second")).stored.version)

    started = threading.Event()
    thread = threading.Thread(target=write)
    with Bookkeeper.open(path) as first:
        with first.transaction(BOOK) as transaction:
            thread.start()
            started.wait()
            thread.join(0.2)  # ends early if it gives up
            assert thread.is_alive()
            transaction.append(deposit("first"))
        thread.join()
    assert versions == [SAMPLE_VERSIONS + 2]


def test_many_transactions_at_once_in_one_thread(tmp_path: Path) -> None:
    """More than a pool keeps open."""
    with Bookkeeper.open(str(sample_file(tmp_path)), "read") as keeper:
        readers = [keeper.database.reading() for _ in range(20)]
        connections = [reader.__enter__() for reader in readers]
        for connection in connections:
            assert store.book_names(connection) == [BOOK]
        for reader in readers:
            reader.__exit__(None, None, None)


def test_a_ledger_that_several_make_at_once_is_made_once(tmp_path: Path) -> None:
    """And each of them opens the book, or finds it open."""
    path = str(tmp_path / "new.db")
    together = threading.Barrier(4)
    outcomes: list[bool | str] = []

    def make() -> None:
        together.wait()
        try:
            with Bookkeeper.open(path, "create") as keeper:
                outcomes.append(keeper.open_book(BOOK, Opened(mode="paper")).existed)
        except StorageError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["False", "True", "True", "True"]
    assert findings_of(Path(path)) == []


# Immutability: what the contract cannot say in every engine's SQL


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of any program to the sample ledger, with SQLite's defaults."""
    with closing(sqlite3.connect(sample_file(tmp_path), isolation_level=None)) as connection:
        yield connection


def rows_of(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM events ORDER BY version").fetchall()


# A copy of event 12, a reversal, that is new in all unique columns but one.
COPIES = {
    "version": "SELECT book, version, 'new', 'new', type, at, recorded_at, session_id, 4",
    "key": "SELECT book, 99, 'new', key, type, at, recorded_at, session_id, 4",
    "reverses": "SELECT book, 99, 'new', 'new', type, at, recorded_at, session_id, reverses",
}
REST = (
    ", effect_of, asset, asset_delta, quote_asset, quote_delta, fee_asset, fee_delta, price, net_deposits_delta,"
    " basis_delta, starting_value_delta, unknown_fees, unknown_bases, x'00', x'00',"
    " tx_hash, reason, strategy FROM events WHERE version = 12"
)
VERBS = {
    "insert": ("INSERT INTO", ""),
    "insert or replace": ("INSERT OR REPLACE INTO", ""),
    "replace": ("REPLACE INTO", ""),
    "insert or ignore": ("INSERT OR IGNORE INTO", ""),
    "insert or fail": ("INSERT OR FAIL INTO", ""),
    "upsert": ("INSERT INTO", " ON CONFLICT DO UPDATE SET body = excluded.body"),
    "upsert nothing": ("INSERT INTO", " ON CONFLICT DO NOTHING"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_database_refuses_to_put_an_event_in_the_place_of_another(raw: sqlite3.Connection, verb: str) -> None:
    """By each unique key; SQLite's REPLACE deletes without asking the triggers on DELETE."""
    before = rows_of(raw)
    start, end = VERBS[verb]
    for unique, copied in COPIES.items():
        with pytest.raises(sqlite3.IntegrityError, match=triggers.REFUSAL):
            raw.execute(f"{start} events {copied}{REST}{end}")
        assert rows_of(raw) == before, unique


def test_such_a_copy_with_all_keys_new_is_taken_so_the_refusals_above_are_of_the_keys(raw: sqlite3.Connection) -> None:
    raw.execute(f"INSERT INTO events SELECT book, 99, 'new', 'new', type, at, recorded_at, session_id, 4{REST}")
    assert len(rows_of(raw)) == SAMPLE_VERSIONS + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET session_id = session_id",
        "UPDATE OR REPLACE events SET version = 3 WHERE version = 2",
        "UPDATE OR IGNORE events SET key = 'x' WHERE version = 2",
        "UPDATE events SET body = x'' WHERE version = 2 RETURNING version",
        "DELETE FROM events",
        "DELETE FROM events WHERE version = 17 RETURNING version",
        "WITH last AS (SELECT 17 AS version) DELETE FROM events WHERE version IN last",
    ],
)
def test_the_database_refuses_to_change_or_delete_an_event(raw: sqlite3.Connection, statement: str) -> None:
    before = rows_of(raw)
    with pytest.raises(sqlite3.IntegrityError, match=triggers.REFUSAL):
        raw.execute(statement).fetchall()
    assert rows_of(raw) == before
