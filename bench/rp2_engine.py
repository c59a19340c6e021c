"""The tax calculator rp2 as a library, which it is not made for: its transactions are built here, and its engine is run.

Reading its spreadsheet and writing its reports takes most of its time, and is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

# It wants to know the columns of a spreadsheet, also where there is none.
_COLUMNS = {
    "in_header": "timestamp asset exchange holder transaction_type spot_price crypto_in",
    "out_header": "timestamp asset exchange holder transaction_type spot_price crypto_out_no_fee crypto_fee",
    "intra_header": "timestamp asset from_exchange from_holder to_exchange to_holder spot_price crypto_sent crypto_received",
}
_PLACE = ("XRP", "venue", "owner")


@dataclass(frozen=True, slots=True)
class Pairing:
    """A sale and a purchase that rp2 pairs.

    sale, purchase:  the places of the two among the fills, from 1
    quantity:        how much of the purchase was sold, the sale's fee in kind included
    proceeds, cost:  in the quote currency
    """

    sale: int
    purchase: int
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal


class Rp2:
    """rp2's engine. `folder`: for its configuration, and for the log that it begins where it is imported."""

    def __init__(self, folder: Path) -> None:
        with contextlib.chdir(folder):
            modules = ("configuration", "tax_engine", "accounting_engine", "input_data", "transaction_set")
            setup, self._tax, self._engine, self._data, self._sets = (_module(f"rp2.{name}") for name in modules)
            self._number = _module("rp2.rp2_decimal").RP2Decimal
            self._bought = _module("rp2.in_transaction").InTransaction
            self._sold = _module("rp2.out_transaction").OutTransaction
            country = _module("rp2.plugin.country.us").US()
        logging.getLogger("rp2").setLevel(logging.ERROR)  # else each price that is a rounded quotient is a warning
        self._span = setup.MIN_DATE, setup.MAX_DATE
        (folder / "rp2.ini").write_text(_configuration())
        self._configuration = setup.Configuration(configuration_path=str(folder / "rp2.ini"), country=country)

    def paired(self, fills: Iterable[Mapping[str, str]], method: str = "fifo") -> list[Pairing]:
        """What it makes of fills of XRP by one of its methods: fifo, lifo, hifo, lofo.

        fills: `at`, `side`, `base_amount`, `quote_amount`; `fee_amount`, of a purchase in the quote currency, of a sale in
        XRP, may be left out
        """
        sets = [
            self._sets.TransactionSet(self._configuration, kind, "XRP", *self._span) for kind in ("IN", "OUT", "INTRA")
        ]
        for row, fill in enumerate(fills, start=1):
            is_buy = fill["side"] == "buy"
            sets[0 if is_buy else 1].add_entry(self._purchase(fill, row) if is_buy else self._sale(fill, row))
        methods = _module("prezzemolo.avl_tree").AVLTree()
        methods.insert_node(self._span[0].year, _module(f"rp2.plugin.accounting_method.{method}").AccountingMethod())
        given = self._data.InputData("XRP", *sets)
        found = self._tax.compute_tax(self._configuration, self._engine.AccountingEngine(methods), given)
        return [_pairing(each) for each in found.gain_loss_set]

    def _purchase(self, fill: Mapping[str, str], row: int) -> Any:
        base, quote, fee = (self._number(fill.get(name, "0")) for name in ("base_amount", "quote_amount", "fee_amount"))
        paid = {"fiat_in_no_fee": quote, "fiat_in_with_fee": quote + fee, "fiat_fee": fee}
        return self._bought(self._configuration, fill["at"], *_PLACE, "BUY", quote / base, base, row=row, **paid)

    def _sale(self, fill: Mapping[str, str], row: int) -> Any:
        base, quote, fee = (self._number(fill.get(name, "0")) for name in ("base_amount", "quote_amount", "fee_amount"))
        brought = {"fiat_out_no_fee": quote, "row": row}
        return self._sold(self._configuration, fill["at"], *_PLACE, "SELL", quote / base, base, fee, **brought)


def _pairing(each: Any) -> Pairing:
    proceeds, cost = each.taxable_event_fiat_amount_with_fee_fraction, each.fiat_cost_basis
    amounts = (Decimal(str(amount)) for amount in (each.crypto_amount, proceeds, cost))
    return Pairing(each.taxable_event.row, each.acquired_lot.row, *amounts)


def _configuration() -> str:
    lines = ["[general]", "assets = XRP", "exchanges = venue", "holders = owner"]
    for section, columns in _COLUMNS.items():
        lines += [f"[{section}]", *(f"{name} = {place}" for place, name in enumerate(columns.split()))]
    return "\n".join(lines)


def _module(name: str) -> Any:
    return importlib.import_module(name)
