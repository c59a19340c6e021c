"""A disk that can lose its power, fill up and fail, under the real program: a VFS of SQLite, through apsw.

apsw brings a SQLite of its own, so while a disk is in use the program's `sqlite3.connect` gives connections of apsw that
look like those of `sqlite3`. What the program says to SQLite is what it always says; every write, truncation, sync and
removal of a file goes through the disk and is remembered. apsw gives a VFS no shared memory, so the connection has the
file to itself (`locking_mode = EXCLUSIVE`), in WAL mode as always.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

import apsw

import ledger.database.connections as connections_module
import ledger.database.sqlite as sqlite_module

_HALF = 0.5
SECTOR = 512  # what a disk writes as a whole
VFS = "netbasis-torture"
Kind = Literal["write", "truncate", "sync", "delete", "ack"]


class Operation(NamedTuple):
    """One thing that happened: to a file, or (`ack`) that a caller was told so far."""

    kind: Kind
    file: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class Disk:
    """What happened on it, in order. `fault`: called before each operation; what it raises, SQLite gets."""

    log: list[Operation] = field(default_factory=list)
    fault: Callable[[Operation], None] | None = None

    def happens(self, operation: Operation) -> None:
        """Remember an operation, unless it fails."""
        if self.fault is not None:
            self.fault(operation)
        self.log.append(operation)


def after_power_loss(log: Sequence[Operation], start: dict[str, bytes], dice: Random) -> dict[str, bytes]:
    """What may stand on the disk when the power goes at the end of the log: all that was synced, and any part of the rest.

    `start`: the files, by name, before the log. Of what was not synced each sector is there or not, whatever came before or
    after it; a file that was removed may be back, one that is new and was never synced may be missing.
    """
    safe = {name: bytearray(content) for name, content in start.items()}
    waiting: dict[str, list[Operation]] = {}
    for operation in log:
        if operation.kind == "sync":
            content = safe.setdefault(operation.file, bytearray())
            for before in waiting.pop(operation.file, []):
                _apply(content, before)
        elif operation.kind == "delete":
            waiting.pop(operation.file, None)
            if dice.random() < _HALF:
                safe.pop(operation.file, None)
        elif operation.kind != "ack":
            waiting.setdefault(operation.file, []).append(operation)
    _let_go(waiting, safe, dice)
    return {name: bytes(content) for name, content in safe.items()}


def _let_go(waiting: dict[str, list[Operation]], safe: dict[str, bytearray], dice: Random) -> None:
    """Of what was not synced, put some of the sectors on the disk."""
    share = dice.choice((0.0, 0.3, 0.7, 1.0))
    for name, operations in waiting.items():
        if name not in safe and dice.random() >= share:
            continue
        content = safe.setdefault(name, bytearray())
        for part in (part for operation in operations for part in _sectors(operation)):
            if dice.random() < share:
                _apply(content, part)


def _sectors(operation: Operation) -> Iterator[Operation]:
    if operation.kind != "write":
        yield operation
        return
    for start in range(0, len(operation.data), SECTOR):
        part = operation.data[start : start + SECTOR]
        yield Operation("write", operation.file, operation.offset + start, part)


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        del content[operation.offset :]
        return
    end = operation.offset + len(operation.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[operation.offset : end] = operation.data


# ---- the VFS


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = Path(name if isinstance(name, str) else name.filename()).name if name else ""
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.happens(Operation("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.happens(Operation("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.happens(Operation("sync", self._name))
        # The disk is imagined, so nothing need wait for the real one.


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(VFS, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802
        return _File(self._disk, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        self._disk.happens(Operation("delete", Path(name).name))
        super().xDelete(name, sync_folder)


# ---- apsw as sqlite3


def _translated(error: apsw.Error) -> sqlite3.Error:
    code = getattr(error, "extendedresult", 0) or getattr(error, "result", 0)
    names = {value: name for name, value in vars(apsw).items() if name.startswith("SQLITE_") and isinstance(value, int)}
    primary = {apsw.SQLITE_BUSY: "SQLITE_BUSY", apsw.SQLITE_FULL: "SQLITE_FULL", apsw.SQLITE_IOERR: "SQLITE_IOERR",
               apsw.SQLITE_READONLY: "SQLITE_READONLY", apsw.SQLITE_CORRUPT: "SQLITE_CORRUPT",
               apsw.SQLITE_CANTOPEN: "SQLITE_CANTOPEN", apsw.SQLITE_CONSTRAINT: "SQLITE_CONSTRAINT"}  # fmt: skip
    kind = sqlite3.IntegrityError if code & 0xFF == apsw.SQLITE_CONSTRAINT else sqlite3.OperationalError
    made = kind(str(error))
    made.sqlite_errorcode = code
    made.sqlite_errorname = primary.get(code & 0xFF) or names.get(code, "SQLITE_ERROR")
    return made


class _Cursor:
    """As much of a cursor of `sqlite3` as SQLAlchemy uses."""

    arraysize = 1
    lastrowid = None

    def __init__(self, connection: apsw.Connection, forced: dict[str, str]) -> None:
        self._connection = connection
        self._forced = forced
        self._rows: list[tuple[Any, ...]] = []
        self.description: Any = None
        self.rowcount = -1

    def execute(self, statement: str, values: Sequence[Any] = ()) -> _Cursor:
        statement = self._forced.get(statement, statement)
        cursor = self._connection.cursor()
        self.description = None

        def look(of: apsw.Cursor, _sql: str, _values: Any) -> bool:
            self.description = (
                tuple((name, None, None, None, None, None, None) for name, *_ in of.get_description()) or None
            )
            return True

        cursor.exec_trace = look
        try:
            self._rows = list(cursor.execute(statement, tuple(values)))
        except apsw.Error as error:
            raise _translated(error) from error
        self.rowcount = -1 if self.description else self._connection.changes()
        return self

    def executemany(self, statement: str, many: Sequence[Sequence[Any]]) -> _Cursor:
        total = 0
        for values in many:
            self.execute(statement, values)
            total += max(0, self.rowcount)
        self.rowcount = total
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        taken, self._rows = self._rows, []
        return taken

    def close(self) -> None:
        self._rows = []


class _Connection(sqlite3.Connection):
    """A connection of apsw that is taken for one of `sqlite3`; its own, empty database in memory is never used."""

    def __init__(self, uri: str, forced: dict[str, str]) -> None:
        super().__init__(":memory:", isolation_level=None, check_same_thread=False)
        flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        try:
            self._real = apsw.Connection(uri, flags, VFS)
            self._real.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._real.execute("PRAGMA wal_autocheckpoint = 12")  # often, so that a loss may come in the middle of one
        except apsw.Error as error:
            raise _translated(error) from error
        self._forced = forced

    def cursor(self, *_: Any) -> Any:
        return _Cursor(self._real, self._forced)

    def execute(self, statement: str, values: Any = ()) -> Any:
        return self.cursor().execute(statement, values)

    def commit(self) -> None:
        if self._real.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self._real.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        try:
            self._real.close()
        except apsw.Error as error:
            raise _translated(error) from error
        finally:
            super().close()


class _Sqlite3:
    """The module `sqlite3`, but for `connect`."""

    def __init__(self, forced: dict[str, str]) -> None:
        self._forced = forced

    def connect(self, place: str, /, **_: Any) -> _Connection:
        return _Connection(place, self._forced)

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)


@contextmanager
def in_use(disk: Disk, *, synchronous: str = "FULL") -> Iterator[None]:
    """Within it the program's SQLite files lie on this disk. `synchronous`: what its own setting is turned into."""
    forced = {} if synchronous == "FULL" else {"PRAGMA synchronous = FULL": f"PRAGMA synchronous = {synchronous}"}
    vfs = _Vfs(disk)
    standing: Any = _Sqlite3(forced)
    modules: list[Any] = [sqlite_module, connections_module]
    for module in modules:
        module.sqlite3 = standing
    try:
        yield
    finally:
        for module in modules:
            module.sqlite3 = sqlite3
        vfs.unregister()
