"""Comparing the schema as it is with the schema that the migrations make; every difference is a finding.

What the migrations make is stored beside them, in `migrations/schema_sqlite.json` and `schema_postgresql.json`, so that
`check` needs neither Alembic nor a second database. `python -m tests.migrations.schema_snapshot` writes both files, and a
test compares them with what the migrations make.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

import migrations
from ledger.errors import StorageError, StorageFault
from ledger.integrity.findings import Finding
from ledger.integrity.raw_rows import shown_raw
from ledger.integrity.schema_facts import read_active, read_facts
from ledger.integrity.schema_postgresql import SESSION
from ledger.integrity.schema_words import Facts

SCHEMA = "schema"
_RELATION_KINDS = ("table", "view", "materialized view", "foreign table", "partitioned table")


def snapshot_file(dialect: str) -> Path:
    """The file with the schema that the migrations make. `dialect`: `sqlite` or `postgresql`."""
    return Path(migrations.__file__).with_name(f"schema_{dialect}.json")


@cache
def expected_facts(dialect: str) -> Facts:
    """The schema that the migrations make; see `ledger.integrity.schema_facts`."""
    facts: Facts = json.loads(snapshot_file(dialect).read_text("utf-8"))
    return facts


def check_schema(connection: Connection) -> Iterator[Finding]:
    """A finding for everything in the schema that is not as the migrations made it.

    Reads only the schema, and the row with its revision.
    """
    expected = expected_facts(connection.dialect.name)
    found = read_facts(connection, migrations.TABLES)
    for table in sorted(expected.keys() | found.keys()):
        if table == SESSION:
            yield from _altered(table, expected[table], found[table])
        elif table not in found:
            yield _finding(f"the table {table} is missing")
        elif table not in expected:
            yield _strange(table, found[table])
        elif "table" not in found[table]:
            yield _finding(f"{table} is not the table that the migrations made", "a table", _described(found[table]))
        else:
            yield from _compare(table, expected[table], found[table])
    if "table" in found.get("alembic_version", {}):
        yield from _check_revision(connection)


def tables_of(connection: Connection) -> set[str]:
    """The names of the ledger's tables that exist, including views in place of one."""
    return read_facts(connection, migrations.TABLES).keys() & set(migrations.TABLES)


def of_indexes(damaged: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """A finding for each index that disagrees with its table; see `ledger.integrity.file_damage.damaged_indexes`."""
    for index, said in damaged:
        yield _finding(f"the index {index} does not hold what its table does", actual=said)


def require_no_strangers(connection: Connection) -> None:
    """Raises StorageError `schema_altered` when the ledger's tables have a trigger or rule that no migration made.

    It could swallow an event or change a projection without an error. A missing trigger is left to `check`.
    """
    expected = expected_facts(connection.dialect.name)
    found = read_active(connection, migrations.TABLES)
    strange = [
        f"{part} on {table}"
        for table, parts in found.items()
        for part, definition in parts.items()
        if expected.get(table, {}).get(part) != definition
    ]
    if strange:
        raise StorageError(
            StorageFault.SCHEMA_ALTERED,
            "the ledger has triggers or rules that netbasis did not make, so what is written may not be what is stored",
            expected="those of the migrations only",
            actual=", ".join(strange),
            advice="see `netbasis check`, find out who made them, and drop them; nothing was written",
        )


def _compare(table: str, expected: dict[str, str], found: dict[str, str]) -> Iterator[Finding]:
    for part in sorted(expected.keys() - found.keys()):
        consequence = ": events can be changed" if part.startswith("trigger events_refuse") else ""
        yield _finding(f"the {part} is missing on {table}{consequence}", expected=_definition(expected[part]))
    for part in sorted(found.keys() - expected.keys()):
        yield _finding(f"a strange {part} on {table}: no migration made it", actual=_definition(found[part]))
    yield from _altered(table, expected, found)


def _altered(table: str, expected: dict[str, str], found: dict[str, str]) -> Iterator[Finding]:
    for part in sorted(expected.keys() & found.keys()):
        if expected[part] != found[part]:
            what = f"the table {table}" if part == "table" else f"the {part} of {table}"
            yield _finding(f"{what} was altered", _definition(expected[part]), _definition(found[part]))


def _strange(name: str, parts: dict[str, str]) -> Finding:
    kind = next((kind for kind in _RELATION_KINDS if kind in parts), "object")
    return _finding(f"a strange {kind} {name}: no migration made it", actual=_described(parts))


def _described(parts: dict[str, str]) -> str:
    return "; ".join(f"{part} {definition}".strip() for part, definition in parts.items())


def _definition(text: str) -> str:
    return text or "nothing of its own"


def _check_revision(connection: Connection) -> Iterator[Finding]:
    rows = sorted(shown_raw(row) for row in connection.scalars(text("SELECT version_num FROM alembic_version")))
    newest = migrations.REVISIONS[-1]
    if rows != [newest]:
        detail = "the table alembic_version does not hold the one row of the newest revision"
        yield _finding(detail, newest, ", ".join(rows) or "no row")


def _finding(detail: str, expected: str | None = None, actual: str | None = None) -> Finding:
    return Finding(SCHEMA, None, detail, expected, actual)
