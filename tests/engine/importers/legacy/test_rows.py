"""Old cells and columns: which values they become, where they are looked for, and what is refused by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.importers.legacy.columns import parse_mapping
from engine.importers.legacy.rows import LegacyRows, ReadingOptions, read_legacy
from engine.importers.legacy.values import exact_text, parse_balance, parse_old_time
from ledger.errors import Refusal, Refused
from ledger.times import parse_time, time_text
from tests.engine.importers.legacy.legacy_databases import STARTING_VALUE_KEY

CAPITAL = "capital_events (id, event_type, asset, amount, price_rlusd, basis_delta_rlusd, source_note, tx_hash, ts)"
FILLS = "fills (id, session_id, side, price, quantity, ts)"
LEDGER = "inventory_ledger (id, asset, new_balance, ts)"
STATE = "engine_state (key, value)"
NOON = "2026-01-05T12:00:00Z"


def database(folder: Path, *tables: str, **rows: Sequence[tuple[object, ...]]) -> Path:
    """A database with these tables, and rows by table."""
    path = folder / "copy.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table}")
        for name, values in rows.items():
            for row in values:
                connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
    return path


def read(path: Path, *mapped: str, numeraire: str = "RLUSD", engine_start: str | None = None) -> LegacyRows:
    start = None if engine_start is None else parse_time(engine_start)
    how = ReadingOptions(numeraire, "XRP", STARTING_VALUE_KEY, parse_mapping(mapped), start)
    return read_legacy(path, "old.db", how)


def refused(path: Path, *mapped: str) -> Refused:
    with pytest.raises(Refused) as caught:
        read(path, *mapped)
    return caught.value


# ---- numbers


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_real_becomes_the_shortest_decimal_that_reads_back_as_it(stored: float) -> None:
    text = exact_text(stored)
    assert float(text) == stored
    digits = Decimal(text).normalize().as_tuple().digits
    if len(digits) > 1:
        shorter = f"{Decimal(text):.{len(digits) - 2}e}"
        assert float(shorter) != stored, "fewer digits would have done"


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (0.1, "0.1"),
        (15 / 1.3314, "11.266336187471834"),
        (1e-7, "1e-07"),
        (85, "85"),
        (9_007_199_254_740_993, "9007199254740993"),
        (" 85.00 ", "85.00"),
    ],
)
def test_a_stored_number_as_text(stored: object, text: str) -> None:
    """A whole number beyond 2⁵³ never was a float, and is none on the way."""
    assert exact_text(stored) == text


@pytest.mark.parametrize("stored", [float("inf"), float("-inf"), float("nan"), b"85", b""])
def test_what_is_no_number_is_refused(stored: object) -> None:
    with pytest.raises(Refused) as caught:
        exact_text(stored)
    assert caught.value.refusal is Refusal.AMOUNT_MALFORMED


@pytest.mark.parametrize(
    ("stored", "balance"),
    [
        (7.105427357601002e-15, "0.000000000000007105427357601002"),
        (85.00000000000001, "85.00000000000001"),
        (5e-324, "0"),
    ],
)
def test_the_noise_at_the_end_of_a_balance_is_kept_as_far_as_it_can_matter(stored: float, balance: str) -> None:
    """An amount of so many decimals would be refused; a balance that went to zero in floats often looks so."""
    assert parse_balance(stored) == Decimal(balance)


# ---- times


@pytest.mark.parametrize(
    ("stored", "time"),
    [
        ("2026-01-05T12:00:00Z", "2026-01-05T12:00:00.000000Z"),
        ("2026-01-05 12:00:00", "2026-01-05T12:00:00.000000Z"),
        ("2026-01-05T12:00:00.123456", "2026-01-05T12:00:00.123456Z"),
        ("2026-01-05 14:00:00.5+02:00", "2026-01-05T12:00:00.500000Z"),
        (1767614400, "2026-01-05T12:00:00.000000Z"),
        ("1767614400", "2026-01-05T12:00:00.000000Z"),
        (1767614400.25, "2026-01-05T12:00:00.250000Z"),
        (1767614400.1234567, "2026-01-05T12:00:00.123457Z"),
        (1767614400250, "2026-01-05T12:00:00.250000Z"),
        (1767614400250001, "2026-01-05T12:00:00.250001Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_a_time_of_each_age(stored: object, time: str) -> None:
    assert time_text(parse_old_time(stored)) == time


@pytest.mark.parametrize("stored", ["", "yesterday", "2026-01-05", "2026-02-30 12:00:00", -5, 1e30, b"2026", 10**18])
def test_what_is_no_time_is_refused(stored: object) -> None:
    with pytest.raises(Refused) as caught:
        parse_old_time(stored)
    assert caught.value.refusal is Refusal.TIME_MALFORMED


# ---- errors name the place


@pytest.mark.parametrize(
    ("column", "stored", "code"),
    [
        ("amount", float("inf"), Refusal.AMOUNT_MALFORMED),
        ("amount", float("nan"), Refusal.FIELD_REQUIRED),  # SQLite keeps it as NULL
        ("amount", None, Refusal.FIELD_REQUIRED),
        ("amount", 1e25, Refusal.AMOUNT_OUT_OF_RANGE),
        ("amount", 1.5e-40, Refusal.AMOUNT_TOO_PRECISE),
        ("amount", "many", Refusal.AMOUNT_MALFORMED),
        ("price_rlusd", float("-inf"), Refusal.AMOUNT_MALFORMED),
        ("basis_delta_rlusd", 1e25, Refusal.AMOUNT_OUT_OF_RANGE),
        ("event_type", "dividend", Refusal.CHOICE_UNKNOWN),
        ("asset", b"XRP", Refusal.TEXT_REQUIRED),
        ("ts", "soon", Refusal.TIME_MALFORMED),
        ("ts", None, Refusal.FIELD_REQUIRED),
    ],
)
def test_a_bad_cell_is_refused_by_table_row_and_column(
    tmp_path: Path, column: str, stored: object, code: Refusal
) -> None:
    good = {"id": 1, "event_type": "deposit", "asset": "RLUSD", "amount": 1.5, "price_rlusd": 1.0}
    rest = {"basis_delta_rlusd": None, "source_note": None, "tx_hash": None, "ts": NOON}
    bad = {**good, **rest, "id": 7, column: stored}
    path = database(tmp_path, CAPITAL, capital_events=[tuple({**good, **rest}.values()), tuple(bad.values())])
    error = refused(path)
    assert error.refusal is code
    assert error.where == f"capital_events row 7, column {column}"


def test_a_mapped_column_is_named_by_its_own_name(tmp_path: Path) -> None:
    path = database(tmp_path, FILLS.replace("quantity", "vol"), fills=[("f-1", "s", "buy", 1.3, "lots", NOON)])
    assert refused(path, "fills.quantity=vol").where == "fills row f-1, column vol"


def test_a_balance_beyond_all_range_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path, LEDGER, inventory_ledger=[(3, "XRP", 1e25, NOON)])
    error = refused(path)
    assert (error.refusal, error.where) == (
        Refusal.AMOUNT_OUT_OF_RANGE,
        "inventory_ledger row 3, column new_balance",
    )


@pytest.mark.parametrize("ids", [(1, 1), ("a", "a"), (1, "1")])
def test_two_rows_of_one_id_are_refused(tmp_path: Path, ids: tuple[object, object]) -> None:
    """They would have one key, and the second would count as there already."""
    rows = [(row_id, "s", "buy", 1.3, 5, NOON) for row_id in ids]
    assert refused(database(tmp_path, FILLS, fills=rows)).refusal is Refusal.FIELD_DUPLICATE


@pytest.mark.parametrize("row_id", [None, b"1", 1.5])
def test_a_row_that_cannot_be_named_is_refused(tmp_path: Path, row_id: object) -> None:
    error = refused(database(tmp_path, FILLS, fills=[(row_id, "s", "buy", 1.3, 5, NOON)]))
    assert (error.refusal, error.where) == (Refusal.TEXT_REQUIRED, "fills, an id")


def test_a_text_that_is_not_utf8_reaches_the_rules_of_texts(tmp_path: Path) -> None:
    path = database(tmp_path, FILLS)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO fills VALUES (1, CAST(x'ff41' AS TEXT), 'buy', 1.3, 5, ?)", (NOON,))
    assert read(path).fills[0].session_id == "\udcffA"


# ---- order


def test_numbered_rows_come_in_the_order_of_their_ids_and_named_ones_as_they_were_written(tmp_path: Path) -> None:
    rows = [(row_id, "XRP", 1, NOON) for row_id in (10, 9, 11)]
    assert [row.id for row in read(database(tmp_path, LEDGER, inventory_ledger=rows)).ledger] == ["9", "10", "11"]
    (tmp_path / "copy.db").unlink()
    named = [(row_id, "XRP", 1, NOON) for row_id in ("b", "a", "c")]
    assert [row.id for row in read(database(tmp_path, LEDGER, inventory_ledger=named)).ledger] == ["b", "a", "c"]


def test_without_a_column_of_ids_the_rowid_is_the_id(tmp_path: Path) -> None:
    path = database(tmp_path, LEDGER.replace("id, ", ""), inventory_ledger=[("XRP", 1, NOON), ("XRP", 2, NOON)])
    assert [(row.id, row.new_balance) for row in read(path).ledger] == [("1", Decimal(1)), ("2", Decimal(2))]


def test_a_table_without_rowids_is_read(tmp_path: Path) -> None:
    table = "fills (id TEXT PRIMARY KEY, session_id, side, price, quantity, ts) WITHOUT ROWID"
    path = database(tmp_path, table, fills=[("f-1", None, "SELL", 1.3, 5, NOON)])
    (fill,) = read(path).fills
    assert (fill.id, fill.side, fill.session_id) == ("f-1", "sell", None)


# ---- columns


def test_all_that_is_missing_is_listed_at_once(tmp_path: Path) -> None:
    path = database(tmp_path, "capital_events (id, asset, amount)", "fills (id, side, price, qty)", LEDGER)
    error = refused(path)
    assert error.refusal is Refusal.FIELD_REQUIRED
    for missing in ("capital_events.event_type", "capital_events.price_rlusd", "capital_events.time", "fills.time"):
        assert missing in str(error)
    for there in ("capital_events.amount", "fills.quantity", "inventory_ledger", "session_id"):
        assert there not in error.what
    assert "'ts' or 'timestamp' or 'created_at' or 'at' or 'time'" in str(error)
    assert "--map" in str(error)
    assert "--engine-start" in str(error)


def test_what_a_table_may_lack_is_noted(tmp_path: Path) -> None:
    path = database(tmp_path, "capital_events (id, event_type, asset, amount, price_rlusd, ts)")
    notes = read(path).notes
    assert notes == [
        "capital_events has no column basis_delta_rlusd: nothing is taken from it",
        "capital_events has no column source_note: nothing is taken from it",
        "capital_events has no column tx_hash: nothing is taken from it",
        "there is no table inventory_ledger: nothing is taken from it",
        "there is no table fills: nothing is taken from it",
        "there is no table engine_state: nothing is taken from it",
    ]


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    error = refused(database(tmp_path, "trades (id, price)", STATE))
    assert error.refusal is Refusal.FIELD_REQUIRED
    assert "lacks the tables capital_events, inventory_ledger and fills" in str(error)
    assert "tables trades, engine_state" in str(error)


def test_names_are_found_in_any_case(tmp_path: Path) -> None:
    path = database(tmp_path, "Fills (ID, Session_ID, SIDE, Price, QTY, Created_At)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO fills VALUES (4, 12, 'Buy', 1.3, 5.5, ?)", (NOON,))
    (fill,) = read(path).fills
    assert (fill.id, fill.session_id, fill.side, fill.quantity) == ("4", "12", "buy", Decimal("5.5"))


def test_a_map_wins_over_a_usual_name(tmp_path: Path) -> None:
    table = 'fills (id, session_id, side, price, quantity, filled, ts, "done at")'
    rows = [(1, "s", "buy", 1.3, 10, 4, "2020-01-01 00:00:00", NOON)]
    path = database(tmp_path, table, fills=rows)
    (fill,) = read(path, "fills.quantity=filled", "fills.ts=done at").fills
    assert fill.quantity == 4
    assert fill.time == parse_time(NOON)


def test_a_column_that_a_map_names_must_be_there(tmp_path: Path) -> None:
    error = refused(database(tmp_path, FILLS), "fills.order_id=oid", "engine_state.key=k")
    assert "fills.order_id (a column named 'oid')" in str(error)
    assert "the table engine_state" in str(error)


@pytest.mark.parametrize(
    "text",
    ["", "fills", "fills.price", "fills=px", "fills.price=", "trades.price=px", "fills.colour=px", ".=", "fills.=x"],
)
def test_a_map_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not TABLE|no such"):
        parse_mapping([text])


def test_a_field_is_mapped_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_mapping(["fills.time=a", "fills.ts=b"])


def test_a_column_in_another_numeraire_is_not_taken_for_the_books(tmp_path: Path) -> None:
    """A price in RLUSD is no price in USD."""
    path = database(tmp_path, CAPITAL)
    with pytest.raises(Refused, match="'price_usd'"):
        read(path, numeraire="USD")
    assert read(path, "capital_events.price_rlusd=price_rlusd", numeraire="USD").capital == []


def test_the_engines_start_is_the_time_of_rows_without_one(tmp_path: Path) -> None:
    bare, some = FILLS.replace(", ts", ""), LEDGER
    path = database(tmp_path, bare, some, fills=[(1, "s", "buy", 1.3, 5)], inventory_ledger=[(1, "XRP", 5, None)])
    rows = read(path, engine_start=NOON)
    assert rows.fills[0].time == rows.ledger[0].time == parse_time(NOON)


# ---- what there may be besides


def test_fees_and_quotes_are_read_where_they_are(tmp_path: Path) -> None:
    table = "fills (id, side, price, quantity, quote_qty, fee, fee_currency, order_id, base_asset, quote_asset, ts)"
    rows = [(1, "buy", 1.3, 5, 6.5, 0.01, "XRP", "o-1", "FOO", "BAR", NOON), (2, "buy", 1.3, 5, *[None] * 6, NOON)]
    given_all, given_none = read(database(tmp_path, table, fills=rows)).fills
    assert (given_all.quote_amount, given_all.fee_amount, given_all.fee_asset) == (
        Decimal("6.5"),
        Decimal("0.01"),
        "XRP",
    )
    assert (given_all.order_id, given_all.base_asset, given_all.quote_asset) == ("o-1", "FOO", "BAR")
    assert (given_none.quote_amount, given_none.fee_amount, given_none.fee_asset) == (None, None, None)
    assert (given_none.base_asset, given_none.quote_asset) == ("XRP", "RLUSD")


def test_a_fee_without_an_asset_is_the_quote_assets_and_that_is_said(tmp_path: Path) -> None:
    path = database(tmp_path, "fills (id, session_id, side, price, quantity, fee, ts)")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO fills VALUES (1, 's', 'buy', 1.3, 5, 0.0, ?)", (NOON,))
    rows = read(path)
    assert (rows.fills[0].fee_amount, rows.fills[0].fee_asset) == (Decimal(0), "RLUSD")
    assert "fills has no column fee_asset: its fees are taken to be RLUSD" in rows.notes


@pytest.mark.parametrize(
    ("stored", "value"), [(137.284078, "137.284078"), ("137.284078", "137.284078"), (0, "0"), (None, None)]
)
def test_the_starting_value(tmp_path: Path, stored: object, value: str | None) -> None:
    path = database(
        tmp_path, STATE, FILLS, engine_state=[("paper.cash", 1e30), (STARTING_VALUE_KEY, stored), (None, None)]
    )
    assert read(path).starting_value == (None if value is None else Decimal(value))


def test_a_starting_value_that_is_none_is_refused_by_its_key(tmp_path: Path) -> None:
    path = database(tmp_path, STATE, FILLS, engine_state=[(STARTING_VALUE_KEY, "much")])
    assert refused(path).where == f"engine_state row {STARTING_VALUE_KEY}, column value"
