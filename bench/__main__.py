"""`python -m bench`: how fast, beside how fast it could be. One table; everything in a temporary folder that goes away.

Seconds of a shared machine say little, so every figure stands beside one from the same run: a bare `sqlite3` or psycopg
that does the least, or a peer (eventsourcing, hledger, beancount, where they are installed) that does the same work. The
ratio of the two is what to compare between versions: how many times the cost. The temporary folder is Python's (TMPDIR
moves it); in one that is memory, durable means nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import measures, peers, plot, writers
from bench.report import Line, machine, table

SIZES = (10_000, 100_000, 1_000_000)
APPENDS = 1600


def sections(sizes: Sequence[int], seed: int) -> Iterator[tuple[str, list[Line]]]:
    """The lines of each size, then those of many writers, as soon as they are measured."""
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
            of_netbasis = list(measures.all_lines(Path(folder), size, seed))
        with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
            yield f"{size:,} fills", [*of_netbasis, *peers.all_lines(Path(folder), size, seed)]
    with writers.places() as where:
        yield f"{APPENDS:,} appends", list(writers.all_lines(where, APPENDS))


def main() -> None:
    """Measure, print, and keep the figures and the picture where that is wanted."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--events", type=int, nargs="+", default=SIZES, metavar="N", help="fills in the log; several sizes show growth"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the cost of an event by size into FILE (SVG)")
    given = parser.parse_args()
    if min(given.events) < measures.SMALLEST:
        parser.error(f"--events: at least {measures.SMALLEST}")
    facts = machine() | {"seed": str(given.seed)}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
    found: dict[str, list[Line]] = {}
    for name, lines in sections(given.events, given.seed):
        found[name] = lines
        print(f"\n{name}\n" + "\n".join(table(lines)), flush=True)
    if given.json:
        figures = {name: [asdict(line) | {"ratio": line.ratio} for line in lines] for name, lines in found.items()}
        given.json.write_text(json.dumps({"machine": facts, "figures": figures}, indent=1) + "\n")
    if given.plot:
        plot.draw(given.plot, [(size, found[f"{size:,} fills"]) for size in given.events])


if __name__ == "__main__":
    main()
