"""The tables of the log: `books`, one row per book with the end of its chain, and `events`, append-only.

An event's row has its body and hash, and beside them copies of what queries and sums need: the envelope, a few fields, and
the event's effects. `event_types` lists the (type, version) pairs in the log. `ledger.mapper` is the only codec between rows
and events; `ledger.integrity.prover` proves the copies against the bodies. Migrations make and change the tables; a test
compares them with this module.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from ledger.database.columns import EXACT_TEXT, ExactDecimal, UtcTime, exact_sum
from ledger.events import MOVES_BASIS

metadata = MetaData()

books = Table(
    "books",
    metadata,
    Column("book", EXACT_TEXT, primary_key=True),
    Column("mode", EXACT_TEXT, nullable=False),
    Column("numeraire", EXACT_TEXT, nullable=False),
    Column("base_asset", EXACT_TEXT, nullable=False),
    Column("withdrawal_policy", EXACT_TEXT, nullable=False),
    Column("head_version", BigInteger, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("head_recorded_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("book", EXACT_TEXT, ForeignKey("books.book"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", EXACT_TEXT, nullable=False),
    Column("key", EXACT_TEXT, nullable=False),
    Column("type", EXACT_TEXT, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("session_id", EXACT_TEXT),
    Column("reverses", BigInteger),
    Column("effect_of", EXACT_TEXT, nullable=False),
    Column("asset", EXACT_TEXT),
    Column("asset_delta", ExactDecimal),
    Column("quote_asset", EXACT_TEXT),
    Column("quote_delta", ExactDecimal),
    Column("fee_asset", EXACT_TEXT),
    Column("fee_delta", ExactDecimal),
    Column("price", ExactDecimal),
    Column("net_deposits_delta", ExactDecimal, nullable=False),
    Column("basis_delta", ExactDecimal, nullable=False),
    Column("starting_value_delta", exact_sum(), nullable=False),
    Column("unknown_fees", Integer, nullable=False),
    Column("unknown_bases", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("tx_hash", EXACT_TEXT),
    Column("reason", EXACT_TEXT),
    Column("strategy", EXACT_TEXT),
    CheckConstraint("version >= 1", name="ck_events_version"),
    UniqueConstraint("book", "key", name="uq_events_key"),
    # Without rowid, since INSERT OR REPLACE on a rowid would bypass the triggers.
    sqlite_with_rowid=False,
)

# Every (type, version) in the log, and the first release that can read it: an older release names it instead of misreading
# an event.
event_types = Table(
    "event_types",
    metadata,
    Column("type", EXACT_TEXT, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("release", EXACT_TEXT, nullable=False),
    sqlite_with_rowid=False,
)


@cache
def declare_indexes() -> None:
    """Add the indexes to the tables, for whoever compares them with a database; a query does not need them declared.

    Not done on import: a partial index on PostgreSQL imports its dialect, which takes longer than many a command.
    """
    _partial_index("uq_events_reverses", events.c.reverses.is_not(None), events.c.reverses, unique=True)
    _partial_index("idx_fills_session_id", events.c.type == "fill", events.c.session_id)
    _partial_index("idx_events_tx_hash", events.c.tx_hash.is_not(None), events.c.tx_hash)
    _partial_index("idx_marks", events.c.type == "mark", events.c.asset, events.c.at, events.c.version)
    _partial_index("idx_events_capital", events.c.effect_of.in_(MOVES_BASIS), events.c.version)


def _partial_index(name: str, of: ColumnElement[bool], *columns: Column[Any], unique: bool = False) -> None:
    """An index of a book's events that meet a condition."""
    Index(name, events.c.book, *columns, unique=unique, sqlite_where=of, postgresql_where=of)
