"""`python -m bench.cluster`: `cluster rebuild` and `cluster check` over stores of several sizes, to show the slope.

The stores are prefixes of one: the first segment of a sealed ledger, the first two, four, …, all of them, or as many as
`--counts` says. Beside each figure stands that of the smallest store; Spark takes some seconds however little there is.
Run it in `.venv-cluster`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from bench.folds import BOOK
from bench.report import Line, machine, table
from engine.bookkeeper import utc_now
from engine.upkeep.cluster.folding import fold_store
from engine.upkeep.cluster.proving import check_store
from engine.upkeep.cluster.spark import Spark, spark_session


def prefix_of(store: Path, count: int, folder: Path) -> tuple[Path, int]:
    """A store of the first segments of a book, whose files are links; and how many events they hold."""
    source, target = store / f"book={BOOK}", folder / str(count) / f"book={BOOK}"
    target.mkdir(parents=True)
    document = orjson.loads((source / "_manifest.json").read_bytes())
    document["segments"] = document["segments"][:count]
    for each in document["segments"]:
        name = f"{each['first_version']}-{each['last_version']}.parquet"
        (target / name).hardlink_to(source / name)
    (target / "_manifest.json").write_bytes(orjson.dumps(document))
    return target.parent, document["segments"][-1]["last_version"]


def doubling(store: Path) -> list[int]:
    """Counts of segments: 1, 2, 4, …, and all that a store has."""
    count = len(orjson.loads((store / f"book={BOOK}" / "_manifest.json").read_bytes())["segments"])
    return sorted({*(2**power for power in range(count.bit_length())), count})


def lines_of(spark: Spark, store: Path, counts: Sequence[int], folder: Path) -> Iterator[Line]:
    """The seconds of each count of segments, the first of which also warms Spark and is measured again."""
    stores = [prefix_of(store, count, folder) for count in counts]
    _seconds(spark, stores[0][0])
    least: dict[str, float] = {}
    for place, events in stores:
        for what, seconds in _seconds(spark, place).items():
            least.setdefault(what, seconds)
            yield Line(f"cluster {what}, {events:,}", seconds * 1000, "ms", f"of {stores[0][1]:,}", least[what] * 1000)


def _seconds(spark: Spark, store: Path) -> dict[str, float]:
    started = time.perf_counter()
    folded = fold_store(spark, str(store))
    between = time.perf_counter()
    reports = check_store(spark, str(store), utc_now())
    ended = time.perf_counter()
    if folded.faults or not all(report.ok for report in reports):
        raise SystemExit(f"the store is not sound: {folded.faults} {[each.findings[:3] for each in reports]}")
    return {"rebuild": between - started, "check": ended - between}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--segments", type=Path, required=True, metavar="FOLDER", help="a segment store with the book main"
    )
    parser.add_argument("--counts", type=int, nargs="+", metavar="N", help="segments of each store, the smallest first")
    parser.add_argument("--master", default="local[2]", metavar="URL", help="default %(default)s")
    given = parser.parse_args()
    facts = {**machine(), "master": given.master}
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), end="\n\n")
    # Beside the store, since links do not leave a file system.
    with (
        tempfile.TemporaryDirectory(prefix="netbasis-bench-", dir=given.segments.parent) as folder,
        spark_session(given.master) as spark,
    ):
        lines = []
        for line in lines_of(spark, given.segments, given.counts or doubling(given.segments), Path(folder)):
            print(f"{line.what}: {line.netbasis / 1000:.1f} s", file=sys.stderr)
            lines.append(line)
    sys.stdout.write("\n".join(table(lines)) + "\n")


if __name__ == "__main__":
    main()
