"""Ledgers of every earlier revision, with every earlier form of an event: upgraded and proved on both engines."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

import migrations
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check_ledger
from engine.proof.request import CheckRequest as Wanted
from engine.upkeep.rebuild import rebuild
from engine.upkeep.upgrade_check import check_upgrade
from ledger import store
from ledger.database.connections import Database
from ledger.event_types import RELEASES
from ledger.events import EVENT_TYPES
from tests.cli_support import Cli
from tests.engines import Engine, contents, forget, raw_access
from tests.ledger.database.forging import rehash
from tests.migrations.first_schema import first_ledger
from tests.postgres_support import empty_database, url_of

FOLDER = Path(__file__).with_name("old_ledgers")
REVISIONS = sorted({path.name.partition("_")[0] for path in FOLDER.glob("*.sql")})
DIALECTS: dict[Engine, str] = {"sqlite": "sqlite", "postgres": "postgresql"}
ON_A_FILE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def text_of(revision: str, engine: Engine) -> str:
    """The ledger of a revision, as SQL text."""
    return (FOLDER / f"{revision}_{DIALECTS[engine]}.sql").read_text("utf-8")


def old_ledger(revision: str, engine: Engine, folder: Path) -> str:
    """The location of a new database with what the text says."""
    if engine == "sqlite":
        path = folder / f"{revision}.db"
        with closing(sqlite3.connect(path)) as file:
            file.executescript(text_of(revision, engine))
        return str(path)
    location = url_of(empty_database())
    url = make_url(location).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as server:
        server.execute(text_of(revision, engine).encode())
    return location


@pytest.fixture(params=REVISIONS)
def old(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A revision, and where there is a ledger of it."""
    location = old_ledger(request.param, engine, tmp_path)
    yield request.param, location
    forget(location)


def bodies(location: str) -> dict[tuple[str, int], tuple[bytes, bytes]]:
    """By book and version, the bytes and the hash of each event, read past the program."""
    with raw_access(location) as raw:
        rows = raw.execute("SELECT book, version, body, hash FROM events")
    return {(book, version): (bytes(body), bytes(hashed)) for book, version, body, hashed in rows}


def test_an_old_ledger_is_upgraded_and_proved(old: tuple[str, str]) -> None:
    revision, location = old
    before = bodies(location)
    with Database.open(location, "read") as database:
        found = check_upgrade(database)
    assert (found.ok, found.revision, sum(form.events for form in found.forms)) == (True, revision, len(before))
    with Bookkeeper.open(location, "create") as keeper:
        checked = check_ledger(keeper.database, None, Wanted())
        assert checked.ok, (checked.findings, [book.findings for book in checked.books])
        with keeper.database.reading() as connection:
            names = store.book_names(connection)
        for name in names:
            assert rebuild(keeper.database, name, dry_run=True).changes == []
            assert keeper.view(name).state.inventory is not None
    assert bodies(location) == before


def test_each_revision_before_the_newest_has_its_ledger() -> None:
    assert set(migrations.REVISIONS[:-1]) <= set(REVISIONS) <= set(migrations.REVISIONS)
    assert {path.name for path in FOLDER.glob("*.sql")} == {
        f"{revision}_{dialect}.sql" for revision in REVISIONS for dialect in DIALECTS.values()
    }


def test_each_earlier_form_of_an_event_stands_in_one(tmp_path: Path) -> None:
    """The newest form of a type is written by every other test."""
    there: set[tuple[str, int]] = set()
    for revision in REVISIONS:
        for body, _ in bodies(old_ledger(revision, "sqlite", tmp_path)).values():
            kind, _, version = json.loads(body)["type"].partition("/")
            there.add((kind, int(version)))
    earlier = {(kind, version) for kind, version in RELEASES if version < EVENT_TYPES[kind].TYPE_VERSION}
    assert earlier <= there


def test_what_the_first_release_wrote_can_be_read(engine: Engine, tmp_path: Path) -> None:
    location = first_ledger(engine, tmp_path)
    before = contents(location)
    with Database.open(location, "read") as database:
        assert check_upgrade(database).ok
    assert contents(location) == before
    forget(location)


# What cannot be read is told before the upgrade


def _retyped(location: str, form: str) -> None:
    """The third event of the book is of another form, in a chain that holds."""
    with raw_access(location) as raw:
        for name, _ in raw.guards():
            raw.execute(f"DROP TRIGGER {name}")
        new = f'"type":"{form}"'.encode()
        rehash(raw, "main", lambda version, body: re.sub(rb'"type":"[^"]*"', new, body) if version == 3 else body)


@ON_A_FILE
@pytest.mark.parametrize(
    ("form", "why"),
    [("fill/9", "does not know"), ("future/1", "future"), ("fill", "fill"), ("deposit/0", "does not know")],
)
@pytest.mark.parametrize("old", ["0001", REVISIONS[-1]], indirect=True)
def test_a_form_that_this_program_does_not_know_is_told(
    old: tuple[str, str], form: str, why: str, cli: Cli, engine: Engine
) -> None:
    _, location = old
    _retyped(location, form)
    before = contents(location)
    ran = cli.run("db", "upgrade", "--check", location, "-O", "json", target=())
    assert ran.code == 1
    (bad,) = [entry for entry in ran.json["forms"] if not entry["readable"]]
    assert (bad["first_unreadable"], bad["events"]) == ("main:3", 1)
    assert why in bad["why"]
    assert contents(location) == before


@ON_A_FILE
def test_a_form_that_is_announced_needs_its_release(cli: Cli) -> None:
    with raw_access(cli.location) as raw:
        raw.execute("INSERT INTO event_types VALUES ('fill', 9, '9.1.0')")
    ran = cli.here("db", "upgrade", "--check", cli.location)
    assert (ran.code, "needs netbasis 9.1.0" in ran.out) == (1, True)


@ON_A_FILE
def test_a_strange_trigger_would_stop_it(cli: Cli) -> None:
    with raw_access(cli.location) as raw:
        raw.execute("CREATE TRIGGER swallow BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END")
    ran = cli.here("db", "upgrade", "--check", cli.location)
    assert (ran.code, "would be refused" in ran.out) == (1, True)


@ON_A_FILE
@pytest.mark.parametrize(("content", "error"), [(b"", "not_a_ledger"), (b"text" * 999, "not_a_database")])
def test_what_is_no_ledger_is_told(cli: Cli, content: bytes, error: str) -> None:
    path = cli.folder / "x.db"
    path.write_bytes(content)
    ran = cli.here("db", "upgrade", "--check", str(path))
    assert (ran.code, ran.err.startswith(f"error[{error}]")) == (4, True)
