"""The nine event types, as frozen models.

An `Event` is what a caller gives; the log holds it as a `ledger.stored.StoredEvent`. Fields left to default (`at`, `key`, a
computed basis) are None here, and are filled in when the event is recorded (`ledger.rules.complete`). Building an event
checks each field by itself and raises `Refused`; rules that need the book (its numeraire, its log) are in `ledger.rules`
and `ledger.appender`.

All amounts are exact decimals in the asset's own unit; prices are in the numeraire per unit of the asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ledger.amounts import SUM_DIGITS_BEFORE_POINT, parse_amount
from ledger.errors import Refusal, Refused
from ledger.refusal_texts import refuse
from ledger.texts import (
    BOOK_CHARACTERS,
    KEY_CHARACTERS,
    NAME_CHARACTERS,
    NOTE_CHARACTERS,
    parse_asset,
    parse_text,
)
from ledger.times import parse_time

TAGS = 16
_REFUSAL_ORDER = {refusal: order for order, refusal in enumerate(Refusal)}


def _field(parse: Callable[[object], Any]) -> PlainValidator:
    """`parse` as a field's only pydantic validator; a refusal is carried in the context of pydantic's error."""

    def validate(given: object) -> Any:
        try:
            return parse(given)
        except Refused as refused:
            raise PydanticCustomError("refused", "{refused}", {"refused": refused}) from refused

    return PlainValidator(validate)


def _parse_positive(given: object) -> Decimal:
    amount = parse_amount(given)
    if amount <= 0:
        refuse(Refusal.AMOUNT_MUST_BE_POSITIVE, actual=given)
    return amount


def _parse_signed(given: object) -> Decimal:
    amount = parse_amount(given)
    if amount.is_zero():
        refuse(Refusal.AMOUNT_MUST_NOT_BE_ZERO, actual=given)
    return amount


def _parse_not_negative(given: object) -> Decimal:
    amount = parse_amount(given)
    if amount < 0:
        refuse(Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE, actual=given)
    return amount


def _parse_positive_price(given: object) -> Decimal:
    price = parse_amount(given)
    if price <= 0:
        refuse(Refusal.PRICE_MUST_BE_POSITIVE, actual=given)
    return price


def _parse_price(given: object) -> Decimal:
    price = parse_amount(given)
    if price < 0:
        refuse(Refusal.PRICE_MUST_NOT_BE_NEGATIVE, actual=given)
    return price


def _parse_sum(given: object) -> Decimal:
    return parse_amount(given, digits_before_point=SUM_DIGITS_BEFORE_POINT)


def _parse_version(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given < 2**53:
        refuse(Refusal.VERSION_MALFORMED, actual=given)
    return int(given)


def _parse_flag(given: object) -> bool:
    if type(given) is not bool:
        refuse(Refusal.FLAG_MALFORMED, actual=given)
    return given


def _text(characters: int, *, may_be_empty: bool = False) -> PlainValidator:
    return _field(lambda given: parse_text(given, characters=characters, may_be_empty=may_be_empty))


Amount: TypeAlias = Annotated[Decimal, _field(parse_amount)]
PositiveAmount: TypeAlias = Annotated[Decimal, _field(_parse_positive)]
SignedAmount: TypeAlias = Annotated[Decimal, _field(_parse_signed)]
Sum: TypeAlias = Annotated[Decimal, _field(_parse_sum)]
NotNegative: TypeAlias = Annotated[Decimal, _field(_parse_not_negative)]
Price: TypeAlias = Annotated[Decimal, _field(_parse_price)]
PositivePrice: TypeAlias = Annotated[Decimal, _field(_parse_positive_price)]
Asset: TypeAlias = Annotated[str, _field(parse_asset)]
BookName: TypeAlias = Annotated[str, _text(BOOK_CHARACTERS)]
Key: TypeAlias = Annotated[str, _text(KEY_CHARACTERS)]
Label: TypeAlias = Annotated[str, _text(KEY_CHARACTERS, may_be_empty=True)]
Note: TypeAlias = Annotated[str, _text(NOTE_CHARACTERS, may_be_empty=True)]
Time: TypeAlias = Annotated[datetime, _field(parse_time)]
Version: TypeAlias = Annotated[int, _field(_parse_version)]
Name: TypeAlias = Annotated[str, _text(NAME_CHARACTERS)]
Flag: TypeAlias = Annotated[bool, _field(_parse_flag)]


class _Frozen(BaseModel):
    """A frozen model whose every validation error is one `Refused`: the first in order of precedence."""

    # Built when an event is first made: a command that only reads projections makes none.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse(cls, data: Any, handler: Callable[[Any], Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            found = [_refused(details, cls) for details in error.errors(include_url=False)]
            raise min(found, key=lambda refused: _REFUSAL_ORDER[refused.refusal]) from error


def _refused(details: ErrorDetails, model: type[BaseModel]) -> Refused:
    """One of pydantic's error details as a Refused that names its field."""
    field = ".".join(str(part) for part in details["loc"])
    refused: Refused
    match details["type"]:
        case "refused":
            refused = details["ctx"]["refused"]
        case "missing":
            refused = Refused(Refusal.FIELD_REQUIRED, "is missing", expected=f"the field {field}")
        case "string_unicode" if not field:  # a field's name has half of a surrogate pair
            return _no_such_field(details["input"], model)
        case "extra_forbidden" | "invalid_key":
            return _no_such_field(field, model)
        case "literal_error" | "string_unicode":
            expected = details.get("ctx", {}).get("expected")
            refused = Refused(Refusal.CHOICE_UNKNOWN, "no such choice", expected=expected, actual=details["input"])
        case _:
            refused = Refused(Refusal.NOT_AN_OBJECT, "not an object", actual=details["input"])
    return _named(refused, field) if field else refused


