"""Both sides of one movement: between two accounts of a book it is no capital, between two books it is a transfer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import inbox
from engine.bookkeeper import Bookkeeper
from engine.importers.deciding import Answer
from engine.importers.importing import ImportReport, files_of, import_files
from engine.importers.items import Settings
from engine.importers.landing import Policy
from engine.importers.pairing import SideReference, resolve_internal, resolve_transfer
from engine.importers.resolving import dismiss
from engine.importers.sources import FileSource
from engine.inbox import Entry
from engine.proof.check import check
from engine.reports.inbox import inbox_report
from ledger.errors import Refused
from ledger.events import Opened
from projections.pnl import pnl
from tests.engine.importers.import_support import at, balances, imported, movement, trade, written
from tests.support import BOOK, event, log_of, open_keeper

HASH = "AB" * 32
OTHER_HASH = "CD" * 32
Change = Callable[[Bookkeeper], object]


def out(number: int, minutes: int, amount: str, asset: str = "RLUSD", **more: Any) -> dict[str, Any]:
    return movement(number, minutes, "withdrawal", amount, asset, txid=HASH, **more)


def into(number: int, minutes: int, amount: str, asset: str = "RLUSD", **more: Any) -> dict[str, Any]:
    return movement(number, minutes, "deposit", amount, asset, txid=HASH.lower(), **more)


def types(keeper: Bookkeeper, book: str = BOOK) -> list[str]:
    return [stored.type for stored in log_of(keeper, book)][1:]


def entries(keeper: Bookkeeper, book: str = BOOK, *, all_of_them: bool = False) -> list[Entry]:
    with keeper.database.reading() as connection:
        return inbox.entries(connection, book, all_of_them=all_of_them)


def net_basis(keeper: Bookkeeper, book: str = BOOK) -> Decimal:
    return keeper.view(book).state.basis.net_basis


@pytest.fixture
def funded(keeper: Bookkeeper) -> Bookkeeper:
    """A book with 100 of capital."""
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100", at=at(-60), key="start"))
    return keeper


# ---- two venues of one book


def test_what_moved_between_two_venues_of_one_import_is_no_capital(funded: Bookkeeper, tmp_path: Path) -> None:
    one = written(tmp_path, out(1, 0, "40"), trade(1, 2), name="one.json")
    two = written(tmp_path, into(2, 1, "40"), trade(2, 3), name="two.json")
    report = imported(funded, one, two)
    assert (report.is_whole, report.internal, report.held) == (True, 2, 0)
    assert types(funded) == ["deposit", "fill", "fill"]
    assert net_basis(funded) == 100
    again = imported(funded, one, two)
    assert (again.added.total(), again.internal, again.existed) == (0, 0, 4)
    for path in (one, two):
        assert imported(funded, path).existed == 2
    assert check(funded.database, BOOK).ok


@pytest.mark.parametrize("arrives", [1, -1])  # also where the clocks of the venues disagree
def test_a_fee_of_the_way_goes_in_though_the_movement_does_not(
    funded: Bookkeeper, tmp_path: Path, arrives: int
) -> None:
    fee = {"cost": "0.5", "currency": "RLUSD"}
    one, two = out(1, 0, "40", fee=fee), into(2, arrives, "40")
    report = imported(funded, written(tmp_path, one, two))
    assert report.is_whole
    assert [stored.event.key for stored in log_of(funded)][2:] == ["ccxt:withdrawal:1:2"]
    assert balances(funded) == {"RLUSD": "99.5"}


def test_the_other_venue_may_be_imported_later(funded: Bookkeeper, tmp_path: Path) -> None:
    one = written(tmp_path, out(1, 0, "40"), trade(1, 2), name="one.json")
    two = written(tmp_path, into(2, 1, "40"), trade(2, 3), name="two.json")
    assert imported(funded, one).held == 1
    report = imported(funded, two)
    assert (report.internal, report.held, dict(report.added)) == (1, 0, {"fill": 1})
    assert [entry.sort for entry in entries(funded)] == ["held"]  # the first file's, until it is imported again
    assert imported(funded, one).is_whole
    assert entries(funded) == []
    assert net_basis(funded) == 100


def test_a_dry_run_pairs_as_the_import_does(funded: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, out(1, 0, "40"), into(2, 1, "40"), trade(1, 2))
    dry = imported(funded, path, is_dry=True)
    assert (dry.internal, dry.waiting, dict(dry.added)) == (2, [], {"fill": 1})
    assert entries(funded, all_of_them=True) == []
    assert dict(imported(funded, path).added) == {"fill": 1}


def test_batches_pair_across_their_border(funded: Bookkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.importers.importing.ROWS_IN_A_BATCH", 1)
    report = imported(funded, written(tmp_path, out(1, 0, "40"), into(2, 1, "40"), trade(1, 2)))
    assert (report.is_whole, report.internal, types(funded)) == (True, 2, ["deposit", "fill"])


UNPAIRED = {
    "another asset": [out(1, 0, "40", "XRP"), into(2, 1, "40")],
    "one hash, two deposits": [into(1, 0, "40"), into(2, 1, "40")],
    "no hash": [movement(1, 0, "withdrawal", "40"), movement(2, 1, "deposit", "40")],
}


@pytest.mark.parametrize("name", UNPAIRED)
def test_what_no_hash_ties_is_not_paired(funded: Bookkeeper, tmp_path: Path, name: str) -> None:
    assert imported(funded, written(tmp_path, *UNPAIRED[name]), goes_on=True).internal == 0


def test_an_amount_that_differs_waits_and_is_settled_with_its_fee(funded: Bookkeeper, tmp_path: Path) -> None:
    path = written(tmp_path, out(1, 0, "40"), into(2, 1, "39.9"), trade(1, 2))
    report = imported(funded, path)
    assert [entry.cause for entry in report.waiting] == ["classification_required", "other_side"]
    done = resolve_internal(funded, BOOK, 1, actor="ann")
    assert done.fee == Decimal("0.1")
    assert imported(funded, path).is_whole
    assert types(funded) == ["deposit", "adjustment", "fill"]
    stored = log_of(funded)[2]
    assert (stored.reason, stored.event.actor, stored.at) == ("network_fee", "ann", at(0))
    assert entries(funded) == []
    assert net_basis(funded) == 100
    assert check(funded.database, BOOK).ok


@pytest.mark.parametrize("first", ["deposit", "withdrawal"])
def test_a_side_that_was_recorded_as_capital_is_reversed(funded: Bookkeeper, tmp_path: Path, first: str) -> None:
    """The second side waits, since nothing that is recorded is taken back without a person."""
    if first == "deposit":
        imported(funded, written(tmp_path, into(2, 1, "40"), name="two.json"))
        report = imported(funded, written(tmp_path, out(1, 2, "40")))
    else:
        report = imported(funded, written(tmp_path, out(1, 0, "40")), price_from="marks")
        assert report.is_whole
        report = imported(funded, written(tmp_path, into(2, 1, "40"), name="two.json"), goes_on=True)
    (entry,) = report.waiting
    done = resolve_internal(funded, BOOK, entry.id, SideReference(version=3) if first == "deposit" else None)
    assert (done.reversed, str(done.fee)) == (4, "0")
    assert types(funded) == ["deposit", first, "reversal"]
    assert (balances(funded), str(net_basis(funded))) == ({"RLUSD": "100"}, "100")
    assert imported(funded, tmp_path / "given.json", tmp_path / "two.json", goes_on=True).added.total() == 0 or first
    assert check(funded.database, BOOK).ok


def test_an_entry_that_was_answered_or_dismissed_is_not_paired(funded: Bookkeeper, tmp_path: Path) -> None:
    one = written(tmp_path, out(1, 0, "40"), name="one.json")
    imported(funded, one)
    dismiss(funded, BOOK, 1, "not ours")
    report = imported(funded, one, written(tmp_path, into(2, 1, "40")))
    assert (report.internal, report.dismissed, dict(report.added)) == (0, 1, {"deposit": 1})


# ---- two books


@dataclass
class Desk:
    """A ledger with two books, each with an inbox."""

    keeper: Bookkeeper
    folder: Path

    def imported(self, book: str, *rows: dict[str, Any]) -> ImportReport:
        """Import rows into a book, past what waits."""
        path = written(self.folder, *rows, name=f"{book}.json")
        files = files_of("ccxt", [FileSource(str(path))])
        return import_files(self.keeper, book, files, Settings("RLUSD"), Policy(goes_on=True))


@pytest.fixture
def desk(keeper: Bookkeeper, tmp_path: Path) -> Desk:
    """80 of capital and 20 of profit in `main`; nothing in `bot`."""
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="80", at=at(-60), key="start"))
    keeper.append(BOOK, event("adjustment", asset="RLUSD", amount="20", reason="reward", at=at(-50), key="profit"))
    keeper.open_book("bot", Opened.model_validate({"mode": "live"}))
    return Desk(keeper, tmp_path)


def figures(keeper: Bookkeeper, book: str) -> tuple[str, ...]:
    """Net deposits, net basis, total PnL and transferred profit."""
    state = keeper.view(book).state
    found = pnl(state, state.marks, "RLUSD")
    shown = (found.net_deposits, found.net_basis, found.total_pnl, found.transferred_profit)
    return tuple("-" if each is None else f"{each.normalize():f}" for each in shown)


@pytest.mark.parametrize("number", ["of the withdrawal", "of the deposit"])
def test_a_transfer_that_waits_in_two_books_is_recorded_as_one(desk: Desk, number: str) -> None:
    desk.keeper.append(BOOK, event("deposit", asset="XRP", amount="50", price="1", at=at(-40), key="XRP"))
    desk.keeper.append(BOOK, event("mark", asset="XRP", price="1", at=at(-1), key="mark"))
    desk.imported(BOOK, out(1, 0, "50", "XRP", fee={"cost": "0.2", "currency": "RLUSD"}))
    desk.imported("bot", into(2, 1, "50", "XRP"))
    answer = Answer({"XRP": Decimal(1)}, actor="ann")
    done = resolve_transfer(desk.keeper, *((BOOK, 1) if number == "of the withdrawal" else ("bot", 1)), answer)
    assert (done.sent, done.received, str(done.fee), done.reversed) == ("main:7", "bot:2", "0", None)
    assert figures(desk.keeper, BOOK) == ("80", "99.8", "19.8", "19.8")
    assert figures(desk.keeper, "bot") == ("50", "30.2", "-", "-19.8")
    for book, version in ((BOOK, 7), ("bot", 2)):
        (entry,) = entries(desk.keeper, book, all_of_them=True)
        assert (entry.status, entry.version) == ("resolved", version)
        assert check(desk.keeper.database, book).ok
    for book, row in (
        (BOOK, out(1, 0, "50", "XRP", fee={"cost": "0.2", "currency": "RLUSD"})),
        ("bot", into(2, 1, "50", "XRP")),
    ):
        assert (desk.imported(book, row).existed, desk.imported(book, row).added.total()) == (1, 0)


def test_a_deposit_that_was_recorded_gives_way_to_the_transfer(desk: Desk) -> None:
    """What went out and did not arrive is the sender's fee."""
    desk.imported("bot", into(2, 1, "39.5"))
    desk.imported(BOOK, out(1, 0, "40"))
    done = resolve_transfer(desk.keeper, BOOK, 1, Answer())
    assert (done.sent, done.received, done.fee, done.reversed) == ("main:4", "bot:4", Decimal("0.5"), 3)
    assert types(desk.keeper, "bot") == ["deposit", "reversal", "deposit"]
    assert figures(desk.keeper, "bot") == ("39.5", "19.5", "0", "-20")
    assert figures(desk.keeper, BOOK) == ("40.5", "60.5", "19.5", "20")
    assert check(desk.keeper.database, BOOK).ok
    assert check(desk.keeper.database, "bot").ok


