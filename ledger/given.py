"""An event as a line of a file gives it: it may name another event by its key, since it cannot know that one's version.

    {"type":"mark","key":"m1",…}
    {"type":"reversal","reverses_key":"m1","key":"r1"}          reverses the mark, whatever version it gets
    {"type":"mark","corrects_key":"m1","key":"m1#2",…}          replaces it

The key is looked up when the line's turn comes: among the lines before it, and in the book. So a file holds in any book,
and what `netbasis export ndjson` writes is what `netbasis append --file` reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from ledger.book import TERMS
from ledger.errors import Refusal, Refused
from ledger.events import Event, Key, Opened, Reversal, event_from
from ledger.idempotency import EventLookup
from ledger.parsing import BareWholeNumber, fields_of_line, nested_too_deeply
from ledger.refusal_texts import refuse
from ledger.texts import KEY_CHARACTERS, parse_text

REVERSES_KEY, CORRECTS_KEY = "reverses_key", "corrects_key"
_NAMED_BY = {REVERSES_KEY: "reverses", CORRECTS_KEY: "corrects"}
# Stands in the event for a version that is not known yet.
_SOME_VERSION = BareWholeNumber(1)
_OPENING = 1


@dataclass(frozen=True, slots=True)
class FileEvent:
    """An event of a file.

    event:          as it stands there, with some version in place of each that is named by a key
    reverses:       the key of the event that it reverses; None where it names a version, or reverses none
    corrects:       the key of the event that it replaces; None where it names a version, or corrects none
    is_taken_back:  a later line of the same file reverses it, so its `at` is not judged
    """

    event: Event
    reverses: str | None = None
    corrects: str | None = None
    is_taken_back: bool = False

    @property
    def keys(self) -> list[str]:
        """The keys that it has or names."""
        return [key for key in (self.event.key, self.reverses, self.corrects) if key is not None]

    def resolved(self, log: EventLookup) -> Event:
        """The event with the versions of the events that it names. Of the opening, only the terms are left to compare.

        Raises Refused `key_unknown` where neither the file has the key before this line, nor the book.
        """
        if isinstance(self.event, Opened):
            return _terms(self.event, log)
        named = ((REVERSES_KEY, self.reverses), (CORRECTS_KEY, self.corrects))
        versions = {_NAMED_BY[field]: _version_of(key, field, log) for field, key in named if key is not None}
        return self.event.model_copy(update=versions) if versions else self.event


GivenEvent: TypeAlias = Event | FileEvent


def event_of(given: GivenEvent) -> Event:
    """The event itself; of a file's event, with some version in place of each that is named by a key."""
    return given.event if isinstance(given, FileEvent) else given


def keys_of(given: GivenEvent) -> list[str]:
    """The keys that an event has or names."""
    if isinstance(given, FileEvent):
        return given.keys
    return [] if given.key is None else [given.key]


def _terms(opened: Opened, log: EventLookup) -> Opened:
    """The opening as the book's own, except for the terms that the file states."""
    there = log.find(_OPENING)
    stated = opened.model_fields_set & {*TERMS, "type", "book"}
    same = opened.model_copy(update={"key": opened.key if there is None else there.key})
    same.model_fields_set.intersection_update(stated)
    return same


def _version_of(key: str, field: str, log: EventLookup) -> int:
    there = log.find_key(key)
    if there is None:
        refuse(Refusal.KEY_UNKNOWN, field=field, actual=key)
    return there.version


def parse_file_line(line: bytes) -> FileEvent:
    """The event on one line of a file. Raises Refused as `ledger.parsing.parse_line`."""
    fields = fields_of_line(line)
    named = {field: _named(fields, field) for field in _names_of(fields)}
    try:
        event = event_from(fields)
    except RecursionError as error:
        raise nested_too_deeply() from error
    return FileEvent(event, named.get(REVERSES_KEY), named.get(CORRECTS_KEY))


def _names_of(fields: dict[str, object]) -> list[str]:
    """The fields of a line that name an event by its key; only a reversal reverses."""
    known = (REVERSES_KEY, CORRECTS_KEY) if fields.get("type") == "reversal" else (CORRECTS_KEY,)
    return [field for field in known if fields.get(field) is not None]


def _named(fields: dict[str, object], field: str) -> Key:
    """Takes the key out of the fields, and puts some version in its place. Raises Refused."""
    by_version = _NAMED_BY[field]
    if fields.get(by_version) is not None:
        refuse(Refusal.FIELD_DUPLICATE, field=field, actual=f"{by_version} and {field}")
    try:
        key = parse_text(fields.pop(field), characters=KEY_CHARACTERS)
    except Refused as refused:
        refused.what = f"{field}: {refused.what}"
        refused.field = field
        raise
    fields[by_version] = _SOME_VERSION
    return key


def taken_back(event: FileEvent, keys: frozenset[str]) -> FileEvent:
    """The event, marked when one of these keys, which the file reverses, is its own."""
    return replace(event, is_taken_back=True) if event.event.key in keys else event


def key_that_is_reversed(line: bytes) -> str | None:
    """The key that a line of a file reverses; None for any other line, and for one that is refused."""
    if REVERSES_KEY.encode() not in line:
        return None
    try:
        found = parse_file_line(line)
    except Refused:
        return None
    return found.reverses if isinstance(found.event, Reversal) else None
