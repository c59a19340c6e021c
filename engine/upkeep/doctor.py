"""`doctor`: the state of a ledger, its database and its disk, point by point, and what to do about each.

It proves nothing about the events (`check` does); it is quick, reads only, and goes on where a point cannot be examined.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, text

from engine import schema
from engine.reports.report import Report, Table, counted
from engine.schema_proof import check_schema
from engine.upkeep.backup import heads
from engine.upkeep.backup_list import Backup, list_file, read_list
from ledger.database import whole_file
from ledger.database.connections import Database
from ledger.errors import NetbasisError, shown
from ledger.event_types import require_readable
from ledger.times import CLOCK_TOLERANCE, parse_time, time_text

COLUMNS = ("point", "state", "found", "advice")
_ENOUGH_SPACE = 1 << 30
_LARGE_WAL = 64 << 20
_LONG_TRANSACTION = timedelta(minutes=5)
_FULL = 2  # PRAGMA synchronous


class State(StrEnum):
    """How a point was judged."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was looked at: what was found, how it was judged, and what to do; None for nothing."""

    name: str
    state: State
    found: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Examination:
    """What a doctor examines.

    backups:         the list of backups; None for the one beside the ledger
    max_backup_age:  an older newest backup is a note
    """

    database: Database
    location: str
    now: datetime
    backups: Path | None = None
    max_backup_age: timedelta = timedelta(days=7)


def examine(what: Examination) -> list[Point]:
    """All points, in order; one that cannot be examined says why."""
    points: list[Point] = []
    for name, section in _SECTIONS.items():
        told = {point.found for point in points}  # a file that cannot be read fails every section in the same way
        points += [point for point in _guarded(name, section, what) if point.advice is None or point.found not in told]
    return points


def report(points: list[Point]) -> Report:
    """The points as a table."""
    rows = [[point.name, point.state.value, point.found, point.advice] for point in points]
    table = Table(COLUMNS, rows)
    wrong = sum(point.state is State.WRONG for point in points)
    return Report({"ok": not wrong, "points": table.as_dicts()}, [table], table)


def _guarded(name: str, section: Callable[[Examination], Iterator[Point]], what: Examination) -> list[Point]:
    try:
        return list(section(what))
    except NetbasisError as error:
        said = f"{error.what}: {error.actual}" if error.actual else error.what
        return [Point(name, State.WRONG, said, error.advice)]
    except OSError as error:
        return [Point(name, State.WRONG, str(error))]


def _schema(what: Examination) -> Iterator[Point]:
    with what.database.reading() as connection:
        schema.require_newest(connection)
        types = require_readable(connection)
    yield Point("schema", State.OK, f"revision {schema.NEWEST}, the newest")
    yield Point("event types", State.OK, f"{counted(len(types), 'form')} of events, all of which this netbasis reads")


def _engine(what: Examination) -> Iterator[Point]:
    with what.database.reading() as connection:
        if what.database.dialect == "sqlite":
            yield Point("engine", State.OK, f"SQLite {sqlite3.sqlite_version}")
            yield from _sqlite_settings(connection)
        else:
            yield Point("engine", State.OK, f"PostgreSQL {connection.scalar(text('SHOW server_version'))}")
            yield from _server_settings(connection)


def _sqlite_settings(connection: Connection) -> Iterator[Point]:
    mode = connection.scalar(text("PRAGMA journal_mode"))
    if mode == "wal":
        yield Point("journal", State.OK, "WAL")
    else:
        yield Point(
            "journal", State.NOTE, str(mode), "nothing: the next program that writes puts the file into WAL mode"
        )
    level = connection.scalar(text("PRAGMA synchronous"))
    state, found = (State.OK, "FULL") if level == _FULL else (State.WRONG, str(level))
    advice = None if level == _FULL else "a commit may be lost with the power: use this program to write"
    yield Point("synchronous", state, f"{found}, set by this program whatever the file's default", advice)