def _no_such_field(name: str, model: type[BaseModel]) -> Refused:
    """The name comes from the caller, so it appears only in `actual`, where it is escaped."""
    fields = ", ".join(model.model_fields)
    return Refused(Refusal.FIELD_UNKNOWN, "no such field", expected=f"one of {fields}", actual=name, field=name)


def _named(refused: Refused, field: str) -> Refused:
    """The refusal, naming its field, or the path to a field within a field."""
    path = f"{field}." if refused.what.startswith(f"{refused.field}: ") else f"{field}: "
    refused.what = path + refused.what
    refused.field = f"{field}.{refused.field}" if refused.field else field
    return refused


class Event(_Frozen):
    """The fields that every event has; each field's description says what it is."""

    TYPE_VERSION: ClassVar[int] = 1
    # The type version in which a field was added, for fields that version 1 does not have.
    FIELD_SINCE: ClassVar[Mapping[str, int]] = {}

    book: BookName | None = Field(None, description="the book's name; null: the book that the append is addressed to")
    at: Time | None = Field(
        None,
        description="when it happened, UTC; null: now (a reversal or correction: the time of the event that it is about)",
    )
    key: Key | None = Field(None, description="idempotency key, unique in its book; null: a generated one")
    source_note: Note | None = Field(None, description="a person's words about it")
    tx_hash: Label | None = Field(None, description="the transaction on a chain")
    session_id: Label | None = Field(None, description="the bot's run that it belongs to")
    actor: Label | None = Field(None, description="who decided or approved it")
    corrects: Version | None = Field(None, description="the version of the reversed event that this one replaces")

    @property
    def kind(self) -> str:
        """The event's type, such as `fill`."""
        return str(vars(self)["type"])


class Opened(Event):
    """A book is opened: always version 1; moves nothing."""

    type: Literal["opened"] = "opened"
    mode: Literal["live", "paper"] = Field(description="real money or a simulation; the two never mix in a book")
    numeraire: Asset = Field("RLUSD", description="the asset that value is counted in")
    base_asset: Asset = Field("XRP", description="a default for commands; other assets may be traded")
    withdrawal_policy: Key = Field("profit_first/1", description="how a withdrawal divides into profit and principal")


def _in_lower_case(given: object) -> object:
    """A choice in lower case, since venues write `SELL`."""
    return given.lower() if isinstance(given, str) else given


def _parse_tags(given: object) -> tuple[str, ...] | None:
    """The tags, sorted and without duplicates; None for an empty list, so that "no tags" has one stored form."""
    if not isinstance(given, list | tuple):
        raise Refused(Refusal.TAGS_MALFORMED, "not a list of tags", expected='a list such as ["arb"]', actual=given)
    tags = sorted({parse_text(tag, characters=NAME_CHARACTERS) for tag in given})
    if len(tags) > TAGS:
        raise Refused(Refusal.TAGS_MALFORMED, "too many tags", expected=f"at most {TAGS}", actual=f"{len(tags)} tags")
    return tuple(tags) or None


