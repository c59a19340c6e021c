"""A segment store of sound and of damaged books, for the tests on a cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as parquet

from engine.bookkeeper import Bookkeeper
from engine.columns.figures import encode_state
from engine.columns.sealing import Sealing, seal
from ledger.events import Opened
from ledger.stored import StoredEvent, chain_hash
from projections.marks import Selection
from projections.state import BookState, fold
from tests.engine.columns.logs import append_more
from tests.support import START, event, log_of, open_keeper

NOW = START + timedelta(days=4000)
WIDE = {"asset": "XRP", "amount": "9" * 20, "reason": "reward"}
SOUND = ("a/b", "main", "wide")
STEPS: list[dict[str, Any]] = [
    {
        "type": "fill",
        "side": "buy",
        "base_asset": "XRP",
        "base_amount": "3",
        "quote_asset": "RLUSD",
        "quote_amount": "4",
    },
    {"type": "mark", "asset": "XRP", "price": "1.33"},
    {"type": "adjustment", "asset": "XRP", "amount": "-0.1", "reason": "fee"},
]
# What a forger changes in a file whose hash he puts into the manifest; `asset_delta` stands in fills and adjustments alone.
FAULTS: dict[str, Any] = {
    "asset_delta": "7",
    "asset_delta_decimal": 7,
    "asset_delta_rest": 1,
    "key": "another",
    "reason": "another",
    "at": START,
    "body": b"[",
    "hash": bytes(32),
    "previous_hash": bytes(32),
    # In the body, which is no UTF-8 then, and whose hash fits.
    "actor": b"\xff",
    "recorded_at": START - timedelta(days=9),
}


def folded(log: list[StoredEvent]) -> BookState:
    """What a log adds up to by the pure folds."""
    return fold(log, standing=Selection(frozenset(each.reverses for each in log if each.reverses is not None)))


@dataclass(frozen=True)
class MadeStore:
    """A store. `sealed`: by book, the sealed part of its log. `planted`: of the book `forged`, what was changed where."""

    location: Path
    sealed: Mapping[str, list[StoredEvent]]
    planted: Mapping[int, tuple[str, str]]

    @property
    def sound(self) -> dict[str, list[StoredEvent]]:
        """The logs of the books with which nothing is wrong."""
        return {name: self.sealed[name] for name in SOUND}


def make_store(folder: Path, *, damaged: bool = True) -> MadeStore:
    """A store of three sound books and of some damaged ones, sealed as far as whole segments go."""
    location = folder / "segments"
    sealed: dict[str, list[StoredEvent]] = {}
    with open_keeper(folder) as keeper:
        append_more(keeper)
        _open(keeper, "a/b", [event("mark", asset="XRP", price=f"1.{n + 1}", at=START.isoformat()) for n in range(25)])
        _open(keeper, "wide", [event("adjustment", **WIDE) for _ in range(9)])
        for name in ("cut", "lost", "unreadable", "richer", "forged") if damaged else ():
            _open(keeper, name, [event(**each) for _ in range(3 * len(FAULTS)) for each in _like(STEPS)])
        sizes = {"wide": 5, "main": 8, "a/b": 8, "forged": 10_000}
        for name in keeper_books(keeper):
            size = min(sizes.get(name, 20), keeper.view(name).head.version)
            done = seal(keeper.database, name, Sealing(str(location), lambda: START, size))
            sealed[name] = log_of(keeper, name)[: done.sealed_until]
    return MadeStore(location, sealed, _damage(location, sealed) if damaged else {})


def keeper_books(keeper: Bookkeeper) -> list[str]:
    """The names of the books of a ledger."""
    from ledger import store

    with keeper.database.reading() as connection:
        return store.book_names(connection)


def _like(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{("kind" if name == "type" else name): value for name, value in step.items()} for step in steps]


def _open(keeper: Bookkeeper, name: str, events: list[Any]) -> None:
    keeper.open_book(name, Opened(mode="paper"))
    keeper.append_all(name, [each.model_copy(update={"key": f"k:{n}"}) for n, each in enumerate(events)])


def _damage(location: Path, sealed: Mapping[str, list[StoredEvent]]) -> dict[int, tuple[str, str]]:
    cut = segment_file(location, "cut", 21)
    content = bytearray(cut.read_bytes())
    content[len(content) // 2] ^= 1
    cut.write_bytes(content)
    segment_file(location, "lost", 21).unlink()
    (location / "book=unreadable" / "_manifest.json").write_text("{}")
    manifest = location / "book=richer" / "_manifest.json"
    document = orjson.loads(manifest.read_bytes())
    # The state at the end of the second segment, with the first fill once more.
    log = sealed["richer"][:40]
    richer = folded([*log, log[1]])
    state = orjson.loads(document["segments"][1]["state"])
    state["inventory"]["XRP"] = orjson.loads(_encoded(richer))["inventory"]["XRP"]
    document["segments"][1]["state"] = orjson.dumps(state, option=orjson.OPT_SORT_KEYS).decode()
    manifest.write_bytes(orjson.dumps(document))
    return _forge(location, sealed["forged"])


def _encoded(state: BookState) -> str:
    from tests.projections.in_memory import TERMS

    return encode_state(state, TERMS)


def _forge(location: Path, log: list[StoredEvent]) -> dict[int, tuple[str, str]]:
    """Change a column of one row in two, each in a row of each type, and enter the hash of the new file."""
    path = segment_file(location, "forged", 1)
    table = parquet.read_table(path, partitioning=None)
    rows, planted = table.to_pylist(), {}
    for number, (column, value) in enumerate(FAULTS.items()):
        for kind in range(3):
            place = 1 + 9 * number + 4 * kind
            if column == "actor":
                _say_in_body(rows[place], column, value)
            else:
                rows[place][column] = value
            planted[log[place].version] = (column, log[place].type)
    parquet.write_table(table.from_pylist(rows, schema=table.schema), path)
    manifest = location / "book=forged" / "_manifest.json"
    document = orjson.loads(manifest.read_bytes())
    document["segments"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_bytes(orjson.dumps(document))
    return planted


def _say_in_body(row: dict[str, Any], field: str, value: bytes) -> None:
    """A field that sorts before all others comes into a row's body, and the hash is made anew."""
    row["body"] = b'{"%s":"%s",' % (field.encode(), value) + row["body"][1:]
    row["hash"] = chain_hash(row["previous_hash"], row["body"])


def segment_file(location: Path, book: str, first: int) -> Path:
    """The file of the segment that begins at a version."""
    return next((location / f"book={book}").glob(f"{first}-*.parquet"))
