"""What the stateful test draws, and how it becomes the fields of an event in a book as it is by then.

A wish is a handful of numbers and choices. It is made concrete only when its step comes, so that most wishes fit the book
(a reversal finds something to reverse), and so that Hypothesis can take steps out and the rest still means something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from ledger.events import Event, event_from
from tests.engine.stateful_model import ONE, Entry, Fields, ModelBook, product, text_of, units
from tests.support import START

ASSETS = ("XRP", "BTC", "RLUSD", "USD")
FACTS = ("fill", "fill", "deposit", "deposit", "mark", "adjustment", "baseline", "basis_commit", "withdrawal")
BACKWARD = ("reversal", "reversal", "correction", "repeat")
FIGURES_OF_EVIDENCE = ("equity_before", "basis_before", "profit", "principal", "policy", "marks", "basis_delta")

Number = tuple[str, int, int]
FAR = 10**50


def whole(high: int) -> st.SearchStrategy[int]:
    """A number from 0. So far out that Hypothesis finds none in the modules that happen to be loaded, and draws it now and
    then: so the runs are the same whatever else the process has loaded."""
    return st.integers(FAR, FAR + high).map(lambda number: number - FAR)


NUMBERS = st.tuples(st.sampled_from(["quiet", "token", "dust", "long"]), whole(10**18), st.integers(0, 6))


@dataclass(frozen=True)
class Wish:
    """What a step draws."""

    kind: str
    book: int
    asset: int
    other: int
    amount: Number
    second: Number
    price: Number
    choice: int
    pick: int
    minutes: int | None


def wishes(*kinds: str) -> st.SearchStrategy[Wish]:
    """Wishes of these kinds."""
    small = st.integers(0, 11)
    return st.builds(
        Wish,
        kind=st.sampled_from(kinds),
        book=small,
        asset=small,
        other=small,
        amount=NUMBERS,
        second=NUMBERS,
        price=NUMBERS,
        choice=small,
        pick=st.integers(0, 30),
        minutes=st.one_of(st.none(), whole(4000).map(lambda number: number - 2000)),
    )


class Clock:
    """A clock that stands until somebody moves it."""

    now = START

    def __call__(self) -> datetime:
        return self.now


class Wisher:
    """Makes wishes concrete. In a wild run with every amount that fits, else with those of a desk."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_wild = False

    def number(self, wish: Number) -> int:
        """An amount > 0 that fits."""
        kind, n, decimals = wish
        if not self.is_wild or kind == "quiet":
            return int((n % 10_000 + 1) * 10 ** (18 - decimals))
        if kind == "token":
            return int((10**15 + n % (9 * 10**15)) * 10**decimals)
        if kind == "dust":
            return n % 10**6 + 1
        return 10**37 + (n * n * 7 + n) % (9 * 10**37)

    def amount(self, wish: Number) -> str:
        """The same as a text, sometimes with a zero more than it needs."""
        text = text_of(self.number(wish))
        return f"{text}0" if "." in text and len(text.partition(".")[2]) < 18 and wish[1] % 5 == 0 else text

    def price(self, wish: Wish) -> str:
        """A price: an everyday one, or one of nearly nothing."""
        kind, n, decimals = wish.price
        is_tiny = self.is_wild and kind == "dust"
        return text_of(n % 10**6 + 1 if is_tiny else (n % 10_000 + 1) * int(10 ** (18 - decimals)))

    def fields(self, wish: Wish, book: ModelBook) -> Fields:
        """The fields of the event that a wish becomes."""
        make: Callable[[Wish, ModelBook], Fields] = getattr(self, wish.kind)
        made = make(wish, book)
        if wish.minutes is not None and wish.kind not in ("reversal", "repeat"):
            made["at"] = self.clock.now + timedelta(minutes=wish.minutes)
        return made

    def fill(self, wish: Wish, book: ModelBook) -> Fields:
        """A fill; its fee unknown, none, a rebate or paid."""
        made: Fields = {
            "type": "fill",
            "side": ("buy", "sell")[wish.choice % 2],
            "base_asset": other_asset(book, wish.asset),
            "base_amount": self.amount(wish.amount),
            "quote_asset": book.numeraire if wish.other < 9 else any_asset(book, wish.other),
            "quote_amount": self.amount(wish.second),
        }
        amount = self.amount(wish.price)
        fee = (None, "0", f"-{amount}", amount, None, f"-{amount}")[(wish.choice // 2 + wish.pick) % 6]
        if fee is not None:
            made |= {"fee_asset": any_asset(book, wish.asset + wish.other), "fee_amount": fee}
        return made

    def priced(self, wish: Wish, book: ModelBook) -> Fields:
        """An asset and an amount, with a price where one belongs, but for a few."""
        asset = any_asset(book, wish.asset)
        made = {"asset": asset, "amount": self.amount(wish.amount)}
        is_priced = (asset != book.numeraire) is not (wish.pick == 30)
        return made | ({"price": self.price(wish)} if is_priced else {})

    def deposit(self, wish: Wish, book: ModelBook) -> Fields:
        """A deposit; its basis computed, given or unknown."""
        given = self.amount(wish.second)
        choices: dict[int, Fields] = {
            7: {"basis_unknown": True},
            8: {"basis_unknown": True},
            9: {"basis_delta": f"-{given}"},
            10: {"basis_unknown": True},
            11: {"basis_delta": given},
        }
        return {"type": "deposit", **self.priced(wish, book), **choices.get(wish.choice, {})}

    def withdrawal(self, wish: Wish, book: ModelBook) -> Fields:
        """A withdrawal as somebody else classified it, without evidence."""
        basis_delta = "0" if wish.choice % 2 else f"-{self.amount(wish.second)}"
        return {"type": "withdrawal", **self.priced(wish, book), "basis_delta": basis_delta}

    def mark(self, wish: Wish, book: ModelBook) -> Fields:
        """A mark; of the numeraire it is refused."""
        source = {} if wish.choice % 2 else {"price_source": "venue"}
        asset = book.numeraire if wish.asset == 11 else other_asset(book, wish.asset)
        return {"type": "mark", "asset": asset, "price": self.price(wish), **source}

    def adjustment(self, wish: Wish, book: ModelBook) -> Fields:
        """A balance changes."""
        return {
            "type": "adjustment",
            "asset": any_asset(book, wish.asset),
            "amount": self._signed(wish),
            "reason": "network_fee" if wish.choice % 3 == 0 else "dust",
        }

    def baseline(self, wish: Wish, book: ModelBook) -> Fields:
        """The starting value is set."""
        return {"type": "baseline", "starting_value": self._signed(wish)}

    def basis_commit(self, wish: Wish, book: ModelBook) -> Fields:
        """A basis commit; where none stands, often the synthetic initial one."""
        made: Fields = {"type": "basis_commit", "basis_delta": self._signed(wish)}
        if wish.pick % 2 and not book.figures().has_initial_basis:
            made["key"] = f"synthetic_initial_basis#{book.version + 1}"
        return made

    def reversal(self, wish: Wish, book: ModelBook) -> Fields:
        """A reversal, mostly of what may be reversed."""
        standing = book.standing()
        if wish.asset < 6:  # one whose fee is known, where there is one
            standing = [entry for entry in standing if entry.fee is not None] or standing
        if wish.choice < 9 and standing:
            version = standing[-1 - wish.pick % len(standing)].version
        else:
            version = 1 + wish.pick % (book.version + 1)
        given = {"at": self.clock.now + timedelta(minutes=wish.minutes or 0)} if wish.choice % 3 == 0 else {}
        return {"type": "reversal", "reverses": version, "reason": "a mistake", **given}

    def correction(self, wish: Wish, book: ModelBook) -> Fields:
        """An adjustment that corrects an event which was reversed, or should have been."""
        undone = [entry.version for entry in book.entries if book.reversal_of(entry.version)]
        is_right = wish.choice < 9 and len(undone) > 0
        version = undone[wish.pick % len(undone)] if is_right else 1 + wish.pick % (book.version + 2)
        return {**self.adjustment(wish, book), "corrects": version}

    def repeat(self, wish: Wish, book: ModelBook) -> Fields:
        """An event that is there already, as it was given."""
        entry = book.entries[wish.pick % book.version]
        return {**entry.fields, "key": entry.key}

    def wanted(self, book: ModelBook, wish: Wish, aim: str, prices: dict[str, int]) -> tuple[str, int]:
        """The asset and amount that somebody would like to take out."""
        now = book.figures()
        there = [asset for asset in now.held() if now.balance(asset) > 0]
        if not there or aim == "any":
            return any_asset(book, wish.asset), self.number(wish.amount)
        asset = there[wish.asset % len(there)]
        if aim == "all":
            return asset, now.balance(asset)
        share = max(now.balance(asset) * (wish.pick + 1) // 31, 1)
        known = {held: mark[0] for held, mark in now.marks.items()} | prices | {book.numeraire: ONE}
        if aim in ("profit", "more") and set(now.held()) <= set(known):
            asset = max(there, key=lambda held: product(now.balance(held), known[held]))
            profit = now.equity(known, book.numeraire) - now.net_basis
            more = max(now.net_basis, 0) * (wish.pick + 1) // 31 if aim == "more" else 0
            wanted = (profit + more) * ONE // known[asset] if profit > 0 else share
            return asset, max(min(wanted, now.balance(asset)), 1)
        return asset, min(wish.pick + 1, now.balance(asset)) if aim == "dust" else share

    def prices(self, book: ModelBook, wish: Wish) -> dict[str, int]:
        """Prices of the assets held; every third time none, so that the marks must do."""
        return self.all_prices(book, wish) if wish.choice % 3 else {}

    def all_prices(self, book: ModelBook, wish: Wish) -> dict[str, int]:
        """A price of every asset held but the numeraire."""
        held = [asset for asset in book.figures().held() if asset != book.numeraire]
        return {asset: units(self.price(wish)) + n for n, asset in enumerate(held)}

    def decided(self, book: ModelBook, asset: str, amount: int, used: dict[str, int], given: dict[str, int]) -> Fields:
        """The withdrawal as the model classifies it, with its evidence; `given` prices were not taken from marks."""
        now = book.figures_now(self.clock.now)
        price = {} if asset == book.numeraire else {"price": text_of(used[asset])}
        worth = amount if asset == book.numeraire else product(amount, used[asset])
        equity = now.equity(used, book.numeraire)
        profit, principal = book.division(worth, equity)
        marks = []
        for held, used_price in sorted(used.items()):
            source, at = ("desk", self.clock.now) if held in given else now.marks[held][1:]
            named = {} if source is None else {"source": source}
            marks.append({"asset": held, "price": text_of(used_price), **named, "at": stamp(at)})
        evidence = {
            "equity_before": text_of(equity),
            "basis_before": text_of(now.net_basis),
            "profit": text_of(profit),
            "principal": text_of(principal),
            "marks": marks,
            "policy": book.policy,
        }
        money = {"asset": asset, "amount": text_of(amount), **price, "basis_delta": text_of(-principal)}
        return {"type": "withdrawal", **money, "evidence": evidence}

    def _signed(self, wish: Wish) -> str:
        amount = self.amount(wish.amount)
        return f"-{amount}" if wish.choice % 2 else amount


def other_asset(book: ModelBook, index: int) -> str:
    """An asset other than the numeraire."""
    others = [asset for asset in ASSETS if asset != book.numeraire]
    return others[index % len(others)]


def any_asset(book: ModelBook, index: int) -> str:
    """An asset, half the time the numeraire."""
    return book.numeraire if index % 2 else other_asset(book, index // 2)


def event_of(fields: Fields) -> Event:
    """The event of these fields."""
    return event_from(fields)


def stamp(time: datetime) -> str:
    """The canonical text of a time."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def forged(fields: Fields, name: str) -> Fields:
    """A withdrawal whose evidence is off in one figure by the least there is, its parts still adding up where they can."""
    evidence = dict(fields["evidence"])
    made = {**fields, "evidence": evidence}
    match name:
        case "policy":
            evidence["policy"] = "profit_last/1"
        case "marks":
            evidence["marks"] = [*evidence["marks"], {"asset": "GHOST", "price": "1", "at": stamp(START)}]
        case "basis_delta":
            made["basis_delta"] = text_of(units(fields["basis_delta"]) - 1)
        case _:
            evidence[name] = text_of(units(evidence[name]) + 1)
    return made


def differing(fields: Fields, there: Entry) -> list[str]:
    """The names of the given fields whose values are not those of the entry; what is not given is not compared."""
    if fields["type"] != there.kind:
        return ["type"]
    return [name for name in fields if name != "key" and _plain(fields[name]) != _plain(there.fields.get(name))]


def _plain(value: Any) -> Any:
    """A value in which amounts that are equal are equal."""
    if isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdecimal():
        return units(value)
    return value


# A field of each type, and a content that it does not have.
OTHER_CONTENT = {
    "fill": ("quote_amount", "123456.5"),
    "deposit": ("amount", "123456.5"),
    "withdrawal": ("amount", "123456.5"),
    "basis_commit": ("basis_delta", "123456.5"),
    "mark": ("price", "123456.5"),
    "adjustment": ("amount", "123456.5"),
    "baseline": ("starting_value", "123456.5"),
    "reversal": ("reason", "another"),
}

_FILL = {"type": "fill", "side": "buy", "base_asset": "XRP", "base_amount": "1", "quote_amount": "1"}
_DEPOSIT = {"type": "deposit", "asset": "NUMERAIRE", "amount": "1"}
_COMMIT = {"type": "basis_commit", "basis_delta": "5"}
_OUT = {"type": "withdrawal", "asset": "NUMERAIRE", "amount": "1"}

# What no book takes, whatever its log; NUMERAIRE stands for the book's.
ILLEGAL: tuple[tuple[str, Fields], ...] = (
    ("amount_must_be_positive", {**_DEPOSIT, "amount": "0"}),
    ("amount_must_be_positive", {**_OUT, "amount": "-1", "basis_delta": "0"}),
    ("amount_must_not_be_zero", {"type": "adjustment", "asset": "XRP", "amount": "0", "reason": "dust"}),
    ("amount_too_precise", {**_DEPOSIT, "amount": "0.0000000000000000000000000000000000001"}),
    ("amount_too_precise", {**_DEPOSIT, "amount": "123456789012345678.1234567890123456789012345678901234567"}),
    ("amount_out_of_range", {**_DEPOSIT, "amount": "100000000000000000000"}),
    ("amount_malformed", {**_DEPOSIT, "amount": "1,5"}),
    ("number_not_quoted", {**_DEPOSIT, "amount": 1.5}),
    ("price_must_be_positive", {**_DEPOSIT, "asset": "XRP", "price": "0"}),
    ("price_must_not_be_negative", {"type": "mark", "asset": "XRP", "price": "-1"}),
    ("asset_is_pair", {**_DEPOSIT, "asset": "XRP/USDT", "price": "1"}),
    ("tags_malformed", {**_FILL, "quote_asset": "NUMERAIRE", "tags": "arb"}),
    ("price_must_be_absent", {**_DEPOSIT, "price": "1"}),
    ("price_must_be_absent", {**_COMMIT, "price": "1"}),
    ("price_required", {**_DEPOSIT, "asset": "XRP"}),
    ("value_out_of_range", {**_DEPOSIT, "asset": "XRP", "amount": "10000000000000000000", "price": "10"}),
    ("basis_delta_and_unknown", {**_DEPOSIT, "basis_delta": "1", "basis_unknown": True}),
    ("basis_delta_must_not_be_positive", {**_OUT, "basis_delta": "0.000000000000000001"}),
    ("field_required", _OUT),
    ("field_unknown", {**_DEPOSIT, "fee": "1"}),
    ("type_unknown", {**_DEPOSIT, "type": "gift"}),
    ("choice_unknown", {**_FILL, "side": "long", "quote_asset": "NUMERAIRE"}),
    ("assets_must_differ", {**_FILL, "quote_asset": "XRP"}),
    ("fee_asset_required", {**_FILL, "quote_asset": "NUMERAIRE", "fee_amount": "0"}),
    ("asset_must_be_numeraire", {**_COMMIT, "asset": "XRP"}),
    ("amount_must_equal_basis_delta", {**_COMMIT, "amount": "5.000000000000000001"}),
    ("asset_must_not_be_numeraire", {"type": "mark", "asset": "NUMERAIRE", "price": "1"}),
    ("asset_has_blank", {**_DEPOSIT, "asset": "X RP"}),
    ("text_has_control_character", {**_DEPOSIT, "source_note": "a\x00b"}),
    ("time_without_zone", {**_DEPOSIT, "at": "2026-01-05T09:00:00"}),
    ("version_malformed", {"type": "reversal", "reverses": 0}),
    ("book_differs", {**_DEPOSIT, "book": "another"}),
    ("book_already_open", {"type": "opened", "mode": "live", "key": "again"}),
)
