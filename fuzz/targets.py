"""What is fuzzed: each target takes bytes, and raises only when the program is wrong.

Whatever stands in a file, a line or a field is taken or refused by one of the program's own errors; what is taken survives
being written down and read again.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import IO

from sqlalchemy import Connection

from cli.page.application import PAGES
from cli.shared.config import read_settings
from cli.shared.usage import WrongUsage
from engine.bookkeeper import Bookkeeper
from engine.columns.believed import TrustedSegments
from engine.columns.dialects import text_for
from engine.columns.duck import Duck, EngineFailed, duckdb_session
from engine.columns.sealing import Sealing, seal, store_of
from engine.columns.segment_file import Stretch, difference
from engine.importers.items import Sample, Settings, Unreadable
from engine.importers.kinds import LEGACY, MODULES, kind_named
from engine.importers.legacy.importing import ImportRequest, import_legacy
from engine.paper.strategy_config import parse_strategy
from engine.paper.tape import read_tape
from engine.proof.columns_lane import ColumnsLane, DuckSource
from engine.proof.heads import read_heads
from ledger import store
from ledger.amounts import amount_text, parse_amount, shown_amount
from ledger.book import GENESIS_HASH, Book, Head
from ledger.database.connections import Database
from ledger.database.log_columns import SEGMENTS
from ledger.errors import NetbasisError, Refused
from ledger.events import Opened
from ledger.integrity.raw_log import raw_range
from ledger.parsing import parse_line
from ledger.rules import complete
from ledger.spans import parse_span
from ledger.stored import decode_body, encode_body
from ledger.texts import KEY_CHARACTERS, normal_tx_hash, parse_asset, parse_text
from ledger.times import END, parse_time, time_text
from projections.sums import NotSummed, state_of_sums, sums
from tests.cli.page.page_support import Page, page_of
from tests.ledger.database.store_support import append_sample
from tests.support import TickingClock

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
BOOK = Book("main", "live", "RLUSD", "XRP", "profit_first/1")


@dataclass(frozen=True)
class Target:
    """Something that reads.

    read:  takes any bytes; raises for a bug
    runs:  its share of a million executions
    most:  bytes of one input
    """

    read: Callable[[bytes], None]
    runs: int
    most: int = 400


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def ndjson(data: bytes) -> None:
    """A line of `append --file`; what is taken has the same bytes after it was read back."""
    with suppress(Refused):
        event = complete(parse_line(data), BOOK)
        body = encode_body(event, book="main", version=2, event_id="id", recorded_at=NOW)
        again = decode_body(body).event
        assert encode_body(again, book="main", version=2, event_id="id", recorded_at=NOW) == body


def amounts(data: bytes) -> None:
    """An amount in quotes."""
    with suppress(Refused):
        amount = parse_amount(_text(data))
        assert parse_amount(amount_text(amount)) == amount
        assert parse_amount(shown_amount(amount)) == amount


def times(data: bytes) -> None:
    """A time, and a day, month or year."""
    text = _text(data)
    with suppress(Refused):
        at = parse_time(text)
        assert parse_time(time_text(at)) == at
    with suppress(Refused):
        span = parse_span(text, now=NOW, zone=UTC)
        assert span.start <= span.last


def keys(data: bytes) -> None:
    """Keys, assets, hashes."""
    text = _text(data)
    with suppress(Refused):
        assert parse_text(text, characters=KEY_CHARACTERS) == text
    with suppress(Refused):
        assert parse_asset(text) == text
    once = normal_tx_hash(text)
    assert normal_tx_hash(once) == once


def strategy(data: bytes) -> None:
    """The YAML of a strategy."""
    with suppress(Refused):
        parse_strategy(data, name="fuzz.yaml")


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="netbasis-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


def settings(data: bytes) -> None:
    """netbasis.toml."""
    _file("netbasis.toml", data)
    with suppress(WrongUsage):
        read_settings(_folder())


def tape(data: bytes) -> None:
    """A tape of a market."""
    with suppress(Refused):
        read_tape(_file("tape.csv", data))


def heads(data: bytes) -> None:
    """A file of heads."""
    with suppress(Refused):
        read_heads(_file("heads.ndjson", data))


class _Source:
    """Bytes as a file of an import."""

    name = "fuzz"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def head(self) -> bytes:
        return self._data[: 1 << 16]

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        yield io.TextIOWrapper(io.BytesIO(self._data), "utf-8-sig", "surrogateescape", newline="")

    @contextmanager
    def database(self) -> Iterator[str]:
        yield str(_file("fuzz.db", self._data))


_KINDS = [name for name in MODULES if name != LEGACY]


def importers(data: bytes) -> None:
    """A file of every kind, which the first byte names."""
    if not data:
        return
    kind = kind_named(_KINDS[data[0] % len(_KINDS)])
    kind.recognises(Sample("fuzz", data[1:]))
    with suppress(Unreadable, Refused):
        for _ in kind.read(
            [_Source(data[1:])], Settings(numeraire="USD", account="rN7n7otQDd6FczFgLdSqtcsAUxDkw6fzRH")
        ):
            pass


@cache
def _keeper() -> Bookkeeper:
    keeper = Bookkeeper.open(str(_folder() / "ledger.db"), "create")
    keeper.open_book("main", Opened(mode="live"))
    return keeper


def legacy(data: bytes) -> None:
    """The database of an older engine, in a dry run."""
    with suppress(NetbasisError):
        import_legacy(_keeper(), "main", ImportRequest(str(_file("old.db", data)), {}), dry_run=True)


@cache
def _page() -> Page:
    keeper = Bookkeeper.open(str(_folder() / "page.db"), "create", clock=TickingClock())
    keeper.open_book("main", Opened(mode="live"))
    append_sample(keeper)
    return page_of(keeper)


def queries(data: bytes) -> None:
    """The query string of a page, which the first byte names: shown, or said to be wrong; never the server's fault."""
    if not data:
        return
    paths = (*PAGES, "/books", "/event", "/check", "/metrics")
    page = _page()
    page.said.clear()
    answer = page.get(f"{paths[data[0] % len(paths)]}?{data[1:].decode('latin-1')}")
    assert answer.status in (200, 307, 400, 404, 413), (answer.status, page.said)


