"""One line of NDJSON is one event or refused: strict where JSON readers are kind, and never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import amount_text
from ledger.errors import SHOWN_CHARACTERS, Refusal, Refused
from ledger.events import EVENT_TYPES, Deposit, Event, Mark
from ledger.parsing import LINE_BYTES, BareNumber, parse_json, parse_line, parse_lines

DEPOSIT = b'{"type":"deposit","asset":"RLUSD","amount":"50"}'


def refused_line(line: bytes) -> Refused:
    """The refusal of a line."""
    with pytest.raises(Refused) as refused:
        parse_line(line)
    return refused.value


# ---- what is taken


@pytest.mark.parametrize(
    "line",
    [
        DEPOSIT,
        DEPOSIT + b"\n",
        DEPOSIT + b"\r\n",
        b" \t" + DEPOSIT + b" ",
        b'{"amount":"5e1","asset":"RLUSD","type":"deposit","price":null}',
        b'{"type":"deposit","asset":"\\u0052LUSD","amount":"\\u0035\\u0030"}',
    ],
)
def test_spelling_and_blanks_do_not_matter(line: bytes) -> None:
    event = parse_line(line)
    assert isinstance(event, Deposit)
    assert (event.asset, amount_text(event.amount), event.price) == ("RLUSD", "50", None)


def test_a_whole_pair_of_surrogates_in_escapes_is_one_character() -> None:
    event = parse_line(b'{"type":"mark","asset":"XRP","price":"1","price_source":"\\ud83d\\udcb6"}')
    assert isinstance(event, Mark)
    assert event.price_source == "\U0001f4b6"


# ---- what is refused


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b"", Refusal.NOT_JSON),
        (b"x", Refusal.NOT_JSON),
        (b"{", Refusal.NOT_JSON),
        (DEPOSIT[:-1], Refusal.NOT_JSON),
        (DEPOSIT[:20], Refusal.NOT_JSON),
        (DEPOSIT + b"}", Refusal.NOT_JSON),
        (DEPOSIT + DEPOSIT, Refusal.NOT_JSON),
        (b"\xef\xbb\xbf" + DEPOSIT, Refusal.NOT_JSON),  # a byte order mark
        (DEPOSIT.replace(b'"', b"'"), Refusal.NOT_JSON),
        (DEPOSIT.replace(b"}", b",}"), Refusal.NOT_JSON),
        (DEPOSIT.replace(b"50", b"5\xff0"), Refusal.NOT_JSON),
        (DEPOSIT.replace(b"50", b"5\x000"), Refusal.NOT_JSON),
        (DEPOSIT.decode().encode("utf-16"), Refusal.NOT_JSON),
        (b"[" * 100_000, Refusal.NOT_JSON),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Refusal.NOT_JSON),
        (b"[]", Refusal.NOT_AN_OBJECT),
        (b"[" + DEPOSIT + b"]", Refusal.NOT_AN_OBJECT),
        (b'"deposit"', Refusal.NOT_AN_OBJECT),
        (b"1", Refusal.NOT_AN_OBJECT),
        (b"NaN", Refusal.NOT_AN_OBJECT),
        (b"null", Refusal.NOT_AN_OBJECT),
        (b"{}", Refusal.TYPE_UNKNOWN),
        (DEPOSIT.replace(b"deposit", b"Deposit"), Refusal.TYPE_UNKNOWN),
        (DEPOSIT.replace(b"deposit", b"deposit/1"), Refusal.TYPE_UNKNOWN),
        (DEPOSIT.replace(b'"deposit"', b'["deposit"]'), Refusal.TYPE_UNKNOWN),
        (DEPOSIT.replace(b'"deposit"', b"null"), Refusal.TYPE_UNKNOWN),
        (DEPOSIT.replace(b'"50"', b"50"), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b'"50"', b"50.10"), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b'"50"', b"1e400"), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b'"50"', b"NaN"), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b'"50"', b"-Infinity"), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b'"50"', b"1" * 5000), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b'"50"', b"true"), Refusal.NUMBER_NOT_QUOTED),
        (DEPOSIT.replace(b"50", b"NaN"), Refusal.AMOUNT_MALFORMED),
        (DEPOSIT.replace(b"50", b" 1 "), Refusal.AMOUNT_MALFORMED),
        (DEPOSIT.replace(b"50", b"1_000"), Refusal.AMOUNT_MALFORMED),
        (DEPOSIT.replace(b"50", "\uff11\uff12".encode()), Refusal.AMOUNT_MALFORMED),
        (DEPOSIT.replace(b"50", b"1e400"), Refusal.AMOUNT_OUT_OF_RANGE),
        (DEPOSIT.replace(b"50", b"1" * 21), Refusal.AMOUNT_OUT_OF_RANGE),
        (DEPOSIT.replace(b"50", b"0." + b"1" * 37), Refusal.AMOUNT_TOO_PRECISE),
        (b'{"type":"reversal","reverses":"2"}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":2.0}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":2e0}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":true}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":0}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":-1}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":9007199254740993}', Refusal.VERSION_MALFORMED),
        (b'{"type":"reversal","reverses":' + b"9" * 5000 + b"}", Refusal.VERSION_MALFORMED),
    ],
)
def test_refusals(line: bytes, refusal: Refusal) -> None:
    assert refused_line(line).refusal is refusal


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"deposit","asset":"RLUSD","amount":"50","amount":"50"}',
        b'{"type":"deposit","asset":"RLUSD","amount":"50","\\u0061mount":"60"}',
        b'{"type":"deposit","asset":"RLUSD","amount":"50","x":{"y":1,"y":2}}',
        b'[{"a":1,"a":2}]',
    ],
)
def test_a_field_that_stands_twice_is_refused_at_any_depth(line: bytes) -> None:
    assert refused_line(line).refusal is Refusal.FIELD_DUPLICATE


def test_a_line_is_at_most_a_mebibyte() -> None:
    padded = DEPOSIT + b" " * (LINE_BYTES - len(DEPOSIT))
    assert parse_line(padded).kind == "deposit"
    assert refused_line(padded + b" ").refusal is Refusal.LINE_TOO_LONG
    assert refused_line(b"x" * (10 << 20)).refusal is Refusal.LINE_TOO_LONG


@pytest.mark.parametrize("line", [DEPOSIT[:-1], DEPOSIT[:-3], DEPOSIT[:20], DEPOSIT[:7], b"{", b'{"a', b"[1,"])
def test_a_line_that_was_cut_off_is_said_to_be(line: bytes) -> None:
    assert "ends too early" in str(refused_line(line))


@pytest.mark.parametrize(("before", "after"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_of_any_depth_is_refused(before: bytes, after: bytes) -> None:
    """Near the interpreter's limit of 1000 a value can still be read, but hardly anything done with it."""
    for depth in (10, 300, *range(900, 1020), 5000):
        line = b'{"type":"mark","price":"1","asset":' + before * depth + b"1" + after * depth + b"}"
        refused = refused_line(line)
        assert refused.refusal in (Refusal.TEXT_REQUIRED, Refusal.NOT_JSON), depth
        assert len(str(refused)) < 600, depth


