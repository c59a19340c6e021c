"""`python -m bench.lots`: lots by FIFO over the same fills, beside that of beancount and rp2 where they are installed.

Growth is what matters: the cost of a fill should be the same in a log of any length. All begin with a deposit that is large
enough for every sale, and the realised gains of all are compared. rustledger comes from npm:

    npm install @rustledger/wasm && python -m bench.lots --rustledger node_modules/@rustledger/wasm
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from bench.fills import FIRST_AT, fills
from bench.measures import BOOK, new_ledger
from bench.report import Line, machine, table
from bench.rp2_engine import Rp2
from engine.bookkeeper import Bookkeeper, utc_now
from engine.cost_basis import CostMethod, basis_at
from ledger.events import Deposit, event_from

SIZES = (1_000, 10_000, 100_000)
# beancount takes minutes for more: each sale looks through all lots.
BEANCOUNTS_FILLS = 10_000
OPENING, PRICE = Decimal(10**9), Decimal("1.33")
CENT = Decimal("0.01")
GAINS = "Income:Gains"
Fields = dict[str, str]
# Takes a folder and fills; seconds, and the realised gain.
Peer = Callable[[Path, Sequence[Fields]], tuple[float, Decimal]]


def through_netbasis(ledger: Path, given: Sequence[Fields]) -> tuple[float, Decimal]:
    """Seconds to fold the lots of a log, reading it included, and the realised gain in the numeraire."""
    with Bookkeeper.open(str(new_ledger(ledger)), "write") as keeper:
        keeper.append(BOOK, Deposit(asset="XRP", amount=OPENING, price=PRICE, key="opening", at=FIRST_AT))
        keeper.append_all(BOOK, [event_from({**fields, "fee_amount": "0"}) for fields in given])
        started = time.perf_counter()
        basis = basis_at(keeper.database, [BOOK], CostMethod("fifo"), now=utc_now()).basis
        seconds = time.perf_counter() - started
    assert basis.realised is not None  # every lot has a cost
    return seconds, basis.realised


def journal_of(folder: Path, given: Sequence[Fields]) -> Path:
    """The fills as a journal of beancount's that books by FIFO."""
    file = folder / "lots.beancount"
    with file.open("w") as journal:
        journal.write('2020-01-01 open Assets:Book "FIFO"\n')
        journal.writelines(f"2020-01-01 open {name}\n" for name in ("Assets:Cash", "Equity:Owner", GAINS))
        journal.write(f'2020-01-02 * "opening"\n  Assets:Book  {OPENING} XRP {{{PRICE} RLUSD}}\n  Equity:Owner\n')
        for fields in given:
            base, quote = fields["base_amount"], fields["quote_amount"]
            journal.write(f'{fields["at"][:10]} * "{fields["key"]}"\n')
            if fields["side"] == "buy":
                journal.write(f"  Assets:Book  {base} XRP {{{{{quote} RLUSD}}}}\n  Assets:Cash  -{quote} RLUSD\n")
            else:
                journal.write(f"  Assets:Book  -{base} XRP {{}}\n  Assets:Cash  {quote} RLUSD\n  {GAINS}\n")
    return file


def through_beancount(folder: Path, given: Sequence[Fields]) -> tuple[float, Decimal]:
    """Seconds of beancount's loader over the journal, and the realised gain."""
    loader: Any = importlib.import_module("beancount.loader")
    file = journal_of(folder, given)
    started = time.perf_counter()
    entries, errors, _ = loader.load_file(str(file))
    seconds = time.perf_counter() - started
    assert not errors, errors[:3]
    gains = (
        posting.units.number
        for entry in entries
        for posting in getattr(entry, "postings", ())
        if posting.account == GAINS
    )
    return seconds, -sum(gains, Decimal(0))


def through_rustledger(package: Path, folder: Path, given: Sequence[Fields]) -> tuple[float, Decimal]:
    """Seconds of rustledger, as WebAssembly, to parse and book the journal and to sum the gains, and the realised gain."""
    program = (
        "const fs = require('node:fs'), [, package, file, account] = process.argv;"
        "import(package + '/rustledger_wasm.js').then(library => {"
        "  library.initSync({module: fs.readFileSync(package + '/rustledger_wasm_bg.wasm')});"
        "  const source = fs.readFileSync(file, 'utf8'), started = performance.now();"
        '  const sum = `SELECT sum(position) WHERE account = "${account}"`;'
        "  const {rows, errors} = library.query(source, sum);"
        "  console.log(JSON.stringify({seconds: (performance.now() - started) / 1000, rows, errors}));"
        "});"
    )
    arguments = ["node", "-e", program, str(package), str(journal_of(folder, given)), GAINS]
    ran = subprocess.run(arguments, check=True, capture_output=True, text=True)
    found = json.loads(ran.stdout)
    assert not found["errors"], found["errors"][:3]
    ((inventory,),) = found["rows"]
    return found["seconds"], -sum((Decimal(each["units"]["number"]) for each in inventory["positions"]), Decimal(0))


def through_rp2(folder: Path, given: Sequence[Fields]) -> tuple[float, Decimal]:
    """Seconds of rp2 over the fills as its transactions, and the realised gain; without its input file and its reports."""
    opening = {"base_amount": str(OPENING), "quote_amount": str(OPENING * PRICE), "side": "buy"}
    bare = [{name: fields[name] for name in ("at", "side", "base_amount", "quote_amount")} for fields in given]
    engine = Rp2(folder)
    started = time.perf_counter()
    found = engine.paired([opening | {"at": FIRST_AT.isoformat()}, *bare])
    seconds = time.perf_counter() - started
    return seconds, sum((each.proceeds - each.cost for each in found), Decimal(0))


def peers_here(rustledger: Path | None) -> Iterator[tuple[str, Peer, int]]:
    """The programs that are installed: name, what runs it, and the most fills that it is given."""
    for name, through, most in (("beancount", through_beancount, BEANCOUNTS_FILLS), ("rp2", through_rp2, max(SIZES))):
        if importlib.util.find_spec(name) is not None:
            yield name, through, most
    if rustledger is not None:
        yield "rustledger", partial(through_rustledger, rustledger.absolute()), max(SIZES)


def all_lines(folder: Path, sizes: Sequence[int], seed: int, peers: Sequence[tuple[str, Peer, int]]) -> Iterator[Line]:
    """A line for each size and program beside it."""
    for size in sizes:
        given = list(fills(size, seed))
        seconds, realised = through_netbasis(folder / f"{size}.db", given)
        found = [("the smallest of these sizes", seconds)]
        for name, through, most in peers:
            if size <= most:
                beside, theirs = through(folder, given)
                assert abs(theirs - realised) < CENT, (name, theirs, realised)
                found.append((f"{name}, FIFO", beside))
        for beside_what, beside in found[1:] or found:
            yield Line(f"lots, FIFO, {size:,} fills", size / seconds, "per s", beside_what, size / beside)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.lots", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--fills", type=int, nargs="+", default=SIZES, metavar="N", help="fills; several sizes show growth"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    parser.add_argument(
        "--rustledger", type=Path, metavar="FOLDER", help="the package @rustledger/wasm of npm; needs node"
    )
    given = parser.parse_args()
    print(", ".join(f"{name} {fact}" for name, fact in machine().items()), end="\n\n")
    peers = list(peers_here(given.rustledger))
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        print("\n".join(table(list(all_lines(Path(folder), given.fills, given.seed, peers)))))


if __name__ == "__main__":
    main()
