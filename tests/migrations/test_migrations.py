"""The migrations make the tables of the code, guard the events, and may be killed at any step."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.config import main as alembic
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, text

import migrations
from engine import inbox, schema
from engine.bookkeeper import Bookkeeper
from engine.columns import manifest
from ledger.database import tables, triggers
from ledger.database.connections import Database
from ledger.errors import StorageError
from ledger.events import Opened
from projections import tables as projection_tables
from tests.ledger.database.store_support import append_sample, content, fingerprints, sample_file, tamper
from tests.script_server import run_program
from tests.support import BOOK, ROOT, ledger_file, open_keeper

METADATA = (tables.metadata, projection_tables.metadata, inbox.metadata, manifest.metadata)


def shape(path: Path) -> dict[str, object]:
    """All that SQLAlchemy sees of a database's tables, but for Alembic's own; columns in their order."""
    with Database.open(str(path), "read") as database, database.reading() as connection:
        found = inspect(connection)
        names = [name for name in found.get_table_names() if name != "alembic_version"]
        return {
            name: {
                "columns": [
                    (column["name"], str(column["type"]), column["nullable"], column["default"])
                    for column in found.get_columns(name)
                ],
                "primary key": found.get_pk_constraint(name)["constrained_columns"],
                "foreign keys": [
                    (key["constrained_columns"], key["referred_table"], key["referred_columns"])
                    for key in found.get_foreign_keys(name)
                ],
                "uniques": [(key["name"], key["column_names"]) for key in found.get_unique_constraints(name)],
                "checks": [(check["name"], check["sqltext"]) for check in found.get_check_constraints(name)],
                "indexes": sorted(
                    (str(index["name"]), index["column_names"], index["unique"]) for index in found.get_indexes(name)
                ),
            }
            for name in sorted(names)
        }


def statements(path: Path, kind: str) -> dict[str, str]:
    """The SQL of each index or table that was made by a statement, its blanks and quotes evened out."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL AND tbl_name != 'alembic_version'",
            (kind,),
        )
        return {name: re.sub(r'[\s"]+', " ", sql).replace("( ", "(").replace(" )", ")").strip() for name, sql in rows}


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """A ledger as the migrations make it."""
    return ledger_file(tmp_path)


@pytest.fixture
def created(tmp_path: Path) -> Path:
    """A database with the tables as the code has them."""
    path = tmp_path / "created.db"
    with Database.open(str(path), "create") as database, database.writing() as connection:
        tables.declare_indexes()
        for metadata in METADATA:
            metadata.create_all(connection)
    return path


def test_the_migrated_schema_is_that_of_the_code(migrated: Path, created: Path) -> None:
    """Columns, types, nulls, keys, indexes and checks; and tables without a rowid where the code says so."""
    assert shape(migrated) == shape(created)
    assert statements(migrated, "index") == statements(created, "index")
    for name, statement in statements(created, "table").items():
        ending = statement.rpartition(")")[2]
        assert statements(migrated, "table")[name].rpartition(")")[2] == ending, name


def test_the_comparison_has_the_partial_indexes(migrated: Path) -> None:
    """Reflection leaves conditions out, so they are compared as the statements that made them."""
    indexes = statements(migrated, "index")
    assert "WHERE reverses IS NOT NULL" in indexes["uq_events_reverses"]
    assert "WHERE type = 'fill'" in indexes["idx_fills_session_id"]
    assert "WHERE effect_of IN ('deposit', 'withdrawal', 'basis_commit')" in indexes["idx_events_capital"]
    assert "UNIQUE" in indexes["uq_events_reverses"]


def test_alembic_finds_nothing_to_migrate(migrated: Path) -> None:
    """A developer who changes a table and forgets its migration sees it here."""
    with Database.open(str(migrated), "read") as database, database.reading() as connection:
        context = MigrationContext.configure(connection)
        both = MetaData()
        for metadata in METADATA:
            for table in metadata.tables.values():
                table.to_metadata(both)
        assert compare_metadata(context, both) == []


