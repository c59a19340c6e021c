"""A ledger of the first release becomes one of the newest schema, and loses nothing, whatever happens on the way."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event as listening

from engine import schema
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.database.connections import Database
from ledger.errors import MovementConflict, StorageError
from ledger.stored import json_value
from tests.cli_support import ON_A_FILE, Cli, assert_refused
from tests.engines import Engine, contents, forget, intruding, new_ledger, raw_access
from tests.migrations.first_schema import BOOKS, FIRST, fill_with_deposits, first_ledger, written
from tests.postgres_support import clone_of, connect, database_of, url_of
from tests.script_server import run_program
from tests.support import event, log_of

ON_A_SERVER = pytest.mark.parametrize("engine", ["postgres"], indirect=True)


@pytest.fixture
def first(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """Where there is a ledger of the first release, on each engine in turn."""
    made = first_ledger(engine, tmp_path)
    yield made
    forget(made)


@cache
def _upgraded_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = first_ledger("sqlite", Path(folder))
        upgrade(made)
        return Path(made).read_bytes()


@cache
def _upgraded_database() -> str:
    made = first_ledger("postgres", Path())
    upgrade(made)
    return database_of(made)


@pytest.fixture
def upgraded(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The same after the upgrade: upgraded once on each engine, then copied."""
    if engine == "postgres":
        made = url_of(clone_of(_upgraded_database()))
    else:
        made = str(tmp_path / "upgraded.db")
        Path(made).write_bytes(_upgraded_file())
    yield made
    forget(made)


@pytest.fixture
def old_cli(cli: Cli, first: str) -> Cli:
    """The script, and the ledger of the first release."""
    cli.location, cli.db = first, Path(first)
    return cli


def upgrade(location: str) -> tuple[str | None, str]:
    """Upgrade as the command does."""
    with Database.open(location, "create") as database, database.writing() as connection:
        return schema.upgrade(connection)


# What stays, and what is new


HASHES = {
    "odd:empty": None,
    "odd:blank": None,
    "empty again": None,
    "issuer": None,
    "odd:blanks and case": "AA",
    "odd:lower": "AA",
    "odd:inner": "DEAD",
    "odd:prefixed": "0xab",
    "odd:base58": "3yZe7dQw8rQ2",
    "odd:long": "E" * 200,
    "odd:rtl": "\u200fabc\u202e",
    "odd:emoji": "💶",
    "odd:quote": "';DROPTABLEevents;--",
    "legacy:capital_events:3": "FEED",
    "FEED:deposit:RLUSD": "FEED",
    "k#2": "FEED",
    "w9": "FEED",
    "c0ffee:deposit:RLUSD": "C0FFEE",
    "0xDD:withdrawal:RLUSD": "0xdd",
    "venue:2": "ABCD",
    "a1": "BEEF",
    "r#2": None,  # a reversal has the hash of its own, if any
    "m1": None,
}
REASONS = {
    "a1": "network_fee",
    "a2": "fee",
    "a3": "fee",
    "a4": "a \"reward\" \\ of 'somebody'",
    "a5": "\u200f",
    "b1": "restart",
    "b2": None,
    "b3": "",
    "r#2": None,  # of a withdrawal, and its own reason is another thing
    "odd:empty": None,
}


def test_bytes_and_hashes_stay_and_the_new_columns_follow_from_them(first: str) -> None:
    assert upgrade(first) == (FIRST, schema.NEWEST)
    before = written()["events"]
    with raw_access(first) as raw:
        query = "SELECT book, version, key, body, hash, tx_hash, reason, strategy, reverses FROM events"
        after = {(row[0], row[1]): row for row in raw.execute(query)}
    assert len(after) == len(before)
    for old in before:
        row = after[old["book"], old["version"]]
        assert (row[2], bytes(row[3]), bytes(row[4])) == (old["key"], old["body"], old["hash"])
        assert row[7] is None
    of_key = {row[2]: row for row in after.values() if row[0] == "main"}
    assert {key: of_key[key][5] for key in HASHES} == HASHES
    assert {key: of_key[key][6] for key in REASONS} == REASONS
    of_reversals = {after["main", row[8]][2]: row[6] for row in of_key.values() if row[8] is not None}
    assert of_reversals == {
        **{key: REASONS[key] for key in ("a3", "a4", "b1")},
        **dict.fromkeys(("venue:3", "w9", "empty again")),
    }


