"""`python -m bench.writers`: one and eight bots that append at once, on both engines, beside bare inserts as durable.

Every writer is a process of its own, and every append a transaction of its own that is on the disk when it returns. Beside
them as many processes insert the same row, one a transaction, into a table with the same columns and primary key and
nothing else: no lock of a book, no chain, no projections. A server is started from a wheel of the development extra, with
its defaults; `--postgres URL` takes another one, where a database is made and dropped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import fmean, median
from typing import TypeVar

import psycopg

from bench import bare
from bench.fills import fills
from bench.measures import p99
from bench.report import Line, machine, table
from bench.server import database_url, driver_url, running_server
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from ledger.database.postgres import is_url
from ledger.database.tables import events
from ledger.events import Opened, event_from

DATABASE = "netbasis_bench"
BOTS = 8
ROUNDS = 3
AT_ONCE = 20
# Writers, how many books they share, and events in a transaction.
SETTINGS = ((1, 1, 1), (1, 1, AT_ONCE), (BOTS, 1, 1), (BOTS, BOTS, 1))
ItemT = TypeVar("ItemT")
Insert = Callable[[Sequence[bare.RawRow]], None]


@dataclass(frozen=True, slots=True)
class Writer:
    """What one process does: `count` writes of `at_once` events into a book. `row` is what a bare insert repeats."""

    location: str
    book: str
    number: int
    count: int
    at_once: int
    row: bare.RawRow


@dataclass(frozen=True, slots=True)
class Written:
    """When a process wrote, by the clock of all processes, and how long each write took; in seconds."""

    started: float
    ended: float
    each: list[float]


def append_fills(writer: Writer, barrier: Barrier) -> Written:
    """One bot."""
    given = [event_from(fill) for fill in fills(writer.count * writer.at_once + 1, seed=writer.number)]
    with Bookkeeper.open(writer.location) as keeper:
        keeper.append(writer.book, given.pop())  # it connects, and makes its statements
        if writer.at_once == 1:
            return _timed([partial(keeper.append, writer.book, event) for event in given], barrier)
        return _timed([partial(keeper.append_all, writer.book, some) for some in _batches(writer, given)], barrier)


def insert_rows(writer: Writer, barrier: Barrier) -> Written:
    """The same number of bare inserts."""
    first = writer.number * 1_000_000
    rows = [(writer.book, first + index, *writer.row[2:]) for index in range(writer.count * writer.at_once + 1)]
    with inserting(writer.location) as insert:
        insert([rows.pop()])
        return _timed([partial(insert, some) for some in _batches(writer, rows)], barrier)


def _batches(writer: Writer, given: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    for start in range(0, len(given), writer.at_once):
        yield given[start : start + writer.at_once]


def _timed(works: Sequence[Callable[[], object]], barrier: Barrier) -> Written:
    barrier.wait()
    started = now = time.monotonic()
    each = []
    for work in works:
        work()
        before, now = now, time.monotonic()
        each.append(now - before)
    return Written(started, now, each)


@contextmanager
def inserting(location: str, *, durable: bool = True) -> Iterator[Insert]:
    """What inserts one row in one transaction into the table `bare`; not `durable`: without waiting for the disk."""
    if is_url(location):
        with psycopg.connect(driver_url(location), autocommit=True) as server:
            server.execute(f"SET synchronous_commit = {'on' if durable else 'off'}")
            statement = f"INSERT INTO bare VALUES ({', '.join(['%s'] * len(events.columns))})"

            def insert(rows: Sequence[bare.RawRow]) -> None:
                if len(rows) == 1:
                    server.execute(statement, rows[0])
                    return
                with server.transaction(), server.cursor() as cursor:
                    cursor.executemany(statement, rows)

            yield insert
    else:
        with closing(bare.connect(_beside(location))) as file:
            file.execute("PRAGMA busy_timeout = 60000")
            file.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            yield partial(bare.insert, file)


def _beside(location: str) -> Path:
    return Path(f"{location}-bare")


@contextmanager
def new_ledger(location: str, books: int) -> Iterator[bare.RawRow]:
    """A ledger with books, the table `bare` beside it, and a row of the log as the driver gives it; all of it goes again."""
    if is_url(location):
        _on_server(location, f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    with Bookkeeper.open(location, "create") as keeper:
        for book in range(books):
            keeper.open_book(f"b{book}", Opened(mode="paper"))
        (fill,) = fills(1, seed=0)
        keeper.append("b0", event_from(fill))
    if is_url(location):
        with psycopg.connect(driver_url(location), autocommit=True) as server:
            server.execute("CREATE TABLE bare (LIKE events, PRIMARY KEY (book, version))")
            row = server.execute("SELECT * FROM events WHERE version = 2").fetchone()
    else:
        bare.insert_all(_beside(location), [])
        with closing(sqlite3.connect(location)) as file:
            row = file.execute("SELECT * FROM events WHERE version = 2").fetchone()
    assert row is not None
    yield row
    if is_url(location):
        _on_server(location, f"DROP DATABASE {DATABASE} WITH (FORCE)")
    else:
        for path in Path(location).parent.iterdir():
            path.unlink()


def _on_server(location: str, *statements: str) -> None:
    with psycopg.connect(driver_url(location), dbname="postgres", autocommit=True) as server:
        for statement in statements:
            server.execute(statement)


def together(work: Callable[[Writer, Barrier], Written], writers: Sequence[Writer]) -> Iterator[Written]:
    """All writers at once, each in a process that is started anew."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(len(writers)) as pool:
        barrier = manager.Barrier(len(writers))
        yield from pool.starmap(work, [(writer, barrier) for writer in writers], chunksize=1)