class Fill(Event):
    """An order was filled: base ±, quote ∓, fee −, each exactly as exchanged; the price is derived, for display only."""

    TYPE_VERSION: ClassVar[int] = 2
    FIELD_SINCE: ClassVar[Mapping[str, int]] = {"strategy": 2, "tags": 2}

    type: Literal["fill"] = "fill"
    side: Annotated[Literal["buy", "sell"], BeforeValidator(_in_lower_case)] = Field(
        description="the book's own side: buy takes base and gives quote"
    )
    base_asset: Asset = Field(description="the asset that is bought or sold")
    base_amount: PositiveAmount = Field(description="how much of it, > 0")
    quote_asset: Asset = Field(description="the asset that it is paid in")
    quote_amount: PositiveAmount = Field(description="how much was paid or received, > 0, without the fee")
    fee_asset: Asset | None = Field(None, description="the asset that the fee was taken in")
    fee_amount: Amount | None = Field(None, description="the fee; negative: a rebate; 0: none; null: not reported")
    order_id: Label | None = Field(None, description="the order at the venue")
    liquidity: Annotated[Literal["maker", "taker"], BeforeValidator(_in_lower_case)] | None = Field(
        None, description="which side of the trade the order was on"
    )
    strategy: Name | None = Field(None, description="the strategy that it belongs to")
    tags: Annotated[tuple[str, ...], _field(_parse_tags)] | None = Field(
        None, description="up to 16 names to group by, kept sorted"
    )


class TransferSide(_Frozen):
    """Marks a deposit or withdrawal as one side of a transfer between two books of a ledger."""

    id: Key = Field(description="the transfer's own id, the same on both sides; it is the key of both events")
    book: BookName = Field(description="the book on the other side")


class Deposit(Event):
    """Capital comes in: asset +, starting value + value, basis by `basis_delta`."""

    TYPE_VERSION: ClassVar[int] = 2
    FIELD_SINCE: ClassVar[Mapping[str, int]] = {"transfer": 2}

    type: Literal["deposit"] = "deposit"
    asset: Asset = Field(description="the asset that came in")
    amount: PositiveAmount = Field(description="how much of it, > 0")
    price: PositivePrice | None = Field(None, description="of one unit in the numeraire; null for the numeraire itself")
    basis_delta: Amount | None = Field(None, description="what it adds to net basis; null: its value")
    basis_unknown: Flag = Field(False, description="from before the basis was kept; counts 0")
    transfer: Annotated[TransferSide, _field(TransferSide.model_validate)] | None = Field(
        None, description="where it comes from another book of the ledger; null: from outside"
    )


class MarkUsed(_Frozen):
    """A mark that a withdrawal was valued with."""

    asset: Asset = Field(description="the asset")
    price: Price = Field(description="of one unit in the numeraire, ≥ 0")
    source: Label | None = Field(None, description="who said so; null where nobody was named")
    at: Time = Field(description="when it was the price, UTC")


def _parse_marks(given: object) -> tuple[MarkUsed, ...]:
    if not isinstance(given, list | tuple):
        raise Refused(Refusal.MARKS_MALFORMED, "not a list of marks", expected="a list of objects", actual=given)
    marks = [mark if isinstance(mark, MarkUsed) else MarkUsed.model_validate(mark) for mark in given]
    if len({mark.asset for mark in marks}) < len(marks):
        raise Refused(Refusal.MARKS_MALFORMED, "an asset has two marks", expected="one mark for each asset")
    return tuple(sorted(marks, key=lambda mark: mark.asset))


class Late(_Frozen):
    """Marks a withdrawal as late: it happened in the past, and is classified on the book's present state."""

    decided_at: Time = Field(description="when it was decided, UTC; the marks' ages are judged from there")
    mark: Annotated[MarkUsed, _field(MarkUsed.model_validate)] | None = Field(
        None, description="the withdrawn asset's own price at the withdrawal's `at`; null for the numeraire"
    )


class Evidence(_Frozen):
    """What a withdrawal was classified from, so that anyone can check it years later. All in the numeraire."""

    equity_before: Sum = Field(description="the sum of value(balance, mark) over all assets before it")
    basis_before: Sum = Field(description="net basis before it")
    profit: NotNegative = Field(description="the part that is profit")
    principal: NotNegative = Field(description="the part that is principal; profit + principal is the value")
    marks: Annotated[tuple[MarkUsed, ...], _field(_parse_marks)] = Field(
        description="one mark for each asset held other than the numeraire, sorted by asset"
    )
    policy: Key = Field(description="the policy's name and version")
    late: Annotated[Late, _field(Late.model_validate)] | None = Field(
        None, description="of a withdrawal that was decided after its `at`; null: it was not"
    )
    pending: Version | None = Field(
        None, description="how many imported movements and rows waited while it was decided all the same; null: none"
    )


