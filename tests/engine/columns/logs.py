"""Random logs for the engines that read columns: every type, reversals, marks taken back, dust, wide sums, unknown fees."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.columns.segment_file import SegmentFile, write_segment
from engine.columns.stores import Store, open_store
from ledger.book import GENESIS_HASH, Book
from ledger.events import REVERSIBLE
from ledger.integrity.raw_log import COLUMNS, RawRow
from ledger.mapper import encode_row
from ledger.stored import StoredEvent
from tests.ledger.database.store_support import append_sample, fill
from tests.projections.in_memory import TERMS, log_of
from tests.support import BOOK, START, event, it_is

FORMS = {"fill": (1, 2), "mark": (1,), "adjustment": (1, 2)}
FOREVER = START + timedelta(days=100_000)
_QUIET = st.integers(1, 10**9).map(lambda n: f"{n // 10**6}.{n % 10**6:06}")
_DUST = st.sampled_from(["0.000000000000000000000000000000000001", "0.0000000000000000012", "1.000000000000000000999"])
_WIDE = st.sampled_from(
    ["99999999999999999999", "99999999999999999999.999999999999999999999999999999999999", "1" + "0" * 19]
)
AMOUNT = st.one_of(_QUIET, _QUIET, _DUST, _WIDE)
PRICE = st.sampled_from(["1.3314", "0.000001", "2"])
ASSET = st.sampled_from(["XRP", "EUR", "USD.rvYAfWj5gh67oV6fW32ZzP3Aw4Eubs59B"])
LABEL = st.sampled_from([None, "", "desk", "s 1"])
Fields = dict[str, Any]


def _without_none(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _fills() -> st.SearchStrategy[Fields]:
    fee = st.one_of(
        st.just({}),
        st.just({"fee_asset": "XRP"}),
        st.builds(lambda asset, amount: {"fee_asset": asset, "fee_amount": amount}, ASSET, AMOUNT),
        st.builds(lambda amount: {"fee_asset": "EUR", "fee_amount": f"-{amount}"}, _QUIET),
        st.just({"fee_asset": "RLUSD", "fee_amount": "0"}),
    )
    fields = st.fixed_dictionaries(
        {
            "type": st.just("fill"),
            "side": st.sampled_from(["buy", "sell"]),
            "base_asset": ASSET,
            "base_amount": AMOUNT,
            "quote_asset": st.just("RLUSD"),
            "quote_amount": AMOUNT,
            "order_id": LABEL,
            "strategy": st.sampled_from([None, "grid"]),
            "liquidity": st.sampled_from([None, "maker", "taker"]),
            "session_id": LABEL,
            "tx_hash": st.sampled_from([None, "AB12", "ab12"]),
        }
    )
    return st.builds(lambda of_fill, of_fee: {**of_fill, **of_fee}, fields, fee)


def _others() -> st.SearchStrategy[Fields]:
    reasons = st.sampled_from(["fee", "network_fee", "reward", "dust", "reconciliation"])
    signed = st.builds(lambda sign, amount: sign + amount, st.sampled_from(["", "-"]), AMOUNT)
    mark = {"type": st.just("mark"), "asset": ASSET, "price": AMOUNT, "price_source": LABEL, "source_note": LABEL}
    adjustment = {"type": st.just("adjustment"), "asset": ASSET, "amount": signed, "reason": reasons, "actor": LABEL}
    movement = {"asset": st.just("XRP"), "amount": _QUIET, "price": PRICE}
    deposit = {**movement, "type": st.just("deposit"), "basis_unknown": st.sampled_from([None, True])}
    withdrawal = {**movement, "type": st.just("withdrawal"), "basis_delta": _QUIET.map(lambda amount: f"-{amount}")}
    commit = {
        "type": st.just("basis_commit"),
        "basis_delta": signed,
        "key": st.sampled_from([None, "synthetic_initial_basis", "synthetic_initial_basis#2"]),
    }
    baseline = {"type": st.just("baseline"), "starting_value": signed}
    return st.one_of(
        *(st.fixed_dictionaries(fields) for fields in (mark, mark, adjustment, deposit, withdrawal, commit, baseline))
    )


_REVERSAL = st.just({"type": "reversal"})


@st.composite
def logs(draw: st.DrawFn, most: int = 30, book: Book = TERMS) -> list[StoredEvent]:
    """A log as an append would seal it; times come in any order, and keys of the initial basis stand once each."""
    steps: list[Fields] = []
    reversible: list[int] = []
    keys: set[str] = set()
    drawn = draw(st.lists(st.one_of(_fills(), _fills(), _others(), _others(), _REVERSAL), max_size=most))
    for fields in drawn:
        step = _without_none({**fields, "hours": draw(st.integers(0, 20))})
        version = len(steps) + 2
        if step["type"] == "reversal":
            if not reversible:
                continue
            step["reverses"] = reversible.pop(draw(st.integers(0, len(reversible) - 1)))
        elif step["type"] in REVERSIBLE:
            reversible.append(version)
        if step.get("key") in keys:
            del step["key"]
        keys |= {step["key"]} if "key" in step else set()
        steps.append(step)
    return log_of(steps, book)


def rows_of(log: list[StoredEvent]) -> list[RawRow]:
    """The log's rows, as PostgreSQL's driver would give them."""
    return [tuple(encode_row(each)[name] for name in COLUMNS) for each in log]


def write_log(folder: Path, log: list[StoredEvent], cuts: list[int] | None = None) -> tuple[Store, list[SegmentFile]]:
    """Segments of a log, cut behind these versions."""
    store = open_store(str(folder))
    rows, files, first = rows_of(log), [], 1
    for last in [*(cuts or []), len(log)]:
        start_hash = log[first - 2].hash if first > 1 else GENESIS_HASH
        files.append(write_segment(store, log[0].book, [rows[first - 1 : last]], first=first, start_hash=start_hash))
        first = last + 1
    return store, files


def append_more(keeper: Bookkeeper) -> None:
    """The sample, and events whose times go back and forth across the segments, marks taken back late."""
    append_sample(keeper)
    it_is(keeper, START + timedelta(days=100))
    dust = "-0.00000000000000000012"
    for index in range(30):
        at = START + timedelta(hours=(index * 7) % 31)
        price = {"at": at.isoformat(), "key": f"x:{index}"}
        match index % 5:
            case 0:
                keeper.append(BOOK, event("mark", asset="XRP", price=f"1.{index + 1}", **price))
            case 1:
                keeper.append(BOOK, event("deposit", asset="XRP", amount="2", price="1.25", **price))
            case 2:
                keeper.append(BOOK, event("adjustment", asset="EUR", amount=dust, reason="fee", **price))
            case _:
                keeper.append(BOOK, fill(f"f:{index}", at=at.isoformat(), session_id="s9"))
    keeper.append(BOOK, event("reversal", reverses=18, key="r:m", at=(START + timedelta(hours=9)).isoformat()))
    keeper.append(BOOK, event("reversal", reverses=7, key="r:b"))
    keeper.append(BOOK, event("basis_commit", basis_delta="3", key="synthetic_initial_basis#2"))
