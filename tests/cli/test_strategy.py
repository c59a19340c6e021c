"""`netbasis config check`: what it shows, and that it needs no ledger."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from engine.paper.strategy_config import RETIRED, Strategy
from tests.cli_support import Cli, assert_refused

CONFIG = "strategy:\n  base_size_rlusd: 15.0\n  max_rlusd_exposure: 120\n  anchor_max_divergence_bps: 10.10\n"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """An empty folder, without a ledger."""
    return Cli(tmp_path, empty=True)


def test_it_shows_every_setting_and_whether_it_was_given(cli: Cli) -> None:
    cli.write("c.yaml", CONFIG)
    ran = cli.run("config", "check", "c.yaml", target=())
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[:3] for line in ran.lines[1:4]] == [
        ["base_size_rlusd", "15.00", "given"],
        ["max_rlusd_exposure", "120.00", "given"],
        ["anchor_max_divergence_bps", "10.10", "given"],
    ]
    assert [line.split()[0] for line in ran.lines[1:]] == list(Strategy.model_fields)
    assert {line.split()[2] for line in ran.lines[4:]} == {"default"}
    assert [path.name for path in cli.folder.iterdir()] == ["c.yaml"]


def test_the_document_has_decimals_as_texts(cli: Cli) -> None:
    path = cli.folder / cli.write("c.yaml", CONFIG.replace("15.0", "0.100000000000000005"))
    found = cli.here("config", "check", str(path), "-O", "json").json["strategy"]
    assert found["base_size_rlusd"] == "0.100000000000000005"
    assert found["half_spread_bps"] == "5"
    assert {name: Decimal(text) for name, text in found.items()} == Strategy.model_validate(found).model_dump()


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (f"{RETIRED}: 50", "setting_retired", ("retired for good", "max_rlusd_exposure", "remove it")),
        ("max_rlusd_exposre: 50", "field_unknown", ("did you mean max_rlusd_exposure?",)),
        ("half_spread_bps: 1_0", "amount_malformed", ("half_spread_bps",)),
        ("half_spread_bps: [", "not_yaml", ()),
    ],
)
def test_a_refusal_is_one_line_that_names_the_files(line: str, error: str, words: tuple[str, ...], cli: Cli) -> None:
    path = cli.folder / cli.write("c.yaml", f"{CONFIG}  {line}\n")
    assert_refused(cli.here("config", "check", str(path)), 1, error, "'c.yaml' line ", *words)


def test_a_file_that_is_not_there_is_a_wrong_command_line(cli: Cli) -> None:
    assert_refused(cli.here("config", "check", str(cli.folder / "no.yaml")), 2, "usage", "cannot read", "No such file")
