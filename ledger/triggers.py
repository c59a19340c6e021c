"""The triggers by which the database itself refuses to change an event.

SQLite's `REPLACE` deletes without firing DELETE triggers, so an INSERT is refused too when its version, key or reversed
version is there. `ledger.integrity` reports a trigger that is missing or altered.
"""

from __future__ import annotations

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
