"""The fast lane of `check` and the slow one say the same of every row, sound or not, and the fast one takes what is common.

So does a log whose ranges are proved each by itself, as workers do (`test_workers.py`).

Each change is made in one transaction that is taken back, and both go over the log as it stands in it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, text, update
from sqlalchemy.exc import DBAPIError

from engine.proof.book_pass import Pass
from engine.proof.ranges_lane import RangesLane
from engine.proof.request import CheckRequest, ExpectedHead
from ledger import store
from ledger.book import GENESIS_HASH, Book, Head
from ledger.database.connections import Database
from ledger.database.tables import books, events
from ledger.effects import effects_of
from ledger.errors import NetbasisError
from ledger.event_types import read_event_types
from ledger.events import Event
from ledger.integrity import fast_lane
from ledger.integrity.fast_forms import FORMS
from ledger.integrity.findings import Finding
from ledger.integrity.ranges import Item, RangeTerms, proved_range
from ledger.integrity.raw_rows import any_text
from ledger.integrity.tally import FEE_REASONS
from ledger.mapper import encode_row, stored_event
from ledger.rules import complete
from ledger.stored import chain_hash, decode_body, encode_body
from projections import fees
from projections.state import BookState
from tests.engines import Engine
from tests.ledger.database.store_support import VERSION_OF, append_sample
from tests.support import BOOK, EVERYTHING, START, a_share_of, event, open_keeper

COMMON = sorted(fast_lane.KINDS)
COLUMNS = [column.name for column in events.columns]
NOW = START + timedelta(days=400)
Change = Callable[[Connection], None]


def dice_of(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311 - repeatable, not secret


@dataclass(frozen=True)
class Outcome:
    """All that a pass over a log tells."""

    findings: list[Finding]
    notes: list[str]
    state: BookState
    assets: list[str]
    head: Head
    progress: list[int]


class _Counting(fast_lane.FastLane):
    """A lane that counts the rows that it has taken."""

    taken = 0

    def take(self, rows: Any, head: Head, numeraire: str) -> fast_lane.ProvedRows | None:
        found = super().take(rows, head, numeraire)
        self.taken += 0 if found is None else len(rows)
        return found


class _InRanges(RangesLane):
    """Ranges that are proved in this process, since no other one sees what a transaction has changed."""

    def _joined(self, workers: Any) -> Iterator[Item]:
        for first in range(2, self._last + 1, self._size):
            for answer in proved_range(self._connection, self._of, first, min(first + self._size - 1, self._last)):
                if answer is None:
                    return
                yield from pickle.loads(pickle.dumps(answer))  # noqa: S301 - as it comes from a worker


def outcome(
    connection: Connection, is_fast: bool, expected: ExpectedHead | None = None, size: int | None = None
) -> tuple[Outcome, int]:
    """What a pass tells, and how many rows the fast lane took. `size`: of the ranges; None: the log is not divided."""
    progress: list[int] = []
    known = frozenset(read_event_types(connection))
    wanted = CheckRequest(expected_head=expected, on_progress=progress.append, now=NOW, is_fast=is_fast)
    run = Pass(connection, BOOK, wanted, known)
    lane = None
    if run._lane is not None:
        run._lane = lane = _Counting(run._lane._terms)
    events_there = run.prover.stored_head_version
    if size is not None and type(events_there) is int and events_there < 10**6:
        of = RangeTerms(run._terms, run.prover.book.numeraire, frozenset(), run._heads.awaited())
        run._ranges = _InRanges("", connection, of, events_there, workers=0)
        run._ranges._size = size
    with any_text(connection):
        findings = list(run.findings())
    notes = list(run.notes.lines(run.state))
    found = Outcome(findings, notes, run.state, list(run.state.inventory), run.prover.head, progress)
    return found, 0 if lane is None else lane.taken


def require_same(
    connection: Connection, what: object = None, expected: ExpectedHead | None = None, share_in_ranges: float = 0.4
) -> tuple[Outcome, int]:
    """Both lanes tell the same, and in a share of the calls the log in ranges; what, and how many rows the fast one took."""
    fast, taken = outcome(connection, True, expected)
    slow, _ = outcome(connection, False, expected)
    assert fast == slow, what
    if dice_of(str(what)).random() < share_in_ranges or EVERYTHING:
        size = dice_of(str(what)).choice((1, 4, 9) if taken < 100 else (30, 120))
        assert outcome(connection, True, expected, size)[0] == slow, (what, size)
    return fast, taken


class _Done(Exception):
    """Nothing of a test's changes stays."""


