"""`report`: a period as one file, with the figures of the commands and nothing that is loaded or run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.bookkeeper import Bookkeeper
from tests.cli.page.page_support import Answer
from tests.cli.page.test_pages import BAD, decimals
from tests.cli_support import Cli, assert_refused
from tests.engines import intruding
from tests.ledger.database.store_support import append_sample
from tests.support import BOOK, event, open_keeper

NOW = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bookkeeper]:
    with open_keeper(Path(tmp_path_factory.mktemp("report"))) as opened:
        append_sample(opened)
        opened.append(BOOK, event("deposit", asset="RLUSD", amount="3", at="2026-01-04T00:00:00Z", source_note=BAD))
        yield opened


def written(cli: Cli, keeper: Bookkeeper, *options: str) -> Answer:
    file = cli.folder / "report.html"
    ran = cli.here("report", *options, "-o", str(file), target=("--db", keeper.database.location), now=NOW)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    return Answer(200, {}, file.read_bytes())


@pytest.mark.parametrize(
    "period", [(), ("--from", "2026-01-05"), ("--from", "2026-01-05T09:00:05Z", "--to", "2026-02")]
)
def test_it_has_the_figures_of_the_commands(cli: Cli, keeper: Bookkeeper, period: tuple[str, ...]) -> None:
    found = written(cli, keeper, *period)
    ledger = ("--db", keeper.database.location)
    pnl = cli.here("pnl", *(period or ("--from", "2000")), "-O", "json", target=ledger, now=NOW).json
    for name in ("net_deposits", "total_value", "total_pnl", "net_basis", "withdrawn_profit"):
        expected = "unknown" if pnl["end"][name] is None else decimals(pnl["end"][name])
        assert re.search(rf">{name.replace('_', ' ')}\b[^\n]*</dt>\s*<dd[^>]*>{re.escape(expected)}", found.text), name
    for command in ("gains", "returns"):
        ran = cli.here(command, *period, target=ledger, now=NOW)
        for line in filter(re.compile(r"\d").search, ran.out.splitlines()):
            for word in re.split(r"\s{2,}", line.strip().replace("_", " ")):
                assert word in found.seen.replace("_", " "), (command, word)
    head = cli.here("head", "-O", "json", target=ledger).json
    assert f"Head: version {head['version']}, {head['hash']}" in found.seen
    assert "Everything holds." in found.seen
    for bound in period[1::2]:
        assert f"{bound} " in re.search(r"main live in RLUSD (.*)", found.seen)[1], "as it was given"  # type: ignore[index]
    assert "<svg" in found.text
    assert ("2026-01-04T00:00:00Z" in found.seen) == (not period), "capital that was moved before is not of the period"


def test_it_is_one_file_that_loads_and_runs_nothing(cli: Cli, keeper: Bookkeeper) -> None:
    text = written(cli, keeper).text
    assert "<script" not in text
    assert "<link" not in text
    assert "<form" not in text
    assert "data-stream" not in text
    assert "data-points" not in text
    assert not re.search(r"(src|href)=\"(?!#main)", text)
    assert not re.search(r"url\(|@import", text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}';" in text.replace("&#39;", "'")
    assert not re.search(r"<img|onerror=(?!alert\(1\)&gt;)", text)


def test_what_a_check_finds_stands_in_it(cli: Cli, tmp_path: Path) -> None:
    with open_keeper(tmp_path, name="other.db") as opened:
        append_sample(opened)
        with intruding(opened.database.location) as raw:
            raw.execute("UPDATE inventory SET total = '7' WHERE asset = 'XRP'")
        seen = written(cli, opened).seen
    assert "do not hold." in seen or "does not hold." in seen
    assert "projections_match" in seen


def test_without_a_file_it_is_printed_and_an_older_file_stays_when_it_fails(cli: Cli, keeper: Bookkeeper) -> None:
    ledger = ("--db", keeper.database.location)
    ran = cli.run("report", "--to", "2026-01", target=ledger)
    assert ran.out.startswith("<!doctype html>")
    assert ran.out.rstrip().endswith("</html>")
    cli.write("report.html", "old")
    assert_refused(cli.run("report", "--from", "2027", "--to", "2026", "-o", "report.html", target=ledger), 2, "usage")
    assert_refused(cli.run("report", "-o", "nowhere/report.html", target=ledger), 2, "usage", "cannot be written")
    assert (cli.folder / "report.html").read_text() == "old"


def test_nothing_is_written_to_the_ledger(cli: Cli) -> None:
    before = cli.unchanged()
    assert cli.here("report", "-o", str(cli.folder / "r.html")).code == 0
    assert cli.unchanged() == before
