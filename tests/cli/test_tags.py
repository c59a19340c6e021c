"""`append fill --strategy … --tag …`: what is kept, compared and refused, and whose profit is shown for it."""

from __future__ import annotations

import json
from typing import Any

from engine.bookkeeper import Bookkeeper
from tests.cli_support import Cli, assert_refused
from tests.engines import raw_access
from tests.support import BOOK, log_of

FILL = ("append", "fill", "--side=buy", "--base-amount=10", "--quote-amount=13.3")
SIXTEEN = [f"{letter}-tag" for letter in "ponmlkjihgfedcba"]
WIDEST = "ä" * 127 + "💶"  # 128 characters in more bytes


def body(cli: Cli) -> dict[str, Any]:
    """The newest event as its bytes have it."""
    with Bookkeeper.open(cli.location, "read") as keeper:
        fields = json.loads(log_of(keeper, BOOK)[-1].body)
    assert isinstance(fields, dict)
    return fields


def fill(cli: Cli, *options: str, key: str = "k") -> Any:
    """Append a fill with these options; the JSON answer."""
    ran = cli.here(*FILL, f"--key={key}", *options, "-O", "json")
    assert ran.code == 0, ran.err
    return ran.json


def tagged(*tags: str) -> list[str]:
    """An option for each tag."""
    return [f"--tag={tag}" for tag in tags]


KEPT: list[tuple[list[str], str | None, list[str] | None]] = [
    (["--strategy=A", "--tag=x", "--tag=y"], "A", ["x", "y"]),
    (["--tag=y", "--strategy=A", "--tag=x"], "A", ["x", "y"]),
    (["--tag=y", "--tag=x", "--tag=y"], None, ["x", "y"]),  # each once
    (tagged("b", "B", "ä", "a", "10", "9"), None, ["10", "9", "B", "a", "b", "ä"]),  # by code point
    (tagged(*SIXTEEN), None, sorted(SIXTEEN)),
    (tagged(*SIXTEEN, SIXTEEN[3]), None, sorted(SIXTEEN)),
    (tagged("a b,c", "=x", "--tag"), None, ["--tag", "=x", "a b,c"]),  # texts of the caller's own
    ([f"--strategy={WIDEST}", f"--tag={WIDEST}"], WIDEST, [WIDEST]),
    (["--strategy=A"], "A", None),
    ([], None, None),
]


def test_what_is_kept(cli: Cli) -> None:
    """Sorted, each once, in the bytes; the strategy in its column, too."""
    for version, (options, strategy, tags) in enumerate(KEPT, 2):
        assert fill(cli, *options, key=f"k{version}")["version"] == version
        fields = body(cli)
        assert (fields["type"], fields.get("strategy"), fields.get("tags")) == ("fill/2", strategy, tags)
    with raw_access(cli.location) as raw:
        rows = raw.execute("SELECT strategy FROM events WHERE type = 'fill' ORDER BY version")
    assert rows == [(strategy,) for _, strategy, _ in KEPT]
    assert cli.here("check").code == 0


REFUSED: list[tuple[list[str], str, list[str]]] = [
    (tagged(*SIXTEEN, "q-tag"), "tags_malformed", ["at most 16", "17 tags", "tags: "]),
    (["--strategy=" + "s" * 129], "text_too_long", ["at most 128 characters", "strategy: "]),
    (["--tag=" + "t" * 129], "text_too_long", ["at most 128 characters", "tags: "]),
    (["--tag=x", "--tag="], "text_empty", ["tags: "]),
    (["--strategy="], "text_empty", ["strategy: "]),
    (["--tag=a\tb"], "text_has_control_character", ["tags: "]),
]


def test_what_is_refused(cli: Cli) -> None:
    before = cli.unchanged()
    for options, code, words in REFUSED:
        assert_refused(cli.here(*FILL, *options), 1, code, *words)
    assert cli.unchanged() == before


def test_only_a_fill_has_them(cli: Cli) -> None:
    for option in ("--strategy=A", "--tag=x"):
        assert_refused(cli.here("append", "deposit", "--asset=RLUSD", "--amount=1", option), 2, "usage")


def test_a_repeat_compares_them_in_any_order(cli: Cli) -> None:
    """What is left out is not compared; another strategy, or one tag more, is another fill."""
    fill(cli, "--strategy=A", *tagged("x", "y"))
    for options in ([], ["--strategy=A"], tagged("y", "x"), ["--strategy=A", *tagged("y", "x", "y")]):
        assert fill(cli, *options)["existed"], options
    before = cli.unchanged()
    for options, name in ((["--strategy=B"], "strategy"), (tagged("x"), "tags"), (tagged("x", "y", "z"), "tags")):
        assert_refused(cli.here(*FILL, "--key=k", *options), 3, f"exists_with_different_{name}", "version 2")
    assert cli.unchanged() == before


def test_the_profit_of_each_strategy_is_its_own(cli: Cli) -> None:
    """Two strategies in one account and a fill of none: together they are the book's."""
    assert cli.here("append", "deposit", "--asset=RLUSD", "--amount=100").code == 0
    fill(cli, "--strategy=A", "--tag=x", key="a")  # 10 for 13.3
    fill(cli, "--strategy=B", key="b")
    fill(cli, key="none")
    sold = ("append", "fill", "--side=sell", "--base-amount=10", "--quote-amount=14")
    assert cli.here(*sold, "--strategy=A").code == 0
    assert cli.here(*sold, "--strategy=B", "--key=mistake").code == 0
    assert cli.here("reverse", "7").code == 0
    assert cli.here("append", "mark", "--asset=XRP", "--price=1.5").code == 0
    found = {}
    for strategy in ("A", "B", "C"):
        ran = cli.here("summary", "--strategy", strategy, "-O", "json")
        assert ran.json["strategy"] == strategy
        found[strategy] = (ran.json["fills"], ran.json["reversed_fills"], ran.json["fills_pnl"])
    # A: 14 - 13.3; B: 10 × 1.5 - 13.3, its sale taken back; C: nothing.
    assert found == {"A": (2, 0, "0.7"), "B": (1, 1, "1.7"), "C": (0, 0, "0")}
    whole = cli.here("summary", "-O", "json").json
    assert (whole["fills"], whole["fills_pnl"]) == (4, "4.1")
    rows = cli.here("register", "--strategy", "B", "-O", "json").json["rows"]
    assert {(row["version"], row["strategy"]) for row in rows} == {(4, "B"), (7, "B"), (8, "B")}
