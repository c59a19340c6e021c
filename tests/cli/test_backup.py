"""`backup` and `restore`: a proved copy or none, nothing lost, and nothing pulled from under a running program."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, TransferRequest, transfer
from engine.proof.check import check_ledger
from engine.proof.request import CheckRequest as Wanted
from engine.upkeep.backup import back_up
from engine.upkeep.backup_list import list_file, read_list
from engine.upkeep.copying import copy_book
from ledger.database.connections import Database
from ledger.database.whole_file import holders
from ledger.events import Opened
from tests.cli_support import ON_A_FILE, Cli, assert_refused, deposit, ended, sha256
from tests.engines import Engine, contents, forget, intruding, new_ledger, raw_access, writing_meanwhile
from tests.ledger.database.store_support import append_sample
from tests.migrations.first_schema import BOOKS, first_ledger
from tests.postgres_support import clone_of, connect, database_of, url_of
from tests.restartable_postgres import eventually
from tests.support import BOOK, START, event, open_keeper

pytestmark = pytest.mark.both_engines


@pytest.fixture
def desk(cli: Cli) -> Cli:
    """A ledger with two books, events of every type and a transfer: a copy of one that is made once."""
    if cli.engine == "sqlite":
        cli.db.write_bytes(_filled_file())
    else:
        forget(cli.location)
        cli.location = url_of(clone_of(_filled_database()))
    return cli


@cache
def _filled_file() -> bytes:
    with TemporaryDirectory() as folder:
        made = Cli(Path(folder))
        _fill(made.location)
        return made.db.read_bytes()


@cache
def _filled_database() -> str:
    with TemporaryDirectory() as folder:
        location = Cli(Path(folder), "postgres").location
    _fill(location)
    return database_of(location)


def _fill(location: str) -> None:
    with Bookkeeper.open(location) as keeper:
        append_sample(keeper)
        keeper.open_book("other", Opened(mode="live"))
        at_hand = datetime.now(UTC)
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="500", at=at_hand))
        keeper.append(BOOK, event("mark", asset="XRP", price="1.5", at=at_hand))
        transfer(keeper, BOOK, TransferRequest(Movement("5"), "other", even_so=True))


def heads_at(location: str) -> list[tuple[object, ...]]:
    """Each book's name and head, read past the program."""
    with raw_access(location) as raw:
        rows = raw.execute("SELECT book, head_version, head_hash FROM books ORDER BY book")
    return [(name, version, bytes(hashed)) for name, version, hashed in rows]


def backed_up(desk: Cli) -> str:
    """The path of a backup of the ledger as the fixture gives it: a copy of one that is made once."""
    path = desk.folder / "b.db"
    path.write_bytes(_backup(desk.engine))
    return str(path)


@cache
def _backup(engine: Engine) -> bytes:
    with TemporaryDirectory() as folder:
        made = Cli(Path(folder), empty=True)
        if engine == "sqlite":
            made.db.write_bytes(_filled_file())
        else:
            made.location = url_of(_filled_database())
        path = made.folder / "b.db"
        ran = made.here("backup", str(path))
        assert ran.code == 0, ran.err
        return path.read_bytes()


def events_of(location: str) -> list[tuple[object, ...]]:
    """Every event's place, bytes and hash."""
    with raw_access(location) as raw:
        rows = raw.execute("SELECT book, version, body, hash FROM events ORDER BY book, version")
    return [(book, version, bytes(body), bytes(hashed)) for book, version, body, hashed in rows]


# ---- backup


def test_a_backup_is_one_private_file_with_every_event_and_it_is_listed(desk: Cli) -> None:
    with writing_meanwhile(desk.location):
        ran = desk.here("backup", str(desk.folder / "b.db"), "-O", "json")
    assert ran.code == 0, ran.err
    path = desk.folder / "b.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [name.name for name in desk.folder.glob("b.db*")] == ["b.db"]
    assert events_of(str(path)) == events_of(desk.location)
    assert desk.here("check", target=("--db", str(path))).out == ""
    assert path.read_bytes()[18:20] == b"\x01\x01"  # not in WAL mode: the file is all there is
    (listed,) = read_list(list_file(desk.location, desk.folder))
    assert (listed.file, listed.sha256, listed.bytes) == (str(path), sha256(path), path.stat().st_size)
    assert [(book.book, book.version, bytes.fromhex(book.hash)) for book in listed.books] == heads_at(desk.location)
    assert ran.json["sha256"] == listed.sha256
    assert "segments are not part" in desk.here("backup", str(desk.folder / "c.db")).out
    assert len(read_list(list_file(desk.location, desk.folder))) == 2


