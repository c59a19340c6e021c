"""`python -m bench.folds`: rebuild and check beside a bare read of the same rows, on logs of several sizes.

The bare read is `sqlite3` over all columns of `events`, in the same file. CPU is that of the process and of the workers that
it has started, whatever else the machine does; wall is what a person waits. Each figure is the median of the rounds, which
take turns with the bare read.
`--parts` adds a line for each thing that `check` proves, alone and once; what they share, such as reading, is in each.
`--ledger` measures a file that is there (its book `main`), since ten times the fills take ten times as long to append.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from bench.fills import fills
from bench.report import Line, machine, table
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check, check_ledger
from engine.proof.request import COST_BASIS, COST_BASIS_EVENTS, NAMES, CheckRequest
from engine.upkeep.rebuild import rebuild
from ledger.events import Opened, event_from

BOOK = "main"
SIZES = (10_000, 100_000)
ROUNDS = 3
_AT_ONCE = 1000


def ledger_of(path: Path, count: int, seed: int) -> Path:
    """A new ledger of `count` fills."""
    with Bookkeeper.open(str(path), "create") as keeper:
        keeper.open_book(BOOK, Opened(mode="live"))
        given = fills(count, seed)
        while events := [event_from(fields) for fields in islice(given, _AT_ONCE)]:
            keeper.append_all(BOOK, events)
    return path


def lines_of(ledger: Path, rounds: int, is_in_parts: bool) -> Iterator[Line]:
    """The rates of CPU and wall time, each beside the bare read's; those of each part of `check`, if so wanted."""
    with Bookkeeper.open(str(ledger), "write") as keeper, closing(sqlite3.connect(ledger)) as bare:
        count = keeper.view(BOOK).head.version
        work: dict[str, Callable[[], object]] = {
            "bare": lambda: _read(bare),
            "rebuild": lambda: rebuild(keeper.database, BOOK),
            "check": lambda: check(keeper.database, BOOK),
            "check, a worker a core": lambda: check_ledger(keeper.database, BOOK, CheckRequest(processes=None)),
            "SQLite's integrity_check": lambda: bare.execute("PRAGMA integrity_check").fetchall(),
        }
        parts: dict[str, Callable[[], object]] = {
            f"check --only {name}": partial(check, keeper.database, BOOK, only=[name])
            for name in (NAMES if is_in_parts else ())
            if name != COST_BASIS or count <= COST_BASIS_EVENTS
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
        for _ in range(rounds):
            for name, do in work.items():
                taken[name].append(_seconds(do))
        taken |= {name: [_seconds(do)] for name, do in parts.items()}
    for place, clock in enumerate(("CPU", "wall")):
        rates = {name: count / median(times[place] for times in found) for name, found in taken.items()}
        for name in [name for name in taken if name != "bare"]:
            what = f"{name}, {count - 1:,} fills, {clock}"
            yield Line(what, rates[name], "per s", "bare read of all columns", rates["bare"])


def _read(connection: sqlite3.Connection) -> None:
    for _ in connection.execute("SELECT * FROM events ORDER BY book, version"):
        pass


def _seconds(do: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = _cpu(), time.perf_counter()
    do()
    return _cpu() - cpu, time.perf_counter() - wall


def _cpu() -> float:
    """Of this process and of those that it has waited for."""
    found = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.folds", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=SIZES, metavar="N", help="fills (default %(default)s)")
    parser.add_argument("--ledger", type=Path, action="append", metavar="FILE", help="a ledger that is there, instead")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="default %(default)s")
    parser.add_argument("--parts", action="store_true", help="each thing that check proves, too")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    given = parser.parse_args()
    print(", ".join(f"{name} {fact}" for name, fact in machine().items()), end="\n\n")
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        sizes = () if given.ledger else given.events
        made = (ledger_of(Path(folder) / f"{size}.db", size, given.seed) for size in sizes)
        lines = [line for ledger in given.ledger or made for line in lines_of(ledger, given.rounds, given.parts)]
    print("\n".join(table(lines)))


if __name__ == "__main__":
    main()
