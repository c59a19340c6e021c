"""The page in a real Chromium: open, filter, follow what is appended, pick a moment, hostile texts, both colour schemes,
telephone and wide screen, and an automatic check of accessibility (axe-core, which comes in a Python package).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cli.page.application import PAGES
from docs.browser import Browser, browser, why_not
from engine.bookkeeper import Bookkeeper
from ledger.events import Opened
from tests.cli.page.page_support import page_of, served
from tests.cli_support import Cli
from tests.ledger.database.store_support import append_sample, fill
from tests.support import BOOK, event, open_keeper

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no browser: {why_not()}"),
    pytest.mark.xdist_group("browser"),
]
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>'\"><svg onload=alert(1)>"
PATHS = [*PAGES, "/event?version=9", "/check", "/books", "/register?type=any&q=nothing", "/?as_of=9", "/nowhere"]
# Tables that are wider than the place that they have.
WIDER = (
    "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)"
    ".map(e => e.getAttribute('aria-label'))"
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@dataclass(frozen=True)
class Shown:
    """A ledger that is appended to, and a browser that is shown it."""

    keeper: Bookkeeper
    tab: Browser
    address: str

    def open(self, path: str, **how: Any) -> Browser:
        self.tab.look(**{"width": 1280, **how})
        self.tab.open(self.address + path)
        return self.tab


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = Path(tmp_path_factory.mktemp("browser"))
    with open_keeper(folder) as keeper:
        append_sample(keeper)
        page = page_of(keeper)
        with served(page) as address, browser(folder) as tab:
            yield Shown(keeper, tab, address)


def complaints(tab: Browser) -> list[str]:
    """What the browser's console says: what the policy has stopped, and errors of the script."""
    return [entry["message"] for entry in tab.command("POST", "/se/log", {"type": "browser"})]


def test_it_opens_without_a_complaint_and_shows_the_figures(shown: Shown) -> None:
    tab = shown.open("/")
    assert "NET DEPOSITS" in tab.text(".tiles")
    assert "main" in tab.text("header")
    assert tab.run("return getComputedStyle(document.querySelector('.tile')).borderTopLeftRadius") == "10px"
    assert complaints(tab) == []


def test_a_filter_is_filled_in_and_stands_in_the_address(shown: Shown) -> None:
    tab = shown.open("/register")
    assert "XRP" in tab.text("table")
    tab.type("#f-asset", "RLUSD")
    tab.run("document.querySelector('#f-type').value = 'fill'")
    tab.click("form[role=search] button")
    tab.until(lambda: "asset=RLUSD" in tab.address(), "the filter in the address")
    assert tab.address().endswith("/register?type=fill&asset=RLUSD"), "empty fields are left out"
    rows = tab.text("tbody").splitlines()
    assert rows
    assert all(" fill RLUSD " in row for row in rows)


def test_what_is_appended_appears_by_itself(shown: Shown) -> None:
    for path, selector in (("/", "[data-live=figures]"), ("/register", "tbody")):
        tab = shown.open(path)
        tab.run("window.stays = true; document.querySelector('[data-live] a').focus()")
        before = tab.text(selector)
        version = shown.keeper.append(BOOK, event("deposit", asset="RLUSD", amount="7", key=f"live{path}")).version
        tab.until(lambda: tab.text(selector) != before, "the new event")  # noqa: B023 - called at once
        assert str(version) in tab.text(selector)
        assert f"Version {version}: deposit." in tab.text("#news")
        assert tab.run("return window.stays"), "the page was not loaded again"
        assert tab.run("return document.activeElement.tagName") == "A", "the focus stays"
    assert complaints(tab) == []


def test_another_page_says_that_there_is_something_new(shown: Shown) -> None:
    tab = shown.open("/lots")
    version = shown.keeper.append(BOOK, fill("live:lots")).version
    tab.until(lambda: f"Version {version}: fill." in tab.text("#news"), "the news")
    assert "Load the page again" in tab.text("#news")


