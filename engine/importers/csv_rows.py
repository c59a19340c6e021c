"""Rows of CSV with their places, and texts of which the beginning was read already to see what they are."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import IO, Any

from engine.importers.items import SHOWN_CHARACTERS, Origin, QuarantinedRow

DELIMITERS = ",;\t"
# How many lines before the header a file may have, such as a title.
PREAMBLE_LINES = 12


def csv_rows(reader: Any, file: str, before: int = 0) -> Iterator[tuple[Origin, list[str]] | QuarantinedRow]:
    """The cells of each row of a `csv.reader`, empty rows included. `before`: how many lines precede those of the reader."""
    while True:
        start = before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield QuarantinedRow(Origin(file, f"line {start}"), f"not CSV: {error}")
            continue
        if cells is None:
            return
        yield Origin(file, f"line {before + reader.line_num}"), cells


def of_other_width(origin: Origin, cells: Sequence[str], header: Sequence[str], delimiter: str = ",") -> QuarantinedRow:
    """A row that has not as many cells as the header."""
    text = delimiter.join(cells)[:SHOWN_CHARACTERS]
    return QuarantinedRow(origin, f"the row has {len(cells)} cells, the header {len(header)}", text)


class RewoundText:
    """A text of which the beginning, of one line at most, was read already."""

    def __init__(self, beginning: str, rest: IO[str]) -> None:
        self._beginning = beginning
        self._rest = rest

    def readline(self, most: int = -1) -> str:
        """The next line, or as much of it as `most` characters."""
        if not self._beginning:
            return self._rest.readline(most)
        found = self._beginning if most < 0 else self._beginning[:most]
        self._beginning = self._beginning[len(found) :]
        if found.endswith("\n") or len(found) == most:
            return found
        return found + self._rest.readline(most if most < 0 else most - len(found))

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")
