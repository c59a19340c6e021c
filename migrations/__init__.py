"""The schema's history, for Alembic. It travels in the wheel; `engine.schema` runs it without an alembic.ini.

`REVISIONS` lists the revisions from the first to the newest, so that opening a database need not import Alembic; a test
compares it with the scripts.
"""

REVISIONS = ("0001", "0002")

# Every table that they make, Alembic's own among them.
TABLES = (
    "alembic_version",
    "basis",
    "books",
    "engine_state",
    "event_types",
    "events",
    "fees",
    "inventory",
    "marks",
    "projection_heads",
    "projection_rebuilds",
)
