"""An account's balance changes in one transaction, exactly, from its metadata.

Assets are named `XRP`, `CURRENCY.PEER` for a trust line (PEER is the other side: the issuer, for one who holds a token) and
`MPT:ID` for a multi-purpose token. A currency of 40 hexadecimal digits that spells a text is named by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain

from engine.importers.venues.reading import Odd, number
from engine.importers.venues.xrpl.nodes import Node
from engine.importers.venues.xrpl.tokens import token_changes
from ledger.amounts import ZERO, add, negate, subtract

XRP = "XRP"
_DROPS = -6
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{40}", re.ASCII)
_SPELLED = re.compile(r"[A-Za-z0-9?!@#$%^&*<>(){}\[\]|_+-]{4,20}", re.ASCII)


def balance_changes(nodes: Sequence[Node], account: str) -> dict[str, Decimal]:
    """What changed for an account, per asset, the network fee included; assets that did not change are left out."""
    found: dict[str, Decimal] = {}
    read = (reader(node, account) for node in nodes if (reader := _READERS.get(node.kind)) is not None)
    for asset, amount in chain((change for change in read if change is not None), token_changes(nodes, account)):
        found[asset] = add(found.get(asset, ZERO), amount)
    return {asset: amount for asset, amount in found.items() if amount}


def currency_name(currency: object) -> str:
    """A currency's code; 40 hexadecimal digits that spell a text of 4 to 20 characters become the text. Raises Odd."""
    if not isinstance(currency, str) or not currency:
        raise Odd("a currency is no text")
    if not _HEXADECIMAL.fullmatch(currency):
        return currency
    spelled = bytes.fromhex(currency).rstrip(b"\0").decode("latin-1")
    return spelled if _SPELLED.fullmatch(spelled) else currency.upper()


def hexadecimal_name(asset: str) -> str:
    """The asset of a spelled currency with its currency in hexadecimal digits; any other asset as it is."""
    currency, point, peer = asset.partition(".")
    if not point or len(currency) < 4 or len(currency) > 20 or not currency.isascii():
        return asset
    return f"{currency.encode().hex().upper().ljust(40, '0')}.{peer}"


def amount_of(given: object) -> tuple[str, Decimal]:
    """The asset and the amount of a transaction's amount: drops as a text, or an object. Raises Odd."""
    if isinstance(given, dict):
        if "mpt_issuance_id" in given:
            return f"MPT:{given['mpt_issuance_id']}", number(given.get("value"))
        return f"{currency_name(given.get('currency'))}.{given.get('issuer')}", number(given.get("value"))
    return XRP, drops(given)


def drops(given: object) -> Decimal:
    """XRP from drops. Raises Odd."""
    found = number(given, "an amount of XRP")
    if found != found.to_integral_value():
        raise Odd("an amount of drops is no whole number")
    return found.scaleb(_DROPS)


def _xrp(node: Node, account: str) -> tuple[str, Decimal] | None:
    if node.fields.get("Account") != account:
        return None
    if node.how == "CreatedNode":
        return XRP, drops(node.fields.get("Balance", "0"))
    if "Balance" not in node.before:
        return None
    return XRP, subtract(drops(node.fields.get("Balance", "0")), drops(node.before["Balance"]))


def _trust_line(node: Node, account: str) -> tuple[str, Decimal] | None:
    """The balance of a line is told from the low account's side."""
    low, high = _issuer(node, "LowLimit"), _issuer(node, "HighLimit")
    if account not in (low, high):
        return None
    if node.how != "CreatedNode" and "Balance" not in node.before:
        return None
    after, currency = _line_balance(node.fields.get("Balance"))
    before = ZERO if node.how == "CreatedNode" else _line_balance(node.before["Balance"])[0]
    change = subtract(after, before)
    peer = high if account == low else low
    return f"{currency_name(currency)}.{peer}", change if account == low else negate(change)


def _issuer(node: Node, limit: str) -> str:
    found = node.fields.get(limit)
    if not isinstance(found, dict) or not isinstance(found.get("issuer"), str):
        raise Odd(f"a trust line has no {limit}")
    return str(found["issuer"])


def _line_balance(given: object) -> tuple[Decimal, object]:
    if not isinstance(given, dict):
        raise Odd("a trust line has no balance")
    return number(given.get("value"), "a trust line's balance"), given.get("currency")


_READERS = {"AccountRoot": _xrp, "RippleState": _trust_line}
