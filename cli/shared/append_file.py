"""`append --file`: a whole file in one transaction, or a stream in batches.

A file is read twice: first to validate every line, without a lock, then to append. So memory stays flat, and the write lock
is held only while writing. Input that cannot be read twice (standard input, a pipe) is copied to a temporary file first.
"""

from __future__ import annotations

import select
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from typing import IO, TYPE_CHECKING

from cli.shared.options import Output, Target
from cli.shared.output import emit, progress, shown
from cli.shared.refusals import Rejects
from cli.shared.usage import WrongUsage
from engine.bookkeeper import AppendReport
from engine.retrying import Replayable
from ledger.appender import EVENTS_AT_ONCE
from ledger.errors import NetbasisError, Refusal, Refused
from ledger.events import Event
from ledger.given import FileEvent, key_that_is_reversed, parse_file_line, taken_back
from ledger.idempotency import has_key
from ledger.parsing import LINE_BYTES
from ledger.progress import OnProgress
from ledger.rules import complete

if TYPE_CHECKING:
    from engine.bookkeeper import Bookkeeper
    from ledger.book import Book

QUIET_S = 1.0
READ_BYTES = 1 << 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some programs begin UTF-8 files with it; it has no meaning
Numbered = tuple[int, FileEvent]
NumberedLine = tuple[int, bytes]


def append_file(
    target: Target, file: str, expected_version: int | None, output: Output, rejects: Rejects | None
) -> None:
    """Append a whole file in one transaction: all of its new events, or none after a refusal.

    `file`: a path, or `-` for standard input. `rejects`: where bad lines go, the others being appended; None for none.
    Raises WrongUsage for a file that cannot be read; Refused and Conflict, naming the line; StorageError.
    """
    with _opened(file) as given, target.open("write") as keeper, _seekable(given) as source:
        book = keeper.terms(target.book)
        reversed_keys = _reversed_keys(line for _, line in numbered_lines(source))
        source.seek(0)
        if rejects is None:
            with progress("validating") as on_progress:
                for count, _ in enumerate(_validated(numbered_lines(source), keeper, book), 1):
                    if on_progress is not None and count % 1000 == 0:
                        on_progress(count)
        with progress("appending") as on_progress, _naming_lines(source):
            events = _EventsOf(source, keeper, book, on_progress, rejects, reversed_keys)
            on_refused = None if rejects is None else events.reject
            appended = keeper.append_all(book.name, events, expected_version=expected_version, on_refused=on_refused)
    _answer(output, appended, rejects.count if rejects else None)


def append_stream(target: Target, file: str, batch: int, output: Output, rejects: Rejects | None) -> None:
    """Append in batches of `batch` lines; after a second without input, what has arrived is a batch, too.

    Each batch is committed and answered. Arguments and errors as for `append_file`; committed batches stay.
    """
    with _opened(file) as source, target.open("write") as keeper:
        book = keeper.terms(target.book)
        committed = 0
        for lines in _batches(source, batch):
            if committed == 0:
                lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
            try:
                _append_batch(keeper, book, list(enumerate(lines, committed + 1)), output, rejects)
            except NetbasisError as error:
                if committed:
                    done = "line 1 is" if committed == 1 else f"lines 1 to {committed} are"
                    error.advice = f"{error.advice + '; ' if error.advice else ''}{done} committed"
                raise
            committed += len(lines)


def _append_batch(
    keeper: Bookkeeper, book: Book, lines: list[NumberedLine], output: Output, rejects: Rejects | None
) -> None:
    given: list[tuple[NumberedLine, FileEvent]] = []
    reversed_keys = _reversed_keys(line for _, line in lines)
    rejected_before = rejects.count if rejects else 0
    for number, line in lines:
        for _, event in _validated([(number, line)], keeper, book, rejects):
            given.append(((number, line), taken_back(event, reversed_keys)))

    refused: dict[int, NetbasisError] = {}  # by the event's position, since a batch may be retried

    def reject(refusal: NetbasisError) -> None:
        assert refusal.index is not None
        refused[refusal.index] = refusal

    if not given:
        return  # every line was rejected, and answered by its refusal
    try:
        on_refused = None if rejects is None else reject
        appended = keeper.append_all(book.name, [event for _, event in given], on_refused=on_refused)
    except NetbasisError as error:
        if error.index is not None:
            error.where = f"line {given[error.index][0][0]}"
        raise
    for index, refusal in refused.items():
        assert rejects is not None
        (number, line), _ = given[index]
        refusal.where = f"line {number}"
        rejects.add(refusal, line)
    rejected = rejects.count - rejected_before if rejects else None
    if rejects and rejects.on_stdout and rejected and appended.appended == appended.existed == 0:
        return  # one answer per line
    _answer(output, appended, rejected)


def _answer(output: Output, appended: AppendReport, rejected: int | None) -> None:
    """Print the answer. `rejected`: how many lines were rejected; None without `--rejects`."""
    head = appended.head
    document = {
        "appended": appended.appended,
        "existed": appended.existed,
        "version": head.version,
        "head": head.hash,
    }
    counts = f"appended {appended.appended}" + (f", {appended.existed} existed" if appended.existed else "")
    if rejected is not None:
        document["rejected"] = rejected
        counts += f", {rejected} rejected" if rejected else ""
    emit(output, document, [f"{counts}; version {head.version}, head {shown(head.hash)}"])


