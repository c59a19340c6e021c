"""`show`: one event whole: its fields, its exact bytes and hash, what it moved, what reverses and corrects it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from engine.reports.report import Block, Figures, Report, Table, shown
from ledger import store
from ledger.book import GENESIS_HASH
from ledger.database.connections import Database
from ledger.database.tables import events
from ledger.errors import Refusal, Refused
from ledger.events import Event
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent, decode_body, json_value

_DELTAS = ("net_deposits_delta", "basis_delta", "starting_value_delta", "unknown_fees", "unknown_bases")


@dataclass(frozen=True, slots=True)
class Shown:
    """An event and its place in the log.

    stored:        the event
    form:          its type and the version of the type that its bytes are in, such as `fill/2`
    previous_hash: its predecessor's, 32 bytes
    reversed_by:   the version that reverses it; None while it stands
    corrected_by:  the versions of the events that replace it; none while it stands
    """

    stored: StoredEvent
    form: str
    previous_hash: bytes
    reversed_by: int | None
    corrected_by: tuple[int, ...]


def find_shown(database: Database, book: str, wanted: int | str) -> Shown:
    """An event by version or key. Raises Refused `version_unknown`, `key_unknown`, `book_unknown`; StorageError."""
    with database.reading() as connection:
        _, head = store.require_book(connection, book)
        if isinstance(wanted, int):
            stored = store.find_event(connection, book, wanted) if 0 < wanted <= head.version else None
            if stored is None:
                expected = f"a version from 1 to {head.version}"
                raise Refused(Refusal.VERSION_UNKNOWN, "the book has no such version", expected=expected, actual=wanted)
        else:
            stored = store.find_keys(connection, book, [wanted]).get(wanted)
            if stored is None:
                refuse(Refusal.KEY_UNKNOWN, actual=wanted)
        before = store.find_event(connection, book, stored.version - 1)
        reversed_by = store.find_reversal(connection, book, stored.version)
        return Shown(
            stored=stored,
            form=f"{stored.type}/{decode_body(stored.body).type_version}",
            previous_hash=GENESIS_HASH if before is None else before.hash,
            reversed_by=reversed_by,
            corrected_by=() if reversed_by is None else tuple(_corrections(connection, stored, reversed_by)),
        )


def _corrections(connection: Connection, stored: StoredEvent, reversed_by: int) -> Iterator[int]:
    """The versions of the events that correct a reversed one; they come after its reversal, and no index has them."""
    # Within a text of JSON a quotation mark is escaped, so only the field itself looks like this.
    field = f'"corrects":{stored.version},'.encode()
    query = select(events.c.version).where(
        events.c.book == stored.book,
        events.c.version > reversed_by,
        events.c.type != "reversal",
        store.body_has(connection, field),
    )
    yield from connection.scalars(query.order_by(events.c.version))


def event_fields(event: Event) -> dict[str, Any]:
    """The event's own fields as JSON has them, without those that are null; the book is named beside it."""
    given = {name: json_value(field) for name, field in vars(event).items() if field is not None and name != "book"}
    return {"type": event.kind, **given}


def event_report(database: Database, book: str, wanted: int | str) -> Report:
    """An event whole. `wanted`: its version, or its key. Raises as `find_shown`."""
    found = find_shown(database, book, wanted)
    stored, fields = found.stored, event_fields(found.stored.event)
    document = {
        "book": stored.book,
        "version": stored.version,
        "type": stored.type,
        "form": found.form,
        "key": stored.key,
        "event_id": stored.event_id,
        "at": stored.at,
        "recorded_at": stored.recorded_at,
        "event": fields,
        "postings": [{"asset": posting.asset, "delta": posting.delta} for posting in stored.effects.postings],
        **{name: getattr(stored.effects, name) for name in _DELTAS},
        "reverses": stored.reverses,
        "reversed_by": found.reversed_by,
        "corrects": fields.get("corrects"),
        "corrected_by": found.corrected_by,
        "previous_hash": found.previous_hash,
        "hash": stored.hash,
        "body": stored.body.decode("utf-8"),
    }
    return Report(document, list(_body(found, fields)))


def _body(found: Shown, fields: dict[str, Any]) -> Iterator[Block]:
    stored = found.stored
    yield f"{found.form} at version {stored.version} of {stored.book}{_standing(found)}"
    own = [(name, _text(field)) for name, field in fields.items() if name not in ("type", "at")]
    times = [("at", stored.at), ("recorded_at", stored.recorded_at), ("event_id", stored.event_id)]
    yield Figures([*times, *own])
    moved = list(stored.effects.postings)
    yield Table(("moves", "by"), [(posting.asset, posting.delta) for posting in moved]) if moved else "moves no balance"
    deltas = [(name, getattr(stored.effects, name)) for name in _DELTAS if getattr(stored.effects, name)]
    if deltas:
        yield Figures(deltas)
    yield Figures(
        [("previous_hash", found.previous_hash.hex()), ("hash", stored.hash.hex()), ("body", stored.body.decode())]
    )


def _text(field: Any) -> str:
    """A field as people read it; what has parts, on one line."""
    if isinstance(field, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in field.items())
    return "; ".join(_text(part) for part in field) if isinstance(field, list) else shown(field)


def _standing(found: Shown) -> str:
    if found.reversed_by is None:
        return ""
    corrected = " and ".join(str(version) for version in found.corrected_by)
    return f", reversed by version {found.reversed_by}" + (f", corrected by version {corrected}" if corrected else "")
