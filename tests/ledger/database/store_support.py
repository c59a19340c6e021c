"""What the tests of the log, its projections and their check share: a log of every event type, and tampering with it."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from engine.bookkeeper import Bookkeeper
from engine.policy.evidence import evidence_for
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.database.connections import Database
from ledger.events import Event, Withdrawal
from ledger.integrity.findings import Finding
from tests.support import BOOK, event, open_keeper

# The version at which `make_sample` has the first event of each type.
VERSION_OF = {
    "opened": 1,
    "deposit": 2,
    "fill": 5,
    "basis_commit": 7,
    "mark": 8,
    "withdrawal": 9,
    "adjustment": 10,
    "baseline": 11,
    "reversal": 12,
}
SAMPLE_VERSIONS = 17


def _before_withdrawal() -> list[Event]:
    return [
        event("deposit", asset="RLUSD", amount="85.00", key="d:1", source_note="first", tx_hash="AB", actor="ann"),
        event("deposit", asset="XRP", amount="39.27", price="1.3314", basis_unknown=True, key="d:2"),
        event("deposit", asset="XRP", amount="1", price="1.2", basis_delta="1.5", key="d:3"),
        fill("f:1", fee_asset="XRP", fee_amount="0.01", session_id="s1", order_id="o1", liquidity="maker"),
        fill("f:2", side="sell", session_id="s2"),
        event("basis_commit", basis_delta="52.284078", key="synthetic_initial_basis"),
        event("mark", asset="XRP", price="1.5", price_source="desk", key="m:1"),
    ]


def _after_withdrawal() -> list[Event]:
    return [
        event("adjustment", asset="XRP", amount="-0.000012", reason="network_fee", key="a:1"),
        event("baseline", starting_value="140", reason="restart", key="b:1"),
        event("reversal", reverses=5, reason="twice", key="r:1"),
        fill(None, corrects=5, base_amount="9"),
        event("baseline", starting_value="141", key="b:2"),
        event("reversal", reverses=14, key="r:2"),
        event("reversal", reverses=2, key="r:3"),
        event("withdrawal", asset="RLUSD", amount="3", basis_delta="-1", key="w:2"),
    ]


def fill(key: str | None, **fields: object) -> Event:
    """A fill of 10 XRP for 13.30 RLUSD, but for what `fields` say."""
    given: dict[str, object] = {
        "side": "buy",
        "base_asset": "XRP",
        "base_amount": "10",
        "quote_asset": "RLUSD",
        "quote_amount": "13.30",
    }
    return event("fill", **given | ({} if key is None else {"key": key}) | fields)


def append_sample(keeper: Bookkeeper, book: str = BOOK) -> None:
    """Append events of every type, so that the open book is at SAMPLE_VERSIONS: reversals, a correction, evidence."""
    keeper.append_all(book, _before_withdrawal())
    keeper.append(book, classified_withdrawal(keeper, "20", book))
    keeper.append_all(book, _after_withdrawal())


def classified_withdrawal(keeper: Bookkeeper, amount: str, book: str = BOOK) -> Withdrawal:
    """A withdrawal of RLUSD with the evidence that the book gives now."""
    view = keeper.view(book)
    evidence = evidence_for(Decimal(amount), view.state, view.state.marks, view.book)
    parts: dict[str, object] = {"asset": "RLUSD", "amount": amount, "basis_delta": -evidence.principal}
    return Withdrawal.model_validate({**parts, "evidence": evidence, "key": "w:1"})


def sample_file(folder: Path, name: str = "ledger.db") -> Path:
    """The path of a closed ledger with the sample log, in one file without a WAL; made once per process, then copied."""
    path = folder / name
    path.write_bytes(_sample())
    return path


@cache
def _sample() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with open_keeper(Path(folder)) as keeper:
            append_sample(keeper)
        return (Path(folder) / "ledger.db").read_bytes()


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as an intruder has it: no trigger, no foreign key, no constraint check; the triggers are put back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA synchronous = OFF")  # an intruder in a hurry: hundreds of them here
        connection.execute("BEGIN IMMEDIATE")
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, statement in guards:
            connection.execute(statement)
        connection.execute("COMMIT")


def tamper(path: Path, statement: str, *values: object) -> None:
    """Run one statement behind the program's back. It must change something."""
    with tampering(path) as connection:
        assert connection.execute(statement, values).rowcount > 0


def column_of(path: Path, table: str, column: str, where: str = "1") -> object:
    """A column of the first row that `where` selects, as SQLite stores it."""
    with closing(sqlite3.connect(path)) as connection:
        (value,) = connection.execute(f'SELECT "{column}" FROM {table} WHERE {where}').fetchone()
    stored: object = value
    return stored


def columns_of(path: Path, table: str) -> list[tuple[str, str]]:
    """Name and declared type of each column."""
    with closing(sqlite3.connect(path)) as connection:
        return [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({table})")]


def findings_of(path: Path | str, book: str = BOOK) -> list[Finding]:
    """What `check` finds."""
    with Bookkeeper.open(str(path), "read") as keeper:
        return check(keeper.database, book).findings


def versions_found(path: Path, invariant: str = "chain", book: str = BOOK) -> set[int | None]:
    """The versions at which `check` finds that an invariant does not hold."""
    return {finding.version for finding in findings_of(path, book) if finding.invariant == invariant}


def content(database: Database) -> dict[str, list[str]]:
    """All rows of all tables of a database, in an order that does not depend on where they lie."""
    with database.reading() as connection:
        return content_seen(connection)


def content_seen(connection: Connection) -> dict[str, list[str]]:
    """All rows of all tables that a transaction sees."""
    return {
        table: sorted(repr(tuple(row)) for row in connection.execute(text(f'SELECT * FROM "{table}"')))
        for table in inspect(connection).get_table_names()
    }


def require_projections_match(keeper: Bookkeeper, book: str = BOOK) -> None:
    """The stored projections are those of a rebuild."""
    assert rebuild(keeper.database, book, dry_run=True).changes == []


def fingerprints(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, but for SQLite's shared-memory index, which holds no data."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.endswith("-shm")
    }
