"""A page of the register is a part of the whole register, with the same balances, wherever it is and however it is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bookkeeper import Bookkeeper
from engine.reports import history, paging
from engine.reports.capital import BasisPageChoice, basis_page, movements
from engine.reports.history import BEGINNING, Anchor, History
from engine.reports.paging import Page, PageChoice, register_page
from engine.views import Moment, RegisterFilter, audit_basis, register
from ledger import store
from ledger.capital_index import moves_basis
from ledger.events import Event
from projections.register import RegisterRow
from tests.engines import raw_access
from tests.ledger.database.store_support import SAMPLE_VERSIONS, append_sample, fill
from tests.support import BOOK, START, event, open_keeper

EVENTS = 60
EVERY = PageChoice(Moment(), RegisterFilter(), every=True)


def log(count: int, after: int = SAMPLE_VERSIONS) -> Iterator[Event]:
    """Events of every kind that moves something, some dated before the one before. `after`: the version before the first."""
    for number in range(count):
        at = f"{START - timedelta(days=1) + timedelta(minutes=(number * 7) % 50):%Y-%m-%dT%H:%M:%SZ}"
        name = "s1" if number % 3 else "s2"
        match number % 6:
            case 0:
                yield event("deposit", asset="RLUSD", amount=str(number + 1), key=f"d{number}", at=at)
            case 1 | 4:
                yield fill(f"f{number}", at=at, session_id=name, fee_asset="XRP", fee_amount="0.01", strategy=name)
            case 2:
                yield event("mark", asset="XRP", price=f"1.{number:03}", key=f"m{number}", at=at)
            case 3:
                yield event("withdrawal", asset="RLUSD", amount="0.5", basis_delta="-0.25", key=f"w{number}", at=at)
            case _:
                yield event("reversal", reverses=after + number - (2 if number % 12 == 5 else 3), key=f"r{number}")


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookkeeper]:
    with open_keeper(Path(tmp_path_factory.mktemp("paging"))) as opened:
        append_sample(opened)
        opened.append_all(BOOK, list(log(EVENTS)))
        yield opened


def whole(keeper: Bookkeeper, wanted: PageChoice) -> list[RegisterRow]:
    """All rows that are wanted, newest first, by the register that folds the log from its beginning."""
    types = (None, "opened", "mark", "basis_commit", "baseline", "reversal") if wanted.every else (wanted.chosen.type,)
    rows: list[RegisterRow] = []
    for kind in types:
        chosen = RegisterFilter(**{**_fields(wanted.chosen), "type": kind})
        with register(keeper.database, BOOK, wanted.moment, chosen) as (_, _, found):
            rows += [row for row in found if row not in rows]
    rows.sort(key=lambda row: row.version, reverse=True)
    return rows


def _fields(chosen: RegisterFilter) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in RegisterFilter.__dataclass_fields__}


def ordered(rows: Sequence[RegisterRow]) -> list[RegisterRow]:
    """Rows in one order, whatever the order of an event's own postings."""
    return sorted(rows, key=lambda row: (-row.version, row.asset or "", row.delta or 0))


def walk(keeper: Bookkeeper, wanted: PageChoice, anchors: Sequence[Anchor], *, forward: bool = False) -> list[Page]:
    """Page after page, from the newest back, or from the oldest on."""
    pages: list[Page] = []
    place: int | None = 0 if forward else None
    while True:
        fields = {name: getattr(wanted, name) for name in PageChoice.__dataclass_fields__}
        fields |= {"after": place} if forward else {"before": place}
        pages.append(register_page(keeper.database, BOOK, PageChoice(**fields), anchors))
        place = pages[-1].newer if forward else pages[-1].older
        if place is None:
            return pages