def test_a_moment_is_picked_and_goes_along(shown: Shown) -> None:
    tab = shown.open("/")
    tab.click("main > details.moment summary")
    assert tab.run("return document.querySelector('.pick').offsetParent !== null"), "the script shows the date picker"
    tab.run(
        "const pick = document.querySelector('[data-fills=f-known_at]');"
        "pick.value = '2026-01-05'; pick.dispatchEvent(new Event('change'))"
    )
    tab.type("#f-as_of", "9")
    tab.click("main > details.moment button")
    tab.until(lambda: "as_of=9" in tab.address(), "the moment in the address")
    assert "known_at=2026-01-05" in tab.address()
    assert "Version 9:" in tab.text()
    assert tab.run("return document.body.dataset.stream") is None
    tab.click("header nav a[href^='/register']")
    tab.until(lambda: "/register" in tab.address(), "the register")
    assert "as_of=9" in tab.address()
    assert re.search(r"^9 ", tab.text("tbody"))


def test_the_chart_tells_its_figures_and_zooms(shown: Shown) -> None:
    tab = shown.open("/")
    box = tab.run("const b = document.querySelector('.plot svg').getBoundingClientRect(); return [b.x, b.y, b.width]")
    mouse = {"type": "mouseMoved", "x": box[0] + box[2] - 2, "y": box[1] + 50, "buttons": 0}
    tab.devtools("Input.dispatchMouseEvent", **mouse)
    points = tab.run("return document.querySelector('.chart').dataset.points.split('|').map(p => p.split(';'))")
    there = [point for point in points if float(point[0]) <= 1000 * (box[2] - 2) / box[2]][-1]
    said = tab.text(".readout")
    assert all(figure in said for figure in there[1:]), (said, there)
    drag = {"button": "left", "buttons": 1, "clickCount": 1, "y": box[1] + 50}
    tab.devtools("Input.dispatchMouseEvent", type="mousePressed", x=box[0] + 2, **drag)
    tab.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] / 2, **drag)
    tab.devtools("Input.dispatchMouseEvent", type="mouseReleased", x=box[0] + box[2] - 2, **drag)
    tab.until(lambda: "from=" in tab.address() and "to=" in tab.address(), "the period in the address")
    assert tab.text(".chart")


def test_no_page_is_wider_than_its_screen_and_no_number_is_cut(shown: Shown) -> None:
    """Each page is opened once, and the screen changes; two are opened on screens of the other kinds, too."""
    for path in PATHS:
        _require_that_it_fits(shown.open(path, width=1600), path, width=1600, dark=False)
        shown.tab.look(width=360, dark=True)
        _require_that_it_fits(shown.tab, path, width=360, dark=True)
    for path in ("/", "/register"):
        for width, dark in ((360, False), (1600, True)):
            _require_that_it_fits(shown.open(path, width=width, dark=dark), path, width=width, dark=dark)


def _require_that_it_fits(tab: Browser, path: str, *, width: int, dark: bool) -> None:
    """A table that is wider scrolls by itself; nothing in it is hidden or broken onto two lines."""
    found = tab.run(
        "const cut = [...document.querySelectorAll('td.n, .tile dd')].filter(e => e.scrollWidth > e.clientWidth + 1"
        " || getComputedStyle(e).textOverflow === 'ellipsis').map(e => e.textContent);"
        "const broken = [...document.querySelectorAll('td.n')].filter(e => { const r = document.createRange();"
        " r.selectNodeContents(e); const tops = [...r.getClientRects()].map(b => b.bottom);"
        " return Math.max(...tops) - Math.min(...tops) > 6 }).map(e => e.textContent);"
        "const back = getComputedStyle(document.body).backgroundColor;"
        "return [document.documentElement.scrollWidth, back, cut, broken]"
    )
    assert found == [width, "rgb(17, 21, 26)" if dark else "rgb(244, 245, 247)", [], []], path


