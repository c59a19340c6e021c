"""Amounts are read and written exactly, refused when they do not fit, and never touched by the caller's context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_UP, Clamped, Context, Decimal, FloatOperation, Inexact, Rounded, Subnormal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import (
    SUM_DIGITS_BEFORE_POINT,
    add,
    amount_text,
    fits,
    negate,
    parse_amount,
    shown_amount,
    subtract,
    total,
    value,
)
from ledger.errors import Refusal, Refused
from ledger.parsing import BareWholeNumber, parse_json

UNIT = 10**36
WIDEST = "9" * 20 + "." + "9" * 36
WIDEST_VALUE = "9999999999999999999999999999999999999999.9999999999999998"  # WIDEST², rounded
LARGEST = 10**38 - 1

# Every member of NUMERIC(56,36), as a whole number of 10^-36; the small ones and the edges are drawn as often as the rest.
units = st.one_of(
    st.integers(-LARGEST, LARGEST),
    st.integers(-(10**6), 10**6),
    st.builds(lambda digits, power: digits * 10**power, st.integers(-9999, 9999), st.integers(0, 34)),
    st.sampled_from([0, 1, -1, LARGEST, -LARGEST, UNIT, 10**37]),
)


def plain_text(count: int) -> str:
    """`count` units of 10^-36, with all 36 decimals: what NUMERIC(56,36) prints."""
    whole, decimals = divmod(abs(count), UNIT)
    return f"{'-' if count < 0 else ''}{whole}.{decimals:036d}"


def exactly(number: Decimal) -> Fraction:
    """A number's value by way of its digits, not of decimal arithmetic."""
    return Fraction(*number.as_integer_ratio())


@contextmanager
def hostile_context() -> Iterator[Context]:
    """A caller's context in which any arithmetic would round upwards to 2 digits, and every signal is an exception."""
    signals = [Clamped, FloatOperation, Inexact, Rounded, Subnormal]
    with localcontext(Context(prec=2, rounding=ROUND_UP, Emin=-1, Emax=1, capitals=0, clamp=1)) as context:
        for signal in [*context.traps, *signals]:
            context.traps[signal] = True
        context.clear_flags()
        yield context


# ---- round trips


@given(units)
def test_an_amount_comes_back_digit_by_digit(count: int) -> None:
    text = plain_text(count)
    parsed = parse_amount(text)
    assert exactly(parsed) == Fraction(count, UNIT)
    canonical = amount_text(parsed)
    assert parse_amount(canonical) == parsed
    assert canonical == (text.rstrip("0").rstrip(".") if count else "0")


@given(units, st.integers(0, 60), st.integers(0, 90), st.sampled_from("eE"))
def test_exponents_and_zeros_do_not_change_an_amount(count: int, zeros: int, point: int, letter: str) -> None:
    """The same value with zeros before and behind, the point anywhere and an exponent to match is the same amount."""
    digits = str(abs(count)).rjust(39, "0") + "0" * zeros
    whole, decimals = digits[:point] or "0", digits[point:]
    exponent = len(decimals) - 36 - zeros
    sign, plus = "-" if count < 0 else "", "+" if exponent >= 0 else ""
    text = f"{sign}{whole}{'.' if decimals else ''}{decimals}{letter}{plus}{exponent}"
    assert amount_text(parse_amount(text)) == amount_text(parse_amount(plain_text(count)))


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0e999", "0"),
        ("-0E-999", "0"),
        ("007.50", "7.5"),
        ("181.1375018324144", "181.1375018324144"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("15e-1", "1.5"),
        ("1e-36", "0.000000000000000000000000000000000001"),
        ("0.0000000123456789012345", "0.0000000123456789012345"),  # dust of an XRPL token
        ("0.0001234567890123456", "0.0001234567890123456"),
        ("1000000000000000000000000e-5", "10000000000000000000"),
        ("0.00000000001e11", "1"),
        ("1.50000000000000000000", "1.5"),
        ("12.50000000000000000000", "12.5"),
        ("0.10000000000000000000000", "0.1"),
        (WIDEST, WIDEST),
        (f"-{WIDEST}", f"-{WIDEST}"),
        ("1." + "0" * 5000, "1"),
    ],
)
def test_canonical_text(given_text: str, canonical: str) -> None:
    assert amount_text(parse_amount(given_text)) == canonical


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("85", "85.00"),
        ("85.5", "85.50"),
        ("0", "0.00"),
        ("-0", "0.00"),
        ("-3.1", "-3.10"),
        ("0.000001", "0.000001"),
        ("181.1375018324144", "181.1375018324144"),
        ("1e3", "1000.00"),
    ],
)
def test_people_see_all_digits_and_at_least_two_decimals(text: str, shown: str) -> None:
    assert shown_amount(parse_amount(text)) == shown


