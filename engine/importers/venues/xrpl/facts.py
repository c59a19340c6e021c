"""What a transaction was to one account: its network fee, fills, movements and adjustments, proved against its balances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from engine.importers.items import Fact, Item, Movement, Origin, PassedOver, QuarantinedRow, Row, Settings
from engine.importers.venues.reading import Odd, adjustment, fill, paired, postings
from engine.importers.venues.xrpl.balances import XRP, amount_of, balance_changes, drops, hexadecimal_name
from engine.importers.venues.xrpl.envelopes import Transaction
from engine.importers.venues.xrpl.nodes import nodes_of
from engine.importers.venues.xrpl.trades import ConsumedOffer, ExchangedAmounts, consumed_offers, left_over, made, taken
from ledger.amounts import ZERO, add, amount_text, negate, subtract
from ledger.errors import Refused

# Assets go into shares of a pool, or come back out of it.
_POOLS = frozenset({"AMMCreate", "AMMDeposit", "AMMWithdraw", "VaultDeposit", "VaultWithdraw"})
_CLAWBACKS = frozenset({"Clawback", "AMMClawback", "VaultClawback"})
_PRICES = {"AMMBid": "amm_bid", "NFTokenAcceptOffer": "nft", "NFTokenMint": "nft"}
# Types that bring something to the account or take it away, and in which words.
_MOVES = {
    "Payment": "payment",
    "CheckCash": "a check",
    "AccountDelete": "an account's last XRP",
    "EscrowCreate": "an escrow",
    "EscrowFinish": "an escrow",
    "EscrowCancel": "an escrow that was cancelled",
    "PaymentChannelCreate": "a payment channel",
    "PaymentChannelFund": "a payment channel",
    "PaymentChannelClaim": "a payment channel",
    "XChainCommit": "a bridge",
    "XChainClaim": "a bridge",
    "XChainAddClaimAttestation": "a bridge",
    "XChainAddAccountCreateAttestation": "a bridge",
    "XChainAccountCreateCommit": "a bridge",
}
_MAINNET = 0
_PARTIAL_PAYMENT = 0x0002_0000


@dataclass(frozen=True, slots=True)
class _Found:
    """What a transaction was: its fills, and everything else."""

    fills: Sequence[ExchangedAmounts] = ()
    movements: Sequence[Movement] = ()
    adjustments: Sequence[Fact] = ()
    liquidity: str | None = None


def items_of(transaction: Transaction, account: str, settings: Settings, origin: Origin) -> list[Item]:
    """The items of a transaction from one account's side. Raises Odd, Refused."""
    result = transaction.meta.get("TransactionResult")
    if not isinstance(result, str):
        raise Odd("the metadata have no TransactionResult")
    if not transaction.is_final:
        return [PassedOver(origin, "not validated")]
    if not result.startswith(("tes", "tec")):
        return [PassedOver(origin, "not applied to the ledger")]
    network = transaction.fields.get("NetworkID", _MAINNET)
    if network != _MAINNET:
        raise Odd(f"a transaction of another network, {network}")
    nodes = list(nodes_of(transaction.meta))
    changes = _named(balance_changes(nodes, account), settings)
    xrp = settings.named(XRP)
    fee = _fee(transaction, account, changes.get(xrp, ZERO), result)
    rest = {**changes, xrp: add(changes.get(xrp, ZERO), fee)}
    rest = {asset: amount for asset, amount in rest.items() if amount}
    if not fee and not rest:
        return [PassedOver(origin, "nothing of the account moved")]
    if rest and result != "tesSUCCESS":
        raise Odd(f"a failed transaction ({result}) moved more than its fee: {_shown(rest)}")
    offers = [_renamed(offer, settings) for offer in consumed_offers(nodes)]
    try:
        found = _classified(transaction, account, rest, offers, settings)
        rows = _rows(transaction, account, found, fee, settings, origin)
    except (Odd, Refused) as error:
        reason = error.what if isinstance(error, Refused) else str(error)
        raise Odd(f"{reason}; residual: {_shown(rest)}") from error
    residual = _without(changes, postings(fact for row in rows for fact in row.facts))
    if residual:
        return [QuarantinedRow(origin, f"the events are not the balance changes; residual: {_shown(residual)}")]
    return list(rows)


def _named(changes: Mapping[str, Decimal], settings: Settings) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for asset, amount in changes.items():
        name = _name(asset, settings)
        found[name] = add(found.get(name, ZERO), amount)
    return {asset: amount for asset, amount in found.items() if amount}


def _name(asset: str, settings: Settings) -> str:
    """An asset's name in the book; an alias may spell the currency or have its hexadecimal digits."""
    return settings.aliases.get(asset) or settings.aliases.get(hexadecimal_name(asset), asset)