@contextmanager
def as_intruder(location: str) -> Iterator[Connection]:
    """A connection that no trigger and no constraint hinders; all that is done with it is taken back."""
    with Database.open(location, "write") as database:
        try:
            with database.writing() as connection:
                if database.dialect == "postgresql":
                    connection.execute(text("SET LOCAL session_replication_role = replica"))
                else:
                    connection.execute(text("PRAGMA defer_foreign_keys = ON"))
                    connection.execute(text("PRAGMA ignore_check_constraints = ON"))
                    names = connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
                    for name in names:
                        connection.execute(text(f"DROP TRIGGER {name}"))
                yield connection
                raise _Done
        except _Done:
            pass


def tried(connection: Connection, change: Change, what: object) -> int:
    """Make a change, compare the lanes and take it back; how many rows the fast one took, −1 where it cannot be made."""
    nested = connection.begin_nested()
    try:
        return require_same(connection, what)[1] if is_made(connection, change) else -1
    finally:
        nested.rollback()


def is_made(connection: Connection, change: Change) -> bool:
    """Make a change, if a column's type or a key does not forbid it."""
    try:
        with connection.begin_nested():
            change(connection)
    except DBAPIError:
        return False
    return True


def tried_at_once(connection: Connection, changes: Iterable[tuple[str, str, Change]]) -> None:
    """Make one change of each type of event at once, then the next of each, and compare the lanes each time.

    `changes`: the types, what is changed, and how. Wherever a row was changed, the fast lane goes on behind it.
    """
    of_types: dict[str, list[tuple[str, Change]]] = {}
    for kind, what, change in changes:
        of_types.setdefault(kind, []).append((f"{kind}: {what}", change))
    versions = versions_of(connection)
    common = sum(len(versions[kind]) for kind in COMMON)
    for together in zip_longest(*of_types.values()):
        nested = connection.begin_nested()
        made = [given[0] for given in together if given is not None and is_made(connection, given[1])]
        _, taken = require_same(connection, made, share_in_ranges=1)
        assert taken >= common - 2 * len(made) - 1, (taken, made)
        nested.rollback()


def set_raw(column: str, version: int, value: object) -> Change:
    """A change of one column, past its type."""

    def change(connection: Connection) -> None:
        query = text(f'UPDATE events SET "{column}" = :value WHERE version = :version')
        connection.execute(query, {"value": value, "version": version})

    return change


@pytest.fixture
def ledger(location: str, tmp_path: Path) -> str:
    """The location of a closed ledger with the sample log and more of the common types, on each engine in turn."""
    with open_keeper(tmp_path, location=location) as keeper:
        append_sample(keeper)
        keeper.append_all(BOOK, list(common_events(dice_of(7), 8)))
    return location


@pytest.fixture
def short_ledger(tmp_path: Path) -> str:
    """A closed file with two events of each of the common types."""
    dice = dice_of(7)
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(BOOK, [_COMMON[kind](dice, f"c:{place}") for place, kind in enumerate(COMMON * 2)])
    return str(tmp_path / "ledger.db")


def common_events(dice: Random, count: int) -> Iterator[Event]:
    """Events of the common types with all kinds of fields, in the canonical form and not; every one of them is taken."""
    for index in range(count):
        yield _COMMON[dice.choice(COMMON)](dice, f"c:{index}")


def amount(dice: Random) -> str:
    digits = dice.choice((1, 6, 16, 20))
    return str(Decimal(dice.randrange(1, 10**digits)).scaleb(-dice.randrange(0, 37 if digits < 20 else 6)))


def some(dice: Random, **fields: object) -> dict[str, object]:
    """Some of the fields."""
    return {name: value for name, value in fields.items() if dice.random() < 0.5}


def envelope(dice: Random, key: str) -> dict[str, object]:
    at = START - timedelta(seconds=dice.randrange(10**7), microseconds=dice.choice((0, 1, 500_000)))
    hashes = ("AB12", "ab12", "0xAbC", " 12 ", "5Kd3NBU", "0XFF", "é")
    more = some(dice, session_id="s é", actor="ann", source_note="why: ‘so’", tx_hash=dice.choice(hashes))
    return {"key": key, "at": at.isoformat(), **more}


