"""The schema that the migrations make on each engine, read from new ledgers.

`python -m tests.migrations.schema_snapshot` writes it, and `check` compares a ledger with it;
`tests/engine/proof/test_schema_proof.py` fails when a migration was added and this was not run.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from engine.schema_proof import snapshot_file
from ledger.database.connections import Database
from ledger.integrity.schema_facts import read_facts
from ledger.integrity.schema_words import Facts
from migrations import TABLES
from tests.engines import ENGINES, forget, new_ledger


def facts_at(location: str) -> Facts:
    """The schema of the ledger at a location."""
    with Database.open(location, "read") as database, database.reading() as connection:
        return read_facts(connection, TABLES)


def text_of(facts: Facts) -> str:
    """The file's text: one part a line, in an order of its own."""
    ordered = {table: dict(sorted(parts.items())) for table, parts in sorted(facts.items())}
    return json.dumps(ordered, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the snapshots of both engines."""
    for engine in ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            location = new_ledger(engine, Path(folder))
            dialect = "postgresql" if engine == "postgres" else engine
            snapshot_file(dialect).write_text(text_of(facts_at(location)), "utf-8")
            forget(location)


if __name__ == "__main__":
    main()
