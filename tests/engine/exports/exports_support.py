"""Books of every kind of event, as Hypothesis invents them, and what they add up to."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from engine.bookkeeper import Bookkeeper
from engine.capital.request import Movement, carry_out
from engine.capital.withdrawal import WithdrawalRequest
from ledger.errors import NetbasisError
from ledger.events import Event, event_from
from ledger.times import time_text
from projections.inventory import Holding
from projections.pnl import pnl
from tests.support import BOOK, START

ASSETS = ("RLUSD", "XRP", "BTC")
AMOUNTS = st.sampled_from(["1", "2.5", "100", "0.000000000000000000000000000000000001", "39.27"])
Step = dict[str, Any]


def _at() -> st.SearchStrategy[str | None]:
    return st.none() | st.integers(0, 40).map(lambda days: time_text(START - timedelta(days=days)))


_FIRST: list[Step] = [
    {"type": "deposit", "asset": "RLUSD", "amount": "1000", "key": "first"},
    {"type": "deposit", "asset": "XRP", "amount": "100", "price": "1.3314", "key": "second"},
    {"type": "mark", "asset": "XRP", "price": "1.4", "key": "third"},
    {"type": "mark", "asset": "BTC", "price": "9", "key": "fourth"},
]


@st.composite
def steps(draw: DrawFn) -> list[Step]:
    """What is done to a book, in order; a step that is refused leaves no trace."""
    done = list(_FIRST)
    for _ in range(draw(st.integers(1, 10))):
        step = draw(_step(st.sampled_from(sorted([*_FIELDS, "reversal", "reversal", "fill"]))))
        done.append(step)
        if step["type"] == "reversal" and draw(st.booleans()):
            right = draw(_step(st.sampled_from(["deposit", "fill", "mark"])))
            done.append({**right, "corrects": step["reverses"]})
    return done


@st.composite
def _step(draw: DrawFn, kinds: st.SearchStrategy[str]) -> Step:
    kind = draw(kinds)
    fields = {"type": kind, "at": draw(_at()), **{name: draw(values) for name, values in _FIELDS[kind].items()}}
    if fields.get("asset") == "RLUSD":
        fields.pop("price", None)
    if fields.get("basis_unknown"):
        fields.pop("basis_delta", None)
    fields["key"] = draw(st.none() | st.sampled_from(["a", "ключ", "d#2"]))
    fields["source_note"] = draw(st.none() | st.sampled_from(['"reverses_key":"a"', "zwölf ☃"]))
    if kind in ("deposit", "withdraw"):
        fields["tx_hash"] = draw(st.none() | st.sampled_from(["FEED", "0xAb"]))
    return {name: field for name, field in fields.items() if field is not None}


_ASSET = st.sampled_from(ASSETS)
_SIGNED = AMOUNTS.flatmap(lambda amount: st.sampled_from([amount, f"-{amount}"]))
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "fill": {
        "side": st.sampled_from(["buy", "sell"]),
        "base_asset": st.sampled_from(["XRP", "BTC"]),
        "base_amount": AMOUNTS,
        "quote_asset": st.just("RLUSD"),
        "quote_amount": AMOUNTS,
        "fee_asset": st.sampled_from(["XRP", "RLUSD"]),
        "fee_amount": st.none() | st.sampled_from(["0", "0.01", "-0.01"]),
        "strategy": st.none() | st.just("maker"),
        "session_id": st.none() | st.just("s"),
        "tags": st.none() | st.just(["x", "y"]),
    },
    "deposit": {
        "asset": _ASSET,
        "amount": AMOUNTS,
        "price": st.just("1.3314"),
        "basis_delta": st.none() | _SIGNED,
        "basis_unknown": st.sampled_from([None, None, None, True]),
    },
    "withdraw": {"asset": _ASSET, "amount": st.sampled_from(["1", "2.5", "40"]), "late": st.booleans()},
    "withdrawal": {"asset": _ASSET, "amount": AMOUNTS, "price": st.just("2"), "basis_delta": st.just("-1")},
    "basis_commit": {"basis_delta": _SIGNED},
    "mark": {"asset": st.sampled_from(["XRP", "BTC"]), "price": AMOUNTS},
    "adjustment": {"asset": _ASSET, "amount": _SIGNED, "reason": st.just("fee"), "group": st.none() | st.just("g")},
    "baseline": {"starting_value": _SIGNED},
    "reversal": {"reverses": st.integers(2, 7)},
}


def play(keeper: Bookkeeper, done: list[Step]) -> None:
    """Do the steps to the book; what is refused is left out. `withdraw` is decided, with its evidence."""
    for is_decided, together in groupby(done, lambda step: step["type"] == "withdraw"):
        if is_decided:
            for step in together:
                with suppress(NetbasisError):
                    _withdraw(keeper, step)
        else:
            events = [made for step in together if (made := _event(step)) is not None]
            keeper.append_all(BOOK, events, on_refused=lambda error: None)


def _event(step: Step) -> Event | None:
    with suppress(NetbasisError):
        return event_from(step)
    return None


def _withdraw(keeper: Bookkeeper, step: Step) -> None:
    given = {name: step.get(name) for name in ("at", "key", "tx_hash") if step.get(name) is not None}
    movement = Movement(step["amount"], step["asset"], **given)
    far = timedelta(days=10_000)
    request = WithdrawalRequest(movement, may_be_late=step["late"], max_mark_age=far)
    carry_out(keeper, BOOK, request, dry_run=False)


def figures(keeper: Bookkeeper) -> dict[str, Any]:
    """What a book adds up to: balances with their parts, basis, starting value, fees, marks and profit; no versions."""
    view = keeper.view(BOOK)
    state = view.state
    marks = {asset: (mark.price, mark.source, mark.at) for asset, mark in state.marks.items()}
    known = pnl(state, {**state.marks}, view.book.numeraire)
    return {
        "balances": {asset: holding for asset, holding in sorted(state.inventory.items()) if _is_something(holding)},
        "basis": state.basis,
        "starting_value": state.engine_state.starting_value,
        "fees": state.fees,
        "marks": marks,
        "pnl": [getattr(known, name) for name in ("total_value", "total_pnl", "retained_profit", "withdrawn_profit")],
    }


def _is_something(holding: Holding) -> bool:
    return any((holding.fills, holding.capital, holding.adjustments))