@pytest.mark.parametrize("number", [0, 50, -3, 10**20 - 1])
def test_an_int_of_a_library_caller_is_taken_exactly(number: int) -> None:
    assert parse_amount(number) == number


def test_an_int_that_is_too_large_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(10**20)
    assert refused.value.refusal is Refusal.AMOUNT_OUT_OF_RANGE


def test_a_decimal_of_a_library_caller_is_as_good_as_a_text() -> None:
    number = Decimal("181.1375018324144")
    assert parse_amount(number) is number


# ---- refusals


@pytest.mark.parametrize(
    "given_object",
    [
        BareWholeNumber(1),
        BareWholeNumber(0),
        1.1,
        0.0,
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        b"1",
        ["1"],
        {"amount": "1"},
    ],
)
def test_what_is_no_text_is_refused_with_advice_to_quote_it(given_object: object) -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(given_object)
    assert refused.value.refusal is Refusal.NUMBER_NOT_QUOTED
    assert "quotes" in (refused.value.advice or "")


@pytest.mark.parametrize("digits", ["1", "1.10", "1e400", "-0", "123456789012345678901234567890", "NaN", "Infinity"])
def test_a_bare_number_in_json_is_refused_showing_the_digits_that_were_typed(digits: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(parse_json(digits))
    assert refused.value.refusal is Refusal.NUMBER_NOT_QUOTED
    assert refused.value.actual == (digits if digits != "-0" else "0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " 1 ",
        " 1",
        "1 ",
        "1\n",
        "\t1",
        "1_000",
        "1,000",
        "1,5",
        "+1",
        "--1",
        "1.",
        ".5",
        "-.5",
        "1..5",
        "1.5.0",
        "1e",
        "1e+",
        "e5",
        "1e5.0",
        "1e1000",
        "1e-1000",
        "0x10",
        "NaN",
        "nan",
        "sNaN",
        "-NaN1",
        "Infinity",
        "-inf",
        "\uff11\uff12",  # fullwidth 12
        "\u0661",  # Arabic-Indic 1
        "1\u0662",
        "1.\uff15",
        "1e\uff15",
        "\u22121",  # minus sign
        "1\u00a0000",
        "\u00bd",
        "1\x00",
        "\ud800",
        "0b1",
        "1f",
        "1d5",
    ],
)
def test_what_is_no_plain_decimal_is_malformed(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(text)
    assert refused.value.refusal is Refusal.AMOUNT_MALFORMED


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-NaN123", "Infinity", "-Infinity"])
def test_a_decimal_that_is_not_finite_is_malformed(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(Decimal(text))
    assert refused.value.refusal is Refusal.AMOUNT_MALFORMED


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("100000000000000000000", Refusal.AMOUNT_OUT_OF_RANGE),  # 21 digits
        ("-100000000000000000000", Refusal.AMOUNT_OUT_OF_RANGE),
        ("1e20", Refusal.AMOUNT_OUT_OF_RANGE),
        ("1e400", Refusal.AMOUNT_OUT_OF_RANGE),
        ("1e999", Refusal.AMOUNT_OUT_OF_RANGE),
        ("0.1e21", Refusal.AMOUNT_OUT_OF_RANGE),
        ("0.0000000000000000000000000000000000001", Refusal.AMOUNT_TOO_PRECISE),  # 37 decimals
        ("-0.0000000000000000000000000000000000001", Refusal.AMOUNT_TOO_PRECISE),
        ("1e-37", Refusal.AMOUNT_TOO_PRECISE),
        ("1e-38", Refusal.AMOUNT_TOO_PRECISE),
        ("1e-999", Refusal.AMOUNT_TOO_PRECISE),
        ("12e-38", Refusal.AMOUNT_TOO_PRECISE),
        ("12.5000000000000000000000000000000000001", Refusal.AMOUNT_TOO_PRECISE),
        ("12.50000000000000000000000000000000000001", Refusal.AMOUNT_TOO_PRECISE),
        ("0.100000000000000000000000000000000000100", Refusal.AMOUNT_TOO_PRECISE),
        ("0." + "0" * 4000 + "1", Refusal.AMOUNT_TOO_PRECISE),
        (
            "100000000000000000000.0000000000000000000000000000000000001",
            Refusal.AMOUNT_OUT_OF_RANGE,
        ),  # both: the first is reported
    ],
)
def test_what_does_not_fit_is_refused_and_not_rounded(text: str, refusal: Refusal) -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(text)
    assert refused.value.refusal is refusal
    assert parse_refusal_of_decimal(Decimal(text)) is refusal


