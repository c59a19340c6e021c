"""Any CSV by a mapping: what columns mean, what a mapping may not say, and what --learn proposes for real files."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.importers.csv_files import KIND, number
from engine.importers.csv_learning import propose
from engine.importers.csv_mapping import parse_mapping
from engine.importers.items import Contract, Item, Movement, PassedOver, QuarantinedRow, Row, Settings, Unreadable
from engine.importers.sources import FileSource
from engine.importers.times import TimeReader
from ledger.errors import Refusal, Refused
from ledger.events import Adjustment
from ledger.times import time_text
from tests.engine.importers.import_support import SHARED, balances, imported

REAL = SHARED / "csv"
NO_DATA = "the real files are not at hand: there is no shared/data/csv beside the checkout"


def read(folder: Path, mapping: str, content: str, numeraire: str = "EUR", **settings: Any) -> list[Item]:
    (folder / "map.yaml").write_text(mapping)
    (folder / "given.csv").write_text(content)
    settings = {"zone": UTC, **settings}
    return list(
        KIND.read(
            [FileSource(str(folder / "given.csv"))], Settings(numeraire, mapping=str(folder / "map.yaml"), **settings)
        )
    )


def plain(item: Item) -> Any:
    """An item in few words: of a row, its facts."""
    if not isinstance(item, Row):
        return type(item).__name__
    found: list[tuple[Any, ...]] = []
    for fact in item.facts:
        if isinstance(fact, Movement):
            found.append((fact.direction, fact.asset, str(fact.amount)))
        elif fact.kind == "fill":
            fields = ("side", "base_asset", "base_amount", "quote_asset", "quote_amount", "fee_asset", "fee_amount")
            found.append(tuple(str(getattr(fact, name)) for name in fields))
        else:
            assert isinstance(fact, Adjustment)
            found.append((fact.asset, str(fact.amount), fact.reason))
    return found


TIMED = "time: T\nrows:\n"
FILL = TIMED + "- fill: {side: S, pair: P, base_amount: A, price: R, fee_asset: F, fee_amount: E%s}\n"
DAY = "2026-01-04"


@pytest.mark.parametrize(
    ("mapping", "content", "expected"),
    [
        (
            FILL % "",
            f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10,EUR,0.1\n",
            [("buy", "BTC", "2", "EUR", "20", "EUR", "0.1")],
        ),
        (
            FILL % "",
            f"T,S,P,A,R,F,E\n{DAY},SELL,BTC-EUR,-2,10,BNB,0\n",
            [("sell", "BTC", "2", "EUR", "20", "BNB", "0")],
        ),
        (
            FILL % ", fee_negative: true",
            f"T,S,P,A,R,F,E\n{DAY},S,BTC_EUR,2,10,EUR,-0.1\n",
            [("sell", "BTC", "2", "EUR", "20", "EUR", "0.1")],
        ),
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10,,\n", [("buy", "BTC", "2", "EUR", "20", "None", "None")]),
        (FILL % "", f"T;S;P;A;R;F;E\n{DAY};buy;BTC/EUR;2;10;;0\n", [("buy", "BTC", "2", "EUR", "20", "EUR", "0")]),
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},hold,BTC/EUR,2,10,,\n", "QuarantinedRow"),
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},buy,BTCEUR,2,10,,\n", "QuarantinedRow"),
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10,,0.1\n", "QuarantinedRow"),
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10,BTC,3\n", "QuarantinedRow"),  # a fee above the amount
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10\n", "QuarantinedRow"),
        (FILL % "", f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10,EUR,0.1,9\n", "QuarantinedRow"),
        (
            FILL % "",
            f"T,S,P,A,R,F,E\n{DAY},buy,BTC/EUR,2,10,EUR,0.1,\n",
            [("buy", "BTC", "2", "EUR", "20", "EUR", "0.1")],
        ),
        (FILL % "", "T,S,P,A,R,F,E\nyesterday,buy,BTC/EUR,2,10,,\n", "QuarantinedRow"),
        # The amount that was paid includes the fee.
        (
            TIMED
            + "- fill: {side: S, pair: P, base_amount: A, quote_amount: Q, fee_asset: {value: EUR}, "
            + "fee_amount: E, fee_included: true}\n",
            f"T,S,P,A,Q,E\n{DAY},buy,BTC/EUR,2,10,0.1\n",
            [("buy", "BTC", "2", "EUR", "9.9", "EUR", "0.1")],
        ),
        # What came in and what went out: the numeraire is what is paid in, else what went out is.
        (
            TIMED + "- fill: {bought_asset: C, bought_amount: B, sold_asset: 'C#2', sold_amount: S}\n",
            f"T,B,C,S,C\n{DAY},5,EUR,1,BTC\n",
            [("sell", "BTC", "1", "EUR", "5", "None", "None")],
        ),
        (
            TIMED + "- fill: {bought_asset: C, bought_amount: B, sold_asset: 'C#2', sold_amount: S}\n",
            f"T,B,C,S,C\n{DAY},5,ETH,1,BTC\n",
            [("buy", "ETH", "5", "BTC", "1", "None", "None")],
        ),
        (TIMED + "- movement: {asset: C, amount: A}\n", f"T,A,C\n{DAY},-5,EUR\n", [("out", "EUR", "5")]),
        (TIMED + "- movement: {asset: C, amount: A}\n", f"T,A,C\n{DAY},0,EUR\n", "QuarantinedRow"),
        (
            TIMED + "- withdrawal: {asset: C, amount: A, fee_asset: C, fee_amount: F}\n",
            f"T,A,C,F\n{DAY},5,EUR,1\n",
            [("out", "EUR", "5"), ("EUR", "-1", "fee")],
        ),
        (
            TIMED + "- withdrawal: {asset: C, amount: A, fee_asset: C, fee_amount: F, fee_included: true}\n",
            f"T,A,C,F\n{DAY},-5,EUR,1\n",
            [("out", "EUR", "4"), ("EUR", "-1", "fee")],
        ),
        (
            TIMED + "- adjustment: {asset: C, amount: A, reason: {value: reward}}\n",
            f"T,A,C\n{DAY},0.5,BTC\n",
            [("BTC", "0.5", "reward")],
        ),
        (
            TIMED + "- adjustment: {asset: C, amount: A, reason: {value: fee}, negate: true}\n",
            f"T,A,C\n{DAY},0.5,BTC\n",
            [("BTC", "-0.5", "fee")],
        ),
        (
            TIMED + "- deposit: {asset: {column: A, part: unit}, amount: {column: A, part: number}}\n",
            f"T,A\n{DAY},1.50 ETH\n",
            [("in", "ETH", "1.50")],
        ),
        (
            "decimal: ','\nthousands: '.'\n" + TIMED + "- deposit: {asset: C, amount: A}\n",
            f"T;C;A\n{DAY};EUR;1.234,50\n",
            [("in", "EUR", "1234.50")],
        ),
        (TIMED + "- deposit: {asset: C, amount: A}\n", f'T,C,A\n{DAY},EUR,"1,234.50"\n', "QuarantinedRow"),
        (
            TIMED + "- when: {K: [a, b]}\n  skip: nothing\n- when: {K: C}\n  deposit: {asset: A, amount: N}\n",
            f"T,K,A,N\n{DAY},B,EUR,1\n",
            "PassedOver",
        ),
        (
            TIMED + "- when: {K: [a, b]}\n  skip: nothing\n- when: {K: C}\n  deposit: {asset: A, amount: N}\n",
            f"T,K,A,N\n{DAY},c,EUR,1\n",
            [("in", "EUR", "1")],
        ),
        (
            TIMED + "- when: {K: [a, b]}\n  skip: nothing\n- when: {K: C}\n  deposit: {asset: A, amount: N}\n",
            f"T,K,A,N\n{DAY},d,EUR,1\n",
            "QuarantinedRow",
        ),
        (
            "take: {K: done}\n" + TIMED + "- deposit: {asset: A, amount: N}\n",
            f"T,K,A,N\n{DAY},open,EUR,1\n",
            "PassedOver",
        ),
        (
            "skip_lines: 2\n" + TIMED + "- deposit: {asset: A, amount: N}\n",
            f"Your\nexport\nT,A,N\n{DAY},EUR,1\n",
            [("in", "EUR", "1")],
        ),
        (
            TIMED + "- fill: {side: {column: S, map: {Kauf: buy}}, pair: P, base_amount: A, price: R}\n",
            f"T,S,P,A,R\n{DAY},Kauf,A/B,1,2\n",
            [("buy", "A", "1", "B", "2", "None", "None")],
        ),
        (
            TIMED + "- fill: {side: {column: S, map: {Kauf: buy}}, pair: P, base_amount: A, price: R}\n",
            f"T,S,P,A,R\n{DAY},Tausch,A/B,1,2\n",
            "QuarantinedRow",
        ),
    ],
)
def test_what_a_row_becomes(tmp_path: Path, mapping: str, content: str, expected: Any) -> None:
    (item,) = read(tmp_path, mapping, content)
    assert plain(item) == expected, item


def test_a_position_is_no_fill(tmp_path: Path) -> None:
    mapping = TIMED + ("- contract: {symbol: S, asset: C, realised: P, funding: F, fee_asset: C, fee_amount: X}\n")
    text = "T,S,C,P,F,X\n2026-01-04,XRP-PERP,USDT,-7.5,0.25,0.1\n2026-01-04,XRP-PERP,USDT,0,,\n2026-01-04,,USDT,1,1,1\n"
    contract, row, other, odd = read(tmp_path, mapping, text)
    assert [item.symbol for item in (contract, other) if isinstance(item, Contract)] == ["XRP-PERP"] * 2
    assert plain(row) == [("USDT", "-7.5", "realised"), ("USDT", "0.25", "funding"), ("USDT", "-0.1", "fee")]
    assert isinstance(odd, QuarantinedRow)
    with pytest.raises(Refused, match="lacks asset"):
        read(tmp_path, TIMED + "- contract: {symbol: S, realised: P}\n", text)


def test_rows_whose_id_is_empty_are_known_by_their_content(keeper: Bookkeeper, tmp_path: Path) -> None:
    mapping = "time: T\nid: [A, B]\nrows:\n- deposit: {asset: C, amount: D}\n"
    rows = read(tmp_path, mapping, "T,A,B,C,D\n2026-01-04,,,RLUSD,1\n2026-01-04,,,RLUSD,1\n2026-01-04,x,,RLUSD,1\n")
    assert [row.id for row in rows if isinstance(row, Row)] == [None, None, "x:"]
    for _ in range(2):
        imported(keeper, tmp_path / "given.csv", kind="csv", mapping=str(tmp_path / "map.yaml"), zone=UTC)
    assert balances(keeper) == {"RLUSD": "3"}


def test_ids_zones_and_places(tmp_path: Path) -> None:
    mapping = "time: [D, H]\nzone: {column: Z}\nid: [I, N]\nrows: [{deposit: {asset: A, amount: Q}}]\n"
    content = (
        "D,H,Z,I,N,A,Q\n2026-07-01,14:00:00,Europe/Amsterdam,x,1,EUR,1\n\n2026-07-01,14:00:00,Mars/Base,x,2,EUR,1\n"
        "2026-03-29,02:30:00,Europe/Amsterdam,x,3,EUR,1\n"
    )
    first, no_zone, no_time = read(tmp_path, mapping, content, source="mine")
    assert isinstance(first, Row)
    assert (first.id, time_text(first.at)[:19], first.origin.place) == ("mine:x:1", "2026-07-01T12:00:00", "line 2")
    assert isinstance(no_zone, QuarantinedRow)
    assert isinstance(no_time, QuarantinedRow)  # the clock was put forward over it
    assert no_zone.origin.place == "line 4"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("", "not a mapping"),
        ("a: [", "not YAML"),
        ("time: T\n", "which column is the time"),
        ("time: T\nrows: []\n", "not a list of rules"),
        ("time: T\nrows: [{fill: {side: S}}]\n", "it lacks"),
        ("time: T\nrows: [{deposit: {asset: A}}]\n", "it lacks amount"),
        ("time: T\nrows: [{deposit: {asset: A, amount: B, color: C}}]\n", "no such setting"),
        ("time: T\ntime: U\nrows: [{skip: x}]\n", "given twice"),
        ("time: T\nrows: [{skip: x, fill: {}}]\n", "must say what a row becomes"),
        ("time: T\nzone: Mars/Base\nrows: [{skip: x}]\n", "no such time zone"),
        ("time: T\ndecimal: x\nrows: [{skip: x}]\n", "no such choice"),
        ("time: T\nrows: [{deposit: {asset: A, amount: {column: B, part: all}}}]\n", "no such choice"),
        ("time: T\nrows: [{deposit: {asset: A, amount: [B]}}]\n", "neither a column nor an object"),
        ("time: T\nskip_lines: -1\nrows: [{skip: x}]\n", "not a whole number"),
        ("time: {a: b}\nrows: [{skip: x}]\n", "not a text"),
    ],
)
def test_a_mapping_that_is_not_understood_is_refused(mapping: str, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        parse_mapping(mapping.encode(), "map.yaml")
    assert refused.value.refusal is Refusal.MAPPING_MALFORMED
    assert (refused.value.where or "").startswith("map.yaml")


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no column 'Z'; it has 'T', 'A'"):
        read(tmp_path, TIMED + "- deposit: {asset: Z, amount: A}\n", "T,A\n")


@pytest.mark.parametrize(
    ("given", "zone", "formats", "expected"),
    [
        ("2026-01-04T12:00:00Z", None, (), "2026-01-04T12:00:00.000000Z"),
        ("2026-01-04 13:00:00+01:00", None, (), "2026-01-04T12:00:00.000000Z"),
        ("2026-01-04 12:00:00 UTC", None, (), "2026-01-04T12:00:00.000000Z"),
        ("2026-01-04 12:00:00.1234567Z", None, (), "2026-01-04T12:00:00.123456Z"),
        ("2026-01-04 12:00", UTC, (), "2026-01-04T12:00:00.000000Z"),
        ("2026-01-04", UTC, (), "2026-01-04T00:00:00.000000Z"),
        ("1767528000", None, (), "2026-01-04T12:00:00.000000Z"),
        ("1767528000.5", None, (), "2026-01-04T12:00:00.500000Z"),
        ("1767528000123", None, (), "2026-01-04T12:00:00.123000Z"),
        ("1767528000123456", None, (), "2026-01-04T12:00:00.123456Z"),
        ("1767528000123456789", None, (), "2026-01-04T12:00:00.123456Z"),
        ("04.01.2026 12:00", UTC, ("%d.%m.%Y %H:%M",), "2026-01-04T12:00:00.000000Z"),
        ("Jan. 4, 2026, 12:00 PM", UTC, ("%d.%m.%Y %H:%M", "%b. %d, %Y, %I:%M %p"), "2026-01-04T12:00:00.000000Z"),
        ("2026-01-04 12:00", None, (), None),
        ("4.1.2026", UTC, (), None),
        ("99999999999999999999", None, (), None),
        ("", UTC, (), None),
    ],
)
def test_times(given: str, zone: Any, formats: tuple[str, ...], expected: str | None) -> None:
    reader = TimeReader(zone, formats)
    if expected is None:
        with pytest.raises(ValueError):
            reader.read(given)
    else:
        assert time_text(reader.read(given)) == expected


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("UTC+1", "11"),
        ("GMT-02:00", "14"),
        ("+0530", "06"),
        ("-05:30", "17"),
        ("Europe/Zurich", "11"),
        ("UTC+24", None),
        ("+5:3", None),
        ("Nowhere", None),
    ],
)
def test_a_zone_is_a_name_or_an_offset(name: str, at: str | None, tmp_path: Path) -> None:
    mapping = "time: T\nzone: {column: Z}\nrows:\n- deposit: {asset: C, amount: A}\n"
    (item,) = read(tmp_path, mapping, f"T,Z,C,A\n2026-01-04 12:00:00,{name},EUR,1\n")
    assert (time_text(item.at)[11:13] if isinstance(item, Row) else None) == at


@pytest.mark.parametrize(
    ("given", "decimal", "thousands", "expected"),
    [
        ("1,234.5", ".", ",", "1234.5"),
        ("-1.234,5", ",", ".", "-1234.5"),
        ("1\u00a0234\u202f567,5", ",", " ", "1234567.5"),
        ("1'234", ".", "'", "1234"),
        # What is no thousand is not ten times as much.
        ("1,5", ".", ",", None),
        ("1234,567", ".", ",", None),
        ("1.5", ",", ".", None),
        ("1,234.5,6", ".", ",", None),
    ],
)
def test_signs_stand_between_thousands(given: str, decimal: str, thousands: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"thousands|not a number|has a point"):
            number(given, decimal, thousands)
    else:
        assert number(given, decimal, thousands) == Decimal(expected)


@pytest.mark.parametrize(
    ("header", "row", "lines"),
    [
        (
            "Date;Type;Pair;Amount;Total",
            "2026-01-03T10:00:00Z;buy;XRP/EUR;1.234,5;2.469,00",
            ['decimal: ","', 'thousands: "."'],
        ),
        ("Date;Type;Pair;Amount;Total", "2026-01-03T10:00:00Z;buy;XRP/EUR;1234,5;2469,00", ['decimal: ","']),
        ("Date;Type;Pair;Amount;Total", "2026-01-03T10:00:00Z;buy;XRP/EUR;1,234.5;2,469.00", ['thousands: ","']),
        ("Date;Type;Pair;Amount;Total", "2026-01-03T10:00:00Z;buy;XRP/EUR;1234.5;2469", []),
    ],
)
def test_learning_finds_out_how_numbers_are_written(header: str, row: str, lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text(f"{header}\n{row}\n")
    proposed = propose(FileSource(str(tmp_path / "given.csv")))
    assert [line for line in proposed.splitlines() if line.startswith(("decimal", "thousands"))] == lines
    (item,) = read(tmp_path, proposed, f"{header}\n{row}\n")
    assert plain(item)[0][:5] == ("buy", "XRP", "1234.5", "EUR", "2469.00" if "00" in row.split(";")[-1] else "2469")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_numbers_with_thousands_are_exact(given: Decimal) -> None:
    assert number(f"{given:,.6f}", ".", ",") == given
    continental = f"{given:,.6f}".replace(",", " ").replace(".", ",")
    assert number(continental, ",", " ") == given


# ---- real files, by the mapping that is proposed for them


def learnt(name: str, folder: Path) -> tuple[Path, str]:
    if not REAL.is_dir():
        pytest.skip(NO_DATA)
    path = folder / "map.yaml"
    path.write_text(propose(FileSource(str(REAL / "other" / name))))
    return REAL / "other" / name, str(path)


def test_a_proposed_mapping_gives_the_figures_of_a_real_file(keeper: Bookkeeper, tmp_path: Path) -> None:
    path, mapping = learnt("kucoin_order_history.csv", tmp_path)
    expected = json.loads((REAL / "expected.json").read_text())["other/kucoin_order_history.csv"]
    for added in (2, 0):
        report = imported(keeper, path, kind="csv", mapping=mapping)
        assert (report.added.total(), report.quarantine) == (added, 0)
    held = {asset: holding.total for asset, holding in keeper.view("main").state.inventory.items()}
    assert held == {asset: Decimal(total) for asset, total in expected["net"].items()}


@pytest.mark.parametrize(
    ("name", "rows", "quarantined"),
    [
        ("bitstamp.csv", 3, 0),
        ("bitvavo-export.csv", 34, 0),
        ("cointracking-export.csv", 6, 0),
        ("poloniex_v002.csv", 1, 1),  # its fee total is in another unit than its fee currency says
        ("rotki_generic_trades.csv", 5, 1),  # a trade of 0
    ],
)
def test_a_proposed_mapping_reads_every_row_of_a_real_file(
    name: str, rows: int, quarantined: int, tmp_path: Path
) -> None:
    path, mapping = learnt(name, tmp_path)
    items = list(KIND.read([FileSource(str(path))], Settings("EUR", zone=UTC, mapping=mapping)))
    assert [sum(isinstance(item, kind) for item in items) for kind in (Row, QuarantinedRow, PassedOver)] == [
        rows,
        quarantined,
        0,
    ]


@given(st.text(alphabet='a,;"\n\r\t0123456789.-|é', max_size=60))
def test_any_text_is_read_learnt_from_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        items = read(folder, TIMED + "- deposit: {asset: a, amount: a}\n", "T,a\n" + text)
        assert all(isinstance(item, Row | QuarantinedRow) for item in items)
    except Unreadable:
        pass
    (folder / "any.csv").write_text(text)
    with suppress(Unreadable, Refused):
        parse_mapping(propose(FileSource(str(folder / "any.csv"))).encode(), "proposed")
