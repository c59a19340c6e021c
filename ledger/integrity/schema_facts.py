"""What a database's schema is made of, as texts that can be compared: by table, each of its parts and how it is defined.

    {"events": {"table": "WITHOUT ROWID", "column key": "VARCHAR NOT NULL", "index idx_marks": "CREATE INDEX …", …}, …}

On SQLite everything in the file is there, but for the statistics of ANALYZE: the file is the ledger's own. On a server the
tables that are asked for are, by the names that the program calls them by, with all that hangs on them; other tables beside
them are somebody else's. Blanks, comments and quotes around plain names do not count.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

from ledger.integrity.raw_rows import shown_raw
from ledger.integrity.schema_postgresql import read_active_postgresql, read_postgresql
from ledger.integrity.schema_words import Facts, evened, table_parts

# Kept by SQLite itself, and read by its planner alone.
_STATISTICS = ("sqlite_stat1", "sqlite_stat3", "sqlite_stat4")


def read_facts(connection: Connection, tables: Collection[str]) -> Facts:
    """The schema as it is; `tables` are those that are looked for on a server."""
    if connection.dialect.name == "postgresql":
        return read_postgresql(connection, tables)
    return _read_sqlite(connection)


def read_active(connection: Connection, tables: Collection[str]) -> Facts:
    """Only the triggers and rules, which act when somebody writes; see `read_facts`."""
    if connection.dialect.name == "postgresql":
        return read_active_postgresql(connection, tables)
    query = text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    facts: Facts = {}
    for name, table, statement in connection.execute(query):
        facts.setdefault(shown_raw(table), {})[f"trigger {shown_raw(name)}"] = evened(shown_raw(statement))
    return facts


def _read_sqlite(connection: Connection) -> Facts:
    facts: Facts = {}
    query = text("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type = 'table' DESC, type, name")
    for kind, name, table, statement in connection.execute(query):
        if kind == "table" and name in _STATISTICS:
            continue
        of = name if kind in ("table", "view") else table
        parts = facts.setdefault(shown_raw(of), {})
        if kind == "table":
            parts |= table_parts(shown_raw(statement))
        elif kind == "view":
            parts["view"] = evened(shown_raw(statement))
        else:
            made = "made by a constraint" if statement is None else evened(shown_raw(statement))
            parts[f"{shown_raw(kind)} {shown_raw(name)}"] = made
    return facts