def test_an_equal_amount_at_a_near_time_is_only_proposed(desk: Desk) -> None:
    desk.imported(BOOK, movement(1, 0, "withdrawal", "30", "XRP"))
    desk.imported("bot", movement(2, 600, "deposit", "30", "XRP"), movement(3, 2000, "deposit", "30", "XRP"))
    report = inbox_report(desk.keeper.database, BOOK)
    assert cast("Any", report.document)["entries"][0]["proposed_sides"] == ["the deposit that waits in bot as entry 1"]
    with pytest.raises(Refused, match="no other side of its transaction is known"):
        resolve_transfer(desk.keeper, BOOK, 1, Answer())


@pytest.mark.both_engines
def test_a_recorded_movement_of_equal_amount_is_proposed_and_can_be_named(desk: Desk) -> None:
    """A deposit of the numeraire goes straight in, so that it never waits."""
    desk.imported(
        "bot",
        movement(2, 600, "deposit", "30"),
        movement(3, 2000, "deposit", "30"),  # too late
        movement(4, 0, "deposit", "31"),
        into(5, 0, "30"),  # of a transaction of its own, which is no objection to an entry without a hash
    )
    desk.imported(BOOK, movement(1, 0, "withdrawal", "30"))
    (found,) = cast("Any", inbox_report(desk.keeper.database, BOOK).document)["entries"]
    versions = {stored.event.key: stored.version for stored in log_of(desk.keeper, "bot")}
    assert found["proposed_sides"] == [
        f"the deposit bot:{version}" for version in sorted((versions["ccxt:deposit:2"], versions["ccxt:deposit:5"]))
    ]
    done = resolve_transfer(desk.keeper, BOOK, 1, Answer(), SideReference("bot", version=versions["ccxt:deposit:2"]))
    assert (done.sent, done.fee) == ("main:4", Decimal(0))
    assert figures(desk.keeper, "bot") == ("121", "101", "0", "-20")
    assert check(desk.keeper.database, BOOK).ok
    assert check(desk.keeper.database, "bot").ok


