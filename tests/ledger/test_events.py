"""The nine event types: which fields each has, what each field takes by itself, and which refusal comes first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ledger.errors import Refusal, Refused
from ledger.events import EVENT_TYPES, REVERSIBLE, Evidence, Fill, MarkUsed, Withdrawal, event_from
from ledger.parsing import BareWholeNumber
from tests.support import SMALLEST, event

EVIDENCE: dict[str, Any] = {
    "equity_before": "200",
    "basis_before": "150",
    "profit": "20",
    "principal": "0",
    "marks": [{"asset": "XRP", "price": "1.33", "source": "venue", "at": "2026-01-31T14:30:00Z"}],
    "policy": "profit_first/1",
}
COMMON = {"type", "book", "at", "key", "source_note", "tx_hash", "session_id", "actor", "corrects"}


def refused_event(kind: str, **changed: object) -> Refused:
    """The refusal of the smallest event of a type with some fields changed; None leaves a field out."""
    fields = {name: value for name, value in {**SMALLEST[kind], **changed}.items() if value is not None}
    with pytest.raises(Refused) as refused:
        event(kind, **fields)
    return refused.value


# ---- the fields


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("opened", "mode numeraire base_asset withdrawal_policy"),
        (
            "fill",
            "side base_asset base_amount quote_asset quote_amount fee_asset fee_amount order_id liquidity strategy tags",
        ),
        ("deposit", "asset amount price basis_delta basis_unknown transfer"),
        ("withdrawal", "asset amount price basis_delta evidence transfer"),
        ("basis_commit", "asset amount price basis_delta"),
        ("mark", "asset price price_source"),
        ("adjustment", "asset amount reason group"),
        ("baseline", "starting_value reason"),
        ("reversal", "reverses reason"),
    ],
)
def test_the_fields_of_each_type_are_those_of_the_specification(kind: str, names: str) -> None:
    assert set(EVENT_TYPES[kind].model_fields) == COMMON | set(names.split())


def test_there_are_nine_types_and_seven_of_them_can_be_reversed() -> None:
    assert set(EVENT_TYPES) == set(SMALLEST)
    assert set(EVENT_TYPES) - REVERSIBLE == {"opened", "reversal"}


@pytest.mark.parametrize("model", [*EVENT_TYPES.values(), Evidence, MarkUsed], ids=lambda model: model.__name__)
def test_every_field_says_what_it_means(model: type[BaseModel]) -> None:
    """The command line's help and the reference are made of these."""
    assert [name for name, field in model.model_fields.items() if name != "type" and not field.description] == []


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, fields in SMALLEST.items() for name in fields])
def test_each_field_of_the_smallest_event_is_required(kind: str, name: str) -> None:
    refused = refused_event(kind, **{name: None})
    assert (refused.refusal, refused.field) == (Refusal.FIELD_REQUIRED, name)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_smallest_event_of_each_type_is_taken_and_what_was_left_out_is_null(kind: str) -> None:
    made = event(kind, **SMALLEST[kind])
    assert made.kind == kind
    left_out = {
        "numeraire": "RLUSD",
        "base_asset": "XRP",
        "withdrawal_policy": "profit_first/1",
        "basis_unknown": False,
    }
    for name in set(EVENT_TYPES[kind].model_fields) - SMALLEST[kind].keys() - {"type"}:
        assert getattr(made, name) == left_out.get(name), name


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_each_type_refuses_the_fields_of_the_others(kind: str) -> None:
    own = set(EVENT_TYPES[kind].model_fields)
    others = {name for model in EVENT_TYPES.values() for name in model.model_fields} - own
    for name in [*sorted(others), "Type", "type ", "id", "version", "event_id", "recorded_at", "hash", ""]:
        refused = refused_event(kind, **{name: "1"})
        assert (refused.refusal, refused.field) == (Refusal.FIELD_UNKNOWN, name)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_an_event_cannot_be_changed(kind: str) -> None:
    made = event(kind, **SMALLEST[kind])
    for name in type(made).model_fields:
        with pytest.raises(ValidationError):
            setattr(made, name, getattr(made, name))


