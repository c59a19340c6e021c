"""The file itself: who may read a new one, and what is acknowledged when it no longer stands at its path."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.rehearsal.verification import verify_injection
from ledger.database.connections import Database
from ledger.errors import StorageError, StorageFault
from ledger.events import Deposit, Opened
from projections.marks import Price
from tests.cli_support import ON_A_FILE, Cli, Ran, assert_refused, deposit, ended, ndjson
from tests.support import BOOK, open_keeper

# A new file


def modes(folder: Path) -> dict[str, str]:
    """The permissions of every file in a folder, by name."""
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777], ids=oct)
def test_a_new_ledger_is_for_its_owner_only_and_so_is_what_stands_beside_it(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with Bookkeeper.open(str(tmp_path / "ledger.db"), "create") as keeper:
            keeper.open_book(BOOK, Opened(mode="live"))
            assert modes(tmp_path) == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), "0o600")
    finally:
        os.umask(before)


def test_the_file_that_a_dangling_link_leads_to_is_made_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "ledger.db")
    Bookkeeper.open(str(tmp_path / "link.db"), "create").close()
    assert modes(tmp_path)["ledger.db"] == "0o600"


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """Also an empty one: whoever made it has said who may read it."""
    path = tmp_path / "ledger.db"
    path.touch()
    path.chmod(0o640)
    Bookkeeper.open(str(path), "create").close()
    with Bookkeeper.open(str(path)):
        assert set(modes(tmp_path).values()) == {"0o640"}


@ON_A_FILE
@pytest.mark.parametrize("command", [("init",), ("db", "upgrade")])
def test_every_command_that_makes_a_ledger_makes_it_so(command: tuple[str, ...], empty_cli: Cli) -> None:
    """A target of `copy` is made by `db upgrade`."""
    ran = empty_cli.run(*command, first="import os; os.umask(0)")
    assert (ran.code, modes(empty_cli.folder)) == (0, {"ledger.db": "0o600"})


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_nul_in_a_path_is_an_error_and_makes_no_file(mode: str, tmp_path: Path) -> None:
    """In a URI, SQLite would take what stands before it for the path."""
    with pytest.raises(StorageError) as raised:
        Database.open(f"{tmp_path}/led\0ger.db", mode)  # type: ignore[arg-type]
    assert raised.value.fault is StorageFault.DATABASE_UNREADABLE
    assert list(tmp_path.iterdir()) == []


# A file that goes away under its writer


def remove(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def replace(path: Path) -> None:
    """By another ledger, as a backup is put back."""
    rename(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (a)")


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


WAYS = {
    remove: "was removed or moved away",
    rename: "was removed or moved away",
    replace: "was replaced by another file",
    rename_folder: "was removed or moved away",
}
by_way = pytest.mark.parametrize(("move", "what"), WAYS.items(), ids=lambda value: getattr(value, "__name__", ""))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "books"
    made.mkdir()
    return made


def money(key: str) -> Deposit:
    return Deposit(asset="RLUSD", amount="5", key=key)  # type: ignore[arg-type]


def found(folder: Path, name: str) -> Path:
    """The file that was moved away, wherever it is now."""
    return next(path for path in (folder / "away.db", folder.with_name("elsewhere") / name) if path.exists())


@by_way
def test_nothing_is_acknowledged_that_is_not_at_the_path(move: Callable[[Path], None], what: str, folder: Path) -> None:
    """What was acknowledged before is in the file that was moved away, and nothing else is."""
    path = folder / "ledger.db"
    with open_keeper(folder) as keeper:
        keeper.append(BOOK, money("k:1"))
        move(path)
        for _ in range(2):  # it stays so
            with pytest.raises(StorageError) as raised:
                keeper.append(BOOK, money("k:2"))
            assert (raised.value.fault, raised.value.outcome_is_unknown) == (StorageFault.DATABASE_MOVED, False)
            assert what in raised.value.what
            assert "nothing was written" in str(raised.value)
    if move is remove:
        return
    with Bookkeeper.open(str(found(folder, path.name))) as keeper:
        assert keeper.view(BOOK).head.version == 2
        assert check(keeper.database, BOOK).ok
    if move is replace:  # and the file that stands there now is not taken for the one that the WAL belongs to
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]


def test_a_file_that_goes_away_between_the_check_and_the_end_is_not_acknowledged_either(folder: Path) -> None:
    """What was committed is in the file that stood there, and the error says that it may be."""
    path = folder / "ledger.db"
    with open_keeper(folder) as keeper:

        def at_commit(_connection: object) -> None:
            rename(path)

        event.listen(keeper.database._engine, "commit", at_commit)
        with pytest.raises(StorageError) as raised:
            keeper.append(BOOK, money("k:1"))
        event.remove(keeper.database._engine, "commit", at_commit)
        assert (raised.value.fault, raised.value.outcome_is_unknown) == (StorageFault.DATABASE_MOVED, True)
        assert "what was written is in the file that was moved" in str(raised.value)
    with Bookkeeper.open(str(folder / "away.db")) as keeper:
        assert keeper.view(BOOK).head.version == 2


def test_a_file_that_is_back_at_its_path_is_written_to_again(folder: Path) -> None:
    with open_keeper(folder) as keeper:
        rename(folder / "ledger.db")
        with pytest.raises(StorageError, match="database_moved"):
            keeper.append(BOOK, money("k:1"))
        (folder / "away.db").rename(folder / "ledger.db")
        assert keeper.append(BOOK, money("k:1")).version == 2
        assert check(keeper.database, BOOK).ok


def test_every_writer_looks(folder: Path) -> None:
    """Whatever writes goes through one transaction: here the opening of a book, a migration and a copy."""
    with open_keeper(folder) as keeper:
        rename(folder / "ledger.db")
        with pytest.raises(StorageError, match="database_moved"):
            keeper.open_book("second", Opened(mode="live"))


def test_another_hard_link_and_a_vacuum_are_no_move(folder: Path) -> None:
    path = folder / "ledger.db"
    with open_keeper(folder) as keeper:
        path.with_name("second").hardlink_to(path)
        with closing(sqlite3.connect(path)) as other:
            other.execute("VACUUM")
        assert keeper.append(BOOK, money("k:1")).version == 2


def test_a_reader_is_not_held_up(folder: Path) -> None:
    """It acknowledges nothing; what it copies for a verification is what it had opened."""
    with open_keeper(folder) as keeper:
        keeper.append(BOOK, money("k:1"))
    with Bookkeeper.open(str(folder / "ledger.db"), "read") as reader:
        rename(folder / "ledger.db")
        assert reader.view(BOOK).head.version == 2
        prices: dict[str, Price] = {}
        assert verify_injection(reader, BOOK, "5", prices).holds


@by_way
def test_a_stream_ends_with_exit_4_and_answers_nothing_more(
    move: Callable[[Path], None], what: str, tmp_path: Path
) -> None:
    """Of the script, as a bot runs it."""
    books = tmp_path / "books"
    books.mkdir()
    cli = Cli(books)
    with cli.start("append", "--file", "-", "--batch", "1") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(ndjson([deposit("a")]))
        child.stdin.flush()
        assert child.stdout.readline().startswith(b"appended 1; version 2")
        move(cli.db)
        child.stdin.write(ndjson([deposit("b"), deposit("c")]))
        child.stdin.close()
        ran = ended(child)
    assert_refused(Ran(ran.code, ran.out, ran.err), 4, "database_moved", what, "line 1 is committed", "put it back")
