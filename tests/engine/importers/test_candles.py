"""Prices as marks: at the close and never before it, thinned, from every form of file."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.importers.candles import KIND
from engine.importers.items import Item, PassedOver, QuarantinedRow, Row, Settings, Unreadable
from engine.importers.kinds import kind_of
from engine.importers.sources import FileSource, sample_of
from ledger.events import Mark
from ledger.times import time_text
from tests.engine.importers.import_support import NOON, SHARED, imported
from tests.support import BOOK

TAPE = SHARED / "tape"


def read(path: Path, content: str, **settings: Any) -> list[Item]:
    path.write_text(content)
    given: dict[str, Any] = {"asset": "XRP", **settings}
    return list(KIND.read([FileSource(str(path))], Settings("RLUSD", **given)))


def marks(items: list[Item]) -> list[tuple[str, str]]:
    found = []
    for item in items:
        assert isinstance(item, Row), item
        (mark,) = item.facts
        assert isinstance(mark, Mark)
        found.append((time_text(item.at)[11:19], str(mark.price)))
    return found


HEADER = "time,open,high,low,close,volume\n"
TWO = "2026-01-04T12:00:00Z,1,2,0.5,1.5,9\n2026-01-04T12:05:00Z,1.5,2,1,1.75,9\n"
CLOSES = [("12:05:00", "1.5"), ("12:10:00", "1.75")]


@pytest.mark.parametrize(
    ("content", "settings", "expected"),
    [
        (HEADER + TWO, {}, CLOSES),
        (HEADER + TWO, {"length": timedelta(minutes=1)}, [("12:01:00", "1.5"), ("12:06:00", "1.75")]),
        ((HEADER + TWO).replace("time", "Close_Time"), {}, [("12:00:00", "1.5"), ("12:05:00", "1.75")]),
        ((HEADER + TWO).replace("Z", ""), {"zone": UTC}, CLOSES),
        ((HEADER + TWO).replace("T", " ").replace("Z", " UTC"), {}, CLOSES),
        ("timestamp,open,high,low,close\n1767528000,1,1,1,1.5\n1767528300000,1,1,1,1.75\n", {}, CLOSES),
        ("at,price,size\n2026-01-04T12:00:00Z,1.5,7\n", {}, [("12:00:00", "1.5")]),
        ("at,bid,ask\n2026-01-04T12:00:00Z,1.5,1.6\n", {}, [("12:00:00", "1.550000000000000000")]),
        ("[[1767528000000,1,2,0.5,1.5,4],[1767528300000,1,2,0.5,1.75,4]]", {}, CLOSES),
        ('[{"time": 1767528000, "close": "1.5"},\n {"time": 1767528300, "close": 1.75}]', {}, CLOSES),
        ('{"symbol": "x", "data": [[1767528000000,1,2,0.5,1.5,4],[1767528300000,1,2,0.5,1.75,4]]}', {}, CLOSES),
        # Without a header; with a title; of other delimiters.
        ("1767528000000,1,2,0.5,1.5,9,1767528299999\n1767528300000,1,2,0.5,1.75,9,1767528599999\n", {}, CLOSES),
        ("https://www.example.com\nunix,date,symbol,open,high,low,close\n1767528000,2026,X,1,2,1,1.5\n"
         "1767528300,2026,X,1,2,1,1.75\n", {}, CLOSES),
        ((HEADER + TWO).replace(",", ";"), {}, CLOSES),
        ((HEADER + TWO).replace(",", "\t").replace("time", "Open time"), {}, CLOSES),
        # A close that is called a price, with its candle's opening beside it.
        ((HEADER + TWO).replace("close", "Price"), {}, CLOSES),
        # Envelopes, columns, and lists of time and price.
        ('{"error": [], "result": {"X": [[1767528000,1,2,0.5,"1.5",4],[1767528300,1,2,0.5,"1.75",4]], "n": 1}}', {}, CLOSES),
        ('{"retCode": 0, "result": {"list": [["1767528300000","1","2","1","1.75"],["1767528000000","1","2","1","1.5"]]}}',
         {}, CLOSES[::-1]),
        ('{"s": "ok", "t": [1767528000, 1767528300], "o": [1, 1], "h": [2, 2], "l": [1, 1], "c": [1.5, 1.75]}', {}, CLOSES),
        ('{"prices": [[1767528000000, 1.5]]}', {}, [("12:00:00", "1.5")]),
        # Of several assets the distance is that of one.
        (
            "time,asset,close\n2026-01-04T12:00:00Z,XRP,1.5\n2026-01-04T12:00:30Z,BTC,2\n2026-01-04T12:05:00Z,XRP,1.75\n",
            {"asset": None}, [("12:05:00", "1.5"), ("12:05:30", "2"), ("12:10:00", "1.75")],
        ),
        (
            "time,asset,close\n2026-01-04T12:00:00Z,XRP,1.5\n2026-01-04T12:05:00Z,XRP,2\n", {"asset": None},
            [("12:05:00", "1.5"), ("12:10:00", "2")],
        ),
    ],
)  # fmt: skip
def test_a_mark_stands_at_the_close(tmp_path: Path, content: str, settings: dict[str, Any], expected: Any) -> None:
    assert marks(read(tmp_path / "candles", content, **settings)) == expected


@pytest.mark.parametrize(
    ("content", "settings", "reason"),
    [
        (HEADER + TWO.splitlines()[0], {}, "--length"),
        (HEADER + TWO, {"asset": None}, "--asset"),
        ((HEADER + TWO).replace("Z", ""), {}, "--zone"),
        ((HEADER + TWO).replace("1.5,9", "-1.5,9"), {}, "negative"),
        ((HEADER + TWO).replace("1.5,9", "x,9"), {}, "not a decimal"),
        ((HEADER + TWO).replace("1.5,9", "1.5"), {}, "the header 6"),
        # Time, open, close, high, low, as some exchanges have it.
        # One asset's price is not another's.
        ("time,symbol,close\n1767528000,XRPUSDT,2\n1767528300,BTCUSDT,90000\n", {}, "it prices 'BTCUSDT'"),
        ("[[1767528000000,1,1.5,2,0.5],[1767528300000,1,1.75,2,0.5]]", {}, "is not its highest"),
        ('[{"time": 1767528000, "close": 1}, {"time": 1767528300}]', {}, "it has no close"),
        ("[[1767528000000,1,2,0.5,1.5,4],7,[1767528300000,1,2,0.5,1.75,4]]", {}, "no candle"),
    ],
)
def test_a_price_that_cannot_be_placed_is_named(
    tmp_path: Path, content: str, settings: dict[str, Any], reason: str
) -> None:
    assert any(
        isinstance(item, QuarantinedRow) and reason in item.reason for item in read(tmp_path / "x", content, **settings)
    )


@pytest.mark.parametrize("gap", ["", "null", "NaN", "0", "0.00"])
def test_a_gap_is_no_price(tmp_path: Path, gap: str) -> None:
    """A price of 0 would make an asset worthless; and the gap's time still says how long a candle is."""
    rows = [
        f"2026-01-04T12:{minute:02}:00Z,{price},{price},{price},{price},9" for minute, price in ((0, "1.5"), (5, gap))
    ]
    first, second = read(tmp_path / "x", HEADER + "\n".join([*rows, "2026-01-04T12:30:00Z,1,2,1,1.75,9"]))[:2]
    assert marks([first]) == [("12:05:00", "1.5")]
    assert isinstance(second, PassedOver)


