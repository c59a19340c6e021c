"""`python -m bench.columns`: rebuild, check and the past from segments, beside bare work on the same bytes.

    rebuild              DuckDB's bare scan: the sum or the greatest value of each column that a rebuild reads
    check                SHA-256 of the same bodies in Python, times the number of cores
    balance --as-of      the fold of one segment's rows

Each figure is the median of the rounds, wall time; `check` has its workers, as the command does. Peak memory is that of the
work as a process of its own, without its workers. `--ledger` measures a file that is there (its book `main`) and seals what
of it is not sealed; otherwise one is made, and goes away.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow.parquet as parquet

from bench.children import run
from bench.folds import BOOK, ledger_of
from bench.report import Line, machine, table
from engine.bookkeeper import Bookkeeper, utc_now
from engine.columns.choosing import Engine, fold_of
from engine.columns.sealing import Sealing, default_location, seal
from engine.proof.check import check_ledger
from engine.proof.request import CheckRequest
from engine.refolding import fold_range
from engine.upkeep.rebuild import rebuild
from engine.views import Moment, view_at
from projections.marks import Selection
from projections.state import EMPTY
from projections.sums import SUMMED

SEGMENT = 250_000
ROUNDS = 3
ENGINES: tuple[Engine, ...] = ("columns", "rows")
LIMIT_MIB = 1000
_GROUPS = ("effect_of", "asset", "quote_asset", "fee_asset", "reason")


def bare_scan(files: list[str]) -> None:
    """DuckDB reads the columns that a rebuild reads, and does the least with them."""
    sums = (f"sum({amount}_{part})" for amount in SUMMED for part in ("decimal", "rest"))
    columns = ", ".join((*sums, *(f"max({name})" for name in _GROUPS)))
    with duckdb.connect() as connection:
        connection.execute(f"SELECT {columns} FROM read_parquet(?, hive_partitioning=false)", [files]).fetchall()


def hashing_seconds(files: list[str]) -> float:
    """The seconds that SHA-256 alone takes over the bodies of files, each with a hash before it, on one core."""
    seconds = 0.0
    for name in files:
        for batch in parquet.ParquetFile(name).iter_batches(10_000, columns=["previous_hash", "body"]):
            rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            started = time.perf_counter()
            for before, body in rows:
                hashlib.sha256(before + body).digest()
            seconds += time.perf_counter() - started
    return seconds


def sealed_files(keeper: Bookkeeper) -> tuple[list[str], int]:
    """The files of the book, sealed as far as whole segments go, and how many events they hold."""
    head = keeper.view(BOOK).head.version
    found = seal(keeper.database, BOOK, Sealing(None, utc_now, min(SEGMENT, head)))
    folder = Path(default_location(keeper.database)) / f"book={BOOK}"
    return [str(folder / f"{each.first_version}-{each.last_version}.parquet") for each in found.all], found.sealed_until


def folds(keeper: Bookkeeper, engines: Sequence[Engine] = ENGINES) -> dict[str, Callable[[], object]]:
    """What is measured by each engine."""
    by_engine: dict[str, Callable[[], object]] = {
        "rebuild, columns": lambda: rebuild(keeper.database, BOOK, engine="columns"),
        "rebuild, rows": lambda: rebuild(keeper.database, BOOK, engine="rows"),
        "check, columns": lambda: _check(keeper, "columns"),
        "check, rows": lambda: _check(keeper, "rows"),
    }
    return {name: do for name, do in by_engine.items() if name.endswith(tuple(engines))}


def lines_of(ledger: Path, rounds: int, engines: Sequence[Engine] = ENGINES) -> Iterator[Line]:
    """The rates and times, each beside the bare ones."""
    with Bookkeeper.open(str(ledger), "write") as keeper:
        files, count = sealed_files(keeper)
        one = min(SEGMENT, count)
        moments = {"a quarter": count // 4, "half": count // 2 + 1, "the last but one": count - 1}
        work: dict[str, Callable[[], object]] = {
            "scan": lambda: bare_scan(files),
            **folds(keeper, engines),
            "one segment": lambda: _fold_one(keeper, one),
            **{name: _as_of(keeper, version) for name, version in moments.items()},
        }
        taken: dict[str, list[float]] = {name: [] for name in (*work, "hashing")}
        for _ in range(rounds):
            taken["hashing"].append(hashing_seconds(files))
            for name, do in work.items():
                started = time.perf_counter()
                do()
                taken[name].append(time.perf_counter() - started)
    seconds = {name: median(found) for name, found in taken.items()}
    cores = os.cpu_count() or 1
    for engine in engines:
        scan = count / seconds["scan"]
        yield Line(f"rebuild, {engine}", count / seconds[f"rebuild, {engine}"], "per s", "DuckDB's bare scan", scan)
    for engine in engines:
        bare = cores * count / seconds["hashing"]
        yield Line(f"check, {engine}", count / seconds[f"check, {engine}"], "per s", f"SHA-256, {cores} cores", bare)
    for name in moments:
        fold = seconds["one segment"] * 1000
        yield Line(f"balance --as-of {name}", seconds[name] * 1000, "ms", f"fold of {one:,} rows", fold)
    yield from memory_of(ledger, engines)


def memory_of(ledger: Path, engines: Sequence[Engine]) -> Iterator[Line]:
    """The peak memory of each in a process of its own, beside the limit that it is to keep."""
    for name in ("rebuild", "check"):
        for engine in engines:
            only = f"{name}, {engine}"
            used = run(sys.executable, "-m", "bench.columns", "--ledger", str(ledger), "--only", only).peak_mib
            yield Line(f"peak memory, {only}", used, "MiB", "the limit", LIMIT_MIB)


def _check(keeper: Bookkeeper, engine: Engine) -> None:
    found = check_ledger(keeper.database, BOOK, CheckRequest(engine=engine, processes=None))
    if not found.ok:
        raise SystemExit(f"the ledger is not sound: {found.findings or found.books[0].findings[:3]}")


def _as_of(keeper: Bookkeeper, version: int) -> Callable[[], Any]:
    fold = fold_of(keeper.database, "columns")
    return lambda: view_at(keeper.database, BOOK, Moment(as_of=version), fold_of=fold)


def _fold_one(keeper: Bookkeeper, count: int) -> None:
    with keeper.database.reading() as connection:
        fold_range(connection, BOOK, EMPTY, Selection(()), until=count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.columns", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--events", type=int, default=100_000, metavar="N", help="fills (default %(default)s)")
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="a ledger that is there, instead")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="default %(default)s")
    parser.add_argument("--only", metavar="NAME", help="do one of them once and measure nothing, such as `check, rows`")
    parser.add_argument("--columns", action="store_true", help="leave out what is done by rows, which takes long")
    given = parser.parse_args()
    if given.only:
        with Bookkeeper.open(str(given.ledger), "write") as keeper:
            folds(keeper)[given.only]()
        return
    facts = {**machine(), "duckdb": duckdb.__version__}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), end="\n\n")
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        ledger = given.ledger or ledger_of(Path(folder) / "ledger.db", given.events, 1)
        lines = list(lines_of(ledger, given.rounds, ENGINES[: 1 if given.columns else None]))
    sys.stdout.write("\n".join(table(lines)) + "\n")


if __name__ == "__main__":
    main()
