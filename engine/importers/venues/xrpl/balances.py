"""An account's balance changes in one transaction, exactly, from its metadata.

Assets are named `XRP`, `CURRENCY.PEER` for a trust line (PEER is the other side: the issuer, for one who holds a token) and
`MPT:ID` for a multi-purpose token. A currency of 40 hexadecimal digits that spells a text is named by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.importers.venues.reading import Odd, number
from ledger.amounts import ZERO, add, negate, subtract

XRP = "XRP"
_DROPS = -6
_NODES = ("CreatedNode", "ModifiedNode", "DeletedNode")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{40}", re.ASCII)
_SPELLED = re.compile(r"[A-Za-z0-9?!@#$%^&*<>(){}\[\]|_+-]{4,20}", re.ASCII)
_ALPHABET = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"


@dataclass(frozen=True, slots=True)
class Node:
    """An object of the ledger that a transaction changed.

    how:    CreatedNode, ModifiedNode or DeletedNode
    kind:   its type, such as AccountRoot
    fields: its fields after the transaction
    before: what those that changed were before
    """

    how: str
    kind: str
    fields: Mapping[str, Any]
    before: Mapping[str, Any]


def nodes_of(meta: Mapping[str, Any]) -> Iterator[Node]:
    """The objects that a transaction changed. Raises Odd."""
    affected = meta.get("AffectedNodes")
    if not isinstance(affected, list):
        raise Odd("the metadata have no AffectedNodes")
    for each in affected:
        how = next((name for name in _NODES if isinstance(each, dict) and name in each), None)
        if how is None or not isinstance(each[how], dict):
            raise Odd("an affected node is neither created, modified nor deleted")
        node = each[how]
        fields = node.get("NewFields" if how == "CreatedNode" else "FinalFields") or {}
        before = node.get("PreviousFields") or {}
        if not isinstance(fields, dict) or not isinstance(before, dict):
            raise Odd("the fields of an affected node are no object")
        yield Node(how, str(node.get("LedgerEntryType")), fields, before)


def balance_changes(nodes: list[Node], account: str) -> dict[str, Decimal]:
    """What changed for an account, per asset, the network fee included; assets that did not change are left out."""
    found: dict[str, Decimal] = {}
    for node in nodes:
        reader = _READERS.get(node.kind)
        change = None if reader is None else reader(node, account)
        if change is not None:
            asset, amount = change
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


def _token(node: Node, account: str) -> tuple[str, Decimal] | None:
    """A holder's multi-purpose token. An amount of 0 is left out of the metadata, before and after."""
    if node.fields.get("Account") != account:
        return None
    after = number(node.fields.get("MPTAmount", "0"))
    change = subtract(after, _before(node, "MPTAmount", after))
    return f"MPT:{node.fields.get('MPTokenIssuanceID')}", change


def _issuance(node: Node, account: str) -> tuple[str, Decimal] | None:
    """An issuer's side of a multi-purpose token: what is outstanding, with the sign turned."""
    if node.fields.get("Issuer") != account:
        return None
    after = number(node.fields.get("OutstandingAmount", "0"))
    change = subtract(after, _before(node, "OutstandingAmount", after))
    return (f"MPT:{issuance_id(node.fields.get('Sequence'), account)}", negate(change)) if change else None


def _before(node: Node, name: str, after: Decimal) -> Decimal:
    """A token's amount before. Where nothing else changed either, an amount that is not named was 0."""
    if name in node.before:
        return number(node.before[name])
    if node.how == "CreatedNode":
        return ZERO
    if not node.before and name in node.fields and node.how == "ModifiedNode":
        return ZERO
    return after


def issuance_id(sequence: object, issuer: str) -> str:
    """The id of a multi-purpose token: the issuance's sequence and the issuer's 20 bytes. Raises Odd."""
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < 2**32:
        raise Odd("an issuance has no sequence")
    decoded = 0
    for character in issuer:
        place = _ALPHABET.find(character)
        if place < 0:
            raise Odd(f"{issuer} is no account")
        decoded = decoded * 58 + place
    if decoded >= 2**200:
        raise Odd(f"{issuer} is no account")
    return f"{sequence:08X}{decoded.to_bytes(25, 'big')[1:21].hex().upper()}"


_READERS = {"AccountRoot": _xrp, "RippleState": _trust_line, "MPToken": _token, "MPTokenIssuance": _issuance}