def test_a_month_ends_with_its_last_day(tmp_path: Path) -> None:
    rows = "".join(f"2025-{month:02}-01T00:00:00Z,1,2,1,1.5,9\n" for month in (1, 2, 3, 12))
    ends = [time_text(item.at)[:10] for item in read(tmp_path / "x", HEADER + rows) if isinstance(item, Row)]
    assert ends == ["2025-02-01", "2025-03-01", "2025-04-01", "2026-01-01"]


def test_a_candle_that_has_not_closed_has_no_close(tmp_path: Path) -> None:
    ticks = iter([NOON + timedelta(minutes=9), NOON + timedelta(minutes=9), NOON + timedelta(minutes=15)])
    third = "2026-01-04T12:10:00Z,1,2,1,1.75,9\n"
    closed, unfinished, later = read(tmp_path / "x", HEADER + TWO + third, now=lambda: next(ticks))
    assert isinstance(closed, Row)
    assert isinstance(unfinished, PassedOver)
    named = (HEADER + TWO).replace("time", "close_time")
    closed, unfinished = read(tmp_path / "x", named, now=lambda: NOON + timedelta(minutes=4))
    assert (type(closed), type(unfinished)) == (Row, PassedOver)
    assert isinstance(later, Row)  # a stream goes on, and so does the clock


