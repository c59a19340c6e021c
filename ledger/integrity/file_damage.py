"""SQLite's own check of a file: its pages, its schema, and whether each index holds what its table does."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from sqlalchemy import Connection, text

from ledger.errors import StorageError, StorageFault

# What SQLite says of an index that does not hold what it should, where the table itself is sound.
_OF_AN_INDEX = re.compile(
    r"(missing from|entries in|entry in|entry not in|record for row \d+ of) index (?P<index>\S+)$"
)


def require_sound_file(connection: Connection) -> None:
    """Raises StorageError `database_damaged` when SQLite's quick check finds damage in the file's pages or schema.

    For the start of a session: it does not compare the indexes with their tables.
    """
    if connection.dialect.name == "sqlite":
        _require_none([line for line in connection.scalars(text("PRAGMA quick_check(5)")) if line != "ok"], connection)


def damaged_indexes(connection: Connection) -> Iterator[tuple[str, str]]:
    """Each index of a SQLite file that does not hold what its table does, and what SQLite says of it.

    Raises StorageError `database_damaged` when the file itself is damaged.
    """
    if connection.dialect.name != "sqlite":
        return
    said: dict[str, str] = {}
    damage: list[str] = []
    for line in connection.scalars(text("PRAGMA integrity_check")):
        match = _OF_AN_INDEX.search(line)
        if match is not None:
            said.setdefault(match["index"], line)
        elif line != "ok":
            damage.append(line)
    _require_none(damage, connection)
    yield from said.items()


def _require_none(damage: list[str], connection: Connection) -> None:
    damage = damage or _damage_of_schema(connection)
    if damage:
        raise StorageError(
            StorageFault.DATABASE_DAMAGED,
            "the file is damaged",
            actual="; ".join(damage),
            advice="keep a copy of it as it is, restore a backup, and append what is missing: keys make that safe",
        )


def _damage_of_schema(connection: Connection) -> list[str]:
    """What is wrong with the schema's statements. A reader of SQLite passes over some of it that stops every writer."""
    # Not SQLite's own tables, such as the statistics of ANALYZE, which only SQLite may make.
    own = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid"
    statements = connection.scalars(text(own)).all()
    with closing(sqlite3.connect(":memory:")) as empty:
        try:
            for statement in statements:
                empty.execute(statement)
        except (sqlite3.Error, UnicodeError) as error:
            return [f"malformed schema: {error}"]
    return []