# ---- what a field takes

POSITIVE = {"-1": Refusal.AMOUNT_MUST_BE_POSITIVE, "0": Refusal.AMOUNT_MUST_BE_POSITIVE, "1": None}
POSITIVE_PRICE = {"-1": Refusal.PRICE_MUST_BE_POSITIVE, "0": Refusal.PRICE_MUST_BE_POSITIVE, "1": None}
PRICE = {"-1": Refusal.PRICE_MUST_NOT_BE_NEGATIVE, "0": None, "1": None}
SIGNED = {"-1": None, "0": Refusal.AMOUNT_MUST_NOT_BE_ZERO, "1": None}
ANY = {"-1": None, "0": None, "1": None}
AMOUNTS = [
    ("fill", "base_amount", POSITIVE),
    ("fill", "quote_amount", POSITIVE),
    ("fill", "fee_amount", ANY),
    ("deposit", "amount", POSITIVE),
    ("deposit", "price", POSITIVE_PRICE),
    ("deposit", "basis_delta", ANY),
    ("withdrawal", "amount", POSITIVE),
    ("withdrawal", "price", PRICE),
    ("withdrawal", "basis_delta", ANY),  # its sign is a rule of its own, later in precedence
    ("basis_commit", "amount", ANY),  # it equals |basis_delta|: the same
    ("basis_commit", "price", PRICE),
    ("basis_commit", "basis_delta", ANY),
    ("mark", "price", PRICE),
    ("adjustment", "amount", SIGNED),
    ("baseline", "starting_value", ANY),
]


@pytest.mark.parametrize(("kind", "name", "signs"), AMOUNTS, ids=[f"{kind}-{name}" for kind, name, _ in AMOUNTS])
def test_the_sign_that_an_amount_may_have(kind: str, name: str, signs: dict[str, Refusal | None]) -> None:
    for text, refusal in signs.items():
        for spelled in (text, f"{text}.000", f"{text}e-3"):
            if refusal is None:
                amount = getattr(event(kind, **{**SMALLEST[kind], name: spelled}), name)
                assert type(amount) is Decimal
                assert amount == Decimal(spelled)
            else:
                refused = refused_event(kind, **{name: spelled})
                assert (refused.refusal, refused.field) == (refusal, name)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name, _ in AMOUNTS])
@pytest.mark.parametrize(
    ("given_object", "refusal"),
    [
        (BareWholeNumber(1), Refusal.NUMBER_NOT_QUOTED),  # as JSON gives it
        (1.5, Refusal.NUMBER_NOT_QUOTED),
        (True, Refusal.NUMBER_NOT_QUOTED),
        (["1"], Refusal.NUMBER_NOT_QUOTED),
        ("1_000", Refusal.AMOUNT_MALFORMED),
        (Decimal("NaN"), Refusal.AMOUNT_MALFORMED),
        ("1e20", Refusal.AMOUNT_OUT_OF_RANGE),
        ("1e-37", Refusal.AMOUNT_TOO_PRECISE),
    ],
)
def test_every_amount_of_every_type_is_exact(kind: str, name: str, given_object: object, refusal: Refusal) -> None:
    """Pydantic would turn a whole number, a binary float and a truth value into a Decimal."""
    refused = refused_event(kind, **{name: given_object})
    assert (refused.refusal, refused.field) == (refusal, name)


def test_every_amount_of_every_type_is_in_the_table() -> None:
    """Found by what they refuse: a field that takes an amount refuses a binary float with `number_not_quoted`."""
    found = set()
    for kind, model in EVENT_TYPES.items():
        for name in set(model.model_fields) - {"type"}:
            if refused_event(kind, **{name: 1.5}).refusal is Refusal.NUMBER_NOT_QUOTED:
                found.add((kind, name))
    assert found == {(kind, name) for kind, name, _ in AMOUNTS}


