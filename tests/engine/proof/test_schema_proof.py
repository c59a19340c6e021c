"""The schema as the migrations make it: whatever somebody else makes of it is a finding, on both engines."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.bookkeeper import Bookkeeper
from engine.proof.check import CheckReport, check, check_ledger
from engine.proof.request import CheckRequest
from engine.schema_proof import check_schema, expected_facts
from ledger.database.connections import Database
from ledger.database.postgres import is_url
from ledger.errors import StorageError
from migrations import TABLES
from tests.cli_support import ON_A_FILE, Cli, assert_refused, deposit
from tests.engines import Raw, intruding, raw_access
from tests.ledger.database.store_support import append_sample
from tests.migrations.schema_snapshot import facts_at
from tests.support import BOOK, event, open_keeper


@pytest.fixture
def ledger(location: str, tmp_path: Path) -> str:
    """The location of a closed ledger with the sample log, on each engine in turn."""
    with open_keeper(tmp_path, location=location) as keeper:
        append_sample(keeper)
    return location


def checked(location: str) -> CheckReport:
    with Database.open(location, "read") as database:
        return check(database, BOOK)


def execute(location: str, *statements: str) -> None:
    with raw_access(location) as raw:
        for statement in statements:
            raw.execute(statement)


def details(location: str) -> list[str]:
    """What `check` tells of the schema; whatever else it tells is not about one."""
    return [finding.detail for finding in checked(location).findings if finding.invariant == "schema"]


def test_the_snapshot_is_what_the_migrations_make(ledger: str) -> None:
    """Also after events were appended. Run `python -m tests.migrations.schema_snapshot` when a migration was added."""
    assert facts_at(ledger) == expected_facts("postgresql" if is_url(ledger) else "sqlite")
    assert checked(ledger).findings == []


def test_the_snapshots_hold_every_table(ledger: str) -> None:
    assert {table for table, parts in facts_at(ledger).items() if "table" in parts} == set(TABLES)


def test_analyze_and_vacuum_change_nothing(ledger: str) -> None:
    execute(ledger, "ANALYZE", "VACUUM", "REINDEX" if not is_url(ledger) else "REINDEX TABLE events")
    assert checked(ledger).findings == []


def test_how_a_statement_is_written_does_not_matter(tmp_path: Path) -> None:
    """Blanks, line breaks, comments and quotes around a plain name."""
    with open_keeper(tmp_path):
        pass
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        ((statement,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'idx_marks'")
        connection.execute("DROP INDEX idx_marks")
        connection.execute(statement.replace("idx_marks", '"idx_marks"').replace(" ON ", "\n  ON -- the log\n "))
    assert details(str(path)) == []


BOTH = {
    "a trigger is gone": ("", "the trigger events_refuse_update is missing on events: events can be changed"),
    "a strange index": ("CREATE INDEX strange ON events (type)", "a strange index strange on events"),
    "an index is gone": ("DROP INDEX idx_marks", "the index idx_marks is missing on events"),
    "a unique index is gone": ("DROP INDEX uq_events_reverses", "the index uq_events_reverses is missing on events"),
    "a strange column": ("ALTER TABLE inventory ADD COLUMN more TEXT", "a strange column more on inventory"),
    "a column is gone": ("ALTER TABLE marks DROP COLUMN source", "the column source is missing on marks"),
    "a table is gone": ("DROP TABLE projection_rebuilds", "the table projection_rebuilds is missing"),
    "a projection is gone": ("DROP TABLE inventory", "the table inventory is missing"),
    "a second revision": (
        "INSERT INTO alembic_version VALUES ('0001')",
        "the table alembic_version does not hold the one row of the newest revision",
    ),
    "no revision": (
        "DELETE FROM alembic_version",
        "the table alembic_version does not hold the one row of the newest revision",
    ),
}


@pytest.mark.parametrize("what", BOTH)
def test_a_change_of_the_schema_is_found(ledger: str, what: str) -> None:
    statement, detail = BOTH[what]
    trigger = f"DROP TRIGGER events_refuse_update{' ON events' if is_url(ledger) else ''}"
    execute(ledger, statement or trigger)
    assert any(found.startswith(detail) for found in details(ledger)), details(ledger)


def test_a_unique_index_made_partial_is_found(ledger: str) -> None:
    execute(
        ledger,
        "DROP INDEX uq_events_reverses",
        "CREATE UNIQUE INDEX uq_events_reverses ON events (book, reverses) WHERE reverses > 10000",
    )
    assert details(ledger) == ["the index uq_events_reverses of events was altered"]


def test_a_projection_replaced_by_a_view_is_found(ledger: str) -> None:
    execute(ledger, "ALTER TABLE inventory RENAME TO kept", "CREATE VIEW inventory AS SELECT * FROM kept")
    assert "inventory is not the table that the migrations made" in details(ledger)


@pytest.mark.parametrize("table", ["books", "events", "event_types"])
def test_a_ledger_that_cannot_be_read_has_its_findings_all_the_same(ledger: str, table: str) -> None:
    execute(ledger, f"DROP TABLE {table}{' CASCADE' if is_url(ledger) else ''}")
    with Database.open(ledger, "read") as database:
        found = check_ledger(database, None, CheckRequest())
    assert f"the table {table} is missing" in [finding.detail for finding in found.findings]


def test_rows_of_a_book_that_does_not_exist_are_found(ledger: str) -> None:
    """Of each table by itself, all at once."""
    tables = [name for name in TABLES if name not in ("alembic_version", "books", "event_types")]
    with intruding(ledger) as raw:
        for table in tables:
            put_into_nowhere(raw, table, "BYTEA" if is_url(ledger) else "BLOB")
    told = [
        finding.detail for finding in checked(ledger).findings if "'nowhere', which does not exist" in finding.detail
    ]
    for table in tables:
        what = "events belong" if table == "events" else f"rows of the table {table} ("
        assert len([detail for detail in told if what in detail]) == 1, (table, told)
    assert len(told) == len(tables)


def put_into_nowhere(raw: Raw, table: str, kind_of_bytes: str) -> None:
    """Rows of a table belong to a book that does not exist; a row is made where there is none."""
    if table == "projection_rebuilds":
        raw.execute("INSERT INTO projection_rebuilds VALUES ('nowhere', 1)")
    elif table == "inbox":
        raw.execute(
            "INSERT INTO inbox (book, id, sort, status, kind, key, type, cause, detail, at, created_at, is_reached,"
            " row_count) VALUES ('nowhere', 1, 'movement', 'waiting', 'x', 'k', 'deposit', 'c', 'd',"
            " '2026-01-05T09:00:00.000000Z', '2026-01-05T09:00:00.000000Z', 1, 0)"
        )
    elif table == "segments":
        times = ", ".join(["'2026-01-05T09:00:00.000000Z'"] * 3)
        hashes = ", ".join([f"CAST('x' AS {kind_of_bytes})"] * 3)
        raw.execute(
            "INSERT INTO segments (book, first_version, last_version, size, unfit, widest, sums, state, sealed_at,"
            " least_at, greatest_at, recorded_until, sha256, start_hash, end_hash) VALUES ('nowhere', 1, 2, 3, 0, '0',"
            f" '{{}}', '{{}}', '2026-01-05T09:00:00.000000Z', {times}, {hashes})"
        )
    else:
        raw.execute(f"UPDATE {table} SET book = 'nowhere'")


# On a file alone


def rewrite(path: str, name: str, old: str, new: str, *, back: bool) -> None:
    """Change a definition through writable_schema; with `back`, its text alone is put back after a REINDEX."""
    for before, after in ((old, new), (new, old))[: 1 + back]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ?", (before, after, name)
            )
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if after == new:
                connection.execute("REINDEX")


@ON_A_FILE
def test_a_key_made_blind_to_case_is_found(ledger: str) -> None:
    rewrite(ledger, "events", '"key" VARCHAR NOT NULL', '"key" VARCHAR COLLATE NOCASE NOT NULL', back=False)
    assert "the column key of events was altered" in details(ledger)


@ON_A_FILE
def test_an_index_whose_text_was_put_back_is_found_by_what_it_holds(ledger: str) -> None:
    rewrite(ledger, "uq_events_reverses", "reverses IS NOT NULL", "reverses > 10000", back=True)
    assert details(ledger) == ["the index uq_events_reverses does not hold what its table does"]


@ON_A_FILE
def test_anything_else_in_the_file_is_strange(ledger: str) -> None:
    execute(ledger, "CREATE TABLE mine (a)", "CREATE VIEW peek AS SELECT * FROM inventory")
    found = details(ledger)
    assert found == [f"a strange {kind}: no migration made it" for kind in ("table mine", "view peek")]


SQLITE_TRIGGERS = {
    "swallows": "CREATE TRIGGER z BEFORE INSERT ON events WHEN new.version > 13 BEGIN SELECT RAISE(IGNORE); END",
    "sets inventory": "CREATE TRIGGER z AFTER INSERT ON events BEGIN UPDATE inventory SET total = '9'; END",
    "on a projection": "CREATE TRIGGER z BEFORE UPDATE ON inventory BEGIN SELECT RAISE(IGNORE); END",
}
POSTGRES_TRIGGERS = {
    "swallows": "CREATE FUNCTION z() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "sets inventory": "CREATE FUNCTION z() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN UPDATE inventory SET total = 9; RETURN NEW; END'",
    "on a projection": "CREATE FUNCTION z() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
}


def put_trigger(location: str, what: str) -> None:
    """A trigger `z` of somebody else's."""
    if not is_url(location):
        execute(location, SQLITE_TRIGGERS[what])
        return
    where = "UPDATE ON inventory" if what == "on a projection" else "INSERT ON events"
    execute(location, POSTGRES_TRIGGERS[what], f"CREATE TRIGGER z BEFORE {where} FOR EACH ROW EXECUTE FUNCTION z()")


