"""Futures of a book, invented by Hypothesis, and the invariants held over each of their steps.

    tested = property_test(database, "main", examples=200, seed=7)
    tested.failure                      # None, or what does not hold and the shortest future that shows it

A future goes on from the present of the book's own log, in memory (`engine.simulation`): a few days with a few events each.
Most are facts, drawn whole. A decision is drawn as a wish (half of what is there; all of the profit and a little more) that
the engine turns into an event, or refuses, in the state that the future has by then. So a future from which Hypothesis
takes events away, looking for the shortest, is one that could happen, too. Strange events are common on purpose: dust,
amounts of 38 digits, rebates, unknown fees, prices of nearly nothing, reversals of reversals.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Context, Decimal
from itertools import chain, cycle
from typing import Any, TypeAlias

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir, storage_directory

from engine.capital import plan_payout
from engine.classification import POLICIES, Policy
from engine.invariants import INVARIANTS, Invariant, Step
from engine.simulation import Present, Simulation, present_of
from engine.valuation import MAX_MARK_AGE, fresh_prices
from ledger.amounts import ZERO, add, negate, subtract, value
from ledger.book import Book, Head
from ledger.database import Database
from ledger.errors import Refused
from ledger.events import (
    EVENT_TYPES,
    REVERSIBLE,
    Adjustment,
    Baseline,
    BasisCommit,
    Deposit,
    Event,
    Fill,
    Mark,
    Reversal,
    Withdrawal,
)
from ledger.findings import Finding
from ledger.stored import json_value
from projections.basis import INITIAL_BASIS_KEY
from projections.marks import Price
from projections.pnl import total_value
from projections.state import BookState

EXAMPLES = 200
ATTEMPTS_TO_SIMPLIFY = 300
DUST = Decimal("1e-12")
# Python's default decimal context rounds to as many, so arithmetic that strays into it shows on longer ones.
DEFAULT_CONTEXT_DIGITS = 28

_QUANTUM = Decimal("1e-18")
_WIDE = Context(prec=100)
_THOUSAND = 1000
_FAR = 10**50

OnProgress = Callable[[int], None]
Policies = Mapping[str, Policy]


def _zeros(*names: str) -> Callable[[], Counter[str]]:
    return lambda: Counter(dict.fromkeys(names, 0))


@dataclass
class Statistics:
    """What was invented, up to the first failure. Each figure counts events, but for `futures` and `refused`.

    `withdrawals`, those that the engine decided: `pure_profit`, `mixed`, `in_drawdown` (all of it principal, equity below
    basis), `all_principal` (the same, without that). `reversals`: of an event `of_the_log`, or `of_the_invented`.
    `dust`: an amount of at most 10⁻¹². `long_amounts`: one of more than 28 digits. `negative_balances`: an asset that the
    event moved is below 0 after it. `refused`: wishes and events that a rule refused, by its code.
    """

    futures: int = 0
    events: Counter[str] = field(default_factory=_zeros(*(kind for kind in EVENT_TYPES if kind != "opened")))
    withdrawals: Counter[str] = field(default_factory=_zeros("pure_profit", "mixed", "in_drawdown", "all_principal"))
    reversals: Counter[str] = field(default_factory=_zeros("of_the_log", "of_the_invented"))
    rebates: int = 0
    unknown_fees: int = 0
    dust: int = 0
    long_amounts: int = 0
    negative_balances: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def count(self, step: Step, present: Head) -> None:
        """Count one event that was recorded; `present` is where the future began."""
        event, effects = step.event, step.stored.effects
        self.events[step.stored.type] += 1
        if isinstance(event, Withdrawal) and event.evidence is not None:
            self.withdrawals[_division(event)] += 1
        if isinstance(event, Reversal):
            self.reversals["of_the_log" if event.reverses <= present.version else "of_the_invented"] += 1
        if isinstance(event, Fill):
            self.rebates += event.fee_amount is not None and event.fee_amount < 0
            self.unknown_fees += event.fee_amount is None
        moved = [posting.delta for posting in effects.postings]
        self.dust += any(ZERO < amount.copy_abs() <= DUST for amount in moved)
        self.long_amounts += any(len(amount.as_tuple().digits) > DEFAULT_CONTEXT_DIGITS for amount in moved)
        self.negative_balances += any(step.after.inventory.balance(posting.asset) < 0 for posting in effects.postings)


def _division(event: Withdrawal) -> str:
    evidence = event.evidence
    assert evidence is not None
    if evidence.principal.is_zero():
        return "pure_profit"
    if evidence.profit > 0:
        return "mixed"
    return "in_drawdown" if evidence.equity_before < evidence.basis_before else "all_principal"


@dataclass(frozen=True, slots=True)
class Failure:
    """What does not hold, and the shortest future that shows it: events as `append --file` takes them, none for the log."""

    findings: Sequence[Finding]
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A property test's outcome. `head`: where the futures began."""

    book: Book
    head: Head
    seed: int
    statistics: Statistics
    failure: Failure | None