@pytest.mark.parametrize(
    ("kind", "name", "choices"),
    [
        ("opened", "mode", ["live", "paper"]),
        ("fill", "side", ["buy", "sell"]),
        ("fill", "liquidity", ["maker", "taker"]),
    ],
)
def test_choices(kind: str, name: str, choices: list[str]) -> None:
    for choice in choices:
        assert getattr(event(kind, **{**SMALLEST[kind], name: choice}), name) == choice
        assert refused_event(kind, **{name: f"{choice}X"}).refusal is Refusal.CHOICE_UNKNOWN
        assert all(repr(choice) in str(refused_event(kind, **{name: "x"})) for choice in choices)
    for other in ("", f"{choices[0]} ", 1, True, ["live"], "both"):
        refused = refused_event(kind, **{name: other})
        assert (refused.refusal, refused.field) == (Refusal.CHOICE_UNKNOWN, name)


@pytest.mark.parametrize("given_object", ["true", "false", "", 0, 1, 1.0, []])
def test_a_flag_is_true_or_false_and_nothing_else(given_object: object) -> None:
    with pytest.raises(Refused) as refused:
        event("deposit", asset="RLUSD", amount="1", basis_unknown=given_object)
    assert refused.value.refusal is Refusal.FLAG_MALFORMED


@pytest.mark.parametrize(("kind", "name"), [("reversal", "reverses"), ("deposit", "corrects")])
def test_a_version_is_a_whole_number_from_1_below_2_to_the_53(kind: str, name: str) -> None:
    for version in (1, 2, 2**53 - 1):
        assert getattr(event(kind, **{**SMALLEST[kind], name: version}), name) == version
    for other in (0, -1, 2**53, "1", 1.0, True, Decimal(1), [1]):
        refused = refused_event(kind, **{name: other})
        assert (refused.refusal, refused.field) == (Refusal.VERSION_MALFORMED, name)


@pytest.mark.parametrize("name", ["side", "liquidity"])
def test_a_choice_is_taken_as_venues_write_it(name: str) -> None:
    """`SELL` and `Maker` are what they are in lower case; nothing else is guessed."""
    given_choice = {"side": "SELL", "liquidity": "Maker"}[name]
    made = event("fill", **{**SMALLEST["fill"], name: given_choice})
    assert getattr(made, name) == given_choice.lower()
    refused = refused_event("fill", **{name: "sold"})
    assert (refused.refusal, refused.field) == (Refusal.CHOICE_UNKNOWN, name)


@pytest.mark.parametrize("number", [1, 50, 10**19, -3])
def test_an_int_of_a_library_caller_is_exact(number: int) -> None:
    made = event("fill", **{**SMALLEST["fill"], "fee_asset": "XRP", "fee_amount": number})
    assert getattr(made, "fee_amount") == Decimal(number)  # noqa: B009 - the type is Event


@pytest.mark.parametrize("number", [True, False, BareWholeNumber(7)])
def test_a_truth_value_and_a_bare_number_of_json_are_no_amounts(number: int) -> None:
    assert refused_event("fill", fee_amount=number).refusal is Refusal.NUMBER_NOT_QUOTED


@pytest.mark.parametrize(
    ("given_tags", "kept"),
    [(["b", "a"], ("a", "b")), (["a", "a"], ("a",)), ([], None), (("x",), ("x",)), ([f"{n}" for n in range(16)], None)],
)
def test_tags_are_sorted_and_each_stands_once(given_tags: list[str], kept: tuple[str, ...] | None) -> None:
    """No tags are the same as none at all, so that one meaning has one form."""
    made = event("fill", **SMALLEST["fill"], tags=given_tags)
    assert getattr(made, "tags") == (kept if len(given_tags) < 16 else tuple(sorted(given_tags)))  # noqa: B009


