"""The tables of the stored projections. They can be thrown away and rebuilt from the log at any time."""

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
    _sum("transferred_profit"),
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

# Not a projection: how often a rebuild has changed a book's stored projections, so that snapshots taken before are dropped.
rebuilds = _table("projection_rebuilds", Column("count", BigInteger, nullable=False))

# In the order in which they are shown; the tables do not refer to each other.
TABLES = (inventory, basis, engine_state, marks, fees, heads)


def key_column(table: Table) -> str | None:
    """The column that distinguishes a book's rows; None for a table with one row per book."""
    names = [column.name for column in table.primary_key if column.name != "book"]
    return names[0] if names else None
