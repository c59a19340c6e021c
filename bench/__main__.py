"""`python -m bench`: how fast, beside how fast it could be. One table; everything in a temporary folder that goes away.

Seconds of a shared machine say little, so every figure stands beside a bare one from the same run, and the ratio of the
two is what to compare between versions: how many times the cost. The temporary folder is Python's (TMPDIR moves it); in
one that is memory, durable means nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench.measures import SMALLER, all_lines
from bench.report import machine, table


def main() -> None:
    """Measure, print, and keep the figures as JSON where that is wanted."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--events", type=int, default=100_000, metavar="N", help="fills in the log (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    given = parser.parse_args()
    if given.events < SMALLER:
        parser.error(f"--events: at least {SMALLER}")
    facts = machine() | {"events": str(given.events), "seed": str(given.seed)}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), end="\n\n")
    with tempfile.TemporaryDirectory(prefix="netbasis-bench-") as folder:
        lines = list(all_lines(Path(folder), given.events, given.seed))
    print("\n".join(table(lines)))
    if given.json:
        figures = [asdict(line) | {"ratio": line.ratio} for line in lines]
        given.json.write_text(json.dumps({"machine": facts, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
