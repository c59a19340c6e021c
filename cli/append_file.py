"""`append --file`: all of a file in one transaction, or a stream in batches.

A file is read twice: first to validate every line, without any lock; then to append. So the memory stays flat, and the
write lock is held only while there is something to write. What cannot be read twice (standard input, a pipe) is copied
aside for that.
"""

from __future__ import annotations

import select
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from typing import IO, TYPE_CHECKING

from cli.options import Output, Target
from cli.output import emit, progress, shown
from cli.usage import WrongUsage
from engine.repeating import Rereadable
from ledger.errors import NetbasisError, Refusal, Refused
from ledger.events import Event
from ledger.parsing import LINE_BYTES, parse_lines

if TYPE_CHECKING:
    from engine.bookkeeper import Appended, Bookkeeper
    from ledger.book import Book

QUIET_S = 1.0
READ_BYTES = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some programs begin a UTF-8 file with it; it says nothing
Numbered = tuple[int, Event]


def append_file(target: Target, file: str, expected_version: int | None, output: Output) -> None:
    """Append a whole file in one transaction: all of its new events or none."""
    with _opened(file) as given, target.open("write") as keeper, _seekable(given) as source:
        book = keeper.view(keeper.resolve(target.book)).book
        with progress("validating") as on_progress:
            for count, _ in enumerate(_validated(_lines(source), book), 1):
                if on_progress is not None and count % 1000 == 0:
                    on_progress(count)
        with progress("appending") as on_progress, _naming_lines(source):
            events = _EventsOf(source, book, on_progress)
            appended = keeper.append_all(book.name, events, expected_version=expected_version)
    _answer(output, appended)


def append_stream(target: Target, file: str, batch: int, output: Output) -> None:
    """Append in batches of `batch` lines; what a quiet second leaves is a batch, too. Each batch is answered."""
    with _opened(file) as source, target.open("write") as keeper:
        book = keeper.view(keeper.resolve(target.book)).book
        committed = 0
        for lines in _batches(source, batch):
            if committed == 0:
                lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            try:
                numbered = list(_validated(iter(lines), book, start=committed + 1))
                _append_batch(keeper, book, numbered, output)
            except NetbasisError as error:
                if committed:
                    done = "line 1 is" if committed == 1 else f"lines 1 to {committed} are"
                    error.advice = f"{error.advice + '; ' if error.advice else ''}{done} committed"
                raise
            committed += len(lines)


def _append_batch(keeper: Bookkeeper, book: Book, numbered: list[Numbered], output: Output) -> None:
    if not numbered:
        return
    try:
        appended = keeper.append_all(book.name, [event for _, event in numbered])
    except NetbasisError as error:
        if error.index is not None:
            error.where = f"line {numbered[error.index][0]}"
        raise
    _answer(output, appended)


def _answer(output: Output, appended: Appended) -> None:
    head = appended.head
    document = {
        "appended": appended.appended,
        "existed": appended.existed,
        "version": head.version,
        "head": head.hash,
    }
    existed = f", {appended.existed} existed" if appended.existed else ""
    emit(output, document, [f"appended {appended.appended}{existed}; version {head.version}, head {shown(head.hash)}"])


def _validated(lines: Iterator[bytes], book: Book, *, start: int = 1) -> Iterator[Numbered]:
    """The events of lines, as far as that can be told without the log. Each must have a key, or a hash that gives it one."""
    from ledger.idempotency import has_key
    from ledger.rules import complete

    for number, event in parse_lines(lines, start=start):
        try:
            if not has_key(event):
                raise Refused(
                    Refusal.KEY_REQUIRED,
                    "an event of a file must have a key: it is what makes a repeated append safe",
                    expected='the field "key", such as "venue:trade_id"; a deposit or withdrawal may have "tx_hash" instead',
                    field="key",
                )
            complete(event, book)
        except Refused as refused:
            refused.where = f"line {number}"
            raise
        yield number, event


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """The lines, none of them read further than an event may be long."""
    line = source.readline(LINE_BYTES + 1).removeprefix(BYTE_ORDER_MARK)
    while line:
        yield line
        line = source.readline(LINE_BYTES + 1)


class _EventsOf(Rereadable):
    """A file's events, which can be gone through more than once."""

    def __init__(self, source: IO[bytes], book: Book, on_progress: Callable[[int], None] | None) -> None:
        self._source = source
        self._book = book
        self._on_progress = on_progress

    def __iter__(self) -> Iterator[Event]:
        self._source.seek(0)
        for count, (_, event) in enumerate(_validated(_lines(self._source), self._book), 1):
            yield event
            if self._on_progress is not None and count % 1000 == 0:
                self._on_progress(count)


@contextmanager
def _naming_lines(source: IO[bytes]) -> Iterator[None]:
    """Names the line of an event that the log refuses; the file is read once more for it, blank lines not counting."""
    try:
        yield
    except NetbasisError as error:
        if error.index is not None and error.where is None:
            source.seek(0)
            number, _ = next(islice(parse_lines(_lines(source)), error.index, None))
            error.where = f"line {number}"
        raise


def _opened(file: str) -> FileIO:
    """The file, a pipe or another file that is none on a disk included; `-` is standard input."""
    try:
        if file != "-":
            return FileIO(file)
        if sys.stdin is None:
            raise OSError("it is closed")
        return FileIO(sys.stdin.fileno(), closefd=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        name = "standard input" if file == "-" else repr(file)
        raise WrongUsage(f"cannot read {name}: {reason}") from error


@contextmanager
def _seekable(given: FileIO) -> Iterator[IO[bytes]]:
    """The file itself, where it can be read twice, else a copy of it. Standard input may have been read in part."""
    if given.closefd and given.seekable():
        with open(given.fileno(), "rb", closefd=False) as source:
            yield source
        return
    with tempfile.TemporaryFile() as copy:
        while arrived := _read(given, None):
            copy.write(arrived)
        copy.seek(0)
        yield copy


def _read(source: FileIO, timeout_s: float | None) -> bytes | None:
    """What has arrived, at the end b""; None when nothing did for that long."""
    while select.select([source], [], [], timeout_s)[0]:
        arrived: bytes | None = source.read(READ_BYTES)
        if arrived is not None:  # a non-blocking stream that was not ready after all
            return arrived
    return None


def _batches(source: FileIO, size: int) -> Iterator[list[bytes]]:
    """Lists of `size` lines, or of fewer after a second without input and at the end."""
    lines: list[bytes] = []
    rest = b""
    while True:
        arrived = _read(source, QUIET_S if lines else None)
        if arrived is None:
            yield lines
            lines = []
            continue
        *whole, rest = (rest + arrived).split(b"\n")
        lines += whole
        if rest and (not arrived or len(rest) > LINE_BYTES):  # a last line without its end, or one to be refused
            lines.append(rest)
            rest = b""
        while len(lines) >= size:
            yield lines[:size]
            lines = lines[size:]
        if not arrived:
            break
    if lines:
        yield lines
