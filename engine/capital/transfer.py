"""`transfer`: capital moves to another book of the ledger, and its basis with it.

A worked example, numeraire RLUSD. The sender has equity 200 and basis 180; 50 move, of which 20 are profit and 30 principal:

                      sender          receiver
    net deposits      −50             +50
    net basis         −30             +30
    total PnL           0               0
    transferred       +20             −20      so that over both books it is 0

The sender's policy divides the amount as it divides a withdrawal. Both sides are recorded in one transaction, with one id,
which is the key of both; `engine.pairing` refuses one without the other. A fee on the way is a loss of the sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from engine.bookkeeper import Bookkeeper, read_view
from engine.capital.request import BeforeAfter, Movement, Situation
from engine.capital.withdrawal import Payout, WithdrawalRequest
from engine.policy.valuation import MAX_MARK_AGE
from engine.retrying import always, retry
from engine.transaction import Transaction
from ledger.amounts import ZERO, add, amount_text, negate, subtract
from ledger.appender import Outcome
from ledger.book import Book
from ledger.errors import KeyConflict, Refusal
from ledger.events import Adjustment, Deposit, TransferSide, Withdrawal, undeclared
from ledger.idempotency import EventLookup, StoredLog, find_duplicate
from ledger.refusal_texts import refuse
from ledger.stored import StoredEvent
from ledger.texts import normal_tx_hash
from projections.marks import Price

FEE = "fee"


@dataclass(frozen=True, slots=True)
class Fee:
    """What the way between the books cost. `asset`: None for the asset that moves; `amount`: > 0, in its own unit."""

    amount: Decimal
    asset: str | None = None


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """Capital to be moved to another book.

    movement:      what moves; its amount is what arrives
    to:            the book that it moves to
    fee:           what the way cost beside that; None for nothing
    prices:        by asset; they take precedence over the newest marks of the sender
    max_mark_age:  how old a mark may be
    may_be_late:   allow an `at` before other movements of the sender
    even_so:       decide it although imported movements wait in the sender's inbox
    """

    movement: Movement
    to: str
    fee: Fee | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    max_mark_age: timedelta = MAX_MARK_AGE
    may_be_late: bool = False
    even_so: bool = False


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """A planned transfer. All in the numeraire.

    sent:          the withdrawal, divided into profit and principal
    received:      the deposit
    fee:           the adjustment of the sender; None for none
    net_basis:     the receiver's, before and after it
    net_deposits:  the receiver's, before and after it
    """

    sent: Payout
    received: Deposit
    fee: Adjustment | None
    net_basis: BeforeAfter
    net_deposits: BeforeAfter


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """What became of a transfer.

    book, to:  the terms of the sender and of the receiver
    plan:      what was planned; None when it existed already
    recorded:  the events of sender and receiver; None for a dry run, and when it existed already
    existing:  the events of sender and receiver that were there; None for a new transfer
    """

    book: Book
    to: Book
    plan: TransferPlan | None
    recorded: tuple[Outcome, Outcome] | None
    existing: tuple[StoredEvent, StoredEvent] | None


def transfer(keeper: Bookkeeper, name: str, request: TransferRequest, *, dry_run: bool = False) -> TransferOutcome:
    """Move capital from the book `name` to `request.to`; a dry run only plans, from a read-only view.

    Raises Refused `transfer_same_book`, `transfer_terms_differ`, `transfer_recorded`, `inbox_pending`, `basis_incomplete`,
    and whatever a withdrawal of the sender is refused for; Conflict; StorageError.
    """
    if name == request.to:
        refuse(Refusal.TRANSFER_SAME_BOOK, field="to", actual=name)
    given = _with_key(request, keeper, name)
    safe = request.movement.key is not None or request.movement.tx_hash is not None
    if dry_run:
        return retry(lambda: _preview(keeper, name, given), safe_to_repeat=always)
    return retry(lambda: _record(keeper, name, given), safe_to_repeat=lambda: safe)


def transfer_id(movement: Movement, asset: str) -> str | None:
    """The id that a transfer gets from its key or its hash; None where it has neither."""
    if movement.key is not None:
        return movement.key
    tx_hash = normal_tx_hash(movement.tx_hash or "")
    return f"{tx_hash}:transfer:{asset}" if tx_hash else None


def _with_key(request: TransferRequest, keeper: Bookkeeper, name: str) -> _KeyedRequest:
    asset = request.movement.asset or keeper.terms(name).numeraire
    key = transfer_id(request.movement, asset) or f"transfer:{keeper.new_id()}"
    return _KeyedRequest(
        replace(request, movement=replace(request.movement, key=key)), key, request.movement.key is not None
    )


@dataclass(frozen=True, slots=True)
class _KeyedRequest:
    """A request with its id. `has_own_key`: whether a person gave it, so that a hash may occur once more."""

    request: TransferRequest
    id: str
    has_own_key: bool


def _preview(keeper: Bookkeeper, name: str, given: _KeyedRequest) -> TransferOutcome:
    with keeper.database.reading() as connection:
        now = keeper.now()
        views = [read_view(connection, of) for of in (name, given.request.to)]
        sender, receiver = (Situation(view.book, view.state, now, connection) for view in views)
        logs = [StoredLog(connection, view.book.name) for view in views]
        return _planned(given, sender, receiver, logs[0], logs[1])


def _record(keeper: Bookkeeper, name: str, given: _KeyedRequest) -> TransferOutcome:
    with keeper.transactions(name, given.request.to) as (sending, receiving):
        return _recorded(given, sending, receiving, keeper.now())


def transfer_within(
    sending: Transaction, receiving: Transaction, request: TransferRequest, *, id_: str, now: datetime
) -> TransferOutcome:
    """Record a transfer in a transaction over both books that the caller owns (`Bookkeeper.transactions`).

    For an importer that has found both sides of one movement. `id_`: makes it count once. Raises as `transfer`.
    """
    keyed = replace(request, movement=replace(request.movement, key=id_))
    return _recorded(_KeyedRequest(keyed, id_, has_own_key=True), sending, receiving, now)


def _recorded(given: _KeyedRequest, sending: Transaction, receiving: Transaction, now: datetime) -> TransferOutcome:
    sender, receiver = (_situation(each, now) for each in (sending, receiving))
    logs = [StoredLog(each.connection, each.book.name) for each in (sending, receiving)]
    found = _planned(given, sender, receiver, logs[0], logs[1])
    if found.plan is None:
        return found
    sent = sending.append(found.plan.sent.event)
    if found.plan.fee is not None:
        sending.append(found.plan.fee)
    received = receiving.append(found.plan.received)
    return replace(found, recorded=(sent, received))


def _situation(transaction: Transaction, now: datetime) -> Situation:
    return Situation(transaction.book, transaction.state, now, transaction.connection)


def _planned(
    given: _KeyedRequest, sender: Situation, receiver: Situation, sent_log: EventLookup, received_log: EventLookup
) -> TransferOutcome:
    request = given.request
    require_same_terms(sender.book, receiver.book)
    withdrawal = _decision(request).event(sender.book).model_copy(update={"transfer": _side(given, receiver.book)})
    deposit = _deposit(given, sender.book, withdrawal)
    there = [
        find_duplicate(event, log, refuse_reversed=True)
        for event, log in ((withdrawal, sent_log), (deposit, received_log))
    ]
    if there[0] is not None and there[1] is not None:
        _require_same_fee(given, there[0], sent_log)
        return TransferOutcome(sender.book, receiver.book, None, None, (there[0], there[1]))
    if not given.has_own_key:
        _require_new_hash(withdrawal, sender.book, sent_log)
        _require_new_hash(deposit, receiver.book, received_log)
    plan = _plan(given, sender, receiver)
    return TransferOutcome(sender.book, receiver.book, plan, None, None)


def _require_same_fee(given: _KeyedRequest, sent: StoredEvent, log: EventLookup) -> None:
    """Raises KeyConflict when a fee is given that is not the one that was recorded with the transfer."""
    fee = given.request.fee
    if fee is None:
        return
    asset = fee.asset or str(sent.asset)
    there = log.find_key(_fee_key(given.id))
    if there is None or (there.asset, movement_amount(there)) != (asset, fee.amount):
        recorded = None if there is None else f"{amount_text(movement_amount(there))} {there.asset}"
        raise KeyConflict(given.id, sent.version, "fee", recorded, f"{amount_text(fee.amount)} {asset}")


def _plan(given: _KeyedRequest, sender: Situation, receiver: Situation) -> TransferPlan:
    payout = _decision(given.request).plan(sender)
    decided = payout.event
    at = decided.at or sender.now  # both sides happen at one time
    event = decided.model_copy(update={"transfer": _side(given, receiver.book), "at": at})
    if decided.at is None:
        event = undeclared(event, "at")
    received = _deposit(given, sender.book, event)
    basis = receiver.state.basis
    return TransferPlan(
        sent=replace(payout, event=event),
        received=received,
        fee=_fee(given, event, sender),
        net_basis=BeforeAfter(basis.net_basis, add(basis.net_basis, payout.evidence.principal)),
        net_deposits=BeforeAfter(basis.net_deposits, add(basis.net_deposits, payout.value)),
    )


def _decision(request: TransferRequest) -> WithdrawalRequest:
    return WithdrawalRequest(
        request.movement, request.prices, request.max_mark_age, request.may_be_late, request.even_so
    )


def _side(given: _KeyedRequest, other: Book) -> TransferSide:
    return TransferSide(id=given.id, book=other.name)


def _deposit(given: _KeyedRequest, sender: Book, sent: Withdrawal) -> Deposit:
    """The deposit that answers to a withdrawal; price, basis and a time that was not given are not compared."""
    fields = {
        **{name: getattr(sent, name) for name in ("asset", "amount", "at", "key", "source_note", "tx_hash", "actor")},
        "price": sent.price,
        "basis_delta": negate(sent.basis_delta),
        "transfer": TransferSide(id=given.id, book=sender.name),
    }
    deposit = Deposit.model_validate({name: value for name, value in fields.items() if value is not None})
    return undeclared(deposit, "price", "basis_delta", *({"at"} - sent.model_fields_set))


def _fee(given: _KeyedRequest, sent: Withdrawal, sender: Situation) -> Adjustment | None:
    fee = given.request.fee
    if fee is None:
        return None
    asset = fee.asset or sent.asset
    left = sender.state.inventory.balance(asset)
    left = subtract(left, sent.amount) if asset == sent.asset else left
    if fee.amount > left:
        there = amount_text(max(left, ZERO))
        refuse(Refusal.INSUFFICIENT_BALANCE, field="fee", actual=amount_text(fee.amount), asset=asset, balance=there)
    return fee_adjustment(asset, fee.amount, given.id, sent)


def fee_adjustment(asset: str, amount: Decimal, id_: str, sent: Withdrawal) -> Adjustment:
    """The fee on the way, as an adjustment of the sender."""
    fields = {"asset": asset, "amount": negate(amount), "reason": FEE, "key": _fee_key(id_), "at": sent.at}
    fields |= {"tx_hash": sent.tx_hash, "actor": sent.actor}
    return Adjustment.model_validate({name: value for name, value in fields.items() if value is not None})


def _fee_key(id_: str) -> str:
    return f"{id_}:fee"


def movement_amount(stored: StoredEvent) -> Decimal:
    """How much of its own asset an event moves, > 0."""
    return ZERO if stored.effects.own is None else stored.effects.own.delta.copy_abs()


def require_same_terms(sender: Book, receiver: Book) -> None:
    """Raises Refused `transfer_terms_differ` unless both books have one numeraire and one mode."""
    for what in ("numeraire", "mode"):
        ours, theirs = getattr(sender, what), getattr(receiver, what)
        if ours != theirs:
            refuse(Refusal.TRANSFER_TERMS_DIFFER, field="to", expected=ours, actual=theirs, what=what)


def _require_new_hash(event: Withdrawal | Deposit, book: Book, log: EventLookup) -> None:
    """Raises Refused `transfer_recorded` where the book has the movement by its hash already, such as from an import."""
    tx_hash = normal_tx_hash(event.tx_hash or "")
    if not tx_hash:
        return
    for stored in log.find_movements(event.kind, tx_hash, event.asset):
        if log.reversal_of(stored.version) is None:
            refuse(
                Refusal.TRANSFER_RECORDED,
                field="tx_hash",
                actual=event.tx_hash,
                kind=event.kind,
                book=book.name,
                version=stored.version,
            )


def movements_of(connection: Connection, book: str, tx_hash: str, asset: str) -> list[StoredEvent]:
    """The standing deposits and withdrawals of a transaction and an asset in a book, that are no transfer yet."""
    log = StoredLog(connection, book)
    found = [
        stored
        for kind in ("deposit", "withdrawal")
        for stored in log.find_movements(kind, normal_tx_hash(tx_hash) or "", asset)
    ]
    return [stored for stored in found if stored.reason is None and log.reversal_of(stored.version) is None]
