"""Printing: JSON, NDJSON and CSV for programs; aligned text for people, in which no number is ever cut.

Texts that the user chose are never interpreted. Invisible characters and those that control a terminal are shown escaped,
and in CSV a text that a spreadsheet would take for a formula gets an apostrophe. Numbers are unchanged. JSON and NDJSON have
every text as it is. Output for programs is UTF-8 whatever the locale; text is in the terminal's encoding.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from io import TextIOWrapper
from itertools import islice
from typing import Any

import orjson
import typer

from cli.shared.options import Output
from engine.reports import report
from engine.reports.report import Figures, Report, Table
from ledger.amounts import amount_text
from ledger.progress import OnProgress
from ledger.times import time_text

ROWS_AT_ONCE = 1000
_SIGNED = re.compile(r"[+-]?\d+\.\d+", re.ASCII)
# Control characters; characters that change the direction of text; line and paragraph separators; lone surrogates; and
# invisible characters, which make two texts look the same: Unicode's "default ignorable" and its format characters.
_NOT_TO_BE_SHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
# Characters with which a formula begins in a spreadsheet, also after blanks; some accept the full-width forms as well.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def jsonable(value: Any) -> Any:
    """A value as JSON has it: decimals and times as canonical texts, hashes in hex."""
    if isinstance(value, Decimal):
        return amount_text(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def json_text(value: Any) -> str:
    """A value as one line of JSON. A lone surrogate, as in a path that is not UTF-8, is escaped: `\\udcff`."""
    ready = jsonable(value)
    try:
        return orjson.dumps(ready).decode()
    except TypeError:
        return orjson.dumps(_whole(ready)).decode()


def _whole(value: Any) -> Any:
    """A value of `jsonable` with its lone surrogates escaped, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return _SURROGATE.sub(_escaped, value)
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def shown(value: Any) -> str:
    """A value as people read it, harmless; see `engine.reports.report.shown`."""
    return harmless(report.shown(value))


def harmless(text: str) -> str:
    """The text with invisible characters and those that control a terminal escaped, as `\\x1b` or `\\u200b`."""
    return _NOT_TO_BE_SHOWN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def emit(
    output: Output,
    document: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    text: Iterable[str],
    table: Table | None = None,
    csv_table: Table | None = None,
) -> None:
    """Print a result in the given format.

    `document`: for JSON. `text`: the lines for people. `table`: the rows for NDJSON and CSV; without it, the document is the
    only row. `csv_table`: replaces `table` for CSV.
    """
    rows = table or _as_row(document)
    match output:
        case Output.JSON:
            print_for_programs([json_text(document)])
        case Output.NDJSON:
            print_for_programs(_ndjson(rows))
        case Output.CSV:
            print_for_programs(csv_lines(csv_table or rows))
        case Output.TEXT:
            # Escaped here, since the code that made a line may have forgotten that a book, an asset or a path is user input.
            print_lines(line if isinstance(line, _Header) else harmless(line) for line in text)


