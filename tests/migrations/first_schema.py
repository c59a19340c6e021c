"""Ledgers as the first release left them: the first schema, with rows that the first release itself wrote.

`first_release.json` is what its tables held, text for text: every type of event, reversals and corrections, evidence,
three books, and odd texts of every kind that it accepted (hashes of nothing, of blanks, of an emoji; pairs as assets; marks
of 2062). The program of the commit before the second migration wrote it; it is not to be written anew.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command

from engine import schema
from ledger.database.connections import Database
from tests.engines import Engine, Raw, raw_access
from tests.postgres_support import clone_of, empty_database, url_of

FIRST = "0001"
BOOKS = ("main", "zz", "Ünï 💶")
_TIME = "2026-01-05T09:00:00.000000Z"


def first_ledger(engine: Engine, folder: Path, *, is_filled: bool = True) -> str:
    """The location of a new ledger of the first schema; filled, or without a book."""
    if engine == "postgres":
        return url_of(clone_of(_database(is_filled)))
    path = folder / "first.db"
    path.write_bytes(_file(is_filled))
    return str(path)


def written() -> dict[str, list[dict[str, Any]]]:
    """By table, the rows that the first release wrote; bodies and hashes as bytes, amounts and times as texts."""
    tables = json.loads(Path(__file__).with_name("first_release.json").read_text("utf-8"))
    return {
        name: [
            {column: _value(value) for column, value in zip(table["columns"], row, strict=True)}
            for row in table["rows"]
        ]
        for name, table in tables.items()
    }


def _value(stored: Any) -> Any:
    if isinstance(stored, dict):
        return stored["utf8"].encode() if "utf8" in stored else bytes.fromhex(stored["hex"])
    return stored


@cache
def _file(is_filled: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.db"
        _make(str(path), is_filled)
        return path.read_bytes()


@cache
def _database(is_filled: bool) -> str:
    name = empty_database()
    _make(url_of(name), is_filled)
    return name


def _make(location: str, is_filled: bool) -> None:
    with Database.open(location, "create") as database, database.writing() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST)
    if is_filled:
        with raw_access(location) as raw:
            raw.execute("BEGIN")
            for table, rows in written().items():
                insert(raw, table, rows)
            raw.execute("COMMIT")


def insert(raw: Raw, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put rows into a table, amounts and times as texts."""
    for row in rows:
        places = ", ".join("?" for _ in row)
        raw.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))


def fill_with_deposits(location: str, count: int) -> None:
    """Make the book `long` of so many events, all but the first a deposit of 1 with a hash of its own, by the first form."""
    opening = {"base_asset": "XRP", "mode": "live", "numeraire": "RLUSD", "withdrawal_policy": "profit_first/1"}
    rows, previous = [], bytes(32)
    for version in range(1, count + 1):
        fields = {"at": _TIME, "book": "long", "event_id": f"id-{version}", "recorded_at": _TIME, "version": version}
        if version == 1:
            fields |= {**opening, "key": "opened", "type": "opened/1"}
        else:
            money = {"amount": "1", "asset": "RLUSD", "basis_delta": "1", "basis_unknown": False}
            fields |= {**money, "key": f"k{version}", "tx_hash": f"{version:064x}", "type": "deposit/1"}
        body = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        previous = hashlib.sha256(previous + body).digest()
        rows.append(_row(fields, version, body, previous))
    book = {
        "book": "long",
        **{name: opening[name] for name in ("mode", "numeraire", "base_asset", "withdrawal_policy")},
    }
    with raw_access(location) as raw:
        raw.execute("BEGIN")
        insert(raw, "books", [{**book, "head_version": count, "head_hash": previous, "head_recorded_at": _TIME}])
        insert(raw, "events", rows)
        raw.execute("COMMIT")


def _row(fields: Mapping[str, Any], version: int, body: bytes, digest: bytes) -> dict[str, Any]:
    kind = str(fields["type"]).partition("/")[0]
    delta = "1" if kind == "deposit" else "0"
    moved = {"asset": "RLUSD", "asset_delta": "1"} if kind == "deposit" else {}
    return {
        **{name: fields[name] for name in ("book", "event_id", "key", "at", "recorded_at")},
        "version": version,
        "type": kind,
        "effect_of": kind,
        **moved,
        **dict.fromkeys(("net_deposits_delta", "basis_delta", "starting_value_delta"), delta),
        "unknown_fees": 0,
        "unknown_bases": 0,
        "body": body,
        "hash": digest,
    }