def test_the_tables_of_the_log_keep_no_rowid(migrated: Path) -> None:
    """INSERT OR REPLACE on a rowid would pass by the triggers."""
    assert statements(migrated, "table")["events"].endswith("WITHOUT ROWID")


def trigger_statements(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
        return dict(connection.execute(query).fetchall())


def test_after_the_migrations_the_triggers_guard_the_events(migrated: Path) -> None:
    assert trigger_statements(migrated) == triggers.SQLITE
    assert len(triggers.SQLITE) == 3


def test_the_revisions_are_those_of_the_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == migrations.REVISIONS
    assert scripts.get_heads() == [migrations.REVISIONS[-1]] == [schema.NEWEST]


def test_no_migration_rebuilds_the_events_by_batch() -> None:
    """Alembic's batch mode makes a table anew, and with the old one the triggers go silently."""
    for script in (Path(migrations.__file__).parent / "versions").glob("*.py"):
        assert "batch_alter_table" not in script.read_text("utf-8"), script.name


def test_every_revision_says_what_it_does(migrated: Path) -> None:
    with Database.open(str(migrated), "read") as database, database.reading() as connection:
        history = list(schema.history(connection))
        assert schema.current(connection) == schema.NEWEST
    assert [revision.id for revision in history] == list(migrations.REVISIONS)
    assert all(revision.what and revision.applied for revision in history)


def test_the_history_of_an_empty_database_has_nothing_applied(tmp_path: Path) -> None:
    with Database.open(str(tmp_path / "new.db"), "create") as database, database.reading() as connection:
        assert schema.current(connection) is None
        assert not any(revision.applied for revision in schema.history(connection))


def test_upgrading_the_newest_changes_nothing(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    before = fingerprints(tmp_path)
    with Database.open(str(path), "write") as database, database.writing() as connection:
        assert schema.upgrade(connection) == (schema.NEWEST, schema.NEWEST)
    assert fingerprints(tmp_path) == before


def test_an_upgrade_keeps_every_event_and_every_guard(tmp_path: Path) -> None:
    """From each revision on: with one revision, from the empty database."""
    path = tmp_path / "new.db"
    with Database.open(str(path), "create") as database, database.writing() as connection:
        assert schema.upgrade(connection) == (None, schema.NEWEST)
    with Bookkeeper.open(str(path)) as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        append_sample(keeper)
    assert trigger_statements(path) == triggers.SQLITE


# Killed half-way

KILLED = """
import os, sys
from sqlalchemy import Engine, event
from engine.bookkeeper import Bookkeeper

left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, *_):
    global left
    if statement.strip().upper().startswith(("CREATE", "INSERT INTO ALEMBIC")):
        left -= 1
        if left == 0:
            os._exit(9)

Bookkeeper.open(sys.argv[1], "create").close()
"""
# One per table (of the log, of the projections, Alembic's own), index and trigger, and the row with the revision.
FIRST_STEPS = 1 + 2 + 7 + 3 + 3 + 1
# The second one makes the triggers anew, two indexes and one table.
# The third one makes the inbox, the fourth the table of the basis anew, the fifth that of the segments.
STEPS = FIRST_STEPS + 3 + 2 + 1 + 1 + 1 + 1


def killed_after(path: Path, steps: int) -> int:
    return run_program(KILLED, path, steps).returncode


@pytest.mark.parametrize("steps", [1, 2, 9, FIRST_STEPS, FIRST_STEPS + 2, STEPS])
def test_a_migration_killed_after_some_steps_leaves_nothing_and_the_next_one_works(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "new.db"
    assert killed_after(path, steps) == 9
    with Database.open(str(path), "read") as database, database.reading() as connection:
        assert connection.execute(text("SELECT name FROM sqlite_master")).all() == []
    with pytest.raises(StorageError, match="not_a_ledger"):
        Bookkeeper.open(str(path))
    Bookkeeper.open(str(path), "create").close()
    assert statements(path, "table") == statements(ledger_file(tmp_path), "table")
    assert trigger_statements(path) == triggers.SQLITE


def test_the_migration_has_as_many_steps_as_are_killed(tmp_path: Path) -> None:
    """One more is never reached: the upgrade ends by itself."""
    assert killed_after(tmp_path / "new.db", STEPS + 1) == 0


def test_an_upgrade_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Here the caller's transaction fails after the last step."""

    def upgrade_and_fail() -> None:
        with Database.open(str(path), "create") as database, database.writing() as connection:
            schema.upgrade(connection)
            raise KeyboardInterrupt

    path = tmp_path / "new.db"
    with pytest.raises(KeyboardInterrupt):
        upgrade_and_fail()
    with Database.open(str(path), "read") as database:
        assert content(database) == {}


# Older, newer, somebody else's


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_newer_schema_is_told_and_left_as_it_was(tmp_path: Path, mode: str) -> None:
    path = sample_file(tmp_path)
    tamper(path, "UPDATE alembic_version SET version_num = '9999'")
    before = fingerprints(tmp_path)
    with pytest.raises(StorageError, match="schema_newer") as raised:
        Bookkeeper.open(str(path), mode)  # type: ignore[arg-type]
    assert raised.value.actual == "'9999'"
    assert fingerprints(tmp_path)[path.name] == before[path.name]


@pytest.mark.parametrize("mode", ["read", "write"])
def test_an_older_schema_is_told_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """There is but one revision yet, so the program is told that there is a newer one."""
    path = sample_file(tmp_path)
    before = fingerprints(tmp_path)
    found = migrations.REVISIONS[-1]
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "9999"))
    monkeypatch.setattr(schema, "NEWEST", "9999")
    with pytest.raises(StorageError, match="schema_older") as raised:
        Bookkeeper.open(str(path), mode)  # type: ignore[arg-type]
    assert (raised.value.expected, raised.value.actual) == ("9999", f"'{found}'")
    assert "netbasis db upgrade" in str(raised.value.advice)
    assert fingerprints(tmp_path)[path.name] == before[path.name]


FOREIGN = {
    "other tables": "CREATE TABLE capital_events (id INTEGER PRIMARY KEY)",
    "an events table of another program": "CREATE TABLE events (id INTEGER PRIMARY KEY)",
    "another program's alembic": "CREATE TABLE alembic_version (version_num TEXT); CREATE TABLE fills (id INTEGER);",
}


@pytest.mark.parametrize("mode", ["read", "write", "create"])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_database_of_another_program_is_told_and_left_as_it_was(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FOREIGN[name])
    before = fingerprints(tmp_path)
    with pytest.raises(StorageError, match="not_a_ledger"):
        Bookkeeper.open(str(path), mode)  # type: ignore[arg-type]
    assert fingerprints(tmp_path) == before


def test_a_ledger_whose_revision_is_gone_is_no_ledger(tmp_path: Path) -> None:
    path = sample_file(tmp_path)
    tamper(path, "DELETE FROM alembic_version")
    before = fingerprints(tmp_path)
    for mode in ("read", "write"):
        with pytest.raises(StorageError, match="not_a_ledger"):
            Bookkeeper.open(str(path), mode)
    with pytest.raises(StorageError):
        Bookkeeper.open(str(path), "create")
    assert fingerprints(tmp_path)[path.name] == before[path.name]


# As developers run them


def test_alembic_itself_runs_them_from_a_checkout(tmp_path: Path) -> None:
    path = tmp_path / "100% new.db"
    path.touch()
    command = [sys.executable, "-m", "alembic", "-x", f"db={path}", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert trigger_statements(path) == triggers.SQLITE


@pytest.mark.filterwarnings("ignore:No path_separator found:DeprecationWarning")
def test_alembic_is_to_be_told_which_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="say which database"):
        alembic(["upgrade", "head"])


@pytest.mark.filterwarnings("ignore:No path_separator found:DeprecationWarning")
def test_a_downgrade_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to drop events."""
    monkeypatch.chdir(ROOT)
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        before = content(keeper.database)
        with pytest.raises(AttributeError, match="has no attribute 'downgrade'"):
            alembic(["-x", f"db={tmp_path / 'ledger.db'}", "downgrade", "base"])
        assert content(keeper.database) == before
