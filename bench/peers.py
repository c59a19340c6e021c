"""`python -m bench.peers`: the same fills through other tools, the balances compared, the ratios of one run.

`eventsourcing` (the extra `bench`) keeps a book as one aggregate in SQLite; `beancount` (the same extra) and `hledger`,
where the machine has it, read the fills as a journal. They do other things than netbasis: no idempotency keys, no chain, no
projections kept with the log, and the last two have no database at all. The balances of all must be the same to the digit.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from bench.fills import fills
from bench.report import Line, machine, table
from engine.bookkeeper import Bookkeeper
from engine.upkeep.rebuild import rebuild
from ledger.events import Opened, event_from

AT_ONCE = 500
JOURNAL_FILLS = 100_000
_EXACT = Context(prec=60)
Fields = dict[str, str]
Balances = dict[str, Decimal]


def postings(fill: Fields) -> Iterator[tuple[str, Decimal]]:
    """What a fill moves."""
    sign = 1 if fill["side"] == "buy" else -1
    yield fill["base_asset"], sign * Decimal(fill["base_amount"])
    yield fill["quote_asset"], -sign * Decimal(fill["quote_amount"])
    yield fill["fee_asset"], -Decimal(fill["fee_amount"])


def _moved(balances: Balances, fill: Fields) -> None:
    for asset, delta in postings(fill):
        balances[asset] = _EXACT.add(balances.get(asset, Decimal(0)), delta)


def through_netbasis(folder: Path, given: Sequence[Fields]) -> tuple[float, float, Balances]:
    """Seconds to append in transactions of 500, seconds to fold anew, and the balances."""
    events = [event_from(fill) for fill in given]
    with Bookkeeper.open(str(folder / "netbasis.db"), "create") as keeper:
        keeper.open_book("main", Opened(mode="paper"))
        started = time.perf_counter()
        for start in range(0, len(events), AT_ONCE):
            keeper.append_all("main", events[start : start + AT_ONCE])
        appended = time.perf_counter() - started
        folded = rebuild(keeper.database, "main", dry_run=True).seconds
        inventory = keeper.view("main").state.inventory
    return appended, folded, {asset: holding.total for asset, holding in inventory.items()}


@cache
def _aggregate() -> Any:
    """A book as an aggregate of `eventsourcing`, which takes a class of a name only once."""
    domain: Any = importlib.import_module("eventsourcing.domain")

    class Book(domain.Aggregate):  # type: ignore[misc]
        def __init__(self) -> None:
            self.balances: Balances = {}

        @domain.event("Filled")  # type: ignore[untyped-decorator]
        def fill(self, fields: Fields) -> None:
            _moved(self.balances, fields)

    return Book


def through_eventsourcing(folder: Path, given: Sequence[Fields]) -> tuple[float, float, Balances]:
    """The same through an aggregate of `eventsourcing` in SQLite, saved every 500 events and read back whole."""
    application: Any = importlib.import_module("eventsourcing.application")
    place = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "eventsourcing.db")}
    keeper = application.Application(env=place)
    book = _aggregate()()
    started = time.perf_counter()
    for start in range(0, len(given), AT_ONCE):
        for fields in given[start : start + AT_ONCE]:
            book.fill(fields)
        keeper.save(book)
    appended = time.perf_counter() - started
    started = time.perf_counter()
    balances: Balances = keeper.repository.get(book.id).balances
    return appended, time.perf_counter() - started, balances


def through_hledger(folder: Path, given: Sequence[Fields]) -> tuple[float, Balances]:
    """Seconds of `hledger balance` over the fills as a journal, and the balances."""
    journal = folder / "fills.journal"
    with journal.open("w") as file:
        file.write("commodity 1000.000000000000000000 XRP\ncommodity 1000.000000000000000000 RLUSD\n")
        for fill in given:
            moves = "".join(f"    (book)  {delta:f} {asset}\n" for asset, delta in postings(fill))
            file.write(f"{fill['at'][:10]} {fill['key']}\n{moves}\n")
    started = time.perf_counter()
    command = ["hledger", "-f", str(journal), "balance", "book", "--no-total", "--layout=bare", "-O", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    rows = [line.replace('"', "").split(",") for line in done.stdout.splitlines()[1:]]
    return seconds, {asset: Decimal(amount) for _, asset, amount in rows}


def through_beancount(folder: Path, given: Sequence[Fields]) -> tuple[float, Balances]:
    """Seconds of beancount's loader over the fills as a file, and the balances of its account."""
    loader: Any = importlib.import_module("beancount.loader")
    file = folder / "fills.beancount"
    with file.open("w") as journal:
        journal.write("2020-01-01 open Assets:Book\n2020-01-01 open Equity:Trading\n")
        for fill in given:
            journal.write(f'{fill["at"][:10]} * "{fill["key"]}"\n')
            for asset, delta in postings(fill):
                journal.write(f"  Assets:Book  {delta:f} {asset}\n  Equity:Trading  {-delta:f} {asset}\n")
    started = time.perf_counter()
    entries, errors, _ = loader.load_file(str(file))
    balances: Balances = {}
    for entry in entries:
        for posting in getattr(entry, "postings", ()):
            if posting.account == "Assets:Book":
                asset, delta = posting.units.currency, posting.units.number
                balances[asset] = _EXACT.add(balances.get(asset, Decimal(0)), delta)
    seconds = time.perf_counter() - started
    assert not errors, errors[:3]
    return seconds, balances


def all_lines(folder: Path, count: int, seed: int) -> Iterator[Line]:
    """A line per comparison; a peer that is not there is said to be missing. Journals are read up to 100,000 fills."""
    given = list(fills(count, seed))
    appended, folded, balances = through_netbasis(folder, given)
    if importlib.util.find_spec("eventsourcing"):
        theirs_appended, theirs_folded, theirs = through_eventsourcing(folder, given)
        assert theirs == balances, (theirs, balances)
        yield Line("append, 500 at once", count / appended, "per s", "eventsourcing, append", count / theirs_appended)
        yield Line("fold anew", count / folded, "per s", "eventsourcing, read", count / theirs_folded)
    else:
        print("eventsourcing is not installed: pip install '.[bench]'", file=sys.stderr)
    if count > JOURNAL_FILLS:
        return
    for name, is_there, through in (
        ("hledger", shutil.which("hledger"), through_hledger),
        ("beancount", importlib.util.find_spec("beancount"), through_beancount),
    ):
        if not is_there:
            print(f"{name} is not on this machine", file=sys.stderr)
            continue
        seconds, theirs = through(folder, given)
        assert theirs == balances, (theirs, balances)
        yield Line("balances from the log", count / folded, "per s", f"{name}, journal", count / seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--events", type=int, default=20_000, metavar="N", help="fills (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    given = parser.parse_args()
    facts = machine() | {"events": str(given.events), "seed": str(given.seed)}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), end="\n\n")
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        print("\n".join(table(list(all_lines(Path(folder), given.events, given.seed)))))
    print("\nThe balances of all are the same to the digit.")


if __name__ == "__main__":
    main()
