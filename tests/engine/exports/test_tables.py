"""`export csv`, `export parquet` and `export koinly`: what a program reads of them adds up to the book."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from cli.shared.output import csv_lines
from engine.bookkeeper import Bookkeeper
from engine.exports.choosing import Choice
from engine.exports.parquet import write_parquet
from engine.exports.tables import EVENT_COLUMNS, event_table, koinly_table
from engine.reports.report import Table
from ledger.amounts import add
from tests.engine.exports.exports_support import Step, play, steps
from tests.support import BOOK, START, log_of, open_keeper

LATER = START + timedelta(days=60)
ROLES = ("asset", "quote", "fee")
Row = dict[str, Any]


@contextmanager
def played(done: list[Step]) -> Iterator[Bookkeeper]:
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder)) as keeper:
        play(keeper, done)
        yield keeper


def as_csv(table: Table) -> list[Row]:
    return list(csv.DictReader(io.StringIO("\n".join(csv_lines(table)))))


def as_parquet(table: Table) -> list[Row]:
    file = io.BytesIO()
    write_parquet(table, file)
    return list(pq.read_table(io.BytesIO(file.getvalue())).to_pylist())


def koinly(keeper: Bookkeeper) -> list[Row]:
    return as_csv(koinly_table(keeper.database, BOOK, now=LATER))


def summed(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for name, amount in pairs:
        sums[name] = add(sums[name], amount)
    return {name: amount for name, amount in sums.items() if amount}


def moved(row: Row, role: str) -> tuple[str, str]:
    return row["asset" if role == "asset" else f"{role}_asset"], f"{role}_delta"


@settings(max_examples=settings().max_examples // 2)
@given(steps())
def test_the_sums_of_each_table_are_the_figures_of_the_book(done: list[Step]) -> None:
    with played(done) as keeper:
        state = keeper.view(BOOK).state
        held = {asset: holding.total for asset, holding in state.inventory.items() if holding.total}
        with event_table(keeper.database, BOOK, Choice()) as (table, _):
            rows = as_csv(table)
        with event_table(keeper.database, BOOK, Choice()) as (table, _):
            columns = as_parquet(table)
        pairs = [(row, *moved(row, role)) for row in rows for role in ROLES]
        assert summed((asset, Decimal(row[name])) for row, asset, name in pairs if row[name]) == held
        for name, figure in (
            ("net_deposits_delta", state.basis.net_deposits),
            ("basis_delta", state.basis.net_basis),
            ("starting_value_delta", state.engine_state.starting_value),
        ):
            assert summed((name, Decimal(row[name])) for row in rows).get(name, Decimal(0)) == figure
        for row, column in zip(rows, columns, strict=True):
            for name in ("asset_delta", "quote_delta", "fee_delta", "price", "basis_delta"):
                assert (column[name] or "") == row[name]
                parts = column[f"{name}_decimal"], column[f"{name}_rest"]
                assert (None if parts == (None, None) else add(*parts)) == (Decimal(row[name]) if row[name] else None)
        for stored, column in zip(log_of(keeper), columns, strict=True):
            kept = (stored.version, stored.at, stored.recorded_at, stored.key, stored.reverses, stored.hash.hex())
            assert tuple(column[name] for name in ("version", "at", "recorded_at", "key", "reverses", "hash")) == kept
            assert column["tags"] == (list(getattr(stored.event, "tags", None) or ()) or None)
        rows = koinly(keeper)
        signs = (("Received", 1), ("Sent", -1), ("Fee", -1))
        sides = [(row[f"{side} Currency"], row[f"{side} Amount"], sign) for row in rows for side, sign in signs]
        assert summed((asset, sign * Decimal(amount)) for asset, amount, sign in sides if amount) == held
        assert not any(amount.startswith("-") for _, amount, _ in sides)


BUY: Step = {"type": "fill", "side": "buy", "base_asset": "XRP", "base_amount": "10", "quote_asset": "RLUSD"} | {
    "quote_amount": "13.30",
    "key": "xrpl:1",
}
KOINLY: list[tuple[Step, list[str]]] = [
    (BUY, ["13.3,RLUSD,10,XRP,,,13.3,RLUSD,,xrpl:1,"]),
    (
        {**BUY, "side": "sell", "fee_asset": "RLUSD", "fee_amount": "0.02", "source_note": "by hand"},
        ["10,XRP,13.3,RLUSD,0.02,RLUSD,13.3,RLUSD,,by hand,"],
    ),
    (
        {**BUY, "fee_asset": "XRP", "fee_amount": "-0.1"},
        ["13.3,RLUSD,10,XRP,,,13.3,RLUSD,,xrpl:1,", ",,0.1,XRP,,,,,cashback,xrpl:1,"],
    ),
    ({**BUY, "quote_asset": "EUR"}, ["13.3,EUR,10,XRP,,,,,,xrpl:1,"]),
    (
        {"type": "deposit", "asset": "XRP", "amount": "2", "price": "1.5", "tx_hash": "FEED"},
        [",,2,XRP,,,3,RLUSD,,FEED:deposit:XRP,FEED"],
    ),
    (
        {"type": "withdrawal", "asset": "RLUSD", "amount": "2", "basis_delta": "-1", "key": "w"},
        ["2,RLUSD,,,,,2,RLUSD,,w,"],
    ),
    ({"type": "adjustment", "asset": "XRP", "amount": "1", "reason": "reward", "key": "a"}, [",,1,XRP,,,,,reward,a,"]),
    (
        {"type": "adjustment", "asset": "XRP", "amount": "-1", "reason": "network_fee", "key": "a"},
        ["1,XRP,,,,,,,cost,a,"],
    ),
    (
        {"type": "adjustment", "asset": "XRP", "amount": "-1", "reason": "funding", "key": "a"},
        ["1,XRP,,,,,,,realized gain,a,"],
    ),
    ({"type": "adjustment", "asset": "XRP", "amount": "-1", "reason": "clawback", "key": "a"}, ["1,XRP,,,,,,,lost,a,"]),
    ({"type": "adjustment", "asset": "XRP", "amount": "1", "reason": "opening", "key": "a"}, [",,1,XRP,,,,,,a,"]),
    ({"type": "mark", "asset": "XRP", "price": "1.5", "key": "m"}, []),
    ({"type": "basis_commit", "basis_delta": "5", "key": "b"}, []),
]


@pytest.mark.parametrize(("step", "rows"), KOINLY)
def test_a_row_of_the_tax_tools(step: Step, rows: list[str]) -> None:
    with played([{**step, "at": "2025-12-31T23:00:00.5Z"}]) as keeper:
        assert len(log_of(keeper)) == 2
        lines = list(csv_lines(koinly_table(keeper.database, BOOK, now=LATER)))
    assert lines[0].startswith(
        "Date,Sent Amount,Sent Currency,Received Amount,Received Currency,Fee Amount,Fee Currency,"
    )
    assert lines[1:] == [f"2025-12-31 23:00:00 UTC,{row}" for row in rows]


def test_what_was_reversed_is_not_there_and_rows_are_in_the_order_of_time() -> None:
    done: list[Step] = [
        {**BUY, "at": "2025-12-31T00:00:00Z"},
        {**BUY, "key": "late", "at": "2025-12-30T00:00:00Z"},
        {**BUY, "key": "wrong"},
        {"type": "reversal", "reverses": 4, "key": "r"},
    ]
    with played(done) as keeper:
        assert [row["Description"] for row in koinly(keeper)] == ["late", "xrpl:1"]


def test_filters_choose_rows_and_say_what_they_leave_out() -> None:
    done: list[Step] = [{**BUY, "at": "2025-12-31T00:00:00Z"}, {"type": "reversal", "reverses": 2, "key": "r"}]
    with played(done) as keeper, event_table(keeper.database, BOOK, Choice(type="deposit")) as (table, left):
        assert tuple(table.columns) == EVENT_COLUMNS
        assert [row["key"] for row in as_csv(table)] == ["opened"]
        assert (left.events, left.reversals) == (2, 1)