# ---- messages


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("1.10", "1.10"),
        ("181.13750183241440000000001", "181.13750183241440000000001"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e400", "1e400"),
        ("1" * 5000, f"{'1' * 80}\u2026 (5000 characters)"),
    ],
)
def test_a_bare_number_is_shown_as_it_was_typed(digits: str, shown: str) -> None:
    assert refused_line(DEPOSIT.replace(b'"50"', digits.encode())).actual == shown


_UGLY = "\\u001b[31m\\n\\u0000\\ud800"


@pytest.mark.parametrize(
    "line",
    [
        f'{{"type":"mark","{_UGLY}":1}}',
        f'{{"type":"{_UGLY}"}}',
        f'{{"type":{{"{_UGLY}":1}}}}',
        f'{{"type":"fill","side":"{_UGLY}"}}',
        f'{{"type":"mark","asset":"{_UGLY}","price":"1"}}',
        f'{{"type":"mark","asset":"XRP","price":"{_UGLY}"}}',
        f'{{"type":"mark","asset":"XRP","price":["{_UGLY}"]}}',
        f'{{"type":"mark","asset":"XRP","price":"1","at":"{_UGLY}"}}',
        f'{{"type":"deposit","asset":"XRP","amount":"1","basis_unknown":"{_UGLY}"}}',
        f'{{"type":"reversal","reverses":"{_UGLY}"}}',
        f'{{"a":1,"{_UGLY}":1,"{_UGLY}":1}}',
        f'["{_UGLY}"]',
        f'{{"type":"mark" "{_UGLY}"}}',
        '{"type":"mark","x\\u001b[2J":1}',
        '{"type":"withdrawal","evidence":{"x\\u001b[2J":1}}',
    ],
)
def test_a_message_is_one_printable_line_whatever_was_typed(line: str) -> None:
    message = str(refused_line(line.encode()))
    assert message.isprintable()
    assert message.encode("utf-8")


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"mark","FILLING":1}',
        '{"type":"FILLING"}',
        '{"type":["FILLING"]}',
        '{"type":"fill","side":"FILLING"}',
        '{"type":"fill","side":{"FILLING":1}}',
        '{"type":"mark","asset":"FILLING","price":"1"}',
        '{"type":"mark","asset":["FILLING"],"price":"1"}',
        '{"type":"mark","asset":"XRP","price":"FILLING"}',
        '{"type":"mark","asset":"XRP","price":["FILLING"]}',
        '{"type":"mark","asset":"XRP","price":"1","at":"FILLING"}',
        '{"type":"reversal","reverses":["FILLING"]}',
        '{"FILLING":1,"FILLING":2}',
        '"FILLING" x',
    ],
)
def test_a_message_is_short_however_long_the_input_was(line: str) -> None:
    refused = refused_line(line.replace("FILLING", "f" * 100_000).encode())
    assert len(str(refused)) < 600
    assert len(refused.actual or "") < SHOWN_CHARACTERS + 40


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b'{"type":"mark","asset":"XRP","price":"1","\\ud800":1}', Refusal.FIELD_UNKNOWN),
        (b'{"type":"opened","mode":"\\ud800"}', Refusal.CHOICE_UNKNOWN),
        (b'{"type":"mark","asset":"\\ud800","price":"1"}', Refusal.TEXT_HAS_LONE_SURROGATE),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_for_what_it_stands_as(line: bytes, refusal: Refusal) -> None:
    assert refused_line(line).refusal is refusal


