"""The profit that has moved between the books of a ledger, a figure of the basis of its own. No earlier ledger has any."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SUMS = ("net_basis", "net_deposits", "withdrawn_profit", "basis_commits", "deposit_basis_excess")


def upgrade() -> None:
    """Add the figure; it is 0 where nothing was transferred."""
    if op.get_bind().dialect.name == "postgresql":
        figure = sa.Column("transferred_profit", sa.Numeric(76, 36), nullable=False, server_default="0")
        op.add_column("basis", figure)
        op.alter_column("basis", "transferred_profit", server_default=None)
        return
    # SQLite does not take a default away again, so the table is made anew.
    op.create_table(
        "basis_anew",
        sa.Column("book", sa.String(), sa.ForeignKey("books.book"), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in _SUMS),
        sa.Column("unknown_bases", sa.BigInteger(), nullable=False),
        sa.Column("initial_basis_version", sa.BigInteger()),
        sa.Column("transferred_profit", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO basis_anew SELECT *, '0' FROM basis")
    op.drop_table("basis")
    op.rename_table("basis_anew", "basis")