@pytest.mark.parametrize(
    ("tags", "refusal"),
    [
        ([f"{n}" for n in range(17)], Refusal.TAGS_MALFORMED),
        ("arb", Refusal.TAGS_MALFORMED),
        ({"a": 1}, Refusal.TAGS_MALFORMED),
        ([""], Refusal.TEXT_EMPTY),
        (["x" * 129], Refusal.TEXT_TOO_LONG),
        ([5], Refusal.TEXT_REQUIRED),
    ],
)
def test_tags_that_are_refused(tags: object, refusal: Refusal) -> None:
    refused = refused_event("fill", tags=tags)
    assert (refused.refusal, refused.field) == (refusal, "tags")


# ---- evidence


def withdrawal(**evidence: object) -> Withdrawal:
    """A withdrawal with the evidence above, some of its fields changed; None leaves a field out."""
    fields = {name: value for name, value in {**EVIDENCE, **evidence}.items() if value is not None}
    made = event("withdrawal", **SMALLEST["withdrawal"], evidence=fields)
    assert isinstance(made, Withdrawal)
    return made


@pytest.mark.parametrize(
    ("changed", "refusal", "field"),
    [
        ({"profit": None}, Refusal.FIELD_REQUIRED, "evidence.profit"),
        ({"bogus": "1"}, Refusal.FIELD_UNKNOWN, "evidence.bogus"),
        ({"profit": 20.0}, Refusal.NUMBER_NOT_QUOTED, "evidence.profit"),
        ({"profit": "-1"}, Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE, "evidence.profit"),
        ({"principal": "-1"}, Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE, "evidence.principal"),
        ({"profit": "1e20"}, Refusal.AMOUNT_OUT_OF_RANGE, "evidence.profit"),
        ({"equity_before": "1e40"}, Refusal.AMOUNT_OUT_OF_RANGE, "evidence.equity_before"),
        ({"basis_before": "1e-37"}, Refusal.AMOUNT_TOO_PRECISE, "evidence.basis_before"),
        ({"policy": ""}, Refusal.TEXT_EMPTY, "evidence.policy"),
        ({"marks": {}}, Refusal.MARKS_MALFORMED, "evidence.marks"),
        ({"marks": "XRP=1.33"}, Refusal.MARKS_MALFORMED, "evidence.marks"),
        ({"marks": ["XRP"]}, Refusal.NOT_AN_OBJECT, "evidence.marks"),
        ({"marks": EVIDENCE["marks"] * 2}, Refusal.MARKS_MALFORMED, "evidence.marks"),
        (
            {"marks": [{**EVIDENCE["marks"][0], "price": "-1"}]},
            Refusal.PRICE_MUST_NOT_BE_NEGATIVE,
            "evidence.marks.price",
        ),
        ({"marks": [{**EVIDENCE["marks"][0], "x": "0"}]}, Refusal.FIELD_UNKNOWN, "evidence.marks.x"),
        ({"marks": [{"asset": "XRP"}]}, Refusal.FIELD_REQUIRED, "evidence.marks.price"),
    ],
)
def test_evidence_that_is_refused_by_itself(changed: dict[str, object], refusal: Refusal, field: str) -> None:
    with pytest.raises(Refused) as refused:
        withdrawal(**changed)
    assert (refused.value.refusal, refused.value.field) == (refusal, field)


def test_evidence_sums_may_be_wider_than_amounts_and_negative() -> None:
    evidence = withdrawal(equity_before="-" + "9" * 40, basis_before="9" * 40 + ".000000000000000001").evidence
    assert evidence is not None
    assert evidence.equity_before == Decimal("-" + "9" * 40)