@pytest.mark.parametrize("what", SQLITE_TRIGGERS)
def test_a_strange_trigger_is_found_and_nobody_writes_before_it_is_gone(ledger: str, what: str) -> None:
    put_trigger(ledger, what)
    table = "inventory" if what == "on a projection" else "events"
    assert details(ledger) == [f"a strange trigger z on {table}: no migration made it"]
    for mode in ("write", "create"):
        with pytest.raises(StorageError, match="schema_altered") as raised:
            Bookkeeper.open(ledger, mode)
        assert f"trigger z on {table}" in str(raised.value)
    Bookkeeper.open(ledger, "read").close()


@pytest.mark.parametrize("many", [1, 30])
@pytest.mark.parametrize("what", ["swallows", "on a projection"])
def test_an_append_that_was_swallowed_is_never_acknowledged(ledger: str, what: str, many: int) -> None:
    """The ledger was opened before the trigger came."""
    with Bookkeeper.open(ledger) as keeper:
        put_trigger(ledger, what)
        before = keeper.view(BOOK).head
        with pytest.raises(StorageError, match="schema_altered"):
            keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="1", key=f"z:{n}") for n in range(many)])
        assert keeper.view(BOOK).head == before


def test_the_command_answers_nothing_for_what_was_swallowed(cli: Cli) -> None:
    cli.append(*(deposit(f"d:{number}") for number in range(15)))
    put_trigger(cli.location, "swallows")
    assert_refused(cli.here("append", "deposit", "--asset", "RLUSD", "--amount", "1"), 4, "schema_altered", "trigger z")
    assert cli.head() == 16


