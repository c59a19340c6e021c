"""Who may ask, and what every answer carries."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.page.application import PAGES
from cli.page.gate import QUERY_BYTES
from cli.page.rendering import STATIC, static, static_address
from engine.bookkeeper import Bookkeeper
from tests.cli.page.page_support import Page, page_of
from tests.support import open_keeper

TOKEN = "correct-horse-battery-staple"
PATHS = [*PAGES, "/books", "/event?version=1", "/check", "/metrics", "/nowhere", *(map(static_address, STATIC))]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookkeeper]:
    with open_keeper(Path(tmp_path_factory.mktemp("gate"))) as keeper:
        yield keeper


@pytest.fixture(scope="module")
def page(opened: Bookkeeper) -> Page:
    return page_of(opened)


@pytest.fixture(scope="module")
def guarded(opened: Bookkeeper) -> Page:
    return page_of(opened, token=TOKEN, names=["Ledger.Example.com"])


def basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize("path", [*PATHS, "/stream"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_there_is_no_way_to_write(page: Page, path: str, method: str) -> None:
    answer = page.get(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_carries_the_headers_that_keep_a_browser_in_bounds(page: Page, path: str, method: str) -> None:
    headers = page.get(path, method=method).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert ("immutable" if path.startswith("/static") else "no-store") in headers["cache-control"]
    assert "set-cookie" not in headers


def test_no_page_has_a_script_or_a_style_of_its_own(page: Page) -> None:
    for path in PATHS:
        text = page.get(path).text
        if "<html" in text:
            assert "<style" not in text
            assert " style=" not in text
            assert text.count("<script") == text.count('<script src="/static/') == 1
            assert not any(f" on{event}=" in text for event in ("click", "load", "error", "change", "submit"))


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["LOCALHOST:8750"], 200),
        (["127.0.0.1:8750"], 200),
        (["[::1]:8750"], 200),
        (["[::1]"], 200),
        (["evil.example"], 421),
        (["evil.example:8750"], 421),
        (["localhost.evil.example"], 421),
        (["127.0.0.1.evil.example"], 421),
        (["localhost@evil.example"], 421),
        (["ledger.example.com"], 421),
        (["192.168.0.7"], 421),
        ([""], 421),
        ([], 421),
        (["localhost", "evil.example"], 421),
        (["localhost", "localhost"], 421),
    ],
)
def test_a_host_name_that_is_not_the_pages_own_is_not_answered(page: Page, hosts: list[str], status: int) -> None:
    for path in ("/", "/metrics", static_address("page.js")):
        assert page.get(path, *(("Host", host) for host in hosts), host=None).status == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([("Authorization", f"Bearer {TOKEN}")], 200),
        ([("Authorization", f"bearer {TOKEN}")], 200),
        ([basic("", TOKEN)], 200),
        ([basic("anybody", TOKEN)], 200),
        ([], 401),
        ([("Authorization", "")], 401),
        ([("Authorization", "Bearer")], 401),
        ([("Authorization", "Bearer ")], 401),
        ([("Authorization", f"Bearer {TOKEN[:-1]}")], 401),
        ([("Authorization", f"Bearer {TOKEN}x")], 401),
        ([("Authorization", f"Bearer {TOKEN.upper()}")], 401),
        ([("Authorization", f"Digest {TOKEN}")], 401),
        ([("Authorization", TOKEN)], 401),
        ([("Authorization", f"Basic {TOKEN}")], 401),
        ([("Authorization", "Basic \xe4\xf6")], 401),
        ([basic(TOKEN, "")], 401),
        ([basic("anybody", "")], 401),
        ([("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")], 401),
        ([("Cookie", f"token={TOKEN}")], 401),
    ],
)
def test_the_token_is_asked_for(guarded: Page, given: list[tuple[str, str]], status: int) -> None:
    for path in ("/", "/metrics", "/check", static_address("page.css"), "/nowhere"):
        answer = guarded.get(path, *given)
        assert answer.status == (404 if status == 200 and path == "/nowhere" else status)
        if status == 401:
            assert "Basic" in answer.headers["www-authenticate"]
            assert "Bearer" in answer.headers["www-authenticate"]


def test_the_token_in_an_address_opens_nothing(guarded: Page) -> None:
    for query in (f"token={TOKEN}", f"access_token={TOKEN}"):
        assert guarded.get(f"/?{query}").status == 401


def test_a_name_that_was_given_is_answered_with_the_token_alone(guarded: Page) -> None:
    bearer = ("Authorization", f"Bearer {TOKEN}")
    assert guarded.get("/", ("Host", "ledger.example.com:443"), bearer, host=None).status == 200
    assert guarded.get("/", ("Host", "ledger.example.com"), host=None).status == 401
    assert guarded.get("/", ("Host", "other.example.com"), bearer, host=None).status == 421


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
        ("cross-site", "navigate", 200),
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
    ],
)
def test_another_site_may_link_and_not_load(page: Page, site: str, mode: str, status: int) -> None:
    assert page.get("/", ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)).status == status


def test_a_long_query_is_refused_before_anything_is_read(page: Page) -> None:
    assert page.get(f"/register?q={'a' * QUERY_BYTES}").status == 414


def test_a_range_costs_nothing_and_changes_nothing(page: Page) -> None:
    """Thousands of overlapping ranges have cost servers hours; here everything is given whole."""
    hostile = ("Range", "bytes=" + ",".join(f"{first}-{first + 1}" for first in range(0, 3_000, 1)))
    for path in ("/", static_address("page.js"), "/metrics"):
        answer = page.get(path, hostile)
        assert answer.status == 200
        assert "content-range" not in answer.headers
    assert page.get(static_address("page.js"), hostile).body == static("page.js")


@pytest.mark.parametrize("name", ["../application.py", "..%2fapplication.py", "page.css/", "secret", "page.CSS"])
def test_only_what_is_named_is_given(page: Page, name: str) -> None:
    digest = static_address("page.css").split("/")[2]
    assert page.get(f"/static/{digest}/{name}").status == 404
    assert page.get("/static/0000000000000000/page.css").status == 404
