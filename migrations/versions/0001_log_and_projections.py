"""The log (books, events, their triggers and indexes) and the stored projections."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from ledger.database import triggers

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _exact(digits_before_point: int) -> TypeEngine[Decimal]:
    return sa.Numeric(digits_before_point + 18, 18).with_variant(sa.String(), "sqlite")


TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
AMOUNT = _exact(20)
SUM = _exact(40)
TIME = sa.TIMESTAMP(timezone=True).with_variant(sa.String(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    _books()
    _events()
    _projections()
    connection = op.get_bind()
    for statement in triggers.statements(connection.dialect.name):
        connection.exec_driver_sql(statement)


def _books() -> None:
    op.create_table(
        "books",
        sa.Column("book", TEXT, primary_key=True),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("numeraire", TEXT, nullable=False),
        sa.Column("base_asset", TEXT, nullable=False),
        sa.Column("withdrawal_policy", TEXT, nullable=False),
        sa.Column("head_version", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("head_recorded_at", TIME, nullable=False),
        sqlite_with_rowid=False,
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("book", TEXT, sa.ForeignKey("books.book"), primary_key=True),
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.Column("session_id", TEXT),
        sa.Column("reverses", sa.BigInteger()),
        sa.Column("effect_of", TEXT, nullable=False),
        sa.Column("asset", TEXT),
        sa.Column("asset_delta", AMOUNT),
        sa.Column("quote_asset", TEXT),
        sa.Column("quote_delta", AMOUNT),
        sa.Column("fee_asset", TEXT),
        sa.Column("fee_delta", AMOUNT),
        sa.Column("price", AMOUNT),
        sa.Column("net_deposits_delta", AMOUNT, nullable=False),
        sa.Column("basis_delta", AMOUNT, nullable=False),
        sa.Column("starting_value_delta", SUM, nullable=False),
        sa.Column("unknown_fees", sa.Integer(), nullable=False),
        sa.Column("unknown_bases", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("version >= 1", name="ck_events_version"),
        sa.UniqueConstraint("book", "key", name="uq_events_key"),
        sqlite_with_rowid=False,
    )
    _index("uq_events_reverses", ["book", "reverses"], "reverses IS NOT NULL", unique=True)
    _index("idx_fills_session_id", ["book", "session_id"], "type = 'fill'")
    _index("idx_events_capital", ["book", "version"], "effect_of IN ('deposit', 'withdrawal', 'basis_commit')")


def _index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "events", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _book() -> sa.Column[str]:
    return sa.Column("book", TEXT, sa.ForeignKey("books.book"), primary_key=True)


def _asset() -> sa.Column[str]:
    return sa.Column("asset", TEXT, primary_key=True)


def _projections() -> None:
    op.create_table(
        "projection_heads",
        _book(),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("unknown_fees", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inventory",
        _book(),
        _asset(),
        *(sa.Column(name, SUM, nullable=False) for name in ("total", "fills", "capital", "adjustments")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "projection_rebuilds",
        _book(),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    sums = ("net_basis", "net_deposits", "withdrawn_profit", "basis_commits", "deposit_basis_excess")
    op.create_table(
        "basis",
        _book(),
        *(sa.Column(name, SUM, nullable=False) for name in sums),
        sa.Column("unknown_bases", sa.BigInteger(), nullable=False),
        sa.Column("initial_basis_version", sa.BigInteger()),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engine_state",
        _book(),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", SUM, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marks",
        _book(),
        _asset(),
        sa.Column("price", AMOUNT, nullable=False),
        sa.Column("source", TEXT),
        sa.Column("at", TIME, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fees",
        _book(),
        _asset(),
        sa.Column("amount", SUM, nullable=False),
        sqlite_with_rowid=False,
    )