def test_a_person_names_the_other_side_where_no_hash_does(desk: Desk) -> None:
    desk.keeper.append(BOOK, event("mark", asset="XRP", price="1", at=at(-1), key="mark"))
    desk.keeper.append(BOOK, event("deposit", asset="XRP", amount="50", price="1", at=at(-1), key="XRP"))
    desk.imported(BOOK, movement(1, 0, "withdrawal", "30", "XRP"))
    desk.imported("bot", movement(2, 600, "deposit", "30", "XRP"))
    done = resolve_transfer(desk.keeper, BOOK, 1, Answer({"XRP": Decimal(1)}), SideReference("bot", 1))
    assert (done.sent, done.received) == ("main:6", "bot:2")


REFUSED: dict[str, tuple[Change, str]] = {
    "an entry that is not there": (lambda keeper: resolve_internal(keeper, BOOK, 9), "no such entry"),
    "another asset": (lambda keeper: resolve_internal(keeper, BOOK, 1, SideReference(entry=2)), "is no deposit of RLUSD"),
    "more arrived": (lambda keeper: resolve_internal(keeper, BOOK, 1, SideReference(version=5)), "31 arrived of 30"),
    "no version": (lambda keeper: resolve_internal(keeper, BOOK, 1, SideReference(version=99)), "no version 99"),
    "itself": (lambda keeper: resolve_internal(keeper, BOOK, 1, SideReference(entry=1)), "is no deposit of RLUSD"),
    "no version in the other book": (
        lambda keeper: resolve_transfer(keeper, BOOK, 1, Answer(), SideReference("bot", version=9)), "bot has no version 9"),
    "a transfer within a book": (
        lambda keeper: resolve_transfer(keeper, BOOK, 1, Answer(), SideReference(version=5)), "is in the same book"),
    "another book": (lambda keeper: resolve_internal(keeper, BOOK, 3, SideReference("bot", 1)), "is in another book"),
    "the withdrawal is recorded": (
        lambda keeper: resolve_transfer(keeper, "bot", 1, Answer()), "main:4 is recorded already"),
}  # fmt: skip


