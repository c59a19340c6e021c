"""The tax calculator rp2 as a library, which it is not made for: its transactions are built here, and its engine is run.

Reading its spreadsheet and writing its reports takes most of its time, and is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from collections.abc import Mapping, Sequence
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


def _configuration() -> str:
    lines = ["[general]", "assets = XRP", "exchanges = venue", "holders = owner"]
    for section, columns in _COLUMNS.items():
        lines += [f"[{section}]", *(f"{name} = {place}" for place, name in enumerate(columns.split()))]
    return "\n".join(lines)


def realised_by_rp2(folder: Path, fills: Sequence[Mapping[str, str]]) -> tuple[float, Decimal]:
    """Seconds to make rp2's transactions of fills of XRP and to pair them by FIFO, and the gain that it finds.

    folder: for its configuration and the log that it begins where it is imported
    fills:  `at`, `side`, `base_amount`, `quote_amount`; fees are left out
    """
    with contextlib.chdir(folder):
        modules = ("configuration", "tax_engine", "accounting_engine", "input_data", "transaction_set", "rp2_decimal")
        setup, tax, engine, data, sets, numbers = (_module(f"rp2.{name}") for name in modules)
        bought, sold = _module("rp2.in_transaction"), _module("rp2.out_transaction")
        country, fifo = _module("rp2.plugin.country.us"), _module("rp2.plugin.accounting_method.fifo")
        methods = _module("prezzemolo.avl_tree").AVLTree()
    logging.getLogger("rp2").setLevel(logging.ERROR)  # else each price that is a rounded quotient is a warning
    methods.insert_node(setup.MIN_DATE.year, fifo.AccountingMethod())
    (folder / "rp2.ini").write_text(_configuration())
    configuration = setup.Configuration(configuration_path=str(folder / "rp2.ini"), country=country.US())
    number, span = numbers.RP2Decimal, (setup.MIN_DATE, setup.MAX_DATE)
    started = time.perf_counter()
    incoming, outgoing, moved = (
        sets.TransactionSet(configuration, kind, "XRP", *span) for kind in ("IN", "OUT", "INTRA")
    )
    for row, fill in enumerate(fills, start=1):
        base, quote = number(fill["base_amount"]), number(fill["quote_amount"])
        place = (configuration, fill["at"], *_PLACE)
        if fill["side"] == "buy":
            paid = {"fiat_in_no_fee": quote, "fiat_in_with_fee": quote, "fiat_fee": number(0)}
            incoming.add_entry(bought.InTransaction(*place, "BUY", quote / base, base, row=row, **paid))
        else:
            outgoing.add_entry(
                sold.OutTransaction(*place, "SELL", quote / base, base, number(0), fiat_out_no_fee=quote, row=row)
            )
    given = data.InputData("XRP", incoming, outgoing, moved)
    found = tax.compute_tax(configuration, engine.AccountingEngine(methods), given)
    seconds = time.perf_counter() - started
    return seconds, sum((Decimal(each.fiat_gain) for each in found.gain_loss_set), Decimal(0))


def _module(name: str) -> Any:
    return importlib.import_module(name)