@pytest.fixture(scope="module")
def anchors(keeper: Bookkeeper) -> list[Anchor]:
    """An anchor at every version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "ANCHOR_EVERY", 1)
        found = History(keeper.terms(BOOK))
        while found.take_in(keeper.database, 7):
            pass
    return found.anchors


MOMENTS = [Moment(), Moment(as_of=40), Moment(as_of=START - timedelta(hours=23, minutes=40)), Moment(as_of=1)]
CHOICES = [
    PageChoice(Moment(), RegisterFilter()),
    EVERY,
    PageChoice(Moment(), RegisterFilter(asset="XRP")),
    PageChoice(Moment(), RegisterFilter(type="fill", session="s2")),
    PageChoice(Moment(), RegisterFilter(type="mark")),
    PageChoice(Moment(), RegisterFilter(strategy="s1", start=START - timedelta(hours=23, minutes=30))),
    PageChoice(Moment(), RegisterFilter(asset="nothing"), every=True),
]


@given(
    moment=st.sampled_from(MOMENTS),
    choice=st.sampled_from(CHOICES),
    size=st.integers(1, 30),
    anchored=st.sets(st.integers(2, EVENTS), max_size=3),
    searched=st.sampled_from([5, 17, 1_000]),
    forward=st.booleans(),
)
def test_the_pages_together_are_the_register(
    keeper: Bookkeeper,
    anchors: list[Anchor],
    moment: Moment,
    choice: PageChoice,
    size: int,
    anchored: set[int],
    searched: int,
    forward: bool,
) -> None:
    wanted = PageChoice(moment, choice.chosen, every=choice.every, events=size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "SEARCHED", searched)
        pages = walk(keeper, wanted, [anchors[version] for version in (0, *sorted(anchored))], forward=forward)
    assert all(page.is_counted for page in pages)
    assert all(len({row.version for row in page.rows}) <= size for page in pages)
    rows = [row for page in (reversed(pages) if forward else pages) for row in page.rows]
    assert ordered(rows) == ordered(whole(keeper, wanted))
    covered = sorted(page.searched for page in pages)
    assert [first for first, _ in covered][1:] == [last + 1 for _, last in covered][:-1], "no version is left out"


@pytest.mark.parametrize("counted", [0, 3, 20])
def test_balances_that_are_too_far_to_count_are_left_out_and_never_wrong(keeper: Bookkeeper, counted: int) -> None:
    expected = {(row.version, row.asset, row.delta): row.balance for row in whole(keeper, EVERY)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "COUNTED", counted)
        pages = walk(keeper, PageChoice(Moment(), RegisterFilter(), every=True, events=3), [BEGINNING])
    assert {page.is_counted for page in pages} == ({False} if not counted else {True, False})
    for page in pages:
        for row in page.rows:
            known = expected[row.version, row.asset, row.delta]
            assert row.balance == (known if page.is_counted else None)


@pytest.mark.both_engines
def test_a_search_finds_the_events_whose_bytes_have_the_text(location: str, tmp_path: Path) -> None:
    with open_keeper(tmp_path, location=location) as opened:
        append_sample(opened)
        odd = 'a "quoted" \\ Ä'
        opened.append(BOOK, event("deposit", asset="RLUSD", amount="1", key=odd, source_note=odd))
        opened.append_all(BOOK, list(log(12, SAMPLE_VERSIONS + 1)))
        versions = {row.version for row in whole(opened, EVERY)}
        with opened.database.reading() as connection:
            bodies = {each.version: each.body.decode() for each in store.read_events(connection, BOOK)}
        for text in ("s1", "f10", "network_fee", '"quoted" \\ Ä', "Ä", "\\", "nowhere"):
            found = register_page(opened.database, BOOK, PageChoice(Moment(), RegisterFilter(), every=True, text=text))
            has = text.replace("\\", "\\\\").replace('"', '\\"')
            wanted = {version for version, body in bodies.items() if has in body}
            assert {row.version for row in found.rows} == versions & wanted, text


@settings(max_examples=settings().max_examples // 2)
@given(size=st.integers(1, 20), moment=st.sampled_from(MOMENTS), forward=st.booleans())
def test_the_pages_of_the_basis_together_are_its_history(
    keeper: Bookkeeper, size: int, moment: Moment, forward: bool
) -> None:
    found, place = [], 0 if forward else None
    while True:
        wanted = BasisPageChoice(
            moment, events=size, after=place if forward else None, before=None if forward else place
        )
        page = basis_page(keeper.database, BOOK, wanted)
        found.append(list(page.rows))
        place = page.newer if forward else page.older
        if place is None:
            break
    audit = audit_basis(keeper.database, BOOK, moment)
    rows = [row for part in (reversed(found) if forward else found) for row in part]
    assert rows == audit.rows[::-1]
    assert page.net_basis == audit.net_basis


def test_a_page_of_the_basis_of_one_type_has_the_basis_of_all(keeper: Bookkeeper) -> None:
    audit = audit_basis(keeper.database, BOOK)
    page = basis_page(keeper.database, BOOK, BasisPageChoice(type="withdrawal", text="withdrawal", events=4))
    assert (
        page.rows == [row for row in audit.rows if row.type == "withdrawal" and row.version > SAMPLE_VERSIONS][::-1][:4]
    )


def test_the_movements_that_a_chart_shows_are_those_of_the_history_of_the_basis(keeper: Bookkeeper) -> None:
    audit = audit_basis(keeper.database, BOOK)
    every = movements(keeper.database, BOOK, Moment(), start=None, end=None, most=1_000)
    assert sorted(each.version for each in every) == [row.version for row in audit.rows]
    assert {each.version: each.basis_after for each in every} == {row.version: row.basis_after for row in audit.rows}
    assert [each.at for each in every] == sorted(row.at for row in audit.rows)
    newest = movements(keeper.database, BOOK, Moment(), start=None, end=None, most=3)
    assert {each.version for each in newest} == {row.version for row in audit.rows[-3:]}


def test_a_ledger_that_has_lost_its_index_of_capital_is_read_without(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        append_sample(opened)
        before = basis_page(opened.database, BOOK, BasisPageChoice())
        with raw_access(opened.database.location) as raw:
            raw.execute("DROP INDEX idx_events_capital")
        assert basis_page(opened.database, BOOK, BasisPageChoice()).rows == before.rows
        assert len(movements(opened.database, BOOK, Moment(), start=None, end=None, most=9)) == len(before.rows)


def test_the_capital_of_a_long_log_is_found_by_its_index(keeper: Bookkeeper) -> None:
    """SQLite would read the whole book: a second for a million events, with each request."""
    with keeper.database.reading() as connection:
        where = moves_basis(connection, BOOK).compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN SELECT basis_delta FROM events WHERE {where}").all()
    assert any("idx_events_capital" in row[-1] for row in plan), plan
    assert all("version=?" in row[-1] for row in plan if "PRIMARY KEY" in row[-1]), plan