def many_writers(name: str, location: str, setting: tuple[int, int, int], transactions: int) -> Iterator[Line]:
    """Appends and bare inserts in turns; what was appended is checked."""
    writers, books, at_once = setting
    count = transactions // writers // at_once
    ours: list[list[Written]] = []
    bares: list[list[Written]] = []
    with new_ledger(location, books) as row:
        for turn in range(ROUNDS):
            numbers = range(1 + turn * writers, 1 + (turn + 1) * writers)
            all_of_them = [Writer(location, f"b{n % books}", n, count, at_once, row) for n in numbers]
            ours.append(list(together(append_fills, all_of_them)))
            bares.append(list(together(insert_rows, all_of_them)))
        with Bookkeeper.open(location, "read") as keeper:
            for book in range(books):
                assert check(keeper.database, f"b{book}").ok
    who = "1 writer" if writers == 1 else f"{writers} writers, {books} book{'s' * (books > 1)}"
    what = f"{name}, {who}{f', {at_once} at once' if at_once > 1 else ''}"
    yield Line(what, _rate(ours) * at_once, "per s", "bare inserts", _rate(bares) * at_once)
    for percentile, of in (("p50", median), ("p99", p99)):
        yield Line(f"  {percentile}", of(_each(ours)) * 1000, "ms", "of bare inserts", of(_each(bares)) * 1000)


def _rate(turns: Sequence[Sequence[Written]]) -> float:
    """The median turn: all transactions over the time from the first start to the last end."""
    return median(
        sum(len(written.each) for written in turn)
        / (max(written.ended for written in turn) - min(written.started for written in turn))
        for turn in turns
    )


def _each(turns: Sequence[Sequence[Written]]) -> list[float]:
    return [seconds for turn in turns for written in turn for seconds in written.each]


def bounds(name: str, location: str, count: int) -> str:
    """Where the time of one writer's append goes, means of `count`, in milliseconds."""
    with new_ledger(location, 1) as row, Bookkeeper.open(location) as keeper:
        given = [event_from(fill) for fill in fills(count + 1, seed=1)]
        keeper.append("b0", given.pop())
        started, started_cpu = time.perf_counter(), time.process_time()
        for event in given:
            keeper.append("b0", event)
        wall, cpu = time.perf_counter() - started, time.process_time() - started_cpu
        disk = _bare_commit(location, row, 1, durable=True) - _bare_commit(location, row, 2, durable=False)
        trips = ""
        if is_url(location):
            trips = f"; a journey to the server and back takes {_round_trip(location) * 1000:.3f}"
    wall_ms, cpu_ms = wall / count * 1000, cpu / count * 1000
    parts = (
        f"{cpu_ms:.2f} Python and driver + {wall_ms - cpu_ms:.2f} waiting, of it {disk * 1000:.2f} for the disk{trips}"
    )
    return f"{name:<10}  {wall_ms:.2f} = {parts}"


def _bare_commit(location: str, row: bare.RawRow, number: int, *, durable: bool, count: int = 200) -> float:
    with inserting(location, durable=durable) as insert:
        started = time.perf_counter()
        for index in range(count):
            insert([(f"x{number}", index, *row[2:])])
        return (time.perf_counter() - started) / count


def _round_trip(location: str, count: int = 500) -> float:
    with psycopg.connect(driver_url(location), autocommit=True) as server:
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            server.execute("SELECT 1")
            taken.append(time.perf_counter() - started)
    return fmean(sorted(taken)[: count // 2])


@contextmanager
def places(postgres: str | None = None) -> Iterator[dict[str, str]]:
    """By engine, where a ledger can be made: in a temporary folder, and on a server that is started for it."""
    started: AbstractContextManager[str] = running_server(postgres)
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder, started as server:
        yield {"SQLite": str(Path(folder) / "ledger.db"), "PostgreSQL": database_url(server, DATABASE)}


def all_lines(where: Mapping[str, str], appends: int) -> Iterator[Line]:
    """Every setting on every engine."""
    for name, location in where.items():
        for setting in SETTINGS:
            yield from many_writers(name, location, setting, appends)


def main() -> None:
    """Measure, print, and keep the figures as JSON where that is wanted."""
    parser = argparse.ArgumentParser(prog="python -m bench.writers", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--appends", type=int, default=1600, metavar="N", help="of all writers together, a turn")
    parser.add_argument("--postgres", metavar="URL", help="a server of yours; else one is started")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    given = parser.parse_args()
    facts = machine() | {"appends": str(given.appends)}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), end="\n\n")
    with places(given.postgres) as where:
        lines = list(all_lines(where, given.appends))
        print("\n".join(table(lines)))
        print("\nmilliseconds of an append, one writer:")
        for name, location in where.items():
            print(bounds(name, location, given.appends // BOTS))
    if given.json:
        figures = [asdict(line) | {"ratio": line.ratio} for line in lines]
        given.json.write_text(json.dumps({"machine": facts, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
