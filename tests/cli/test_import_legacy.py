"""`netbasis import legacy-db`: the five commands on every age, what is printed, and that the original is only read."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli_support import ON_A_FILE, Cli, Ran, assert_refused, deposit
from tests.engine.importers.legacy.legacy_databases import (
    CAPITAL,
    EXACT,
    FILLS,
    LEDGER,
    OldEngine,
    Shape,
    first_deposits,
    live_child,
    run_child,
    snapshot,
    trade,
)
from tests.engines import Engine, forget
from tests.support import a_share_of

OLD = "old.db"


def folder_for(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The path of an old database, in a folder of its own."""
    path = folder_for(tmp_path, "engine") / OLD
    EXACT["capital_on_both_sides"](path)
    return path


@pytest.fixture
def cli(tmp_path: Path, engine: Engine) -> Iterator[Cli]:
    """The script in a folder of its own, and a ledger with the book `main`."""
    made = Cli(folder_for(tmp_path, "books"), engine)
    yield made
    forget(made.location)


def done(ran: Ran, code: int = 0) -> Ran:
    assert (ran.code, ran.err) == (code, ""), ran
    return ran


@pytest.mark.parametrize("age", sorted({"after_the_backfill", *a_share_of(EXACT, 0, parts=9)}))
def test_the_story_of_five_commands(tmp_path: Path, cli: Cli, age: str) -> None:
    """And a sixth, `check`. The original and its folder stay as they are. Every age is read in test_importing.py."""
    engine = folder_for(tmp_path, "engine")
    truth = EXACT[age](engine / OLD)
    before = snapshot(engine)
    empty = cli.contents()
    dry = done(cli.here("import", "legacy-db", str(engine / OLD), "--dry-run", "-O", "json")).json
    assert cli.contents() == empty
    real = done(cli.here("import", "legacy-db", str(engine / OLD), "-O", "json")).json
    assert dry["reconciliation"] == real["reconciliation"]
    assert dry["new"] == len(dry["events"]) == real["new"] == real["version"] - 1
    assert real["reconciled"] is True
    backfilled = done(cli.here("backfill-basis", "--amount", "137.284078", "--even-so")).out
    assert backfilled.startswith("synthetic_initial_basis already" if age == "after_the_backfill" else "synthetic")
    verified = done(cli.here("verify-injection", "--amount", "50", "--price", "XRP=1.35")).out
    assert verified.count("✓") == 4
    assert cli.here("check").code == 0
    pnl = done(cli.here("pnl", "-O", "json", "--price", "XRP=1.35")).json
    assert Decimal(pnl["starting_value"]) == truth.starting_value
    again = done(cli.here("import", "legacy-db", str(engine / OLD), "-O", "json")).json
    assert (again["new"], again["reconciled"]) == (0, True)
    assert snapshot(engine) == before


# ---- what is printed


def test_a_reconciliation_for_people(cli: Cli, old: Path) -> None:
    ran = done(cli.here("import", "legacy-db", str(old)))
    assert ran.lines == [
        f"=== import of {old} into main ===",
        "events      new  existed",
        "deposit       4        0",
        "fill          6        0",
        "withdrawal    1        0",
        "baseline      1        0",
        "quote amounts of fills: 6 from the ledger, 0 quantity × price, 0 as kept; 0 rounded to 18 decimals",
        "note: fills without a known fee: 6",
        "reconciliation:",
        "figure                         old       netbasis  recorded here         difference",
        "total RLUSD     104.99999023199999  104.999990232           0.00  +0.00000000000001",
        "total XRP        58.51266400000001      58.512664           0.00  -0.00000000000001",
        "net basis               182.844078     182.844078           0.00               0.00",
        "net deposits            182.574078     182.574078           0.00               0.00",
        "starting value          182.574078     182.574078           0.00               0.00",
        "  total RLUSD: +0.00000000000001 float residue of the old engine, 3 times "
        "(inventory_ledger row 4; inventory_ledger row 6; inventory_ledger row 8)",
        "  total XRP: -0.00000000000001 float residue of the old engine, 4 times "
        "(inventory_ledger row 1; inventory_ledger row 3; inventory_ledger row 5; …)",
        "reconciled: no difference is above 0.000000001",
        "Wrote 12 events; the book is at version 13",
    ]


