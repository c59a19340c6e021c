"""What becomes of an imported movement: a deposit with its price, a classified withdrawal, or a wait in the inbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine import inbox
from engine.capital.withdrawal import Lateness, plan_payout
from engine.importers.facts import DEPOSIT, fields_of, type_of
from engine.importers.items import Movement
from engine.importers.pricing import MAX_MARK_AGE, Known, PriceFrom, fill_price_at, marks_at
from engine.importers.sides import amount_of, may_be_one, sides_of
from engine.importers.simulation import Simulation
from engine.transaction import Transaction
from ledger import store
from ledger.amounts import ZERO, amount_text, negate
from ledger.errors import Refused, shown
from ledger.events import Deposit, Event, Withdrawal, undeclared
from ledger.rules import with_normal_hash
from ledger.texts import normal_tx_hash
from ledger.times import CLOCK_TOLERANCE, time_text
from projections.marks import Price

PRICE_REQUIRED, CLASSIFICATION_REQUIRED, LATE = "price_required", "classification_required", "late"
OTHER_AMOUNT, LOOKS_RECORDED, OTHER_SIDE = "other_amount", "looks_recorded", "other_side"
ANSWERED_BY = "inbox"
NEAR = timedelta(days=3)


class Waits(Exception):
    """A movement has to wait for a person.

    cause:   a word for programs
    detail:  a sentence
    """

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person has decided about a movement.

    prices:         by asset, in the numeraire
    basis_delta:    the basis, as it is; None: computed or classified
    basis_unknown:  of a deposit, its basis is not known
    confirmed:      record it although the book has a movement that is alike
    max_mark_age:   how old a mark may be
    actor, note:    who decided, and the words for it; None for none
    """

    prices: Mapping[str, Decimal] = field(default_factory=dict)
    basis_delta: Decimal | None = None
    basis_unknown: bool = False
    confirmed: bool = True
    max_mark_age: timedelta = MAX_MARK_AGE
    actor: str | None = None
    note: str | None = None

    def text(self) -> str:
        """The answer as JSON, as the inbox keeps it."""
        found: dict[str, Any] = {
            "prices": {asset: amount_text(price) for asset, price in self.prices.items()},
            "basis_delta": None if self.basis_delta is None else amount_text(self.basis_delta),
            "basis_unknown": self.basis_unknown,
            "max_mark_age_s": int(self.max_mark_age.total_seconds()),
            "actor": self.actor,
            "note": self.note,
        }
        return json.dumps(found, sort_keys=True)

    @classmethod
    def from_text(cls, text: str | None) -> Answer | None:
        """An answer from its JSON; None for None."""
        if text is None:
            return None
        found = json.loads(text)
        return cls(
            prices={asset: Decimal(price) for asset, price in found["prices"].items()},
            basis_delta=None if found["basis_delta"] is None else Decimal(found["basis_delta"]),
            basis_unknown=found["basis_unknown"],
            max_mark_age=timedelta(seconds=found["max_mark_age_s"]),
            actor=found["actor"],
            note=found["note"],
        )


@dataclass(frozen=True, slots=True)
class How:
    """How movements are decided.

    price_from:    where prices come from; None: a person gives them
    max_mark_age:  how old a mark or a fill may be
    """

    price_from: PriceFrom | None = None
    max_mark_age: timedelta = MAX_MARK_AGE