class Withdrawal(Event):
    """Capital goes out: asset −, starting value − value, basis by `basis_delta`; classified before it is recorded."""

    TYPE_VERSION: ClassVar[int] = 3  # 2: `evidence.late`; 3: `evidence.pending` and `transfer`
    FIELD_SINCE: ClassVar[Mapping[str, int]] = {"transfer": 3}

    type: Literal["withdrawal"] = "withdrawal"
    asset: Asset = Field(description="the asset that went out")
    amount: PositiveAmount = Field(description="how much of it, > 0")
    price: Price | None = Field(None, description="of one unit in the numeraire; null for the numeraire itself")
    basis_delta: Amount = Field(description="what it adds to net basis, ≤ 0: minus the principal")
    evidence: Annotated[Evidence, _field(Evidence.model_validate)] | None = Field(
        None, description="what it was classified from; verified when it is there"
    )
    transfer: Annotated[TransferSide, _field(TransferSide.model_validate)] | None = Field(
        None, description="where it goes to another book of the ledger; null: it leaves"
    )


class BasisCommit(Event):
    """A person states the basis: net basis by `basis_delta`; nothing else moves."""

    type: Literal["basis_commit"] = "basis_commit"
    asset: Asset | None = Field(None, description="the numeraire; null: filled in")
    amount: Amount | None = Field(None, description="|basis_delta|; null: filled in")
    price: Price | None = Field(None, description="must be absent")
    basis_delta: Amount = Field(description="what it adds to net basis, any sign, 0 allowed")


class Mark(Event):
    """A price of an asset in the numeraire; moves nothing."""

    type: Literal["mark"] = "mark"
    asset: Asset = Field(description="the asset, not the numeraire")
    price: Price = Field(description="of one unit in the numeraire, ≥ 0; 0: it became worthless")
    price_source: Label | None = Field(None, description="who said so")


class Adjustment(Event):
    """A balance changes for a reason that is neither a trade nor capital: asset ±."""

    TYPE_VERSION: ClassVar[int] = 2
    FIELD_SINCE: ClassVar[Mapping[str, int]] = {"group": 2}

    type: Literal["adjustment"] = "adjustment"
    asset: Asset = Field(description="the asset")
    amount: SignedAmount = Field(description="by how much, not 0; negative: it went away")
    reason: Key = Field(
        description="network_fee, fee, clawback, reward, funding, dust, opening, reconciliation or another"
    )
    group: Key | None = Field(
        None,
        description="what belongs together, such as a hash or the venue's reference: in a group, what comes in takes over "
        "the cost of what went out; null: it stands alone",
    )


class Baseline(Event):
    """The starting value is set: the reference that total PnL is counted from."""

    type: Literal["baseline"] = "baseline"
    starting_value: Amount = Field(description="the new starting value, in the numeraire")
    reason: Note | None = Field(None, description="why")


class Reversal(Event):
    """An earlier event's effects, negated, in the same part of the balance; each event can be reversed once."""

    type: Literal["reversal"] = "reversal"
    reverses: Version = Field(description="the version of the event that is reversed")
    reason: Note | None = Field(None, description="why")


EVENT_TYPES: dict[str, type[Event]] = {
    str(model.model_fields["type"].default): model
    for model in (Opened, Fill, Deposit, Withdrawal, BasisCommit, Mark, Adjustment, Baseline, Reversal)
}

# What the column `reason` says of both sides of a transfer and of their reversals, so that a fold tells them by the row.
TRANSFER = "transfer"
# Capital: the types that move a book's basis.
MOVES_BASIS = ("deposit", "withdrawal", "basis_commit")
# The types that move a balance.
MOVES_BALANCE = ("fill", "deposit", "withdrawal", "adjustment")
REVERSIBLE = frozenset({"fill", "deposit", "withdrawal", "basis_commit", "adjustment", "baseline", "mark"})


_AnyEvent = TypeVar("_AnyEvent", bound=Event)


def with_defaults(event: _AnyEvent, **defaults: object) -> _AnyEvent:
    """The event with defaults for fields that are None; they are not compared when it is appended again."""
    missing = {name: value for name, value in defaults.items() if getattr(event, name) is None}
    return undeclared(event.model_copy(update=missing), *missing)


def undeclared(event: _AnyEvent, *names: str) -> _AnyEvent:
    """Mark these fields of the event as filled in, so that they are not compared when it is appended again."""
    event.model_fields_set.difference_update(names)
    return event


def event_from(fields: Mapping[str, object]) -> Event:
    """Build an event from its fields by name, as JSON has them.

    Raises Refused: `type_unknown`, and whatever the fields raise.
    """
    kind = fields.get("type")
    model = EVENT_TYPES.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise Refused(
            Refusal.TYPE_UNKNOWN,
            "the event's type is missing" if kind is None else "no such event type",
            expected=f"type is one of {', '.join(EVENT_TYPES)}",
            actual=kind,
            field="type",
        )
    return model.model_validate(fields)