def test_on_a_narrow_screen_the_open_tab_is_in_sight(shown: Shown) -> None:
    for path in ("/", "/gains", "/books"):
        tab = shown.open(path, width=360)
        box = tab.run(
            "const b = document.querySelector('header nav [aria-current]').getBoundingClientRect(); return [b.left, b.right]"
        )
        assert box[0] >= 0, path
        assert box[1] <= 360, path


def test_the_points_of_a_column_stand_below_each_other(shown: Shown) -> None:
    tab = shown.open("/register")
    places = tab.run(
        "const columns = {};"
        "for (const cell of document.querySelectorAll('td.n')) {"
        "  const node = cell.firstChild, at = node.textContent.indexOf('.');"
        "  if (at < 0 || node.nodeType !== 3) continue;"
        "  const range = document.createRange(); range.setStart(node, at); range.setEnd(node, at + 1);"
        "  (columns[cell.cellIndex] ??= []).push(range.getBoundingClientRect().x);"
        "} return columns"
    )
    assert len(places) >= 2
    for column in places.values():
        assert max(column) - min(column) < 1.5, "pixels"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_an_automatic_check_finds_nothing_that_keeps_anybody_out(shown: Shown, dark: bool) -> None:
    axe = files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    for path in ("/", "/register", "/event?version=9", *(() if dark else ("/gains", "/check", "/books", "/nowhere"))):
        tab = shown.open(path, width=1280, dark=dark)
        tab.run("for (const each of document.querySelectorAll('details')) each.open = true;" + axe)
        found = tab.run_async(
            "const [rules, done] = arguments;"
            "axe.run(document, {runOnly: rules, resultTypes: ['violations']})"
            ".then(r => done({passes: r.passes.length, violations: r.violations.map(v =>"
            " [v.id, v.nodes.map(n => n.html + ' ' + n.failureSummary)])}), e => done(String(e)))",
            {"type": "rule", "values": ["color-contrast"]} if dark else RULES,
        )
        assert found["violations"] == [], path
        assert found["passes"] >= (1 if dark else 20), "it has looked"


