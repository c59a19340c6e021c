"""`netbasis exposure`: the trace, read from the ledger's balance."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from engine.paper import exposure
from tests.cli_support import Cli, assert_refused, deposit

CONFIG = "strategy: {base_size_rlusd: 15.0, max_rlusd_exposure: 120, anchor_max_divergence_bps: 10.0}\n"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A live book with 97.6 RLUSD: 100 deposited, 2.4 of them paid for XRP."""
    made = Cli(tmp_path)
    made.append(
        deposit("d", "100"),
        {
            "type": "fill",
            "key": "f",
            "side": "buy",
            "base_asset": "XRP",
            "base_amount": "2",
            "quote_asset": "RLUSD",
            "quote_amount": "2.4",
            "fee_asset": "XRP",
            "fee_amount": "0",
        },
    )
    made.write("c.yaml", CONFIG)
    return made


def test_the_worked_example(cli: Cli) -> None:
    before = cli.unchanged()
    ran = cli.run("exposure", "--config", "c.yaml", "-O", "json")
    assert ran.json == {
        "book": "main",
        "version": 3,
        "numeraire": "RLUSD",
        "module": "engine.paper.exposure",
        "function": "quote_may_stand",
        "side": "ask",
        "variables": {"balance": "97.6", "size": "15", "limit": "120"},
        "balance": "97.6",
        "size": "15",
        "limit": "120",
        "threshold": "105",
        "headroom": "22.4",
        "fits": True,
        "fills_left": 1,
    }
    assert cli.unchanged() == before


def test_what_it_names_is_the_gate(cli: Cli) -> None:
    found = cli.here("exposure", "--config", str(cli.folder / "c.yaml"), "-O", "json").json
    assert getattr(importlib.import_module(found["module"]), found["function"]) is exposure.quote_may_stand


def test_for_people(cli: Cli) -> None:
    ran = cli.here("exposure", "--config", str(cli.folder / "c.yaml"))
    assert ran.lines == [
        "gate: engine.paper.exposure.quote_may_stand(balance, size, limit), of the ask",
        "balance in RLUSD   97.60",
        "size of a quote    15.00",
        "limit             120.00",
        "threshold         105.00",
        "headroom           22.40",
        "a quote fits now; 1 more fill fits, then the ask is gated",
    ]


def test_a_gated_side(cli: Cli) -> None:
    cli.append(deposit("more", "7.400000000000000001"))
    ran = cli.here("exposure", "--config", str(cli.folder / "c.yaml"))
    assert ran.lines[-1] == "the ask is gated now: 105.000000000000000001 is above 105.00"


def test_csv_and_ndjson_are_one_row(cli: Cli) -> None:
    for output, lines in (("csv", 2), ("ndjson", 1)):
        ran = cli.here("exposure", "--config", str(cli.folder / "c.yaml"), "-O", output)
        assert len(ran.lines) == lines
        assert "22.4" in ran.lines[-1]


def test_it_needs_a_configuration_and_a_ledger(cli: Cli) -> None:
    assert_refused(cli.here("exposure"), 2, "usage", "--config")
    assert_refused(cli.run("exposure", "--config", "c.yaml", target=()), 2, "usage", "--db")
