"""Multi-purpose tokens: what an account's holding, or an issuer's obligation, changed by in a transaction.

A holding of 0 is left out of the metadata, before and after, so that an amount which is not among the previous fields was
either 0 or has not changed. What tells them apart is that tokens are neither made nor lost:

    Σ change of holdings + Σ change of what is locked in escrows = change of what is outstanding
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, combinations

from engine.importers.venues.reading import Odd, number
from engine.importers.venues.xrpl.nodes import Node
from ledger.amounts import ZERO, add, negate, subtract, total

_ALPHABET = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_HELD, _LOCKED, _OUTSTANDING = "MPTAmount", "LockedAmount", "OutstandingAmount"
# Of more holdings that may have been 0 not all combinations are tried.
_AT_MOST = 12


@dataclass(frozen=True, slots=True)
class _Holding:
    """A holding that a transaction changed. `before`: None where it is 0 or `after`, and the metadata do not say which."""

    owner: object
    node: Node
    after: Decimal
    before: Decimal | None


def token_changes(nodes: Sequence[Node], account: str) -> Iterator[tuple[str, Decimal]]:
    """The assets and changes of an account's tokens, as a holder and as an issuer. Raises Odd."""
    for node in nodes:
        if node.kind == "MPTokenIssuance" and node.fields.get("Issuer") == account:
            outstanding = _change(node, _OUTSTANDING)
            yield f"MPT:{issuance_id(node.fields.get('Sequence'), account)}", negate(outstanding)
    holdings: dict[str, list[_Holding]] = {}
    for node in nodes:
        if node.kind == "MPToken":
            holdings.setdefault(str(node.fields.get("MPTokenIssuanceID")), []).append(_holding(node))
    for issuance, those in holdings.items():
        if any(each.owner == account for each in those):
            changes = _changes(those, _outstanding(nodes, issuance))
            own = (change for each, change in zip(those, changes, strict=True) if each.owner == account)
            yield f"MPT:{issuance}", total(own)


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


def _holding(node: Node) -> _Holding:
    after = number(node.fields.get(_HELD, "0"))
    if _HELD in node.before:
        before: Decimal | None = number(node.before[_HELD])
    elif node.how == "CreatedNode" or (node.how == "ModifiedNode" and not node.before):
        before = ZERO  # where nothing else changed, the amount did
    else:
        before = None if after and node.how == "ModifiedNode" else after
    return _Holding(node.fields.get("Account"), node, after, before)


def _change(node: Node, name: str) -> Decimal:
    """The change of an amount that is unchanged where the previous fields do not name it."""
    after = number(node.fields.get(name, "0"))
    if node.how == "CreatedNode":
        return after
    return subtract(after, number(node.before[name])) if name in node.before else ZERO


def _outstanding(nodes: Sequence[Node], issuance: str) -> Decimal:
    """The change of what is outstanding of a token."""
    found = ZERO
    for node in nodes:
        if node.kind == "MPTokenIssuance":
            issuer = str(node.fields.get("Issuer"))
            if issuance_id(node.fields.get("Sequence"), issuer) == issuance.upper():
                found = add(found, _change(node, _OUTSTANDING))
    return found


def _changes(holdings: Sequence[_Holding], outstanding: Decimal) -> list[Decimal]:
    """What each holding changed by."""
    known = [None if each.before is None else subtract(each.after, each.before) for each in holdings]
    unknown = [place for place, change in enumerate(known) if change is None]
    locked = total(_change(each.node, _LOCKED) for each in holdings)
    due = subtract(subtract(outstanding, locked), total(change for change in known if change is not None))
    arrived = _arrived(holdings, unknown, due)
    found = []
    for place, change in enumerate(known):
        found.append(change if change is not None else holdings[place].after if place in arrived else ZERO)
    return found


def _arrived(holdings: Sequence[_Holding], unknown: Sequence[int], due: Decimal) -> frozenset[int]:
    """Which of the unknown holdings were 0 before: the fewest whose amounts add up to what is due; none where none do."""
    sizes = range(len(unknown) + 1) if len(unknown) <= _AT_MOST else range(0)
    choices = chain.from_iterable(combinations(unknown, size) for size in sizes)
    fitting = (choice for choice in choices if total(holdings[place].after for place in choice) == due)
    return frozenset(next(fitting, ()))
