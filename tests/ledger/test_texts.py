"""Texts of the caller's own choice are taken as they are, or refused: never cleaned, cut or interpreted."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Refusal, Refused
from ledger.events import EVENT_TYPES, Event
from ledger.texts import (
    ASSET_CHARACTERS,
    BOOK_CHARACTERS,
    KEY_CHARACTERS,
    NOTE_CHARACTERS,
    parse_asset,
    parse_text,
)
from tests.support import SMALLEST, event, log_of, open_keeper


def refusal_of(given_object: object, characters: int = 10) -> Refusal:
    """How a text is refused."""
    with pytest.raises(Refused) as refused:
        parse_text(given_object, characters=characters)
    return refused.value.refusal


# ---- what is taken


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE events; --",
        "../../etc/passwd",
        "$(rm -rf /)",
        "%s {0} {{}} \\n",
        " leading and trailing ",
        "non\u00a0breaking\u2003blanks",
        "e\u0301 is not normalised to \u00e9",
        "\U0001f4b6",
        "NULL",
        "\u202eright to left",
    ],
)
def test_a_text_is_taken_as_it_is(text: str) -> None:
    assert parse_text(text, characters=100) == text


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50))
def test_every_text_of_whole_printable_characters_is_taken(text: str) -> None:
    assert parse_text(text, characters=50) == text


@pytest.mark.parametrize("asset", ["XRP", "RLUSD.rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De", "BTC-PERP", "$", "\u20bf", "a/b"])
def test_an_asset_may_have_an_issuer_and_any_sign_but_the_equals_sign(asset: str) -> None:
    assert parse_asset(asset) == asset


@pytest.mark.parametrize("text", ["'; DROP TABLE events; --", "\"), ('x')", "%s :name ?", "\\", "\U0001f4b6", "NULL"])
def test_a_text_comes_back_from_the_database_as_it_was_given(text: str, tmp_path: Path) -> None:
    """As book, asset, key and note: none is ever part of a statement."""
    with open_keeper(tmp_path, book=text) as keeper:
        asset = text.replace(" ", "")
        keeper.append(text, event("deposit", asset=asset, amount="1", price="1", key=text, source_note=text))
        assert keeper.append(text, event("deposit", asset=asset, amount="1", price="1", key=text)).existed
        (stored,) = log_of(keeper, text, after=1)
        assert (stored.book, stored.key, stored.asset, stored.event.source_note) == (text, text, asset, text)
        assert list(keeper.view(text).state.inventory) == [asset]


# ---- what is refused


@given(st.text(max_size=20))
def test_a_text_is_refused_for_the_first_thing_that_is_wrong_with_it(text: str) -> None:
    """All of Unicode, lone surrogates too: empty, then too long, then control characters, then surrogates."""
    categories = {unicodedata.category(character) for character in text}
    wrong = [
        (not text, Refusal.TEXT_EMPTY),
        (len(text) > 10, Refusal.TEXT_TOO_LONG),
        ("Cc" in categories, Refusal.TEXT_HAS_CONTROL_CHARACTER),
        ("Cs" in categories, Refusal.TEXT_HAS_LONE_SURROGATE),
    ]
    expected = [refusal for is_wrong, refusal in wrong if is_wrong]
    if expected:
        assert refusal_of(text) is expected[0]
    else:
        assert parse_text(text, characters=10) == text


@pytest.mark.parametrize("character", [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]])
def test_every_control_character_is_refused(character: str) -> None:
    assert refusal_of(f"a{character}b") is Refusal.TEXT_HAS_CONTROL_CHARACTER


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_half_of_a_surrogate_pair_is_refused_with_a_message_that_can_be_printed(code: int) -> None:
    with pytest.raises(Refused) as refused:
        parse_text(f"a{chr(code)}", characters=10)
    assert refused.value.refusal is Refusal.TEXT_HAS_LONE_SURROGATE
    assert str(refused.value).encode("utf-8")


@pytest.mark.parametrize("given_object", [None, 1, 1.5, True, b"text", ["text"], {"a": "b"}])
def test_what_is_no_text_is_refused(given_object: object) -> None:
    assert refusal_of(given_object) is Refusal.TEXT_REQUIRED


def test_a_text_may_be_empty_only_where_that_says_something() -> None:
    assert parse_text("", characters=10, may_be_empty=True) == ""
    assert refusal_of("") is Refusal.TEXT_EMPTY


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u2003", "\u3000", "\u2028"])
def test_an_asset_has_no_blank_anywhere(blank: str) -> None:
    for asset in (f"{blank}XRP", f"X{blank}RP", f"XRP{blank}"):
        with pytest.raises(Refused) as refused:
            parse_asset(asset)
        assert refused.value.refusal is Refusal.ASSET_HAS_BLANK


def test_an_asset_has_no_equals_sign() -> None:
    with pytest.raises(Refused) as refused:
        parse_asset("XRP=1.33")
    assert refused.value.refusal is Refusal.ASSET_HAS_EQUALS_SIGN


# ---- the lengths, as the specification has them


def test_the_lengths_are_those_of_the_specification() -> None:
    assert (BOOK_CHARACTERS, ASSET_CHARACTERS, KEY_CHARACTERS, NOTE_CHARACTERS) == (64, 128, 200, 10_000)


# The common fields stand once, with the mark.
_LENGTHS = [
    ("mark", "book", 64),
    ("mark", "key", 200),
    ("mark", "source_note", 10_000),
    ("mark", "tx_hash", 200),
    ("mark", "session_id", 200),
    ("mark", "actor", 200),
    ("mark", "asset", 128),
    ("mark", "price_source", 200),
    ("adjustment", "asset", 128),
    ("adjustment", "reason", 200),
    ("adjustment", "group", 200),
    ("fill", "base_asset", 128),
    ("fill", "quote_asset", 128),
    ("fill", "fee_asset", 128),
    ("fill", "order_id", 200),
    ("fill", "strategy", 128),
    ("deposit", "asset", 128),
    ("withdrawal", "asset", 128),
    ("basis_commit", "asset", 128),
    ("baseline", "reason", 10_000),
    ("reversal", "reason", 10_000),
    ("opened", "numeraire", 128),
    ("opened", "base_asset", 128),
    ("opened", "withdrawal_policy", 200),
]


@pytest.mark.parametrize(("kind", "name", "characters"), _LENGTHS)
def test_a_fields_length_is_counted_in_characters(kind: str, name: str, characters: int) -> None:
    """Characters, not bytes: each of these takes four in UTF-8."""
    fitting = "\U0001f4b6" * characters
    assert getattr(event(kind, **{**SMALLEST[kind], name: fitting}), name) == fitting
    with pytest.raises(Refused) as refused:
        event(kind, **{**SMALLEST[kind], name: fitting + "x"})
    assert (refused.value.refusal, refused.value.field) == (Refusal.TEXT_TOO_LONG, name)


def test_every_text_field_of_every_event_type_is_in_the_table_of_lengths() -> None:
    """Found by what they refuse: a field that takes a text refuses a number with `text_required`."""
    common = set(Event.model_fields)
    found = {
        (kind, name)
        for kind, model in EVENT_TYPES.items()
        for name in model.model_fields
        if name != "type" and (kind == "mark" or name not in common)
        if _refusal_of_a_number(kind, name) is Refusal.TEXT_REQUIRED
    }
    assert found == {(kind, name) for kind, name, _ in _LENGTHS}


def _refusal_of_a_number(kind: str, name: str) -> Refusal | None:
    """How the field refuses a number in an event that is else complete."""
    try:
        event(kind, **{**SMALLEST[kind], name: 7})
    except Refused as refused:
        return refused.refusal
    return None
