"""`doctor`: each trouble shows at its point, with what to do; a sound ledger has none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from engine.upkeep.backup import back_up
from engine.upkeep.doctor import Examination, Point, State, examine
from ledger.database.connections import Database
from ledger.events import Opened
from tests.cli_support import Cli
from tests.engines import Engine, forget, intruding, raw_access, writing_meanwhile
from tests.ledger.database.store_support import append_sample
from tests.migrations.first_schema import first_ledger
from tests.support import BOOK, ledger_file


@dataclass(frozen=True)
class Desk:
    """A ledger, the engine that it is on, the folder of its backups, and the time."""

    engine: Engine
    location: str
    folder: Path
    now: datetime


@pytest.fixture
def desk(location: str, engine: Engine, tmp_path: Path) -> Desk:
    """A ledger with events of every type, and a backup of a moment ago."""
    now = datetime.now(UTC)
    if engine == "sqlite":
        Path(location).chmod(0o600)
    with Bookkeeper.open(location, "create") as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        append_sample(keeper)
        back_up(keeper.database, tmp_path / "b.db", now=now)
    return Desk(engine, location, tmp_path, datetime.now(UTC))


def examined(desk: Desk, now: datetime | None = None) -> dict[str, Point]:
    """The points by name."""
    listed = next(iter(desk.folder.glob("*.backups.json")), None)
    with Database.open(desk.location, "read") as database:
        points = examine(Examination(database, desk.location, now or desk.now, listed))
    return {point.name: point for point in points}


def test_of_a_sound_ledger_every_point_is_well(desk: Desk) -> None:
    points = examined(desk)
    # The tests' server does not wait for its disk, and that is told.
    bad = {name for name, point in points.items() if point.state is not State.OK}
    assert bad - {"space"} == ({"fsync", "full_page_writes"} if desk.engine == "postgres" else set())
    assert {
        "schema", "event types", "engine", "book 'main'", "book 'main' projections", "schema objects", "space",
        "newest backup", "open transactions", "clock",
    } <= points.keys()  # fmt: skip
    assert points["book 'main'"].found.startswith("head 17:")
    assert points["newest backup"].found.endswith("0 events since")


def _projections_behind(desk: Desk) -> None:
    with intruding(desk.location) as raw:
        raw.execute("UPDATE projection_heads SET version = 12")


def _log_cut(desk: Desk) -> None:
    with intruding(desk.location) as raw:
        raw.execute("UPDATE books SET head_version = 12")


def _guard_dropped(desk: Desk) -> None:
    with raw_access(desk.location) as raw:
        name, _ = raw.guards()[0]
        raw.execute(f"DROP TRIGGER {name}" + (" ON events" if desk.engine == "postgres" else ""))


def _index_added(desk: Desk) -> None:
    with raw_access(desk.location) as raw:
        raw.execute("CREATE INDEX richer ON events (price)")


def _backup_gone(desk: Desk) -> None:
    (desk.folder / "b.db").unlink()


def _backup_cut(desk: Desk) -> None:
    (desk.folder / "b.db").write_bytes((desk.folder / "b.db").read_bytes()[:-4096])


def _later_release(desk: Desk) -> None:
    with raw_access(desk.location) as raw:
        raw.execute("INSERT INTO event_types VALUES ('fill', 9, '9.1.0')")


Trouble = tuple[Callable[[Desk], None], str, State, str, str]
# What happens to one ledger shows at a point of its own each.
TROUBLES: dict[str, list[Trouble]] = {
    "behind": [
        (_projections_behind, "book 'main' projections", State.WRONG, "5 events behind", "rebuild"),
        (_guard_dropped, "schema objects", State.WRONG, "missing", "check"),
        (_backup_gone, "newest backup", State.NOTE, "none", "backup FILE"),
    ],
    "cut": [
        (_log_cut, "book 'main' projections", State.WRONG, "5 events ahead", "restore"),
        (_index_added, "schema objects", State.WRONG, "richer", "find out who"),
        (_backup_cut, "newest backup", State.NOTE, "as it was made", "backup FILE"),
    ],
    "later": [(_later_release, "schema", State.WRONG, "fill/9", "install")],
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_trouble_shows_at_its_point(desk: Desk, name: str) -> None:
    for happens, *_ in TROUBLES[name]:
        happens(desk)
    points = examined(desk)
    for _, where, state, found, advice in TROUBLES[name]:
        point = points[where]
        assert (point.state, found in point.found) == (state, True), point
        assert advice in str(point.advice)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_clock_decides(desk: Desk) -> None:
    for later, name, state in (
        (timedelta(days=6), "newest backup", State.OK),
        (timedelta(days=8), "newest backup", State.NOTE),
        (timedelta(hours=-1), "clock", State.WRONG),
        (timedelta(seconds=-90), "clock", State.NOTE),
    ):
        assert examined(desk, desk.now + later)[name].state is state, later


def test_an_open_transaction_is_told(desk: Desk) -> None:
    with writing_meanwhile(desk.location) if desk.engine == "postgres" else _program_writing(desk):
        found = examined(desk)["open transactions"]
    assert ("in transaction" if desk.engine == "postgres" else "writes") in found.found


@contextmanager
def _program_writing(desk: Desk) -> Iterator[None]:
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        " print('now', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, desk.location], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield
        child.communicate()


def test_an_older_ledger_is_to_be_upgraded(engine: Engine, tmp_path: Path) -> None:
    location = first_ledger(engine, tmp_path)
    points = examined(Desk(engine, location, tmp_path, datetime.now(UTC)))
    assert points["schema"].state is State.WRONG
    assert "db upgrade" in str(points["schema"].advice)
    assert points["book 'main'"].state is State.OK
    forget(location)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("content", [b"", b"no database" * 99], ids=["empty", "text"])
def test_what_is_no_ledger_is_told_once(engine: Engine, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    points = examined(Desk(engine, str(path), tmp_path, datetime.now(UTC)))
    assert points["schema"].state is State.WRONG
    assert path.read_bytes() == content


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_of_a_file_its_mode_and_its_journal_are_told(engine: Engine, tmp_path: Path) -> None:
    path = ledger_file(tmp_path)
    path.chmod(0o644)
    with raw_access(str(path)) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
    points = examined(Desk(engine, str(path), tmp_path, datetime.now(UTC)))
    assert (points["file mode"].state, points["journal"].state, points["books"].state) == (State.NOTE,) * 3


def test_the_command_exits_with_1_when_something_is_wrong(desk: Desk, cli: Cli) -> None:
    listed = next(iter(desk.folder.glob("*.backups.json")))
    words = ("doctor", "--backups", str(listed), "-O", "json")
    ran = cli.here(*words, target=("--db", desk.location))
    assert (ran.code, ran.json["ok"]) == ((1, False) if desk.engine == "postgres" else (0, True))
    _projections_behind(desk)
    ran = cli.here(*words, target=("--db", desk.location))
    assert (ran.code, json.loads(ran.out)["ok"]) == (1, False)
    assert cli.here("doctor", "--max-backup-age", "soon", target=("--db", desk.location)).code == 2
