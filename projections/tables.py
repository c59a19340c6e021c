"""The tables of the projections that are kept with the log. They can be thrown away and rebuilt at any time."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Table

from ledger.database.columns import EXACT_TEXT, ExactDecimal, UtcTime, exact_sum
from ledger.database.tables import books

metadata = MetaData()


def _table(name: str, *columns: Column[object]) -> Table:
    book = Column("book", EXACT_TEXT, ForeignKey(books.c.book), primary_key=True)
    return Table(name, metadata, book, *columns, sqlite_with_rowid=False)


def _sum(name: str) -> Column[object]:
    return Column(name, exact_sum(), nullable=False)


heads = _table(
    "projection_heads",
    Column("version", BigInteger, nullable=False),
    Column("unknown_fees", BigInteger, nullable=False),
)
inventory = _table(
    "inventory",
    Column("asset", EXACT_TEXT, primary_key=True),
    _sum("total"),
    _sum("fills"),
    _sum("capital"),
    _sum("adjustments"),
)
basis = _table(
    "basis",
    _sum("net_basis"),
    _sum("net_deposits"),
    _sum("withdrawn_profit"),
    _sum("basis_commits"),
    _sum("deposit_basis_excess"),
    Column("unknown_bases", BigInteger, nullable=False),
    Column("initial_basis_version", BigInteger),
)
engine_state = _table("engine_state", Column("key", EXACT_TEXT, primary_key=True), _sum("value"))
marks = _table(
    "marks",
    Column("asset", EXACT_TEXT, primary_key=True),
    Column("price", ExactDecimal, nullable=False),
    Column("source", EXACT_TEXT),
    Column("at", UtcTime, nullable=False),
    Column("version", BigInteger, nullable=False),
)
fees = _table("fees", Column("asset", EXACT_TEXT, primary_key=True), _sum("amount"))

# Not a projection: how often a book's were put right by a rebuild, so that nobody goes on from what he had read before.
rebuilds = _table("projection_rebuilds", Column("count", BigInteger, nullable=False))

# In this order for people; the tables do not refer to each other.
TABLES = (inventory, basis, engine_state, marks, fees, heads)


def key_column(table: Table) -> str | None:
    """The column that tells a book's rows apart; None where there is one row for each book."""
    names = [column.name for column in table.primary_key if column.name != "book"]
    return names[0] if names else None
