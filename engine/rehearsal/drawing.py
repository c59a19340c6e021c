"""Drawing the days of a future with Hypothesis: quiet ones and wild ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from hypothesis import strategies as st

from engine.rehearsal.simulation import Present
from engine.rehearsal.wishes import BackfillWish, LateWithdrawWish, ReverseWish, Turn, WithdrawWish
from ledger.amounts import ZERO, negate
from ledger.book import Book
from ledger.events import REVERSIBLE, Adjustment, Baseline, BasisCommit, Deposit, Fill, Mark, Withdrawal

_THOUSAND = 1000
_FAR = 10**70

_Amounts: TypeAlias = st.SearchStrategy[Decimal]


def futures(present: Present) -> st.SearchStrategy[list[list[Turn]]]:
    """Futures: a few days with a few turns each, either quiet (the amounts of a desk) or wild."""
    return st.one_of(_days(_turns(present, _quiet_amounts())), _days(_turns(present, _wild_amounts())))


def _days(turn: st.SearchStrategy[Turn]) -> st.SearchStrategy[list[list[Turn]]]:
    return st.lists(st.lists(turn, min_size=1, max_size=8), min_size=1, max_size=8)


def _turns(present: Present, amount: _Amounts) -> st.SearchStrategy[Turn]:
    book = present.book
    others = sorted({book.base_asset, *present.state.inventory, "INVENTED"} - {book.numeraire})
    at = _whole(0, 5760).map(lambda n: present.head.recorded_at + timedelta(minutes=n // 2 if n % 2 else -n // 2))
    draw = _Draws(book, st.sampled_from(others), st.sampled_from([book.numeraire, *others]), amount, at)
    return _weighted(
        (1, st.none()),
        (5, draw.deposit()),
        (6, draw.fill()),
        (8, draw.withdraw()),
        (2, st.builds(Mark, asset=draw.other, price=_prices(), price_source=st.sampled_from([None, "venue"]), at=at)),
        (3, draw.reverse()),
        (1, st.builds(Adjustment, asset=draw.asset, amount=_signed(amount), reason=st.just("reconciliation"), at=at)),
        (1, st.builds(Baseline, starting_value=_signed(amount), at=at)),
        (1, st.builds(BasisCommit, basis_delta=_signed(amount), at=at)),
        (1, st.builds(BackfillWish, amount)),
        (1, draw.recorded_withdrawal()),
        (1, st.builds(LateWithdrawWish, draw.withdraw())),
    )


@dataclass(frozen=True)
class _Draws:
    """The turns that take more than a line to draw.

    book:    the book's terms
    other:   an asset other than the numeraire
    asset:   any asset
    amount:  an amount > 0
    at:      a time
    """

    book: Book
    other: st.SearchStrategy[str]
    asset: st.SearchStrategy[str]
    amount: _Amounts
    at: st.SearchStrategy[datetime]

    def fill(self) -> st.SearchStrategy[Fill]:
        """A fill, mostly against the numeraire; its fee is unknown, paid, a rebate or 0."""
        fee = st.one_of(
            st.just((None, None)),
            st.tuples(self.asset, self.amount),
            st.tuples(self.asset, self.amount.map(negate)),
            st.tuples(self.asset, st.just(ZERO)),
        )
        return st.builds(
            lambda fee, **fields: Fill(fee_asset=fee[0], fee_amount=fee[1], **fields),
            fee,
            side=st.sampled_from(["buy", "sell"]),
            base_asset=self.other,
            base_amount=self.amount,
            quote_asset=_mostly(st.just(self.book.numeraire), self.asset),
            quote_amount=self.amount,
            at=self.at,
        )

    def deposit(self) -> st.SearchStrategy[Deposit]:
        """A deposit, mostly with its basis left to default."""
        given_basis = st.builds(lambda delta: {"basis_delta": delta}, _signed(self.amount))
        unusual = st.one_of(given_basis, st.just({"basis_unknown": True}))
        computed: st.SearchStrategy[dict[str, object]] = st.just({})
        return st.builds(
            lambda priced, basis, **fields: Deposit(asset=priced[0], price=priced[1], **basis, **fields),
            self._priced(),
            _mostly(computed, unusual),
            amount=self.amount,
            at=self.at,
        )

    def recorded_withdrawal(self) -> st.SearchStrategy[Withdrawal]:
        """A withdrawal that somebody else decided, without evidence."""
        return st.builds(
            lambda priced, **fields: Withdrawal(asset=priced[0], price=priced[1], **fields),
            self._priced(),
            amount=self.amount,
            basis_delta=st.one_of(self.amount.map(negate), st.just(ZERO)),
            at=self.at,
        )

    def withdraw(self) -> st.SearchStrategy[WithdrawWish]:
        """A wish to take capital out."""
        given_prices = st.lists(_prices(), min_size=1, max_size=3).map(tuple)
        return st.builds(
            WithdrawWish,
            asset=st.integers(0, 7),
            aim=st.sampled_from(["share", "more", "profit", "more", "dust", "more"]),
            share=_whole(1, _THOUSAND),
            prices=_mostly(given_prices, st.just(())),
        )

    def reverse(self) -> st.SearchStrategy[ReverseWish]:
        """A wish to take an event back."""
        kind = st.sampled_from([*sorted(REVERSIBLE), "reversal", "opened"])
        return st.builds(ReverseWish, st.booleans(), kind, st.integers(0, 7), _mostly(st.just(False), st.just(True)))

    def _priced(self) -> st.SearchStrategy[tuple[str, Decimal | None]]:
        """An asset and its price; a few are wrong and will be refused."""
        numeraire = st.just((self.book.numeraire, None))
        wrong = st.one_of(st.tuples(st.just(self.book.numeraire), _prices()), st.tuples(self.other, st.none()))
        return _weighted((6, numeraire), (4, st.tuples(self.other, _prices())), (1, wrong))


def _mostly(usual: st.SearchStrategy[Any], unusual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _weighted((3, usual), (1, unusual))


def _weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Draw each strategy as often as its weight says (`one_of` draws all equally often). The first is the simplest."""
    strategies = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.sampled_from(range(len(strategies))).flatmap(strategies.__getitem__)