@pytest.mark.both_engines
def test_a_dry_run_shows_what_would_be_written(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    EXACT["opening_beyond_the_capital"](path)
    before = cli.unchanged()
    lines = done(cli.here("import", "legacy-db", str(path), "--dry-run")).lines
    assert cli.unchanged() == before
    assert lines[0].endswith("into main, dry run ===")
    assert lines[-1] == "No changes made."
    start = lines.index("rows that WOULD be written, besides the fills:")
    cells = [line.split() for line in lines[start + 2 : start + 10]]
    assert [(row[1], row[3], row[-1 if row[1] != "baseline" else 4]) for row in cells[2:4]] == [
        ("adjustment", "10.00", "it"),
        ("adjustment", "0.75", "it"),
    ]
    assert {row[6] for row in cells if row[1] == "deposit"} >= {"legacy:capital_events:1"}
    sessions = lines.index("fills that WOULD be written:")
    assert [line.split() for line in lines[sessions + 1 : sessions + 4]] == [
        ["session", "fills"],
        ["s1", "3"],
        ["s2", "3"],
    ]


def test_a_dry_run_of_what_is_there_shows_nothing_to_write(cli: Cli, old: Path) -> None:
    done(cli.here("import", "legacy-db", str(old)))
    ran = done(cli.here("import", "legacy-db", str(old), "--dry-run"))
    assert "WOULD" not in ran.out
    document = done(cli.here("import", "legacy-db", str(old), "--dry-run", "-O", "json")).json
    assert (document["new"], document["existed"], document["events"]) == (0, 11, [])


def test_the_json_carries_every_figure_as_text(cli: Cli, old: Path) -> None:
    document = done(cli.here("import", "legacy-db", str(old), "-O", "json")).json
    line = document["reconciliation"][0]
    assert line == {
        "figure": "total RLUSD",
        "asset": "RLUSD",
        "old": "104.99999023199999",
        "netbasis": "104.999990232",
        "recorded_here": "0",
        "difference": "0.00000000000001",
        "holds": True,
        "causes": [
            {
                "cause": "float_residue",
                "amount": "0.00000000000001",
                "count": 3,
                "examples": ["inventory_ledger row 4", "inventory_ledger row 6", "inventory_ledger row 8"],
            }
        ],
    }
    assert document["quote_amounts"] == {"kept": 0, "from_ledger": 6, "computed": 0, "rounded": 0}
    assert document["events"] == [], "what was written is in the log"
    assert document["head"] == done(cli.here("head", "-O", "json")).json["hash"]


def test_csv_and_ndjson_are_the_reconciliation(cli: Cli, old: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(done(cli.here("import", "legacy-db", str(old), "-O", "csv")).out)))
    lines = done(cli.here("import", "legacy-db", str(old), "-O", "ndjson")).lines
    names = ["total RLUSD", "total XRP", "net basis", "net deposits", "starting value"]
    assert [row["figure"] for row in rows] == [json.loads(line)["figure"] for line in lines] == names