class Decider:
    """Decides movements in a transaction.

    pending:  how many other imported movements wait, for the evidence of a withdrawal; 0 for none
    taken:    (kind, version) of the movements that rows of this import were found to be
    """

    def __init__(self, transaction: Transaction, known: Known, how: How, now: datetime) -> None:
        self.transaction = transaction
        self.known = known
        self.how = how
        self.now = now
        self.pending = 0
        self.taken: set[tuple[str, int]] = set()

    def decide(
        self, movement: Movement, key: str, at: datetime, answer: Answer | None, *, may_be_late: bool = False
    ) -> list[Event]:
        """The movement's event, after the marks that it needs. Raises Waits.

        `answer`: what a person has decided; None for nothing. `may_be_late`: a withdrawal with an `at` before other
        movements is classified on the present state.
        """
        if type_of(movement) == DEPOSIT:
            return self._deposit(movement, key, at, answer)
        return self._withdrawal(movement, key, at, answer, may_be_late=may_be_late)

    def _fields(self, movement: Movement, key: str, at: datetime, answer: Answer | None) -> dict[str, object]:
        fields = fields_of(movement, key, at)
        if answer is not None and answer.actor is not None:
            fields["actor"] = answer.actor
        if answer is not None and answer.note is not None:
            there = fields.get("source_note")
            fields["source_note"] = f"{there}; {answer.note}" if there else answer.note
        return fields

    def _deposit(self, movement: Movement, key: str, at: datetime, answer: Answer | None) -> list[Event]:
        fields = self._fields(movement, key, at, answer)
        before: list[Event] = []
        if movement.asset != self.transaction.book.numeraire:
            price, before = self._price(movement.asset, at, answer)
            fields["price"] = price.price
        if answer is not None and answer.basis_unknown:
            fields["basis_unknown"] = True
        elif answer is not None and answer.basis_delta is not None:
            fields["basis_delta"] = answer.basis_delta
        return [*before, _only_the_movement(Deposit.model_validate(fields))]

    def _price(self, asset: str, at: datetime, answer: Answer | None) -> tuple[Price, list[Event]]:
        if answer is not None and asset in answer.prices:
            return Price(answer.prices[asset], ANSWERED_BY, at), []
        age = self.how.max_mark_age if answer is None else answer.max_mark_age
        if self.how.price_from is None and answer is None:
            numeraire = self.transaction.book.numeraire
            raise Waits(PRICE_REQUIRED, f"a deposit of {asset} needs its price in {numeraire}")
        price, before = self.newest_price(asset, at, age)
        if price is None:
            raise Waits("mark_missing", f"there is no price of {asset} at {time_text(at)} or before")
        if at - price.at > age:
            raise Waits("mark_stale", f"the newest price of {asset} is of {time_text(price.at)}, older than {age}")
        return price, before

    def newest_price(self, asset: str, at: datetime, age: timedelta) -> tuple[Price | None, list[Event]]:
        """An asset's newest price not after a time, and the mark that has to be recorded for it.

        With prices from fills, the newest fill counts where it is newer than the newest mark.
        """
        transaction = self.transaction
        newest = marks_at(transaction.connection, transaction.book.name, transaction.state.marks, self.known, at).get(
            asset
        )
        if self.how.price_from != "fills":
            return newest, []
        fill = fill_price_at(
            transaction.connection, transaction.book.name, transaction.book.numeraire, asset, self.known,
            at=at, since=at - age,
        )  # fmt: skip
        if fill is None or fill.price.is_zero() or (newest is not None and newest.at >= fill.at):
            return newest, []
        mark = fill.mark(asset)
        return Price(fill.price, mark.price_source, fill.at), [mark]

    def require_decidable_later(self, movement: Movement, at: datetime, simulation: Simulation) -> None:
        """Raises Waits when a movement that is held back will have to wait when its turn comes, as far as that shows now."""
        is_deposit, numeraire = type_of(movement) == DEPOSIT, self.transaction.book.numeraire
        if self.how.price_from is None and not is_deposit:
            raise Waits(CLASSIFICATION_REQUIRED, "a withdrawal needs to be divided into profit and principal")
        needed = {movement.asset} if is_deposit else {*simulation.held(), movement.asset}
        for asset in sorted(needed - {numeraire}):
            traded = simulation.last_traded(asset)
            if self.how.price_from != "fills" or traded is None or at - traded > self.how.max_mark_age:
                self._price(asset, at, None)
        lacking = None if is_deposit else simulation.lacks(movement)
        if lacking is not None:
            raise Waits("insufficient_balance", lacking)

    def _withdrawal(
        self, movement: Movement, key: str, at: datetime, answer: Answer | None, *, may_be_late: bool
    ) -> list[Event]:
        fields = self._fields(movement, key, at, answer)
        if answer is not None and answer.basis_delta is not None:
            return [*self._as_given(movement, fields, answer, at)]
        if self.how.price_from is None and answer is None:
            raise Waits(CLASSIFICATION_REQUIRED, "a withdrawal needs to be divided into profit and principal")
        if at - self.now > CLOCK_TOLERANCE:
            raise Waits("at_in_future", f"its time {time_text(at)} is ahead of the clock")
        is_late = self._is_late(at, may_be_late=may_be_late)
        event = _only_the_movement(Withdrawal.model_validate({**fields, "basis_delta": ZERO}))
        return self._classified(with_normal_hash(event), at, answer, is_late=is_late)

    def _as_given(self, movement: Movement, fields: dict[str, object], answer: Answer, at: datetime) -> list[Event]:
        """A withdrawal whose basis a person states; it has no evidence."""
        if movement.asset != self.transaction.book.numeraire:
            price, before = self._price(movement.asset, at, answer)
            fields["price"] = price.price
        else:
            before = []
        event = Withdrawal.model_validate({**fields, "basis_delta": answer.basis_delta})
        return [*before, _only_the_movement(event)]

    def _is_late(self, at: datetime, *, may_be_late: bool) -> bool:
        first, last = self.known.first, self.known.last
        if first is not None and at < first:
            raise Waits(LATE, "it is earlier than everything that moved in the book, so its basis has to be given")
        is_late = last is not None and last - at > CLOCK_TOLERANCE
        if is_late and not may_be_late:
            assert last is not None
            raise Waits(
                LATE,
                f"the book holds movements up to {time_text(last)}, so it can no longer be classified in its place",
            )
        return is_late

    def _classified(self, event: Withdrawal, at: datetime, answer: Answer | None, *, is_late: bool) -> list[Event]:
        transaction, numeraire = self.transaction, self.transaction.book.numeraire
        age = self.how.max_mark_age if answer is None else answer.max_mark_age
        decided_at = self.now if is_late else at
        marks, before = self._marks(decided_at, age)
        given = (
            {} if answer is None else {asset: Price(price, ANSWERED_BY, at) for asset, price in answer.prices.items()}
        )
        late = None
        if is_late:
            own = (
                None
                if event.asset == numeraire
                else given.pop(event.asset, None) or self._price(event.asset, at, answer)[0]
            )
            late = Lateness(self.now, own)
        state = replace(transaction.state, marks=marks)
        try:
            payout = plan_payout(
                event,
                transaction.book,
                state,
                given,
                at=decided_at,
                max_mark_age=age,
                late=late,
                pending=self.pending or None,
            )
        except Refused as refused:
            raise Waits(refused.code, _sentence(refused)) from refused
        return [*before, payout.event]

    def _marks(self, at: datetime, age: timedelta) -> tuple[dict[str, Price], list[Event]]:
        """The marks not after a time; with prices from fills, also those that have to be recorded first."""
        transaction = self.transaction
        marks = marks_at(transaction.connection, transaction.book.name, transaction.state.marks, self.known, at)
        before: list[Event] = []
        if self.how.price_from == "fills":
            for asset in transaction.state.inventory.held():
                if asset != transaction.book.numeraire:
                    price, new = self.newest_price(asset, at, age)
                    before += new
                    if price is not None:
                        marks[asset] = price
        return marks, before

    def same_movement(self, movement: Movement, kind: str, key: str) -> int | None:
        """The version of a standing movement that this one is; None for none. Raises Waits for one of another amount.

        It has the same hash, type, asset and amount, and no row of this kind has given it or was found to be it.
        """
        tx_hash = normal_tx_hash(movement.tx_hash or "")
        if not tx_hash:
            return None
        there = self.transaction.find_movements(type_of(movement), tx_hash, movement.asset)
        free = [stored for stored in there if not self._is_taken(stored.version, stored.key, kind, key)]
        for stored in free:
            if amount_of(stored) == movement.amount:
                return stored.version
        if free:
            others = ", ".join(f"version {stored.version} with {amount_text(amount_of(stored))}" for stored in free)
            raise Waits(
                OTHER_AMOUNT,
                f"the book has the {type_of(movement)} of {movement.asset} of this transaction already, {others}; "
                f"the file has {amount_text(movement.amount)}",
            )
        return None

    def _is_taken(self, version: int, stored_key: str, kind: str, key: str) -> bool:
        if stored_key.startswith(f"{kind}:") or (kind, version) in self.taken:
            return True
        same = inbox.answered_for(self.transaction.connection, self.transaction.book.name, version)
        return any(entry.kind == kind and entry.key != key for entry in same)

    def require_no_other_side(self, movement: Movement) -> None:
        """Raises Waits when the book has the other side of the movement's transaction: it may be no capital at all."""
        kind, name = type_of(movement), self.transaction.book.name
        for side in sides_of(self.transaction.connection, [name], kind, movement.tx_hash, movement.asset):
            arrived, left = (movement.amount, side.amount) if kind == DEPOSIT else (side.amount, movement.amount)
            if may_be_one(left, arrived):
                raise Waits(
                    OTHER_SIDE,
                    f"{side}, of {amount_text(side.amount)}, is of the same transaction: if both are accounts of this book, "
                    "resolve it --as internal, and it is no capital",
                )

    def require_unlike_proposals(self, movement: Movement, at: datetime) -> None:
        """Raises Waits when a person has named a difference as a movement that may be this one."""
        connection, name, kind = self.transaction.connection, self.transaction.book.name, type_of(movement)
        signed = movement.amount if kind == DEPOSIT else negate(movement.amount)
        for entry in inbox.settled_proposals(connection, name, kind, movement.asset):
            stored = None if entry.version is None else store.find_event(connection, name, entry.version)
            if stored is None or entry.amount != signed or abs(stored.at - at) > NEAR:
                continue
            if store.find_reversal(connection, name, stored.version) is None:
                what = "an adjustment" if entry.type == "adjustment" else f"a {entry.type}"
                raise Waits(
                    LOOKS_RECORDED,
                    f"version {entry.version} records {what} of the same amount of {shown(movement.asset)} that was "
                    "named from a difference: dismiss this entry if it is the same movement, else resolve it",
                )


def _only_the_movement(event: Any) -> Any:
    """Only what the file says is compared when the row is imported again."""
    return undeclared(event, "price", "basis_delta", "basis_unknown", "actor", "source_note")


def _sentence(refused: Refused) -> str:
    facts = [
        f"expected {refused.expected}" if refused.expected else "",
        f"actual {refused.actual}" if refused.actual else "",
    ]
    return "; ".join(part for part in (refused.what, ", ".join(fact for fact in facts if fact)) if part)
