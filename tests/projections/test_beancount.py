"""beancount as a referee for any sequence of trades: its booking by FIFO, LIFO and HIFO finds the same lots and gains.

Runs where beancount is installed (the extra `bench`). A sale of more than is held is left out: beancount refuses it, where
netbasis opens a short lot.
"""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.cost_basis import CostBasisFold, standing_order
from projections.lots import METHODS
from tests.projections.in_memory import log_of
from tests.projections.test_cost_basis import buy, sell

pytest.importorskip("beancount", reason="beancount is not installed: it comes with the extra bench")

# The number of a purchase, what is left of it and its price.
Left = list[tuple[int, Decimal, Decimal]]


def through_beancount(method: str, trades: list[tuple[int, int]]) -> tuple[Left, dict[int, Decimal]]:
    """The lots that are left, and the gain of each sale by its number."""
    loader: Any = importlib.import_module("beancount.loader")
    text = [
        f'2020-01-01 open Assets:Coins XRP "{method.upper()}"',
        "2020-01-01 open Assets:Cash",
        "2020-01-01 open Income:Gain",
    ]
    for number, (size, price) in enumerate(trades, start=1):
        cost, gain = (f"{{{price} USD}}", "") if size > 0 else (f"{{}} @ {price} USD", "  Income:Gain\n")
        cash = f"  Assets:Cash  {-size * price} USD\n"
        text.append(f'2020-02-{number:02} * "{number}"\n  Assets:Coins  {size} XRP {cost}\n{cash}{gain}')
    entries, errors, _ = loader.load_string("\n".join(text))
    assert errors == []
    left: dict[tuple[int, Decimal], Decimal] = {}
    gains = {number: Decimal(0) for number, (size, _) in enumerate(trades, start=1) if size < 0}
    for entry in entries:
        for posting in getattr(entry, "postings", ()):
            if posting.account == "Assets:Coins":
                place = posting.cost.date.day, posting.cost.number
                left[place] = left.get(place, Decimal(0)) + posting.units.number
            elif posting.account == "Income:Gain":  # left out where it is 0
                gains[entry.date.day] = -posting.units.number
    return [(day, size, price) for (day, price), size in sorted(left.items()) if size], gains


@st.composite
def trades_(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Signed sizes and prices; no sale is of more than is held."""
    held, made = 0, []
    for _ in range(draw(st.integers(1, 12))):
        size = draw(st.integers(1, 20)) if held == 0 or draw(st.booleans()) else -draw(st.integers(1, held))
        made.append((size, draw(st.integers(1, 9))))
        held += size
    return made


@given(trades_(), st.sampled_from(["fifo", "lifo", "hifo"]))
def test_beancount_books_the_same_lots(trades: list[tuple[int, int]], method: str) -> None:
    steps = [(buy if size > 0 else sell)(str(abs(size)), str(abs(size) * price)) for size, price in trades]
    found = CostBasisFold("RLUSD", METHODS[method]).run(standing_order(log_of(steps)))
    lots = [
        (lot.origin.version - 1, lot.quantity, lot.cost / lot.quantity)
        for lot in found.open_lots()
        if lot.cost is not None
    ]
    gained = {number: Decimal(0) for number, (size, _) in enumerate(trades, start=1) if size < 0}
    for each in found.disposals:
        assert each.gain is not None
        gained[each.closed.version - 1] += each.gain
    assert (lots, gained) == through_beancount(method, trades)