# On a server alone

ON_A_SERVER = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
SERVER = {
    "a rule": (
        "CREATE RULE z AS ON INSERT TO events DO INSTEAD NOTHING",
        "a strange rule z on events: no migration made it",
    ),
    "a policy": ("CREATE POLICY z ON events USING (false)", "a strange policy z on events: no migration made it"),
    "row security": ("ALTER TABLE events ENABLE ROW LEVEL SECURITY", "the table events was altered"),
    "a disabled trigger": (
        "ALTER TABLE events DISABLE TRIGGER events_refuse_delete",
        "the trigger events_refuse_delete of events was altered",
    ),
    "disabled foreign keys": ("ALTER TABLE inventory DISABLE TRIGGER ALL", "the table inventory was altered"),
    "a replaced function": (
        "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "the trigger events_refuse_update of events was altered",
    ),
    "a default": ("ALTER TABLE events ALTER COLUMN reason SET DEFAULT 'x'", "the column reason of events was altered"),
    "a type": ("ALTER TABLE fees ALTER COLUMN amount TYPE numeric(76, 2)", "the column amount of fees was altered"),
    "nulls": ("ALTER TABLE fees ALTER COLUMN amount DROP NOT NULL", "the column amount of fees was altered"),
    "a constraint is gone": (
        "ALTER TABLE events DROP CONSTRAINT ck_events_version",
        "the constraint ck_events_version is missing on events",
    ),
    "a strange constraint": (
        "ALTER TABLE events ADD CONSTRAINT z CHECK (version < 1000)",
        "a strange constraint z on events: no migration made it",
    ),
    "a foreign key of others": (
        'CREATE TABLE mine (book text COLLATE "C" REFERENCES books (book))',
        "a strange foreign key mine_book_fkey of mine on books: no migration made it",
    ),
    "an heir": ("CREATE TABLE heir () INHERITS (events)", "the table events was altered"),
    "not logged": ("ALTER TABLE fees SET UNLOGGED", "the table fees was altered"),
}


