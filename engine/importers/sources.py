"""Files and standard input as an import reads them: unpacked, without a byte order mark, and never held in memory whole.

Bytes that are not UTF-8 become lone surrogates, so that the row they stand in is refused and not the whole file.
"""

from __future__ import annotations

import gzip
import io
import os
import select
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from engine.aside import folder_aside
from engine.importers.items import Sample, Source, Unreadable
from engine.importers.legacy.copying import copied_aside
from ledger.errors import StorageError

STANDARD_INPUT = "-"
HEAD_BYTES = 1 << 16
QUIET_S = 1.0
_GZIP = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ZIP = b"PK\x03\x04"

OnQuiet = Callable[[], None]


class FileSource:
    """A file, which may be gzipped.

    name:  its path, as it was given
    """

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return self._path

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Its text; see `Source`."""
        with _opened(self._path) as raw, _as_text(raw, self.name) as text:
            yield text

    def head(self) -> bytes:
        """Its first 64 KiB, unpacked."""
        with _opened(self._path) as raw:
            unpacked = _unpacked(raw)
            return _UnpackedStream(unpacked, self.name).beginning()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The path of a private copy; see `Source`."""
        with _opened(self._path) as raw:
            is_packed = _starts_with(raw, _GZIP)
        if is_packed:
            with _opened(self._path) as raw, folder_aside("import") as folder:
                unpacked = folder / "unpacked.db"
                _write(_UnpackedStream(_unpacked(raw), self.name), unpacked)
                with _copied(str(unpacked), self.name) as copy:
                    yield copy
        else:
            with _copied(self._path, self.name) as copy:
                yield copy


class StandardInput:
    """Standard input, which can be read once. It may be a stream that does not end.

    on_quiet:  called when nothing has arrived for a second; None for nobody
    """

    def __init__(self, on_quiet: OnQuiet | None = None) -> None:
        if sys.stdin is None:
            raise Unreadable("standard input is closed")
        self.on_quiet = on_quiet
        self._raw = _Arriving(sys.stdin.fileno(), self._quiet)
        self._buffered: io.BufferedReader = io.BufferedReader(self._raw, HEAD_BYTES)

    def _quiet(self) -> None:
        if self.on_quiet is not None:
            self.on_quiet()

    @property
    def name(self) -> str:
        return STANDARD_INPUT

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Its text; see `Source`."""
        with _as_text(self._buffered, self.name) as text:
            yield text

    def head(self) -> bytes:
        """What has arrived first, at most 64 KiB; it is read again afterwards."""
        beginning = self._buffered.peek(HEAD_BYTES)[:HEAD_BYTES]
        if not beginning.startswith(_GZIP):
            return beginning
        try:
            return zlib.decompressobj(wbits=31).decompress(beginning, HEAD_BYTES)
        except zlib.error as error:
            raise Unreadable(f"standard input is not a whole gzip file: {error}") from error

    @contextmanager
    def database(self) -> Iterator[str]:
        """The path of a private copy; see `Source`."""
        with folder_aside("import") as folder:
            arrived = folder / "arrived.db"
            _write(_UnpackedStream(_unpacked(self._buffered), self.name), arrived)
            with _copied(str(arrived), self.name) as copy:
                yield copy


class _Arriving(io.RawIOBase):
    """A file descriptor that says when nothing has arrived for a second."""

    def __init__(self, descriptor: int, on_quiet: OnQuiet) -> None:
        self._descriptor = descriptor
        self._on_quiet = on_quiet

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: Any) -> int:
        while not select.select([self._descriptor], [], [], QUIET_S)[0]:
            self._on_quiet()
        arrived = os.read(self._descriptor, len(buffer))
        buffer[: len(arrived)] = arrived
        return len(arrived)


class _UnpackedStream(io.RawIOBase):
    """A binary stream whose faults are Unreadable, and which says so when it is UTF-16 or an archive."""

    def __init__(self, source: IO[bytes], name: str) -> None:
        self._source = source
        self._name = name
        self._is_at_start = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        arrived = self._read(len(buffer))
        if self._is_at_start:
            self._is_at_start = False
            if arrived.startswith(_UTF16_MARKS):
                raise Unreadable(f"{self._name} is UTF-16; save it as UTF-8")
            if arrived.startswith(_ZIP):
                raise Unreadable(f"{self._name} is a ZIP archive or a spreadsheet; unpack it, or save it as CSV")
        buffer[: len(arrived)] = arrived
        return len(arrived)

    def _read(self, size: int) -> bytes:
        try:
            # One read of what is there: a stream must not wait until its buffer is full.
            return self._source.read1(size)  # type: ignore[attr-defined,no-any-return]
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Unreadable(f"{self._name}: the gzip file is damaged or cut short: {error}") from error
        except OSError as error:
            raise Unreadable(f"{self._name} cannot be read: {error.strerror or error}") from error

    def beginning(self) -> bytes:
        """The first 64 KiB."""
        found = b""
        while len(found) < HEAD_BYTES and (more := self._read(HEAD_BYTES - len(found))):
            found += more
        return found


def source_named(name: str, on_quiet: OnQuiet | None = None) -> FileSource | StandardInput:
    """A file, or standard input for `-`. `on_quiet`: see `StandardInput`. Raises Unreadable."""
    return StandardInput(on_quiet) if name == STANDARD_INPUT else FileSource(name)


def sample_of(source: FileSource | StandardInput) -> Sample:
    """The beginning of a file, without a byte order mark. Raises Unreadable."""
    return Sample(source.name, source.head().removeprefix(_UTF8_MARK))


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    try:
        raw = Path(path).open("rb")  # noqa: SIM115 - closed below; only opening it may fail with these errors
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with raw:
        yield raw


@contextmanager
def _as_text(raw: io.BufferedReader, name: str) -> Iterator[IO[str]]:
    """The unpacked text. The raw stream stays open."""
    buffered = io.BufferedReader(_UnpackedStream(_unpacked(raw), name), HEAD_BYTES)
    text = io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield text
    finally:
        text.detach()


def _unpacked(raw: io.BufferedReader) -> IO[bytes]:
    return gzip.GzipFile(fileobj=raw) if _starts_with(raw, _GZIP) else raw  # type: ignore[return-value]


def _starts_with(raw: io.BufferedReader, magic: bytes) -> bool:
    try:
        return raw.peek(len(magic)).startswith(magic)
    except OSError as error:  # a folder, for example
        raise Unreadable(f"{getattr(raw, 'name', STANDARD_INPUT)} cannot be read: {error.strerror}") from error


def _write(source: _UnpackedStream, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(io.BufferedReader(source, HEAD_BYTES), file)


@contextmanager
def _copied(path: str, name: str) -> Iterator[str]:
    try:
        with copied_aside(path) as copy:
            yield str(copy)
    except StorageError as error:
        raise Unreadable(f"{name}: {error.what}{f': {error.actual}' if error.actual else ''}") from error


__all__ = ["FileSource", "OnQuiet", "Source", "StandardInput", "sample_of", "source_named"]