def test_the_other_columns_say_what_they_said(first: str) -> None:
    """On a server in wider columns; times and amounts compared by value."""
    names = ", ".join(written()["events"][0])
    query = f"SELECT {names} FROM events ORDER BY book, version"
    with raw_access(first) as raw:
        before = raw.execute(query)
        upgrade(first)
        assert raw.execute(query) == before


def test_a_sound_ledger_is_sound_after_the_upgrade(upgraded: str) -> None:
    with Bookkeeper.open(upgraded) as keeper:
        for book in BOOKS:
            found = check(keeper.database, book)
            assert found.ok, found.findings
            assert rebuild(keeper.database, book, dry_run=True).changes == []
        fees = {book: dict(keeper.view(book).state.fees.paid) for book in BOOKS}
    # Of fills 0.01 XRP and 0.25 RLUSD; a network fee and a fee in XRP; a fee in RLUSD was reversed.
    assert fees == {
        "main": {"XRP": Decimal("0.510012"), "RLUSD": Decimal("0.25")},
        "zz": {"RLUSD": Decimal("0.5")},
        "Ünï 💶": {},
    }


def test_the_upgraded_schema_is_that_of_a_new_ledger(upgraded: str, engine: Engine, tmp_path: Path) -> None:
    """Triggers, indexes and columns, as each engine lists them."""
    new = new_ledger(engine, tmp_path, "new.db")
    try:
        assert _shape(upgraded) == _shape(new)
        indexes = str(_shape(new))
        assert all(name in indexes for name in ("idx_events_tx_hash", "idx_marks", "events_refuse_update"))
    finally:
        forget(new)
    with raw_access(upgraded) as raw:
        for statement in ("UPDATE events SET tx_hash = NULL", "DELETE FROM events"):
            with pytest.raises(Exception, match="events are immutable"):
                raw.execute(statement)


