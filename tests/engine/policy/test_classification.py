"""How a withdrawal divides into profit and principal: the cases of the specification, and what holds for all numbers."""

from __future__ import annotations

from decimal import ROUND_UP, Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.policy.classification import POLICIES, Classification, Policy, classify_withdrawal_basis, policy_named
from ledger.amounts import amount_text, parse_amount
from ledger.errors import Refused

UNIT = 10**18
# Name, withdrawal, equity before, basis before; profit and principal.
CASES: list[tuple[str, str, str, str, str, str]] = [
    ("pure profit", "20", "200", "150", "20", "0"),
    ("pure profit, to the last of it", "50", "200", "150", "50", "0"),
    ("equity = basis", "20", "150", "150", "0", "20"),
    ("equity = basis, all of it", "150", "150", "150", "0", "150"),
    ("equity = basis, withdrawal above the equity", "200", "150", "150", "0", "200"),
    ("withdrawal above an equity with profit", "250", "200", "150", "50", "200"),
    ("drawdown", "20", "100", "150", "0", "20"),
    ("drawdown, withdrawal above the equity", "120", "100", "150", "0", "120"),
    ("mixed", "80", "200", "150", "50", "30"),
    ("mixed, the first user's", "20", "188.15625911", "187.284078", "0.87218111", "19.12781889"),
    ("zero", "0", "200", "150", "0", "0"),
    ("zero in a drawdown", "0", "100", "150", "0", "0"),
    ("minus zero", "-0", "200", "150", "0", "0"),
    ("a profit of 1e-12 stays", "20", "150.000000000001", "150", "0.000000000001", "19.999999999999"),
    (
        "a profit below 1e-12 stays",
        "20",
        "150.000000000000000001",
        "150",
        "0.000000000000000001",
        "19.999999999999999999",
    ),
    ("a principal below 1e-12 stays", "50.000000000000000001", "200", "150", "50", "0.000000000000000001"),
    ("a withdrawal below 1e-12", "0.000000000000000003", "150.000000000000000002", "150", "2e-18", "1e-18"),
    ("no basis", "20", "200", "0", "20", "0"),
    ("negative basis", "300", "200", "-50", "250", "50"),
    ("negative equity", "20", "-10", "0", "0", "20"),
    ("both negative", "20", "-10", "-15", "5", "15"),
    ("nothing at all", "5", "0", "0", "0", "5"),
    ("38 digits", f"{'9' * 20}.{'9' * 18}", "1", f"0.{'9' * 18}", "1e-18", f"{'9' * 20}.{'9' * 17}8"),
]


