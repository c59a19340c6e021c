"""Values of JSON with exact numbers, and what JSON readers let pass: names given twice, NaN, numbers out of range."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

_INT_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Element:
    """A JSON value.

    line:   the line that it begins on, from 1
    value:  objects as dict, arrays as list, numbers as int or Decimal
    path:   the names of the objects and of the list around it, where it was taken out of an envelope
    """

    line: int
    value: Any
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MalformedJson:
    """Text that is not a sound JSON value.

    line:    the line that it begins on
    reason:  why, in a sentence
    text:    the text, shortened
    """

    line: int
    reason: str
    text: str


class Faults:
    """What the value that is being decoded has that JSON readers let pass."""

    def __init__(self) -> None:
        self.first: str | None = None

    def add(self, what: str) -> None:
        self.first = self.first or what

    def take(self) -> str | None:
        found, self.first = self.first, None
        return found


def _number(text: str, faults: Faults) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what a Decimal can have
        faults.add(f"the number {text[:40]} is out of range")
        return Decimal(0)


def decoder_of(faults: Faults) -> json.JSONDecoder:
    """A decoder of exact numbers that tells `faults` what is wrong."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            faults.add(f"the name {twice!r} is given twice in one object")
        return found

    def constant(text: str) -> None:
        faults.add(f"{text} is no number")

    def whole(text: str) -> int | Decimal:
        return int(text) if len(text) <= _INT_DIGITS else _number(text, faults)

    return json.JSONDecoder(
        object_pairs_hook=unique,
        parse_float=lambda text: _number(text, faults),
        parse_int=whole,
        parse_constant=constant,
    )