def _fill(dice: Random, key: str) -> Event:
    base, quote = dice.sample(("XRP", "RLUSD", "BTC.rIssuer", "€UR"), 2)
    fee = {"fee_asset": dice.choice(("XRP", "FEE")), "fee_amount": dice.choice(("0", "-0.001", amount(dice)))}
    given = {"side": dice.choice(("buy", "SELL")), "base_asset": base, "base_amount": amount(dice)}
    given |= {"quote_asset": quote, "quote_amount": amount(dice), **(fee if dice.random() < 0.7 else {})}
    more = some(dice, liquidity="maker", order_id="", strategy="grid")
    return event("fill", **envelope(dice, key), **given, **more)


def _deposit(dice: Random, key: str) -> Event:
    asset = dice.choice(("XRP", "RLUSD"))
    given = {
        "asset": asset,
        "amount": str(dice.randrange(1, 10**9)),
        "price": None if asset == "RLUSD" else "1.00000003",
    }
    basis = dice.choice(({}, {"basis_delta": "0"}, {"basis_delta": "-1.50"}, {"basis_unknown": True}))
    return event("deposit", **envelope(dice, key), **given, **basis)


def _mark(dice: Random, key: str) -> Event:
    given = {"asset": dice.choice(("XRP", "€UR")), "price": dice.choice(("0", amount(dice)))}
    return event("mark", **envelope(dice, key), **given, **some(dice, price_source="desk"))


def _adjustment(dice: Random, key: str) -> Event:
    reason = dice.choice(("fee", "network_fee", "dust"))
    given = {"asset": dice.choice(("XRP", "DUST")), "amount": dice.choice(("", "-")) + amount(dice), "reason": reason}
    return event("adjustment", **envelope(dice, key), **given, **some(dice, group="9A0F"))


_COMMON = {"fill": _fill, "deposit": _deposit, "mark": _mark, "adjustment": _adjustment}


def versions_of(connection: Connection) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for kind, version in connection.execute(text("SELECT type, version FROM events ORDER BY version")):
        found.setdefault(kind, []).append(version)
    return found


VALUES: dict[str, object] = {
    "null": None,
    "text": "garbage",
    "empty": "",
    "minus zero": "-0",
    "padded": "0.0",
    "whole zero": 0,
    "whole": 7,
    "float zero": 0.0,
    "blob": b"0",
    "nan": "NaN",
    "other digits": "１２",
    "time": "2026-01-05T09:00:00.000000Z",
    "time before Christ": "2026-01-05 09:00:00+00 BC",
    "another type": "mark",
}


def test_a_changed_column_of_any_event_is_told_alike(ledger: str) -> None:
    """Of the common types one or two of the values in each column, others in the next; and what is wrong only a little."""
    with as_intruder(ledger) as connection:
        kinds = versions_of(connection)
        changes = (
            (kind, f"{column} {name}", set_raw(column, versions[-1], VALUES[name]))
            for row, column in enumerate(COLUMNS)
            for number, (kind, versions) in enumerate(kinds.items(), row)
            for name in (a_share_of(VALUES, number, parts=13) if kind in COMMON else a_share_of(("null",), number))
        )
        tried_at_once(connection, changes)
        later = connection.execute(text("SELECT version, replace(recorded_at, '.000000Z', '.000001Z') FROM events"))
        recorded = dict(tuple(row) for row in later)
        for column, value in (("unknown_fees", 7), ("unknown_bases", 7), ("recorded_at", None)):
            last = {kind: kinds[kind][-1] for kind in COMMON}
            wrong = ((kind, column, set_raw(column, at, value or recorded[at])) for kind, at in last.items())
            tried_at_once(connection, wrong)


@pytest.mark.both_engines
def test_a_value_of_another_row_is_told_alike(ledger: str) -> None:
    """What stands in a column of a sound row is put into another one."""
    with as_intruder(ledger) as connection:
        kinds = versions_of(connection)
        changes = (
            (kind, f"{column} of {other}", copied(column, kinds[other][0], kinds[kind][-1]))
            for row, kind in enumerate(COMMON)
            for number, column in enumerate(COLUMNS, row)
            for other in a_share_of(("fill", "deposit", "adjustment"), number, parts=11)
        )
        tried_at_once(connection, changes)


def copied(column: str, source: int, version: int) -> Change:
    """A change of one column to what stands in it at another version."""

    def change(connection: Connection) -> None:
        found = f'SELECT "{column}" FROM events WHERE version = {source}'
        connection.execute(text(f'UPDATE events SET "{column}" = ({found}) WHERE version = {version}'))

    return change