def test_a_file_of_something_else_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no columns of prices"):
        read(tmp_path / "x", "a,b\n1,2\n")


@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(1, 9)), min_size=1, max_size=30),
    st.sampled_from([60, 97, 3600]),
)
def test_thinned_each_span_keeps_its_last_price(
    tmp_path_factory: pytest.TempPathFactory, prices: list[tuple[int, int]], span: int
) -> None:
    """A price on a boundary is the last one of the span that ends there."""
    path = tmp_path_factory.getbasetemp() / "tape.csv"
    prices = sorted(dict(prices).items())
    rows = "".join(f"{time_text(NOON + timedelta(seconds=s))},{p},1\n" for s, p in prices)
    kept = marks(read(path, "at,price,size\n" + rows, every=timedelta(seconds=span)))
    epoch = int(NOON.timestamp())
    last = {-(-(epoch + seconds) // span): (seconds, price) for seconds, price in prices}
    assert kept == [(time_text(NOON + timedelta(seconds=s))[11:19], str(p)) for s, p in last.values()]


def test_the_key_names_source_asset_and_time(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + TWO)
    other = tmp_path / "b.csv.gz"
    other.write_bytes(gzip.compress((HEADER + TWO).encode()))
    assert kind_of(sample_of(FileSource(str(other)))).name == "candles"
    report = imported(keeper, path, other, kind=None, asset="XRP", source="kraken")
    assert (dict(report.added), report.repeated) == ({"mark": 2}, 2)
    assert imported(keeper, path, kind=None, asset="XRP", source="kraken").existed == 2
    mark = keeper.view(BOOK).state.marks["XRP"]
    assert (mark.price, mark.source) == (Decimal("1.75"), "kraken")
    with keeper.database.reading() as connection:
        from ledger import store

        assert list(store.find_keys(connection, BOOK, ["mark:kraken:XRP:2026-01-04T12:10:00Z"]))


@pytest.mark.parametrize(
    ("name", "marks_by_the_hour", "last"),
    [
        ("XRPUSDT_1m_2023-01-01_2023-01-07.csv.gz", 168, "2023-01-08T00:00:00.000000Z"),
        ("XRPUSDT_2023-01-01_2023-01-07.trades.csv.gz", 169, "2023-01-07T23:59:45.000000Z"),
        ("bybit_XRPUSDT_top_of_book_derived.csv", 1, "2024-12-01T00:00:05.490000Z"),
    ],
)
def test_real_prices(name: str, marks_by_the_hour: int, last: str, keeper: Bookkeeper) -> None:
    if not TAPE.is_dir():
        pytest.skip("the real prices are not at hand: there is no shared/data/tape beside the checkout")
    report = imported(keeper, TAPE / name, kind="candles", asset="XRP", every=timedelta(hours=1), zone=UTC)
    assert (dict(report.added), report.quarantine) == ({"mark": marks_by_the_hour}, 0)
    assert time_text(keeper.view(BOOK).state.marks["XRP"].at) == last


@given(st.text(alphabet='{}[]",:0123456789.-TZ\ntimeclos', max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    for content in (text, HEADER + text, "[" + text, json.dumps([text])):
        try:
            items = read(path, content)
        except Unreadable:
            continue
        assert all(isinstance(item, Row | QuarantinedRow | PassedOver) for item in items)
