"""Tampering as a table: every column, row, schema object and byte that somebody may change, and whether `check` names it.

    python -m torture.tampering [--engine sqlite|postgres] [--seed N] [--flips N] [--only log|segments] [--share N]

Crudely: the change alone, and plain `check` must name the first version that differs, or the object. Consistently: the
forger makes columns, hashes, head and projections fit, plain `check` cannot know, and a head that was kept must.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from sqlalchemy import text

from engine.capital import Movement, TransferRequest, transfer
from ledger.database.connections import Database
from ledger.events import Opened
from tests.engines import Engine, forget, new_ledger
from tests.ledger.database.store_support import append_sample
from tests.support import BOOK, event, open_keeper
from torture.tampering_table import OTHER_BOOK, Coverage, Table
from torture.tampering_ways import (
    book_columns,
    consistent,
    event_columns,
    flipped_bytes,
    log_rows,
    projection_columns,
    schema_objects,
)


def make_ledger(location: str, folder: Path) -> None:
    """Two books with every type of event, every kind of field, a transfer and a reversed pair."""
    with open_keeper(folder, location=location) as keeper:
        append_sample(keeper)
        keeper.open_book(OTHER_BOOK, Opened(mode="live"))
        more = [
            event("deposit", asset="RLUSD", amount="900", key="t:1", tx_hash="FE01"),
            event("fill", side="buy", base_asset="XRP", base_amount="2", quote_asset="RLUSD", quote_amount="3",
                  fee_asset="XRP", fee_amount="0.1", strategy="grid", tags=("a",), session_id="s9", key="t:2"),
            event("adjustment", asset="XRP", amount="-1", reason="conversion", group="g", key="t:3"),
            event("mark", asset="XRP", price="1.4", price_source="desk", key="t:4"),
        ]  # fmt: skip
        keeper.append_all(BOOK, more)
        transfer(keeper, BOOK, TransferRequest(Movement("5"), OTHER_BOOK))


# ---- all of it


class _Done(Exception):
    """Nothing of it stays."""


@contextlib.contextmanager
def opened(location: str, coverage: Coverage, share: int, first: int) -> Iterator[Table]:
    """A table on the ledger at a location, of which nothing stays."""
    with Database.open(location, "write") as database, contextlib.suppress(_Done), database.writing() as connection:
        if database.dialect == "sqlite":
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
            connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        yield Table(connection, database, coverage, share, first)
        raise _Done


def run(location: str, coverage: Coverage, *, share: int = 1, first: int = 0) -> None:
    """All crude and consistent tampering with the ledger at a location; or with every so many-th of the crude."""
    with opened(location, coverage, share, first) as table:
        for kind in (event_columns, projection_columns, book_columns, log_rows, schema_objects, consistent):
            kind(table)


def run_sealed(
    location: str, folder: Path, coverage: Coverage, dice: Random, *, share: int = 1, first: int = 0
) -> None:
    """All tampering with the segments of the ledger at a location, which is sealed into a folder before."""
    from torture.tampering_segments import seal_all, sealed_parts

    with Database.open(location, "write") as database:
        seal_all(database, folder)
    with opened(location, coverage, share, first) as table:
        sealed_parts(table, folder, dice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m torture.tampering", description=__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--only", choices=("log", "segments"))
    parser.add_argument("--share", type=int, default=1, help="try every so many-th only")
    given = parser.parse_args(arguments)
    only = "" if given.only is None else f" --only {given.only}"
    again = f"--engine {given.engine} --seed {given.seed} --flips {given.flips} --share {given.share}{only}"
    print(f"seed {given.seed}; to repeat: python -m torture.tampering {again}", flush=True)
    coverage = Coverage()
    engine: Engine = given.engine
    folder = Path(tempfile.mkdtemp(prefix="netbasis-tampering-"))
    try:
        location = new_ledger(engine, folder)
        make_ledger(location, folder)
        if given.only != "segments":
            run(location, coverage, share=given.share)
            if engine == "sqlite":
                flipped_bytes(Path(location), coverage, Random(given.seed), given.flips)  # noqa: S311
        if given.only != "log":
            run_sealed(location, folder, coverage, Random(given.seed), share=given.share)  # noqa: S311
        forget(location)
    finally:
        shutil.rmtree(folder)
    print(*coverage.lines(), sep="\n")
    return 0 if coverage.ok else 1


if __name__ == "__main__":
    sys.exit(main())