# What a forger may write for a text of a body; not one of them is sound everywhere, some are somewhere.
TEXTS: tuple[object, ...] = (
    None,
    "",
    " ",
    "0",
    "-0",
    "00",
    "01",
    "1.0",
    "1.50",
    ".5",
    "5.",
    "1e3",
    "+1",
    "-1",
    "-1.5",
    "1.5",
    "１",
    "1" * 21,
    "1" * 20,
    "0." + "1" * 37,
    "0." + "1" * 36,
    "x",
    "x" * 129,
    "x" * 201,
    "a\u0000b",
    "a\x7fb",
    "a\u0085b",
    "a\u00a0b",
    "a b",
    "a=b",
    'a"b',
    "a\\b",
    "a\u2028b",
    "é",
    "\U0001f600",
    7,
    1.5,
    True,
    False,
    [],
    {},
    ["x"],
    "XRP",
    "RLUSD",
    "buy",
    "SELL",
    "Maker",
    "2026-02-30T00:00:00.000000Z",
    "2024-02-29T00:00:00.000000Z",
    "2026-04-31T00:00:00.000000Z",
    "2026-01-05T24:00:00.000000Z",
    "2026-01-05T09:00:60.000000Z",
    "2026-01-05T09:00:00Z",
    "2026-01-05T09:00:00.000000+00:00",
    "2026-01-05t09:00:00.000000z",
    "0999-01-05T09:00:00.000000Z",
    "3000-01-05T09:00:00.000000Z",
    "2027-12-05T09:00:00.000000Z",
    "2020-01-05T09:00:00.000000Z",
    "fill/1",
    "fill/2",
    "fill/3",
    "fill/02",
    "mark/1",
    "mark/2",
    "deposit/1",
    "adjustment/1",
    "adjustment/2",
    "adjustment/3",
    "fill",
    "AB",
    "ab",
    "0XFF",
    "0xFF",
)


def forge(version: int, body: bytes) -> Change:
    """Other bytes, the columns made anew from them where they can be read, and the chain from end to end."""

    def change(connection: Connection) -> None:
        columns: dict[str, object] = {"body": body}
        try:
            sealed = decode_body(body)
            book = Book.on_terms_of(BOOK, connection.execute(books.select()).one())
            effects = effects_of(sealed.event, book, None)  # type: ignore[arg-type]
            stored = stored_event(
                sealed.event,
                effects,
                book=sealed.book,
                version=version,
                event_id=sealed.event_id,
                recorded_at=sealed.recorded_at,
                body=body,
                digest=b"",
                reversed_event=None,
            )
            columns = {
                name: value for name, value in encode_row(stored).items() if name not in ("book", "version", "hash")
            }
        except (NetbasisError, AssertionError, AttributeError, TypeError):
            pass
        connection.execute(update(events).where(events.c.version == version).values(columns))
        rehash(connection, version)

    return change


def rehash(connection: Connection, start: int = 1) -> None:
    """Build the hashes anew from a version on."""
    digest = connection.scalar(text("SELECT hash FROM events WHERE version = :v"), {"v": start - 1}) or GENESIS_HASH
    rest = connection.execute(
        text("SELECT version, body FROM events WHERE version >= :v ORDER BY version"), {"v": start}
    )
    for version, body in rest.all():
        digest = chain_hash(digest, bytes(body))
        new = {"hash": digest, "version": version}
        connection.execute(text("UPDATE events SET hash = :hash WHERE version = :version"), new)
    connection.execute(text("UPDATE books SET head_hash = :hash"), {"hash": digest})


def bodies(kind: str, count: int) -> list[bytes]:
    """Canonical bytes of a type, with all kinds of fields."""
    dice, book = dice_of(kind), Book(BOOK, "live", "RLUSD", "XRP", "profit_first/1")
    given = (complete(_COMMON[kind](dice, f"c:{index}"), book) for index in range(count))
    return [encode_body(each, book=BOOK, version=7, event_id="id", recorded_at=START) for each in given]


@pytest.mark.parametrize("kind", COMMON)
def test_a_pattern_takes_what_is_canonical_to_the_byte_and_nothing_else(kind: str) -> None:
    taken = 0
    assert FORMS[kind].read(bodies(kind, 200)) is not None
    for body in bodies(kind, 2):
        fields = orjson.loads(body)
        names = [*fields, *FORMS[kind].names, "corrects", "tags", "reverses", "other"]
        forged = [*shapes(body)]
        for name in dict.fromkeys(names):
            values = [value for value in TEXTS if not isinstance(value, str) or "\ud800" not in value]
            forged += [orjson.dumps(fields | {name: value}, option=orjson.OPT_SORT_KEYS) for value in values]
        for each in forged:
            if FORMS[kind].read([each]) is None:
                continue
            taken += 1
            read = decode_body(each)
            again = encode_body(
                read.event,
                book=read.book,
                version=read.version,
                event_id=read.event_id,
                recorded_at=read.recorded_at,
                type_version=read.type_version,
            )
            assert again == each
            texts = FORMS[kind].read([each])
            assert texts is not None
            assert texts["at"][0] == orjson.loads(each)["at"]
    assert taken > 50


