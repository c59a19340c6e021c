"""An import as a whole: what goes in, what waits, what is held back, and that nothing is counted twice."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.capital import Movement, reverse, withdraw
from engine.importers import landing
from engine.importers.deciding import Answer, How
from engine.importers.importing import import_files
from engine.importers.items import Movement as Moved
from engine.importers.items import Origin, Row, Settings
from engine.importers.landing import Policy
from engine.importers.pricing import PriceFrom
from engine.importers.resolving import As, dismiss, resolve
from engine.inbox import Entry, Proposal
from engine.proof.check import check
from ledger.errors import Refusal, Refused
from ledger.events import Fill, Reversal
from tests.engine.importers.import_support import ItemsKind, at, balances, imported, movement, trade, written
from tests.support import BOOK, event, log_of, open_keeper

HASH = "AB" * 32


def entries(keeper: Bookkeeper, *, all_of_them: bool = False) -> list[Entry]:
    with keeper.database.reading() as connection:
        return inbox.entries(connection, BOOK, all_of_them=all_of_them)


def keys(keeper: Bookkeeper) -> list[str]:
    return [stored.key for stored in log_of(keeper)][1:]


def answer(**prices: str) -> Answer:
    return Answer({asset: Decimal(price) for asset, price in prices.items()})


def test_a_first_import_and_the_same_again(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, trade(2, 5, "sell"), trade(1, 0), movement(7, -5, "deposit", "100"))
    report = imported(keeper, path)
    assert dict(report.added) == {"deposit": 1, "fill": 2}
    assert report.is_whole
    assert keys(keeper) == ["ccxt:deposit:7", "ccxt:XRP/RLUSD:1", "ccxt:XRP/RLUSD:2"]
    head = keeper.view(BOOK).head
    again = imported(keeper, path)
    assert (again.added.total(), again.existed, again.head) == (0, 3, head)
    assert check(keeper.database, BOOK).ok


def test_files_of_one_import_are_merged_by_time(keeper: Bookkeeper, tmp_path: Path) -> None:
    one = written(tmp_path, trade(1, 0), trade(3, 10), name="one.json")
    two = written(tmp_path, trade(2, 5), movement(1, -1, "deposit", "5"), name="two.json")
    imported(keeper, one, two)
    assert [stored.at for stored in log_of(keeper)][1:] == [at(-1), at(0), at(5), at(10)]


# ---- the inbox


def test_an_import_stops_at_a_movement_that_waits_and_goes_on_when_it_is_resolved(
    keeper: Bookkeeper, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        movement(1, 0, "deposit", "100"),
        trade(1, 1),
        movement(2, 2, "deposit", "50", "XRP"),
        trade(2, 3),
        movement(3, 4, "withdrawal", "20"),
        trade(3, 5),
    )
    report = imported(keeper, path)
    assert dict(report.added) == {"deposit": 1, "fill": 1}
    # Both that will have to wait are listed at once; the rows between and behind them are held back.
    assert [(entry.type, entry.cause, entry.is_reached) for entry in report.waiting] == [
        ("deposit", "price_required", True),
        ("withdrawal", "classification_required", False),
    ]
    assert report.stopped_at is not None
    assert (report.stopped_at.id, report.held, report.inbox.held) == (1, 3, 3)

    with pytest.raises(Refused) as refused:
        withdraw(keeper, BOOK, Movement("1"))
    assert refused.value.refusal is Refusal.INBOX_PENDING

    # The withdrawal is decided before the import has come to it, and recorded where it lands.
    answered = resolve(keeper, BOOK, 2, answer(XRP="1.4"))
    assert answered.entry.status == "answered"
    resolved = resolve(keeper, BOOK, 1, answer(XRP="1.33"))
    assert log_of(keeper)[-1].version == resolved.entry.version
    # Rows are still held back: a withdrawal now would be classified without them.
    with pytest.raises(Refused):
        withdraw(keeper, BOOK, Movement("1"))

    report = imported(keeper, path)
    assert report.is_whole
    assert (dict(report.added), report.inbox) == ({"fill": 2, "withdrawal": 1}, inbox.Waiting())
    assert [stored.at for stored in log_of(keeper)][1:] == [at(minutes) for minutes in range(6)]
    paid = log_of(keeper)[5]
    # It sees two fills, not three: 73.4 RLUSD and 70 XRP, of a basis of 100 + 50 · 1.33.
    evidence = paid.event.evidence  # type: ignore[attr-defined]
    assert (evidence.equity_before, evidence.basis_before) == (Decimal("73.4") + 70 * Decimal("1.4"), Decimal("166.5"))
    assert evidence.late is None
    withdraw(keeper, BOOK, Movement("1"), prices={"XRP": _price("1.4", keeper)})
    assert check(keeper.database, BOOK).ok


def _price(text: str, keeper: Bookkeeper) -> Any:
    from projections.marks import Price

    return Price(Decimal(text), "test", keeper.now())


def test_past_a_movement_that_waits_it_is_resolved_late_and_says_so(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, movement(1, 0, "deposit", "100"), movement(2, 2, "withdrawal", "20"), trade(1, 60))
    report = imported(keeper, path, goes_on=True)
    assert (report.added.total(), report.held, len(report.waiting)) == (2, 0, 1)
    keeper.append(BOOK, event("mark", asset="XRP", price="1.5"))
    settled = resolve(keeper, BOOK, 1, Answer(actor="owner"))
    paid = log_of(keeper)[-1]
    assert (paid.version, paid.at) == (settled.entry.version, at(2))
    assert paid.event.evidence.late is not None  # type: ignore[attr-defined]
    assert imported(keeper, path).is_whole
    assert check(keeper.database, BOOK).ok


@pytest.mark.parametrize("reason", ["", "  ", "a\x07b", "x" * 10_001])
def test_a_dismissal_needs_a_reason(keeper: Bookkeeper, tmp_path: Path, reason: str) -> None:
    imported(keeper, written(tmp_path, movement(1, 0, "withdrawal", "5")))
    with pytest.raises(Refused):
        dismiss(keeper, BOOK, 1, reason)
    with keeper.database.reading() as connection:
        assert inbox.require_entry(connection, BOOK, 1).is_open


def test_what_is_dismissed_does_not_come_back(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, movement(1, 0, "deposit", "5", "XRP"), trade(1, 1))
    imported(keeper, path)
    dismiss(keeper, BOOK, 1, "a test of the venue", "owner")
    report = imported(keeper, path)
    assert (report.dismissed, report.is_whole, dict(report.added)) == (1, True, {"fill": 1})
    assert not entries(keeper)
    settled = entries(keeper, all_of_them=True)[0]
    assert (settled.status, settled.reason) == ("dismissed", "a test of the venue")


def test_an_entry_is_settled_once(keeper: Bookkeeper, tmp_path: Path) -> None:
    imported(keeper, written(tmp_path, movement(1, 0, "deposit", "5", "XRP")))
    resolve(keeper, BOOK, 1, answer(XRP="1.3"))
    with pytest.raises(Refused) as refused:
        resolve(keeper, BOOK, 1, answer(XRP="1.3"))
    assert refused.value.refusal is Refusal.INBOX_ENTRY_SETTLED
    with pytest.raises(Refused) as refused:
        dismiss(keeper, BOOK, 1, "x")
    assert refused.value.refusal is Refusal.INBOX_ENTRY_SETTLED
    with pytest.raises(Refused) as refused:
        resolve(keeper, BOOK, 9, answer())
    assert refused.value.refusal is Refusal.INBOX_ENTRY_UNKNOWN


def test_another_file_stops_at_a_movement_that_waits_too(keeper: Bookkeeper, tmp_path: Path) -> None:
    imported(keeper, written(tmp_path, movement(1, 5, "deposit", "5", "XRP")))
    other = written(tmp_path, trade(1, 0), trade(2, 10), name="other.json")
    report = imported(keeper, other)
    assert (dict(report.added), report.held) == ({"fill": 1}, 1)
    assert imported(keeper, other, goes_on=True).added.total() == 1
    # What was held back is in the book now, so nothing is held any more.
    assert [entry.sort for entry in entries(keeper)] == ["movement"]


def test_prices_go_in_though_a_movement_waits_and_then_it_is_decided(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, movement(1, 61, "deposit", "5", "XRP"), trade(1, 70))
    assert imported(keeper, path).held == 1
    tape = tmp_path / "candles.csv"
    tape.write_text("time,open,high,low,close\n2026-01-04T12:00:00Z,1,1,1,1.31\n2026-01-04T13:00:00Z,1,1,1,1.99\n")
    marks = imported(keeper, tape, kind="candles", asset="XRP")
    assert dict(marks.added) == {"mark": 2}
    report = imported(keeper, path, price_from="marks")
    assert report.is_whole
    # The candle of 12:00 closes at 13:00; that of 13:00 was not known at 13:01.
    assert log_of(keeper)[3].price == Decimal("1.31")
    assert entries(keeper, all_of_them=True)[0].status == "resolved"


def test_prices_from_fills_are_recorded_as_marks_that_name_the_fill(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        movement(1, 0, "deposit", "100"),
        trade(1, 1, amount="3", cost="4"),
        movement(2, 30, "deposit", "50", "XRP"),
        movement(3, 31, "withdrawal", "10"),
        movement(4, 120, "deposit", "1", "XRP"),
    )
    report = imported(keeper, path, price_from="fills")
    assert dict(report.added) == {"deposit": 2, "fill": 1, "mark": 1, "withdrawal": 1}
    mark = next(stored for stored in log_of(keeper) if stored.type == "mark")
    assert (mark.price, mark.at) == (Decimal("1.333333333333333333"), at(1))
    assert mark.event.price_source == "fill, version 3"  # type: ignore[attr-defined]
    # Two hours later the fill is too old for a price.
    assert [(entry.asset, entry.cause) for entry in report.waiting] == [("XRP", "mark_stale")]
    assert check(keeper.database, BOOK).ok


@pytest.mark.parametrize(
    ("before", "given", "cause"),
    [
        ([], movement(1, 0, "withdrawal", "1"), "insufficient_balance"),
        (
            [event("deposit", asset="RLUSD", amount="5", basis_unknown=True, at=at(-9))],
            movement(1, 0, "withdrawal", "1"),
            "basis_incomplete",
        ),
        (
            [
                event("deposit", asset="RLUSD", amount="5", at=at(-9)),
                event("deposit", asset="XRP", amount="5", price="1", at=at(-9)),
            ],
            movement(1, 0, "withdrawal", "1"),
            "mark_missing",
        ),
        ([event("deposit", asset="RLUSD", amount="5", at=at(30))], movement(1, 0, "withdrawal", "1"), "late"),
        (
            [
                event("deposit", asset="RLUSD", amount="5", at=at(-9)),
                event(
                    "fill",
                    side="buy",
                    base_asset="XRP",
                    base_amount="1",
                    quote_asset="RLUSD",
                    quote_amount="1",
                    at=at(9),
                ),
            ],
            movement(1, 0, "withdrawal", "1"),
            "late",
        ),
        ([], movement(1, 0, "deposit", "1", "XRP"), "mark_missing"),
        ([event("mark", asset="XRP", price="1", at=at(-61))], movement(1, 0, "deposit", "1", "XRP"), "mark_stale"),
        ([event("mark", asset="XRP", price="1", at=at(1))], movement(1, 0, "deposit", "1", "XRP"), "mark_missing"),
    ],
)
def test_what_cannot_be_decided_waits_and_says_why(
    before: list[Any], given: dict[str, Any], cause: str, keeper: Bookkeeper, tmp_path: Path
) -> None:
    keeper.append_all(BOOK, before)
    report = imported(keeper, written(tmp_path, given), price_from="marks")
    assert [entry.cause for entry in report.waiting] == [cause]


def test_a_withdrawal_earlier_than_everything_is_resolved_with_its_basis(keeper: Bookkeeper, tmp_path: Path) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="5", at=at(30)))
    imported(keeper, written(tmp_path, movement(1, 0, "withdrawal", "1")))
    with pytest.raises(Refused) as refused:
        resolve(keeper, BOOK, 1, answer())
    assert refused.value.refusal is Refusal.INBOX_STILL_WAITS
    resolve(keeper, BOOK, 1, Answer(basis_delta=Decimal("-1")))
    assert log_of(keeper)[-1].effects.basis_delta == -1


# ---- the same movement


def test_a_movement_recorded_by_hand_answers_for_one_row_only(keeper: Bookkeeper, tmp_path: Path) -> None:
    """A batched payout has several of one hash, and may come in two files."""
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="70", tx_hash=HASH, at=at(0)))
    one = written(tmp_path, movement(1, 0, "deposit", "70", txid=HASH.lower()), name="one.json")
    two = written(tmp_path, movement(2, 0, "deposit", "70", txid=HASH), name="two.json")
    assert (imported(keeper, one).same, imported(keeper, one).existed) == (1, 1)
    assert imported(keeper, two).added.total() == 1
    for path in (one, two):
        assert imported(keeper, path).added.total() == 0
    assert balances(keeper) == {"RLUSD": "140"}


@pytest.mark.parametrize("by_hand", [None, "0.2", "0.3"])
@pytest.mark.parametrize("behind", [False, True])
def test_the_fee_beside_a_movement_recorded_by_hand_goes_in_once(
    keeper: Bookkeeper, tmp_path: Path, by_hand: str | None, *, behind: bool
) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100", at=at(-9)))
    keeper.append(BOOK, event("withdrawal", asset="RLUSD", amount="70", basis_delta="-70", tx_hash=HASH, at=at(5)))
    if by_hand is not None:
        keeper.append(
            BOOK, event("adjustment", asset="RLUSD", amount=f"-{by_hand}", reason="fee", tx_hash=HASH, at=at(5))
        )
    fee = {"cost": "0.2", "currency": "RLUSD"}
    given = [movement(1, 6, "withdrawal", "70", txid=HASH, fee=fee)]
    if behind:  # a movement that waits holds the fee back
        given.insert(0, movement(2, 1, "deposit", "1", "XRP"))
    path = written(tmp_path, *given)
    first = imported(keeper, path)
    assert (first.same, first.held) == (1, int(behind and by_hand != "0.2"))
    if behind:
        dismiss(keeper, BOOK, first.waiting[0].id, "a test")
    for _ in range(2):
        assert imported(keeper, path).same == 0
    fees = {None: "29.8", "0.2": "29.8", "0.3": "29.5"}  # 0.3 is another fee than the file's
    assert balances(keeper) == {"RLUSD": fees[by_hand]}


def test_rows_of_one_hash_in_one_file_are_several_movements(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, *(movement(number, 0, "deposit", "7", txid=HASH) for number in (1, 2, 3)))
    for _ in range(2):
        imported(keeper, path)
    assert balances(keeper) == {"RLUSD": "21"}


def test_a_movement_of_the_same_hash_and_another_amount_asks(keeper: Bookkeeper, tmp_path: Path) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="70", tx_hash=HASH, at=at(0)))
    report = imported(keeper, written(tmp_path, movement(1, 0, "deposit", "69", txid=HASH)))
    (entry,) = report.waiting
    assert entry.cause == "other_amount"
    assert "version 2 with 70" in entry.detail
    assert "the file has 69" in entry.detail
    resolve(keeper, BOOK, entry.id, answer())
    assert balances(keeper) == {"RLUSD": "139"}


def test_a_reversed_movement_answers_for_no_row(keeper: Bookkeeper, tmp_path: Path) -> None:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="70", tx_hash=HASH, at=at(0)))
    path = written(tmp_path, movement(1, 0, "deposit", "70", txid=HASH))
    assert imported(keeper, path).same == 1
    keeper.append(BOOK, event("reversal", reverses=2))
    assert imported(keeper, path).added.total() == 1
    assert balances(keeper) == {"RLUSD": "70"}


# ---- proposals


def propose(keeper: Bookkeeper, *proposals: Proposal) -> list[Entry]:
    with keeper.transaction(BOOK) as transaction:
        return inbox.propose(transaction.connection, BOOK, proposals, keeper.now())


def test_a_proposal_is_replaced_withdrawn_and_named(keeper: Bookkeeper, tmp_path: Path) -> None:
    (first,) = propose(keeper, Proposal("RLUSD", Decimal(30), at(0), "30 more at the venue"))
    (second,) = propose(keeper, Proposal("RLUSD", Decimal(40), at(1), "40 more"))
    assert (second.id, second.amount) == (first.id, Decimal(40))
    # It holds nothing back, and refuses nothing.
    assert imported(keeper, written(tmp_path, trade(1, 2))).is_whole
    for kind, refusal in ((None, Refusal.INBOX_ANSWER_MISMATCH), ("withdrawal", Refusal.INBOX_ANSWER_MISMATCH)):
        with pytest.raises(Refused) as refused:
            resolve(keeper, BOOK, second.id, Answer(), named=kind, at=at(3))  # type: ignore[arg-type]
        assert refused.value.refusal is refusal
    resolve(keeper, BOOK, second.id, Answer(), named="deposit", at=at(3))
    assert (log_of(keeper)[-1].type, log_of(keeper)[-1].at) == ("deposit", at(3))

    # A movement that is like it asks before it is added.
    path = written(tmp_path, movement(5, 60, "deposit", "40"), movement(6, 61, "deposit", "41"), name="late.json")
    report = imported(keeper, path, goes_on=True)
    assert [entry.cause for entry in report.waiting] == ["looks_recorded"]
    assert (report.added.total(), report.is_whole) == (1, False)

    propose(keeper, Proposal("XRP", Decimal(-1), at(1), "1 less"), Proposal("BTC", Decimal(1), at(1), "1 more"))
    with keeper.transaction(BOOK) as transaction:
        gone = inbox.withdraw_proposals(transaction.connection, BOOK, keeper.now(), assets=["XRP"])
    assert [entry.asset for entry in gone] == ["XRP"]
    assert [entry.asset for entry in entries(keeper) if entry.sort == "proposal"] == ["BTC"]


@pytest.mark.parametrize("named", ["deposit", "adjustment"])
def test_a_movement_near_the_time_that_a_difference_was_given_asks(
    keeper: Bookkeeper, tmp_path: Path, named: As
) -> None:
    """The difference was found a month later; what counts is when it happened."""
    (found,) = propose(keeper, Proposal("RLUSD", Decimal(40), at(60 * 24 * 30), "40 more"))
    done = resolve(keeper, BOOK, found.id, Answer(), named=named, at=at(3))
    path = written(tmp_path, movement(5, 60, "deposit", "40"), movement(6, 60 * 24 * 30, "deposit", "40"))
    report = imported(keeper, path, goes_on=True)
    assert [(entry.cause, entry.at) for entry in report.waiting] == [("looks_recorded", at(60))]
    assert done.stored is not None
    reverse(keeper, BOOK, Reversal(reverses=done.stored.version, reason="wrong"))
    assert imported(keeper, path, goes_on=True).is_whole


def test_a_proposal_becomes_an_adjustment_of_either_sign(keeper: Bookkeeper) -> None:
    made = propose(
        keeper, Proposal("RLUSD", Decimal(-3), at(0), "3 less"), Proposal("XRP", Decimal(2), at(0), "2 more")
    )
    for entry in made:
        resolve(keeper, BOOK, entry.id, Answer(), named="adjustment", at=at(1))
    assert balances(keeper) == {"RLUSD": "-3", "XRP": "2"}


# ---- all or nothing


def test_strict_takes_all_or_nothing(keeper: Bookkeeper, tmp_path: Path) -> None:
    for bad in ({**trade(2, 1), "side": None}, movement(2, 1, "deposit", "1", "XRP"), trade(1, 1, amount="9")):
        report = imported(keeper, written(tmp_path, trade(1, 0), bad), is_strict=True)
        assert not report.is_written
        assert (keeper.view(BOOK).head.version, entries(keeper, all_of_them=True)) == (1, [])
    assert imported(keeper, written(tmp_path, trade(1, 0), trade(2, 1)), is_strict=True).is_written


def test_the_rest_goes_in_and_what_is_not_understood_is_named(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, trade(1, 0), trade(2, 1, amount="1e-37"), {**trade(3, 2), "symbol": "XRP"}, trade(4, 3))
    report = imported(keeper, path)
    assert (dict(report.added), report.quarantine, report.is_whole) == ({"fill": 2}, 2, False)
    assert [row.origin.file for row in report.quarantined] == [str(path)] * 2


def test_an_id_with_other_content_is_quarantined_and_the_book_stays(keeper: Bookkeeper, tmp_path: Path) -> None:
    imported(keeper, written(tmp_path, trade(1, 0)))
    report = imported(keeper, written(tmp_path, trade(1, 0, amount="11"), name="other.json"))
    assert (report.quarantine, report.added.total()) == (1, 0)
    assert "base_amount" in report.quarantined[0].reason


def test_a_row_of_several_facts_goes_in_whole_or_not_at_all(keeper: Bookkeeper, tmp_path: Path) -> None:
    fees = [{"cost": "0.01", "currency": "RLUSD"}, {"cost": "1e-37", "currency": "BNB"}]
    report = imported(keeper, written(tmp_path, trade(1, 0, fees=fees)))
    assert (report.quarantine, keeper.view(BOOK).head.version) == (1, 1)


def test_a_dry_run_says_what_an_import_does_and_writes_nothing(keeper: Bookkeeper, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        movement(1, 0, "deposit", "100"),
        trade(1, 1),
        {**trade(2, 2), "side": None},
        movement(2, 3, "withdrawal", "20"),
        trade(3, 4),
        movement(3, 5, "deposit", "20", "XRP"),
    )
    forms: list[PriceFrom | None] = [None, "fills"]
    for price_from in forms:
        dry = imported(keeper, path, is_dry=True, price_from=price_from)
        assert (keeper.view(BOOK).head.version, entries(keeper, all_of_them=True)) == (1, [])
        with open_keeper(tmp_path, name=f"{price_from}.db") as other:
            done = imported(other, path, price_from=price_from)
        for name in ("added", "existed", "held", "quarantine", "passed_over"):
            assert getattr(dry, name) == getattr(done, name), name
        assert [entry.key for entry in dry.waiting] == [entry.key for entry in done.waiting]


# ---- many


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.importers.importing.ROWS_IN_A_BATCH", 3)
    monkeypatch.setattr(landing, "ROWS_AT_ONCE", 2)


@pytest.mark.usefixtures("small_batches")
def test_an_import_that_is_killed_between_batches_goes_on_where_it_ended(
    keeper: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, *(trade(number, number) for number in range(1, 20)))
    reached = itertools.count()
    transaction = keeper.transaction

    def killed(name: str) -> Any:
        if next(reached) == 3:
            raise KeyboardInterrupt
        return transaction(name)

    monkeypatch.setattr(keeper, "transaction", killed)
    with pytest.raises(KeyboardInterrupt):
        imported(keeper, path)
    assert keeper.view(BOOK).head.version == 1 + 9
    report = imported(keeper, path)
    assert (report.existed, report.added.total()) == (9, 10)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.integers(0, 9)),
        st.tuples(st.just("sell"), st.integers(0, 9)),
        st.tuples(st.just("in"), st.integers(0, 9)),
        st.tuples(st.just("out"), st.integers(0, 9)),
    ),
    max_size=10,
)


@settings(max_examples=settings().max_examples // 3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, split=st.integers(0, 10), price_from=st.sampled_from([None, "fills"]), with_ids=st.booleans())
def test_whatever_the_order_of_imports_everything_is_in_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], split: int, price_from: Any, with_ids: bool
) -> None:
    """Parts that overlap, stops and resolutions: in the end the balances are those of all rows, once each."""
    folder = tmp_path_factory.mktemp("import")
    rows = [_row(number, kind, minutes, with_ids=with_ids) for number, (kind, minutes) in enumerate(steps)]
    expected: dict[str, Decimal] = {}
    for row in rows:
        for asset, delta in _deltas(row):
            expected[asset] = expected.get(asset, Decimal(0)) + delta
    with open_keeper(folder) as keeper:
        for part in (rows[:split], rows, rows[: split // 2], rows):
            _import_until_whole(keeper, part, price_from)
        assert balances(keeper) == {asset: f"{amount.normalize():f}" for asset, amount in expected.items() if amount}
        assert check(keeper.database, BOOK).ok
        head = keeper.view(BOOK).head
        kind = ItemsKind({"all": rows})
        report = import_files(keeper, BOOK, kind.files(), Settings("RLUSD"), Policy(How(price_from)))
        assert (report.head, report.is_whole) == (head, True)


def _import_until_whole(keeper: Bookkeeper, rows: list[Row], price_from: Any) -> None:
    for _ in range(len(rows) + 2):
        kind = ItemsKind({"part": rows})
        report = import_files(keeper, BOOK, kind.files(), Settings("RLUSD"), Policy(How(price_from)))
        if report.is_whole:
            return
        for entry in report.waiting:
            if entry.is_reached:
                sign = -1 if entry.type == "withdrawal" else 1
                prices = {} if entry.asset == "RLUSD" else {"XRP": Decimal(1)}
                resolve(keeper, BOOK, entry.id, Answer(prices, basis_delta=Decimal(sign)))
    raise AssertionError("the import never ends")


def _row(number: int, kind: str, minutes: int, *, with_ids: bool) -> Row:
    fact: Any
    if kind in ("buy", "sell"):
        fact = Fill(
            side="buy" if kind == "buy" else "sell",
            base_asset="XRP",
            base_amount=Decimal(2),
            quote_asset="RLUSD",
            quote_amount=Decimal(3),
            fee_asset="RLUSD",
            fee_amount=Decimal(0),
        )
    else:
        fact = Moved("in" if kind == "in" else "out", "XRP" if minutes % 2 else "RLUSD", Decimal(5))
    return Row(Origin("part", f"line {number}"), at(minutes), str(number) if with_ids else None, (fact,))


def _deltas(row: Row) -> list[tuple[str, Decimal]]:
    (fact,) = row.facts
    if isinstance(fact, Moved):
        return [(fact.asset, fact.amount if fact.direction == "in" else -fact.amount)]
    assert isinstance(fact, Fill)
    sign = 1 if fact.side == "buy" else -1
    return [("XRP", sign * fact.base_amount), ("RLUSD", -sign * fact.quote_amount)]
