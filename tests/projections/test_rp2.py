"""The golden reports of a tax calculator, rp2, are reproduced from its inputs: FIFO, LIFO, HIFO, LOFO."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.book import Book
from projections.cost_basis import CostBasisFold, standing_order
from projections.lots import METHODS
from tests.projections.in_memory import log_of
from tests.support import ROOT

FOLDER = ROOT.parent / "shared" / "data" / "rp2"
BOOK = Book("main", "live", "USD", "BTC", "profit_first/1")
WIDE = Context(prec=60)
Fields = dict[str, Any]
INCOME, SALES = {"Interest", "Staking"}, {"Sell"}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real data is not beside the checkout")


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def columns_of(ini: Path, section: str) -> dict[str, int]:
    lines = ini.read_text("utf-8").split(f"[{section}]")[1].split("[")[0].splitlines()
    return {name.strip(): int(place) for name, _, place in (line.partition("=") for line in lines) if place}


def tables(rows: list[list[str | None]]) -> dict[str, list[list[str | None]]]:
    """The rows of each table of a sheet, without its header."""
    found: dict[str, list[list[str | None]]] = {}
    current: list[list[str | None]] | None = None
    for row in rows:
        if row[0] in ("IN", "OUT", "INTRA"):
            current = found.setdefault(str(row[0]), [])
        elif row[0] == "TABLE END":
            current = None
        elif current is not None:
            current.append(row)
    return {name: body[1:] for name, body in found.items()}


def events_of(sheet: list[list[str | None]], ini: Path) -> list[tuple[str, Fields]]:
    """Each row as (rp2's type, the fields of events). What rp2 adds to a cost, a fee in kind too, is in the price paid."""
    made: list[tuple[str, Fields]] = []
    sections = (("IN", "in_header"), ("OUT", "out_header"), ("INTRA", "intra_header"))
    for table, section in sections:
        columns = columns_of(ini, section)
        for row in tables(sheet).get(table, []):

            def cell(name: str, row: list[str | None] = row, columns: dict[str, int] = columns) -> str | None:
                place = columns.get(name)
                return None if place is None or place >= len(row) else row[place]

            time = datetime.fromisoformat(str(cell("timestamp")).replace("Z", "+00:00")).astimezone(UTC)
            asset, kind, at = str(cell("asset")), str(cell("transaction_type")), time.isoformat()
            spot = cell("spot_price")
            if spot is not None:
                made.append((kind, {"type": "mark", "asset": asset, "price": spot, "at": at}))
            if table == "INTRA":
                lost = WIDE.subtract(Decimal(str(cell("crypto_sent"))), Decimal(str(cell("crypto_received"))))
                made += [("MOVE", fee_of(asset, lost, at))] if lost else []
                continue
            amount = Decimal(str(cell("crypto_in" if table == "IN" else "crypto_out_no_fee")))
            price = Decimal(str(spot))
            in_kind = Decimal(cell("crypto_fee") or 0)
            worth = WIDE.multiply(amount, price)
            if kind in INCOME and table == "IN":
                reward = {"type": "adjustment", "asset": asset, "amount": f"{amount:f}", "reason": "reward", "at": at}
                made.append((kind.upper(), reward))
            elif kind == "Buy":
                paid = WIDE.add(worth, WIDE.add(Decimal(cell("fiat_fee") or 0), WIDE.multiply(in_kind, price)))
                made.append(("BUY", fill_of("buy", asset, amount, paid, at)))
                made += [("FEE", fee_of(asset, in_kind, at))] if in_kind else []
            elif kind in SALES:
                fee: Fields = {"fee_asset": asset, "fee_amount": f"{in_kind:f}"}
                made.append(("SELL", fill_of("sell", asset, amount, worth, at) | fee))
            else:
                out: Fields = {"asset": asset, "amount": f"{amount:f}", "price": spot, "basis_delta": "0", "at": at}
                made.append((kind.upper(), {"type": "withdrawal", **out}))
    return made


def fill_of(side: str, asset: str, amount: Decimal, quote: Decimal, at: str) -> Fields:
    pair = {"base_asset": asset, "base_amount": f"{amount:f}", "quote_asset": "USD", "quote_amount": f"{quote:f}"}
    return {"type": "fill", "side": side, **pair, "at": at}


def fee_of(asset: str, amount: Decimal, at: str) -> Fields:
    return {"type": "adjustment", "asset": asset, "amount": f"{-amount:f}", "reason": "fee", "at": at}


@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo", "lofo"])
@pytest.mark.parametrize("example", ["crypto_example", "test_data4"])
def test_every_line_of_the_yearly_summary_is_reproduced(example: str, method: str) -> None:
    golden = read("golden_summary.json")["golden"][f"{example}_generic_{method}_rp2_full_report.ods"]
    sums: defaultdict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)

    def count(year: str, asset: str, kind: str, *parts: Decimal) -> None:
        key = year, asset, kind
        sums[key] = [WIDE.add(have, part) for have, part in zip(sums[key], parts, strict=True)]

    for asset, sheet in read("input_rows.json")["input"][f"{example}.ods"].items():
        events = events_of(sheet, FOLDER / f"{example}.ini")
        log = log_of([fields for _, fields in events], BOOK)
        found = CostBasisFold("USD", METHODS[method], fees_in_cost=True).run(standing_order(log))
        for each in found.disposals:
            kind = events[each.closed.version - 2][0]
            # Of a sale, rp2 counts the fee's quantity and cost, and says that it brought nothing.
            brought = Decimal(0) if kind == "SELL" and each.closed.cause == "fee" else each.proceeds
            assert brought is not None
            assert each.cost is not None
            count(str(each.closed.at.year), asset, kind, each.quantity, brought, each.cost)
        for receipt in found.receipts:
            assert receipt.worth is not None
            kind = events[receipt.origin.version - 2][0]
            count(str(receipt.origin.at.year), asset, kind, receipt.amount, receipt.worth, Decimal(0))
    there = {(row["year"], row["asset"], row["type"]) for row in golden}
    assert set(sums) == there
    for row in golden:
        ours = sums[row["year"], row["asset"], row["type"]]
        theirs = [Decimal(row[name]) for name in ("crypto_taxable_total", "usd_taxable_total", "usd_cost_basis")]
        # Theirs are rounded to 31 digits, and a share of a cost here to 18 decimals.
        for our, their in zip(ours, theirs, strict=True):
            assert abs(WIDE.subtract(our, their)) < Decimal("1e-15"), (row, ours)