_OPEN = ExitStack()  # as long as the process


@dataclass(frozen=True)
class _Sealed:
    """A ledger with one segment, open to be read; the segment's file; a DuckDB, and what asks it about the segment."""

    database: Database
    connection: Connection
    book: Book
    head: Head
    file: Path
    duck: Duck
    source: DuckSource

    def believed(self) -> TrustedSegments:
        """The segment, believed whatever its file holds."""
        locate = partial(store_of, self.database)
        return TrustedSegments(self.connection, self.book, self.head, locate, is_hashed=True)


@cache
def _sealed() -> _Sealed:
    location = _folder() / "sealed.db"
    with Bookkeeper.open(str(location), "create", clock=TickingClock()) as keeper:
        keeper.open_book("main", Opened(mode="live"))
        append_sample(keeper)
        seal(keeper.database, "main", Sealing(None, lambda: NOW, 10))
    database = _OPEN.enter_context(Database.open(str(location), "read"))
    connection = _OPEN.enter_context(database.reading())
    book, head = store.require_book(connection, "main")
    duck = _OPEN.enter_context(duckdb_session())
    found = TrustedSegments(connection, book, head, partial(store_of, database))
    source = DuckSource(duck, found, None, END, ())
    return _Sealed(database, connection, book, head, next(_folder().rglob("*.parquet")), duck, source)


_SUMS = text_for("duckdb", sums(SEGMENTS))


def segments(data: bytes) -> None:
    """A segment with other bytes whose hash the manifest has: summed, proved or passed over, and never a bug's error."""
    sealed = _sealed()
    sealed.file.write_bytes(data)
    found = sealed.believed()
    with suppress(EngineFailed, NotSummed):
        sealed.duck.use(found.store(found.entered[0]), [found.file(found.entered[0])])
        state_of_sums(sealed.duck.rows(_SUMS))
    for _ in ColumnsLane(sealed.connection, found).items(sealed.source):
        pass
    store_of_segment = found.store(found.entered[0])
    stretch = Stretch(1, GENESIS_HASH, raw_range(sealed.connection, "main", 1, 10))
    difference(store_of_segment, found.file(found.entered[0]), "main", 1, 10, [stretch])


TARGETS: Mapping[str, Target] = {
    "ndjson": Target(ndjson, 200_000),
    "amounts": Target(amounts, 200_000, 60),
    "times": Target(times, 150_000, 40),
    "keys": Target(keys, 150_000, 250),
    "strategy": Target(strategy, 60_000),
    "settings": Target(settings, 60_000),
    "tape": Target(tape, 60_000),
    "heads": Target(heads, 60_000),
    "importers": Target(importers, 100_000, 1000),
    "legacy": Target(legacy, 4_000, 20_000),
    "queries": Target(queries, 5_000, 200),
    "segments": Target(segments, 1_500, 20_000),
}
