"""Lots, gains, returns, sessions and exposure on a page are what the commands print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cli.page import lots, site
from engine.bookkeeper import Bookkeeper
from engine.paper.strategy_config import Strategy
from tests.cli.page.page_support import Page, page_of
from tests.cli_support import Cli
from tests.ledger.database.store_support import fill
from tests.support import BOOK, event, it_is, open_keeper

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookkeeper]:
    """Fills of two sessions, both sides, over some days, with marks, a reward and a deposit between them."""
    with open_keeper(Path(tmp_path_factory.mktemp("lots"))) as opened:
        it_is(opened, datetime(2026, 2, 1, tzinfo=UTC))
        opened.append(BOOK, event("deposit", asset="RLUSD", amount="100", at="2026-01-10T00:00:00Z"))
        for number in range(8):
            day = f"2026-01-{11 + number}T12:00:00Z"
            side, price = ("sell" if number % 3 == 2 else "buy"), f"{13 + number % 4}.{number}"
            session = f"s{number % 2}"
            opened.append(
                BOOK, fill(f"f{number}", side=side, quote_amount=price, at=day, session_id=session, strategy="tight")
            )
            opened.append(BOOK, event("mark", asset="XRP", price=f"1.3{number}", at=day, key=f"m{number}"))
        opened.append(
            BOOK, event("adjustment", asset="XRP", amount="0.5", reason="reward", key="a1", at="2026-01-18T12:00:01Z")
        )
        opened.append(BOOK, event("deposit", asset="RLUSD", amount="20", at="2026-01-18T12:00:02Z"))
        it_is(opened, NOW)
        yield opened


@pytest.fixture(scope="module")
def page(keeper: Bookkeeper) -> Page:
    return page_of(keeper)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/lots", "lots"),
        ("/lots?method=average", "lots --method average"),
        ("/lots?as_of=9", "lots --as-of 9"),
        ("/lots?fees=in-cost&method=hifo&as_of=2026-01-14", "lots --fees in-cost --method hifo --as-of 2026-01-14"),
        ("/gains", "gains"),
        ("/gains?from=2026-01-14&to=2026-01&method=lifo", "gains --from 2026-01-14 --to 2026-01 --method lifo"),
        ("/gains?group_by=session", "gains --group-by session"),
        ("/gains?known_at=2026-02", "gains --known-at 2026-02"),
        ("/sessions", "sessions"),
        ("/sessions?from=2026-01-15", "sessions --from 2026-01-15"),
        ("/returns?max_mark_age=5s&to=2026-01-18T12:00:04Z", "returns --max-mark-age 5s --to 2026-01-18T12:00:04Z"),
        ("/returns?from=2026-01-12&to=2026-01-17", "returns --from 2026-01-12 --to 2026-01-17"),
    ],
)
def test_a_page_says_what_the_command_prints(cli: Cli, keeper: Bookkeeper, page: Page, path: str, words: str) -> None:
    ran = cli.here(*words.split(), target=("--db", keeper.database.location), now=NOW)
    assert ran.code == 0, ran.err
    answer = page.get(path)
    assert answer.status == 200
    for line in ran.out.splitlines():
        for word in re.split(r"\s{2,}", line.strip().replace("_", " ")):
            assert word in answer.seen.replace("_", " "), (word, answer.seen)


def test_gains_have_their_income_below(page: Page) -> None:
    seen = page.get("/gains").seen
    assert re.search(r"Income in RLUSD .* reward XRP 0\.50 0\.685", seen)


@pytest.mark.parametrize("as_of", ["9", "2026-01-14T12:00:00Z", "3"])
def test_as_of_cuts_gains_sessions_and_returns_off_too(page: Page, as_of: str) -> None:
    """As the same log looked when it ended there."""
    for path, late in (("/gains", "01-16T"), ("/sessions", "01-18T"), ("/lots", "01-18T"), ("/returns", "01-18T")):
        assert late in page.get(path).seen
        assert late not in page.get(f"{path}?as_of={as_of}").seen
    assert "2026-01-14T12:00:00Z" not in page.get("/gains?as_of=3").seen


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/lots?method=best", "method: no such choice; expected one of average, fifo"),
        ("/gains?fees=none", "fees: no such choice"),
        ("/gains?group_by=moon", "group by: no such choice"),
        ("/returns?max_mark_age=old", "max mark age: not an age"),
        ("/lots?skip=x", "skip: not a version"),
        ("/gains?as_of=99", "the book has no such version"),
        ("/returns?as_of=99", "the book has no such version"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(page: Page, path: str, said: str) -> None:
    answer = page.get(path)
    assert answer.status == 400
    assert said in answer.seen


def test_a_log_too_long_to_hold_is_refused_with_the_command_that_does_it(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "HELD", 10)
    for path, command in (("/lots", "lots"), ("/gains", "gains"), ("/returns", "returns"), ("/sessions", "sessions")):
        answer = page.get(path)
        assert answer.status == 413
        assert f"netbasis {command}" in answer.seen
        assert page.get(f"{path}?as_of=9").status == 200


def test_only_some_requests_do_heavy_work_at_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "HEAVY_WAIT_S", 0.01)
    with page.kept.heavy(), page.kept.heavy():
        answer = page.get("/lots")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert page.get("/").status == 200, "what is quick goes on"
    assert page.get("/lots").status == 200


def test_a_long_list_is_shown_in_parts(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lots, "ROWS_ON_A_PAGE", 2)
    first = page.get("/lots")
    rows = int(re.search(r"Rows 1 to 2 of (\d+)", first.seen)[1])  # type: ignore[index]
    assert rows > 2
    assert "/lots?skip=2" in first.links()
    last = page.get(f"/lots?skip={rows - 1}")
    assert last.text.count("<tr>") == 2, "the header and a row"
    assert page.get("/lots?skip=99999").status == 200


def test_the_exposure_is_shown_against_its_limit(keeper: Bookkeeper) -> None:
    other = {"anchor_max_divergence_bps": Decimal(10)}
    strategy = Strategy(base_size_rlusd=Decimal(15), max_rlusd_exposure=Decimal(500), **other)
    page = page_of(keeper, strategy=strategy)
    balance = keeper.view(BOOK).state.inventory.balance("RLUSD")
    for path in ("/", "/exposure"):
        seen = page.get(path).seen
        assert f"headroom {500 - balance}" in seen
        assert "A quote fits" in seen
    tight = page_of(keeper, strategy=Strategy(base_size_rlusd=Decimal(15), max_rlusd_exposure=balance, **other))
    assert "The ask is gated." in tight.get("/exposure").seen
    assert "--config" in page_of(keeper).get("/exposure").seen


def test_what_cannot_be_valued_was_held_all_the_same(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        opened.append(BOOK, fill("f1", at="2026-01-01T00:00:00Z"))
        opened.append(BOOK, fill("f2", at="2026-01-02T00:00:00Z", side="sell"))
        page = page_of(opened)
        seen = page.get("/returns?from=2026-01-01&to=2026-01-01").seen
        assert "unknown: a moment cannot be valued for want of a mark" in seen
        assert "There is no rate of a period" in seen
        assert "Nothing was held" not in seen
        assert re.search(r"unknown - 1 13.30 13.30 0.00 0 proceeds", page.get("/gains?group_by=session").seen), "a dash"
