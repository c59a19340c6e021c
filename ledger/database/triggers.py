"""The triggers with which the database itself refuses to change an event.

SQLite's `REPLACE` deletes without firing DELETE triggers, so there an INSERT is also refused when its version, key or
reversed version exists already. PostgreSQL has no REPLACE, and its unique indexes refuse duplicates; but it has TRUNCATE.
`ledger.integrity.prover` reports a trigger that is missing or altered.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

REFUSAL = "netbasis: events are immutable; append a reversal instead"

SQLITE = {
    "events_refuse_update": f"""
CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""".strip(),
    "events_refuse_delete": f"""
CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""".strip(),
    "events_refuse_replace": f"""
CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE book = NEW.book AND version = NEW.version)
  OR EXISTS (SELECT 1 FROM events WHERE book = NEW.book AND key = NEW.key)
  OR EXISTS (SELECT 1 FROM events WHERE book = NEW.book AND reverses = NEW.reverses)
BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""".strip(),  # noqa: S608 - no part of it comes from outside
}

_FUNCTION_BODY = f"BEGIN RAISE EXCEPTION '{REFUSAL}'; END"
POSTGRESQL_FUNCTION = (
    f"CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS $netbasis${_FUNCTION_BODY}$netbasis$"
)
POSTGRESQL = {
    f"events_refuse_{action}": f"CREATE TRIGGER events_refuse_{action} BEFORE {action.upper()} ON events "
    f"FOR EACH {'STATEMENT' if action == 'truncate' else 'ROW'} EXECUTE FUNCTION events_refuse()"
    for action in ("update", "delete", "truncate")
}
# pg_trigger.tgtype: 1 row, 2 before, 8 delete, 16 update, 32 truncate.
_TGTYPES = {"events_refuse_update": 1 + 2 + 16, "events_refuse_delete": 1 + 2 + 8, "events_refuse_truncate": 2 + 32}


def statements(dialect: str) -> list[str]:
    """The SQL statements that create the triggers."""
    return list(SQLITE.values()) if dialect == "sqlite" else [POSTGRESQL_FUNCTION, *POSTGRESQL.values()]


def expected(dialect: str) -> dict[str, str]:
    """By name, what `found` returns when every trigger is as it was created."""
    if dialect == "sqlite":
        return SQLITE
    return {name: f"type {kind}, enabled O in origin: {_FUNCTION_BODY}" for name, kind in _TGTYPES.items()}


def found(connection: Connection) -> dict[str, str]:
    """By name, the definitions of the triggers on `events` as they are now."""
    if connection.dialect.name == "sqlite":
        query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'")
        return {row.name: row.sql for row in connection.execute(query)}
    query = text(
        "SELECT tgname AS name, tgtype AS type, tgenabled AS enabled, prosrc AS body, "
        "current_setting('session_replication_role') AS fires_in FROM pg_trigger "
        "JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgrelid = 'events'::regclass AND NOT tgisinternal"
    )
    rows = connection.execute(query)
    return {row.name: f"type {row.type}, enabled {_text(row.enabled)} in {row.fires_in}: {row.body}" for row in rows}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