@ON_A_FILE
def test_a_backup_that_cannot_be_listed_is_said_to_be_there(desk: Cli) -> None:
    listed_in = list_file(desk.location, desk.folder)
    listed_in.with_name(f"{listed_in.name}.{os.getpid()}").mkdir()  # where the new list would be written
    ran = desk.here("backup", str(desk.folder / "b.db"))
    assert_refused(ran, 4, "input_output_failed")
    assert "b.db is there and checked, but it is not in the list" in ran.err
    assert heads_at(str(desk.folder / "b.db")) == heads_at(desk.location)


@ON_A_FILE
def test_a_backup_into_no_folder_names_the_folder(desk: Cli) -> None:
    folder = desk.folder / "no" / "such"
    ran = desk.here("backup", str(folder / "b.db"))
    assert_refused(ran, 4, "input_output_failed")
    assert f"No such file or directory: '{folder}'; there is no backup" in ran.err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk without room for a ledger; the test is skipped where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@ON_A_FILE
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_full_disk_is_said_to_be_that_of_the_copy(desk: Cli, small_disk: Path, command: str) -> None:
    """Not that of the ledger or the backup that is read, whose disk has room."""
    made = backed_up(desk)
    target = desk.location if command == "backup" else str(small_disk / "new.db")
    words = (command, str(small_disk / "c.db") if command == "backup" else made)
    ran = desk.here(*words, target=("--db", target))
    assert_refused(ran, 4, "database_full", f"the disk of '{small_disk}'"[:60], "no room for the copy")
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_all_of_a_backup_is_of_one_moment(engine: Engine, tmp_path: Path) -> None:
    """A transfer that is recorded while the books are being copied is in both of them or in neither."""
    location = new_ledger(engine, tmp_path)
    with Bookkeeper.open(location) as keeper:
        for name in ("a", "z"):
            keeper.open_book(name, Opened(mode="live"))
        keeper.append("a", event("deposit", asset="RLUSD", amount="10"))
        transferred: list[object] = []

        def meanwhile(_: int) -> None:
            if not transferred:
                transferred.append(transfer(keeper, "a", TransferRequest(Movement("5"), "z")))

        done = back_up(keeper.database, tmp_path / "b.db", now=datetime.now(UTC), on_progress=meanwhile)
    assert transferred
    assert done.notes == []
    assert [(book.book, book.version) for book in done.backup.books] == [("a", 2), ("z", 1)]
    forget(location)


@pytest.mark.parametrize("there", [b"", b"somebody's"])
@pytest.mark.parametrize("name", ["b.db", "b.db-wal", "b.db-journal"])
@ON_A_FILE
def test_no_file_is_overwritten_and_none_is_taken_for_a_part_of_it(desk: Cli, there: bytes, name: str) -> None:
    (desk.folder / name).write_bytes(there)
    assert_refused(desk.here("backup", str(desk.folder / "b.db")), 1, "backup_exists")
    assert (desk.folder / name).read_bytes() == there


def test_what_does_not_pass_the_check_is_no_backup(desk: Cli) -> None:
    with intruding(desk.location) as raw:
        raw.execute("UPDATE events SET basis_delta = '7' WHERE version = 3")
    assert_refused(desk.here("backup", str(desk.folder / "b.db")), 1, "backup_unsound", "basis_delta")
    assert list(desk.folder.glob("b.db*")) == []
    assert read_list(list_file(desk.location, desk.folder)) == []


def test_a_list_that_cannot_be_read_is_told_before_the_work(desk: Cli) -> None:
    listed = list_file(desk.location, desk.folder)
    for content in ("no json", "[7]", '[{"file": 1}]', "{}"):
        listed.write_text(content)
        ran = desk.here("backup", str(desk.folder / "b.db"))
        assert (ran.code, (desk.folder / "b.db").exists()) == (0, True) if content == "{}" else ran.code == 1
    assert listed.stat().st_mode & 0o777 == 0o600


@ON_A_FILE
def test_the_rows_of_segments_are_no_part_of_it(desk: Cli) -> None:
    """Of a ledger with a manifest the copy has none; the ledger keeps its own."""
    with raw_access(desk.location) as raw:
        there = "segments" in raw.tables()
    with Database.open(desk.location, "read") as database, closing(sqlite3.connect(":memory:")) as made:
        database.backup_to(made)
    if not there:  # a table of that name is strange in a ledger without segments, and then the copy is no backup
        with raw_access(desk.location) as raw:
            raw.execute("CREATE TABLE segments (book TEXT)")
        assert_refused(desk.here("backup", str(desk.folder / "b.db")), 1, "backup_unsound", "segments")


