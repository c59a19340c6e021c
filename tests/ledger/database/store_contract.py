"""What every engine under the log must do: the contract of store, appender and bookkeeper.

A test module of an engine subclasses `StoreContract` and gives the fixture `location`: where a fresh, migrated database
without a book is. Nothing here knows which engine it is.
"""

from __future__ import annotations

import itertools
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import String, cast, delete, insert, literal, select, true, update

from engine.bookkeeper import Bookkeeper
from engine.proof.check import check
from engine.transaction import Transaction
from engine.upkeep.rebuild import rebuild
from ledger import appender, store
from ledger.book import GENESIS_HASH
from ledger.database.tables import books, events
from ledger.errors import Conflict, KeyConflict, NetbasisError, Refused, StorageError, VersionPassed
from ledger.events import EVENT_TYPES, Event, Opened
from ledger.mapper import encode_row
from ledger.stored import StoredEvent, chain_hash
from tests.ledger.database.store_support import (
    SAMPLE_VERSIONS,
    append_sample,
    classified_withdrawal,
    content,
    content_seen,
    fill,
    require_projections_match,
)
from tests.support import BOOK, START, SequentialIds, TickingClock, event, log_of

# One event of each type with every field given, each with the value that it is changed to.
COMMON: dict[str, tuple[object, object]] = {
    "book": (BOOK, "other"),
    "at": ("2026-01-04T08:00:00.5Z", "2026-01-04T08:00:00.500001Z"),
    "source_note": ("a note", "a note "),
    "tx_hash": ("AB12", "AB13"),
    "session_id": ("s1", None),
    "actor": ("ann", "bob"),
    "corrects": (None, 1),
}
OWN: dict[str, dict[str, tuple[object, object]]] = {
    "fill": {
        "side": ("buy", "sell"),
        "base_asset": ("XRP", "BTC"),
        "base_amount": ("10", "10.000000000000000001"),
        "quote_asset": ("RLUSD", "USD"),
        "quote_amount": ("13.3", "13.31"),
        "fee_asset": ("XRP", "RLUSD"),
        "fee_amount": ("0.01", "-0.01"),
        "order_id": ("o1", "o2"),
        "liquidity": ("maker", "taker"),
        "strategy": ("arb", "maker"),
        "tags": (["a", "b"], ["a"]),
    },
    "deposit": {
        "asset": ("XRP", "BTC"),
        "amount": ("39.27", "39.28"),
        "price": ("1.3314", "1.3315"),
        "basis_delta": ("52", "0"),
        "basis_unknown": (False, True),
    },
    "withdrawal": {
        "asset": ("XRP", "BTC"),
        "amount": ("5", "6"),
        "price": ("1.3", "1.4"),
        "basis_delta": ("-1", "-2"),
        "evidence": (
            None,
            {"equity_before": "0", "basis_before": "0", "profit": "0", "principal": "0", "marks": [], "policy": "p"},
        ),
    },
    "basis_commit": {
        "asset": ("RLUSD", "XRP"),
        "amount": ("5", "6"),
        "price": (None, "1"),
        "basis_delta": ("5", "-5"),
    },
    "mark": {"asset": ("XRP", "BTC"), "price": ("1.5", "1.6"), "price_source": ("desk", "")},
    "adjustment": {"asset": ("XRP", "BTC"), "amount": ("-1", "1"), "reason": ("dust", "fee"), "group": ("g", "h")},
    "baseline": {"starting_value": ("100", "-100"), "reason": ("restart", None)},
    "reversal": {"reverses": (2, 3), "reason": ("twice", "thrice")},
}
_OPENED = itertools.count()
AT_ONCE = 20  # so many events are written at once here
REALLY_AT_ONCE = appender.EVENTS_AT_ONCE


class Interrupted(Exception):
    """Something outside of netbasis went wrong: the process is told to stop, the disk is gone."""


class FailingIds(SequentialIds):
    """Ids that fail once at the `at`-th call: as good as a failure between any two steps of an append."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def __call__(self) -> str:
        if self.count + 1 == self.at:
            self.at = 0
            raise Interrupted
        return super().__call__()


class BackwardClock:
    """A clock that goes back an hour each time it is read."""

    def __init__(self) -> None:
        self.now = START + timedelta(days=1)

    def __call__(self) -> datetime:
        self.now -= timedelta(hours=1)
        return self.now


def deposit(key: str | None, amount: str = "1", **fields: object) -> Event:
    """A deposit of RLUSD."""
    return event("deposit", asset="RLUSD", amount=amount, **({} if key is None else {"key": key}) | fields)


def complete_event(kind: str, *, changed: str | None = None) -> Event:
    """The event of a kind with all of its fields given, one of them changed."""
    fields = {name: pair[name == changed] for name, pair in (COMMON | OWN[kind]).items()}
    return event(kind, key=kind, **fields)


@contextmanager
def nothing_is_left(keeper: Bookkeeper, case: object) -> Iterator[None]:
    """Whatever is tried, the database's whole content is the same afterwards, and the keeper goes on; `case` is told."""
    before = content(keeper.database)
    try:
        yield
        assert content(keeper.database) == before
        keeper.append(BOOK, deposit(f"after:{sum(map(len, before.values()))}"))
        require_projections_match(keeper)
    except BaseException as error:
        error.add_note(f"case: {case}")
        raise


@contextmanager
def nothing_changes(keeper: Bookkeeper) -> Iterator[None]:
    """The same of a single case; what the keeper appends afterwards stands `check` as well."""
    with nothing_is_left(keeper, "the only one"):
        yield
    assert check(keeper.database, BOOK).ok


