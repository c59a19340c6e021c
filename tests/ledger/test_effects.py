"""What each event type moves, as a table; reversals; and that the database keeps it as it was computed."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from ledger.amounts import amount_text, parse_amount
from ledger.book import Book
from ledger.effects import Effects, Posting, effects_of, negated
from ledger.events import EVENT_TYPES, REVERSIBLE
from ledger.rules import capital_value, complete
from ledger.stored import StoredEvent
from tests.support import BOOK, SMALLEST, event, log_of, open_keeper

LIVE = Book(BOOK, "live", "RLUSD", "XRP", "profit_first/1")


def d(text: str) -> Decimal:
    """A decimal."""
    return parse_amount(text)


class FixedHistory:
    """A log whose starting value is 100, and whose version 2 has the effects that were given."""

    def __init__(self, effects: Effects | None = None) -> None:
        self._effects = effects

    def starting_value(self) -> Decimal:
        return d("100")

    def effects_at(self, version: int) -> Effects:
        assert version == 2
        assert self._effects is not None
        return self._effects


def effects(kind: str, **fields: object) -> Effects:
    """The effects of an event in a book with numeraire RLUSD and a starting value of 100."""
    return effects_of(complete(event(kind, **fields), LIVE), LIVE, FixedHistory())


FILL: dict[str, Any] = SMALLEST["fill"]

TABLE: dict[str, tuple[str, dict[str, Any], Effects]] = {
    "opened": ("opened", SMALLEST["opened"], Effects("opened")),
    "mark": ("mark", SMALLEST["mark"], Effects("mark")),
    # fill: base ±, quote ∓, fee −; neither basis nor net deposits nor starting value
    "buy, fee not reported": (
        "fill",
        FILL,
        Effects("fill", own=Posting("XRP", d("10")), quote=Posting("RLUSD", d("-13.3")), unknown_fees=1),
    ),
    "sell, fee not reported": (
        "fill",
        {**FILL, "side": "sell"},
        Effects("fill", own=Posting("XRP", d("-10")), quote=Posting("RLUSD", d("13.3")), unknown_fees=1),
    ),
    "buy, fee in base": (
        "fill",
        {**FILL, "fee_asset": "XRP", "fee_amount": "0.01"},
        Effects(
            "fill",
            own=Posting("XRP", d("10")),
            quote=Posting("RLUSD", d("-13.3")),
            fee=Posting("XRP", d("-0.01")),
        ),
    ),
    "sell, rebate in quote": (
        "fill",
        {**FILL, "side": "sell", "fee_asset": "RLUSD", "fee_amount": "-0.002"},
        Effects(
            "fill",
            own=Posting("XRP", d("-10")),
            quote=Posting("RLUSD", d("13.3")),
            fee=Posting("RLUSD", d("0.002")),
        ),
    ),
    "buy, fee of a third asset": (
        "fill",
        {**FILL, "fee_asset": "BNB", "fee_amount": "1e-18"},
        Effects(
            "fill",
            own=Posting("XRP", d("10")),
            quote=Posting("RLUSD", d("-13.3")),
            fee=Posting("BNB", d("-1e-18")),
        ),
    ),
    "buy, no fee": (  # a fact, not an unknown
        "fill",
        {**FILL, "fee_asset": "XRP", "fee_amount": "0"},
        Effects("fill", own=Posting("XRP", d("10")), quote=Posting("RLUSD", d("-13.3")), fee=Posting("XRP", d("0"))),
    ),
    "buy, fee asset without an amount": (
        "fill",
        {**FILL, "fee_asset": "XRP"},
        Effects("fill", own=Posting("XRP", d("10")), quote=Posting("RLUSD", d("-13.3")), unknown_fees=1),
    ),
    "buy, numeraire as base": (
        "fill",
        {**FILL, "base_asset": "RLUSD", "quote_asset": "USD"},
        Effects("fill", own=Posting("RLUSD", d("10")), quote=Posting("USD", d("-13.3")), unknown_fees=1),
    ),
    # deposit: asset +, net deposits and starting value + value, basis by its delta
    "deposit of the numeraire": (
        "deposit",
        {"asset": "RLUSD", "amount": "50.00"},
        Effects(
            "deposit",
            own=Posting("RLUSD", d("50")),
            net_deposits_delta=d("50"),
            basis_delta=d("50"),
            starting_value_delta=d("50"),
        ),
    ),
    "deposit at a price": (
        "deposit",
        {"asset": "XRP", "amount": "39.27", "price": "1.3314"},
        Effects(
            "deposit",
            own=Posting("XRP", d("39.27")),
            net_deposits_delta=d("52.284078"),
            basis_delta=d("52.284078"),
            starting_value_delta=d("52.284078"),
        ),
    ),
    "deposit whose value is rounded half-even": (
        "deposit",
        {"asset": "XRP", "amount": "0.000000000000000003", "price": "0.5"},
        Effects(
            "deposit",
            own=Posting("XRP", d("3e-18")),
            net_deposits_delta=d("2e-18"),
            basis_delta=d("2e-18"),
            starting_value_delta=d("2e-18"),
        ),
    ),
    "deposit with a basis of its own": (
        "deposit",
        {"asset": "XRP", "amount": "10", "price": "2", "basis_delta": "-3"},
        Effects(
            "deposit",
            own=Posting("XRP", d("10")),
            net_deposits_delta=d("20"),
            basis_delta=d("-3"),
            starting_value_delta=d("20"),
        ),
    ),
    "deposit with a basis of 0": (
        "deposit",
        {"asset": "RLUSD", "amount": "10", "basis_delta": "0.00"},
        Effects("deposit", own=Posting("RLUSD", d("10")), net_deposits_delta=d("10"), starting_value_delta=d("10")),
    ),
    "deposit with an unknown basis": (
        "deposit",
        {"asset": "XRP", "amount": "39.27", "price": "1.3314", "basis_unknown": True},
        Effects(
            "deposit",
            own=Posting("XRP", d("39.27")),
            net_deposits_delta=d("52.284078"),
            starting_value_delta=d("52.284078"),
            unknown_bases=1,
        ),
    ),
    # withdrawal: asset −, net deposits and starting value − value, basis as given
    "withdrawal of the numeraire": (
        "withdrawal",
        {"asset": "RLUSD", "amount": "20", "basis_delta": "-12.5"},
        Effects(
            "withdrawal",
            own=Posting("RLUSD", d("-20")),
            net_deposits_delta=d("-20"),
            basis_delta=d("-12.5"),
            starting_value_delta=d("-20"),
        ),
    ),
    "withdrawal at a price, of pure profit": (
        "withdrawal",
        {"asset": "XRP", "amount": "10", "price": "1.5", "basis_delta": "0"},
        Effects("withdrawal", own=Posting("XRP", d("-10")), net_deposits_delta=d("-15"), starting_value_delta=d("-15")),
    ),
    "basis commit": (
        "basis_commit",
        {"basis_delta": "137.284078"},
        Effects("basis_commit", basis_delta=d("137.284078")),
    ),
    "basis commit downwards": ("basis_commit", {"basis_delta": "-1"}, Effects("basis_commit", basis_delta=d("-1"))),
    "basis commit of 0": ("basis_commit", {"basis_delta": "-0"}, Effects("basis_commit")),
    "adjustment": (
        "adjustment",
        {"asset": "XRP", "amount": "-0.000012", "reason": "network_fee"},
        Effects("adjustment", own=Posting("XRP", d("-0.000012"))),
    ),
    "adjustment of the numeraire": (
        "adjustment",
        {"asset": "RLUSD", "amount": "1", "reason": "reward"},
        Effects("adjustment", own=Posting("RLUSD", d("1"))),
    ),
    # baseline: what it changes, from the 100 that were there
    "baseline upwards": ("baseline", {"starting_value": "137"}, Effects("baseline", starting_value_delta=d("37"))),
    "baseline downwards": ("baseline", {"starting_value": "-1"}, Effects("baseline", starting_value_delta=d("-101"))),
    "baseline to what is there": ("baseline", {"starting_value": "100.0"}, Effects("baseline")),
}


@pytest.mark.parametrize("row", TABLE)
def test_effects(row: str) -> None:
    kind, fields, expected = TABLE[row]
    assert effects(kind, **fields) == expected


def test_every_type_but_the_reversal_stands_in_the_table() -> None:
    assert {kind for kind, _, _ in TABLE.values()} == EVENT_TYPES.keys() - {"reversal"}


def test_only_a_deposit_and_a_withdrawal_have_a_value() -> None:
    for kind, _, expected in TABLE.values():
        assert expected.net_deposits_delta.is_zero() or kind in ("deposit", "withdrawal")


def test_postings_come_in_the_order_of_their_roles() -> None:
    _, _, with_all = TABLE["buy, fee in base"]
    assert [posting.asset for posting in with_all.postings] == ["XRP", "RLUSD", "XRP"]
    assert [posting.asset for posting in replace(with_all, quote=None).postings] == ["XRP", "XRP"]
    assert list(Effects("mark").postings) == []


# ---- reversals


@pytest.mark.parametrize("row", [row for row, (kind, _, _) in TABLE.items() if kind in REVERSIBLE])
def test_a_reversal_has_the_negated_effects_in_the_part_of_what_it_reverses(row: str) -> None:
    _, _, original = TABLE[row]
    reversed_effects = effects_of(event("reversal", reverses=2), LIVE, FixedHistory(original))
    assert reversed_effects.effect_of == original.effect_of
    roles = zip(
        (original.own, original.quote, original.fee),
        (reversed_effects.own, reversed_effects.quote, reversed_effects.fee),
        strict=True,
    )
    for posting, opposite in roles:
        if posting is None:
            assert opposite is None
        else:
            assert opposite is not None
            assert (opposite.asset, opposite.delta) == (posting.asset, posting.delta.copy_negate())
    for name in ("net_deposits_delta", "basis_delta", "starting_value_delta", "unknown_fees", "unknown_bases"):
        assert getattr(original, name) + getattr(reversed_effects, name) == 0, name


@given(st.sampled_from(sorted(TABLE)))
def test_negating_twice_changes_nothing_and_leaves_no_minus_zero(row: str) -> None:
    _, _, original = TABLE[row]
    assert negated(negated(original)) == original
    opposite = negated(original)
    figures = [opposite.net_deposits_delta, opposite.basis_delta, opposite.starting_value_delta]
    figures += [posting.delta for posting in opposite.postings]
    assert not any(figure.is_zero() and figure.is_signed() for figure in figures)


def test_a_baseline_and_its_reversal_move_the_starting_value_there_and_back(tmp_path: Path) -> None:
    """By what the baseline changed then, whatever was deposited between them."""
    with open_keeper(tmp_path) as keeper:
        keeper.append_all(
            BOOK,
            [
                event("deposit", asset="RLUSD", amount="100"),
                event("baseline", starting_value="137"),
                event("baseline", starting_value="140"),
                event("deposit", asset="RLUSD", amount="1"),
                event("reversal", reverses=3),
                event("baseline", starting_value="0"),
                event("reversal", reverses=7),
            ],
        )
        deltas = [amount_text(stored.effects.starting_value_delta) for stored in log_of(keeper, after=1)]
        assert deltas == ["100", "37", "3", "1", "-37", "-104", "104"]
        assert keeper.view(BOOK).state.engine_state.starting_value == d("104")


def test_a_baseline_counts_what_was_appended_in_its_own_transaction_and_before(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100"))
        baseline = event("baseline", starting_value="137")
        keeper.append_all(BOOK, [event("deposit", asset="RLUSD", amount="7"), baseline, baseline])
        deltas = [amount_text(stored.effects.starting_value_delta) for stored in log_of(keeper, after=3)]
        assert deltas == ["30", "0"]


# ---- the value


@pytest.mark.parametrize(
    ("asset", "price", "worth"), [("RLUSD", None, "2"), ("XRP", "1.5", "3"), ("rlusd", "1.5", "3"), ("XRP", "1", "2")]
)
def test_the_value_of_capital_is_at_its_own_price(asset: str, price: str | None, worth: str) -> None:
    assert capital_value(asset, d("2"), None if price is None else d(price), "RLUSD") == d(worth)


# ---- what the database keeps


def recorded(keeper: Bookkeeper, row: str) -> list[StoredEvent]:
    """A row of the table recorded from a starting value of 100, and reversed if it can be; read back."""
    kind, fields, _ = TABLE[row]
    before = keeper.append(BOOK, event("baseline", starting_value="100")).stored.version
    keeper.append(BOOK, event(kind, **fields))
    if kind in REVERSIBLE:
        keeper.append(BOOK, event("reversal", reverses=before + 1))
    return log_of(keeper, after=before)


def test_effects_are_read_back_as_they_were_computed(keeper: Bookkeeper) -> None:
    for row, (kind, _, expected) in TABLE.items():
        if kind != "opened":
            first, *reversal = recorded(keeper, row)
            assert first.effects == expected, row
            assert [stored.effects for stored in reversal] == [negated(expected)] * (kind in REVERSIBLE), row


def test_a_reversal_is_stored_with_the_asset_and_price_of_what_it_reverses(keeper: Bookkeeper) -> None:
    for row in (
        "deposit at a price",
        "withdrawal at a price, of pure profit",
        "basis commit",
        "sell, fee not reported",
    ):
        original, reversal = recorded(keeper, row)
        assert (reversal.asset, reversal.price) == (original.asset, original.price)
        assert reversal.reverses == original.version


def test_the_database_holds_every_amount_as_canonical_text(tmp_path: Path) -> None:
    """SQLite would take a number for a binary float, and sums of texts that differ would not be found equal."""
    with open_keeper(tmp_path) as keeper:
        for row, (kind, _, _) in TABLE.items():
            if kind != "opened":
                recorded(keeper, row)
    columns = ["asset_delta", "quote_delta", "fee_delta", "price"]
    columns += ["net_deposits_delta", "basis_delta", "starting_value_delta"]
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        found = 0
        for column in columns:
            for text, kind in connection.execute(f"SELECT {column}, typeof({column}) FROM events"):
                if text is not None:
                    assert kind == "text"
                    assert text == amount_text(parse_amount(text))
                    found += 1
        assert found > 100
