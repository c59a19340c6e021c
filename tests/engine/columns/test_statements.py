"""Each statement gives what the pure fold gives, on DuckDB and on PostgreSQL, or says that it cannot."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Select, text

from engine.bookkeeper import Bookkeeper
from engine.columns.dialects import text_for
from engine.columns.duck import Duck, EngineFailed, duckdb_session
from engine.columns.segment_file import AMOUNTS
from ledger.amounts import ZERO, add
from ledger.appender import insert_book, insertion
from ledger.book import GENESIS_HASH, Head
from ledger.database.connections import write_together
from ledger.database.log_columns import SEGMENTS, LogColumns, Run, in_runs, instant, of_server
from ledger.integrity.chain_statement import KINDS, unproved
from ledger.stored import StoredEvent
from projections.marks import Selection
from projections.newest_marks import initial_basis, marks_of, newest_marks
from projections.state import BookState, fold
from projections.sums import NotSummed, bounds_of, state_of_sums, sums
from tests.engine.columns.logs import FOREVER, FORMS, logs, write_log
from tests.engine.proof.test_fast_lane import as_intruder, common_events, dice_of
from tests.ledger.database.store_support import append_sample
from tests.projections.in_memory import TERMS
from tests.projections.in_memory import log_of as log_in_memory
from tests.support import BOOK, START, event, log_of, open_keeper

pytest.importorskip("duckdb", reason="the extra netbasis[columns] is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="the extra netbasis[columns] is not installed")

EVERY_MARK = Selection(range(10**6))
WIDTH = Decimal(10) ** 20
RANDOM = replace(TERMS, name="random")


class Reader(Protocol):
    """An engine that runs statements over a log."""

    log: LogColumns
    reversals: LogColumns

    def rows(self, query: Select[Any] | str) -> Sequence[Any]:
        """A statement's rows."""


LATER = LogColumns(SEGMENTS.table.alias("later"), is_split=True)


@dataclass
class OnDuck:
    duck: Duck
    log: LogColumns = SEGMENTS
    reversals: LogColumns = LATER

    def rows(self, query: Select[Any] | str) -> Sequence[Any]:
        return self.duck.rows(query)


class OnServer:
    def __init__(self, connection: Connection, book: str = BOOK) -> None:
        self.log = of_server(book)
        self.reversals = LogColumns(self.log.table.alias("later"), is_split=False)
        self._connection = connection

    def rows(self, query: Select[Any] | str) -> Sequence[Any]:
        return self._connection.execute(text(query) if isinstance(query, str) else query).all()


@pytest.fixture(scope="module")
def duck() -> Iterator[Duck]:
    with duckdb_session() as session:
        yield session


def reversed_of(log: Sequence[StoredEvent]) -> Selection:
    return Selection(frozenset(each.reverses for each in log if each.reverses is not None))


def folded(log: Sequence[StoredEvent]) -> BookState:
    """What statements give together: sums, marks and initial basis."""
    return fold(log, standing=reversed_of(log))


def told(reader: Reader) -> BookState:
    """The same by statements."""
    state = state_of_sums(reader.rows(sums(reader.log)))
    marks = newest_marks(reader.log, reversals=reader.reversals)
    initial = [row.version for row in reader.rows(initial_basis(reader.log, reader.reversals))]
    basis = replace(state.basis, initial_basis_version=initial[0] if initial else None)
    return replace(state, basis=basis, marks=marks_of(reader.rows(marks)))


def not_proved(reader: Reader, query: Select[Any] | str) -> list[int]:
    """The versions that a statement of proofs leaves."""
    return [row.version for row in reader.rows(query) if not row.is_proved]


@cache
def proofs_of_segments() -> str:
    """To put this statement together takes longer than to run it."""
    return text_for("duckdb", unproved(SEGMENTS, FORMS, FOREVER))


def require_proofs(reader: Reader, log: Sequence[StoredEvent], proofs: Select[Any] | str) -> None:
    """Of a sound log all rows of the common types are proved."""
    odd = {each.version for each in log if each.type not in KINDS or b'"ab12"' in each.body}
    assert sorted(not_proved(reader, proofs)) == sorted(odd)


