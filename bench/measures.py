"""The measurements. Each sets netbasis beside something bare from the same run, since seconds alone say little."""

from __future__ import annotations

import gc
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

import orjson

from bench import bare, children, start_ups
from bench.children import Child
from bench.fills import fills
from bench.report import Line
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.upkeep.rebuild import rebuild
from ledger.events import Event, Opened, event_from

BOOK = "main"
NETBASIS = str(Path(sysconfig.get_path("scripts")) / "netbasis")
APPENDS = 400
SMALLEST = 1000
SMALL = 1000
ROUNDS = 3


def all_lines(folder: Path, count: int, seed: int) -> Iterator[Line]:
    """Everything, on `count` fills; the files are left in `folder`."""
    fields = list(fills(count + APPENDS, seed))
    events = [event_from(each) for each in fields]
    ledger, floor = folder / "ledger.db", folder / "bare.db"
    appended = _append_all(new_ledger(ledger), events[:count])
    inserted = median(bare.insert_all(floor, bare.rows_of(ledger)) for _ in range(ROUNDS))
    large = _commands(folder / "large.ndjson", fields[:count])
    small = _commands(folder / "small.ndjson", fields[:SMALL])

    yield from _durable_append(ledger, floor, events[count:])
    for name, seconds in (("append_all", appended), ("append --file", large["append --file"].seconds)):
        yield Line(name, count / seconds, "per s", "bare executemany", count / inserted)
    yield from _folds(ledger, floor)
    for name, command in large.items():
        beside = f"with {SMALL:,} fills", small[name].peak_mib
        yield Line(f"peak memory, {name}", command.peak_mib, "MiB", *beside)
    for what, ours, beside_what, least in start_ups.all_lines(NETBASIS, folder / "small.db"):
        yield Line(what, ours, "ms", beside_what, least)


def new_ledger(path: Path) -> Path:
    """A new ledger with an empty book, at `path`; the path."""
    with Bookkeeper.open(str(path), "create") as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
    return path


def _append_all(ledger: Path, events: Sequence[Event]) -> float:
    """The seconds of one `append_all` of events that are there already."""
    gc.collect()
    gc.freeze()  # else the collector walks over the benchmark's own events
    with Bookkeeper.open(str(ledger), "write") as keeper:
        seconds = _seconds(keeper.append_all, BOOK, events)
    gc.unfreeze()
    return seconds


def _commands(file: Path, fields: Sequence[dict[str, str]]) -> dict[str, Child]:
    """What the commands for many events cost, on a ledger of their own beside `file`."""
    file.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in fields))
    netbasis = NETBASIS, "--db", str(new_ledger(file.with_suffix(".db")))
    return {
        "append --file": children.run(*netbasis, "append", "--file", str(file)),
        "rebuild": children.run(*netbasis, "rebuild"),
        "check": children.run(*netbasis, "check"),
    }


def _durable_append(ledger: Path, floor: Path, events: Sequence[Event]) -> Iterator[Line]:
    """One event a transaction, in turns with one such row a transaction; both files hold the same log already."""
    ours, bares = [], []
    with Bookkeeper.open(str(ledger), "write") as keeper, closing(bare.connect(floor)) as connection:
        first = keeper.append(BOOK, events[0]).stored.version  # it loads the projections
        book, _, *columns = bare.newest_row(connection)
        for version, event in enumerate(events[1:], first + 1):
            ours.append(_seconds(keeper.append, BOOK, event))
            bares.append(_seconds(bare.insert, connection, [(book, version, *columns)]))
    for name, of in (("p50", median), ("p99", p99)):
        yield Line(f"one durable append, {name}", of(ours) * 1000, "ms", "bare commit of a row", of(bares) * 1000)


def _folds(ledger: Path, floor: Path) -> Iterator[Line]:
    """Rebuild and check, beside a bare read of all rows."""
    with Bookkeeper.open(str(ledger), "write") as keeper, closing(bare.connect(floor)) as connection:
        version = keeper.view(BOOK).head.version
        work: dict[str, Callable[[], object]] = {
            "bare": lambda: bare.read(connection),
            "rebuild": lambda: rebuild(keeper.database, BOOK),
            "check": lambda: check(keeper.database, BOOK),
        }
        rounds = [{name: _seconds(do) for name, do in work.items()} for _ in range(ROUNDS)]
        taken = {name: median(each[name] for each in rounds) for name in work}
        for name in ("rebuild", "check"):
            yield Line(name, version / taken[name], "per s", "bare read of the rows", version / taken["bare"])


def _seconds(do: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    do(*arguments)
    return time.perf_counter() - started


def p99(samples: Sequence[float]) -> float:
    """The 99th percentile."""
    return quantiles(samples, n=100, method="inclusive")[98]