class StoreContract:
    """To be subclassed with a fixture `location`."""

    @pytest.fixture(autouse=True)
    def _few_are_written_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(appender, "EVENTS_AT_ONCE", AT_ONCE)

    @pytest.fixture
    def keeper(self, location: str) -> Iterator[Bookkeeper]:
        """A Bookkeeper with the book `main` open at version 1."""
        with self.open(location) as keeper:
            keeper.open_book(BOOK, Opened(mode="live"))
            yield keeper

    def open(self, location: str, clock: Callable[[], datetime] | None = None) -> Bookkeeper:
        """A Bookkeeper on the database, its clock and ids its own: a key by default is an id, and no two may be the same."""
        number, ids = next(_OPENED), SequentialIds()
        return Bookkeeper.open(location, clock=clock or TickingClock(), new_id=lambda: f"{number}-{ids()}")

    # Appending

    def test_an_appended_event_is_read_back_as_it_was_answered(self, keeper: Bookkeeper) -> None:
        outcome = keeper.append(BOOK, fill("f:1", session_id="s", fee_asset="XRP", fee_amount="-0.5"))
        opened, stored = log_of(keeper)
        assert (outcome.existed, outcome.stored) == (False, stored)
        assert (stored.book, stored.version, stored.key, stored.type) == (BOOK, 2, "f:1", "fill")
        assert (opened.version, opened.type, opened.hash) == (1, "opened", chain_hash(GENESIS_HASH, opened.body))
        assert stored.hash == chain_hash(opened.hash, stored.body)
        head = keeper.view(BOOK).head
        assert (head.version, head.hash, head.recorded_at) == (2, stored.hash, stored.recorded_at)

    def test_every_type_of_event_is_read_back_and_checked(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        assert {stored.type for stored in log_of(keeper)} == set(EVENT_TYPES)
        assert [stored.version for stored in log_of(keeper)] == list(range(1, SAMPLE_VERSIONS + 1))
        assert check(keeper.database, BOOK).findings == []

    def test_many_are_appended_in_their_order(self, keeper: Bookkeeper) -> None:
        appended = keeper.append_all(BOOK, (fill(f"f:{number}") for number in range(7)))
        assert (appended.appended, appended.existed, appended.head.version) == (7, 0, 8)
        assert [stored.key for stored in log_of(keeper, after=1)] == [f"f:{number}" for number in range(7)]

    def test_more_events_than_are_really_written_at_once(
        self, keeper: Bookkeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(appender, "EVENTS_AT_ONCE", REALLY_AT_ONCE)
        count = 2 * REALLY_AT_ONCE + 100
        appended = keeper.append_all(BOOK, (fill(f"f:{number}") for number in range(count)))
        assert appended.head.version == 1 + count
        assert keeper.view(BOOK).state.inventory.balance("XRP") == 10 * count
        require_projections_match(keeper)

    def test_amounts_of_every_width_are_kept_to_the_digit(self, keeper: Bookkeeper) -> None:
        widest = "99999999999999999999.999999999999999999"
        for number, amount in enumerate((widest, "0.000000000000000001", "181.1375018324144", "1e19", "1E-18")):
            stored = keeper.append(
                BOOK, event("adjustment", asset="XRP", amount=amount, reason="r", key=f"a:{number}")
            ).stored
            assert log_of(keeper)[-1] == stored
            assert stored.effects.own is not None
            assert stored.effects.own.delta == Decimal(amount)
        for number in range(9):
            keeper.append(BOOK, event("adjustment", asset="XRP", amount=widest, reason="r", key=f"b:{number}"))
        assert keeper.view(BOOK).state.inventory.balance("XRP") > Decimal("1e21")
        require_projections_match(keeper)

    def test_texts_of_every_script_are_kept(self, keeper: Bookkeeper) -> None:
        note = "Zażółć 'gęślą' \"jaźń\"; DROP TABLE events; -- 雪 🦊 ‮ %s {} \\"
        asset = "RLUSD.rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De"
        keeper.append(BOOK, event("deposit", asset=asset, amount="1", price="2", source_note=note, key=note[:99]))
        (stored,) = log_of(keeper, after=1)
        assert (stored.key, stored.event.source_note, stored.asset) == (note[:99], note, asset)
        require_projections_match(keeper)

    def test_times_are_kept_to_the_microsecond_in_utc(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k", at="2026-01-04T23:59:59.999999-11:30"))
        keeper.append(BOOK, deposit("l", at="0001-01-01T00:00:00Z"))
        keeper.append(BOOK, deposit("m", at="9999-12-31T23:59:59.999999Z"))
        assert [stored.at for stored in log_of(keeper, after=1)] == [
            datetime(2026, 1, 5, 11, 29, 59, 999999, UTC),
            datetime.min.replace(tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
        ]

    def test_an_event_of_an_unknown_book_is_refused(self, keeper: Bookkeeper) -> None:
        with nothing_changes(keeper), pytest.raises(Refused, match="book_unknown"):
            keeper.append("other", deposit("k"))

    # Opening

    def test_a_book_is_opened_once_and_the_second_time_is_answered(self, keeper: Bookkeeper) -> None:
        with nothing_changes(keeper):
            outcome = keeper.open_book(BOOK, Opened(mode="live"))
            assert (outcome.existed, outcome.stored.version) == (True, 1)

    def test_books_in_one_database_know_nothing_of_each_other(self, keeper: Bookkeeper) -> None:
        """The same keys, versions and reversals in both; each has its own chain, terms and projections."""
        keeper.open_book("paper", Opened(mode="paper", numeraire="USD"))
        for amount, name in (("5", BOOK), ("7", "paper")):
            keeper.append(name, event("deposit", asset="USD" if name == "paper" else "RLUSD", amount=amount, key="k"))
            keeper.append(name, event("reversal", reverses=2, key="r"))
        keeper.append(BOOK, fill("f:1"))
        with keeper.database.reading() as connection:
            assert store.book_names(connection) == [BOOK, "paper"]
            assert store.starting_value(connection, BOOK) == 0
        assert [keeper.view(name).head.version for name in (BOOK, "paper")] == [4, 3]
        assert keeper.view("paper").book.numeraire == "USD"
        assert list(keeper.view("paper").state.inventory) == ["USD"]
        for name in (BOOK, "paper"):
            require_projections_match(keeper, name)
            assert check(keeper.database, name).ok

    # The expected version

    def test_an_append_with_the_version_that_was_read_succeeds(self, keeper: Bookkeeper) -> None:
        assert keeper.append(BOOK, deposit("k"), expected_version=1).stored.version == 2
        assert keeper.append_all(BOOK, [deposit("l"), deposit("m")], expected_version=2).head.version == 4

    def test_an_append_with_another_version_is_refused(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k"))
        for expected, actual in ((0, 2), (1, 3), (5, 4), (2**40, 5)):
            with nothing_is_left(keeper, expected):
                with pytest.raises(VersionPassed, match="expected_version_passed") as raised:
                    keeper.append(BOOK, deposit("l"), expected_version=expected)
                assert (raised.value.expected, raised.value.actual) == (str(expected), str(actual))
                with pytest.raises(VersionPassed):
                    keeper.append_all(BOOK, [deposit("l"), deposit("m")], expected_version=expected)
        assert check(keeper.database, BOOK).ok

    # Idempotency

    def test_a_repeated_append_is_answered_with_the_original_and_writes_nothing(self, keeper: Bookkeeper) -> None:
        first = keeper.append(BOOK, deposit("k"))
        with nothing_changes(keeper):
            again = keeper.append(BOOK, deposit("k"))
            assert (again.existed, again.stored) == (True, first.stored)

    def test_a_key_twice_in_one_list_is_written_once(self, keeper: Bookkeeper) -> None:
        appended = keeper.append_all(BOOK, [deposit("k"), fill("f"), deposit("k", "1.0")])
        assert (appended.appended, appended.existed, appended.head.version) == (2, 1, 3)

    def test_a_key_twice_in_one_list_with_another_content_is_refused(self, keeper: Bookkeeper) -> None:
        """However far apart in the list, and the error has the index of the second one."""
        for apart in (1, AT_ONCE, 2 * AT_ONCE + 7):
            listed = [deposit(f"k:{apart}"), *(fill(f"f:{apart}:{number}") for number in range(apart - 1))]
            with nothing_is_left(keeper, apart), pytest.raises(KeyConflict, match="_different_amount") as raised:
                keeper.append_all(BOOK, [*listed, deposit(f"k:{apart}", "2")])
            assert raised.value.index == apart
            assert keeper.append_all(BOOK, [*listed, deposit(f"k:{apart}")]).existed == 1
        assert check(keeper.database, BOOK).ok

    def test_new_events_among_known_ones_are_written_alone(self, keeper: Bookkeeper) -> None:
        keeper.append_all(BOOK, [fill("f:1"), fill("f:3")])
        appended = keeper.append_all(BOOK, [fill(f"f:{number}") for number in range(5)])
        assert (appended.appended, appended.existed) == (3, 2)
        assert [stored.key for stored in log_of(keeper, after=1)] == ["f:1", "f:3", "f:0", "f:2", "f:4"]

    # Versions and times

    def test_versions_have_no_gap_whatever_was_refused(self, keeper: Bookkeeper) -> None:
        for number in range(5):
            keeper.append(BOOK, fill(f"f:{number}"))
            with pytest.raises(Refused):
                keeper.append_all(BOOK, [fill("g"), event("mark", asset="RLUSD", price="1", key="m")])
            keeper.append(BOOK, fill(f"f:{number}"))
        assert [stored.version for stored in log_of(keeper)] == list(range(1, 7))

    def test_the_events_of_one_append_are_recorded_at_one_time_and_those_of_the_next_later(
        self, keeper: Bookkeeper
    ) -> None:
        keeper.append_all(BOOK, [fill(f"f:{number}") for number in range(AT_ONCE + 1)])
        keeper.append(BOOK, fill("g"))
        *together, last = [stored.recorded_at for stored in log_of(keeper, after=1)]
        assert len(set(together)) == 1
        assert last > together[0]

    # Reversals, corrections, baselines

    def test_a_reversal_takes_back_what_the_event_moved_and_when(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k", "85", at="2026-01-01T00:00:00Z"))
        before = keeper.view(BOOK).state
        stored = keeper.append(BOOK, fill("f", at="2026-01-02T00:00:00Z")).stored
        reversal = keeper.append(BOOK, event("reversal", reverses=3)).stored
        after = keeper.view(BOOK).state
        assert reversal.at == stored.at
        assert after.inventory.balance("RLUSD") == before.inventory.balance("RLUSD") == 85
        assert after.inventory.balance("XRP") == 0
        assert after.fees.unknown == 0
        assert after.inventory["XRP"].fills == 0

    def test_a_correction_has_the_old_key_and_a_number(self, keeper: Bookkeeper) -> None:
        """And its own correction the next number; a key of one's own may end the same way."""
        keeper.append(BOOK, deposit("venue:7#1"))
        for corrects, key in ((2, "venue:7#1#2"), (4, "venue:7#1#3"), (6, "venue:7#1#4")):
            keeper.append(BOOK, event("reversal", reverses=corrects))
            assert keeper.append(BOOK, deposit(None, corrects=corrects)).stored.key == key

    def test_a_baseline_counts_the_deposits_before_it_in_its_list(self, keeper: Bookkeeper) -> None:
        """Those that are written, and those that are about to be."""
        baselines = [
            event("baseline", starting_value="40", key="b:1"),
            event("baseline", starting_value="50", key="b:2"),
        ]
        for before in (1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1):
            book = f"after {before}"
            keeper.open_book(book, Opened(mode="live"))
            keeper.append(book, deposit("first", "100"))
            deposits = [deposit(f"k:{number}") for number in range(before)]
            keeper.append_all(book, [*deposits, baselines[0], deposit("after", "7"), baselines[1]])
            deltas = {stored.key: stored.effects.starting_value_delta for stored in log_of(keeper, book)}
            assert (deltas["b:1"], deltas["b:2"]) == (Decimal(40 - 100 - before), Decimal(3))
            assert keeper.view(book).state.engine_state.starting_value == 50

    # Failures

    def test_a_refusal_at_any_place_of_a_list_leaves_nothing_of_it(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        fills: list[Event] = [fill(f"x:{number}", base_asset="BTC") for number in range(AT_ONCE + 21)]
        for at in (0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 20):
            listed = [*fills[:at], event("mark", asset="RLUSD", price="1", key="m"), *fills[at + 1 :]]
            with nothing_is_left(keeper, at), pytest.raises(Refused, match="asset_must_not_be_numeraire") as raised:
                keeper.append_all(BOOK, listed)
            assert raised.value.index == at
        assert check(keeper.database, BOOK).ok

    def test_a_conflict_at_any_place_of_a_list_leaves_nothing_of_it(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        deposits = [deposit(f"x:{number}") for number in range(6)]
        for at in (0, 2, 5):
            with nothing_is_left(keeper, at), pytest.raises(KeyConflict) as raised:
                keeper.append_all(BOOK, [*deposits[:at], deposit("f:1"), *deposits[at + 1 :]])
            assert raised.value.index == at
        assert check(keeper.database, BOOK).ok

    def test_a_stream_of_events_that_breaks_off_leaves_nothing(self, keeper: Bookkeeper) -> None:
        def stream(until: int) -> Iterator[Event]:
            for number in range(until):
                yield deposit(f"x:{number}")
            raise Interrupted

        for at in (0, 2, AT_ONCE, AT_ONCE + 3):
            with nothing_is_left(keeper, at), pytest.raises(Interrupted):
                keeper.append_all(BOOK, stream(at))
        assert check(keeper.database, BOOK).ok

    def test_a_failure_within_an_append_leaves_nothing(self, location: str) -> None:
        """Between the writes of the first events and the rest."""
        ids = FailingIds(0)
        with Bookkeeper.open(location, clock=TickingClock(), new_id=ids) as keeper:
            keeper.open_book(BOOK, Opened(mode="live"))
            append_sample(keeper)
            for at in (1, 3, AT_ONCE + 2):
                ids.at = ids.count + at
                with nothing_is_left(keeper, at), pytest.raises(Interrupted):
                    keeper.append_all(BOOK, [deposit(f"x:{number}") for number in range(AT_ONCE + 5)])
            assert check(keeper.database, BOOK).ok

    def test_a_failure_when_a_book_is_opened_leaves_no_book(self, location: str) -> None:
        with Bookkeeper.open(location, clock=TickingClock(), new_id=FailingIds(1)) as keeper:
            before = content(keeper.database)
            with pytest.raises(Interrupted):
                keeper.open_book(BOOK, Opened(mode="live"))
            assert content(keeper.database) == before
            assert not keeper.open_book(BOOK, Opened(mode="live")).existed

    def test_an_exception_within_a_transaction_leaves_nothing(self, keeper: Bookkeeper) -> None:
        def interrupted(transaction: Transaction) -> None:
            transaction.append(deposit("x"))
            raise Interrupted

        with nothing_changes(keeper), pytest.raises(Interrupted), keeper.transaction(BOOK) as transaction:
            interrupted(transaction)

    def test_a_refusal_that_is_caught_within_a_transaction_takes_nothing_else_with_it(self, keeper: Bookkeeper) -> None:
        with keeper.transaction(BOOK) as transaction:
            transaction.append(deposit("x"))
            with pytest.raises(Refused):
                transaction.append(event("mark", asset="RLUSD", price="1", key="m"))
            transaction.append(deposit("y"))
        assert [stored.key for stored in log_of(keeper, after=1)] == ["x", "y"]
        require_projections_match(keeper)

    # The database itself refuses

    def test_the_database_refuses_to_update_or_delete_an_event(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        for statement in (
            update(events).values(session_id="x"),
            update(events).where(events.c.version == 3).values(version=99),
            delete(events),
            delete(events).where(events.c.version == SAMPLE_VERSIONS),
        ):
            unchanged = nothing_is_left(keeper, statement)
            with unchanged, pytest.raises(StorageError), keeper.database.writing() as connection:
                connection.execute(statement)
        assert check(keeper.database, BOOK).ok

    def test_the_database_refuses_a_second_event_of_a_version_key_or_reversal(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        (reversal,) = [stored for stored in log_of(keeper) if stored.version == 12]
        new = {"version": 99, "key": "other", "reverses": 4, "event_id": "other"}
        for unique in ("version", "key", "reverses"):
            row = encode_row(reversal) | {name: value for name, value in new.items() if name != unique}
            unchanged = nothing_is_left(keeper, unique)
            with unchanged, pytest.raises(StorageError), keeper.database.writing() as connection:
                connection.execute(insert(events).values(**row))
        assert check(keeper.database, BOOK).ok

    def test_the_database_refuses_an_event_of_an_unknown_book_and_of_version_0(self, keeper: Bookkeeper) -> None:
        row = encode_row(log_of(keeper)[0]) | {"key": "other"}
        for change in ({"book": "other"}, {"version": 0}):
            unchanged = nothing_is_left(keeper, change)
            with unchanged, pytest.raises(StorageError), keeper.database.writing() as connection:
                connection.execute(insert(events).values(**row | change))
        assert check(keeper.database, BOOK).ok

    # Reading

    def test_a_range_is_read_after_until_and_where(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        with keeper.database.reading() as connection:

            def versions(**given: object) -> list[int]:
                return [stored.version for stored in store.read_events(connection, BOOK, **given)]  # type: ignore[arg-type]

            assert versions(after=3, until=6) == [4, 5, 6]
            assert versions(after=SAMPLE_VERSIONS) == versions(until=0) == []
            assert versions(where=events.c.type == "reversal") == [12, 15, 16]
            assert versions(after=12, where=events.c.type == "reversal", until=15) == [15]

    def test_single_events_keys_and_reversals_are_found(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)
        log = {stored.version: stored for stored in log_of(keeper)}
        with keeper.database.reading() as connection:
            assert store.find_event(connection, BOOK, 5) == log[5]
            assert store.find_event(connection, BOOK, 99) is None
            assert store.find_event(connection, "other", 5) is None
            assert store.find_keys(connection, BOOK, ["f:1", "f:9", "d:2"]) == {"f:1": log[5], "d:2": log[3]}
            assert store.find_keys(connection, BOOK, []) == {}
            assert store.find_reversal(connection, BOOK, 5) == 12
            assert store.find_reversal(connection, BOOK, 6) is None
            assert store.reversals(connection, BOOK, where=events.c.version < 16) == {5: 12, 14: 15}
            assert store.starting_value(connection, BOOK) == keeper.view(BOOK).state.engine_state.starting_value

    def test_a_long_read_takes_the_same_memory_for_five_times_the_events(
        self, keeper: Bookkeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "ROWS_AT_ONCE", 50)
        for name, count in (("few", 200), ("many", 1_000)):
            self.fill_book(keeper, name, count)
        few, many = self.reading_memory(keeper, "few"), self.reading_memory(keeper, "many")
        assert many < 1.2 * few

    def fill_book(self, keeper: Bookkeeper, name: str, count: int) -> None:
        """A long log, quickly: copies of one row, made by the database, which no check would pass."""
        keeper.open_book(name, Opened(mode="paper"))
        keeper.append(name, fill("f:2"))
        number = select(literal(3).label("number")).cte("numbers", recursive=True)
        number = number.union_all(select(number.c.number + 1).where(number.c.number < count))
        copied = [column for column in events.c if column.name not in ("version", "key")]
        copies = (
            select(number.c.number, cast(number.c.number, String), *copied)
            .select_from(events.join(number, true()))
            .where(events.c.book == name, events.c.version == 2)
        )
        with keeper.database.writing() as connection:
            connection.execute(insert(events).from_select([events.c.version, events.c.key, *copied], copies))

    def reading_memory(self, keeper: Bookkeeper, name: str) -> int:
        """The peak of what is allocated while a book's log is read, in bytes."""
        with keeper.database.reading() as connection:
            for _ in zip(range(10), store.read_events(connection, name), strict=False):
                pass  # what is made once, such as compiled statements, does not count
            tracemalloc.start()
            try:
                last = 0
                for stored in store.read_events(connection, name):
                    assert stored.version == last + 1
                    last = stored.version
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    # Several at once

    def test_two_bookkeepers_in_turn_keep_one_log_and_its_projections(self, location: str, keeper: Bookkeeper) -> None:
        """Each has kept a state in memory that the other's append has made old."""
        with self.open(location) as other:
            for number in range(6):
                keeper.append(BOOK, deposit(f"k:{number}"))
                require_projections_match(other)
                other.append(BOOK, fill(f"f:{number}"))
                if number % 2:
                    other.append(BOOK, event("mark", asset="XRP", price="1.5", key=f"m:{number}"))
                require_projections_match(keeper)
            assert other.view(BOOK) == keeper.view(BOOK)
        assert check(keeper.database, BOOK).ok

    def test_a_refused_append_does_not_spoil_what_is_kept_in_memory(self, location: str, keeper: Bookkeeper) -> None:
        """Nor does one of the other bookkeeper, or one that only found what is there."""
        bad = event("mark", asset="RLUSD", price="1", key="m")
        with self.open(location) as other:
            for one, two in ((keeper, other), (other, keeper)):
                one.append(BOOK, deposit(None))
                with pytest.raises(Refused):
                    one.append_all(BOOK, [deposit(None, "1000"), bad])
                with pytest.raises(Refused):
                    two.append_all(BOOK, [deposit(None, "2000"), bad])
                two.append(BOOK, deposit("same"))
                one.append(BOOK, deposit("same"))
                one.append(BOOK, fill(None))
                require_projections_match(two)

    def test_writers_in_many_threads_leave_one_log_without_a_gap(self, location: str, keeper: Bookkeeper) -> None:
        """Some share a Bookkeeper, some have their own; all deposit 1."""
        failures: list[BaseException] = []

        def write(name: str, own: bool) -> None:
            writer = self.open(location) if own else keeper
            try:
                for number in range(10):
                    writer.append(BOOK, deposit(f"{name}:{number}"))
            except BaseException as error:
                failures.append(error)
                raise
            finally:
                if own:
                    writer.close()

        self.run_together(
            *(lambda name=name, own=own: write(name, own) for own in (False, True) for name in self.names(own))
        )
        assert failures == []
        assert [stored.version for stored in log_of(keeper)] == list(range(1, 82))
        assert keeper.view(BOOK).state.inventory.balance("RLUSD") == 80
        require_projections_match(keeper)
        assert check(keeper.database, BOOK).ok

    def names(self, own: bool) -> list[str]:
        return [f"{'own' if own else 'shared'}{number}" for number in range(4)]

    def run_together(self, *works: Callable[[], object]) -> None:
        """Run each in a thread of its own, to its end."""
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_of_writers_that_expect_one_version_one_wins(self, location: str, keeper: Bookkeeper) -> None:
        outcomes: list[str] = []
        together = threading.Barrier(6)

        def write(name: str) -> None:
            with self.open(location) as writer:
                together.wait()
                try:
                    writer.append(BOOK, deposit(name), expected_version=1)
                    outcomes.append("won")
                except VersionPassed as passed:
                    outcomes.append(passed.code)

        self.run_together(*(lambda name=f"w{number}": write(name) for number in range(6)))
        assert sorted(outcomes) == ["expected_version_passed"] * 5 + ["won"]
        assert keeper.view(BOOK).head.version == 2

    def test_of_writers_of_one_key_one_writes_and_the_others_are_answered(
        self, location: str, keeper: Bookkeeper
    ) -> None:
        existed: list[bool] = []
        together = threading.Barrier(4)

        def write() -> None:
            with self.open(location) as writer:
                together.wait()
                existed.append(writer.append(BOOK, deposit("k")).existed)

        self.run_together(*[write] * 4)
        assert sorted(existed) == [False, True, True, True]
        assert keeper.view(BOOK).head.version == 2

    def test_a_reader_sees_one_state_while_others_write_and_holds_nobody_up(
        self, location: str, keeper: Bookkeeper
    ) -> None:
        append_sample(keeper)
        with self.open(location) as reader, reader.database.reading() as connection:
            before = content_seen(connection)
            keeper.append_all(BOOK, [deposit("x"), fill("y")])
            with keeper.database.reading() as second:
                assert content_seen(second) != before
            assert content_seen(connection) == before
            assert len(list(store.read_events(connection, BOOK))) == SAMPLE_VERSIONS

    def test_one_bookkeeper_reads_and_writes_at_once(self, keeper: Bookkeeper) -> None:
        """A bot goes through the log and appends while it does."""
        append_sample(keeper)
        with keeper.database.reading() as connection:
            for stored in store.read_events(connection, BOOK):
                keeper.append(BOOK, deposit(f"seen:{stored.version}"))
            assert connection.scalar(select(books.c.head_version)) == SAMPLE_VERSIONS
        assert keeper.view(BOOK).head.version == 2 * SAMPLE_VERSIONS

    # Projections

    def test_the_projections_are_those_of_a_rebuild_after_every_append(self, keeper: Bookkeeper) -> None:
        """Event by event, of every type, by a Bookkeeper that keeps its state in memory."""
        append_sample(keeper)
        keeper.open_book("again", Opened(mode="live"))
        for stored in log_of(keeper, after=1):
            keeper.append("again", stored.event.model_copy(update={"book": None}))
            require_projections_match(keeper, "again")
        assert keeper.view("again").state == keeper.view(BOOK).state

    def test_a_rebuild_during_appends_misses_none(self, location: str, keeper: Bookkeeper) -> None:
        def write() -> None:
            for number in range(20):
                keeper.append(BOOK, deposit(f"k:{number}"))

        def rebuild_often() -> None:
            with self.open(location) as other:
                for _ in range(5):
                    assert rebuild(other.database, BOOK).changes == []

        self.run_together(write, rebuild_often)
        assert keeper.view(BOOK).state.inventory.balance("RLUSD") == 20
        require_projections_match(keeper)


class AppenderContract(StoreContract):
    """What the appender decides from what it is given and finds, the same code on every engine: one of them tries it too."""

    def test_what_is_left_out_is_filled_in(self, keeper: Bookkeeper) -> None:
        """The time is that of recording, the key the event's id."""
        stored = keeper.append(BOOK, event("basis_commit", basis_delta="-5")).stored
        assert stored.at == stored.recorded_at
        assert stored.key == stored.event_id
        assert (stored.event.asset, stored.event.amount) == ("RLUSD", Decimal(5))  # type: ignore[attr-defined]

    def test_appending_nothing_changes_nothing(self, keeper: Bookkeeper) -> None:
        with nothing_changes(keeper):
            appended = keeper.append_all(BOOK, [])
            assert (appended.appended, appended.existed, appended.head.version) == (0, 0, 1)

    def test_an_event_that_names_another_book_is_refused(self, keeper: Bookkeeper) -> None:
        with nothing_changes(keeper), pytest.raises(Refused, match="book_differs"):
            keeper.append(BOOK, deposit("k", book="other"))

    def test_a_book_is_not_opened_again_on_other_terms(self, keeper: Bookkeeper) -> None:
        others = {
            "mode": "paper",
            "numeraire": "USD",
            "base_asset": "BTC",
            "actor": "ann",
            "at": "2026-01-01T00:00:00Z",
        }
        for field, other in others.items():
            with nothing_is_left(keeper, field), pytest.raises(KeyConflict, match=f"exists_with_different_{field}"):
                keeper.open_book(BOOK, Opened.model_validate({"mode": "live", field: other}))
        assert check(keeper.database, BOOK).ok

    def test_a_book_with_an_unknown_policy_is_not_opened(self, keeper: Bookkeeper) -> None:
        with nothing_changes(keeper), pytest.raises(Refused, match="policy_unknown"):
            keeper.open_book("other", Opened(mode="live", withdrawal_policy="none/1"))

    def test_a_second_opening_event_is_refused(self, keeper: Bookkeeper) -> None:
        with nothing_changes(keeper), pytest.raises(Refused, match="book_already_open"):
            keeper.append(BOOK, Opened(mode="live", key="again"))

    def test_a_name_is_resolved_when_there_is_such_a_book_or_only_one(self, keeper: Bookkeeper) -> None:
        assert keeper.resolve(None) == keeper.resolve(BOOK) == BOOK
        with pytest.raises(Refused, match="book_unknown"):
            keeper.resolve("other")
        keeper.open_book("other", Opened(mode="paper"))
        with pytest.raises(Refused, match="book_required"):
            keeper.resolve(None)

    def test_an_event_with_every_field_given_is_repeated_safely_and_refused_with_another_content(
        self, keeper: Bookkeeper
    ) -> None:
        """And the field is named; the first deposit is there to be reversed."""
        keeper.append(BOOK, deposit("first"))
        for kind, own in OWN.items():
            stored = keeper.append(BOOK, complete_event(kind)).stored
            again = keeper.append(BOOK, complete_event(kind))
            assert (again.existed, again.stored) == (True, stored)
            with nothing_is_left(keeper, kind):
                for field in COMMON | own:
                    with pytest.raises(KeyConflict) as raised:
                        keeper.append(BOOK, complete_event(kind, changed=field))
                    assert raised.value.code == f"exists_with_different_{field}"
                    assert raised.value.field == field
                    assert raised.value.version == stored.version
                    assert isinstance(raised.value, Conflict)
        assert check(keeper.database, BOOK).ok

    def test_the_fields_that_the_table_changes_are_all_that_there_are(self) -> None:
        assert set(OWN) == set(EVENT_TYPES) - {"opened"}
        for kind, own in OWN.items():  # one side of a transfer is not appended by itself
            assert set(COMMON) | set(own) == set(EVENT_TYPES[kind].model_fields) - {"type", "key", "transfer"}

    def test_a_key_of_another_type_is_refused(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k"))
        with nothing_changes(keeper), pytest.raises(KeyConflict, match="exists_with_different_type"):
            keeper.append(BOOK, fill("k"))
        with pytest.raises(KeyConflict, match="exists_with_different_type"):
            keeper.append(BOOK, fill("opened"))

    def test_an_amount_is_compared_by_its_value(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k", "85"))
        for amount in ("85", "85.00", "8.5e1", "850E-1", "85.000000000000000000000000"):
            assert not keeper.append(BOOK, deposit(amount, amount)).existed, amount
            assert keeper.append(BOOK, deposit("k", amount)).existed, amount
            assert keeper.append(BOOK, deposit(amount, "85")).existed, amount

    def test_a_time_is_compared_as_the_moment_it_names(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k", at="2026-01-05T09:00:00Z"))
        assert keeper.append(BOOK, deposit("k", at="2026-01-05T10:00:00.000+01:00")).existed
        with pytest.raises(KeyConflict, match="exists_with_different_at"):
            keeper.append(BOOK, deposit("k", at="2026-01-05T09:00:00.000001Z"))

    def test_what_is_left_to_default_is_not_compared(self, keeper: Bookkeeper) -> None:
        """Neither when the first one gave it, nor when netbasis computed it."""
        given = {"at": "2026-01-04T00:00:00Z", "source_note": "n", "basis_delta": "3", "session_id": "s", "actor": "a"}
        keeper.append(BOOK, deposit("k", **given))
        assert keeper.append(BOOK, deposit("k")).existed
        keeper.append(BOOK, deposit("l"))
        assert keeper.append(BOOK, deposit("l", at=None, basis_delta=None)).existed
        assert keeper.append(BOOK, deposit("l", basis_delta="1")).existed  # what was computed
        commit = event("basis_commit", basis_delta="-5", key="c")
        keeper.append(BOOK, commit)
        assert keeper.append(
            BOOK, event("basis_commit", basis_delta="-5", asset="RLUSD", amount="5.0", key="c")
        ).existed
        assert keeper.append(BOOK, commit).existed

    def test_a_null_that_is_given_is_compared_where_null_is_a_fact(self, keeper: Bookkeeper) -> None:
        """A fee that was not reported is not a fee of 0."""
        keeper.append(BOOK, fill("f", fee_asset="XRP", fee_amount="0"))
        with pytest.raises(KeyConflict, match="exists_with_different_fee_amount"):
            keeper.append(BOOK, fill("f", fee_asset="XRP", fee_amount=None))

    def test_idempotency_wins_over_an_expected_version_that_has_passed(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k"), expected_version=1)
        keeper.append(BOOK, deposit("l"))
        with nothing_changes(keeper):
            assert keeper.append(BOOK, deposit("k"), expected_version=1).existed
            assert keeper.append_all(BOOK, [deposit("k"), deposit("l")], expected_version=1).existed == 2
            with pytest.raises(VersionPassed):
                keeper.append_all(BOOK, [deposit("k"), deposit("new")], expected_version=1)
            with pytest.raises(KeyConflict):
                keeper.append(BOOK, deposit("k", "2"), expected_version=1)

    def test_recorded_at_does_not_decrease_when_the_clock_goes_back(self, location: str) -> None:
        with self.open(location, BackwardClock()) as keeper:
            keeper.open_book(BOOK, Opened(mode="live"))
            for number in range(3):
                keeper.append_all(BOOK, [fill(f"f:{number}"), fill(f"g:{number}")])
            log = log_of(keeper)
            assert all(before.recorded_at <= after.recorded_at for before, after in itertools.pairwise(log))
            assert check(keeper.database, BOOK).ok

    @pytest.mark.parametrize("together", [False, True])
    def test_an_event_is_reversed_once(self, keeper: Bookkeeper, together: bool) -> None:
        """Also when both reversals are in one list, or the event itself is."""
        reversals = [event("reversal", reverses=2, key=f"r:{number}") for number in range(2)]
        if together:
            with nothing_changes(keeper), pytest.raises(Refused, match="already_reversed") as raised:
                keeper.append_all(BOOK, [deposit("k"), *reversals])
            assert raised.value.index == 2
        else:
            keeper.append_all(BOOK, [deposit("k"), reversals[0]])
            with nothing_changes(keeper), pytest.raises(Refused, match="already_reversed"):
                keeper.append(BOOK, reversals[1])

    def test_what_cannot_be_reversed_is_refused(self, keeper: Bookkeeper) -> None:
        keeper.append_all(BOOK, [event("mark", asset="XRP", price="1", key="m"), deposit("k")])
        keeper.append(BOOK, event("reversal", reverses=3, key="r"))
        for version, code in (
            (1, "reversal_not_allowed"),
            (4, "reversal_not_allowed"),
            (99, "reversed_version_unknown"),
        ):
            with nothing_is_left(keeper, version), pytest.raises(Refused, match=code):
                keeper.append(BOOK, event("reversal", reverses=version))
        assert check(keeper.database, BOOK).ok

    def test_a_correction_in_the_list_of_what_it_corrects_has_the_old_key_and_a_number(
        self, keeper: Bookkeeper
    ) -> None:
        corrected = [deposit("k"), event("reversal", reverses=2), deposit(None, "2", corrects=2)]
        keeper.append_all(BOOK, [*corrected, event("reversal", reverses=4), deposit(None, "3", corrects=4)])
        assert [stored.key for stored in log_of(keeper) if stored.type == "deposit"] == ["k", "k#2", "k#3"]

    def test_a_correction_is_repeated_safely_without_its_key(self, keeper: Bookkeeper) -> None:
        keeper.append_all(BOOK, [deposit("k"), event("reversal", reverses=2)])
        keeper.append(BOOK, deposit(None, "2", corrects=2))
        with nothing_changes(keeper):
            assert keeper.append(BOOK, deposit(None, "2", corrects=2)).existed
            with pytest.raises(KeyConflict, match="exists_with_different_amount"):
                keeper.append(BOOK, deposit(None, "3", corrects=2))

    def test_a_correction_of_what_still_stands_or_is_not_there_is_refused(self, keeper: Bookkeeper) -> None:
        keeper.append(BOOK, deposit("k"))
        with nothing_changes(keeper):
            with pytest.raises(Refused, match="corrected_not_reversed"):
                keeper.append(BOOK, deposit("l", corrects=2))
            with pytest.raises(Refused, match="corrected_version_unknown"):
                keeper.append(BOOK, deposit("l", corrects=9))

    def test_a_correction_whose_default_key_would_be_too_long_is_refused(self, keeper: Bookkeeper) -> None:
        keeper.append_all(BOOK, [deposit("k" * 199), event("reversal", reverses=2)])
        with nothing_changes(keeper), pytest.raises(Refused, match="text_too_long"):
            keeper.append(BOOK, deposit(None, corrects=2))
        assert keeper.append(BOOK, deposit("own", corrects=2)).stored.key == "own"

    def test_an_observer_that_refuses_leaves_nothing(self, keeper: Bookkeeper) -> None:
        append_sample(keeper)

        def append(count: int, *, until: int) -> None:
            def observe(stored: StoredEvent, _event: Event) -> None:
                if stored.version == head.version + until:
                    raise Interrupted

            with keeper.database.writing() as connection:
                book, head = store.require_book(connection, BOOK, lock=True)
                own = {"clock": TickingClock(), "new_id": SequentialIds()}
                writer = appender.Appender(connection, book, head, **own, on_recorded=observe)  # type: ignore[arg-type]
                list(writer.append(deposit(f"x:{number}") for number in range(count)))

        for at in (1, 3, AT_ONCE + 2):
            with nothing_is_left(keeper, at), pytest.raises(Interrupted):
                append(AT_ONCE + 5, until=at)
        assert check(keeper.database, BOOK).ok

    def test_evidence_that_the_state_does_not_bear_out_leaves_nothing(self, keeper: Bookkeeper) -> None:
        """The projector refuses it, in the middle of a list: the deposit before it changed what it was made from."""
        keeper.append(BOOK, deposit("d", "100"))
        withdrawal = classified_withdrawal(keeper, "5")
        with nothing_changes(keeper), pytest.raises(Refused, match="evidence_mismatch") as raised:
            keeper.append_all(BOOK, [deposit("x"), withdrawal, deposit("y")])
        assert raised.value.index == 1

    def test_a_list_that_failed_within_a_transaction_cannot_be_left_half_done(self, keeper: Bookkeeper) -> None:
        """Somebody catches the refusal, or stops half-way, and goes on: the transaction does not commit half of it."""

        def refused(transaction: Transaction) -> None:
            with pytest.raises(Refused):
                list(transaction.append_all([deposit("x"), event("mark", asset="RLUSD", price="1", key="m")]))

        def stopped(transaction: Transaction) -> None:
            next(transaction.append_all([deposit("x"), deposit("y")]))

        def gone_on(transaction: Transaction) -> None:
            stopped(transaction)
            transaction.append(deposit("z"))

        for misuse in (refused, stopped, gone_on):
            with nothing_is_left(keeper, misuse), pytest.raises(RuntimeError, match="to its end"):  # noqa: SIM117
                with keeper.transaction(BOOK) as transaction:
                    misuse(transaction)
        assert check(keeper.database, BOOK).ok

    def test_every_error_names_what_is_to_be_done(self, keeper: Bookkeeper) -> None:
        """A refusal of the store tells what was expected or what to do."""
        keeper.append(BOOK, deposit("k"))
        attempts: list[Callable[[], object]] = [
            lambda: keeper.append(BOOK, deposit("k", "2")),
            lambda: keeper.append(BOOK, deposit("l"), expected_version=1),
            lambda: keeper.append("none", deposit("l")),
            lambda: keeper.append(BOOK, event("reversal", reverses=9)),
            lambda: keeper.append(BOOK, deposit("l", corrects=9)),
        ]
        for attempt in attempts:
            with pytest.raises(NetbasisError) as raised:
                attempt()
            assert raised.value.expected
            assert str(raised.value).startswith(f"error[{raised.value.code}]: ")
