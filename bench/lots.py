"""`python -m bench.lots`: lots by FIFO over the same fills, beside beancount's FIFO where it is installed.

Growth is what matters: the cost of a fill should be the same in a log of any length. Both begin with a deposit that is large
enough for every sale, and the realised gains of both are compared.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.fills import FIRST_AT, fills
from bench.measures import AFTER_ALL, BOOK, new_ledger
from bench.report import Line, machine, table
from engine.bookkeeper import Bookkeeper
from engine.cost_basis import CostMethod, basis_at
from ledger.events import Deposit, event_from

SIZES = (1_000, 10_000, 100_000)
# beancount takes minutes for more: each sale looks through all lots.
PEERS_FILLS = 10_000
OPENING, PRICE = Decimal(10**9), Decimal("1.33")
CENT = Decimal("0.01")
Fields = dict[str, str]


def through_netbasis(ledger: Path, given: Sequence[Fields]) -> tuple[float, Decimal]:
    """Seconds to fold the lots of a log, reading it included, and the realised gain in the numeraire."""
    with Bookkeeper.open(str(new_ledger(ledger)), "write") as keeper:
        keeper.append(BOOK, Deposit(asset="XRP", amount=OPENING, price=PRICE, key="opening", at=FIRST_AT))
        keeper.append_all(BOOK, [event_from({**fields, "fee_amount": "0"}) for fields in given])
        started = time.perf_counter()
        basis = basis_at(keeper.database, [BOOK], CostMethod("fifo"), now=AFTER_ALL).basis
        seconds = time.perf_counter() - started
    assert basis.realised is not None  # every lot has a cost
    return seconds, basis.realised


def through_beancount(folder: Path, given: Sequence[Fields]) -> tuple[float, Decimal]:
    """Seconds of beancount's loader over the fills as a journal that books FIFO, and the realised gain."""
    loader: Any = importlib.import_module("beancount.loader")
    file = folder / "lots.beancount"
    with file.open("w") as journal:
        journal.write('2020-01-01 open Assets:Book "FIFO"\n')
        journal.writelines(f"2020-01-01 open {name}\n" for name in ("Assets:Cash", "Equity:Owner", "Income:Gains"))
        journal.write(f'2020-01-02 * "opening"\n  Assets:Book  {OPENING} XRP {{{PRICE} RLUSD}}\n  Equity:Owner\n')
        for fields in given:
            base, quote = fields["base_amount"], fields["quote_amount"]
            journal.write(f'{fields["at"][:10]} * "{fields["key"]}"\n')
            if fields["side"] == "buy":
                journal.write(f"  Assets:Book  {base} XRP {{{{{quote} RLUSD}}}}\n  Assets:Cash  -{quote} RLUSD\n")
            else:
                journal.write(f"  Assets:Book  -{base} XRP {{}}\n  Assets:Cash  {quote} RLUSD\n  Income:Gains\n")
    started = time.perf_counter()
    entries, errors, _ = loader.load_file(str(file))
    seconds = time.perf_counter() - started
    assert not errors, errors[:3]
    gains = (
        posting.units.number
        for entry in entries
        for posting in getattr(entry, "postings", ())
        if posting.account == "Income:Gains"
    )
    return seconds, -sum(gains, Decimal(0))


def all_lines(folder: Path, sizes: Sequence[int], seed: int) -> Iterator[Line]:
    """A line a size."""
    has_peer = importlib.util.find_spec("beancount") is not None
    for size in sizes:
        given = list(fills(size, seed))
        seconds, realised = through_netbasis(folder / f"{size}.db", given)
        beside_what, beside = "the smallest of these sizes", seconds
        if has_peer and size <= PEERS_FILLS:
            beside, theirs = through_beancount(folder, given)
            assert abs(theirs - realised) < CENT, (theirs, realised)
            beside_what = "beancount, FIFO"
        yield Line(f"lots, FIFO, {size:,} fills", size / seconds, "per s", beside_what, size / beside)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.lots", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--fills", type=int, nargs="+", default=SIZES, metavar="N", help="fills; several sizes show growth"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    given = parser.parse_args()
    print(", ".join(f"{name} {fact}" for name, fact in machine().items()), end="\n\n")
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        print("\n".join(table(list(all_lines(Path(folder), given.fills, given.seed)))))


if __name__ == "__main__":
    main()
