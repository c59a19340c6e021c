"""Real fills of real venues: appended, appended again, rebuilt, checked, and the balances compared to the digit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.amounts import amount_text
from tests.cli_support import Cli
from tests.support import ROOT

EVENTS = ROOT.parent / "shared" / "data" / "events"


def expected(name: str) -> dict[str, Any]:
    """What was computed independently of netbasis; skips where the files are not at hand."""
    if not EVENTS.is_dir():
        pytest.skip("the real fills are not at hand: there is no shared/data/events beside the checkout")
    found = json.loads((EVENTS / "expected.json").read_text("utf-8"))[name]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["hummingbot-btcusdt-38.ndjson", "binance-xrpeth-6238.ndjson"])
def test_real_fills_add_up_to_the_digit(name: str, tmp_path: Path) -> None:
    real = expected(name)
    cli = Cli(tmp_path, empty=True)
    cli.here("init", "--mode", "paper", "--numeraire", real["numeraire"])
    append = ("append", "--file", str(EVENTS / name), "-O", "json")
    count = real["events"]
    first = cli.run(*append).json
    assert first == {"appended": count, "existed": 0, "version": count + 1, "head": first["head"]}
    assert cli.run(*append).json == {**first, "appended": 0, "existed": count}
    rebuilt = cli.here("rebuild", "-O", "json").json
    assert (rebuilt["events"], rebuilt["changed"]) == (count + 1, [])
    checked = cli.here("check", "--expect-head", first["head"], "-O", "json")
    assert (checked.code, checked.json["ok"]) == (0, True)
    balances = cli.here("balance", "-O", "json").json["balances"]
    # The expected figures are texts too, some of them with zeros at the end that the canonical text has not.
    assert {row["asset"]: row["total"] for row in balances} == {
        asset: amount_text(Decimal(text)) for asset, text in real["balances"].items()
    }