def _renamed(offer: ConsumedOffer, settings: Settings) -> ConsumedOffer:
    gave, got = (_name(offer.gave[0], settings), offer.gave[1]), (_name(offer.got[0], settings), offer.got[1])
    return replace(offer, gave=gave, got=got)


def _fee(transaction: Transaction, account: str, change: Decimal, result: str) -> Decimal:
    """The network fee that the account paid: 0 where another did, such as a delegate. `change`: of its XRP."""
    fields = transaction.fields
    if (fields.get("Delegate") or fields.get("Account")) != account:
        return ZERO
    fee = drops(fields.get("Fee", "0"))
    # Of a failed transaction no more than the account has is taken.
    return negate(change) if result.startswith("tec") and negate(fee) < change < 0 else fee


def _classified(
    transaction: Transaction,
    account: str,
    rest: Mapping[str, Decimal],
    offers: Sequence[ConsumedOffer],
    settings: Settings,
) -> _Found:
    kind, fields = str(transaction.fields["TransactionType"]), transaction.fields
    signs = {amount > 0 for amount in rest.values()}
    own = [offer for offer in offers if offer.owner == account]
    is_sender = fields.get("Account") == account
    if not rest:
        return _Found()
    if kind in _POOLS | _CLAWBACKS:
        return _pooled(transaction, rest, kind, signs)
    if kind in _PRICES:
        return _Found(adjustments=_adjustments(transaction, rest, _PRICES[kind]))
    if is_sender and (kind == "OfferCreate" or (kind == "Payment" and fields.get("Destination") == account)):
        others = [offer for offer in offers if offer.owner != account]
        one = taken(rest, _sequence(fields), others)
        return _one_sided(transaction, rest, offers) if one is None else _Found([one], liquidity="taker")
    if own and is_sender and kind == "Payment":
        return _sent(transaction, account, rest, own)
    if own:
        return _made(transaction, account, rest, own, settings)
    if kind in _MOVES and len(signs) == 1:
        return _Found(movements=_movements(transaction, account, rest, kind))
    if len(signs) > 1 and len({asset.partition(".")[0] for asset in rest}) == 1:
        # It rippled through the account's trust lines: one issuer's token came, another's went.
        return _Found(adjustments=_adjustments(transaction, rest, "conversion"))
    if len(signs) > 1 and kind in ("Payment", "OfferCreate") and not is_sender:
        passive = taken(rest, None, [])
        return _Found([] if passive is None else [passive], liquidity="maker")
    raise Odd(f"it is not clear what this {kind} was to the account")


def _pooled(transaction: Transaction, rest: Mapping[str, Decimal], kind: str, signs: set[bool]) -> _Found:
    if len(signs) > 1:
        return _Found(adjustments=_adjustments(transaction, rest, "liquidity"))
    if kind in _CLAWBACKS:
        return _Found(adjustments=_adjustments(transaction, rest, "clawback"))
    raise Odd(f"of this {kind} only one side moved")


def _made(
    transaction: Transaction,
    account: str,
    rest: Mapping[str, Decimal],
    own: Sequence[ConsumedOffer],
    settings: Settings,
) -> _Found:
    """The account's own offers were taken; it may be the payment's destination, too."""
    movements: list[Movement] = []
    traded = dict(rest)
    fields = transaction.fields
    if fields.get("Destination") == account:
        asset, amount = amount_of(_delivered(transaction))
        asset = _name(asset, settings)
        movements = _movements(transaction, account, {asset: amount}, str(fields["TransactionType"]))
        traded[asset] = subtract(traded.get(asset, ZERO), amount)
    traded = {asset: amount for asset, amount in traded.items() if amount}
    fills = made(traded, own)
    over = left_over(traded, fills)
    return _Found(fills, movements, _adjustments(transaction, over, "rounding"), liquidity="maker")


def _sent(transaction: Transaction, account: str, rest: Mapping[str, Decimal], own: Sequence[ConsumedOffer]) -> _Found:
    """The account paid somebody, and on its way the payment took offers of its own: what these leave over was sent."""
    fills = [
        ExchangedAmounts(offer.sequence, offer.got, offer.gave)
        for offer in own
        if offer.got[1] > 0 and offer.gave[1] > 0
    ]
    sent = left_over(rest, fills)
    if len(sent) != 1 or any(amount > 0 for amount in sent.values()):
        raise Odd("a payment took the account's own offers, and it is not clear what was sent")
    return _Found(fills, _movements(transaction, account, sent, "Payment"), liquidity="maker")