@pytest.mark.parametrize(
    ("withdrawal", "equity", "basis", "profit", "principal"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_profit_first(withdrawal: str, equity: str, basis: str, profit: str, principal: str) -> None:
    parts = classify_withdrawal_basis(*map(Decimal, (withdrawal, equity, basis)))
    assert (amount_text(parts.profit), amount_text(parts.principal)) == (
        amount_text(parse_amount(profit)),
        amount_text(parse_amount(principal)),
    )
    assert parts.basis_delta == Decimal(principal).copy_negate()
    assert not parts.basis_delta.is_zero() or not parts.basis_delta.is_signed()


@pytest.mark.parametrize(
    ("withdrawal", "equity", "basis", "profit", "principal"),
    [
        ("80", "200", "150", "0", "80"),
        ("150", "200", "150", "0", "150"),
        ("180", "200", "150", "30", "150"),
        ("80", "100", "50", "30", "50"),
        ("80", "0", "0", "80", "0"),
        ("80", "200", "-10", "80", "0"),
        ("0", "200", "150", "0", "0"),
        ("150.000000000000000001", "200", "150", "0.000000000000000001", "150"),
    ],
)
def test_principal_first(withdrawal: str, equity: str, basis: str, profit: str, principal: str) -> None:
    parts = policy_named("principal_first/1")(*map(Decimal, (withdrawal, equity, basis)))
    assert (parts.profit, parts.principal) == (Decimal(profit), Decimal(principal))


# ---- for all numbers

_signed = st.integers(-(10**40), 10**40) | st.integers(-100, 100)
_not_negative = st.integers(0, 10**38 - 1) | st.integers(0, 100)
_policies = st.sampled_from(list(POLICIES.values()))


def units(count: int) -> Decimal:
    """`count` units of 10^-18, whatever the context."""
    return Decimal((int(count < 0), tuple(map(int, str(abs(count)))), -18))


def in_units(parts: Classification) -> tuple[int, int]:
    """Profit and principal in units of 10^-18; an error when they are not whole."""
    counts = [Fraction(*part.as_integer_ratio()) * UNIT for part in (parts.profit, parts.principal)]
    assert all(count.denominator == 1 for count in counts)
    return counts[0].numerator, counts[1].numerator


@given(_not_negative, _signed, _signed)
def test_profit_is_what_there_is_of_it_and_the_rest_is_principal(withdrawal: int, equity: int, basis: int) -> None:
    profit, principal = in_units(classify_withdrawal_basis(units(withdrawal), units(equity), units(basis)))
    assert profit + principal == withdrawal
    assert 0 <= profit <= max(equity - basis, 0)
    assert principal >= 0
    assert principal == 0 or profit == max(equity - basis, 0)  # principal leaves only when no profit is left


@given(_policies, _not_negative, _signed, _signed)
def test_the_parts_of_every_policy_add_up_and_are_not_negative(
    policy: Policy, withdrawal: int, equity: int, basis: int
) -> None:
    profit, principal = in_units(policy(units(withdrawal), units(equity), units(basis)))
    assert profit + principal == withdrawal
    assert min(profit, principal) >= 0


@given(_policies, _not_negative, _not_negative, _signed, _signed)
def test_two_withdrawals_divide_as_one_of_their_sum(
    policy: Policy, first: int, second: int, equity: int, basis: int
) -> None:
    """Nothing is gained by taking out in small pieces."""
    profit_one, principal_one = in_units(policy(units(first), units(equity), units(basis)))
    after = (units(equity - first), units(basis - principal_one))
    profit_two, principal_two = in_units(policy(units(second), *after))
    whole = in_units(policy(units(first + second), units(equity), units(basis)))
    assert (profit_one + profit_two, principal_one + principal_two) == whole


@given(_policies, _not_negative, _not_negative, _not_negative)
def test_a_basis_does_not_fall_below_0_by_a_withdrawal_that_the_equity_covers(
    policy: Policy, withdrawal: int, more: int, basis: int
) -> None:
    """The invariant `basis_floor`."""
    _, principal = in_units(policy(units(withdrawal), units(withdrawal + more), units(basis)))
    assert basis - principal >= 0


@given(_policies, _not_negative, _signed, _signed)
def test_the_callers_context_is_neither_used_nor_changed(
    policy: Policy, withdrawal: int, equity: int, basis: int
) -> None:
    arguments = units(withdrawal), units(equity), units(basis)
    expected = in_units(policy(*arguments))
    with localcontext(Context(prec=2, rounding=ROUND_UP)) as context:
        for signal in context.traps:
            context.traps[signal] = True
        before = repr(context)
        assert in_units(policy(*arguments)) == expected
        assert repr(context) == before


# ---- refusals and policies


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("withdrawal", ["-0.000000000000000001", "-1"])
def test_a_negative_withdrawal_is_refused_by_every_policy(name: str, withdrawal: str) -> None:
    with pytest.raises(Refused) as refused:
        POLICIES[name](Decimal(withdrawal), Decimal(200), Decimal(150))
    message = f"a withdrawal is not negative; expected a value ≥ 0, actual '{withdrawal}'"
    assert str(refused.value) == f"error[amount_must_not_be_negative]: {message}"


def test_policies_are_named_with_their_version() -> None:
    assert policy_named("profit_first/1") is classify_withdrawal_basis
    assert all(name.rpartition("/")[2].isdecimal() for name in POLICIES)


@pytest.mark.parametrize("name", ["", "profit_first", "profit_first/2", "Profit_first/1", "fifo/1"])
def test_a_policy_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(Refused) as refused:
        policy_named(name)
    message = f"there is no such withdrawal policy; expected one of {', '.join(POLICIES)}, actual '{name}'"
    assert str(refused.value) == f"error[policy_unknown]: {message}"
    assert refused.value.field == "withdrawal_policy"