@ON_A_FILE
def test_a_ledger_of_an_older_schema_is_backed_up_as_it_is(cli: Cli, engine: Engine) -> None:
    cli.location = first_ledger(engine, cli.folder)
    before = contents(cli.location)
    path = str(cli.folder / "b.db")
    assert cli.here("backup", path).code == 0
    assert contents(path) == before
    ran = cli.here("restore", path, target=("--db", str(cli.folder / "new.db")))
    assert "upgraded from schema 0001" in ran.out
    assert {name for name, *_ in heads_at(str(cli.folder / "new.db"))} == set(BOOKS)
    assert cli.here("check", target=("--db", str(cli.folder / "new.db"))).code == 0


# ---- restore


def test_a_backup_of_either_engine_becomes_a_ledger_on_either(desk: Cli, engine: Engine) -> None:
    path = backed_up(desk)
    for other in ("sqlite", "postgres"):
        location = new_ledger(other, desk.folder, "new.db")
        ran = desk.here("restore", path, target=("--db", location))
        assert ran.code == 0, ran.err
        assert events_of(location) == events_of(desk.location)
        assert desk.here("check", target=("--db", location)).out == ""
        forget(location)


def test_events_that_the_backup_has_beyond_the_ledger_come_back(desk: Cli, engine: Engine) -> None:
    path = backed_up(desk)
    shorter = new_ledger(engine, desk.folder, "shorter.db")
    with Bookkeeper.open(path, "read") as whole, Bookkeeper.open(shorter) as part:
        copy_book(whole.database, part.database, "other")
    ran = desk.here("restore", path, target=("--db", shorter))
    assert ran.code == 0, ran.err
    assert events_of(shorter) == events_of(desk.location)
    if engine == "sqlite":  # the shorter one is kept, whole and private
        (kept,) = desk.folder.glob("shorter.db.replaced-*")
        assert [name for name, *_ in heads_at(str(kept))] == ["other"]
        assert stat.S_IMODE(Path(shorter).stat().st_mode) == 0o600
    forget(shorter)


def _more_events(cli: Cli) -> None:
    cli.append(deposit("more"))


def _another_book(cli: Cli) -> None:
    assert cli.here("init", target=("--db", cli.location, "--book", "third")).code == 0


def _another_history(cli: Cli) -> None:
    """As long as the backup's, but with another last event."""
    with intruding(cli.location) as raw:
        raw.execute("UPDATE books SET head_hash = ? WHERE book = 'main'", [bytes(32)])


@pytest.mark.parametrize("happens", [_more_events, _another_book, _another_history])
def test_a_ledger_that_goes_further_is_not_restored_over(desk: Cli, happens: Callable[[Cli], None]) -> None:
    path = backed_up(desk)
    happens(desk)
    before = desk.unchanged()
    assert_refused(desk.here("restore", path), 1, "restore_loses")
    assert desk.unchanged() == before
    assert not list(desk.folder.glob("*replaced*"))


def test_a_ledger_that_a_program_has_open_is_left_alone(desk: Cli) -> None:
    path = backed_up(desk)
    with desk.start("--book", "main", "append", "--file", "-", "--batch", "1", "-O", "json") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(json.dumps(deposit("running")).encode()[:5])  # it waits for the rest of the line
        running.stdin.flush()
        with raw_access(desk.location) as raw:
            raw.execute("SELECT count(*) FROM events")
        _until_open(desk)
        assert_refused(desk.here("restore", path), 1, "ledger_in_use", "stop the program")
        running.stdin.write(json.dumps(deposit("running")).encode()[5:] + b"\n")
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["appended"] == 1
        running.stdin.close()
        assert ended(running).code == 0
    assert_refused(desk.here("restore", path), 1, "restore_loses")  # and what it appended is not lost either


def _until_open(cli: Cli) -> None:
    if cli.engine == "sqlite":
        eventually(lambda: bool(holders(cli.db)))
    else:
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'netbasis' AND datname = %s"
        with connect() as server:
            eventually(lambda: bool(server.execute(query, [database_of(cli.location)]).fetchall()))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8192])


def _tampered(path: Path) -> None:
    with intruding(str(path)) as raw:
        raw.execute("UPDATE events SET hash = zeroblob(32) WHERE version = 3")