# A server's setting, what it must be, and what it costs when it is not.
_NEEDED = (
    ("fsync", "on", "a crash of the server's machine can lose or damage the ledger: set it to on"),
    ("full_page_writes", "on", "a crash in the middle of a write can damage pages: set it to on"),
    ("server_encoding", "UTF8", "create a database of encoding UTF8, and copy the books into it"),
)
# What this program sets for itself, so that a server's default does not matter; the default is told all the same.
_OWN = ("synchronous_commit", "default_transaction_isolation", "TimeZone", "lock_timeout")


def _server_settings(connection: Connection) -> Iterator[Point]:
    for name, needed, advice in _NEEDED:
        found = str(connection.scalar(text(f"SHOW {name}")))
        yield Point(name, State.OK if found == needed else State.WRONG, found, None if found == needed else advice)
    for name in _OWN:
        own = connection.scalar(text(f"SHOW {name}"))
        default = connection.scalar(text("SELECT reset_val FROM pg_settings WHERE name = :name"), {"name": name})
        yield Point(name, State.OK, f"{own}, set by this program; the server's default is {default}")


def _books(what: Examination) -> Iterator[Point]:
    query = text(
        "SELECT b.book, b.head_version, b.head_hash, p.version FROM books b"
        " LEFT JOIN projection_heads p ON p.book = b.book ORDER BY b.book"
    )
    with what.database.reading() as connection:
        rows = connection.execute(query).all()
    if not rows:
        yield Point("books", State.NOTE, "none", "open one with `netbasis init`")
    for name, version, hashed, projected in rows:
        of = f"book {shown(name)}"
        yield Point(of, State.OK, f"head {version}:{bytes(hashed).hex()}")
        yield _projections(f"{of} projections", version - (projected or 0))


def _projections(name: str, lag: int) -> Point:
    """`lag`: how many events the projections are behind the head; negative: ahead of it."""
    if lag == 0:
        return Point(name, State.OK, "at the head")
    side, advice = (
        ("behind", "run `netbasis rebuild`") if lag > 0 else ("ahead of", "the log was cut: restore a backup")
    )
    return Point(name, State.WRONG, f"{counted(abs(lag), 'event')} {side} the head", advice)


def _strangers(what: Examination) -> Iterator[Point]:
    with what.database.reading() as connection:
        schema.require_newest(connection)
        found = list(check_schema(connection))
    for finding in found:
        advice = "find out who made or changed it, and put it back as it was: see `netbasis check --only schema`"
        yield Point("schema objects", State.WRONG, finding.detail, advice)
    if not found:
        yield Point("schema objects", State.OK, "those of the migrations, and no other")


def _space(what: Examination) -> Iterator[Point]:
    if what.database.dialect != "sqlite":
        with what.database.reading() as connection:
            size = connection.scalar(text("SELECT pg_database_size(current_database())"))
        yield Point("space", State.OK, f"the database has {_megabytes(size)}; ask the server's system how much is free")
        return
    path = Path(what.location).resolve()
    size, wal = path.stat().st_size, Path(f"{path}-wal")
    of_wal = wal.stat().st_size if wal.exists() else 0
    free = shutil.disk_usage(path.parent).free
    is_enough = free > max(_ENOUGH_SPACE, 2 * size)
    advice = None if is_enough else "free some space: a migration or a backup may need as much as the file again"
    found = f"the file has {_megabytes(size)}, its WAL {_megabytes(of_wal)}; {_megabytes(free)} are free"
    yield Point("space", State.OK if is_enough else State.NOTE, found, advice)
    if of_wal > _LARGE_WAL:
        advice = "a reader that never ends keeps it from being emptied: find it, or close all programs once"
        yield Point("WAL", State.NOTE, _megabytes(of_wal), advice)
    mode = path.stat().st_mode & 0o777
    is_private = not mode & 0o077
    advice = None if is_private else f"unless others are meant to read it: chmod 600 {path.name}"
    yield Point("file mode", State.OK if is_private else State.NOTE, f"{mode:04o}", advice)


