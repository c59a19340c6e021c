"""Columns for looking up movements and for grouping, amounts with 36 decimals, and the list of event types and versions.

Events keep their bytes and hashes. The new columns are filled from the bytes in the same transaction; the triggers that
guard the events are dropped for that, and created again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from ledger.database import triggers
from ledger.errors import StorageError, StorageFault
from ledger.texts import normal_tx_hash

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
AMOUNT, SUM = (56, 36), (76, 36)
ROWS_AT_ONCE = 1000

# For PostgreSQL; SQLite stores amounts as texts of any length.
_WIDER = {
    "events": {
        **dict.fromkeys(
            ("asset_delta", "quote_delta", "fee_delta", "price", "net_deposits_delta", "basis_delta"), AMOUNT
        ),
        "starting_value_delta": SUM,
    },
    "inventory": dict.fromkeys(("total", "fills", "capital", "adjustments"), SUM),
    "basis": dict.fromkeys(
        ("net_basis", "net_deposits", "withdrawn_profit", "basis_commits", "deposit_basis_excess"), SUM
    ),
    "engine_state": {"value": SUM},
    "marks": {"price": AMOUNT},
    "fees": {"amount": SUM},
}

_events = sa.table(
    "events",
    *(sa.column(name) for name in ("book", "version", "type", "reverses", "body", "tx_hash", "reason", "strategy")),
)


def upgrade() -> None:
    """Add the columns and fill them; widen the amounts; list the event types and versions."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        _widen(connection)
    for name in ("tx_hash", "reason", "strategy"):
        op.add_column("events", sa.Column(name, TEXT))
    _without_triggers(connection)
    _fill(connection)
    for statement in triggers.statements(connection.dialect.name):
        connection.exec_driver_sql(statement)
    _index("idx_events_tx_hash", ["book", "tx_hash"], "tx_hash IS NOT NULL")
    _index("idx_marks", ["book", "asset", "at", "version"], "type = 'mark'")
    op.create_table(
        "event_types",
        sa.Column("type", TEXT, primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("release", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    # Events in the first schema have the first version of their type.
    op.execute("INSERT INTO event_types (type, version, release) SELECT DISTINCT type, 1, '0.1.0' FROM events")


def _index(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "events", columns, sqlite_where=condition, postgresql_where=condition)


def _widen(connection: sa.Connection) -> None:
    """One statement per table, so that each is rewritten only once. No trigger fires."""
    for table, columns in _WIDER.items():
        types = ", ".join(
            f"ALTER COLUMN {name} TYPE NUMERIC({digits}, {decimals}) USING {name}"
            for name, (digits, decimals) in columns.items()
        )
        try:
            connection.exec_driver_sql(f"ALTER TABLE {table} {types}")
        except DBAPIError as error:
            raise _in_the_way(table, error) from error


def _in_the_way(table: str, error: DBAPIError) -> Exception:
    """The error that names what prevents a column's new type, such as a user's view; any other error is unchanged."""
    diagnosis = getattr(error.orig, "diag", None)
    if getattr(error.orig, "sqlstate", None) != "0A000" or diagnosis is None:  # feature_not_supported
        return error
    return StorageError(
        StorageFault.DATABASE_NOT_WRITABLE,
        f"the columns of {table} cannot be widened: {diagnosis.message_primary}",
        actual=diagnosis.message_detail,
        advice="drop what is named there, run `netbasis db upgrade`, and make it again",
    )


def _without_triggers(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS events_refuse() CASCADE")
        return
    for name in triggers.SQLITE:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")


def _fill(connection: sa.Connection) -> None:
    """Fill the new columns from the events' bytes; in chunks, so that memory stays flat."""
    place = _events.c.book == sa.bindparam("of_book"), _events.c.version == sa.bindparam("of_version")
    names = ("tx_hash", "reason", "strategy")
    update = sa.update(_events).where(*place).values({name: sa.bindparam(name) for name in names})
    piece: list[dict[str, Any]] = []
    for row in _filled(connection):
        piece.append(row)
        if len(piece) == ROWS_AT_ONCE:
            connection.execute(update, piece)
            piece.clear()
    if piece:
        connection.execute(update, piece)


def _filled(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    # A reversal has the reason of the event that it reverses.
    reversed_event = _events.alias("reversed_event")
    is_reversed = sa.and_(reversed_event.c.book == _events.c.book, reversed_event.c.version == _events.c.reverses)
    query = (
        sa.select(
            _events.c.book,
            _events.c.version,
            _events.c.type,
            _events.c.body,
            reversed_event.c.type,
            reversed_event.c.body,
        )
        .select_from(_events.outerjoin(reversed_event, is_reversed))
        .order_by(_events.c.book, _events.c.version)
    )
    after: tuple[str, int] | None = None
    while True:
        following = query if after is None else query.where(sa.tuple_(_events.c.book, _events.c.version) > after)
        rows = connection.execute(following.limit(ROWS_AT_ONCE)).all()
        for book, version, kind, body, reversed_kind, reversed_body in rows:
            fields = _read(body)
            reason = _reason(kind, fields) if reversed_body is None else _reason(reversed_kind, _read(reversed_body))
            tx_hash = normal_tx_hash(_text(fields, "tx_hash") or "") or None
            if tx_hash is not None or reason is not None:
                yield {"of_book": book, "of_version": version, "tx_hash": tx_hash, "reason": reason, "strategy": None}
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1][0], rows[-1][1]


def _reason(kind: str, fields: dict[str, Any]) -> str | None:
    return _text(fields, "reason") if kind in ("adjustment", "baseline") else None


def _text(fields: dict[str, Any], name: str) -> str | None:
    found = fields.get(name)
    if found is not None and not isinstance(found, str):
        raise _unreadable(str(found))
    return found


def _read(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise _unreadable(body) from error
    if not isinstance(fields, dict):
        raise _unreadable(body)
    return fields


def _unreadable(body: bytes | str) -> StorageError:
    shown = body[:200].decode("utf-8", "replace") if isinstance(body, bytes) else str(body)[:200]
    return StorageError(
        StorageFault.EVENT_UNREADABLE,
        "the bytes of an event cannot be read, so the ledger cannot be upgraded; it was not changed",
        actual=shown,
        advice="run `netbasis check` with the release that wrote it, and restore a backup",
    )
