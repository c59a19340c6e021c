"""What the pages show: the figures of the commands, at the moment in the address, escaped whatever they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cli.page.application import PAGES
from cli.page.rendering import STATIC, grid, static, static_address
from engine.bookkeeper import Bookkeeper
from engine.proof.check import check_ledger
from engine.reports.report import Table
from ledger import store
from ledger.database.connections import Database
from ledger.errors import StorageError, StorageFault
from ledger.events import Opened
from tests.cli.page.page_support import Page, page_of, page_over
from tests.cli_support import Cli, deposit
from tests.engines import intruding
from tests.ledger.database.store_support import SAMPLE_VERSIONS, append_sample, fill
from tests.support import BOOK, event, it_is, open_keeper

NOW = datetime(2026, 1, 6, tzinfo=UTC)
BAD = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>&amp;{{7*7}}"
HIDDEN = "a\u202eb\u200bc"


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookkeeper]:
    with open_keeper(Path(tmp_path_factory.mktemp("pages"))) as opened:
        append_sample(opened)
        it_is(opened, NOW)
        yield opened


@pytest.fixture(scope="module")
def page(keeper: Bookkeeper) -> Page:
    return page_of(keeper)


# ---- figures


@pytest.mark.parametrize(
    "moment", ["", "as_of=9", "as_of=2026-01-05T09:00:05Z", "known_at=2026-01-05T09:00:11Z&as_of=2026-01"]
)
def test_the_tiles_and_balances_are_those_of_the_commands(
    cli: Cli, keeper: Bookkeeper, page: Page, moment: str
) -> None:
    options = [word for part in moment.split("&") if part for word in _option(part)]
    ledger = ("--db", keeper.database.location)
    pnl = cli.here("pnl", *options, "-O", "json", target=ledger, now=NOW).json
    balances = cli.here("balance", *options, "-O", "json", target=ledger, now=NOW).json
    answer = page.get(f"/?{moment}")
    assert answer.status == 200
    names = (
        "net_deposits",
        "total_value",
        "total_pnl",
        "trading_value",
        "net_basis",
        "retained_profit",
        "withdrawn_profit",
    )
    for name in names:
        expected = "unknown" if pnl[name] is None else decimals(pnl[name])
        assert re.search(rf">{name.replace('_', ' ')}\b[^\n]*</dt>\s*<dd[^>]*>{re.escape(expected)}", answer.text), name
    for row in balances["balances"]:
        for part in ("asset", "total", "fills", "capital", "adjustments"):
            assert f">{row[part] if part == 'asset' else decimals(row[part])}<" in answer.text
    version = pnl["version"]
    assert f"Version {version}:" in answer.seen


def _option(part: str) -> list[str]:
    name, _, text = part.partition("=")
    return [f"--{name.replace('_', '-')}", text]


def decimals(amount: str) -> str:
    """An amount of JSON as people read it."""
    whole, _, rest = amount.partition(".")
    return f"{whole}.{rest.ljust(2, '0')}"


def test_an_unknown_figure_says_why(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        opened.append(BOOK, fill("f:1"))
        seen = page_of(opened).get("/").seen
    assert "total value RLUSD unknown for want of a mark: XRP" in seen


def test_the_marks_have_their_age_and_lead_to_their_events(page: Page) -> None:
    answer = page.get("/")
    assert re.search(r"XRP 1\.50 1[45] hours old", answer.seen)
    assert "/event?version=8" in answer.links()
    past = page.get("/?as_of=2026-01-05T09:00:19Z").seen
    assert re.search(r"XRP 1\.50 1\d seconds old", past), "as old as it was then"


def test_the_register_has_every_posting_with_its_balance_newest_first(page: Page, keeper: Bookkeeper) -> None:
    seen = page.get("/register").seen
    order = [seen.index(f" {version} 2026-01-05T") for version in (17, 13, 10, 9, 6, 5, 4, 3, 2)]
    assert order == sorted(order)
    assert "RLUSD -3.00" in seen
    holding = keeper.view(BOOK).state.inventory
    assert f"RLUSD -3.00 {decimals(str(holding.balance('RLUSD')))}" in seen


@pytest.mark.parametrize(
    ("query", "versions"),
    [
        ("type=fill", [13, 6, 5]),
        ("type=mark", [8]),
        ("type=any&before=4", [3, 2, 1]),
        ("type=any&after=15", [17, 16]),
        ("session=s2", [6]),
        ("asset=XRP&type=adjustment", [10]),
        ("q=network_fee", [10]),
        ("q=nowhere", []),
        ("from=2026-02", []),
        ("to=2026-02&type=deposit", [4, 3, 2]),
        ("type=fill&as_of=6", [6, 5]),
    ],
)
def test_the_register_is_filtered_searched_and_paged_by_version(page: Page, query: str, versions: list[int]) -> None:
    answer = page.get(f"/register?{query}")
    assert answer.status == 200
    found = dict.fromkeys(
        re.findall(r'<td class="n[^"]*"><a href="/event\?[^"]*version=(\d+)">\1</a></td><td class="time"', answer.text)
    )
    assert [int(version) for version in found] == versions


def test_a_long_register_is_paged_in_both_directions(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        opened.append_all(
            BOOK, [event("deposit", asset="RLUSD", amount="1", key=f"d{number}") for number in range(250)]
        )
        page = page_of(opened)
        first = page.get("/register")
        assert "/register?before=152" in first.links()
        second = page.get("/register?before=152")
        assert {"/register?after=151", "/register?before=52", "/register?after=0", "/register"} <= set(second.links())
        assert "RLUSD 1.00 150.00" in second.seen
        last = page.get("/register?after=0")
        assert "RLUSD 1.00 1.00" in last.seen
        assert "/register?after=101" in last.links()


def test_the_basis_is_the_audit(page: Page) -> None:
    seen = page.get("/basis").seen
    assert "deposit XRP 39.27 1.3314" in seen
    assert "unknown" in seen
    assert page.get("/basis?type=withdrawal&q=nothing").seen.count("No movement here.") == 1


@pytest.mark.parametrize("version", range(1, SAMPLE_VERSIONS + 1))
def test_every_event_has_a_page_of_its_own(page: Page, keeper: Bookkeeper, version: int) -> None:
    answer = page.get(f"/event?version={version}")
    with keeper.database.reading() as connection:
        stored = store.find_event(connection, BOOK, version)
        before = store.find_event(connection, BOOK, version - 1)
    assert stored is not None
    assert stored.body.decode() in answer.seen
    assert stored.hash.hex() in answer.seen
    assert (before.hash.hex() if before else "0" * 64) in answer.seen
    for posting in stored.effects.postings:
        assert f"{posting.asset} {decimals(str(posting.delta))}" in answer.seen


def test_an_event_says_what_reverses_and_corrects_it_and_leads_to_its_neighbours(page: Page) -> None:
    answer = page.get("/event?version=5")
    assert "Reversed by version 12 , corrected by version 13 ." in answer.seen
    assert {"/event?version=12", "/event?version=13", "/event?version=4", "/event?version=6"} <= set(answer.links())
    assert "Reverses version 5" in page.get("/event?version=12").seen
    assert "Corrects version 5" in page.get("/event?version=13").seen
    by_key, by_version = (
        page.get(f"/event?{which}").seen.partition("Read at")[0] for which in ("key=f:1", "version=5")
    )
    assert by_key == by_version


# ---- the address


def test_the_moment_stands_in_every_link_that_is_about_the_book(page: Page) -> None:
    for path in PAGES:
        answer = page.get(f"{path}?as_of=9&known_at=2026-01-06")
        links = answer.links()
        for other in (*PAGES, "/check"):
            assert f"{other}?as_of=9&known_at=2026-01-06" in links, path
        events = [link for link in links if link.startswith("/event?")]
        assert all("as_of=9&known_at=2026-01-06" in link for link in events)
        assert "as of 9" in answer.seen
        assert 'data-stream="' not in answer.text, "the past does not change"
    assert 'data-stream="/stream?from=18"' in page.get("/").text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/?as_of=99", 400, "the book has no such version"),
        ("/?as_of=2026-13", 400, "as of: not on the calendar"),
        ("/?known_at=soon", 400, "known at: not a time"),
        ("/?from=x", 400, "from: not a time"),
        ("/register?before=x", 400, "before: not a version"),
        ("/register?before=9999999999999999999999", 400, "before: not a version"),
        ("/register?type=nothing", 400, "type: no such choice"),
        ("/basis?type=fill", 400, "type: no such choice"),
        ("/event", 404, "give the version of an event"),
        ("/event?version=0", 404, "no such version"),
        ("/event?version=99", 404, "no such version"),
        ("/event?key=nothing", 404, "no event"),
        ("/?book=other", 404, "there is no such book"),
        ("/event?book=other&version=1", 404, "there is no such book"),
        ("/stream?book=other", 404, "there is no such book"),
        ("/nowhere", 404, "There is no such page."),
        ("/register/", 404, "There is no such page."),
    ],
)
def test_what_cannot_be_shown_is_said_on_a_page(page: Page, path: str, status: int, said: str) -> None:
    answer = page.get(path)
    assert answer.status == status
    assert said in answer.seen
    assert not page.said


def test_several_books_are_listed_with_the_desks_total(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        opened.open_book("other", Opened.model_validate({"mode": "live"}))
        opened.open_book("paper", Opened.model_validate({"mode": "paper"}))
        for name, amount in ((BOOK, "10"), ("other", "5.5"), ("paper", "99")):
            opened.append(name, event("deposit", asset="RLUSD", amount=amount))
        page = page_of(opened)
        assert page.get("/").headers["location"] == "/books"
        books = page.get("/books")
        assert "/?book=other" in books.links()
        assert re.search(r"The desk, live, in RLUSD main, other; transfers .*? 15.50 15.50 0.00", books.seen)
        assert re.search(r"The desk, paper, in RLUSD paper\. ", books.seen), "nothing about transfers of one book"
        assert "for want of a mark" not in books.seen
        opened.append("other", event("deposit", asset="XRP", amount="1", price="2"))
        assert "Its value is unknown for want of a mark: XRP." in page.get("/books").seen
        assert "5.50" in page.get("/?book=other").seen
        assert "/register?book=other" in page.get("/?book=other").links()
        alone = page_of(opened, book="other")
        assert "5.50" in alone.get("/").seen
        assert alone.get("/?book=main").status == 404
        assert "main" not in alone.get("/books").seen.replace("remain", "")


def test_an_empty_ledger_says_so(location: str) -> None:
    with Bookkeeper.open(location, "create") as opened:
        page = page_of(opened)
        assert page.get("/").headers["location"] == "/books"
        assert "The ledger has no book yet." in page.get("/books").seen


def test_what_was_not_reported_and_the_tags_are_told_apart(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as opened:
        version = opened.append(BOOK, fill("f", tags=["a b", "c"], fee_asset=None, fee_amount=None)).version
        page = page_of(opened)
        assert "Not counted: 1 fee not reported." in page.get("/").seen
        assert "a b, c" in page.get(f"/event?version={version}").seen


# ---- texts


def test_no_text_of_an_event_gets_through_unescaped(tmp_path: Path) -> None:
    with open_keeper(tmp_path, book=None) as opened:
        name = "<b>&'\"{{7*7}}</b>"
        opened.open_book(name, Opened.model_validate({"mode": "live", "numeraire": "<i>R"}))
        texts = {"source_note": BAD, "actor": BAD, "session_id": BAD[:100], "tx_hash": "<u>h</u>"}
        opened.append(name, event("deposit", asset="<i>R", amount="1", key=BAD, **texts))
        bad = {"base_asset": "<b>x", "base_amount": "1", "quote_asset": "<i>R", "quote_amount": "1", "side": "buy"}
        tags = ["<b>", "<i>"]
        opened.append(
            name, event("fill", **bad, key="f", order_id=BAD[:90], strategy=BAD[:90], session_id=HIDDEN, tags=tags)
        )
        opened.append(
            name, event("mark", asset="<b>x", price="1", price_source="<img src=x onerror=alert(1)>", key="m")
        )
        opened.append(name, event("adjustment", asset="<b>x", amount="1", reason=BAD[:100], key="a"))
        page = page_of(opened)
        page.kept.check()
        paths = [*PAGES, "/books", "/check", *(f"/event?version={version}" for version in range(1, 6))]
        paths += [f"/register?q={quote(BAD)}&asset={quote(BAD)}&session={quote(HIDDEN)}", f"/?as_of={quote(BAD)}"]
        paths += [
            f"/?book={quote(BAD)}",
            f"/event?key={quote(BAD)}",
            f"/register?type={quote(BAD)}",
            "/register?type=any",
        ]
        for path in paths:
            answer = page.get(path)
            assert answer.status < 500, page.said
            bare = answer.text
            assert not re.search(r"<(script(?! src=\"/static)|img|b>|i>|u>)", bare), path
            outside = re.sub(r' value="[^"]*"', "", bare)  # a field has what was typed into it
            assert "\u202e" not in outside, path
            assert "\u200b" not in outside, path
        assert "\\u202e" in page.get("/event?version=3").seen


# ---- numbers


def test_the_numbers_of_a_column_are_aligned_at_the_point() -> None:
    amounts = ["1", "-20.125", "0.000000000000000001", "12345678901234567890.5"]
    found = grid(Table(("what", "amount"), [("x", Decimal(amount)) for amount in amounts] + [("y", None)]), "t")
    cells = [row[1] for row in found.rows]
    ends = {len(cell.text.partition(".")[2]) + cell.pad for cell in cells[:-1]}
    assert len(ends) == 1
    assert [cell.text for cell in cells] == ["1.00", "-20.125", "0.000000000000000001", "12345678901234567890.50", "-"]
    style = static("page.css").decode()
    assert all(f".p{cell.pad} " in style or cell.pad == 0 for cell in cells)
    assert [cell.is_low for cell in cells] == [False, True, False, False, False]


# ---- faults


def test_a_fault_of_the_database_is_told_without_its_place(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "postgresql+psycopg://desk:hunter2@db.internal/ledger"
    error = StorageError(StorageFault.DATABASE_UNREACHABLE, f"{secret}: no answer", actual="/srv/secret.db")

    def fail(_self: Database) -> Any:
        raise error

    monkeypatch.setattr(Database, "reading", fail)
    for path in (*PAGES, "/books", "/event?version=1", "/metrics", "/stream"):
        answer = page.get(path)
        assert answer.status == 503, path
        for word in ("hunter2", "db.internal", "secret"):
            assert word not in answer.text
        assert "database_unreachable" in answer.text
        assert "hunter2" in page.said.pop()
    page.said.clear()


def test_a_bug_is_told_without_its_traceback(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.page.application.Answers._book", lambda self, asked: 1 / 0)
    answer = page.get("/")
    assert answer.status == 500
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in page.said.pop()


def test_the_file_that_was_moved_away_is_named_to_nobody(tmp_path: Path) -> None:
    with open_keeper(tmp_path) as made:
        append_sample(made)
    path = tmp_path / "ledger.db"
    with Database.open(str(path), "read") as database:
        page = page_over(database, lambda: NOW)
        path.write_bytes(b"not a database at all" * 500)
        answer = page.get("/")
    assert answer.status == 503
    assert str(tmp_path) not in answer.text
    assert page.said


def test_a_ledger_that_was_replaced_is_not_taken_for_the_one_that_was_opened(tmp_path: Path) -> None:
    """A backup that was restored, for example: an open connection would go on reading the old file."""
    with open_keeper(tmp_path) as made:
        append_sample(made)
    path = tmp_path / "ledger.db"
    with Database.open(str(path), "read") as database:
        page = page_over(database, lambda: NOW)
        assert page.get("/").status == 200
        older = tmp_path / "older.db"
        older.write_bytes(path.read_bytes())
        older.replace(path)
        for where in ("/", "/register", "/metrics"):
            answer = page.get(where)
            assert answer.status == 503
            assert "database_moved" in answer.text
            assert str(tmp_path) not in answer.text


def test_nothing_is_written_by_any_page(cli: Cli) -> None:
    cli.append(deposit("d1"))
    before = cli.unchanged()
    with Bookkeeper.open(cli.location, "read") as opened:
        page = page_of(opened)
        page.kept.check()
        for path in (
            *PAGES,
            "/books",
            "/event?version=2",
            "/check",
            "/metrics",
            "/?as_of=1",
            *map(static_address, STATIC),
        ):
            assert page.get(path).status == 200
    assert cli.unchanged() == before


# ---- the check


def test_the_page_shows_the_last_check_and_no_request_starts_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.append(deposit("d1"))
    ran: list[object] = []

    def counted(*given: Any) -> Any:
        ran.append(given)
        return check_ledger(*given)

    monkeypatch.setattr("cli.page.site.check_ledger", counted)
    with Bookkeeper.open(cli.location, "read", clock=lambda: NOW) as opened:
        page = page_of(opened)
        for path in ("/check", "/metrics", "/"):
            page.get(path)
        assert not ran
        assert "The first check is running" in page.get("/check").seen
        assert "netbasis_last_check" not in page.get("/metrics").text
        page.kept.check()
        assert "Everything holds." in page.get("/check").seen
        assert 'netbasis_last_check_ok{book="main"} 1' in page.get("/metrics").text
    with intruding(cli.location) as raw:
        raw.execute("UPDATE inventory SET total = '7'")
    with Bookkeeper.open(cli.location, "read", clock=lambda: NOW) as opened:
        page = page_of(opened)
        page.kept.check()
        seen = page.get("/check").seen
        assert "Something does not hold." in seen
        assert "projections_match" in seen
        assert 'netbasis_last_check_ok{book="main"} 0' in page.get("/metrics").text
        assert "check: findings" in page.get("/").seen
    assert len(ran) == 2


# ---- long logs


def test_a_past_moment_of_a_long_log_is_read_from_segments_or_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb", reason="the extra netbasis[columns] is not installed")
    with Bookkeeper.open(cli.location) as opened:
        append_sample(opened)
    monkeypatch.setattr("cli.page.now.FOLDED", 5)
    with Bookkeeper.open(cli.location, "read") as opened:
        page = page_of(opened)
        assert page.get("/").status == 200, "the present is stored"
        assert page.get("/?as_of=4").status == 200
        answer = page.get("/?as_of=12")
        assert answer.status == 413
        assert "netbasis pnl --as-of" in answer.seen
    assert cli.here("seal", "--events", "5").code == 0
    with Bookkeeper.open(cli.location, "read") as opened:
        page = page_of(opened)
        seen = page.get("/?as_of=12").seen
        assert "Version 12:" in seen
        assert "is drawn only for logs of up to" in seen
        pnl = cli.here("pnl", "--as-of", "12", "--engine", "rows", "-O", "json").json
        assert f"total pnl RLUSD {decimals(pnl['total_pnl'])}" in seen
        assert page.get("/exposure?as_of=12").status == 200