def _megabytes(size: int | None) -> str:
    return f"{(size or 0) / 1e6:,.1f} MB"


def _backups(what: Examination) -> Iterator[Point]:
    listed = what.backups or list_file(what.location, Path.cwd())
    backups = [backup for backup in read_list(listed) if _is_there(backup)]
    advice = "make one: `netbasis backup FILE`"
    if not backups:
        yield Point(
            "newest backup", State.NOTE, f"none: {listed.name} lists no backup that is there as it was made", advice
        )
        return
    newest = max(backups, key=lambda backup: backup.at)
    age = what.now - parse_time(newest.at)
    there = {book.book: book.version for book in newest.books}
    since = sum(max(0, book.version - there.get(book.book, 0)) for book in heads(what.database))
    is_new = age <= what.max_backup_age
    found = f"{newest.file}, {_age(age)} old; {counted(since, 'event')} since"
    yield Point("newest backup", State.OK if is_new else State.NOTE, found, None if is_new else advice)


def _is_there(backup: Backup) -> bool:
    """Whether there is a file of its name and size; its contents are proved when it is restored."""
    try:
        return Path(backup.file).stat().st_size == backup.bytes
    except OSError:
        return False


def _transactions(what: Examination) -> Iterator[Point]:
    if what.database.dialect == "sqlite":
        path = Path(what.location).resolve()
        with what.database.reading():
            pass
        others = [pid for pid in whole_file.holders(path) if pid != os.getpid()]
        writers, readers = ([pid for pid in pids if pid != os.getpid()] for pids in whole_file.in_transaction(path))
        busy = [f"process {pid} writes" for pid in writers] + [f"process {pid} reads" for pid in readers]
        found = ", ".join([f"other processes at the file: {len(others)}", *busy])
        yield Point(
            "open transactions",
            State.OK,
            found,
            "run `netbasis doctor` again: one that is still listed is long" if busy else None,
        )
        return
    query = text(
        "SELECT pid, coalesce(application_name, ''), state, now() - xact_start FROM pg_stat_activity WHERE xact_start"
        " IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid() ORDER BY xact_start"
    )
    with what.database.reading() as connection:
        rows = connection.execute(query).all()
    if not rows:
        yield Point("open transactions", State.OK, "none")
    for pid, program, state, age in rows:
        is_long = age > _LONG_TRANSACTION
        advice = f"find out what it is doing; SELECT pg_terminate_backend({pid}) ends it" if is_long else None
        found = f"server process {pid} ({program}, {state}) for {_age(age)}"
        yield Point("open transactions", State.NOTE if is_long else State.OK, found, advice)


def _clock(what: Examination) -> Iterator[Point]:
    query = text("SELECT max(head_recorded_at) FROM books")
    with what.database.reading() as connection:
        newest = connection.scalar(query)
    if newest is None:
        return
    recorded = newest.astimezone(UTC) if isinstance(newest, datetime) else parse_time(newest)
    ahead = recorded - what.now
    state = State.OK if ahead <= timedelta(0) else State.NOTE if ahead <= CLOCK_TOLERANCE else State.WRONG
    found = f"{time_text(what.now)}; the newest event was recorded {'later, ' if ahead > timedelta(0) else ''}"
    advice = "correct the clock of this machine, or of the one that wrote: recorded times must not decrease"
    yield Point("clock", state, f"{found}at {time_text(recorded)}", None if state is State.OK else advice)


def _age(span: timedelta) -> str:
    """A span for people: its largest unit."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return counted(seconds // size, unit)
    return counted(seconds, "second")


_SECTIONS: dict[str, Callable[[Examination], Iterator[Point]]] = {
    "schema": _schema,
    "engine": _engine,
    "books": _books,
    "schema objects": _strangers,
    "space": _space,
    "newest backup": _backups,
    "open transactions": _transactions,
    "clock": _clock,
}