def _validated(
    lines: Iterable[NumberedLine], keeper: Bookkeeper, book: Book, rejects: Rejects | None = None
) -> Iterator[Numbered]:
    """The events of lines, validated as far as that is possible without the log; bad lines go to `rejects`, if given.

    Each event must have a key, or a hash that gives it one. An event that a rule refuses passes if it is in the book
    already: a file that was appended before the rule existed can be appended again. Raises Refused, naming the line.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            event = parse_file_line(line)
            _require_key(event.event)
            _require_allowed(event, keeper, book)
        except Refused as refused:
            refused.where = f"line {number}"
            if rejects is None:
                raise
            rejects.add(refused, line)
        else:
            yield number, event


def _reversed_keys(lines: Iterable[bytes]) -> frozenset[str]:
    """The keys of the events that these lines reverse: a time that was wrong is no reason to refuse what is taken back."""
    return frozenset(key for line in lines if (key := key_that_is_reversed(line)) is not None)


def _require_key(event: Event) -> None:
    if not has_key(event):
        raise Refused(
            Refusal.KEY_REQUIRED,
            "an event in a file must have a key, which makes it safe to append the file again",
            expected='the field "key", such as "venue:trade_id"; a deposit or withdrawal may have "tx_hash" instead',
            field="key",
        )


def _require_allowed(given: FileEvent, keeper: Bookkeeper, book: Book) -> None:
    """Raises Refused for a new event that the book's rules do not allow."""
    try:
        complete(given.event, book)
    except Refused:
        try:
            is_there = keeper.find_duplicate(book.name, given) is not None
        except NetbasisError:  # for example, it is there with different content; the rule takes precedence
            is_there = False
        if not is_there:
            raise


def numbered_lines(source: IO[bytes]) -> Iterator[NumberedLine]:
    """The lines and their numbers. Of a line that is too long for an event, only the beginning is returned."""
    number = 1
    line = source.readline(LINE_BYTES + 1).removeprefix(BYTE_ORDER_MARK)
    while line:
        yield number, line
        while len(line) > LINE_BYTES and not line.endswith(b"\n"):
            line = source.readline(LINE_BYTES + 1)
        number += 1
        line = source.readline(LINE_BYTES + 1)


class _EventsOf(Replayable):
    """A file's events, which can be iterated more than once."""

    def __init__(
        self,
        source: IO[bytes],
        keeper: Bookkeeper,
        book: Book,
        on_progress: OnProgress | None,
        rejects: Rejects | None,
        reversed_keys: frozenset[str],
    ) -> None:
        self._source = source
        self._reversed_keys = reversed_keys
        self._keeper = keeper
        self._book = book
        self._on_progress = on_progress
        self._rejects = rejects
        # The events that the log has not answered yet: their position among the file's events, and their line.
        self._unanswered: deque[tuple[int, NumberedLine]] = deque(maxlen=2 * EVENTS_AT_ONCE)

    def __iter__(self) -> Iterator[FileEvent]:
        self._source.seek(0)
        self._unanswered.clear()
        if self._rejects is not None:
            self._rejects.begin_anew()
        count = 0
        for number, line in numbered_lines(self._source):
            for _, event in _validated([(number, line)], self._keeper, self._book, self._rejects):
                self._unanswered.append((count, (number, line)))
                count += 1
                yield taken_back(event, self._reversed_keys)
                if self._on_progress is not None and count % 1000 == 0:
                    self._on_progress(count)

    def reject(self, error: NetbasisError) -> None:
        """Write the line of an event that the log refuses to the rejects."""
        assert self._rejects is not None
        number, line = next(place for count, place in self._unanswered if count == error.index)
        error.where = f"line {number}"
        self._rejects.add(error, line)


@contextmanager
def _naming_lines(source: IO[bytes]) -> Iterator[None]:
    """Within it, an error about an event gets its line in `where`; the file is read once more to find it."""
    try:
        yield
    except NetbasisError as error:
        if error.index is not None and error.where is None:
            source.seek(0)
            lines = (number for number, line in numbered_lines(source) if line.strip())
            number = next(islice(lines, error.index, None))
            error.where = f"line {number}"
        raise


def _opened(file: str) -> FileIO:
    """The file or pipe, or for `-` standard input. Raises WrongUsage."""
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
    """The file itself if it can be read twice, otherwise a copy; also for standard input, which may be partly read."""
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
    """What has arrived; b"" at the end; None when nothing arrived within the timeout (None: no timeout)."""
    while select.select([source], [], [], timeout_s)[0]:
        arrived: bytes | None = source.read(READ_BYTES)
        if arrived is not None:  # None: a non-blocking stream that was not ready after all
            return arrived
    return None


def _batches(source: FileIO, size: int) -> Iterator[list[bytes]]:
    """Lists of `size` lines, or of fewer after a second without input and at the end."""
    lines: list[bytes] = []
    rest = b""
    is_skipping = False
    while True:
        arrived = _read(source, QUIET_S if lines else None)
        if arrived is None:
            yield lines
            lines = []
            continue
        if is_skipping and b"\n" in arrived:  # here the line that was too long ends
            arrived_rest = arrived.partition(b"\n")[2]
            is_skipping = False
        else:
            arrived_rest = b"" if is_skipping else arrived
        *whole, rest = (rest + arrived_rest).split(b"\n")
        lines += whole
        if rest and (
            not arrived or len(rest) > LINE_BYTES
        ):  # a last line without a line break, or a line that is too long
            lines.append(rest)
            is_skipping = bool(arrived)
            rest = b""
        while len(lines) >= size:
            yield lines[:size]
            lines = lines[size:]
        if not arrived:
            break
    if lines:
        yield lines