def _delivered(transaction: Transaction) -> object:
    """The amount that a transaction delivered to its destination. Raises Odd where the metadata do not say it."""
    meta, fields = transaction.meta, transaction.fields
    said = next(
        (each for name in ("delivered_amount", "DeliveredAmount") if (each := meta.get(name)) is not None), None
    )
    if said is not None and said != "unavailable":
        return said
    flags = fields.get("Flags", 0)
    if fields["TransactionType"] != "Payment" or type(flags) is not int or flags & _PARTIAL_PAYMENT:
        raise Odd("the metadata do not say what was delivered")
    return fields.get("Amount", fields.get("DeliverMax"))


def _one_sided(transaction: Transaction, rest: Mapping[str, Decimal], offers: Sequence[ConsumedOffer]) -> _Found:
    """A trade so small that the other side's balance did not move in its last digit."""
    if not offers:
        raise Odd("only one side of the trade moved, and no offer was taken")
    return _Found(adjustments=_adjustments(transaction, rest, "rounding"))


def _adjustments(transaction: Transaction, rest: Mapping[str, Decimal], reason: str) -> list[Fact]:
    note = str(transaction.fields["TransactionType"])
    fields = transaction.fields
    # An account uses each sequence once; files without hashes have it.
    whole = transaction.hash or f"{fields.get('Account')}:{_sequence(fields)}"
    group = whole if reason in ("liquidity", "conversion") else None
    return [adjustment(asset, amount, reason, group=group, note=note) for asset, amount in sorted(rest.items())]


def _movements(transaction: Transaction, account: str, rest: Mapping[str, Decimal], kind: str) -> list[Movement]:
    fields = transaction.fields
    sender, receiver = fields.get("Account"), fields.get("Destination")
    found = []
    for asset, amount in sorted(rest.items()):
        other = receiver if amount < 0 else sender
        whom = f" {'to' if amount < 0 else 'from'} {other}" if isinstance(other, str) and other != account else ""
        tag = fields.get("DestinationTag")
        found.append(
            Movement(
                "in" if amount > 0 else "out",
                asset,
                amount.copy_abs(),
                tx_hash=transaction.hash,
                reference=f"destination tag {tag}" if type(tag) is int else None,
                source_note=f"{_MOVES.get(kind, kind)}{whom}"[:1000],
            )
        )
    return found


def _sequence(fields: Mapping[str, Any]) -> int | None:
    """The sequence of an offer: its ticket's, where it was made with one."""
    found = fields.get("Sequence") or fields.get("TicketSequence")
    return found if type(found) is int else None


def _rows(
    transaction: Transaction, account: str, found: _Found, fee: Decimal, settings: Settings, origin: Origin
) -> list[Row]:
    fees = [adjustment(settings.named(XRP), negate(fee), "network_fee")] if fee else []
    others: list[Fact] = [*found.movements, *found.adjustments]
    rows: list[Row] = []

    def add_row(facts: Sequence[Fact], sequence: int | None = None) -> None:
        parts = [transaction.hash, *([] if sequence is None else [str(sequence)]), account]
        row_id = None if transaction.hash is None else ":".join(str(part) for part in parts)
        order = (*transaction.order, len(rows)) if transaction.order else ()
        rows.append(
            Row(origin, transaction.at, row_id, tuple(_hashed(fact, transaction.hash) for fact in facts), order)
        )

    for number, each in enumerate(found.fills):
        facts: list[Fact] = [
            fill(
                **paired(each.came, each.went, _quote(each, settings)),
                order_id=None if each.sequence is None else str(each.sequence),
                liquidity=found.liquidity,
                source_note=each.note,
            )
        ]
        if number == 0 and not others:
            facts += fees
        add_row(facts, each.sequence)
    if others or (fees and not found.fills):
        add_row([*others, *fees])
    return rows


def _quote(each: ExchangedAmounts, settings: Settings) -> str:
    """The asset that the other is priced in: the numeraire, else XRP, else the later name, whichever way the trade went."""
    assets = (each.came[0], each.went[0])
    return next((name for name in (settings.numeraire, settings.named(XRP)) if name in assets), max(assets))


def _hashed(fact: Fact, tx_hash: str | None) -> Fact:
    if isinstance(fact, Movement) or tx_hash is None:
        return fact
    return fact.model_copy(update={"tx_hash": tx_hash})


def _without(changes: Mapping[str, Decimal], posted: Mapping[str, Decimal]) -> dict[str, Decimal]:
    assets = changes.keys() | posted.keys()
    found = {asset: subtract(changes.get(asset, ZERO), posted.get(asset, ZERO)) for asset in assets}
    return {asset: amount for asset, amount in found.items() if amount}


def _shown(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{amount_text(amount)} {asset}" for asset, amount in sorted(amounts.items()))
