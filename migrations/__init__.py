"""The schema's history, for Alembic. It is part of the wheel; `engine.schema` runs it without an alembic.ini.

`REVISIONS` lists the revisions, oldest first, so that opening a database need not import Alembic; a test compares it with
the scripts.
"""

REVISIONS = ("0001", "0002", "0003", "0004", "0005")

# Every table that the migrations make, including Alembic's own.
TABLES = (
    "alembic_version",
    "basis",
    "books",
    "engine_state",
    "event_types",
    "events",
    "fees",
    "inbox",
    "inventory",
    "marks",
    "projection_heads",
    "projection_rebuilds",
    "segments",
)
