"""The inbox: movements that wait for a person, and what became of them. A table of its own, no events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table."""
    is_server = op.get_bind().dialect.name == "postgresql"
    time = sa.TIMESTAMP(timezone=True) if is_server else sa.String()
    op.create_table(
        "inbox",
        sa.Column("book", TEXT, sa.ForeignKey("books.book"), primary_key=True),
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("sort", "status", "kind", "key", "type")),
        sa.Column("at", time, nullable=False),
        sa.Column("asset", TEXT),
        sa.Column("amount", sa.Numeric(56, 36) if is_server else sa.String()),
        sa.Column("tx_hash", TEXT),
        *(sa.Column(name, TEXT, nullable=False) for name in ("cause", "detail")),
        *(sa.Column(name, TEXT) for name in ("file", "place")),
        sa.Column("facts", sa.LargeBinary()),
        sa.Column("answer", TEXT),
        sa.Column("is_reached", sa.Integer(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("settled_at", time),
        sa.Column("version", sa.BigInteger()),
        *(sa.Column(name, TEXT) for name in ("reason", "actor")),
        sa.UniqueConstraint("book", "key", name="uq_inbox_key"),
        sqlite_with_rowid=False,
    )