def _as_row(document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Table:
    assert isinstance(document, Mapping)  # several have rows
    return Table(tuple(document), [tuple(document.values())])


def emit_report(output: Output, found: Report) -> None:
    """Print a report in the form that was asked for."""
    emit(output, found.document, _report_lines(found), found.rows, found.csv_rows)
    if output is Output.TEXT:
        for note in found.notes:
            print_note(note)


def print_note(note: str) -> None:
    """Print a note to stderr, made harmless."""
    typer.echo(f"note: {harmless(note)}", err=True)


def _report_lines(found: Report) -> Iterator[str]:
    for block in found.body:
        match block:
            case Table():
                yield from text_table(block)
            case Figures():
                yield from pairs(block.items)
            case _:
                yield block


def emit_stream(output: Output, name: str, found: Report) -> None:
    """Print a report of any length; as JSON its rows stand in the document under `name`. Memory stays flat."""
    if output is Output.JSON:
        assert found.rows is not None
        opening = json_text(found.document).removesuffix("}")
        print_for_programs([f'{opening},"{name}":['], end="")
        rows = _ndjson(found.rows)
        print_for_programs((f"{',' if index else ''}{row}" for index, row in enumerate(rows)), end="")
        print_for_programs(["]}"])
    else:
        emit_report(output, found)


def print_for_programs(lines: Iterable[str], end: str = "\n") -> None:
    """Print lines for programs: in UTF-8 whatever the locale, and with unchanged line endings."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    print_lines(lines, end)


def print_lines(lines: Iterable[str], end: str = "\n") -> None:
    """Print lines to stdout. A closed pipe is not an error, and does not change what the command does."""
    try:
        sys.stdout.writelines(f"{line}{end}" for line in lines)
        sys.stdout.flush()
    except BrokenPipeError:
        lose_answers()
        _discard_output()
    except OSError:
        _discard_output()
        raise


_lost = False


def lose_answers() -> None:
    """Remember that printed output did not reach a reader."""
    global _lost
    _lost = True


def answer_was_lost() -> bool:
    """Whether printed output was lost since the last call."""
    global _lost
    lost, _lost = _lost, False
    return lost


def _discard_output() -> None:
    """Redirect stdout to nowhere, so that Python does not fail when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ndjson(table: Table) -> Iterator[str]:
    return (json_text(dict(zip(table.columns, row, strict=True))) for row in table.rows)


class _Line:
    """A file for csv.writer that keeps only the last line written."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def csv_lines(table: Table) -> Iterator[str]:
    """A table as lines of CSV, the columns' names first."""
    line = _Line()
    writer = csv.writer(line, lineterminator="")
    writer.writerow(table.columns)
    yield line.text
    for row in table.rows:
        writer.writerow([_csv_cell(cell) for cell in row])
        yield line.text


def _csv_cell(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        if _NUMBER.fullmatch(cell):  # a rate is a text of six digits, and may be negative
            return cell
        return f"'{harmless(cell)}" if cell.lstrip().startswith(_FORMULA) else harmless(cell)
    value = jsonable(cell)
    if isinstance(value, list | dict):
        return _NOT_TO_BE_SHOWN.sub(lambda match: json.dumps(match[0])[1:-1], orjson.dumps(_whole(value)).decode())
    return str(value)


class _Header(str):
    """A line that controls the terminal on purpose: the column names in bold."""

    __slots__ = ()


def text_table(table: Table) -> Iterator[str]:
    """The lines of an aligned table: numbers to the right, texts to the left, as wide as needed."""
    widths = [len(name) for name in table.columns]
    right = [False] * len(widths)
    rows = iter(table.rows)
    is_first = True
    # A stream is aligned a thousand rows at a time: columns may get wider from chunk to chunk, but never narrower.
    while (chunk := list(islice(rows, ROWS_AT_ONCE))) or is_first:
        cells = [[shown(cell) for cell in row] for row in chunk]
        widths = [max(width, *(len(row[i]) for row in cells)) if cells else width for i, width in enumerate(widths)]
        right = [was or any(_is_number(row[i]) for row in chunk) for i, was in enumerate(right)]
        if is_first:
            header = _line(table.columns, widths, right)
            yield _Header(typer.style(header, bold=True)) if sys.stdout.isatty() else header
        yield from (_line(row, widths, right) for row in cells)
        is_first = False


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Decimal | int) or (isinstance(cell, str) and _SIGNED.fullmatch(cell) is not None)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = (
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(parts).rstrip()


def pairs(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Lines of names and values; numbers are aligned at the decimal point."""
    shown_items = [(name, value, shown(value)) for name, value in items]
    width = max(len(name) for name, _, _ in shown_items)
    whole = max((text.find(".") for _, value, text in shown_items if isinstance(value, Decimal)), default=0)
    for name, value, text in shown_items:
        indent = " " * (whole - text.find(".")) if isinstance(value, Decimal) else ""
        yield f"{name.ljust(width)}  {indent}{text}"


@contextmanager
def progress(what: str) -> Iterator[OnProgress | None]:
    """A callback that shows the number of events done so far on stderr; None when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} events"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)