@ON_A_SERVER
def test_a_change_on_a_server_is_found(ledger: str) -> None:
    """Each in a transaction that is taken back."""
    with Database.open(ledger, "write") as database, database.writing() as connection:
        assert list(check_schema(connection)) == []
        for what, (statement, detail) in SERVER.items():
            nested = connection.begin_nested()
            connection.execute(text(statement))
            found = [finding.detail for finding in check_schema(connection)]
            nested.rollback()
            assert detail in found, (what, found)


@ON_A_SERVER
def test_a_rule_stops_every_writer(ledger: str) -> None:
    with Bookkeeper.open(ledger) as keeper:
        execute(ledger, SERVER["a rule"][0])
        with pytest.raises(StorageError, match="schema_altered"):
            keeper.append(BOOK, event("deposit", asset="RLUSD", amount="1", key="z"))
    with pytest.raises(StorageError, match="rule z on events"):
        Bookkeeper.open(ledger)


@ON_A_SERVER
def test_tables_and_views_of_others_beside_the_ledger_are_theirs(ledger: str) -> None:
    execute(ledger, "CREATE TABLE mine (a int)", "CREATE VIEW peek AS SELECT asset, total FROM inventory")
    assert checked(ledger).findings == []


@ON_A_SERVER
def test_what_stands_in_front_of_a_table_on_the_search_path_is_found(ledger: str) -> None:
    database = ledger.rpartition("/")[2].partition("?")[0]
    execute(
        ledger,
        "CREATE SCHEMA front",
        "CREATE VIEW front.inventory AS SELECT * FROM public.inventory",
        "CREATE TABLE front.fees (LIKE public.fees INCLUDING ALL)",
        f'ALTER DATABASE "{database}" SET search_path = front, public',
    )
    found = details(ledger)
    assert "inventory is not the table that the migrations made" in found
    assert "the table fees was altered" in found


@ON_A_SERVER
def test_a_temporary_table_in_front_of_one_is_found(ledger: str) -> None:
    with Database.open(ledger, "write") as database, database.writing() as connection:
        connection.execute(text("CREATE TEMP TABLE inventory (LIKE public.inventory INCLUDING ALL)"))
        assert "the table inventory was altered" in [finding.detail for finding in check_schema(connection)]


@ON_A_SERVER
def test_a_server_on_which_no_trigger_fires_is_found(ledger: str) -> None:
    database = ledger.rpartition("/")[2].partition("?")[0]
    execute(ledger, f'ALTER DATABASE "{database}" SET session_replication_role = replica')
    assert details(ledger) == ["the session_replication_role of the session was altered"]