def parse_refusal_of_decimal(number: Decimal) -> Refusal:
    """How the same number is refused when a library caller gives it as a Decimal."""
    with pytest.raises(Refused) as refused:
        parse_amount(number)
    return refused.value.refusal


@given(st.integers(1, 10**40), st.integers(-60, 30), st.booleans())
def test_an_amount_is_taken_exactly_when_it_fits_numeric_56_36(digits: int, exponent: int, is_negative: bool) -> None:
    """Neither a digit too much is taken nor one that fits is refused, wherever the point is."""
    number = Fraction(digits) * Fraction(10) ** exponent
    text = f"{'-' if is_negative else ''}{digits}e{exponent}"
    too_large = number >= 10**20
    too_precise = (number * UNIT).denominator != 1
    if not too_large and not too_precise:
        assert exactly(parse_amount(text)) == (-number if is_negative else number)
        return
    with pytest.raises(Refused) as refused:
        parse_amount(text)
    assert refused.value.refusal is (Refusal.AMOUNT_OUT_OF_RANGE if too_large else Refusal.AMOUNT_TOO_PRECISE)


@given(st.text())
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        parsed = parse_amount(text)
    except Refused:
        return
    assert parsed == Decimal(text)


def test_a_sum_may_be_wider_than_an_amount() -> None:
    widest = "9" * 40 + "." + "9" * 36
    assert amount_text(parse_amount(widest, digits_before_point=SUM_DIGITS_BEFORE_POINT)) == widest
    with pytest.raises(Refused) as refused:
        parse_amount("1e40", digits_before_point=SUM_DIGITS_BEFORE_POINT)
    assert refused.value.refusal is Refusal.AMOUNT_OUT_OF_RANGE


# ---- arithmetic


@given(st.lists(units, max_size=20))
def test_sums_are_exact(counts: list[int]) -> None:
    amounts = [parse_amount(plain_text(count)) for count in counts]
    assert exactly(total(amounts)) == Fraction(sum(counts), UNIT)


@given(units, units)
def test_addition_and_subtraction_are_exact(left: int, right: int) -> None:
    one, other = parse_amount(plain_text(left)), parse_amount(plain_text(right))
    assert exactly(add(one, other)) == Fraction(left + right, UNIT)
    assert exactly(subtract(one, other)) == Fraction(left - right, UNIT)


@given(units)
def test_negation_is_exact_and_has_no_minus_zero(count: int) -> None:
    negated = negate(parse_amount(plain_text(count)))
    assert exactly(negated) == Fraction(-count, UNIT)
    assert not (negated.is_zero() and negated.is_signed())


@given(units, units)
def test_a_value_is_the_product_rounded_half_even_to_18_decimals(amount: int, price: int) -> None:
    product = Fraction(amount, UNIT) * Fraction(price, UNIT)
    rounded = round(product * 10**18)  # Python rounds a Fraction half to even
    worth = value(parse_amount(plain_text(amount)), parse_amount(plain_text(price)))
    assert exactly(worth) == Fraction(rounded, 10**18)


