"""Which offers a transaction consumed, and how an account's balance changes divide into fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal

from engine.importers.venues.reading import Odd
from engine.importers.venues.xrpl.balances import amount_of
from engine.importers.venues.xrpl.nodes import Node
from ledger.amounts import ZERO, add, amount_text, negate, subtract, total

_WIDE = Context(prec=200)
# Between what offers say and what a balance did there are rounding and the issuer's transfer fee, of 100 % at most.
_OFF_BY_AT_MOST = Decimal(1)

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class ConsumedOffer:
    """An offer that a transaction took from.

    owner:    whose it is
    sequence: the sequence it was made with
    gave:     the asset that its owner gave, and how much of it, as the offer says
    got:      the asset that its owner got, and how much of it, as the offer says
    """

    owner: str
    sequence: int
    gave: tuple[str, Decimal]
    got: tuple[str, Decimal]


@dataclass(frozen=True, slots=True)
class ExchangedAmounts:
    """What a fill exchanged.

    sequence: of the offer; None: of none
    came:     the asset that came in, and how much of it, > 0
    went:     the asset that went out, and how much of it, > 0
    note:     how the offers' figures differ from the balances'; None: they do not
    """

    sequence: int | None
    came: tuple[str, Decimal]
    went: tuple[str, Decimal]
    note: str | None = None


def consumed_offers(nodes: Sequence[Node]) -> list[ConsumedOffer]:
    """The offers that were taken from; not those that were only cancelled, or removed for want of funds. Raises Odd."""
    found = []
    for node in nodes:
        names = {"TakerGets", "TakerPays"} & set(node.before)
        if node.kind != "Offer" or node.how == "CreatedNode" or not names:
            continue
        sides = {}
        for name in ("TakerGets", "TakerPays"):
            asset, after = amount_of(node.fields.get(name))
            before = amount_of(node.before[name])[1] if name in node.before else after
            sides[name] = asset, subtract(before, after)
        sequence = node.fields.get("Sequence")
        if type(sequence) is not int:
            raise Odd("an offer has no sequence")
        if sides["TakerGets"][1] > 0 or sides["TakerPays"][1] > 0:
            found.append(
                ConsumedOffer(str(node.fields.get("Account")), sequence, sides["TakerGets"], sides["TakerPays"])
            )
    return found


def taken(rest: Amounts, sequence: int | None, offers: Sequence[ConsumedOffer]) -> ExchangedAmounts | None:
    """The fill of one who took others' offers; None when nothing of one side moved. Raises Odd."""
    sides = _sides(rest)
    if sides is None:
        return None
    came, went = sides
    notes = [
        _difference(came, [offer.gave[1] for offer in offers if offer.gave[0] == came[0]]),
        _difference(went, [offer.got[1] for offer in offers if offer.got[0] == went[0]]),
    ]
    return ExchangedAmounts(sequence, came, went, _joined(notes))


def made(rest: Amounts, offers: Sequence[ConsumedOffer]) -> list[ExchangedAmounts]:
    """The fills of one whose offers were taken. [] when nothing of one side moved. Raises Odd.

    The balances are the truth. What the offers say divides them: exactly where their sum is what the balance did, else in
    proportion, and the last offer takes what is left.
    """
    pairs = {(offer.gave[0], offer.got[0]) for offer in offers}
    if len(pairs) > 1:
        return _of_several_pairs(rest, offers)
    sides = _sides(rest)
    if sides is None:
        return []
    came, went = sides
    if pairs != {(went[0], came[0])}:
        raise Odd("the balances did not move as the account's offers say")
    gave, got = [offer.gave[1] for offer in offers], [offer.got[1] for offer in offers]
    note = _joined([_difference(went, gave), _difference(came, got)])
    for exact, said in ((went[1], total(gave)), (came[1], total(got))):
        if subtract(exact, said).copy_abs() > _WIDE.multiply(max(exact, said), _OFF_BY_AT_MOST):
            raise Odd("the balances did not move as the account's offers say")
    went_parts, came_parts = _parts(went[1], gave), _parts(came[1], got)
    if went_parts is None or came_parts is None:
        return [ExchangedAmounts(offers[0].sequence, came, went, _joined([note, f"of {len(offers)} offers together"]))]
    return [
        ExchangedAmounts(offer.sequence, (came[0], in_part), (went[0], out_part), note)
        for offer, in_part, out_part in zip(offers, came_parts, went_parts, strict=True)
    ]


def _of_several_pairs(rest: Amounts, offers: Sequence[ConsumedOffer]) -> list[ExchangedAmounts]:
    """Offers of different pairs in one transaction, as when one trade is bridged over XRP: each as it says itself."""
    found = [
        ExchangedAmounts(offer.sequence, offer.got, offer.gave)
        for offer in offers
        if offer.got[1] > 0 and offer.gave[1] > 0
    ]
    gross: dict[str, Decimal] = {}
    for each in found:
        for asset, amount in (each.came, each.went):
            gross[asset] = add(gross.get(asset, ZERO), amount)
    for asset, amount in left_over(rest, found).items():
        if amount.copy_abs() > _WIDE.divide(gross.get(asset, ZERO), Decimal(50)):
            raise Odd("the balances did not move as the account's offers say")
    return found


def left_over(rest: Amounts, fills: Sequence[ExchangedAmounts]) -> dict[str, Decimal]:
    """What the fills do not account for, per asset."""
    found = dict(rest)
    for each in fills:
        for asset, amount in ((each.came[0], negate(each.came[1])), (each.went[0], each.went[1])):
            found[asset] = add(found.get(asset, ZERO), amount)
    return {asset: amount for asset, amount in found.items() if amount}


def _sides(rest: Amounts) -> tuple[tuple[str, Decimal], tuple[str, Decimal]] | None:
    """What came in and what went out, of an exchange of two assets; None when only one side moved."""
    came = [(asset, amount) for asset, amount in rest.items() if amount > 0]
    went = [(asset, negate(amount)) for asset, amount in rest.items() if amount < 0]
    if not came or not went:
        return None
    if len(came) > 1 or len(went) > 1:
        raise Odd("more than two assets moved in one trade")
    return came[0], went[0]


def _parts(exact: Decimal, weights: Sequence[Decimal]) -> list[Decimal] | None:
    """The amount divided by weights, all parts > 0, their sum exactly the amount; None where it cannot be divided so."""
    whole = total(weights)
    if len(weights) == 1:
        return [exact]
    if any(weight <= 0 for weight in weights):
        return None
    if whole == exact:
        return list(weights)
    place = Decimal((0, (1,), min(int(exact.as_tuple().exponent), 0)))
    parts = [
        _WIDE.divide(_WIDE.multiply(exact, weight), whole).quantize(place, ROUND_DOWN, _WIDE) for weight in weights[:-1]
    ]
    parts.append(subtract(exact, total(parts)))
    return parts if all(part > 0 for part in parts) else None


def _difference(side: tuple[str, Decimal], said: Sequence[Decimal]) -> str | None:
    """In words, how the balance differs from what the offers say; None where it does not, or they say nothing."""
    asset, exact = side
    offers = total(said)
    residual = subtract(exact, offers)
    if not offers or not residual:
        return None
    moved, told = amount_text(exact), amount_text(offers)
    return f"{asset}: the balance moved by {moved}, the offers by {told}: residual {amount_text(residual)}"


def _joined(notes: Sequence[str | None]) -> str | None:
    return "; ".join(note for note in notes if note) or None
