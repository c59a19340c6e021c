"""Transactions of the XRP Ledger with their metadata, as the tests need them."""

from __future__ import annotations

import json
from typing import Any

ME = "rMEaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
OTHER = "rHERaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
ISSUER = "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De"
FAKE = "rFAKEaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
RLUSD = "524C555344000000000000000000000000000000"
NOBODY = "rrrrrrrrrrrrrrrrrrrrBZbvji"
HASH = "AB" * 32

Node = dict[str, Any]


def amount(value: str, currency: str = RLUSD, issuer: str = ISSUER) -> dict[str, str]:
    return {"currency": currency, "issuer": issuer, "value": value}


def account(name: str, before: int, after: int) -> Node:
    fields = {"Account": name, "Balance": str(after)}
    return _modified("AccountRoot", fields, {"Balance": str(before)})


def new_account(name: str, drops: int) -> Node:
    fields = {"Account": name, "Balance": str(drops)}
    return {"CreatedNode": {"LedgerEntryType": "AccountRoot", "NewFields": fields}}


def line(low: str, high: str, before: str | None, after: str | None, currency: str = RLUSD) -> Node:
    """A trust line; balances from the low account's side. `before` None: it is created; `after` None: deleted, at 0."""

    def balance(value: str) -> dict[str, str]:
        return amount(value, currency, NOBODY)

    fields = {
        "Balance": balance(after or "0"),
        "LowLimit": amount("0", currency, low),
        "HighLimit": amount("0", currency, high),
    }
    if before is None:
        return {"CreatedNode": {"LedgerEntryType": "RippleState", "NewFields": fields}}
    node = _modified("RippleState", fields, {"Balance": balance(before)})
    return {"DeletedNode": node["ModifiedNode"]} if after is None else node


def offer(owner: str, sequence: int, gets: tuple[Any, Any], pays: tuple[Any, Any], is_gone: bool = False) -> Node:
    """An offer that was taken from: what its owner gives and gets, before and after."""
    fields = {"Account": owner, "Sequence": sequence, "TakerGets": gets[1], "TakerPays": pays[1]}
    node = _modified("Offer", fields, {"TakerGets": gets[0], "TakerPays": pays[0]})
    return {"DeletedNode": node["ModifiedNode"]} if is_gone else node


def token(owner: str, issuance: str, before: str | None, after: str) -> Node:
    """A multi-purpose token; an amount of 0 before is left out, as servers do."""
    fields = {"Account": owner, "MPTokenIssuanceID": issuance, "MPTAmount": after}
    return _modified("MPToken", fields, {} if before is None else {"MPTAmount": before})


def _modified(kind: str, fields: Node, before: Node) -> Node:
    return {"ModifiedNode": {"LedgerEntryType": kind, "FinalFields": fields, "PreviousFields": before}}


def transaction(
    kind: str,
    sender: str,
    *nodes: Node,
    fee: int = 12,
    result: str = "tesSUCCESS",
    meta: Node | None = None,
    **fields: Any,
) -> Node:
    """An entry as `account_tx` of API v1 gives it."""
    return {
        "validated": True,
        "tx": {
            "Account": sender,
            "Fee": str(fee),
            "Sequence": 7,
            "TransactionType": kind,
            "hash": HASH,
            "date": 757382400,
            "ledger_index": 90000000,
            **fields,
        },
        "meta": {"AffectedNodes": list(nodes), "TransactionResult": result, "TransactionIndex": 3, **(meta or {})},
    }


def page(*entries: Node) -> str:
    return json.dumps({"result": {"account": ME, "transactions": list(entries), "validated": True}})
