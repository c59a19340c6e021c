"""`python -m bench.long_log FILE --events N`: a sound ledger of so many fills that appending them would take hours.

The first fills are appended as any are; the rows after them are written past the program, with the bytes that it would have
written for them. Nobody has to believe that: `netbasis --db FILE check` proves it.
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from bench.fills import fills
from bench.folds import BOOK, ledger_of
from engine.bookkeeper import Bookkeeper
from engine.upkeep.rebuild import rebuild

_APPENDED = 1000
_AT_ONCE = 20_000
_OWN = "version, event_id, key, at, session_id, asset_delta, quote_delta, fee_delta, body, hash, tx_hash"
_SAME = (
    "book, type, effect_of, asset, quote_asset, fee_asset, recorded_at, net_deposits_delta, basis_delta,"
    " starting_value_delta, unknown_fees, unknown_bases"
)
_BODY = (
    '{{"at":"{at}","base_amount":"{base}","base_asset":"XRP","book":"main","event_id":"{event_id}","fee_amount":"{fee}",'
    '"fee_asset":"XRP","key":"{key}","liquidity":"maker","order_id":"{order_id}","quote_amount":"{quote}",'
    '"quote_asset":"RLUSD","recorded_at":"{recorded_at}","session_id":"{session_id}","side":"{side}","tx_hash":"{tx_hash}",'
    '"type":"fill/2","version":{version}}}'
)


def long_log(path: Path, count: int, seed: int) -> None:
    """A new ledger of `count` fills, those of `bench.fills`."""
    ledger_of(path, min(count, _APPENDED), seed)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
            file.execute(f"PRAGMA {pragma}")
        version, digest, *same = file.execute(
            f"SELECT version, hash, {_SAME} FROM events ORDER BY version DESC LIMIT 1"
        ).fetchone()
        rows = rows_of(islice(fills(count, seed), _APPENDED, None), version, digest, tuple(same), seed)
        insert = f"INSERT INTO events ({_OWN}, {_SAME}) VALUES ({', '.join('?' * 23)})"
        while some := list(islice(rows, _AT_ONCE)):
            file.execute("BEGIN")
            file.executemany(insert, some)
            file.execute("UPDATE books SET head_version = ?, head_hash = ?", (some[-1][0], some[-1][9]))
            file.execute("COMMIT")
            print(f"\r{some[-1][0]:,} events", end="", file=sys.stderr, flush=True)
        file.execute("PRAGMA journal_mode = WAL")
    with Bookkeeper.open(str(path)) as keeper:
        rebuild(keeper.database, BOOK)


def rows_of(
    given: Iterator[dict[str, str]], version: int, digest: bytes, same: tuple[Any, ...], seed: int
) -> Iterator[tuple[Any, ...]]:
    """The rows of fills after a version whose hash is `digest`; `same` are the columns that all fills here have alike."""
    random = Random(f"ids {seed}")  # noqa: S311 - repeatable, not secret
    recorded_at = same[6]
    for fill in given:
        version += 1
        number = f"{random.getrandbits(128):032x}"
        event_id = f"{number[:8]}-{number[8:12]}-4{number[13:16]}-a{number[17:20]}-{number[20:]}"
        base, quote, fee = (_canonical(fill[name]) for name in ("base_amount", "quote_amount", "fee_amount"))
        at = fill["at"].replace("+00:00", "Z")
        body = _BODY.format(
            at=at,
            base=base,
            event_id=event_id,
            fee=fee,
            key=fill["key"],
            order_id=fill["order_id"],
            quote=quote,
            recorded_at=recorded_at,
            session_id=fill["session_id"],
            side=fill["side"],
            tx_hash=fill["tx_hash"],
            version=version,
        ).encode()
        digest = hashlib.sha256(digest + body).digest()
        got, paid = ("", "-") if fill["side"] == "buy" else ("-", "")
        deltas = (f"{got}{base}", f"{paid}{quote}", f"-{fee}")
        yield (
            version, event_id, fill["key"], at, fill["session_id"], *deltas, body, digest, fill["tx_hash"], *same
        )  # fmt: skip


def _canonical(amount: str) -> str:
    return format(Decimal(amount).normalize(), "f")


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(prog="python -m bench.long_log", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--events", type=int, default=10_000_000, metavar="N", help="fills (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the fills (default %(default)s)")
    given = parser.parse_args()
    if given.file.exists():
        sys.exit(f"{given.file} is there already")
    long_log(given.file, given.events, given.seed)


if __name__ == "__main__":
    main()
