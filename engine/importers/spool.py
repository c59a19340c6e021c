"""The rows of one import, put aside in a temporary database and given back in the order of time; memory stays flat.

A row without an id is recognised by its content and by how often that content has occurred. Occurrences are counted within
each file, and the n-th one of one file is the same row as the n-th one of another, so that overlapping files of one import
give each row once:

    file 1: a a b      file 2: a b b      the rows are a#1 a#2 b#1 b#2

Rows of one id must have one content. Of several contents the first counts, and the others are quarantined.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path

import orjson

from engine.aside import folder_aside
from engine.importers.facts import DEPOSIT, content_of, encode_facts, micros
from engine.importers.items import Contract, Item, Origin, PassedOver, QuarantinedRow, Row
from engine.inbox import Entry
from ledger.amounts import amount_text
from ledger.progress import OnProgress
from ledger.texts import normal_tx_hash
from ledger.times import EPOCH

ROWS_AT_ONCE = 2000
# More than this many are counted, not kept.
QUARANTINED_KEPT = 10_000
_ORDER_BIAS = 1 << 62
_ORDER_DIGITS = 20

_SCHEMA = """
CREATE TABLE rows (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, ord TEXT NOT NULL, kind TEXT NOT NULL, id TEXT, content TEXT NOT NULL,
    number INTEGER NOT NULL, file INTEGER NOT NULL, place TEXT NOT NULL, facts BLOB NOT NULL
);
"""
_INSERT = "INSERT INTO rows VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# Of rows with one key the first is taken; these are the others, each with the first one's content and place.
_EXTRA = """
SELECT seq, content, place, file, first_content, first_place, first_file FROM (
    SELECT seq, content, place, file,
        FIRST_VALUE(content) OVER of_key AS first_content, FIRST_VALUE(place) OVER of_key AS first_place,
        FIRST_VALUE(file) OVER of_key AS first_file, ROW_NUMBER() OVER of_key AS which
    FROM rows WINDOW of_key AS (
        PARTITION BY kind, COALESCE(id, ''), CASE WHEN id IS NULL THEN content END, number ORDER BY seq
    )
) WHERE which > 1
"""
_NUMBERED = """
UPDATE rows SET number = found.number FROM (
    SELECT seq, ROW_NUMBER() OVER (PARTITION BY kind, content, file ORDER BY seq) AS number FROM rows WHERE id IS NULL
) AS found WHERE rows.seq = found.seq
"""


# Movements that name their transaction, and pairs of them: the n-th that went out of one venue with the n-th that came in.
_MOVES = """
CREATE TABLE moves (key TEXT PRIMARY KEY, seq INTEGER, hash TEXT, asset TEXT, amount TEXT, is_in INTEGER, at INTEGER)
"""
_HASHED = """
SELECT seq, at, kind, id, content, number, facts FROM rows
WHERE instr(facts, '"type":"movement"') AND instr(facts, '"tx_hash"')
"""
_PAIRS = """
WITH numbered AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY hash, asset, amount, is_in ORDER BY at, seq, key) AS which FROM moves
)
SELECT sent.key, sent.seq, received.key, received.seq FROM numbered AS sent JOIN numbered AS received
    ON (sent.hash, sent.asset, sent.amount, sent.which) = (received.hash, received.asset, received.amount, received.which)
WHERE NOT sent.is_in AND received.is_in
"""


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """A row of an import with its key.

    key:     `<kind>:<id>`, or `<kind>:<content>:<occurrence>` for a row without an id
    kind:    the kind's name
    at:      when it happened, UTC
    facts:   as `engine.importers.facts` encodes them
    origin:  where it stands
    """

    key: str
    kind: str
    at: datetime
    facts: bytes
    origin: Origin


def row_key(kind: str, row_id: str | None, content: str, number: int) -> str:
    """The key of a row: by the venue's id, or by content and occurrence."""
    return f"{kind}:{content}:{number}" if row_id is None else f"{kind}:{row_id}"


def half_a_pair(row: Row, error: Exception) -> QuarantinedRow:
    """A row with half of a surrogate pair, which cannot be stored."""
    return QuarantinedRow(row.origin, f"a text has half of a surrogate pair: {error}")


class Tally:
    """What an import met beside rows.

    quarantined:  rows that are not understood, or do not fit; at most `QUARANTINED_KEPT` are kept
    count:        how many there were
    passed_over:  by reason, how many rows
    contracts:    by symbol, how many rows of positions
    repeated:     rows that stand in the files more than once, and count once
    """

    def __init__(self) -> None:
        self.quarantined: list[QuarantinedRow] = []
        self.count = 0
        self.passed_over: Counter[str] = Counter()
        self.contracts: Counter[str] = Counter()
        self.repeated = 0

    def quarantine(self, item: QuarantinedRow) -> None:
        """Add a quarantined row."""
        self.count += 1
        if len(self.quarantined) < QUARANTINED_KEPT:
            self.quarantined.append(item)

    def add(self, item: Item) -> None:
        """Add an item that is no row."""
        match item:
            case QuarantinedRow():
                self.quarantine(item)
            case PassedOver():
                self.passed_over[item.reason] += 1
            case Contract():
                self.contracts[item.symbol] += 1