def property_test(
    database: Database,
    name: str,
    *,
    examples: int = EXAMPLES,
    seed: int,
    invariants: Mapping[str, type[Invariant]] = INVARIANTS,
    policies: Policies = POLICIES,
    on_progress: OnProgress | None = None,
) -> Verdict:
    """Hold the invariants over the log, and over every step of `examples` futures of it. Nothing is written.

    The same seed gives the same futures of the same log. `policies`, by name, are what withdrawals are decided with.
    `on_progress` gets the number of events so far, of the log and then of the futures. Raises Refused `book_unknown`;
    StorageError.
    """
    with database.reading() as connection:
        present = present_of(connection, name, invariants, on_progress)
    play = _Play(present, policies, on_progress)
    failure = Failure(present.findings, ()) if present.findings else _play_futures(play, examples, seed)
    return Verdict(present.book, present.head, seed, play.statistics, failure)


def given_fields(event: Event) -> dict[str, object]:
    """An event as a line of NDJSON names it: what was given, without what is left to default."""
    fields: dict[str, object] = {"type": event.kind}
    for name, declared in type(event).model_fields.items():
        stated = getattr(event, name)
        if stated is not None and stated != declared.default:
            fields[name] = json_value(stated)
    return fields


class _Broken(Exception):
    """An invariant does not hold in a future."""

    def __init__(self, findings: Sequence[Finding], events: Sequence[Event]) -> None:
        super().__init__(findings)
        self.failure = Failure(findings, events)


class _Enough(BaseException):
    """Ends Hypothesis's search for a simpler failure."""