def test_a_keyboard_reaches_everything_and_sees_where_it_is(shown: Shown) -> None:
    tab = shown.open("/register")
    reached = []
    for _ in range(40):
        tab.devtools("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        tab.devtools("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(
            tab.run(
                "const e = document.activeElement; const s = getComputedStyle(e);"
                "return [e.textContent.trim() || e.name || e.tagName, s.outlineStyle, s.outlineWidth]"
            )
        )
    names = [name for name, _, _ in reached]
    assert names[0] == "Skip to the content"
    for wanted in ("Overview", "Check", "q", "asset", "Filter"):
        assert wanted in names
    assert [each for each in reached if each[1:] != ["solid", "3px"]] == []


def test_no_text_of_an_event_runs_or_breaks_a_page(shown: Shown, tmp_path: Path) -> None:
    complaints(shown.tab)  # of pages before
    with open_keeper(tmp_path, book=None) as keeper:
        keeper.open_book(EVIL[:60], Opened.model_validate({"mode": "live", "numeraire": "<b>R"}))
        book = EVIL[:60]
        texts = {"source_note": EVIL, "actor": EVIL, "session_id": EVIL, "key": EVIL}
        keeper.append(book, event("deposit", asset="<b>R", amount="1", **texts))
        trade = {
            "base_asset": "<img>x",
            "quote_asset": "<b>R",
            "strategy": EVIL,
            "order_id": EVIL,
            "tags": ["<b>"],
        }
        keeper.append(book, fill("f", **trade, session_id=EVIL))
        keeper.append(book, event("mark", asset="<img>x", price="1", price_source=EVIL))
        keeper.append(book, event("adjustment", asset="<b>R", amount="1", reason=EVIL))
        with served(page_of(keeper)) as address:
            tab = shown.tab
            for path in (
                *PAGES,
                "/books",
                "/event?version=2",
                "/event?version=3",
                "/register?type=any&q=%3Cimg%20src=x",
            ):
                tab.open(address + path)
                assert tab.run("return document.title") != "owned"
                assert tab.run("return document.querySelectorAll('main img, main script, main b').length") == 0
                keeper.append(book, event("deposit", asset="<b>R", amount="1", source_note=EVIL))
                if path == "/":
                    tab.until(lambda: "Version" in tab.text("#news"), "the news")
                assert tab.run("return document.title") != "owned"
            assert complaints(tab) == []


def test_a_report_opens_from_a_file_and_loads_nothing(shown: Shown, cli: Cli) -> None:
    ledger = ("--db", shown.keeper.database.location)
    complaints(shown.tab)  # of pages before
    for dark, width in ((False, 1600), (True, 360)):
        file = cli.folder / "report.html"
        assert cli.here("report", "--to", "2026-01", "-o", str(file), target=ledger).code == 0
        shown.tab.look(width=width, dark=dark)
        shown.tab.open(file.as_uri())
        assert "NET DEPOSITS" in shown.tab.text(".tiles")
        assert shown.tab.run("return performance.getEntriesByType('resource').length") == 0
        assert shown.tab.run("return document.documentElement.scrollWidth") == width
        back = shown.tab.run("return getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(17, 21, 26)" if dark else "rgb(244, 245, 247)"), "its own policy lets its style"
        assert complaints(shown.tab) == []


def test_it_prints_without_what_is_only_for_a_screen(shown: Shown) -> None:
    tab = shown.open("/", dark=True)
    tab.devtools("Emulation.setEmulatedMedia", media="print", features=[])
    hidden = tab.run(
        "return ['header nav', 'form', '.moment'].map(s => document.querySelector(s).offsetParent === null)"
    )
    assert hidden == [True, True, True]
    assert tab.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.devtools("Emulation.setEmulatedMedia", media="", features=[])


def test_long_figures_and_keys_stand_whole_on_a_screen_and_on_paper(shown: Shown, tmp_path: Path) -> None:
    with open_keeper(tmp_path) as keeper:
        fine = "1234.123456789012345678"
        keeper.append(BOOK, event("deposit", asset="RLUSD", amount=fine, basis_delta=fine))
        keeper.append(BOOK, event("deposit", asset="XRP", amount="0.123456789012345678", price="1.3"))
        keeper.append(
            BOOK, fill("3238a8ea-d2a6-42b7-a9dc-9e76509e14e6", session_id="s" * 36, strategy="a strategy " * 9)
        )
        with served(page_of(keeper)) as address:
            tab = shown.tab
            tab.look(width=1600)
            tab.open(address)
            assert tab.run(f"return {WIDER}") == []
            known = "document.querySelectorAll('.tile dd:not(.none)')"
            figures = f"return [...{known}].map(e => e.getBoundingClientRect().height)"
            assert max(tab.run(figures)) < 40, "pixels: no figure is broken onto two lines"
            tab.look(width=1280)
            assert max(tab.run(figures)) < 40
            tab.look(width=1600)
            tab.open(f"{address}/register")
            last = "document.querySelector('tbody tr:last-child')"  # a deposit, whose key is a UUID
            assert tab.run(f"return {last}.getBoundingClientRect().height") < 40, "pixels: one line"
            # A4 at 96 dots per inch, within the margins: upright, and on its side.
            for path, width in (("/", 716), ("/register", 1045), ("/gains", 1045)):
                tab.look(width=width)
                tab.devtools("Emulation.setEmulatedMedia", media="print", features=[])
                tab.open(address + path)
                assert tab.run("return document.documentElement.scrollWidth") == width, path
                assert tab.run(f"return {WIDER}") == [], path
            tab.open(address)
            assert max(tab.run(figures)) < 30
            tab.devtools("Emulation.setEmulatedMedia", media="", features=[])