@given(log=logs(), cut=st.integers(1, 30))
@settings(max_examples=10)
def test_segments_on_duckdb(duck: Duck, log: list[StoredEvent], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, files = write_log(Path(folder), log, [cut] if cut < len(log) else [])
        duck.use(store, [file.name for file in files])
        reader = OnDuck(duck)
        require_proofs(reader, log, proofs_of_segments())
        is_safe = (
            not any(file.unfit for file in files) and sum(f.widest * (f.last - f.first + 1) for f in files) < WIDTH
        )
        try:
            state = told(reader)
        except (NotSummed, EngineFailed):
            assert not is_safe
            return
        assert state == folded(log)
        marks = newest_marks(SEGMENTS, passed_over=[each.reverses for each in log if each.reverses])
        assert marks_of(duck.rows(marks)) == state.marks
        assert bounds_of(duck.rows(sums(SEGMENTS))) == (min(e.at for e in log), max(e.at for e in log))


@given(log=logs(most=20), hours=st.integers(0, 20))
@settings(max_examples=10)
def test_a_selection_by_time_on_duckdb(duck: Duck, log: list[StoredEvent], hours: int) -> None:
    """A mark counts unless an event of the selection takes it back, and until a limit of its own."""
    until = START + timedelta(hours=hours)
    chosen = [each for each in log if each.at <= until]
    reader = OnDuck(duck)
    where, where_later = (each["at"] <= instant(until) for each in (reader.log, reader.reversals))
    with tempfile.TemporaryDirectory() as folder:
        store, files = write_log(Path(folder), log)
        duck.use(store, [file.name for file in files])
        for limit in (None, until - timedelta(hours=3)):
            query = newest_marks(
                reader.log, where, reversals=reader.reversals, reversals_where=where_later, until=limit
            )
            standing = replace(reversed_of(chosen), until=limit)
            assert marks_of(duck.rows(query)) == fold(chosen, standing=standing).marks
        try:
            state = state_of_sums(duck.rows(sums(reader.log, where)))
        except (NotSummed, EngineFailed):
            assert files[0].unfit or files[0].widest * len(log) >= WIDTH
            return
        expected = fold(chosen, standing=EVERY_MARK)
        assert state == replace(expected, basis=replace(expected.basis, initial_basis_version=None))


def test_runs_are_summed_apart(duck: Duck, tmp_path: Path) -> None:
    log = _sample_log(tmp_path)
    store, files = write_log(tmp_path / "segments", log, [9])
    duck.use(store, [file.name for file in files])
    runs = [Run(BOOK, 1, 0, 2, 4), Run(BOOK, 1, 1, 6, 9), Run(BOOK, 10, 2, 11, len(log))]
    duck.let_runs(runs)
    rows = duck.rows(sums(in_runs(SEGMENTS), by=("book", "run")))
    for run in runs:
        expected = fold(log[run.first - 1 : run.last], standing=EVERY_MARK)
        expected = replace(expected, basis=replace(expected.basis, initial_basis_version=None))
        assert state_of_sums([row for row in rows if row.run == run.run]) == expected


def _sample_log(folder: Path) -> list[StoredEvent]:
    with open_keeper(folder) as keeper:
        _append_all(keeper)
        return log_of(keeper)


def _append_all(keeper: Bookkeeper) -> None:
    append_sample(keeper)
    keeper.append_all(BOOK, list(common_events(dice_of(3), 40)))
    version = keeper.view(BOOK).head.version
    keeper.append_all(
        BOOK,
        [
            event("mark", asset="XRP", price="1.9", key="late"),
            event("reversal", reverses=version + 1, key="taken back"),
            event("adjustment", asset="XRP", amount="0.000000000000000000123456789", reason="dust", key="dust"),
            event("adjustment", asset="EUR", amount="-0.0000000000000000009", reason="fee", key="dust:2"),
        ],
    )


@pytest.fixture
def on_server(keeper: Bookkeeper) -> Bookkeeper:
    if keeper.database.dialect != "postgresql":
        pytest.skip("the statements run on a server; a file's rows are folded")
    return keeper


@pytest.mark.both_engines
def test_the_server_gives_what_the_fold_gives(on_server: Bookkeeper) -> None:
    _append_all(on_server)
    with on_server.database.reading() as connection:
        reader, log = OnServer(connection), log_of(on_server)
        assert told(reader) == folded(log)
        until = log[len(log) // 2].at
        where = reader.log["at"] <= until
        chosen = [each for each in log if each.at <= until]
        expected = fold(chosen, standing=EVERY_MARK)
        state = state_of_sums(reader.rows(sums(reader.log, where)))
        assert state == replace(expected, basis=replace(expected.basis, initial_basis_version=None))


@pytest.mark.both_engines
@given(log=logs(book=RANDOM))
@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_random_log_on_a_server(on_server: Bookkeeper, log: list[StoredEvent]) -> None:
    """A sum on a server is as wide as it has to be, so none may be refused."""
    with on_server.database.writing() as connection:
        undone = connection.begin_nested()
        insert_book(connection, RANDOM, Head(0, GENESIS_HASH, START))
        write_together(connection, [insertion(connection, log)])
        reader = OnServer(connection, RANDOM.name)
        assert told(reader) == folded(log)
        require_proofs(reader, log, unproved(reader.log, FORMS, FOREVER))
        undone.rollback()


# Faults planted in a row of each common type

CHANGED: dict[str, Any] = {
    "version": 10**6,
    "book": "other",
    "at": datetime(2026, 3, 1, tzinfo=UTC),
    "recorded_at": datetime(2020, 3, 1, tzinfo=UTC),
    "reverses": 2,
    "unknown_fees": 7,
    "unknown_bases": 1,
    "body": b"{}",
    "hash": bytes(32),
    "previous_hash": bytes(32),
}


def _changed(name: str, before: Any) -> Any:
    if name in CHANGED:
        return CHANGED[name]
    if name.endswith(("_decimal", "_rest")):
        return add(before or ZERO, Decimal("0.000000000000000001"))
    return "7" if name in AMOUNTS else f"{before or ''}x"


def test_every_changed_column_of_a_segment_is_found(duck: Duck, tmp_path: Path) -> None:
    """One fault in a row, and no two in neighbours: a broken link shows at the next row, too."""
    common: tuple[dict[str, Any], ...] = (
        {"type": "fill", "side": "sell", "base_asset": "XRP", "base_amount": "3.5", "quote_asset": "RLUSD"}
        | {"quote_amount": "4.6", "fee_asset": "XRP", "fee_amount": "-0.01", "strategy": "grid", "session_id": "s"}
        | {"order_id": "o", "liquidity": "maker", "tx_hash": "AB", "actor": "ann", "source_note": "why"},
        {"type": "mark", "asset": "XRP", "price": "1.33", "price_source": "desk"},
        {"type": "adjustment", "asset": "EUR", "amount": "-0.0000000000000000012", "reason": "fee", "group": "g"},
    )
    log = log_in_memory([common[index % 3] for index in range(600)])
    store, (file,) = write_log(tmp_path / "segments", log)
    table = parquet.read_table(store.path(file.name), partitioning=None)
    duck.use(store, [file.name])
    odd = set(not_proved(OnDuck(duck), proofs_of_segments()))
    rows = table.to_pylist()
    planted: dict[int, tuple[str, str]] = {}
    places = iter(range(1, len(log)))
    for name in table.schema.names:
        for kind in KINDS if name != "segment" else ():
            place = next(place for place in places if log[place].type == kind and log[place].version not in odd)
            next(places)
            rows[place][name] = _changed(name, rows[place][name])
            planted[log[place].version] = (kind, name)
    parquet.write_table(table.from_pylist(rows, schema=table.schema), store.path(file.name))
    duck.use(store, [file.name])
    left = set(not_proved(OnDuck(duck), proofs_of_segments()))
    missed = {fault for version, fault in planted.items() if version not in left and fault[1] != "version"}
    assert missed == set()
    assert CHANGED["version"] in left
    # What was not touched is proved: faults are told where they are, and at most at the next row.
    near = {version + step for version in planted for step in (0, 1)}
    assert left <= odd | near | {CHANGED["version"]}


def test_a_body_that_is_no_json_is_found_and_stops_nothing(duck: Duck, tmp_path: Path) -> None:
    """No two in neighbours: a broken link shows at the next row, too."""
    log = _sample_log(tmp_path)
    store, (file,) = write_log(tmp_path / "segments", log)
    rows = (table := parquet.read_table(store.path(file.name), partitioning=None)).to_pylist()
    duck.use(store, [file.name])
    odd = set(not_proved(OnDuck(duck), proofs_of_segments()))
    places = [each.version - 1 for each in log if each.version not in odd][::2]
    bodies = (b"\xff\xfe", b"[", b'{"at":1}', b"", b"null")
    for place, body in zip(places, bodies, strict=False):
        rows[place]["body"] = body
    parquet.write_table(table.from_pylist(rows, schema=table.schema), store.path(file.name))
    duck.use(store, [file.name])
    left = set(not_proved(OnDuck(duck), proofs_of_segments()))
    assert {place + 1: body for place, body in zip(places, bodies, strict=False) if place + 1 not in left} == {}


def test_a_row_that_is_missing_or_dated_ahead_is_found(duck: Duck, tmp_path: Path) -> None:
    log = _sample_log(tmp_path)
    store, (file,) = write_log(tmp_path / "segments", log)
    duck.use(store, [file.name])
    kept = SEGMENTS["version"] != 30
    left = not_proved(OnDuck(duck), unproved(SEGMENTS, FORMS, FOREVER, kept))
    assert 31 in left
    common = {each.version for each in log if each.type in KINDS}
    left = not_proved(OnDuck(duck), unproved(SEGMENTS, FORMS, log[40].at))
    assert {each.version for each in log if each.at > log[40].at} & common <= set(left)
    left = not_proved(OnDuck(duck), unproved(SEGMENTS, {"fill": (1,)}, FOREVER))
    assert set(left) == {each.version for each in log}


SERVER_COLUMNS = {
    "at": "at + interval '1 second'",
    "recorded_at": "recorded_at - interval '1 day'",
    "asset": "asset || 'x'",
    "asset_delta": "coalesce(asset_delta, 0) + 1",
    "basis_delta": "basis_delta + 1",
    "fee_delta": "coalesce(fee_delta, 0) + 1",
    "key": "key || 'x'",
    "price": "coalesce(price, 0) + 1",
    "session_id": "coalesce(session_id, '') || 'x'",
    "reason": "coalesce(reason, '') || 'x'",
    "hash": "'\\x00'",
    "body": "body || ' '",
}


@pytest.mark.both_engines
def test_every_changed_column_of_a_server_is_found(on_server: Bookkeeper, location: str) -> None:
    _append_all(on_server)
    log = log_of(on_server)
    with as_intruder(location) as connection:
        reader = OnServer(connection)
        proofs = unproved(reader.log, FORMS, FOREVER)
        odd = not_proved(reader, proofs)
        for kind in KINDS:
            version = max(each.version for each in log if each.type == kind and each.version not in odd)
            for column, value in SERVER_COLUMNS.items():
                nested = connection.begin_nested()
                query = text(f"UPDATE events SET {column} = {value} WHERE version = :version")
                connection.execute(query, {"version": version})
                left = not_proved(reader, proofs)
                nested.rollback()
                assert version in left, (kind, column)


def test_a_sum_that_leaves_the_width_is_never_answered(duck: Duck, tmp_path: Path) -> None:
    """DuckDB raises; what did not fit is NULL in its columns, and is missed."""
    wide = {"type": "adjustment", "asset": "XRP", "amount": "99999999999999999999", "reason": "reward"}
    for steps in (
        [wide] * 3,
        [{"type": "baseline", "starting_value": "9" * 20}, {"type": "baseline", "starting_value": "-" + "9" * 20}],
    ):
        log = log_in_memory(steps)
        store, files = write_log(tmp_path / f"{len(steps)}", log)
        duck.use(store, [file.name for file in files])
        with pytest.raises((NotSummed, EngineFailed)):
            state_of_sums(duck.rows(sums(SEGMENTS)))