# ---- any input at all

_names = st.sampled_from(sorted({name for model in EVENT_TYPES.values() for name in model.model_fields}))
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([*EVENT_TYPES, "XRP", "RLUSD", "1.5", "-1", "buy", "live", "2026-01-31T14:30:00Z"]),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | _names, inner, max_size=4),
    max_leaves=8,
)
_objects = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(sorted(EVENT_TYPES)),
    st.dictionaries(_names, _values, max_size=8),
)


@given(_objects | _values)
def test_any_json_is_an_event_or_refused(document: object) -> None:
    event = _event_or_none(json.dumps(document).encode())
    if event is not None:
        assert isinstance(document, dict)
        assert event.kind == document["type"]


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_printable_line(line: bytes) -> None:
    assert _event_or_none(line) is None


def _event_or_none(line: bytes) -> Event | None:
    """The event, or None for a refusal, whose message must be printable. Any other exception is a failure."""
    try:
        return parse_line(line)
    except Refused as refused:
        message = str(refused)
    assert message.isprintable()
    return None


@given(st.integers())
def test_only_a_small_whole_number_is_read_as_one(number: int) -> None:
    """A long integer keeps the digits that were typed: other readers make another number of it."""
    read = parse_json(str(number))
    if len(str(number)) <= 15:
        assert read == number
    else:
        assert isinstance(read, BareNumber)
        assert read.text == str(number)


# ---- many lines


def _parsed(lines: Iterable[bytes], start: int = 1) -> list[tuple[int, str]]:
    return [(number, event.kind) for number, event in parse_lines(iter(lines), start=start)]


def test_blank_lines_are_counted_and_skipped() -> None:
    assert _parsed([b"\n", DEPOSIT, b"  \r\n", b"", DEPOSIT]) == [(2, "deposit"), (5, "deposit")]
    assert _parsed([DEPOSIT], start=41) == [(41, "deposit")]


def test_a_bad_line_is_named() -> None:
    with pytest.raises(Refused) as refused:
        _parsed([DEPOSIT, b"\n", b"x"])
    assert refused.value.where == "line 3"
    assert str(refused.value).startswith("error[not_json]: line 3: ")


def test_lines_are_read_one_by_one() -> None:
    """Not ahead: the event of the first line is there before the second was asked for."""
    asked = []

    def lines() -> Iterable[bytes]:
        for number in range(3):
            asked.append(number)
            yield DEPOSIT

    events = parse_lines(iter(lines()))
    next(events)
    assert asked == [0]
