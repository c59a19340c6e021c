"""`--in EUR`: what `gains`, `income`, `returns` and `pnl` show in another currency, and what they say of a missing rate."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from tests.cli.test_cost_basis import STORY, at, json_of
from tests.cli_support import Cli, assert_refused

EUR = ("--in", "EUR")
RATES = [("01-01", "1"), ("02-01", "1.25"), ("02-04", "1.5625"), ("02-05", "2")]


def rate(day: str, price: str) -> dict[str, Any]:
    return {"type": "mark", "key": f"eur {day}", "asset": "EUR", "price": price, **at(day)}


@pytest.fixture
def desk(cli: Cli) -> Cli:
    cli.append(*STORY, *(rate(*each) for each in RATES))
    return cli


def test_gains_have_the_rates_of_both_dates(desk: Cli) -> None:
    """The 5 that had cost 5 at 1.00 were sold for 15 at 1.25."""
    found = json_of(desk, "gains", *EUR)
    assert (found["in"], found["numeraire"], found["missing_rates"]) == ("EUR", "RLUSD", [])
    assert [found["gains"][0][name] for name in ("proceeds", "cost", "gain")] == ["12", "5", "7"]
    assert [found[name] for name in ("proceeds", "cost", "gain")] == ["12", "5", "7"]
    assert json_of(desk, "gains", *EUR, "--group-by", "month")["groups"][0]["gain"] == "7"
    assert "in EUR, fifo" in desk.here("gains", *EUR).out
    assert [row["gain"] for row in csv.DictReader(desk.here("gains", *EUR, "-O", "csv").out.splitlines())] == ["7"]


def test_income_has_the_rate_of_its_date(desk: Cli) -> None:
    found = json_of(desk, "income", *EUR)
    assert (found["income"][0]["value"], found["by_reason"]) == ("1.6", [{"reason": "reward", "value": "1.6"}])


def test_pnl_has_the_rate_of_the_moment(desk: Cli) -> None:
    """145 in all and 100 deposited, at 2.00; at the end of January they were 100 and something without a mark, at 1.00."""
    found = json_of(desk, "pnl", *EUR)
    assert [found[name] for name in ("in", "total_value", "net_deposits", "total_pnl")] == ["EUR", "72.5", "50", "22.5"]
    assert found["rate"] == {"price": "2", "source": None, "at": "2026-02-05T12:00:00.000000Z"}
    text = desk.here("pnl", *EUR).out
    assert "in EUR\n" in text
    assert "rate: 1 EUR = 2.00 RLUSD" in text
    assert "mark: XRP 4.00 RLUSD" in text
    earlier = json_of(desk, "pnl", *EUR, "--as-of", "2026-01")
    assert (earlier["net_deposits"], earlier["total_pnl"]) == ("100", None)
    assert json_of(desk, "pnl", *EUR, "--price", "EUR=4")["total_pnl"] == "11.25"


def test_pnl_by_lots_converts_each_part_and_claims_no_identity(desk: Cli) -> None:
    found = json_of(desk, "pnl", "--lots", *EUR)
    names = ("total_pnl", "realised", "unrealised", "fees_cost", "other_income", "baselines", "identity")
    assert [found[name] for name in names] == ["22.5", "5", "16.75", "0.5", "1.25", "0", "not claimed"]
    assert found["average_entries"][0]["cost"] == "13.25"


def test_returns_have_each_rate_of_its_moment(desk: Cli) -> None:
    """100 in at 1.00, 145 at the end at 2.00."""
    found = json_of(desk, "returns", *EUR, "--max-mark-age", "9999d", "--to", "2026-02-06T13:00:00Z")
    assert (found["in"], found["flows"], found["end_value"], found["time_weighted"]) == (
        "EUR",
        "100",
        "72.5",
        "-0.275000",
    )


def test_a_missing_rate_is_unknown_and_named(cli: Cli) -> None:
    cli.append(*STORY, rate("02-02", "1.25"))
    found = json_of(cli, "gains", *EUR)
    assert (found["proceeds"], found["cost"], found["gain"], found["unknown"]) == ("12", None, None, 1)
    assert found["missing_rates"] == ["2026-01-02T12:00:00.000000Z"]
    ran = cli.here("gains", *EUR)
    assert "unknown" in ran.out
    assert "append mark --asset EUR --price … --at 2026-01-02T12:00:00Z" in ran.err
    for command in (("pnl",), ("pnl", "--lots")):
        nothing = json_of(cli, *command, "--in", "USD")
        assert (nothing["rate"], nothing["total_pnl"], nothing["net_deposits"]) == (None, None, None)
        assert "unknown for want of a rate of USD" in cli.here(*command, "--in", "USD").out
    assert json_of(cli, "income", "--in", "USD")["income"][0]["value"] is None
    assert json_of(cli, "income", "--in", "USD")["missing_rates"] == ["2026-02-04T12:00:00.000000Z"]
    returned = json_of(cli, "returns", "--in", "USD")
    assert returned["missing"][0]["assets"] == ["USD"]
    assert (returned["flows"], returned["earned"], returned["money_weighted"]) == (None, None, None)


def test_the_numeraire_is_itself(desk: Cli) -> None:
    for command in (("gains",), ("income",), ("pnl",), ("pnl", "--lots")):
        plain, shown = json_of(desk, *command), json_of(desk, *command, "--in", "RLUSD")
        differs = {name for name in shown if plain.get(name) != shown[name]}
        assert differs <= {"in", "rate", "missing_rates", "identity"}, command


@pytest.mark.parametrize(
    ("words", "code", "error", "said"),
    [
        (("pnl", *EUR, "--from", "2026"), 2, "usage", "returns --in"),
        (("pnl", *EUR, "--by", "day"), 2, "usage", "returns --in"),
        (("gains", "--in", "E R"), 1, "asset_has_blank", "'E R'"),
    ],
)
def test_what_cannot_be_shown_so(desk: Cli, words: tuple[str, ...], code: int, error: str, said: str) -> None:
    assert_refused(desk.here(*words), code, error, said)
