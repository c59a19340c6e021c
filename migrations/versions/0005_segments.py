"""The manifest of the segments: ranges of the log that stand in columns beside it, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table."""
    is_server = op.get_bind().dialect.name == "postgresql"
    time = sa.TIMESTAMP(timezone=True) if is_server else sa.String()
    op.create_table(
        "segments",
        sa.Column("book", TEXT, sa.ForeignKey("books.book"), primary_key=True),
        sa.Column("first_version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.Column("location", TEXT),
        *(sa.Column(name, time, nullable=False) for name in ("least_at", "greatest_at", "recorded_until")),
        sa.Column("size", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in ("sha256", "start_hash", "end_hash")),
        sa.Column("widest", sa.Numeric(76, 36) if is_server else sa.String(), nullable=False),
        sa.Column("unfit", sa.BigInteger(), nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("sums", "state")),
        sa.Column("sealed_at", time, nullable=False),
        sqlite_with_rowid=False,
    )
