"""`db current` and `db history`: the schema's revisions."""

from __future__ import annotations

from engine import schema
from engine.reports.report import Report, Table
from ledger.database.connections import Database


def current(database: Database) -> Report:
    """The revision that the schema is at, and the newest. Raises StorageError `not_a_ledger`."""
    with database.reading() as connection:
        found = schema.current(connection)
    document = {"current": found, "newest": schema.NEWEST}
    return Report(document, [f"{found or 'no schema yet'} (newest: {schema.NEWEST})"])


def history(database: Database) -> Report:
    """All revisions, and which of them the ledger has. Raises StorageError `not_a_ledger`."""
    with database.reading() as connection:
        revisions = list(schema.history(connection))
    rows = [(step.id, "applied" if step.applied else "not yet", step.what) for step in revisions]
    table = Table(("revision", "state", "what"), rows)
    return Report({"revisions": revisions}, [table], table)