def test_what_is_no_pair_is_refused(desk: Desk) -> None:
    desk.keeper.append(
        BOOK, event("withdrawal", asset="XRP", amount="5", price="1", basis_delta="-5", tx_hash=HASH, key="w")
    )
    desk.imported("bot", into(9, 0, "5", "XRP"))
    desk.imported(
        BOOK,
        movement(1, 0, "withdrawal", "30"),
        into(2, 1, "30", "XRP"),
        movement(3, 2, "deposit", "31", "RLUSD"),
        movement(4, 3, "withdrawal", "9", "XRP"),
    )
    before = [entries(desk.keeper, book) for book in (BOOK, "bot")]
    for name, (attempt, words) in REFUSED.items():
        with pytest.raises(Refused) as refused:
            attempt(desk.keeper)
        assert words in str(refused.value), name
        assert before == [entries(desk.keeper, book) for book in (BOOK, "bot")], name


# ---- anything, in any order

MOVES = st.lists(
    st.tuples(st.sampled_from(["deposit", "withdrawal"]), st.sampled_from([HASH, OTHER_HASH, None]), st.integers(1, 2)),
    min_size=2,
    max_size=6,
)


@settings(max_examples=settings().max_examples // 3)
@given(moves=MOVES)
def test_any_movements_are_paired_by_hash_and_amount(moves: list[Any]) -> None:
    """By hash and amount, as many pairs as there are movements of both directions; the rest is capital."""
    rows = [movement(n, n, kind, str(amount), txid=tx_hash) for n, (kind, tx_hash, amount) in enumerate(moves)]
    pairs = 0
    for tx_hash in (HASH, OTHER_HASH):
        for amount in (1, 2):
            counts = [sum(move == (kind, tx_hash, amount) for move in moves) for kind in ("deposit", "withdrawal")]
            pairs += min(counts)
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder)) as keeper:
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount="100", at=at(-60), key="start"))
        report = imported(keeper, written(Path(folder), *rows), goes_on=True)
        assert report.internal == 2 * pairs
        waits = {entry.key for entry in entries(keeper)}
        again = imported(keeper, written(Path(folder), *rows), goes_on=True)
        assert (again.internal, again.added.total(), {entry.key for entry in entries(keeper)}) == (0, 0, waits)
        assert check(keeper.database, BOOK).ok
