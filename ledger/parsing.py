"""Reading one line of NDJSON as one event, strictly.

JSON readers are too lenient for money: of two equal names they keep the last, and they read `1.10` as a binary float. Here
a duplicate name is refused, and a number without quotes reaches the fields as a `BareNumber`, which every amount refuses,
showing the digits that were typed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import NoReturn

from ledger.errors import Refusal, Refused
from ledger.events import Event, event_from
from ledger.refusal_texts import refuse

LINE_BYTES = 1 << 20
_SAFE_DIGITS = 15


class BareNumber:
    """A JSON number without quotes, kept as it was typed for the error message."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class BareWholeNumber(int):
    """A small integer without quotes: accepted as a version, but not as an amount."""


def _whole_number(text: str) -> BareWholeNumber | BareNumber:
    return BareWholeNumber(text) if len(text) <= _SAFE_DIGITS else BareNumber(text)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name in counts if counts[name] > 1)
        refuse(Refusal.FIELD_DUPLICATE, actual=twice)
    return fields


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole_number, parse_float=BareNumber, parse_constant=BareNumber
)


def parse_line(line: bytes) -> Event:
    """The event on one line of NDJSON (UTF-8).

    Raises Refused: `type_unknown`, whatever the event's fields raise, and as `fields_of_line`.
    """
    try:
        return event_from(fields_of_line(line))
    except RecursionError as error:
        raise nested_too_deeply() from error


def fields_of_line(line: bytes) -> dict[str, object]:
    """The fields of the object on one line of NDJSON (UTF-8).

    Raises Refused: `line_too_long` (more than 1 MiB), `not_json`, `field_duplicate`, `not_an_object`.
    """
    if len(line) > LINE_BYTES:
        refuse(Refusal.LINE_TOO_LONG, actual=f"{len(line)} bytes or more", most=LINE_BYTES)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(Refusal.NOT_JSON, f"not UTF-8 at byte {error.start + 1}", expected="UTF-8 text") from error
    fields = parse_json(text)
    if not isinstance(fields, dict):
        raise Refused(
            Refusal.NOT_AN_OBJECT,
            "the line is JSON, but not an object",
            expected='an object such as {"type": "fill", …}',
            actual=type(fields).__name__,
        )
    return fields


def parse_json(text: str) -> object:
    """A JSON value. Small integers become `BareWholeNumber`, all other numbers `BareNumber`.

    Raises Refused: `not_json`, `field_duplicate`.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        _refuse_json(error)
    except RecursionError as error:
        raise nested_too_deeply() from error


def nested_too_deeply() -> Refused:
    """The refusal of a line whose brackets are nested too deeply to be read."""
    return Refused(Refusal.NOT_JSON, "nested too deeply", expected="one flat JSON object")


def _refuse_json(error: json.JSONDecodeError) -> NoReturn:
    cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
    raise Refused(
        Refusal.NOT_JSON,
        f"not JSON: {'the line ends too early' if cut else error.msg} (column {error.colno})",
        expected="one JSON object on the line",
        actual=error.doc.strip(),
        advice="was the file cut off, or is it still being written?" if cut else None,
    ) from error


def parse_lines(lines: Iterator[bytes], *, start: int = 1) -> Iterator[tuple[int, Event]]:
    """The line number and event of each line that is not blank. Raises Refused with the line in `where`."""
    for number, line in enumerate(lines, start):
        if not line.strip():
            continue
        try:
            yield number, parse_line(line)
        except Refused as refused:
            refused.where = f"line {number}"
            raise
