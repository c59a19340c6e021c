"""`transfer --link`: two movements that were recorded apart become the two sides of one transfer.

    book a  version 7   withdrawal 50.1 RLUSD, profit 20, principal 30.1
    book b  version 4   deposit    50   RLUSD, basis +50

Both are reversed, and the pair is recorded in their place, each correcting the one that it replaces and keeping its time:
50 with a basis of 30 (no more than what arrives), and 0.1 as a fee of the sender. All in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import Connection

from engine.bookkeeper import Bookkeeper, read_view
from engine.capital.request import BeforeAfter
from engine.capital.transfer import fee_adjustment, require_same_terms
from engine.retrying import always, retry
from engine.transaction import Transaction
from ledger import store
from ledger.amounts import ZERO, add, amount_text, negate, subtract
from ledger.appender import require_reversible
from ledger.book import Book
from ledger.errors import Refusal
from ledger.events import Adjustment, Deposit, Reversal, TransferSide, Withdrawal
from ledger.refusal_texts import refuse
from ledger.rules import capital_value
from ledger.stored import StoredEvent
from projections.state import BookState


@dataclass(frozen=True, slots=True)
class Place:
    """An event's place: its book and its version there."""

    book: str
    version: int

    def __str__(self) -> str:
        return f"{self.book}:{self.version}"


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A tied pair. Figures in the numeraire.

    out, into:          the places of the withdrawal and of the deposit that are tied
    withdrawal, deposit: what takes their place
    fee:                what went out and did not arrive, as an adjustment of the sender; None for nothing
    sender_basis:       the sender's net basis before and after it
    receiver_basis:     the receiver's net basis before and after it
    """

    out: Place
    into: Place
    withdrawal: Withdrawal
    deposit: Deposit
    fee: Adjustment | None
    sender_basis: BeforeAfter
    receiver_basis: BeforeAfter


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What became of it.

    plan:      what was planned; None when the two were tied already
    recorded:  the places of the tied withdrawal and deposit; None for a dry run
    existed:   whether they were tied already
    """

    plan: LinkPlan | None
    recorded: tuple[Place, Place] | None
    existed: bool


@dataclass(frozen=True, slots=True)
class _Book:
    """A book and what it adds up to."""

    book: Book
    state: BookState


def link(
    keeper: Bookkeeper, one: Place, other: Place, *, actor: str | None = None, dry_run: bool = False
) -> LinkOutcome:
    """Tie a withdrawal and a deposit, in either order; a dry run only plans.

    Raises Refused `transfer_same_book`, `transfer_terms_differ`, `transfer_not_a_pair`, `reversed_version_unknown`,
    `already_reversed`, `basis_incomplete`; StorageError.
    """
    if one.book == other.book:
        refuse(Refusal.TRANSFER_SAME_BOOK, actual=one.book)
    if dry_run:
        return retry(lambda: _preview(keeper, one, other, actor), safe_to_repeat=always)
    return retry(lambda: _record(keeper, one, other, actor), safe_to_repeat=always)


def _preview(keeper: Bookkeeper, one: Place, other: Place, actor: str | None) -> LinkOutcome:
    with keeper.database.reading() as connection:
        views = [read_view(connection, place.book) for place in (one, other)]
        books = {view.book.name: _Book(view.book, view.state) for view in views}
        return _planned(connection, one, other, books, actor)


def _record(keeper: Bookkeeper, one: Place, other: Place, actor: str | None) -> LinkOutcome:
    with keeper.transactions(one.book, other.book) as opened:
        by_name = {each.book.name: each for each in opened}
        books = {name: _Book(each.book, each.state) for name, each in by_name.items()}
        found = _planned(opened[0].connection, one, other, books, actor)
        if found.plan is None:
            return found
        plan = found.plan
        sent = _replace(by_name[plan.out.book], plan.out, plan.withdrawal, plan.fee)
        received = _replace(by_name[plan.into.book], plan.into, plan.deposit, None)
        return replace(found, recorded=(sent, received))


def _replace(transaction: Transaction, place: Place, event: Withdrawal | Deposit, fee: Adjustment | None) -> Place:
    transaction.append(
        Reversal(reverses=place.version, reason="tied to its other side", key=f"{event.key}:untied", actor=event.actor)
    )
    outcome = transaction.append(event)
    if fee is not None:
        transaction.append(fee)
    return Place(place.book, outcome.version)