def test_a_difference_is_explained_and_exits_1(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    with OldEngine(path) as engine:
        first_deposits(engine)
        trade(engine)
        engine.capital("deposit", "RLUSD", "50", basis="50", minutes_off=60)
        trade(engine)
        engine.keep_starting_value()
    ran = done(cli.here("import", "legacy-db", str(path)), code=1)
    assert "NOT reconciled: total RLUSD" in ran.lines
    assert (
        "  total RLUSD: -50.00 a capital event on the wrong side of the boundary: the ledger's balances do not include it "
        "at its time (capital_events row 3 at inventory_ledger row 8)"
    ) in ran.lines
    assert "Wrote 10 events; the book is at version 11" in ran.lines
    dry = cli.here("import", "legacy-db", str(path), "--dry-run", "-O", "json")
    assert (dry.code, dry.json["reconciled"]) == (1, False)


def test_names_of_ones_own_choice_steer_no_terminal(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    with OldEngine(path, Shape(text_ids=True)) as engine:
        first_deposits(engine)
        trade(engine)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {LEDGER} SET id = char(27) || '[2J', new_balance = 9 WHERE id LIKE 'inv-0006%'")
    ran = cli.here("import", "legacy-db", str(path))
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert r"\x1b[2J" in ran.out


# ---- the original

# An engine that goes on with an old database: one more deposit is committed, in the WAL, and a second one is not.
GOES_ON = f"""
import os, sqlite3, sys
c = sqlite3.connect("{OLD}", isolation_level=None)
c.execute("PRAGMA journal_mode = WAL")
deposit = "INSERT INTO {CAPITAL} VALUES (?, 'deposit', ?, 2.5, 2.0, NULL, NULL, 5.0, '2026-01-01T00:00:00Z')"
c.execute(deposit, (8, "FOO"))
c.execute("BEGIN IMMEDIATE")
c.execute(deposit, (9, "BAR"))
"""


def assert_foo_comes_over(cli: Cli, engine: Path) -> None:
    """By the installed script, as a user runs it; nothing beside the original changes."""
    before = snapshot(engine)
    assert f"{OLD}-wal" in before
    for dry_run in (["--dry-run"], []):
        document = cli.run("import", "legacy-db", str(engine / OLD), *dry_run, "-O", "json").json
        assert {line["asset"] for line in document["reconciliation"]} == {"FOO", "RLUSD", "XRP", None}
        assert snapshot(engine) == before


def test_the_wal_of_a_killed_engine_comes_over_and_stays(cli: Cli, tmp_path: Path) -> None:
    engine = folder_for(tmp_path, "engine")
    EXACT["plain"](engine / OLD)
    run_child(engine, f"{GOES_ON}\nos._exit(0)")
    assert_foo_comes_over(cli, engine)


def test_a_live_engine_is_not_disturbed(cli: Cli, tmp_path: Path) -> None:
    engine = folder_for(tmp_path, "engine")
    EXACT["plain"](engine / OLD)
    with live_child(engine, f"{GOES_ON}\nprint('ready', flush=True)\nsys.stdin.read()"):
        assert_foo_comes_over(cli, engine)


# ---- what is refused


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_what_cannot_be_read_exits_4_and_writes_nothing(cli: Cli, tmp_path: Path, dry_run: list[str]) -> None:
    head = cli.head()
    (tmp_path / "notes.txt").write_text("not a database")
    for name, code in (("none.db", "database_missing"), (".", "not_a_database"), ("notes.txt", "not_a_database")):
        assert_refused(cli.here("import", "legacy-db", str(tmp_path / name), *dry_run), 4, code)
    assert cli.head() == head


@ON_A_FILE
def test_a_ledger_is_no_old_database(cli: Cli) -> None:
    assert_refused(cli.here("import", "legacy-db", str(cli.db)), 1, "field_required", "capital_events", "events")


@ON_A_FILE
def test_a_damaged_ledger_is_not_written_to(cli: Cli, tmp_path: Path) -> None:
    """The pages are checked before the first write; this one is another book's, where no import looks."""
    second = ("--db", cli.location, "--book", "second")
    assert cli.here("init", target=second).code == 0
    cli.append(*(deposit(f"key:{number}", source_note="x" * 100) for number in range(300)))
    pages = bytearray(cli.db.read_bytes())
    start = pages.index(b'"key":"key:150"') // 4096 * 4096
    pages[start : start + 4096] = b"\xff" * 4096
    cli.db.write_bytes(pages)
    EXACT["plain"](tmp_path / OLD)
    ran = cli.here("import", "legacy-db", str(tmp_path / OLD), target=second)
    assert_refused(ran, 4, "database_damaged")
    assert cli.db.read_bytes() == pages


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path, old: Path) -> None:
    cli = Cli(folder_for(tmp_path, "books"), empty=True)
    assert_refused(cli.here("import", "legacy-db", str(old)), 4, "database_missing")
    assert list(cli.folder.iterdir()) == []


def test_a_bad_row_exits_1_and_names_it(cli: Cli, old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(f"UPDATE {FILLS} SET quantity = 9e999 WHERE id = 4")
    ran = cli.here("import", "legacy-db", str(old))
    assert_refused(ran, 1, "amount_malformed", "fills row 4, column quantity: not a finite number")
    assert cli.head() == 1


@pytest.mark.both_engines
def test_a_row_that_was_changed_since_exits_3_and_names_it(cli: Cli, old: Path) -> None:
    done(cli.here("import", "legacy-db", str(old)))
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(f"UPDATE {FILLS} SET quantity = 12 WHERE id = 4")
    assert_refused(cli.here("import", "legacy-db", str(old)), 3, "exists_with_different_base_amount", "fills row 4")


# ---- options


def test_other_names_are_mapped(cli: Cli, old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute(f"ALTER TABLE {FILLS} RENAME COLUMN quantity TO vol")
        connection.execute(f"ALTER TABLE {LEDGER} RENAME COLUMN new_balance TO bal")
    refused = cli.here("import", "legacy-db", str(old))
    assert_refused(refused, 1, "field_required", "fills.quantity", "inventory_ledger.new_balance", "--map")
    mapped = ("--map", "fills.quantity=vol", "--map", "inventory_ledger.new_balance=bal")
    assert done(cli.here("import", "legacy-db", str(old), *mapped, "-O", "json")).json["reconciled"] is True


def test_the_engines_start_stands_for_times_that_are_absent(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    EXACT["plain"](path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in (FILLS, LEDGER):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN created_at")
    assert_refused(cli.here("import", "legacy-db", str(path)), 1, "field_required", "--engine-start")
    start = ("--engine-start", "2025-11-03T08:02:30Z")
    assert done(cli.here("import", "legacy-db", str(path), *start, "-O", "json")).json["reconciled"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--map", "fills.price"],
        ["--map", "trades.price=p"],
        ["--map", "fills.colour=p"],
        ["--map", "fills.time=a", "--map", "fills.ts=b"],
    ],
)
def test_a_wrong_command_line_exits_2(cli: Cli, old: Path, arguments: list[str]) -> None:
    file = [str(old)] if arguments else []
    assert_refused(cli.here("import", "legacy-db", *file, *arguments), 2, "usage")
    assert cli.head() == 1


def test_a_start_without_a_zone_is_refused(cli: Cli, old: Path) -> None:
    ran = cli.here("import", "legacy-db", str(old), "--engine-start", "2025-11-03 08:00:00")
    assert_refused(ran, 1, "time_without_zone")


# ---- what the balances hold, and what was recorded here before


def fills_alone(path: Path) -> None:
    """Deposit 85, ledger 72, deposit 50, ledger 59: the balances hold the fills and the opening only."""
    with OldEngine(path, Shape(fills_only=True)) as engine:
        engine.capital("deposit", "RLUSD", "85", basis="85")
        engine.fill("buy", "10", "1.3")
        engine.capital("deposit", "RLUSD", "50", basis="50", tx_hash="FEED")
        engine.fill("buy", "10", "1.3")
        engine.keep_starting_value()


def test_a_ledger_of_fills_alone_is_reconciled(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    fills_alone(path)
    ran = done(cli.here("import", "legacy-db", str(path)))
    assert ran.lines[ran.lines.index("reconciliation:") + 2].split() == [
        "total",
        "RLUSD",
        "109.00",
        "109.00",
        "0.00",
        "0.00",
    ]
    assert "  the old ledger holds fills alone" in ran.out
    for said, code, kind in (("auto", 0, "fills-only"), ("fills-only", 0, "fills-only"), ("total", 1, "total")):
        again = done(cli.here("import", "legacy-db", str(path), "--ledger", said, "-O", "json"), code=code)
        assert (again.json["ledger"], again.json["new"]) == (kind, 0)


def test_rows_that_are_mixed_are_named_and_asked_about(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    with OldEngine(path) as engine:
        first_deposits(engine)
        trade(engine)
        for is_booked in (True, False):
            engine.capital("deposit", "RLUSD", "50", basis="50", is_booked=is_booked)
            trade(engine)
    for dry_run in ([], ["--dry-run"]):
        ran = cli.here("import", "legacy-db", str(path), *dry_run)
        assert_refused(ran, 1, "ledger_unclear", "capital_events row 3", "capital_events row 4", "--ledger total")
    assert cli.head() == 1
    assert cli.here("import", "legacy-db", str(path), "--ledger", "total").code == 1
    assert cli.head() > 1


@pytest.mark.both_engines
def test_a_movement_that_was_injected_before_is_counted_and_named(cli: Cli, tmp_path: Path) -> None:
    path = folder_for(tmp_path, "engine") / OLD
    fills_alone(path)
    assert cli.here("inject", "50", "--tx-hash", "feed").code == 0
    document = done(cli.here("import", "legacy-db", str(path), "--dry-run", "-O", "json")).json
    before = [{"row": "capital_events row 2", "version": 2, "key": "FEED:deposit:RLUSD", "tx_hash": "FEED"}]
    assert document["recorded_before"] == before
    assert (document["existed"], len(document["events"])) == (1, document["new"])
    ran = done(cli.here("import", "legacy-db", str(path)))
    assert ran.lines[-4:-2] == [
        "  recorded here before, by the same transaction, and not imported again: 1",
        "    capital_events row 2 is version 2, tx hash FEED",
    ]
    assert cli.here("balance", "-O", "json").json["balances"][0]["total"] == "109"


@pytest.mark.parametrize("journal", [None, b"left over"])
def test_an_empty_file_is_an_error(journal: bytes | None, cli: Cli, tmp_path: Path) -> None:
    """Taken for a database without tables, a mistyped path would import nothing and say that all is well."""
    (tmp_path / OLD).write_bytes(b"")
    if journal is not None:
        (tmp_path / f"{OLD}-journal").write_bytes(journal)
    assert_refused(cli.here("import", "legacy-db", str(tmp_path / OLD)), 4, "not_a_database", "is empty")
    with closing(sqlite3.connect(tmp_path / "no_table.db")) as connection:
        connection.execute("PRAGMA user_version = 1")
    ran = cli.here("import", "legacy-db", str(tmp_path / "no_table.db"))
    assert_refused(ran, 1, "field_required", "capital_events", "no table")
    assert cli.head() == 1