@pytest.mark.parametrize("kind", COMMON)
def test_any_field_forged_in_a_chain_that_is_whole_is_told_alike(short_ledger: str, kind: str) -> None:
    """The bytes, what the columns copy of them and all hashes: what is left to find is what no append would have written."""
    dice = dice_of(kind)
    with as_intruder(short_ledger) as connection:
        for version in versions_of(connection)[kind][-1:]:
            stored = connection.scalar(text("SELECT body FROM events WHERE version = :v"), {"v": version})
            fields = orjson.loads(stored)
            names = [
                *fields,
                "actor",
                "corrects",
                "fee_amount",
                "fee_asset",
                "price",
                "tx_hash",
                "tags",
                "strategy",
                "other",
            ]
            for name in dict.fromkeys(names):
                for value in dice.sample(TEXTS, 5 if EVERYTHING else 1):
                    forged = orjson.dumps(fields | {name: value}, option=orjson.OPT_SORT_KEYS)
                    tried(connection, forge(version, forged), (name, value))


def shapes(body: bytes) -> Iterator[bytes]:
    """The same fields in bytes that are not canonical."""
    fields = orjson.loads(body)
    yield body + b" "
    yield b" " + body
    yield body + b"\n"
    yield body.replace(b":", b": ", 1)
    yield orjson.dumps(dict(reversed(fields.items())))
    yield b'{"actor":"x",' + body[1:]
    yield body[:-1] + b',"version":' + str(fields["version"]).encode() + b"}"
    yield body.replace(b'"at"', b'"\\u0061t"')
    yield body.replace(b'"main"', b'"m\\u0061in"')
    yield body.replace(b'"main"', b'"m\xff"')
    yield body.replace(b'"main"', b'"m\xed\xa0\x80"')
    yield body.replace(b'"version":', b'"version":0')
    yield body.replace(
        b'"version":' + str(fields["version"]).encode(), b'"version":' + str(fields["version"]).encode() + b".0"
    )
    yield b"\xef\xbb\xbf" + body
    yield body.replace(b'"', b"'")
    for name in fields:
        yield orjson.dumps({other: value for other, value in fields.items() if other != name})


@pytest.mark.parametrize("kind", COMMON)
def test_bytes_that_are_not_canonical_are_told_alike(short_ledger: str, kind: str) -> None:
    """Every fourth of a type, others of the next; that a pattern takes none of them is shown of each type above."""
    with as_intruder(short_ledger) as connection:
        version = versions_of(connection)[kind][-1]
        body = connection.scalar(text("SELECT body FROM events WHERE version = :v"), {"v": version})
        for index, forged in a_share_of([*enumerate(shapes(body))], COMMON.index(kind), parts=4):
            tried(connection, forge(version, forged), index)


@pytest.mark.both_engines
def test_what_stands_in_another_order_is_told_alike(ledger: str, engine: Engine) -> None:
    """Rows that are missing, doubled, moved, and times that go back."""
    with as_intruder(ledger) as connection:
        for number, version in enumerate((1, 2, 5, 17, 18, 22, 25) if engine == "sqlite" else (2, 22)):
            delete = text(f"DELETE FROM events WHERE version = {version}")
            tried(connection, lambda to, delete=delete: to.execute(delete), version)  # type: ignore[misc]
            for to_version in a_share_of((0, -1, 500, 2**60), number, parts=4):
                tried(connection, set_raw("version", version, to_version), (version, to_version))
            body = connection.scalar(text("SELECT body FROM events WHERE version = :v"), {"v": version})
            early = orjson.loads(body) | {"recorded_at": "2020-01-01T00:00:00.000000Z"}
            tried(connection, forge(version, orjson.dumps(early, option=orjson.OPT_SORT_KEYS)), ("early", version))