@pytest.mark.parametrize(
    ("amount", "price", "worth"),
    [
        ("39.27", "1.3314", "52.284078"),
        ("0.000000000000000001", "0.5", "0"),  # halfway: to the even 0
        ("0.000000000000000003", "0.5", "0.000000000000000002"),  # halfway: up to the even 2
        ("0.000000000000000005", "0.5", "0.000000000000000002"),  # halfway: down to the even 2
        ("-0.000000000000000003", "0.5", "-0.000000000000000002"),
        ("-0.000000000000000001", "0.5", "0"),
        ("0.000000000000000001", "0.500000000000000001", "0.000000000000000001"),
        ("0.000000000000000001", "0.499999999999999999", "0"),
        (f"0.{'0' * 18}1", f"4.{'9' * 36}", "0"),  # just below half
        (f"0.{'0' * 18}1", f"5.{'0' * 35}1", "0.000000000000000001"),  # just above it
        (WIDEST, WIDEST, WIDEST_VALUE),
        ("99999999999999999999", "99999999999999999999", "9999999999999999999800000000000000000001"),
    ],
)
def test_value(amount: str, price: str, worth: str) -> None:
    assert amount_text(value(parse_amount(amount), parse_amount(price))) == worth


def test_a_value_of_an_amount_with_a_thousand_trailing_zeros() -> None:
    assert amount_text(value(parse_amount("1.5" + "0" * 1000), parse_amount("2.5"))) == "3.75"


@pytest.mark.parametrize(
    ("text", "does_fit"),
    [("99999999999999999999.999999999999999999", True), ("1e20", False), ("-1e20", False), ("0", True)],
)
def test_fits(text: str, does_fit: bool) -> None:
    assert fits(Decimal(text)) is does_fit


# ---- the caller's context


@given(units, units)
def test_the_callers_context_is_neither_used_nor_changed(left: int, right: int) -> None:
    """In a context that would round, and that raises on every signal, all results are the same and no flag is set."""
    results = _everything(left, right)
    with hostile_context() as context:
        before = repr(context)
        assert _everything(left, right) == results
        assert repr(context) == before


def _everything(left: int, right: int) -> list[str]:
    """The texts of all that the module computes of two amounts."""
    one, other = parse_amount(plain_text(left)), parse_amount(plain_text(right) + "e0")
    results = [add(one, other), subtract(one, other), total([one, other, one]), negate(one), value(one, other)]
    return [amount_text(result) for result in results] + [shown_amount(result) for result in results]


@pytest.mark.parametrize("text", ["1e20", "1e-37", "x", "1_000", "NaN"])
def test_a_refusal_is_the_same_in_a_hostile_context(text: str) -> None:
    with pytest.raises(Refused) as expected:
        parse_amount(text)
    with hostile_context() as context:
        before = repr(context)
        with pytest.raises(Refused) as refused:
            parse_amount(text)
        assert repr(context) == before
    assert str(refused.value) == str(expected.value)


@pytest.mark.parametrize(
    ("given", "refusal", "expected"),
    [
        (10**20, Refusal.AMOUNT_OUT_OF_RANGE, "at most 20 digits before the point"),
        (Decimal("1E+20"), Refusal.AMOUNT_OUT_OF_RANGE, "at most 20 digits before the point"),
        (Decimal("1E-37"), Refusal.AMOUNT_TOO_PRECISE, "at most 36 digits after the point"),
        (Decimal("-Infinity"), Refusal.AMOUNT_MALFORMED, "digits 0-9"),
        ("1,50", Refusal.AMOUNT_MALFORMED, "digits 0-9"),
        ("1e20", Refusal.AMOUNT_OUT_OF_RANGE, "at most 20 digits before the point"),
    ],
)
def test_an_amount_is_shown_as_given_in_its_refusal(given: object, refusal: Refusal, expected: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_amount(given)
    assert refused.value.refusal is refusal
    assert f"actual '{given}'" in str(refused.value)
    assert f"expected {expected}" in str(refused.value)