def _play_futures(play: _Play, examples: int, number: int) -> Failure | None:
    """Play invented futures until one breaks, then ever simpler ones; what the shortest shows."""

    @seed(number)
    @settings(
        max_examples=examples,
        derandomize=False,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(futures(play.present))
    def hold(days: list[list[Plan]]) -> None:
        play.future(list(chain.from_iterable(days)))

    with _kept_out_of_the_folder(), suppress(_Broken, _Enough):
        hold()
    return play.shortest_failure()


@contextmanager
def _kept_out_of_the_folder() -> Iterator[None]:
    """Hypothesis keeps notes in the current folder, which is the user's; within this, in one that goes away."""
    home = storage_directory(intent_to_write=False).home_directory
    with tempfile.TemporaryDirectory(prefix="netbasis-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(home)


class _Play:
    """Plays futures, and counts what happens in them until one is broken."""

    def __init__(self, present: Present, policies: Policies, on_progress: OnProgress | None) -> None:
        self.present = present
        self.statistics = Statistics()
        self._policies = policies
        self._on_progress = on_progress
        self._attempts = 0
        self._broken: list[Plan] = []
        self._failure: Failure | None = None

    def future(self, plans: list[Plan]) -> None:
        """Play one future. Raises _Broken; _Enough when the search for a simpler one takes too long."""
        if self._failure is not None:
            self._attempts += 1
            if self._attempts > ATTEMPTS_TO_SIMPLIFY:
                raise _Enough
            self._play(plans, Statistics())
            return
        self._play(plans, self.statistics)
        self.statistics.futures += 1
        if self._on_progress is not None:
            self._on_progress(self.statistics.events.total())

    def shortest_failure(self) -> Failure | None:
        """What the shortest broken future shows, out of which no plan can be taken; None when every one held."""
        index = len(self._broken)
        while index > 0:
            index -= 1
            before = len(self._broken)
            with suppress(_Broken):
                self._play(self._broken[:index] + self._broken[index + 1 :], Statistics())
            if len(self._broken) < before:
                index = len(self._broken)
        return self._failure

    def _play(self, plans: list[Plan], statistics: Statistics) -> None:
        """Play one future, and keep it when it is broken and no longer than the one that is kept. Raises _Broken."""
        simulation = Simulation(self.present)
        try:
            self._play_in(simulation, plans, statistics)
        except _Broken as broken:
            kept = self._failure
            if kept is None or (len(broken.failure.events), len(plans)) <= (len(kept.events), len(self._broken)):
                self._broken, self._failure = plans, broken.failure
            raise

    def _play_in(self, simulation: Simulation, plans: list[Plan], statistics: Statistics) -> None:
        try:
            for plan in plans:
                self._turn(plan, simulation, statistics)
        except _Broken:
            raise
        except Exception as error:
            # Whatever the program itself stumbles over is what a property test is for.
            found = Finding("program", simulation.head.version + 1, f"{type(error).__name__}: {error}")
            raise _Broken([found], simulation.recorded) from error

    def _turn(self, plan: Plan, simulation: Simulation, statistics: Statistics) -> None:
        """One plan, carried out or refused."""
        try:
            event = plan if plan is None or isinstance(plan, Event) else plan.event(simulation, self._policies)
            if event is None:
                return
            step = _recorded(event, simulation, is_decided=isinstance(plan, Withdraw))
        except Refused as refused:
            statistics.refused[refused.code] += 1
            return
        findings = simulation.observe(step)
        if findings:
            raise _Broken(findings, simulation.recorded)
        statistics.count(step, self.present.head)


def _recorded(event: Event, simulation: Simulation, *, is_decided: bool) -> Step:
    """Raises Refused; _Broken when the log refuses what the engine decided a moment ago."""
    try:
        return simulation.record(event)
    except Refused as refused:
        if not is_decided:
            raise
        detail = f"the log refuses the withdrawal that the engine decided: {refused.what}"
        version = simulation.head.version + 1
        found = Finding("withdrawal_neutral", version, detail, refused.expected, refused.actual)
        keyed = event.model_copy(update={"key": simulation.next_key()})
        raise _Broken([found], [*simulation.recorded, keyed]) from refused


@dataclass(frozen=True)
class Withdraw:
    """A wish to take capital out, which the engine classifies.

    `asset`: the how manieth of those held. `aim`: a `share` of its balance in thousandths, or `dust`; or, of the asset that
    is worth most, all of the `profit`, or `more` than it by a share of the basis. `prices`: given for the assets held, in
    turn; none: the newest marks.
    """

    asset: int
    aim: str
    share: int
    prices: tuple[Decimal, ...]

    def event(self, simulation: Simulation, policies: Policies) -> Withdrawal:
        """The event. Raises Refused where the engine refuses."""
        return self.decided(simulation, simulation.state, policies)

    def decided(self, simulation: Simulation, state: BookState, policies: Policies) -> Withdrawal:
        """The event as it is decided from a state of the simulation's book."""
        book, now = simulation.book, simulation.now()
        given_prices = {
            asset: Price(price, "given", now)
            for asset, price in zip(state.inventory.held(), cycle(self.prices or [None]), strict=False)
            if price is not None and asset != book.numeraire
        }
        prices = fresh_prices(state, book, given_prices, at=now, max_mark_age=MAX_MARK_AGE)
        asset, amount = self._asset_and_amount(state, prices, book)
        wish = Withdrawal(asset=asset, amount=max(amount, _QUANTUM), basis_delta=ZERO)
        payout = plan_payout(wish, book, state, prices, at=now)
        evidence = payout.evidence
        parts = policies[book.withdrawal_policy](payout.value, evidence.equity_before, evidence.basis_before)
        divided = evidence.model_copy(update={"profit": parts.profit, "principal": parts.principal})
        return payout.event.model_copy(update={"basis_delta": parts.basis_delta, "evidence": divided})

    def _asset_and_amount(self, state: BookState, prices: Mapping[str, Price], book: Book) -> tuple[str, Decimal]:
        balances = {asset: state.inventory.balance(asset) for asset in state.inventory.held()}
        there = [asset for asset, balance in balances.items() if balance > 0]
        if not there:
            return book.numeraire, _QUANTUM
        basis = state.basis.net_basis
        share = _decimal(self.share, 3)
        profit = subtract(total_value(state.inventory, prices, book.numeraire), basis)
        if self.aim in ("profit", "more") and profit > 0:
            more = value(max(basis, ZERO), share) if self.aim == "more" else ZERO
            price_of = {asset: prices[asset].price if asset in prices else Decimal(1) for asset in there}
            richest = max(there, key=lambda asset: value(balances[asset], price_of[asset]))
            wished = value(_WIDE.divide(add(profit, more), price_of[richest]), Decimal(1))
            return richest, min(wished, balances[richest])
        asset = there[self.asset % len(there)]
        wished = value(_QUANTUM, Decimal(self.share)) if self.aim == "dust" else value(balances[asset], share)
        return asset, min(wished, balances[asset])


@dataclass(frozen=True)
class WithdrawLate:
    """A withdrawal that was decided before the newest event, by a caller who does not know of that."""

    wish: Withdraw

    def event(self, simulation: Simulation, policies: Policies) -> Withdrawal:
        """The event, which the log refuses when the newest event moved what it was decided from."""
        return self.wish.decided(simulation, simulation.before, policies)


@dataclass(frozen=True)
class Reverse:
    """A reversal of the how manieth event back, of the log's or of the invented ones, of a kind.

    Where there is none such, of any: so what is reversed seldom changes when other plans are taken out. `may_be_refused`:
    of all that can be found, else of those that may be reversed.
    """

    of_the_log: bool
    kind: str
    back: int
    may_be_refused: bool

    def event(self, simulation: Simulation, policies: Policies) -> Reversal | None:
        """The event; None when there is nothing to reverse."""
        del policies
        found = list(simulation.events.values())[::-1] if self.may_be_refused else simulation.standing()
        found = [event for event in found if simulation.is_invented(event) is not self.of_the_log] or found
        found = [event for event in found if event.type == self.kind] or found
        return Reversal(reverses=found[self.back % len(found)].version) if found else None


@dataclass(frozen=True)
class Backfill:
    """A synthetic initial basis, where none stands."""

    amount: Decimal

    def event(self, simulation: Simulation, policies: Policies) -> BasisCommit | None:
        """The event; None when one stands."""
        del policies
        if simulation.state.basis.initial_basis_version is not None:
            return None
        # Whatever stands behind the # makes the key new, also where an earlier one was reversed.
        return BasisCommit(basis_delta=self.amount, key=f"{INITIAL_BASIS_KEY}#{simulation.head.version + 1}")


# None is a quiet hour. It is there for the shrinking, which turns what does not matter into it, and then drops it.
Plan: TypeAlias = Event | Withdraw | WithdrawLate | Reverse | Backfill | None
_Amounts: TypeAlias = st.SearchStrategy[Decimal]


def futures(present: Present) -> st.SearchStrategy[list[list[Plan]]]:
    """A few days, each with a few plans: quiet ones, whose amounts are a desk's, and wild ones."""
    return st.one_of(_days(_plans(present, _quiet_amounts())), _days(_plans(present, _wild_amounts())))


def _days(plan: st.SearchStrategy[Plan]) -> st.SearchStrategy[list[list[Plan]]]:
    return st.lists(st.lists(plan, min_size=1, max_size=8), min_size=1, max_size=8)


def _plans(present: Present, amount: _Amounts) -> st.SearchStrategy[Plan]:
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
        (1, st.builds(Backfill, amount)),
        (1, draw.recorded_withdrawal()),
        (1, st.builds(WithdrawLate, draw.withdraw())),
    )


@dataclass(frozen=True)
class _Draws:
    """The plans that take more than a line. `other`: an asset other than the numeraire; `asset`: any."""

    book: Book
    other: st.SearchStrategy[str]
    asset: st.SearchStrategy[str]
    amount: _Amounts
    at: st.SearchStrategy[datetime]

    def fill(self) -> st.SearchStrategy[Fill]:
        """Mostly against the numeraire; the fee unknown, paid, a rebate or none."""
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
        """Mostly with the basis left to the program."""
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
        """A withdrawal as somebody else decided it, without evidence."""
        return st.builds(
            lambda priced, **fields: Withdrawal(asset=priced[0], price=priced[1], **fields),
            self._priced(),
            amount=self.amount,
            basis_delta=st.one_of(self.amount.map(negate), st.just(ZERO)),
            at=self.at,
        )

    def withdraw(self) -> st.SearchStrategy[Withdraw]:
        """A wish to take capital out."""
        given_prices = st.lists(_prices(), min_size=1, max_size=3).map(tuple)
        return st.builds(
            Withdraw,
            asset=st.integers(0, 7),
            aim=st.sampled_from(["share", "more", "profit", "more", "dust", "more"]),
            share=_whole(1, _THOUSAND),
            prices=_mostly(given_prices, st.just(())),
        )

    def reverse(self) -> st.SearchStrategy[Reverse]:
        """A wish to take an event back."""
        kind = st.sampled_from([*sorted(REVERSIBLE), "mark", "reversal", "opened"])
        return st.builds(Reverse, st.booleans(), kind, st.integers(0, 7), _mostly(st.just(False), st.just(True)))

    def _priced(self) -> st.SearchStrategy[tuple[str, Decimal | None]]:
        """An asset and its price; the numeraire has none, but for a few that the rules refuse."""
        numeraire = st.just((self.book.numeraire, None))
        wrong = st.one_of(st.tuples(st.just(self.book.numeraire), _prices()), st.tuples(self.other, st.none()))
        return _weighted((6, numeraire), (4, st.tuples(self.other, _prices())), (1, wrong))


def _mostly(usual: st.SearchStrategy[Any], unusual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return _weighted((3, usual), (1, unusual))


def _weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Each strategy as often as its weight says (`one_of` draws all alike). The first is the simplest."""
    strategies = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.sampled_from(range(len(strategies))).flatmap(strategies.__getitem__)


def _whole(low: int, high: int) -> st.SearchStrategy[int]:
    """A whole number, `low` the simplest.

    Hypothesis now and then draws a number that stands in a module which the process has loaded. So far out it finds none,
    and the same seed gives the same numbers in every process.
    """
    return st.integers(_FAR + low, _FAR + high).map(lambda number: number - _FAR)


def _decimal(digits: int, decimals: int) -> Decimal:
    return Decimal(f"{digits}E-{decimals}")


def _quiet_amounts() -> _Amounts:
    """What a desk trades: at most 10,000, with 6 decimals."""
    return st.builds(_decimal, _whole(1, 10_000), st.integers(0, 6))


def _wild_amounts() -> _Amounts:
    """All that fits: among it dust, XRPL tokens of 16 digits, and the longest."""
    token = st.builds(_decimal, _whole(10**15, 10**16 - 1), st.integers(10, 18))
    dust = st.builds(_decimal, _whole(1, 10**6), st.just(18))
    longest = st.builds(_decimal, _whole(10**37, 10**38 - 1), st.just(18))
    return st.one_of(_quiet_amounts(), token, dust, longest)


def _prices() -> _Amounts:
    everyday = st.builds(_decimal, _whole(1, 10_000), st.integers(0, 4))
    precise = st.builds(_decimal, _whole(1, 10**19), st.just(18))
    return st.one_of(everyday, precise)


def _signed(amount: _Amounts) -> _Amounts:
    return st.one_of(amount, amount.map(negate))
