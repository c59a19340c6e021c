"""New events reach a reader at once, each once and in order, from the version on that it has seen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from cli.page import streaming as streams
from engine.bookkeeper import Bookkeeper
from tests.cli.page.page_support import Page, page_of, served, streaming
from tests.cli_support import Cli, deposit


@pytest.fixture
def reading(cli: Cli) -> Iterator[tuple[Page, str]]:
    cli.append(deposit("d1"), deposit("d2"))
    with Bookkeeper.open(cli.location, "read") as opened, served(page := page_of(opened)) as address:
        yield page, address


@pytest.mark.both_engines
def test_what_is_appended_comes_and_a_reader_goes_on_after_what_it_has_seen(
    cli: Cli, reading: tuple[Page, str]
) -> None:
    _, address = reading
    with streaming(address, "/stream?from=2") as sent:
        assert [next(sent)["id"] for _ in range(2)] == ["2", "3"]
        cli.append(deposit("d3", source_note="a\u2028b"))
        event = next(sent)
        fields = json.loads(event["data"])
        assert (event["event"], event["id"], fields["key"], fields["version"]) == ("appended", "4", "d3", 4)
        assert fields["hash"] == cli.here("show", "4", "-O", "json").json["hash"]
    with streaming(address, "/stream?from=2", {"Last-Event-ID": "3"}) as sent:
        assert next(sent)["id"] == "4"
    with streaming(address, "/stream") as sent:
        cli.append(deposit("d4"), deposit("d5"))
        assert [next(sent)["id"] for _ in range(2)] == ["5", "6"]


def test_it_comes_within_a_second(cli: Cli, reading: tuple[Page, str]) -> None:
    """The one promise in seconds that a reader is given; the follower looks four times a second."""
    assert streams.POLL_S <= 0.25
    _, address = reading
    with streaming(address, "/stream") as sent:
        cli.append(deposit("now"))
        began = time.monotonic()
        next(sent)
        assert time.monotonic() - began < 10, "however slow the machine"


def test_a_reader_who_waits_is_sent_a_sign_of_life_and_misses_nothing(
    cli: Cli, reading: tuple[Page, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BEAT_S", 0.02)
    monkeypatch.setattr(streams, "POLL_S", 0.01)
    _, address = reading
    with streaming(address, "/stream") as sent:
        for number in range(5):
            time.sleep(0.05)
            cli.append(deposit(f"n{number}"))
            assert next(sent)["id"] == str(4 + number)


def test_a_version_beyond_the_end_ends_the_stream(reading: tuple[Page, str]) -> None:
    _, address = reading
    with streaming(address, "/stream?from=9") as sent:
        event = next(sent)
    assert (event["event"], json.loads(event["data"])) == ("ended", {"code": "version_unknown"})


def test_there_are_only_so_many_readers_and_one_who_goes_makes_room(
    cli: Cli, reading: tuple[Page, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_READERS", 2)
    page, address = reading
    with streaming(address, "/stream?from=2") as first, streaming(address, "/stream?from=2") as second:
        assert next(first) == next(second)
        assert page.get("/stream").status == 503
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with streaming(address, "/stream?from=2") as third:
                assert next(third)["id"] == "2"
                return
        except AssertionError:
            time.sleep(0.05)  # the two have not been missed yet
    pytest.fail("the readers who went were never missed")


def test_a_server_that_ends_ends_its_streams(cli: Cli) -> None:
    before = threading.active_count()
    with Bookkeeper.open(cli.location, "read") as opened:
        with served(page_of(opened)) as address, streaming(address, "/stream?from=1") as sent:
            assert next(sent)["id"] == "1"
            began = time.monotonic()
        assert time.monotonic() - began < 20
    assert threading.active_count() <= before + streams.MOST_READERS


def test_head_asks_for_no_stream(reading: tuple[Page, str]) -> None:
    page, _ = reading
    answer = page.get("/stream", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
