"""`transfer`: capital and its basis move between two books; one side never stands without the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.bookkeeper import Bookkeeper
from engine.capital import (
    Fee,
    LinkOutcome,
    Movement,
    Place,
    TransferRequest,
    inject,
    link,
    reverse,
    transfer,
    transfer_within,
    withdraw,
)
from engine.proof.check import check
from engine.upkeep.copying import copy_book
from engine.upkeep.rebuild import rebuild
from ledger.errors import Conflict, NetbasisError, Refusal, Refused
from ledger.events import Adjustment, Opened, Reversal
from projections.pnl import pnl
from tests.ledger.database.store_support import content
from tests.support import BOOK, event, ledger_file, log_of, open_keeper

BOT = "bot"


def opened(keeper: Bookkeeper, name: str = BOT, **terms: object) -> None:
    keeper.open_book(name, Opened.model_validate({"mode": "live", **terms}))


@pytest.fixture
def desk(keeper: Bookkeeper) -> Bookkeeper:
    """Two books; the first has equity 200 and basis 180, so 20 of profit."""
    opened(keeper)
    inject(keeper, BOOK, Movement("180"))
    keeper.append(BOOK, event("adjustment", asset="RLUSD", amount="20", reason="reward"))
    return keeper


def move(keeper: Bookkeeper, amount: str = "50", to: str = BOT, **given: Any) -> Any:
    request = {name: given.pop(name) for name in ("fee", "even_so", "may_be_late", "prices") if name in given}
    dry_run = given.pop("dry_run", False)
    return transfer(keeper, BOOK, TransferRequest(Movement(amount, **given), to, **request), dry_run=dry_run)


def figures(keeper: Bookkeeper, name: str = BOOK) -> Any:
    state = keeper.view(name).state
    return pnl(state, state.marks, "RLUSD")


def require_sound(keeper: Bookkeeper, *names: str) -> None:
    for name in names or (BOOK, BOT):
        found = check(keeper.database, name)
        assert (found.findings, [note for note in found.notes if "transfer" in note]) == ([], []), name


def test_of_fifty_with_twenty_of_profit_thirty_of_basis_move(desk: Bookkeeper) -> None:
    done = move(desk)
    here, there = figures(desk), figures(desk, BOT)
    assert (done.plan.sent.evidence.profit, done.plan.sent.evidence.principal) == (20, 30)
    assert (here.net_basis, here.net_deposits, here.total_pnl) == (150, 130, 20)
    assert (there.net_basis, there.net_deposits, there.total_pnl, there.retained_profit) == (30, 50, 0, 20)
    assert (here.withdrawn_profit, there.withdrawn_profit) == (0, 0)
    assert (here.transferred_profit, there.transferred_profit) == (20, -20)
    require_sound(desk)


def test_both_sides_carry_one_id_and_each_others_book(desk: Bookkeeper) -> None:
    move(desk, key="T1", actor="owner", tx_hash="ab", source_note="for the bot")
    sent, received = log_of(desk)[-1].event, log_of(desk, BOT)[-1].event
    assert (sent.transfer.id, sent.transfer.book) == ("T1", BOT)  # type: ignore[attr-defined]
    assert (received.transfer.id, received.transfer.book) == ("T1", BOOK)  # type: ignore[attr-defined]
    for name in ("key", "at", "actor", "tx_hash", "source_note", "asset", "amount"):
        assert getattr(sent, name) == getattr(received, name), name


def test_an_asset_moves_at_the_senders_mark(desk: Bookkeeper) -> None:
    desk.append(BOOK, event("deposit", asset="XRP", amount="100", price="1"))
    desk.append(BOOK, event("mark", asset="XRP", price="2"))
    before = figures(desk)
    move(desk, "10", asset="XRP")
    (received,) = log_of(desk, BOT)[1:]
    assert received.price == 2
    assert received.effects.net_deposits_delta == 20
    assert figures(desk).total_pnl == before.total_pnl
    require_sound(desk)


def test_a_fee_on_the_way_is_a_loss_of_the_sender(desk: Bookkeeper) -> None:
    move(desk, fee=Fee(Decimal("0.1")), key="T1")
    lost = log_of(desk)[-1].event
    assert isinstance(lost, Adjustment)
    assert (lost.amount, lost.reason) == (Decimal("-0.1"), "fee")
    assert (figures(desk).total_pnl, figures(desk, BOT).total_pnl) == (Decimal("19.9"), 0)
    assert figures(desk).fees == {"RLUSD": Decimal("0.1")}
    assert move(desk, fee=Fee(Decimal("0.1")), key="T1").existing is not None
    with pytest.raises(Refused, match="insufficient_balance"):
        move(desk, "149", fee=Fee(Decimal(1)))


@pytest.mark.parametrize("given", [{"key": "T1"}, {"tx_hash": "0xAB"}, {"tx_hash": "ab", "key": "T1"}])
def test_given_again_it_is_not_recorded_again(desk: Bookkeeper, given: dict[str, str]) -> None:
    first = move(desk, **given)
    before = content(desk.database)
    again = move(desk, **given)
    assert first.recorded is not None
    assert again.existing == tuple(outcome.stored for outcome in first.recorded)
    assert move(desk, dry_run=True, **given).existing == again.existing
    with pytest.raises(Conflict, match="amount"):
        move(desk, "51", **given)
    assert content(desk.database) == before


@pytest.mark.parametrize("fee", [Fee(Decimal("0.2")), Fee(Decimal("0.1"), "XRP")])
def test_given_again_with_another_fee_it_is_refused(desk: Bookkeeper, fee: Fee) -> None:
    move(desk, tx_hash="AB", fee=Fee(Decimal("0.1")))
    assert move(desk, tx_hash="AB", fee=Fee(Decimal("0.1"))).existing is not None
    with pytest.raises(Conflict, match="another fee"):
        move(desk, tx_hash="AB", fee=fee)
    move(desk, "10", tx_hash="CD")
    with pytest.raises(Conflict, match="another fee"):
        move(desk, "10", tx_hash="CD", fee=fee)


def test_a_dry_run_plans_what_would_be_done_and_writes_nothing(desk: Bookkeeper) -> None:
    before = content(desk.database)
    planned = move(desk, dry_run=True, key="T1", fee=Fee(Decimal(1))).plan
    assert content(desk.database) == before
    done = move(desk, key="T1", fee=Fee(Decimal(1))).plan
    assert planned is not None
    assert done is not None
    assert (planned.sent.evidence, planned.net_basis, planned.net_deposits) == (
        done.sent.evidence,
        done.net_basis,
        done.net_deposits,
    )


def other_numeraire(keeper: Bookkeeper) -> Any:
    opened(keeper, "usd", numeraire="USD")
    return move(keeper, to="usd")


def other_mode(keeper: Bookkeeper) -> Any:
    opened(keeper, "paper", mode="paper")
    return move(keeper, to="paper")


def unknown_basis(keeper: Bookkeeper) -> Any:
    keeper.append(BOOK, event("deposit", asset="RLUSD", amount="5", basis_unknown=True))
    return move(keeper)


def recorded_there(keeper: Bookkeeper) -> Any:
    keeper.append(BOT, event("deposit", asset="RLUSD", amount="50", tx_hash="ab", key="venue:1"))
    return move(keeper, tx_hash="AB")


def recorded_here(keeper: Bookkeeper) -> Any:
    keeper.append(BOOK, event("withdrawal", asset="RLUSD", amount="50", basis_delta="-30", tx_hash="ab", key="venue:1"))
    return move(keeper, "49", tx_hash="AB")


REFUSED: dict[str, tuple[Callable[[Bookkeeper], Any], str]] = {
    "to itself": (lambda keeper: move(keeper, to=BOOK), "transfer_same_book"),
    "to nowhere": (lambda keeper: move(keeper, to="nowhere"), "book_unknown"),
    "another numeraire": (other_numeraire, "transfer_terms_differ"),
    "another mode": (other_mode, "transfer_terms_differ"),
    "an unknown basis": (unknown_basis, "basis_incomplete"),
    "more than there is": (lambda keeper: move(keeper, "201"), "insufficient_balance"),
    "nothing": (lambda keeper: move(keeper, "0"), "amount_must_be_positive"),
    "recorded there": (recorded_there, "transfer_recorded"),
    "recorded here with another amount": (recorded_here, "transfer_recorded"),
    "ahead of the clock": (lambda keeper: move(keeper, at="2062-01-01T00:00:00Z"), "at_in_future"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_moves_nothing(desk: Bookkeeper, what: str) -> None:
    attempt, code = REFUSED[what]
    with pytest.raises(NetbasisError) as error:
        attempt(desk)
    assert error.value.code == code
    assert figures(desk, BOT).transferred_profit == figures(desk).transferred_profit == 0
    assert all(stored.reason != "transfer" for stored in log_of(desk))


# One side alone


def side(book: str = BOT, **fields: object) -> Any:
    return event("deposit", asset="RLUSD", amount="5", key="T", transfer={"id": "T", "book": book}, **fields)


def other(amount: str = "5", basis: str = "-5", book: str = BOOK, id_: str = "T") -> Any:
    given = {"asset": "RLUSD", "amount": amount, "basis_delta": basis, "key": id_}
    return event("withdrawal", **given, transfer={"id": id_, "book": book})


@pytest.mark.parametrize(
    "answer",
    [None, other(amount="4", basis="-5"), other(basis="-4"), other(book="elsewhere"), other(id_="U"), side(BOOK)],
)
def test_a_side_without_its_other_side_is_refused_however_it_is_written(desk: Bookkeeper, answer: Any) -> None:
    before = content(desk.database)
    with pytest.raises(Refused) as refused, desk.transactions(BOOK, BOT) as (here, there):  # noqa: PT012
        here.append(side())
        if answer is not None:
            there.append(answer)
    assert refused.value.refusal is Refusal.TRANSFER_UNPAIRED
    assert content(desk.database) == before


def test_neither_side_is_reversed_alone(desk: Bookkeeper) -> None:
    done = move(desk)
    assert done.recorded is not None
    before = content(desk.database)
    for name, outcome in zip((BOOK, BOT), done.recorded, strict=True):
        with pytest.raises(Refused, match="transfer_unpaired"):
            desk.append(name, Reversal(reverses=outcome.version))
    assert content(desk.database) == before


@pytest.mark.parametrize("first", [BOOK, BOT])
def test_reversing_one_side_reverses_both(desk: Bookkeeper, first: str) -> None:
    before = figures(desk), figures(desk, BOT)
    done = move(desk)
    assert done.recorded is not None
    version = dict(zip((BOOK, BOT), done.recorded, strict=True))[first].version
    shown = reverse(desk, first, Reversal(reverses=version, key="undo"), dry_run=True)
    undone = reverse(desk, first, Reversal(reverses=version, key="undo"))
    assert shown.plan is not None
    assert undone.plan is not None
    assert undone.plan.other is not None
    assert undone.plan.other.book == (BOT if first == BOOK else BOOK)
    assert shown.plan.pnl_after == undone.plan.pnl_after
    assert [part.net_basis for part in (figures(desk), figures(desk, BOT))] == [part.net_basis for part in before]
    assert figures(desk).transferred_profit == figures(desk, BOT).transferred_profit == 0
    assert reverse(desk, first, Reversal(reverses=version, key="undo")).existing is not None
    for name, outcome in zip((BOOK, BOT), done.recorded, strict=True):
        with pytest.raises(Refused, match="already_reversed"):
            reverse(desk, name, Reversal(reverses=outcome.version, key="again"))
    require_sound(desk)


# Tied afterwards


def tie(keeper: Bookkeeper, out: int, into: int, **given: Any) -> LinkOutcome:
    return link(keeper, Place(BOOK, out), Place(BOT, into), **given)


def apart(keeper: Bookkeeper, amount: str = "50", **fields: object) -> tuple[int, int]:
    """A withdrawal and a deposit that were recorded apart; their versions."""
    out = withdraw(keeper, BOOK, Movement("50", key="w")).outcome
    into = keeper.append(BOT, event("deposit", asset="RLUSD", amount=amount, key="d", **fields))
    assert out is not None
    return out.version, into.version


@pytest.mark.parametrize("is_turned", [False, True])
def test_two_movements_recorded_apart_become_one_transfer(desk: Bookkeeper, is_turned: bool) -> None:
    out, into = apart(desk, "49.5", basis_unknown=True)
    places = [Place(BOOK, out), Place(BOT, into)]
    before = content(desk.database)
    planned = link(desk, *(places[::-1] if is_turned else places), dry_run=True).plan
    assert content(desk.database) == before
    done = link(desk, *(places[::-1] if is_turned else places))
    assert planned == done.plan
    here, there = figures(desk), figures(desk, BOT)
    assert (here.net_basis, here.withdrawn_profit, here.transferred_profit) == (150, 0, Decimal("19.5"))
    assert (there.net_basis, there.net_deposits, there.transferred_profit) == (30, Decimal("49.5"), Decimal("-19.5"))
    assert (here.total_pnl, there.total_pnl, here.fees) == (Decimal("19.5"), 0, {"RLUSD": Decimal("0.5")})
    again = tie(desk, out, into)
    assert (again.existed, again.recorded) == (True, None)
    require_sound(desk)


def test_the_pair_keeps_time_hash_and_words(desk: Bookkeeper) -> None:
    out, into = apart(desk, tx_hash="ab", source_note="from the desk", at="2026-01-05T09:00:01Z")
    tied = tie(desk, out, into).recorded
    assert tied is not None
    there = log_of(desk, BOT)[-1]
    assert (there.version, there.tx_hash, there.event.source_note) == (tied[1].version, "AB", "from the desk")
    assert (there.event.corrects, there.at) == (into, log_of(desk, BOT)[into - 1].at)


def test_what_is_no_pair_is_not_tied(desk: Bookkeeper) -> None:
    out, into = apart(desk)
    more = desk.append(BOT, event("deposit", asset="RLUSD", amount="51")).version
    coin = desk.append(BOT, event("deposit", asset="XRP", amount="1", price="1")).version
    mark = desk.append(BOT, event("mark", asset="XRP", price="1")).version
    before = content(desk.database)
    for version in (more, coin, mark):
        with pytest.raises(Refused, match="transfer_not_a_pair"):
            tie(desk, out, version)
    with pytest.raises(Refused, match="reversed_version_unknown"):
        tie(desk, out, 99)
    with pytest.raises(Refused, match="transfer_same_book"):
        link(desk, Place(BOOK, out), Place(BOOK, 2))
    assert content(desk.database) == before
    reverse(desk, BOT, Reversal(reverses=into))
    with pytest.raises(Refused, match="already_reversed"):
        tie(desk, out, into)


# What proves it


def damage(desk: Bookkeeper, statement: str) -> None:
    with desk.database.writing() as connection:
        names = connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
        for name in names:
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text(statement))


def transfer_findings(keeper: Bookkeeper, name: str) -> tuple[list[str], list[str]]:
    found = check(keeper.database, name, only=["transfers"])
    return [finding.detail for finding in found.findings], [note for note in found.notes if "transfer" in note]


def test_check_finds_a_side_that_is_missing(desk: Bookkeeper) -> None:
    move(desk)
    desk.append(BOT, event("mark", asset="XRP", price="1"))
    damage(desk, f"DELETE FROM events WHERE book = '{BOT}' AND version = 2")
    (detail,), _ = transfer_findings(desk, BOOK)
    assert "is missing" in detail


def test_check_finds_a_reversal_without_the_other(desk: Bookkeeper) -> None:
    done = move(desk)
    assert done.recorded is not None
    reverse(desk, BOOK, Reversal(reverses=done.recorded[0].version))
    damage(desk, f"DELETE FROM events WHERE book = '{BOT}' AND version = 3")
    (detail,), _ = transfer_findings(desk, BOOK)
    assert "while the other side" in detail
    (detail,), _ = transfer_findings(desk, BOT)
    assert "is reversed" in detail


def test_in_a_copy_of_one_book_the_other_side_is_a_note(desk: Bookkeeper, tmp_path: Path) -> None:
    move(desk)
    move(desk, "5")
    with Bookkeeper.open(str(ledger_file(tmp_path, "copy.db"))) as copied:
        copy_book(desk.database, copied.database, BOOK)
        findings, notes = transfer_findings(copied, BOOK)
        assert findings == []
        assert notes == ["2 transfers' other sides are in the book 'bot', which is not in this ledger"]
        with pytest.raises(Refused, match="book_unknown"):
            reverse(copied, BOOK, Reversal(reverses=log_of(copied)[-1].version))
        copy_book(desk.database, copied.database, BOT)
        require_sound(copied)


def test_a_copy_of_the_other_book_that_ends_before_the_transfer_is_a_note(desk: Bookkeeper, tmp_path: Path) -> None:
    with Bookkeeper.open(str(ledger_file(tmp_path, "copy.db"))) as copied:
        copy_book(desk.database, copied.database, BOT)
        move(desk)
        copy_book(desk.database, copied.database, BOOK)
        findings, notes = transfer_findings(copied, BOOK)
        assert (findings, len(notes)) == ([], 1)
        assert "ends before the transfer" in notes[0]


def test_a_rebuild_folds_the_same(desk: Bookkeeper) -> None:
    move(desk)
    out, into = apart(desk)
    tie(desk, out, into)
    for name in (BOOK, BOT):
        assert rebuild(desk.database, name).changes == []


# Any books

BOOKS = ("a", "b", "c")
_cents = st.integers(1, 10_000).map(lambda cents: f"{cents}E-2")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("deposit"), st.sampled_from(BOOKS), st.sampled_from(["RLUSD", "XRP"]), _cents),
        st.tuples(st.just("mark"), st.sampled_from(BOOKS), _cents),
        st.tuples(st.just("earn"), st.sampled_from(BOOKS), _cents),
        st.tuples(
            st.just("move"), st.sampled_from(BOOKS), st.sampled_from(BOOKS), st.sampled_from(["RLUSD", "XRP"]), _cents
        ),
        st.tuples(st.just("undo"), st.sampled_from(BOOKS), st.integers(0, 30)),
        st.tuples(st.just("withdraw"), st.sampled_from(BOOKS), _cents),
    ),
    max_size=10,
)


def valued(keeper: Bookkeeper, name: str, price: Decimal) -> Any:
    """Equity and total PnL of a book, its XRP at one price in all books."""
    state = keeper.view(name).state
    equity = state.inventory.balance("RLUSD") + state.inventory.balance("XRP") * price
    return equity, equity - state.engine_state.starting_value


def stepped(keeper: Bookkeeper, step: tuple[Any, ...]) -> None:
    match step:
        case "deposit", book, asset, amount:
            keeper.append(book, event("deposit", asset=asset, amount=amount, price=None if asset == "RLUSD" else "1"))
        case "mark", book, price:
            keeper.append(book, event("mark", asset="XRP", price=price))
        case "earn", book, amount:
            keeper.append(book, event("adjustment", asset="RLUSD", amount=amount, reason="reward"))
        case "withdraw", book, amount:
            withdraw(keeper, book, Movement(amount))
        case "undo", book, version:
            reverse(keeper, book, Reversal(reverses=version or 1))
        case "move", sender, receiver, asset, amount:
            moved(keeper, sender, receiver, Movement(amount, asset))


def moved(keeper: Bookkeeper, sender: str, receiver: str, movement: Movement) -> None:
    """A transfer moves the PnL of neither book at its own price, and conserves equity and basis over the two."""
    before = {name: keeper.view(name).state for name in (sender, receiver)}
    mark = before[sender].marks.get("XRP")
    price = mark.price if mark is not None else Decimal(1)
    worths = {name: valued(keeper, name, price) for name in (sender, receiver)}
    done = transfer(keeper, sender, TransferRequest(movement, receiver))
    assert done.plan is not None
    after = {name: keeper.view(name).state for name in (sender, receiver)}
    value = done.plan.sent.value
    for name, sign in ((sender, -1), (receiver, 1)):
        equity, earned = valued(keeper, name, price)
        assert (equity - worths[name][0], earned - worths[name][1]) == (sign * value, 0)
        assert after[name].basis.net_deposits - before[name].basis.net_deposits == sign * value
    bases = [sum(state[name].basis.net_basis for name in (sender, receiver)) for state in (before, after)]
    assert bases[0] == bases[1]


@settings(max_examples=settings().max_examples // 3)
@given(_steps)
def test_over_any_books_and_reversals_what_moves_between_them_cancels(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_keeper(Path(folder), book=None) as keeper:
        for name in BOOKS:
            opened(keeper, name)
        for step in steps:
            try:
                stepped(keeper, step)
            except (Refused, Conflict):
                continue
            finally:
                states = [keeper.view(name).state.basis for name in BOOKS]
                assert sum(basis.transferred_profit for basis in states) == 0
        require_sound(keeper, *BOOKS)


def test_an_importer_records_both_sides_in_a_transaction_of_its_own(desk: Bookkeeper) -> None:
    request = TransferRequest(Movement("50", tx_hash="ab", at="2026-01-05T09:00:06Z"), BOT, may_be_late=True)
    for is_new in (True, False):
        with desk.transactions(BOOK, BOT) as (here, there):
            done = transfer_within(here, there, request, id_="AB:transfer:RLUSD", now=desk.now())
        assert (done.recorded is not None, done.existing is not None) == (is_new, not is_new)
    found = [log_of(desk, name)[-1] for name in (BOOK, BOT)]
    assert [(stored.tx_hash, stored.at.second) for stored in found] == [("AB", 6), ("AB", 6)]
    require_sound(desk)
