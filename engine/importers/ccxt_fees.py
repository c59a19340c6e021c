"""The fees of ccxt's entries: `fee` and `fees`, as an object, a list, null, a number or a text; negative is a rebate."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.importers.ccxt_fields import Entry, number, optional_text
from engine.importers.literals import read_literal
from engine.importers.venues.reading import Odd
from ledger.amounts import ZERO, add, amount_text, total

# A fee as one text, such as `0.001 BNB`.
_WITH_UNIT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z][A-Za-z0-9.]{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee: its asset, None where it is not named, and its amount; negative is a rebate."""

    asset: str | None
    amount: Decimal


def fees_of(entry: Entry) -> list[Fee] | None:
    """The fees of an entry; None when none was reported. `fees` where it names a cost, else `fee`. Raises Odd."""
    for name in ("fees", "fee"):
        found = _fees_in(entry.get(name))
        if found:
            return [fee for fee in found if not fee.amount.is_zero()] or [found[0]]
    return None


def divided(fees: Sequence[Fee] | None, quote: str) -> tuple[Fee | None, Sequence[Fee], str | None]:
    """The fill's own fee, None for an unknown one; further fees; and a note about fees without an asset."""
    if fees is None:
        return None, (), None
    named: dict[str, Decimal] = {}
    for fee in fees:
        if fee.asset is not None:
            named[fee.asset] = add(named.get(fee.asset, ZERO), fee.amount)
    nameless = [fee.amount for fee in fees if fee.asset is None and not fee.amount.is_zero()]
    if nameless:
        note = f"a fee of {amount_text(total(nameless))} whose asset the file does not name"
        return None, [Fee(asset, amount) for asset, amount in named.items()], note
    if not named:
        return Fee(quote, ZERO), (), None
    first, *others = (Fee(asset, amount) for asset, amount in named.items())
    return first, others, None


def _fees_in(given: Any) -> list[Fee]:
    if isinstance(given, str):
        given = _unquoted(given.strip())
    if isinstance(given, list):
        return [fee for each in given for fee in _fees_in(each)]
    if isinstance(given, dict):
        cost = number(given, "cost")
        return [] if cost is None else [Fee(optional_text(given, "currency"), cost)]
    if isinstance(given, int | Decimal) and not isinstance(given, bool):
        cost = number({"fee": given}, "fee")
        return [] if cost is None else [Fee(None, cost)]
    if given is None:
        return []
    raise Odd("the fee is neither an object, a list, null nor a text")


def _unquoted(text: str) -> Any:
    """A fee that is a text: JSON or what Python writes for an object, as programs store it; a number, with its asset."""
    if not text:
        return None
    match = _WITH_UNIT.fullmatch(text)
    if match is not None:
        return {"cost": match[1], "currency": match[2]}
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        pass
    try:
        return read_literal(text)
    except ValueError:
        raise Odd(f"the fee {text[:40]!r} is not understood") from None