class Spool:
    """Rows that were put aside; see `spooled`.

    tally:  what else the files had
    """

    def __init__(self, connection: sqlite3.Connection, tally: Tally) -> None:
        self._connection = connection
        self._files: dict[str, int] = {}
        self.tally = tally

    def add(self, kind: str, items: Iterable[Item], on_progress: OnProgress | None = None) -> None:
        """Put the rows of a kind's files aside."""
        rows = self._values(kind, items)
        done = 0
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            self._connection.executemany(_INSERT, chunk)
            done += len(chunk)
            if on_progress is not None:
                on_progress(done)

    def _values(self, kind: str, items: Iterable[Item]) -> Iterator[tuple[object, ...]]:
        for item in items:
            if not isinstance(item, Row):
                self.tally.add(item)
                continue
            try:
                yield self._value(kind, item)
            except (UnicodeEncodeError, TypeError) as error:
                self.tally.quarantine(half_a_pair(item, error))

    def _value(self, kind: str, row: Row) -> tuple[object, ...]:
        facts = encode_facts(row.facts)
        if row.id is not None:
            row.id.encode()
        file = self._files.setdefault(row.origin.file, len(self._files))
        order = ".".join(f"{number + _ORDER_BIAS:0{_ORDER_DIGITS}d}" for number in row.order)
        return micros(row.at), order, kind, row.id, content_of(row, facts), 0, file, row.origin.place, facts

    def settle(self) -> None:
        """Count the occurrences of rows without an id, and remove what stands in the files more than once."""
        self._connection.execute(_NUMBERED)
        self._tell_extra()
        self._connection.execute(f"DELETE FROM rows WHERE seq IN (SELECT seq FROM ({_EXTRA}))")  # noqa: S608 - constants
        self._connection.execute("CREATE INDEX by_time ON rows (at, ord, file, seq)")

    def _tell_extra(self) -> None:
        names = list(self._files)
        for _, content, place, file, first_content, first_place, first_file in self._connection.execute(_EXTRA):
            if content == first_content:
                self.tally.repeated += 1
            else:
                first = Origin(names[first_file], first_place)
                reason = f"the same id stands at {first} with other content, which counts"
                self.tally.quarantine(QuarantinedRow(Origin(names[file], place), reason))

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT COUNT(*) FROM rows").fetchone()
        return int(count)

    def rows(self) -> Iterator[SpooledRow]:
        """The rows in the order of time, then of the venue, then of the files."""
        return self._rows("ORDER BY at, ord, file, seq")

    def pairs(self, waiting: Iterable[Entry]) -> dict[str, SpooledRow | Entry]:
        """Movements out of one account and into another: the key of each side → the other side.

        They have one hash, asset and amount. At least one of the two is a row of this import; the other may be an entry
        of the inbox. `waiting`: the movements that wait there.
        """
        entries = {entry.key: entry for entry in waiting}
        self._connection.execute(_MOVES)
        moves = chain(self._moves(), (_move_of(entry) for entry in entries.values() if entry.tx_hash))
        while chunk := list(islice(moves, ROWS_AT_ONCE)):
            self._connection.executemany("INSERT OR IGNORE INTO moves VALUES (?, ?, ?, ?, ?, ?, ?)", chunk)
        found: dict[str, SpooledRow | Entry] = {}
        for sent, sent_seq, received, received_seq in self._connection.execute(_PAIRS).fetchall():
            if sent_seq is not None or received_seq is not None:
                found[sent] = entries[received] if received_seq is None else self._row(received_seq)
                found[received] = entries[sent] if sent_seq is None else self._row(sent_seq)
        return found

    def _moves(self) -> Iterator[tuple[object, ...]]:
        for seq, at, kind, row_id, content, number, facts in self._connection.execute(_HASHED):
            for fact in orjson.loads(facts):
                if fact["type"] == "movement" and fact.get("tx_hash"):
                    key = row_key(kind, row_id, content, number)
                    is_in = fact["direction"] == "in"
                    yield key, seq, normal_tx_hash(fact["tx_hash"]), fact["asset"], fact["amount"], is_in, at

    def _row(self, seq: int) -> SpooledRow:
        return next(self._rows("WHERE seq = ?", seq))

    def _rows(self, which: str, *values: int) -> Iterator[SpooledRow]:
        names = list(self._files)
        query = f"SELECT at, kind, id, content, number, file, place, facts FROM rows {which}"  # noqa: S608 - constants
        for at, kind, row_id, content, number, file, place, facts in self._connection.execute(query, values):
            key = row_key(kind, row_id, content, number)
            yield SpooledRow(key, kind, EPOCH + timedelta(microseconds=at), facts, Origin(names[file], place))


def _move_of(entry: Entry) -> tuple[object, ...]:
    assert entry.amount is not None
    is_in = entry.type == DEPOSIT
    tx_hash = normal_tx_hash(entry.tx_hash or "")
    return entry.key, None, tx_hash, entry.asset, amount_text(entry.amount), is_in, micros(entry.at)


@contextmanager
def spooled(tally: Tally) -> Iterator[Spool]:
    """A spool in a temporary folder, which is removed at the end."""
    with folder_aside("import") as folder, closing(_opened(folder / "rows.db")) as connection:
        yield Spool(connection, tally)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    # Nothing here outlives the import, so nothing needs to be safe on the disk.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", "cache_size = -16000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN")
    return connection