@given(st.permutations(["BTC", "ETH", "XRP", "xrp"]))
def test_marks_are_sorted_by_asset(assets: list[str]) -> None:
    marks = [{**EVIDENCE["marks"][0], "asset": asset} for asset in assets]
    evidence = withdrawal(marks=marks).evidence
    assert evidence is not None
    assert [mark.asset for mark in evidence.marks] == ["BTC", "ETH", "XRP", "xrp"]


def test_evidence_may_be_given_as_an_object_of_its_class() -> None:
    evidence = withdrawal().evidence
    again = event("withdrawal", **SMALLEST["withdrawal"], evidence=evidence)
    assert again == withdrawal()


@pytest.mark.parametrize("given_object", ["x", 1, [], True])
def test_evidence_is_an_object(given_object: object) -> None:
    refused = refused_event("withdrawal", evidence=given_object)
    assert (refused.refusal, refused.field) == (Refusal.NOT_AN_OBJECT, "evidence")


# ---- precedence


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"type": "bogus", "at": 5}, Refusal.TYPE_UNKNOWN),
        ({"type": "mark", "at": 5, "x": 1}, Refusal.FIELD_UNKNOWN),
        ({"type": "mark", "at": 5}, Refusal.FIELD_REQUIRED),
        ({"type": "mark", "at": 5, "asset": 5, "price": 5}, Refusal.TEXT_REQUIRED),
        ({"type": "mark", "at": 5, "asset": "", "price": 5}, Refusal.TEXT_EMPTY),
        ({"type": "mark", "at": 5, "asset": "a b", "price": 5}, Refusal.ASSET_HAS_BLANK),
        ({"type": "mark", "at": 5, "asset": "a=b", "price": 5}, Refusal.ASSET_HAS_EQUALS_SIGN),
        ({"type": "mark", "at": 5, "asset": "a", "price": 5, "corrects": "2"}, Refusal.VERSION_MALFORMED),
        ({"type": "mark", "at": 5, "asset": "a", "price": 5}, Refusal.TIME_MALFORMED),
        ({"type": "mark", "asset": "a", "price": 5.0, "key": "k"}, Refusal.NUMBER_NOT_QUOTED),
        # Of an event and the evidence in it, too.
        ({"type": "withdrawal", **SMALLEST["withdrawal"], "evidence": {}, "x": 1}, Refusal.FIELD_UNKNOWN),
        ({"type": "withdrawal", "evidence": {**EVIDENCE, "profit": "-1"}}, Refusal.FIELD_REQUIRED),
        (
            {
                "type": "withdrawal",
                "asset": "",
                "amount": "1",
                "basis_delta": "0",
                "evidence": {**EVIDENCE, "profit": 1.0},
            },
            Refusal.TEXT_EMPTY,
        ),
        (
            {"type": "withdrawal", "asset": "", "amount": "1", "basis_delta": "0", "evidence": {**EVIDENCE, "x": 1}},
            Refusal.FIELD_UNKNOWN,
        ),
    ],
)
def test_of_several_reasons_the_first_in_order_is_given(fields: dict[str, object], refusal: Refusal) -> None:
    with pytest.raises(Refused) as refused:
        event_from(fields)
    assert refused.value.refusal is refusal


def test_the_refusal_does_not_depend_on_the_order_of_the_fields() -> None:
    bad: dict[str, object] = {"price": 5, "asset": "", "at": "yesterday", "key": "\n", "type": "mark"}
    for fields in (bad, dict(reversed(bad.items()))):
        with pytest.raises(Refused) as refused:
            event_from(fields)
        assert refused.value.refusal is Refusal.TEXT_EMPTY


def test_a_library_caller_is_refused_as_a_line_is() -> None:
    with pytest.raises(Refused) as refused:
        Fill(
            side="buy",
            base_asset="XRP",
            base_amount=10.5,  # type: ignore[arg-type] # on purpose
            quote_asset="RLUSD",
            quote_amount=Decimal("13.30"),
        )
    assert (refused.value.refusal, refused.value.field) == (Refusal.NUMBER_NOT_QUOTED, "base_amount")
