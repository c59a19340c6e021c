"""`append --file`: all of a file in one transaction, or a stream in batches.

A file is read twice: first to validate every line, without any lock; then to append. So the memory stays flat, and the
write lock is held only while there is something to write. Standard input is copied aside for that.
"""

from __future__ import annotations

import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cli.options import Output, Target
from cli.output import emit, progress, shown
from ledger.errors import NetbasisError, Refusal, Refused
from ledger.events import Event
from ledger.parsing import LINE_BYTES, parse_lines

if TYPE_CHECKING:
    from engine.bookkeeper import Appended, Bookkeeper
    from ledger.book import Book

QUIET_S = 1.0
Numbered = tuple[int, Event]


def append_file(target: Target, file: str, expected_version: int | None, output: Output) -> None:
    """Append a whole file in one transaction: all of its new events or none."""
    with target.open("write") as keeper, _seekable(file) as source:
        book = keeper.view(keeper.resolve(target.book)).book
        with progress("validating") as on_progress:
            for count, _ in enumerate(_validated(_lines(source), book), 1):
                if on_progress is not None and count % 1000 == 0:
                    on_progress(count)
        source.seek(0)
        with progress("appending") as on_progress, _naming_lines(source):
            events = (event for _, event in _validated(_lines(source), book))
            appended = keeper.append_all(book.name, _counted(events, on_progress), expected_version=expected_version)
    _answer(output, appended)


def append_stream(target: Target, file: str, batch: int, output: Output) -> None:
    """Append in batches of `batch` lines; what a quiet second leaves is a batch, too. Each batch is answered."""
    with target.open("write") as keeper, ExitStack() as stack:
        book = keeper.view(keeper.resolve(target.book)).book
        source = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
        committed = 0
        for lines in _batches(_lines(source), batch):
            try:
                numbered = list(_validated(iter(lines), book, start=committed + 1))
                _append_batch(keeper, book, numbered, output)
            except NetbasisError as error:
                if committed:
                    error.advice = f"{error.advice + '; ' if error.advice else ''}lines 1 to {committed} are committed"
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
    """The events of lines, as far as that can be told without the log. Every line must have a key."""
    from ledger.rules import complete

    for number, event in parse_lines(lines, start=start):
        try:
            if event.key is None:
                raise Refused(
                    Refusal.KEY_REQUIRED,
                    "an event of a file must have a key: it is what makes a repeated append safe",
                    expected='the field "key", such as "venue:trade_id"',
                    field="key",
                )
            complete(event, book)
        except Refused as refused:
            refused.where = f"line {number}"
            raise
        yield number, event


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """The lines, none of them read further than an event may be long."""
    while line := source.readline(LINE_BYTES + 1):
        yield line


def _counted(events: Iterable[Event], on_progress: object) -> Iterator[Event]:
    for count, event in enumerate(events, 1):
        yield event
        if callable(on_progress) and count % 1000 == 0:
            on_progress(count)


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


@contextmanager
def _seekable(file: str) -> Iterator[IO[bytes]]:
    if file != "-":
        with Path(file).open("rb") as source:
            yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.seek(0)
        yield copy


def _batches(lines: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of `size` lines, or of fewer after a second without input and at the end."""
    arrived: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=max(1000, size))

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
            arrived.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised again by the reader of the queue
            arrived.put(error)

    threading.Thread(target=read, daemon=True).start()
    waiting: list[bytes] = []
    while True:
        try:
            line = arrived.get(timeout=QUIET_S if waiting else None)
        except queue.Empty:
            yield waiting
            waiting = []
            continue
        if isinstance(line, BaseException):
            raise line
        if line is None:
            break
        waiting.append(line)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