def _planned(
    connection: Connection, one: Place, other: Place, books: dict[str, _Book], actor: str | None
) -> LinkOutcome:
    found = [(place, _event_at(connection, place)) for place in (one, other)]
    found.sort(key=lambda pair: pair[1].type != "withdrawal")
    (out, sent), (into, received) = found
    if (sent.type, received.type) != ("withdrawal", "deposit"):
        _no_pair("a withdrawal and a deposit", f"{sent.type} and {received.type}")
    id_ = f"link:{sent.event_id}"
    there = store.find_keys(connection, into.book, [id_]).get(id_)
    if there is not None and received.version == there.event.corrects:
        return LinkOutcome(None, None, existed=True)
    for place, stored in found:
        reversal = store.find_reversal(connection, place.book, place.version)
        require_reversible(place.version, stored, reversal, books[place.book].state.version)
    require_same_terms(books[out.book].book, books[into.book].book)
    _require_alike(sent, received)
    plan = _plan(id_, (out, sent), (into, received), books, actor)
    return LinkOutcome(plan, None, existed=False)


def _event_at(connection: Connection, place: Place) -> StoredEvent:
    stored = store.find_event(connection, place.book, place.version)
    newest = store.require_book(connection, place.book)[1].version
    return require_reversible(place.version, stored, None, newest)


def _require_alike(sent: StoredEvent, received: StoredEvent) -> None:
    if sent.reason is not None or received.reason is not None:
        _no_pair("two movements that are no transfer yet", "a side of another transfer")
    if sent.asset != received.asset:
        _no_pair(f"one asset, {sent.asset}", received.asset)
    went, came = _amount(sent), _amount(received)
    if came > went:
        _no_pair(f"at most {amount_text(went)} {sent.asset} that arrives", amount_text(came))


def _no_pair(expected: object, actual: object) -> None:
    refuse(Refusal.TRANSFER_NOT_A_PAIR, expected=expected, actual=actual)


def _amount(stored: StoredEvent) -> Decimal:
    assert stored.effects.own is not None  # a deposit or a withdrawal
    return stored.effects.own.delta.copy_abs()


def _plan(
    id_: str,
    out: tuple[Place, StoredEvent],
    into: tuple[Place, StoredEvent],
    books: dict[str, _Book],
    actor: str | None,
) -> LinkPlan:
    (out_place, sent), (into_place, received) = out, into
    sender, receiver = books[out_place.book], books[into_place.book]
    if not sender.state.basis.is_known:
        refuse(Refusal.BASIS_INCOMPLETE, unknown_bases=sender.state.basis.unknown_bases)
    amount, asset = _amount(received), str(sent.asset)
    worth = capital_value(asset, amount, sent.price, sender.book.numeraire)
    principal = min(negate(sent.effects.basis_delta), worth)
    common = {"asset": asset, "amount": amount, "price": sent.price, "key": id_, "actor": actor}
    out_fields = {"basis_delta": negate(principal), "transfer": TransferSide(id=id_, book=into_place.book)}
    in_fields = {"basis_delta": principal, "transfer": TransferSide(id=id_, book=out_place.book)}
    withdrawal = Withdrawal.model_validate({**_kept(sent, common), **out_fields, "corrects": out_place.version})
    deposit = Deposit.model_validate({**_kept(received, common), **in_fields, "corrects": into_place.version})
    lost = subtract(_amount(sent), amount)
    return LinkPlan(
        out=out_place,
        into=into_place,
        withdrawal=withdrawal,
        deposit=deposit,
        fee=fee_adjustment(asset, lost, id_, withdrawal) if lost > ZERO else None,
        sender_basis=_moved(sender, sent, negate(principal)),
        receiver_basis=_moved(receiver, received, principal),
    )


def _kept(stored: StoredEvent, common: dict[str, object]) -> dict[str, object]:
    """The fields of the event that takes a movement's place: its time, hash and words stay."""
    event = stored.event
    kept = {"at": stored.at, "tx_hash": event.tx_hash, "source_note": event.source_note, "session_id": event.session_id}
    return {name: value for name, value in {**kept, **common}.items() if value is not None}


def _moved(of: _Book, reversed_event: StoredEvent, delta: Decimal) -> BeforeAfter:
    before = of.state.basis.net_basis
    return BeforeAfter(before, add(subtract(before, reversed_event.effects.basis_delta), delta))