@ON_A_FILE
@pytest.mark.parametrize(
    ("damage", "code", "error"),
    [
        (_cut, 4, "database_damaged"),
        (lambda path: path.write_bytes(b"no database" * 100), 4, "not_a_database"),
        (lambda path: path.unlink(), 4, "database_missing"),
        (lambda path: path.write_bytes(b""), 4, "not_a_ledger"),
        (_tampered, 1, "backup_unsound"),
    ],
    ids=["cut", "text", "missing", "empty", "tampered"],
)
def test_a_bad_backup_is_not_restored(desk: Cli, damage: Callable[[Path], None], code: int, error: str) -> None:
    path = backed_up(desk)
    damage(Path(path))
    before = desk.unchanged()
    assert_refused(desk.here("restore", path), code, error)
    assert desk.unchanged() == before
    assert not list(desk.folder.glob("*restoring*"))


@ON_A_FILE
@pytest.mark.parametrize("damage", [_cut, lambda path: path.write_bytes(b"notes" * 999)], ids=["cut", "text"])
def test_what_cannot_be_compared_is_not_replaced(desk: Cli, damage: Callable[[Path], None]) -> None:
    path = backed_up(desk)
    for name in ("-wal", "-shm"):
        Path(f"{desk.location}{name}").unlink(missing_ok=True)
    damage(desk.db)
    before = desk.db.read_bytes()
    ran = desk.here("restore", path)
    assert (ran.code, desk.db.read_bytes()) == (4, before)
    assert "move it away" in ran.err
    desk.db.rename(desk.folder / "aside.db")
    assert desk.here("restore", path).code == 0
    assert events_of(desk.location) == events_of(path)


@ON_A_FILE
def test_of_a_link_the_ledger_that_it_leads_to_is_restored_and_listed(desk: Cli) -> None:
    """The link stays; a file in its place would leave whoever uses the other name with another ledger."""
    link = desk.folder / "link.db"
    link.symlink_to(desk.location)
    assert desk.here("backup", str(desk.folder / "b.db"), target=("--db", str(link))).code == 0
    assert [Path(each.file).name for each in read_list(list_file(desk.location, desk.folder))] == ["b.db"]
    before = Path(desk.location).stat().st_ino
    ran = desk.here("restore", str(desk.folder / "b.db"), target=("--db", str(link)))
    assert ran.code == 0, ran.err
    assert link.is_symlink()
    assert Path(desk.location).stat().st_ino != before
    (kept,) = desk.folder.glob("*.replaced-*")
    assert kept.name.startswith(Path(desk.location).name)
    assert not kept.is_symlink()
    assert kept.stat().st_ino == before


@ON_A_FILE
def test_what_is_only_in_the_wal_is_kept_with_the_file(desk: Cli) -> None:
    """A killed program has left its last commits in the WAL; the file that is kept has them."""
    path = backed_up(desk)
    with Bookkeeper.open(path) as keeper:  # a backup that is ahead
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="8", key="ahead"))
    with closing(sqlite3.connect(desk.db)) as open_for_long:
        open_for_long.execute("SELECT count(*) FROM books").fetchall()
        assert_refused(desk.here("restore", path), 1, "ledger_in_use")
    assert desk.here("restore", path).code == 0
    (kept,) = desk.folder.glob("*replaced*")
    assert len(heads_at(str(kept))) == 2
    with Database.open(str(kept), "read") as database:
        assert check_ledger(database, None, Wanted()).ok


@ON_A_FILE
def test_what_another_ledger_left_beside_the_path_is_not_taken_for_its_own(desk: Cli) -> None:
    """Its owner moved the damaged file away, but not its WAL: SQLite would write that into the restored one."""
    path = backed_up(desk)
    with closing(sqlite3.connect(desk.db)) as killed:  # as a killed program leaves it
        killed.execute("PRAGMA wal_autocheckpoint = 0")
        killed.execute("UPDATE engine_state SET value = '7'")
        killed.commit()
        wal = Path(f"{desk.db}-wal").read_bytes()
    assert len(wal) > 0
    desk.db.unlink()
    Path(f"{desk.db}-wal").write_bytes(wal)
    ran = desk.here("restore", path)
    assert (ran.code, "kept as" in ran.out) == (0, True)
    assert desk.here("check", target=("--db", desk.location)).out == ""
    assert [kept.read_bytes() for kept in desk.folder.glob("*.replaced-*-wal")] == [wal]


def test_the_ledger_is_used_on_after_a_restore(desk: Cli) -> None:
    path = backed_up(desk)
    assert desk.here("restore", path).code == 0
    desk.append(deposit("after"))
    assert desk.here("check", target=("--db", desk.location)).out == ""


def test_progress_of_an_open_ledger(tmp_path: Path) -> None:
    """The library's own function gets the version reached while the copy is checked."""
    seen: list[int] = []
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="1", key=f"d:{n}") for n in range(1200)])
        back_up(keeper.database, tmp_path / "b.db", now=START, on_progress=seen.append)
    assert seen[-1] == 1000
