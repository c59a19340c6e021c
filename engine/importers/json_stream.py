"""JSON of any length, value by value: a large array, NDJSON, or values one after the other.

Numbers are exact: a whole number is an int, any other a Decimal, never a float. A name that is given twice in an object, and
`NaN` or `Infinity`, make the value malformed; the values around it are read all the same. In NDJSON a line that is not JSON
is malformed by itself. In an array or in values over several lines, what follows a fault cannot be told apart, so the
reading ends there.

    for found in read_json(text):
        if isinstance(found, MalformedJson): …
        else: found.line, found.value
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator
from typing import IO, Any

from engine.importers.items import SHOWN_CHARACTERS
from engine.importers.json_values import Element, Faults, MalformedJson, decoder_of

CHUNK_CHARACTERS = 1 << 16
# A single value that is larger than this is taken for malformed: reading on would fill the memory.
VALUE_CHARACTERS = 1 << 28
# An envelope names a wanted list among so many characters, and has it in no more objects than this.
HEAD_CHARACTERS = 8000
DEEPEST = 4
_BLANKS = " \t\r\n"
_CLOSERS = {"{": "}", "[": "]"}


def read_json(text: IO[str], lists: Collection[str] = ()) -> Iterator[Element | MalformedJson]:
    """The values of a text, in order: the items of an array, or values one after the other, such as one a line.

    `lists`: names of lists in an envelope, such as `{"strategy": {"S": {"trades": […]}}}`, whose items are yielded in its
    place, each with its path.

    Memory stays flat as long as each value is small. A value is yielded as soon as its line, or its piece of the array, has
    arrived.
    """
    return _Reader(text, lists).values()


# Whether all of the items have been read; not after a fault whose end cannot be found.
Whole = Generator[Element | MalformedJson, None, bool]


class _Reader:
    def __init__(self, text: IO[str], lists: Collection[str]) -> None:
        self._text = text
        self._buffer = ""
        self._place = 0
        self._line = 1
        self._counted = 0  # up to which place in the buffer lines were counted
        self._is_at_end = False
        self._faults = Faults()
        self._decoder = decoder_of(self._faults)
        self._lists = lists
        self._taken = 0  # how many of those lists were taken out of their envelope
        names = "|".join(map(re.escape, lists))
        self._enveloped = re.compile(rf'\{{.{{0,{HEAD_CHARACTERS}}}?"(?:{names})"\s*:\s*\[', re.DOTALL)

    def values(self) -> Iterator[Element | MalformedJson]:
        first = self._next_character()
        if first == "[":
            line = self._line_number()
            self._place += 1
            if (yield from self._items(())):
                # Several arrays may follow each other; where the first is a line, as in a stream of lists, each is one.
                yield from self._lines() if self._line_number() == line else self.values()
        elif first == "{" and self._is_envelope():
            line, taken = self._line_number(), self._taken
            whole = yield from self._envelope(())
            if whole is not None:
                if self._taken == taken:  # it was no envelope
                    yield Element(line, whole)
                yield from self.values()
        elif first:
            yield from self._sequence()

    def _is_envelope(self) -> bool:
        """Whether an object names a wanted list near its beginning."""
        if not self._lists:
            return False
        while len(self._buffer) - self._place < HEAD_CHARACTERS and not self._is_at_end:
            self._read_more()
        return self._enveloped.match(self._buffer, self._place) is not None

    def _items(self, path: tuple[str, ...]) -> Whole:
        """The items of an array behind its bracket."""
        if self._next_character() == "]":
            self._place += 1
            return True
        while True:
            found = self._value()
            yield Element(found.line, found.value, path) if isinstance(found, Element) else found
            if isinstance(found, MalformedJson) and not self._is_past(found):
                return False
            separator = self._next_character()
            self._place += 1
            if separator == "]":
                return True
            if separator != ",":
                self._place -= 1
                yield self._broken("the array breaks off here" if separator == "" else "expected , or ] here")
                return False

    def _envelope(self, path: tuple[str, ...]) -> Generator[Element | MalformedJson, None, dict[str, Any] | None]:
        """The items of the wanted lists in an object, and in the objects within it.

        Returns what else it has; None after a fault whose end cannot be found.
        """
        own: dict[str, Any] = {}
        self._place += 1
        separator = self._next_character()
        while separator != "}":
            name = self._value() if self._next_character() == '"' else self._broken("expected a name here")
            if isinstance(name, Element) and self._next_character() != ":":
                name = self._broken("expected : here")
            if isinstance(name, MalformedJson):
                yield name
                return None
            self._place += 1
            if not (yield from self._member(name.value, path, own)):
                return None
            separator = self._next_character()
            if separator not in ("}", ","):
                yield self._broken("the object breaks off here" if separator == "" else "expected , or } here")
                return None
            self._place += separator == ","
        self._place += 1
        return own

    def _member(self, name: str, path: tuple[str, ...], own: dict[str, Any]) -> Whole:
        first = self._next_character()
        if first == "[" and name in self._lists:
            self._place += 1
            self._taken += 1
            return (yield from self._items((*path, name)))
        if first == "{" and len(path) < DEEPEST:
            inner = yield from self._envelope((*path, name))
            own[name] = inner
            return inner is not None
        found = self._value()
        if isinstance(found, MalformedJson):
            yield found
            return self._is_past(found)
        own[name] = found.value
        return True

    def _sequence(self) -> Iterator[Element | MalformedJson]:
        """Values one after the other. Where the first line is a whole value, each line is taken for itself."""
        self._read_line()
        end = self._end_of_line()
        line = self._buffer[self._place : end]
        if self._whole_values(line) is None:
            while self._next_character():
                found = self._value()
                yield found
                if isinstance(found, MalformedJson) and not self._is_past(found):
                    return
            return
        yield from self._lines(are_flat=False)

    def _lines(self, *, are_flat: bool = True) -> Iterator[Element | MalformedJson]:
        """The values of each line; `are_flat`: of a list its items."""
        while self._next_character():
            self._read_line()
            for found in self._take_line():
                if are_flat and isinstance(found, Element) and isinstance(found.value, list):
                    yield from (Element(found.line, each) for each in found.value)
                else:
                    yield found

    def _take_line(self) -> Iterator[Element | MalformedJson]:
        end = self._end_of_line()
        line = self._buffer[self._place : end]
        number = self._line_number()
        found = self._whole_values(line)
        self._place = end
        if found is None:
            yield MalformedJson(number, "not JSON: a line must be a whole value", line[:SHOWN_CHARACTERS].strip())
            return
        for value, fault in found:
            shown = line[:SHOWN_CHARACTERS].strip()
            yield Element(number, value) if fault is None else MalformedJson(number, fault, shown)

    def _whole_values(self, line: str) -> list[tuple[Any, str | None]] | None:
        """The values on a line, each with what is wrong with it; None when the line is not made of whole values."""
        found, place = [], 0
        stripped = line.rstrip(_BLANKS)
        while place < len(stripped):
            try:
                value, place = self._decoder.raw_decode(stripped, place)
            except (ValueError, RecursionError):
                self._faults.take()
                return None
            found.append((value, self._faults.take()))
            while place < len(stripped) and stripped[place] in _BLANKS:
                place += 1
        return found

    def _value(self) -> Element | MalformedJson:
        """The value at the present place; the place moves behind it, unless its end cannot be found."""
        closer = _CLOSERS.get(self._next_character(), "")
        indent = self._place - self._buffer.rfind("\n", 0, self._place) - 1
        number = self._line_number()
        while True:
            self._faults.take()
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._place)
            except RecursionError:
                return self._broken("nested too deeply")
            except ValueError as error:
                if self._is_at_end or len(self._buffer) - self._place > VALUE_CHARACTERS:
                    return self._broken(f"not JSON: {getattr(error, 'msg', error)}")
                self._read_more(closer, indent)
                continue
            if end == len(self._buffer) and not self._is_at_end and not isinstance(value, dict | list | str):
                self._read_more()  # a number may go on
                continue
            fault = self._faults.take()
            shown = self._buffer[self._place : min(end, self._place + SHOWN_CHARACTERS)]
            self._place = end
            return Element(number, value) if fault is None else MalformedJson(number, fault, shown)

    def _broken(self, reason: str) -> MalformedJson:
        shown = self._buffer[self._place : self._place + SHOWN_CHARACTERS]
        found = MalformedJson(self._line_number(), f"{reason}; the file is not read further", shown)
        self._place = len(self._buffer)
        self._is_at_end = True
        return found

    def _is_past(self, found: MalformedJson) -> bool:
        return not found.reason.endswith("is not read further")

    def _next_character(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self._place < len(self._buffer):
                if self._buffer[self._place] not in _BLANKS:
                    return self._buffer[self._place]
                self._place += 1
            if self._is_at_end:
                return ""
            self._read_more()

    def _end_of_line(self) -> int:
        end = self._buffer.find("\n", self._place)
        return len(self._buffer) if end < 0 else end + 1

    def _read_line(self) -> None:
        """Read on until the line that begins at the present place is in the buffer."""
        while "\n" not in self._buffer[self._place :] and not self._is_at_end:
            if len(self._buffer) - self._place > VALUE_CHARACTERS:
                return
            self._read_more()

    def _read_more(self, closer: str = "", indent: int = 0) -> None:
        """Read a line, or a piece of one.

        `closer`, `indent`: the bracket at which the value ends, and how far the line is indented that it begins on; it is
        not worth decoding the value before a line that may end it. A stream gives a line at a time and must not be kept
        waiting for the next one; but the longer what is unread is, the more is read at once, or a long value would be
        decoded again for each piece.
        """
        self._line_number()
        self._buffer = self._buffer[self._place :]
        self._counted = self._place = 0
        pieces, size, wanted = [], 0, len(self._buffer) if len(self._buffer) >= CHUNK_CHARACTERS else 0
        while piece := self._text.readline(CHUNK_CHARACTERS):
            pieces.append(piece)
            size += len(piece)
            if size >= wanted and (_may_end(piece, closer, indent) or size >= CHUNK_CHARACTERS):
                break
        else:
            self._is_at_end = True
        self._buffer += "".join(pieces)

    def _line_number(self) -> int:
        self._line += self._buffer.count("\n", self._counted, self._place)
        self._counted = self._place
        return self._line


def _may_end(piece: str, closer: str, indent: int) -> bool:
    """Whether a value may end in a piece; not at a bracket alone on its line that is indented further than the value."""
    is_inner = piece.strip(_BLANKS).rstrip(",") == closer and len(piece) - len(piece.lstrip(_BLANKS)) > indent
    return closer in piece and not is_inner