def _whole(low: int, high: int) -> st.SearchStrategy[int]:
    """An integer; `low` is the simplest.

    Hypothesis sometimes draws constants that it finds in the modules of the process. In this range it finds none, so the
    same seed gives the same numbers in every process.
    """
    return st.integers(_FAR + low, _FAR + high).map(lambda number: number - _FAR)


def _decimal(digits: int, decimals: int) -> Decimal:
    return Decimal(f"{digits}E-{decimals}")


def _quiet_amounts() -> _Amounts:
    """Amounts that a desk trades: at most 10,000, with up to 6 decimals."""
    return st.builds(_decimal, _whole(1, 10_000), st.integers(0, 6))


def _wild_amounts() -> _Amounts:
    """Any amount that is allowed, among them dust, XRPL tokens of 16 digits, and the longest amounts."""
    token = st.builds(_decimal, _whole(10**15, 10**16 - 1), st.integers(10, 36))
    dust = st.builds(_decimal, _whole(1, 10**6), st.just(36))
    longest = st.builds(_decimal, _whole(10**55, 10**56 - 1), st.just(36))
    return st.one_of(_quiet_amounts(), token, dust, longest)


def _prices() -> _Amounts:
    everyday = st.builds(_decimal, _whole(1, 10_000), st.integers(0, 4))
    precise = st.builds(_decimal, _whole(1, 10**19), st.just(18))
    return st.one_of(everyday, precise)


def _signed(amount: _Amounts) -> _Amounts:
    return st.one_of(amount, amount.map(negate))
