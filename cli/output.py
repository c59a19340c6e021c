"""Printing: JSON for programs; aligned text for people, in which no number is ever cut."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import typer

from cli.options import Output
from ledger.amounts import amount_text, shown_amount
from ledger.times import time_text

NOTHING = "-"
_SIGNED = re.compile(r"[+-]\d+\.\d+", re.ASCII)


def jsonable(value: Any) -> Any:
    """A value as JSON carries it: decimals and times as canonical texts, hashes in hex."""
    if isinstance(value, Decimal):
        return amount_text(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def signed(difference: Decimal) -> str:
    """A difference as people read it, with its sign: `+50.00`, `-19.12`, and 0 as `0.00`."""
    return f"{'+' if difference > 0 else ''}{shown_amount(difference)}"


def counted(count: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def shown(value: Any) -> str:
    """A value as people read it: all digits, at least two decimals; `-` for nothing."""
    if value is None:
        return NOTHING
    if isinstance(value, Decimal):
        return shown_amount(value)
    if isinstance(value, datetime):
        text = time_text(value)
        return text.replace(".000000Z", "Z")
    return value.hex()[:12] if isinstance(value, bytes) else str(value)


def emit(output: Output, document: dict[str, Any], text: Iterable[str]) -> None:
    """Print a result in the form that was asked for. A reader that went away is no error."""
    try:
        if output is Output.JSON:
            sys.stdout.write(orjson.dumps(jsonable(document)).decode() + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Lines of an aligned table: numbers to the right, texts to the left, as wide as they need to be."""
    body = [list(row) for row in rows]
    cells = [[shown(cell) for cell in row] for row in body]
    widths = [max(len(name), *(len(row[i]) for row in cells)) if cells else len(name) for i, name in enumerate(header)]
    right = [any(_is_number(row[i]) for row in body) for i in range(len(header))]
    yield typer.style(_line(header, widths, right), bold=True) if sys.stdout.isatty() else _line(header, widths, right)
    for row in cells:
        yield _line(row, widths, right)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Decimal | int) or (isinstance(cell, str) and _SIGNED.fullmatch(cell) is not None)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = (
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(parts).rstrip()


def pairs(items: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Lines of names and values, the values aligned at the point where they are numbers."""
    shown_items = [(name, value, shown(value)) for name, value in items]
    width = max(len(name) for name, _, _ in shown_items)
    whole = max((text.find(".") for _, value, text in shown_items if isinstance(value, Decimal)), default=0)
    for name, value, text in shown_items:
        indent = " " * (whole - text.find(".")) if isinstance(value, Decimal) else ""
        yield f"{name.ljust(width)}  {indent}{text}"


@contextmanager
def progress(what: str) -> Iterator[Any]:
    """A callback that takes the number of events done so far, and shows it on stderr when that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} events"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, completed=done)