def test_types_that_the_ledger_does_not_list_are_told_alike(ledger: str) -> None:
    with as_intruder(ledger) as connection:
        for kind in VERSION_OF:
            delete = text(f"DELETE FROM event_types WHERE type = '{kind}'")
            assert tried(connection, lambda to, delete=delete: to.execute(delete), kind) >= 0  # type: ignore[misc]


def test_another_numeraire_is_told_alike(ledger: str) -> None:
    with as_intruder(ledger) as connection:
        body = connection.scalar(text("SELECT body FROM events WHERE version = 1"))
        forged = orjson.dumps(orjson.loads(body) | {"numeraire": "XRP"}, option=orjson.OPT_SORT_KEYS)
        tried(connection, forge(1, forged), "numeraire")


def test_effects_and_bytes_that_were_both_changed_go_on_to_be_told_alike(ledger: str) -> None:
    """Columns are believed where the bytes are not what was hashed; what they leave unequal every later row tells."""
    with as_intruder(ledger) as connection:
        values = (("effect_of", "mark"), ("effect_of", "x"), ("asset_delta", "77"), ("basis_delta", "5"))
        for number, version in enumerate(VERSION_OF.values()):
            for column, value in a_share_of(values, number, parts=4):

                def change(to: Connection, column: str = column, value: str = value, version: int = version) -> None:
                    set_raw(column, version, value)(to)
                    to.execute(text(f"UPDATE events SET hash = body WHERE version = {version}"))

                tried(connection, change, (column, value, version))


@pytest.mark.parametrize(("engine", "seed"), [("sqlite", 0), ("sqlite", 1), ("postgres", 1)], indirect=["engine"])
def test_a_sound_log_gives_the_same_state_and_the_common_rows_take_the_fast_lane(
    location: str, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, also where rows of other types stand between. Fifty rows are read at once, in place of a thousand."""
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 50)
    dice = dice_of(seed)
    with open_keeper(tmp_path, location=location) as keeper:
        if seed % 2:
            append_sample(keeper)
        keeper.append_all(BOOK, list(common_events(dice, 120)))
        head = keeper.view(BOOK).head
    with as_intruder(location) as connection:
        found, taken = require_same(connection)
        assert [finding for finding in found.findings if finding.invariant != "projections_match"] == []
        assert found.findings == []
        assert found.progress == [50, 100]
        assert found.head == head
        common = sum(len(versions) for kind, versions in versions_of(connection).items() if kind in COMMON)
        unusual = 1 if seed % 2 else 0  # a fill that corrects another
        assert taken == common - unusual
        for expected in (ExpectedHead(head.hash, head.version), ExpectedHead(head.hash, 3)):
            require_same(connection, expected=expected)
        middle = connection.scalar(text("SELECT hash FROM events WHERE version = 70"))
        assert require_same(connection, expected=ExpectedHead(middle))[0].findings == []
        for version in dice.sample(range(2, 120), 1):
            value = dice.choice(("7", None, "x"))
            taken_then = tried(connection, set_raw(dice.choice(COLUMNS[2:22]), version, value), (version, value))
            assert taken_then in (-1, taken, taken - 1)


def test_texts_that_are_not_utf_8_are_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own cursor cannot read on there, and the log is read another way from the same place.

    In the first rows that are read at once, at their end, and in the last; fifty are, in place of a thousand.
    """
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 50)
    with open_keeper(tmp_path) as keeper:
        append_sample(keeper)
        keeper.append_all(BOOK, list(common_events(dice_of(3), 90)))
    with as_intruder(str(tmp_path / "ledger.db")) as connection:
        for version in (3, 50, 102):
            change = text(f"UPDATE events SET key = CAST(x'ff41' AS TEXT) WHERE version = {version}")
            assert tried(connection, lambda to, change=change: to.execute(change), version) > 85  # type: ignore[misc]


def test_what_is_dated_ahead_of_the_clock_is_noted_alike(short_ledger: str) -> None:
    with as_intruder(short_ledger) as connection:
        for kind in COMMON:
            version = versions_of(connection)[kind][-1]
            body = orjson.loads(connection.scalar(text("SELECT body FROM events WHERE version = :v"), {"v": version}))
            for at in (NOW + timedelta(minutes=5), NOW + timedelta(minutes=5, microseconds=1)):
                moved = body | {"at": at.isoformat(timespec="microseconds").replace("+00:00", "Z")}
                tried(connection, forge(version, orjson.dumps(moved, option=orjson.OPT_SORT_KEYS)), (kind, at))


def test_the_fees_of_adjustments_are_those_of_the_fold() -> None:
    assert FEE_REASONS == fees.FEE_REASONS
