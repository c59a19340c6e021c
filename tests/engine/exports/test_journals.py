"""`export beancount` and `export hledger`: the bookings balance to the digit, and both programs read the same balances.

hledger runs where it is installed: Debian has it as a package.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from beancount import loader
from beancount.core.data import Open, Price, Transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.cost_basis import CostMethod, basis_at
from engine.exports import beancount, hledger
from engine.exports.bookings import ASSETS, CAPITAL, FEES, GAINS, Bookings, Line, bookings
from ledger.amounts import ZERO, add, negate, total
from ledger.events import Opened
from projections.lots import METHODS
from tests.engine.exports.exports_support import Step, play, steps
from tests.support import BOOK, START, event, open_keeper

# What beancount and its numbers of 28 digits may be off by.
CLOSE = Decimal("1e-9")
LATER = START + timedelta(days=60)
AT = {"at": "2026-01-05T09:00:00Z"}


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Bookkeeper]:
    with open_keeper(tmp_path) as keeper:
        yield keeper


def booked(keeper: Bookkeeper, method: str = "fifo", *, by_lot: bool = True) -> Bookings:
    return bookings(keeper.database, BOOK, CostMethod(method), now=LATER, by_lot=by_lot)


def balances(keeper: Bookkeeper) -> dict[str, Decimal]:
    inventory = keeper.view(BOOK).state.inventory
    return {asset: holding.total for asset, holding in inventory.items() if holding.total}


def summed(pairs: Iterator[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for name, amount in pairs:
        sums[name] = add(sums[name], amount)
    return {name: amount for name, amount in sums.items() if amount}


def worth(line: Line) -> Decimal:
    return ZERO if line.cost is None else line.cost.copy_sign(line.amount)


@settings(max_examples=settings().max_examples // 2)
@given(steps(), st.sampled_from(sorted(METHODS)), st.booleans())
def test_every_booking_balances_and_they_add_up_to_the_book(done: list[Step], method: str, by_lot: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder)) as keeper:
        play(keeper, done)
        found = booked(keeper, method, by_lot=by_lot)
        for entry in found.entries:
            at_cost = total(worth(line) for line in entry.lines)
            apart = summed((line.asset, line.amount) for line in entry.lines if line.cost is None)
            assert add(apart.pop("RLUSD", ZERO), at_cost) == 0
            assert apart == {}
        lines = [line for entry in found.entries for line in entry.lines]
        held = [line for line in lines if line.account[0] == ASSETS]
        assert summed((line.asset, line.amount) for line in held) == balances(keeper)
        basis = basis_at(keeper.database, [BOOK], CostMethod(method), now=LATER).basis
        booked_on = summed((line.account[-1], line.amount) for line in lines if line.account[0] != ASSETS)
        assert booked_on.get(CAPITAL[-1], ZERO) == negate(keeper.view(BOOK).state.basis.net_deposits)
        if all(part is not None for part in (basis.realised, basis.other_income, basis.fees.whole)):
            assert total(worth(line) for line in held) == total(lot.cost or ZERO for lot in basis.open_lots())
            assert booked_on.get(GAINS[-1], ZERO) == negate(basis.realised or ZERO)
            assert booked_on.get(FEES[-1], ZERO) == basis.fees.known
        assert _as_beancount(found) == _rounded(balances(keeper))
        if shutil.which("hledger") is not None:
            read = sums_by_hledger(found, "assets")
            assert summed(pair for amounts in read.values() for pair in amounts.items()) == balances(keeper)


def _rounded(amounts: dict[str, Decimal]) -> dict[str, Decimal]:
    """To eight digits, since beancount adds with 28 digits in all."""
    sums = {asset: amount.quantize(Decimal("1e-8")) for asset, amount in amounts.items()}
    return {asset: amount for asset, amount in sums.items() if amount}


def _as_beancount(found: Bookings) -> dict[str, Decimal]:
    """The balances as beancount reads them, without an error."""
    entries = read_by_beancount(found)
    postings = [posting for entry in entries if isinstance(entry, Transaction) for posting in entry.postings]
    held = (posting for posting in postings if posting.account.startswith("Assets:"))
    return _rounded(summed((each.units.currency, each.units.number) for each in held))


def read_by_beancount(found: Bookings) -> list[Any]:
    entries, errors, _ = loader.load_string("\n".join(beancount.journal_lines(found)))
    assert errors == []
    return list(entries)


LOTS: list[Step] = [
    {"type": "deposit", "asset": "XRP", "amount": "10", "price": "1.3", "key": "two"},
    {"type": "mark", "asset": "XRP", "price": "1.5", "key": "three"},
    # Brings 3 XRP and pays its fee of them: the fee takes from the first lot.
    {"type": "fill", "side": "buy", "base_asset": "XRP", "base_amount": "3", "quote_asset": "RLUSD"}
    | {"quote_amount": "4", "fee_asset": "XRP", "fee_amount": "0.5", "key": "four"},
    # Sells all and 2 more: a short lot.
    {"type": "fill", "side": "sell", "base_asset": "XRP", "base_amount": "14.5", "quote_asset": "RLUSD"}
    | {"quote_amount": "29", "key": "five"},
    # Buys 1 of the 2 back, with a rebate.
    {"type": "fill", "side": "buy", "base_asset": "XRP", "base_amount": "1", "quote_asset": "RLUSD"}
    | {"quote_amount": "1.5", "fee_asset": "RLUSD", "fee_amount": "-0.1", "key": "six"},
    # What nobody has a price for.
    {"type": "adjustment", "asset": "DUST", "amount": "7", "reason": "reward", "key": "seven"},
    {"type": "adjustment", "asset": "DUST", "amount": "-2", "reason": "clawback", "key": "eight"},
]


def in_order(done: Sequence[Step]) -> list[Step]:
    """The steps, each a day after the one before."""
    return [{**step, "at": f"2025-12-{day:02}T09:00:00Z"} for day, step in enumerate(done, 6)]


def test_what_is_held_stands_at_its_cost_lot_by_lot_in_beancount(keeper: Bookkeeper) -> None:
    play(keeper, in_order(LOTS))
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    entries = read_by_beancount(booked(keeper))
    for entry in entries:
        if isinstance(entry, Transaction):
            for posting in entry.postings:
                cost = posting.cost and (posting.cost.number, posting.cost.currency, str(posting.cost.date))
                label = posting.cost and posting.cost.label
                sums[posting.account, posting.units.currency, cost, label] += posting.units.number
    assert {held: amount for held, amount in sums.items() if held[0].startswith("Assets:") and amount} == {
        ("Assets:Main:RLUSD", "RLUSD", None, None): Decimal("23.6"),
        ("Assets:Main:XRP", "XRP", (Decimal(2), "RLUSD", "2025-12-09"), "5"): Decimal(-1),
        ("Assets:Main:DUST", "DUST", None, None): Decimal(5),
    }
    # 10 at 1.3 and 2.5 of 3 at 4: each for 2; and 1 that was sold for 2 and bought back for 1.5.
    gain = Decimal("9.5") * 2 - Decimal("9.5") * Decimal("1.3") + 3 * 2 - 4 + Decimal("0.5")
    assert abs(sums["Income:Gains", "RLUSD", None, None] + gain) < CLOSE
    assert [(each.date.isoformat(), each.amount.number) for each in entries if isinstance(each, Price)] == [
        ("2025-12-07", Decimal("1.5"))
    ]


def test_names_that_beancount_does_not_take_are_told_apart_and_stand_in_the_metadata(keeper: Bookkeeper) -> None:
    assets = [
        "usdc",
        "USDC",
        "RLUSD.rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De",
        "RLUSD.rMxCKbEDwqr76Que",
        "€",
        "1INCH",
        "X1INCH",
    ]
    play(keeper, [_reward(asset, number) for number, asset in enumerate(assets, 1)])
    found = booked(keeper)
    entries = read_by_beancount(found)
    names = {each.currency: each.meta["asset"] for each in entries if hasattr(each, "currency")}
    assert sorted(names.values()) == sorted([*assets, "RLUSD"])
    held = _as_beancount(found)
    assert {names[symbol]: amount for symbol, amount in held.items()} == _rounded(balances(keeper))
    accounts = [each.account for each in entries if isinstance(each, Open) and each.account.startswith("Assets")]
    assert len(set(accounts)) == len(assets)
    keys = [each.meta["key"] for each in entries if isinstance(each, Transaction)]
    assert keys == [_reward(asset, number)["key"] for number, asset in enumerate(assets, 1)]


def _reward(asset: str, number: int) -> Step:
    hostile = f'"key", %n; a:b\\ {number}'
    return {"type": "adjustment", "asset": asset, "amount": f"{number}.5", "reason": "reward", "key": hostile, **AT}


# ---- hledger


def by_hledger(found: Bookings, *words: str) -> str:
    """What a command of hledger prints of the journal; without the type G where that hledger does not know it."""
    program = shutil.which("hledger")
    if program is None:
        pytest.skip("hledger is not installed")
    for gains_type in get_args(hledger.GainsType):
        journal = "\n".join(hledger.journal_lines(found, gains_type)).encode()
        command = [program, "-f", "-", *words]
        ran = subprocess.run(command, input=journal, env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=False)
        if b"invalid account type code G" not in ran.stderr:
            assert (ran.returncode, ran.stderr.decode()) == (0, "")
            return ran.stdout.decode()
    raise AssertionError("it took neither")


def sums_by_hledger(found: Bookings, *words: str) -> dict[str, dict[str, Decimal]]:
    """By account, what hledger has of each commodity."""
    table = by_hledger(found, "balance", "--layout", "bare", "-N", "-O", "csv", *words)
    sums: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for account, commodity, amount in list(csv.reader(io.StringIO(table)))[1:]:
        if Decimal(amount):
            sums[account][commodity] = Decimal(amount)
    return sums


def test_hledger_reads_the_lots_their_costs_and_the_gains(keeper: Bookkeeper) -> None:
    play(keeper, in_order(LOTS))
    found = booked(keeper)
    assert sums_by_hledger(found) == {
        "assets:main:RLUSD": {"RLUSD": Decimal("23.6")},
        "assets:main:XRP:5": {"XRP": Decimal(-1)},
        "assets:main:DUST:7": {"DUST": Decimal(5)},
        "equity:capital": {"RLUSD": Decimal(-13)},
        "equity:unknown cost": {"DUST": Decimal(-5)},
        "expenses:fees": {"RLUSD": Decimal("0.55")},
        "revenues:gains": {"RLUSD": Decimal("-9.15")},
    }
    assert by_hledger(found, "check", "--strict", "ordereddates") == ""
    assert sums_by_hledger(found, "-B", "assets:main:XRP") == {"assets:main:XRP:5": {"RLUSD": Decimal(-2)}}
    assert sums_by_hledger(found, "-V", "-e", "2025-12-09", "assets:main:XRP:4") == {
        "assets:main:XRP:4": {"RLUSD": Decimal("4.5")}
    }
    gains = booked(keeper, by_lot=False)
    assert sums_by_hledger(gains, "type:a")["assets:main:XRP"] == {"XRP": Decimal(-1)}


@pytest.mark.parametrize("name", ["main", 'a:b  "c"; d|e', " (x) [y] ", "ΔΣ%20", "=1", "*"])
def test_names_that_hledger_would_read_otherwise(tmp_path: Path, name: str) -> None:
    assets = ["usdc", "USDC", "RLUSD.rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De", "€", '1"INCH', "a;b", "x@y", "0", "{z}"]
    with open_keeper(tmp_path, book=None) as keeper:
        keeper.open_book(name, Opened.model_validate({"mode": "live"}))
        for number, asset in enumerate(assets, 1):
            keeper.append(name, event(**_kind(_reward(asset, number))))
        found = bookings(keeper.database, name, CostMethod(), now=LATER)
        answer = sums_by_hledger(found, "assets")
        held = {account.split(":")[2]: amounts for account, amounts in answer.items()}
        assert set(held) == {hledger.encoded(asset) for asset in assets}
        found_amounts = [amount for amounts in held.values() for amount in amounts.values()]
        assert sorted(found_amounts) == [Decimal(f"{number}.5") for number in range(1, len(assets) + 1)]
        assert by_hledger(found, "check", "--strict") == ""
        assert len({account.split(":")[1] for account in answer}) == 1
        tagged = json.loads(by_hledger(found, "print", "-O", "json"))
        keys = [value for entry in tagged for tag, value in entry["ttags"] if tag == "key"]
        assert keys == [hledger.encoded(str(_reward(asset, n)["key"])) for n, asset in enumerate(assets, 1)]


def _kind(step: Step) -> dict[str, Any]:
    return {"kind" if field == "type" else field: given_value for field, given_value in step.items()}