def _shape(location: str) -> list[object]:
    with raw_access(location) as raw:
        if location.startswith("postgresql"):
            indexes = raw.execute("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
            columns = raw.execute(
                "SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, collation_name, is_nullable"
                " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
            )
        else:
            indexes = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY 1")
            columns = [
                (table, *row)
                for table in raw.tables()
                for row in raw.execute(f"SELECT * FROM pragma_table_info('{table}')")
            ]
        return [raw.guards(), indexes, columns]


def test_the_ledger_says_which_forms_of_events_it_holds(upgraded: str) -> None:
    with raw_access(upgraded) as raw:
        kinds = {row[0] for row in raw.execute("SELECT DISTINCT type FROM events")}
        assert set(raw.execute("SELECT type, version, release FROM event_types")) == {
            (kind, 1, "0.1.0") for kind in kinds
        }
    assert len(kinds) == 9


# What was recorded before is there


def test_every_event_of_before_is_there_when_it_is_given_again(old_cli: Cli) -> None:
    """As a file, with what nobody may give any more: hashes of nothing, pairs as assets."""
    upgrade(old_cli.location)
    before = old_cli.contents()
    lines = [json.loads(row["body"]) for row in written()["events"] if row["book"] == "main" and row["version"] > 1]
    for line in lines:
        line["type"] = line["type"].partition("/")[0]
        for name in ("book", "version", "event_id", "recorded_at"):
            del line[name]
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path = str(old_cli.folder / old_cli.write("again.ndjson", data))
    for batch in ([], ["--batch", "7"]):
        ran = old_cli.here("append", "--file", path, *batch, "-O", "ndjson")
        assert ran.code == 0, ran.err
        answers = [json.loads(line) for line in ran.lines]
        assert [sum(answer[name] for answer in answers) for name in ("appended", "existed")] == [0, len(lines)]
    assert old_cli.contents() == before
    # As something new they are refused.
    for line in ({**lines[0], "key": "new"}, {**lines[0], "amount": "2"}):
        bad = str(old_cli.folder / old_cli.write("bad.ndjson", json.dumps(line)))
        assert_refused(old_cli.here("append", "--file", bad), 1, "text_empty", "line 1", "tx_hash")


AGAIN: list[tuple[dict[str, Any], str]] = [
    ({"amount": "1", "tx_hash": "AA"}, "odd:blanks and case"),
    ({"amount": "1", "tx_hash": " a a"}, "odd:blanks and case"),
    ({"amount": "1", "tx_hash": "aa", "key": "odd:blanks and case"}, "odd:blanks and case"),
    ({"amount": "1", "tx_hash": "", "key": "odd:empty"}, "odd:empty"),
    ({"amount": "1", "tx_hash": " ", "key": "odd:empty"}, "odd:empty"),
    ({"amount": "1", "tx_hash": "0xab"}, "odd:prefixed"),
    ({"amount": "12.5", "tx_hash": "C0FFEE"}, "c0ffee:deposit:RLUSD"),
    ({"amount": "12.5", "tx_hash": "c0ffee", "key": "c0ffee:deposit:RLUSD"}, "c0ffee:deposit:RLUSD"),
    ({"amount": "70", "tx_hash": "feed"}, "legacy:capital_events:3"),
    ({"amount": "30", "tx_hash": "FEED"}, "FEED:deposit:RLUSD"),
]


def test_movements_of_before_are_found_by_their_hashes(upgraded: str) -> None:
    with Bookkeeper.open(upgraded) as keeper:
        head = keeper.view("main").head
        for given, key in AGAIN:
            outcome = keeper.append("main", event("deposit", asset="RLUSD", **given))
            assert (outcome.existed, outcome.stored.key) == (True, key), given
        with pytest.raises(MovementConflict) as conflict:
            keeper.append("main", event("deposit", asset="RLUSD", amount="31", tx_hash="feed"))
        assert conflict.value.expected == "70 or 30"
        assert keeper.view("main").head == head
        # The withdrawal was reversed, and had a key of its own: so this one is new.
        assert not keeper.append(
            "main", event("withdrawal", asset="RLUSD", amount="5", basis_delta="-2", tx_hash="feed")
        ).existed
        fill = event(
            "fill", side="buy", base_asset="XRP", base_amount="1", quote_asset="RLUSD", quote_amount="1", strategy="s"
        )
        assert keeper.append("main", fill).stored.strategy == "s"
        assert keeper.append("main", event("reversal", reverses=log_of(keeper)[-1].version)).stored.strategy == "s"
        assert check(keeper.database, "main").ok
    with raw_access(upgraded) as raw:
        rows = raw.execute("SELECT type, version FROM event_types WHERE version >= 2")
    assert sorted(rows) == [("fill", 2), ("withdrawal", 3)]


def test_every_event_of_before_is_read_as_it_was_written(upgraded: str) -> None:
    """In the newest form of its type, field by field what its bytes say."""
    with Bookkeeper.open(upgraded) as keeper:
        for stored in (stored for book in BOOKS for stored in log_of(keeper, book)):
            fields = json.loads(stored.body)
            for name in set(type(stored.event).model_fields) - {"type"}:
                assert json_value(getattr(stored.event, name)) == fields.get(name), (stored.key, name)


# An asset that is a pair, which nobody may give any more


PAIR = "XRP/USDT"


@ON_A_FILE
def test_a_pair_that_was_taken_for_an_asset_is_shown_and_can_be_taken_back(old_cli: Cli) -> None:
    """The first release accepted it: a deposit of 2 at 0.5, and a mark of 0.9. As something new it is refused."""
    upgrade(old_cli.location)
    assert (old_cli.here("check").code, old_cli.here("check").out) == (0, "")
    rows = old_cli.here("register", "--asset", PAIR, "-O", "json").json["rows"]
    assert [(row["version"], row["type"], row["asset"], row["delta"], row["balance"]) for row in rows] == [
        (15, "deposit", PAIR, "2", "2")
    ]
    marks = old_cli.here("register", "--asset", PAIR, "--type", "mark", "-O", "json").json["rows"]
    assert [(row["version"], row["price"]) for row in marks] == [(37, "0.9")]
    before = {row["asset"]: row["total"] for row in old_cli.here("balance", "-O", "json").json["balances"]}
    assert before[PAIR] == "2"
    pnl = old_cli.here("pnl", "-O", "json").json
    assert {mark["asset"]: mark["price"] for mark in pnl["marks"]}[PAIR] == "0.9"
    assert [row["asset"] for row in old_cli.here("audit", "basis", "-O", "json").json["rows"]].count(PAIR) == 1
    unchanged = old_cli.unchanged()
    for line in (
        ["deposit", f"--asset={PAIR}", "--amount=2", "--price=0.5"],
        ["mark", f"--asset={PAIR}", "--price=0.9"],
        ["fill", "--side=buy", f"--base-asset={PAIR}", "--base-amount=1", "--quote-amount=1"],
    ):
        assert_refused(old_cli.here("append", *line), 1, "asset_is_pair", PAIR)
    again = old_cli.here("append", "deposit", f"--asset={PAIR}", "--amount=2", "--price=0.5", "--key=k#2")
    assert (again.code, again.out.startswith("exists: deposit at version 15")) == (0, True)
    assert old_cli.unchanged() == unchanged
    for version, price in ((37, None), (15, None)):
        assert old_cli.here("reverse", str(version)).code == 0
        marks_now = old_cli.here("pnl", "-O", "json").json["marks"]
        assert {mark["asset"]: mark["price"] for mark in marks_now}.get(PAIR) == price
    after = {row["asset"]: row["total"] for row in old_cli.here("balance", "-O", "json").json["balances"]}
    assert after == before | {PAIR: "0"}
    assert (old_cli.here("check").code, old_cli.here("rebuild", "--dry-run").code) == (0, 0)


def test_a_copy_has_the_pair(old_cli: Cli, engine: Engine, tmp_path: Path) -> None:
    upgrade(old_cli.location)
    target = new_ledger(engine, tmp_path, "copied.db")
    try:
        ran = old_cli.here("copy", "--to", target)
        assert ran.code == 0, ran.err
        copied = [old_cli.here(*line, target=("--db", target, "--book", "main")) for line in (["balance"], ["check"])]
        assert [ran.code for ran in copied] == [0, 0]
        assert copied[0].out == old_cli.here("balance").out
        assert PAIR in copied[0].out
    finally:
        forget(target)


# The command


def test_before_the_upgrade_every_command_says_what_to_do(old_cli: Cli) -> None:
    before = old_cli.unchanged()
    for command in (["pnl"], ["inject", "5"], ["check"], ["append", "mark", "--asset=XRP", "--price=1"], ["head"]):
        ran = old_cli.here(*command)
        assert_refused(ran, 4, "schema_older", "'0001'", "back the file up", "netbasis db upgrade")
    assert old_cli.here("db", "current").out == f"{FIRST} (newest: {schema.NEWEST})\n"
    assert old_cli.unchanged() == before


def test_the_command_upgrades_once(old_cli: Cli) -> None:
    target = ("--db", old_cli.location)
    ran = old_cli.run("db", "upgrade", target=target)
    assert (ran.code, ran.out, ran.err) == (0, f"upgraded from {FIRST} to {schema.NEWEST}\n", "")
    after = old_cli.unchanged()
    again = old_cli.here("db", "upgrade", "-O", "json", target=target)
    assert (again.code, again.json) == (0, {"before": schema.NEWEST, "after": schema.NEWEST})
    assert old_cli.unchanged() == after
    assert old_cli.here("check", target=target).code == 0


# Killed, refused, at once


KILLED = """
import os, sys
from sqlalchemy import Engine, event
from engine import schema
from ledger.database.connections import Database

left = int(sys.argv[2])

@event.listens_for(Engine, "after_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os._exit(9)

with Database.open(sys.argv[1], "create") as database, database.writing() as connection:
    schema.upgrade(connection)
print(int(sys.argv[2]) - left)
"""


def _killed_after(location: str, statements: int) -> subprocess.CompletedProcess[bytes]:
    return run_program(KILLED, location, statements)


def _statements(location: str) -> list[str]:
    """What an upgrade runs, in order."""
    seen: list[str] = []

    def keep(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    listening.listen(SqlEngine, "after_cursor_execute", keep)
    try:
        upgrade(location)
    finally:
        listening.remove(SqlEngine, "after_cursor_execute", keep)
    return seen


def _kinds(statements: list[str]) -> dict[str, int]:
    """By the first two words of a statement that writes, the number of the last one of the kind."""
    kinds: dict[str, int] = {}
    for number, statement in enumerate(statements, 1):
        words = " ".join(statement.split()[:2]).upper()
        if words.split()[0] in ("ALTER", "DROP", "UPDATE", "CREATE", "INSERT", "DELETE"):
            kinds[words] = number
    return kinds


def test_an_upgrade_that_is_killed_leaves_the_ledger_as_it_was(engine: Engine, tmp_path: Path) -> None:
    """After a statement of every kind: a process that ends at once, a server that loses its connection."""
    scratch = first_ledger(engine, tmp_path)
    kinds = _kinds(_statements(scratch))
    forget(scratch)
    assert {"ALTER TABLE", "UPDATE EVENTS", "CREATE INDEX", "CREATE TRIGGER", "INSERT INTO"} <= kinds.keys()
    location = first_ledger(engine, tmp_path)
    before = contents(location)
    for kind, number in kinds.items():
        if engine == "sqlite":
            assert _killed_after(location, number).returncode == 9, kind
        else:
            with pytest.raises(StorageError):
                _cut_off_after(location, number)
        assert contents(location) == before, kind
    assert upgrade(location) == (FIRST, schema.NEWEST)
    with Bookkeeper.open(location) as keeper:
        assert all(check(keeper.database, book).ok for book in BOOKS)
    forget(location)


def _cut_off_after(location: str, statements: int) -> None:
    """Upgrade, and have the server end the connection after so many statements."""
    left = statements

    def count(connection: Any, *_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            pid = connection.connection.driver_connection.info.backend_pid
            with connect() as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    listening.listen(SqlEngine, "after_cursor_execute", count)
    try:
        upgrade(location)
    finally:
        listening.remove(SqlEngine, "after_cursor_execute", count)


def test_two_upgrades_at_once_are_one(first: str) -> None:
    barrier = threading.Barrier(2)
    done: list[tuple[str | None, str]] = []

    def work() -> None:
        barrier.wait()
        done.append(upgrade(first))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == [(FIRST, schema.NEWEST), (schema.NEWEST, schema.NEWEST)]
    with Bookkeeper.open(first) as keeper:
        assert check(keeper.database, "main").ok


UNREADABLE = (
    b"[]",
    b"5",
    b"\xff",
    b"",
    b'{"tx_hash":5}',
    b'{"tx_hash":["a"]}',
    b'{"reason":1}',
    b'{"tx_hash":"a"',
    b"null",
)


def test_a_body_that_cannot_be_read_is_told_and_nothing_is_changed(old_cli: Cli) -> None:
    for body in UNREADABLE:
        with intruding(old_cli.location) as raw:
            raw.execute("UPDATE events SET body = ? WHERE key = 'a1'", [body])
        before = old_cli.contents()
        ran = old_cli.here("db", "upgrade", target=("--db", old_cli.location))
        assert_refused(ran, 4, "event_unreadable", "cannot be upgraded", "netbasis check", "backup")
        assert old_cli.contents() == before, body


@ON_A_SERVER
def test_a_view_of_the_users_own_is_named_and_nothing_is_changed(old_cli: Cli) -> None:
    for view, on in (("my_prices", "SELECT price FROM events"), ("my_totals", "SELECT total FROM inventory")):
        with raw_access(old_cli.location) as raw:
            raw.execute(f"CREATE VIEW {view} AS {on}")
        before = old_cli.contents()
        ran = old_cli.here("db", "upgrade", target=("--db", old_cli.location))
        assert ran.code == 4
        assert view in ran.err, ran.err
        assert old_cli.contents() == before
        with raw_access(old_cli.location) as raw:
            raw.execute(f"DROP VIEW {view}")
    assert old_cli.here("db", "upgrade", target=("--db", old_cli.location)).code == 0


@ON_A_SERVER
def test_a_role_that_does_not_own_the_tables_is_told(old_cli: Cli) -> None:
    name, role = database_of(old_cli.location), f"netbasis_{os.getpid()}_upgrader"
    with connect(name) as server:
        server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        server.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    before = old_cli.contents()
    try:
        ran = old_cli.here("db", "upgrade", target=("--db", url_of(name, username=role, password="x")))
        assert_refused(ran, 4, "access_denied")
        assert old_cli.contents() == before
    finally:
        with connect(name) as server:
            server.execute(f"DROP OWNED BY {role}")
            server.execute(f"DROP ROLE {role}")


STRANGE = {
    "sqlite": "CREATE TRIGGER z AFTER INSERT ON {table} BEGIN UPDATE inventory SET total = '9'; END",
    "postgres": "CREATE TRIGGER z AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION z()",
}


def test_a_strange_trigger_stops_the_upgrade_and_nothing_is_changed(old_cli: Cli, engine: Engine) -> None:
    """Of either schema: it would see what the upgrade does. When it is gone the upgrade is what it always is."""
    target = ("--db", old_cli.location)
    for _schema in ("old", "newest"):
        for table in ("events", "inventory"):
            with raw_access(old_cli.location) as raw:
                if engine == "postgres":
                    raw.execute("CREATE FUNCTION z() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
                raw.execute(STRANGE[engine].format(table=table))
            before = old_cli.contents()
            ran = old_cli.here("db", "upgrade", target=target)
            assert_refused(ran, 4, "schema_altered", "trigger z", table)
            assert old_cli.contents() == before
            with raw_access(old_cli.location) as raw:
                raw.execute(f"DROP TRIGGER z{f' ON {table}' if engine == 'postgres' else ''}")
                if engine == "postgres":
                    raw.execute("DROP FUNCTION z()")
        assert old_cli.here("db", "upgrade", target=target).code == 0
        assert old_cli.here("check").code == 0


def test_a_guard_that_is_missing_is_made_again(first: str) -> None:
    """Whoever took it away: after the upgrade the events are guarded."""
    with raw_access(first) as raw:
        if first.startswith("postgresql"):
            raw.execute("DROP FUNCTION events_refuse() CASCADE")
        else:
            raw.execute("DROP TRIGGER events_refuse_delete")
    upgrade(first)
    with raw_access(first) as raw, pytest.raises((psycopg.Error, Exception), match="immutable"):
        raw.execute("DELETE FROM events")


@ON_A_FILE
def test_memory_stays_flat(engine: Engine, tmp_path: Path) -> None:
    """Four pieces of a thousand events take no more of it than two: to hold them all would take half as much again."""
    peaks = []
    for count in (1_100, 4_000):
        location = first_ledger(engine, tmp_path, is_filled=False)
        fill_with_deposits(location, count)
        tracemalloc.start()
        upgrade(location)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        with raw_access(location) as raw:
            assert raw.execute("SELECT count(DISTINCT tx_hash) FROM events") == [(count - 1,)]
    assert peaks[1] < 1.2 * peaks[0]
    with Bookkeeper.open(location) as keeper:
        assert check(keeper.database, "long").ok
