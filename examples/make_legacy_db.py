"""Make a database as the old engine left it: capital events, a ledger of running balances, fills, engine state.

    python examples/make_legacy_db.py old.db            a history of two sessions
    python examples/make_legacy_db.py old.db --more     the same, and what the old engine wrote on the next day

Always the same one: the first capital came before the basis was kept, and before the first row of the ledger. Amounts are
whole numbers of a millionth until SQLite makes REALs of them, as it did for the old engine.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

SEED = 20251103
START = datetime(2025, 11, 3, 8, 0, tzinfo=UTC)
STARTING_VALUE = "paper.pnl_starting_value_rlusd"

SCHEMA = """
CREATE TABLE capital_events (
    id INTEGER PRIMARY KEY, event_type TEXT, asset TEXT, amount REAL, price_rlusd REAL, basis_delta_rlusd REAL,
    source_note TEXT, tx_hash TEXT, created_at TEXT
);
CREATE TABLE inventory_ledger (id INTEGER PRIMARY KEY, asset TEXT, change REAL, new_balance REAL, created_at TEXT);
CREATE TABLE fills (id INTEGER PRIMARY KEY, session_id TEXT, side TEXT, price REAL, quantity REAL, created_at TEXT);
CREATE TABLE engine_state (key TEXT PRIMARY KEY, value REAL);
"""


def millionths(units: int) -> str:
    """So many millionths as a decimal."""
    whole, rest = divmod(abs(units), 1_000_000)
    return f"{'-' if units < 0 else ''}{whole}.{rest:06}"


class OldEngine:
    """Writes what the old engine wrote; balances are in millionths."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._balances = {"XRP": 0, "RLUSD": 0}

    def write(self, table: str, columns: str, *values: object) -> None:
        """One row; texts that are numbers become REALs by the columns' types."""
        marks = ", ".join("?" * len(values))
        self._database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)  # noqa: S608 our own names

    def deposit(self, at: datetime, asset: str, amount: int, price: str, basis: str | None, note: str) -> None:
        """Capital comes in; it is in the balance from then on."""
        self._balances[asset] += amount
        columns = "event_type, asset, amount, price_rlusd, basis_delta_rlusd, source_note, created_at"
        self.write("capital_events", columns, "deposit", asset, millionths(amount), price, basis, note, at.isoformat())

    def session(self, name: str, start: datetime, random: Random) -> None:
        """Five fills of about 15 RLUSD, each with its two rows of the ledger."""
        for at, side, price in _fills(start, random):
            quantity = 15_000_000 * 10_000 // price
            paid = quantity * price // 10_000
            columns = "session_id, side, price, quantity, created_at"
            shown_price = f"{price // 10_000}.{price % 10_000:04}"
            self.write("fills", columns, name, side, shown_price, millionths(quantity), at.isoformat())
            sign = 1 if side == "buy" else -1
            for asset, change in (("XRP", sign * quantity), ("RLUSD", -sign * paid)):
                self._balances[asset] += change
                row = (asset, millionths(change), millionths(self._balances[asset]), at.isoformat())
                self.write("inventory_ledger", "asset, change, new_balance, created_at", *row)


def _fills(start: datetime, random: Random) -> Iterator[tuple[datetime, str, int]]:
    """When, which side, and the price in ten-thousandths."""
    for count in range(5):
        side = random.choice(("buy", "sell"))
        yield start + timedelta(minutes=17 * count), side, 13_300 + random.randrange(-60, 60)


def make(database: sqlite3.Connection, *, more: bool) -> None:
    """Write the history."""
    random = Random(SEED)  # noqa: S311 - repeatable, not secret
    engine = OldEngine(database)
    database.executescript(SCHEMA)
    engine.deposit(START, "XRP", 39_270_000, "1.3314", None, "first XRP")
    engine.deposit(START + timedelta(minutes=1), "RLUSD", 85_000_000, "1", None, "first RLUSD")
    engine.session("2025-11-03", START + timedelta(hours=1), random)
    engine.deposit(START + timedelta(hours=20), "RLUSD", 25_000_000, "1", "25", "more capital")
    engine.session("2025-11-04", START + timedelta(hours=25), random)
    if more:
        engine.deposit(START + timedelta(hours=40), "RLUSD", 10_000_000, "1", "10", "a little more")
        engine.session("2025-11-05", START + timedelta(hours=49), random)
    starting_value = "172.284078" if more else "162.284078"
    engine.write("engine_state", "key, value", STARTING_VALUE, starting_value)


def main(path: Path, *, more: bool) -> None:
    """Make the file anew."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        make(database, more=more)


if __name__ == "__main__":
    main(Path(sys.argv[1]), more="--more" in sys.argv[2:])
