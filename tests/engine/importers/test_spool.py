"""Order and identity of rows: by time, then by the venue's order; by id, or else by content and occurrence."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.importers.items import Item, Origin, Row
from engine.importers.spool import SpooledRow, Tally, spooled
from ledger.events import Adjustment
from tests.engine.importers.import_support import NOON


def row(
    file: str, place: int, minutes: int, amount: int, row_id: str | None = None, order: tuple[int, ...] = ()
) -> Row:
    fact = Adjustment(asset="XRP", amount=Decimal(amount), reason="dust")
    return Row(Origin(file, f"line {place}"), NOON + timedelta(minutes=minutes), row_id, (fact,), order)


def given_back(files: list[list[Item]]) -> tuple[list[SpooledRow], Tally]:
    tally = Tally()
    with spooled(tally) as spool:
        for items in files:
            spool.add("made", items)
        spool.settle()
        found = list(spool.rows())
        assert len(spool) == len(found)
    return found, tally


contents = st.tuples(st.integers(0, 2), st.integers(1, 2))  # minutes, amount


@given(st.lists(st.lists(contents, max_size=6), max_size=3))
def test_without_ids_each_content_counts_as_often_as_in_the_file_that_has_it_most(
    files: list[list[tuple[int, int]]],
) -> None:
    found, tally = given_back(
        [[row(f"f{n}", place, *content) for place, content in enumerate(file)] for n, file in enumerate(files)]
    )
    expected: Counter[tuple[int, int]] = Counter()
    for file in files:
        expected |= Counter(file)
    assert len({each.key for each in found}) == len(found) == expected.total()
    assert Counter(each.at for each in found) == Counter(
        {
            NOON + timedelta(minutes=minutes): sum(n for (m, _), n in expected.items() if m == minutes)
            for minutes, _ in expected
        }
    )
    assert tally.repeated == sum(map(len, files)) - expected.total()
    assert [each.at for each in found] == sorted(each.at for each in found)


@given(st.lists(st.lists(contents, max_size=5), min_size=1, max_size=3))
def test_the_keys_of_a_larger_file_hold_those_of_each_part(parts: list[list[tuple[int, int]]]) -> None:
    """So importing an overlapping file adds only what is new."""
    whole = [content for part in parts for content in part]
    of_whole = {each.key for each in given_back([[row("all", n, *content) for n, content in enumerate(whole)]])[0]}
    for part in parts:
        of_part = {each.key for each in given_back([[row("part", n, *content) for n, content in enumerate(part)]])[0]}
        assert of_part <= of_whole


def test_one_id_is_one_row_and_its_first_content_counts() -> None:
    found, tally = given_back(
        [[row("a", 1, 0, 1, "x"), row("a", 2, 0, 1, "x"), row("a", 3, 0, 2, "x")], [row("b", 1, 0, 1, "x")]]
    )
    assert [(each.key, str(each.origin)) for each in found] == [("made:x", "a, line 1")]
    assert (tally.repeated, tally.count) == (2, 1)
    assert "the same id stands at a, line 1 with other content" in tally.quarantined[0].reason


def test_rows_of_one_time_stand_in_the_venues_order_and_then_in_that_of_the_files() -> None:
    orders = [(2, 0), (10, 1), (10, 0), (-1,), ()]
    found, _ = given_back(
        [[row("a", n, 0, 1, f"i{n}", order) for n, order in enumerate(orders)], [row("b", 9, 0, 1, "last")]]
    )
    # Without an order a row comes first; a negative number before a positive one.
    assert [each.key.removeprefix("made:") for each in found] == ["i4", "last", "i3", "i0", "i2", "i1"]


def test_half_a_surrogate_pair_is_quarantined_and_not_an_error() -> None:
    found, tally = given_back([[row("a", 1, 0, 1, "bad\ud800"), row("a", 2, 0, 1, "good")]])
    assert ([each.key for each in found], tally.count) == (["made:good"], 1)
