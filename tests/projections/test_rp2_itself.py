"""rp2 as a referee for any sequence of trades with fees: the accountant's view pairs the same sales and purchases.

Runs where rp2 is installed (the extra `bench`). A sale of more than is held is left out: rp2 refuses it, where netbasis
opens a short lot.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.rp2_engine import Rp2
from projections.cost_basis import CostBasisFold, standing_order
from projections.lots import METHODS
from tests.projections.in_memory import log_of
from tests.support import START

pytest.importorskip("rp2", reason="rp2 is not installed: it comes with the extra bench")

WIDE = Context(prec=60)
Trade = tuple[int, int, int]  # a quantity, < 0 for a sale; a price; a fee
# By sale and purchase, the quantity and its cost; by sale, what it brought.
Found = tuple[dict[tuple[int, int], tuple[Decimal, Decimal]], dict[int, Decimal]]


@pytest.fixture(scope="module")
def rp2(tmp_path_factory: pytest.TempPathFactory) -> Rp2:
    return Rp2(tmp_path_factory.mktemp("rp2"))


@st.composite
def trades_(draw: st.DrawFn) -> list[Trade]:
    made: list[Trade] = []
    held = 0
    for is_sale in draw(st.lists(st.booleans(), min_size=1, max_size=16)):
        price = draw(st.integers(1, 9))
        if is_sale and held:
            sold = draw(st.integers(1, held))
            fee = draw(st.integers(0, min(2, held - sold)))
            made.append((-sold, price, fee))
            held -= sold + fee
        else:
            bought = draw(st.integers(1, 9))
            made.append((bought, price, draw(st.integers(0, 6))))
            held += bought
    return made


def fill_of(trade: Trade, number: int) -> dict[str, Any]:
    size, price, fee = trade
    pair = {"base_asset": "XRP", "base_amount": str(abs(size)), "quote_asset": "RLUSD"}
    fees = {"fee_asset": "RLUSD" if size > 0 else "XRP", "fee_amount": str(fee)}
    when = {"at": (START + timedelta(hours=number)).isoformat()}
    side = "buy" if size > 0 else "sell"
    return {"type": "fill", "side": side, **pair, "quote_amount": str(abs(size) * price), **fees, **when}


def added(pairings: list[tuple[int, int, Decimal, Decimal, Decimal]]) -> Found:
    pairs: defaultdict[tuple[int, int], tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    proceeds: defaultdict[int, Decimal] = defaultdict(Decimal)
    for sale, purchase, quantity, brought, cost in pairings:
        have = pairs[sale, purchase]
        pairs[sale, purchase] = WIDE.add(have[0], quantity), WIDE.add(have[1], cost)
        proceeds[sale] = WIDE.add(proceeds[sale], brought)
    return pairs, proceeds


@given(trades=trades_(), method=st.sampled_from(["fifo", "lifo", "hifo", "lofo"]))
def test_rp2_pairs_the_same_sales_and_purchases(rp2: Rp2, trades: list[Trade], method: str) -> None:
    fills = [fill_of(trade, number) for number, trade in enumerate(trades, start=1)]
    theirs = added(
        [(each.sale, each.purchase, each.quantity, each.proceeds, each.cost) for each in rp2.paired(fills, method)]
    )
    found = CostBasisFold("RLUSD", METHODS[method], fees_in_cost=True).run(standing_order(log_of(fills)))
    ours = []
    for each in found.disposals:
        assert each.proceeds is not None
        assert each.cost is not None
        # rp2 says that a sale's fee in kind brought nothing.
        brought = Decimal(0) if each.closed.cause == "fee" else each.proceeds
        ours.append((each.closed.version - 1, each.opened.version - 1, each.quantity, brought, each.cost))
    pairs, proceeds = added(ours)
    assert set(pairs) == set(theirs[0])
    for of_pair, (quantity, cost) in pairs.items():
        assert quantity == theirs[0][of_pair][0]
        assert abs(WIDE.subtract(cost, theirs[0][of_pair][1])) < Decimal("1e-15")
    for sale, brought in proceeds.items():
        assert abs(WIDE.subtract(brought, theirs[1][sale])) < Decimal("1e-15")
