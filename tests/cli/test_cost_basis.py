"""`lots`, `gains`, `income`, `returns`, `sessions`, `pnl --lots`: figures worked out by hand, and what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

from tests.cli_support import Cli, assert_refused

FILL = {"type": "fill", "base_asset": "XRP", "quote_asset": "RLUSD", "fee_asset": "XRP", "fee_amount": "0"}


def at(day: str) -> dict[str, str]:
    return {"at": f"2026-{day}T12:00:00Z"}


# Bought 10 at 1.00 and 10 at 2.00; sold 5 at 3.00, half of the first lot; 1 XRP as a reward at 2.50; a network fee of 1 XRP.
STORY: list[dict[str, Any]] = [
    {"type": "deposit", "key": "in", "asset": "RLUSD", "amount": "100", **at("01-01")},
    {**FILL, "key": "b1", "side": "buy", "base_amount": "10", "quote_amount": "10", "session_id": "s1", **at("01-02")},
    {**FILL, "key": "b2", "side": "buy", "base_amount": "10", "quote_amount": "20", "session_id": "s1", **at("01-03")},
    {**FILL, "key": "s1", "side": "sell", "base_amount": "5", "quote_amount": "15", "session_id": "s2", **at("02-02")}
    | {"strategy": "grid"},
    {"type": "mark", "key": "m1", "asset": "XRP", "price": "2.5", **at("02-03")},
    {"type": "adjustment", "key": "r", "asset": "XRP", "amount": "1", "reason": "reward", **at("02-04")},
    {"type": "adjustment", "key": "n", "asset": "XRP", "amount": "-1", "reason": "network_fee", **at("02-05")},
    {"type": "mark", "key": "m2", "asset": "XRP", "price": "4", **at("02-06")},
]


@pytest.fixture
def desk(cli: Cli) -> Cli:
    cli.append(*STORY)
    return cli


def json_of(cli: Cli, *arguments: str) -> Any:
    ran = cli.here(*arguments, "-O", "json")
    assert ran.code == 0, ran.err
    return ran.json


def lots_of(cli: Cli, *arguments: str) -> list[tuple[str, str | None, int]]:
    found = json_of(cli, "lots", *arguments)["lots"]
    return [(lot["quantity"], lot["cost"], lot["version"]) for lot in found]


def test_the_open_lots_by_each_method(desk: Cli) -> None:
    assert lots_of(desk) == [("4", "4", 3), ("10", "20", 4), ("1", "2.5", 7)]
    assert lots_of(desk, "--method", "hifo") == [("10", "10", 3), ("5", "10", 4)]
    assert lots_of(desk, "--method", "average") == [("15", "23.4375", 3)]
    assert lots_of(desk, "--as-of", "2026-01") == [("10", "10", 3), ("10", "20", 4)]


def test_the_gain_of_each_disposal(desk: Cli) -> None:
    found = json_of(desk, "gains")
    (gain,) = found["gains"]
    named = ("quantity", "proceeds", "cost", "gain", "holding_days", "opened_version", "closed_version", "strategy")
    assert [gain[name] for name in named] == ["5", "15", "5", "10", 31, 3, 5, "grid"]
    assert (found["gain"], found["method"]) == ("10", "fifo")


def test_a_fee_in_kind_is_a_disposal_in_the_accountants_view(desk: Cli) -> None:
    found = json_of(desk, "gains", "--fees", "in-cost")["gains"]
    assert [(each["quantity"], each["proceeds"], each["cost"], each["closed_by"]) for each in found] == [
        ("5", "15", "5", "fill"),
        ("1", "2.5", "1", "fee"),
    ]


@pytest.mark.parametrize(
    ("by", "groups"),
    [("month", ["2026-02"]), ("day", ["2026-02-02"]), ("session", ["s2"]), ("strategy", ["grid"]), ("asset", ["XRP"])],
)
def test_gains_are_summed_by_group(desk: Cli, by: str, groups: list[str]) -> None:
    found = json_of(desk, "gains", "--group-by", by)["groups"]
    assert [(group[by], group["gain"]) for group in found] == [(name, "10") for name in groups]


def test_a_period_chooses_by_the_time_of_closing_and_keeps_the_lots_before_it(desk: Cli) -> None:
    assert json_of(desk, "gains", "--from", "2026-02", "--to", "2026-02")["gain"] == "10"
    assert json_of(desk, "gains", "--to", "2026-01")["gains"] == []
    assert json_of(desk, "gains", "--year", "2026")["gain"] == "10"


def test_the_csv_has_one_header(desk: Cli) -> None:
    rows = list(csv.DictReader(desk.here("gains", "-O", "csv").out.splitlines()))
    assert [(row["asset"], row["gain"], row["closed_at"]) for row in rows] == [
        ("XRP", "10", "2026-02-02T12:00:00.000000Z")
    ]


def test_total_pnl_is_made_of_its_parts(desk: Cli) -> None:
    """15 XRP at 4 and 85 RLUSD, 100 deposited: 45 = 10 + 33.5 − 1 + 2.5."""
    found = json_of(desk, "pnl", "--lots")
    names = ("total_pnl", "realised", "unrealised", "fees_cost", "other_income", "baselines", "identity")
    assert [found[name] for name in names] == ["45", "10", "33.5", "1", "2.5", "0", "holds"]
    assert found["average_entries"] == [
        {"asset": "XRP", "quantity": "15", "cost": "26.5", "price": "1.766666666666666667"}
    ]
    in_cost = json_of(desk, "pnl", "--method", "lifo", "--fees", "in-cost")
    assert [in_cost[name] for name in names] == ["45", "5", "40", "2.5", "2.5", "0", "holds"]
    assert desk.here("check").code == 0
    text = desk.here("pnl", "--lots").out
    assert "= total pnl" in text
    assert "other income: reward 2.50" in text


def test_pnl_by_month_adds_up_to_total_pnl(desk: Cli) -> None:
    """Of January there is no mark; so February begins unknown, too."""
    found = json_of(desk, "pnl", "--by", "month", "--to", "2026-02")
    assert [(each["period"], each["pnl"], each["missing_marks"]) for each in found["periods"]] == [
        ("2026-01", None, ["XRP"]),
        ("2026-02", None, []),
    ]
    ran = desk.here("pnl", "--by", "month", "--to", "2026-02")
    assert "2026-01" in ran.out
    assert "the pnl of 2 months is unknown" in ran.err
    desk.append({"type": "mark", "key": "m0", "asset": "XRP", "price": "2", **at("01-31")})
    known = json_of(desk, "pnl", "--by", "month", "--to", "2026-02")
    assert [each["pnl"] for each in known["periods"]] == ["10", "35"]
    assert json_of(desk, "pnl", "--as-of", "2026-02")["total_pnl"] == "45"
    rows = list(csv.DictReader(desk.here("pnl", "--by", "month", "--to", "2026-02", "-O", "csv").out.splitlines()))
    assert [row["pnl"] for row in rows] == ["10", "35"]


def test_a_summary_of_a_period_has_its_fills_and_what_changed(desk: Cli) -> None:
    february = ("--from", "2026-02", "--to", "2026-02")
    found = json_of(desk, "summary", *february)
    assert (found["fills"], found["volume"][0]["base_amount"], found["fees"]) == (
        1,
        "5",
        [{"asset": "XRP", "amount": "1"}],
    )
    period = json_of(desk, "pnl", *february)
    assert {name: found["change"][name] for name in found["change"]} == {
        name: period["change"][name] for name in found["change"]
    }
    assert (found["total_pnl"], found["inventory"][1]["total"]) == ("45", "15")
    january = json_of(desk, "summary", "--to", "2026-01")
    assert (january["fills"], january["inventory"][1]["total"], january["total_pnl"]) == (2, "20", None)
    assert json_of(desk, "summary")["change"] is None
    assert json_of(desk, "summary", "--session", "s1", *february)["fills"] == 0
    assert "change" in desk.here("summary", *february).out
    assert "total_pnl_change" in desk.here("summary", *february, "-O", "csv").out


def test_income_has_its_value_on_its_date(desk: Cli) -> None:
    found = json_of(desk, "income")
    assert [(each["reason"], each["amount"], each["value"]) for each in found["income"]] == [("reward", "1", "2.5")]
    assert found["by_reason"] == [{"reason": "reward", "value": "2.5"}]


def test_sessions_have_their_fills_volume_and_what_they_realised(desk: Cli) -> None:
    found = json_of(desk, "sessions")["sessions"]
    assert [(each["session_id"], each["fills"], each["volume"], each["realised"]) for each in found] == [
        ("s1", 2, [{"asset": "RLUSD", "amount": "30"}], "0"),
        ("s2", 1, [{"asset": "RLUSD", "amount": "15"}], "10"),
    ]


def test_returns_list_what_cannot_be_valued_and_give_a_rate_where_all_can(desk: Cli) -> None:
    stale = json_of(desk, "returns")
    assert (stale["time_weighted"], len(stale["missing"])) == (None, 1)
    assert "no fresh mark at" in desk.here("returns").out
    found = json_of(desk, "returns", "--to", "2026-02-06T13:00:00Z")
    assert (found["flows"], found["end_value"], found["earned"], found["time_weighted"]) == (
        "100",
        "145",
        "45",
        "0.450000",
    )
    assert found["money_weighted"] is not None


def test_who_asks_for_the_proof_of_the_identity_is_told_where_there_is_none(cli: Cli) -> None:
    cli.append({"type": "adjustment", "key": "o", "asset": "XRP", "amount": "10", "reason": "opening", **at("01-02")})
    note = "cost_basis is not proved"
    assert note in cli.here("check", "--only", "cost_basis").err
    assert note not in cli.here("check").err
    cli.append({"type": "mark", "key": "m", "asset": "XRP", "price": "2", **at("01-02")})
    assert note not in cli.here("check", "--only", "cost_basis").err


@pytest.mark.parametrize("method", ["fifo", "average"])
@pytest.mark.parametrize("command", ["lots", "gains", "income"])
def test_the_marks_that_are_asked_for_make_all_known(cli: Cli, command: str, method: str) -> None:
    """The events without a price are a fill between two other assets, a fee in a third one, and a reward."""
    swap = {"quote_asset": "BTC", "quote_amount": "0.001", "fee_asset": "BNB", "fee_amount": "0.01"}
    cli.append(
        {**FILL, "key": "b", "side": "buy", "base_amount": "10", "quote_amount": "10", **at("01-01")},
        {**FILL, "key": "x", "side": "sell", "base_amount": "4", **swap, **at("01-02")},
        {"type": "adjustment", "key": "r", "asset": "XRP", "amount": "10", "reason": "reward", **at("01-03")},
        {**FILL, "key": "s", "side": "sell", "base_amount": "8", "quote_amount": "16", **at("01-04")},
    )
    options = () if command == "income" else ("--method", method)
    asked: list[str] = []
    while "unknown" in (ran := cli.here(command, *options)).out:
        assert len(asked) < 4, asked
        wanted = ran.err.partition("gives it: ")[2].splitlines()[0].replace("…", "2").split()
        asked.append(f"{wanted[3]} {wanted[-1][:10]}")
        assert cli.here(*wanted, "--key", f"m{len(asked)}").code == 0
    expected = {
        "lots": {"XRP 2026-01-03", "BTC 2026-01-02", "BNB 2026-01-02"},
        "gains": {"XRP 2026-01-02"},  # which is known on the day of the reward, too
        "income": {"XRP 2026-01-03"},
    }
    assert set(asked) == expected[command]
    assert ran.err == ""


def test_an_unknown_cost_is_unknown_and_says_how_it_can_be_known(cli: Cli) -> None:
    opening = {"type": "adjustment", "key": "o", "asset": "XRP", "amount": "10", "reason": "opening", **at("01-02")}
    sale = {**FILL, "key": "s", "side": "sell", "base_amount": "4", "quote_amount": "8", **at("01-03")}
    cli.append(opening, sale, {"type": "mark", "key": "m", "asset": "XRP", "price": "2", **at("01-04")})
    ran = cli.here("lots")
    assert "unknown" in ran.out
    assert "append mark --asset XRP --price … --at 2026-01-02T12:00:00Z" in ran.err
    found = json_of(cli, "pnl", "--lots")
    assert (found["realised"], found["unrealised"], found["other_income"], found["identity"]) == (
        None,
        None,
        None,
        "unproved",
    )
    cli.append({"type": "mark", "key": "then", "asset": "XRP", "price": "1.5", **at("01-02")})
    known = json_of(cli, "pnl", "--lots")
    assert (known["realised"], known["other_income"], known["identity"]) == ("2", "15", "holds")


def test_the_method_may_stand_in_the_file(desk: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("netbasis.toml", 'method = "average"\n')
    monkeypatch.chdir(desk.folder)
    assert json_of(desk, "lots")["method"] == "average"
    assert json_of(desk, "lots", "--method", "lifo")["method"] == "lifo"
    desk.write("netbasis.toml", 'method = "best"\n')
    assert_refused(desk.here("lots"), 2, "usage", "netbasis.toml", "'best'")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lots", "--method", "best"], "average, fifo, lifo, hifo, lofo"),
        (["gains", "--from", "2026-03", "--to", "2026-01"], "is after"),
        (["gains", "--year", "2026", "--from", "2026"], "--year"),
        (["pnl", "--lots", "--from", "2026"], "gains"),
        (["pnl", "--fees", "in-cost"], "--lots"),
        (["returns", "--max-mark-age", "soon"], "not an age"),
        (["returns", "--from", "2999"], "--from '2999' has not come yet"),
        (["pnl", "--by", "day", "--as-of", "2026"], "--as-of is a moment"),
        (["pnl", "--by", "day", "--lots"], "--lots is about a moment"),
        (["pnl", "--by", "day", "--price", "XRP=1"], "--price"),
        (["pnl", "--by", "year"], "'day', 'week', 'month'"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(desk: Cli, arguments: list[str], said: str) -> None:
    assert_refused(desk.here(*arguments), 2, "usage", said)


def test_returns_by_period_go_from_end_to_end(desk: Cli) -> None:
    """20 XRP at 2.00 and 70 RLUSD at the end of January; 15 at 4.00 and 85 at that of February."""
    desk.append({"type": "mark", "key": "end", "asset": "XRP", "price": "4", **at("02-28")})
    desk.append({"type": "mark", "key": "start", "asset": "XRP", "price": "2", **at("01-31")})
    found = json_of(desk, "returns", "--by", "month", "--to", "2026-02")["periods"]
    names = ("period", "start_value", "flows", "end_value", "earned", "time_weighted", "missing_marks")
    assert [[each[name] for name in names] for each in found] == [
        ["2026-01", "0", "100", "110", "10", "0.100000", []],
        ["2026-02", "110", "0", "145", "35", "0.318182", []],
    ]
    shown = desk.here("returns", "--by", "month", "--to", "2026-02").out
    assert "+31.8182 %" in shown
    stale = json_of(desk, "returns", "--by", "month", "--to", "2026-02", "--max-mark-age", "1h")["periods"]
    assert [(each["time_weighted"], each["missing_marks"]) for each in stale] == [(None, ["XRP"])] * 2
    in_berlin = json_of(desk, "returns", "--by", "month", "--to", "2026-02", "--zone", "Europe/Berlin")["periods"]
    assert [each["from"] for each in in_berlin] == ["2025-12-31T23:00:00.000000Z", "2026-01-31T23:00:00.000000Z"]


def test_a_period_in_which_all_was_taken_out_has_no_time_weighted_rate(cli: Cli) -> None:
    """100 come in, 10 are lost, and 90 go out: from then on the sub-period begins at 0."""
    cli.append(
        STORY[0],
        {"type": "adjustment", "key": "f", "asset": "RLUSD", "amount": "-10", "reason": "funding", **at("01-02")},
        {"type": "withdrawal", "key": "w", "asset": "RLUSD", "amount": "90", "basis_delta": "-90", **at("01-31")},
    )
    period = ("returns", "--by", "month", "--to", "2026-01")
    (found,) = json_of(cli, *period)["periods"]
    why = "the sub-period from 2026-01-31T12:00:00Z starts at 0 or less"
    assert (found["earned"], found["time_weighted"], found["time_weighted_unknown"]) == ("-10", None, why)
    ran = cli.here(*period)
    assert f"of 2026-01: {why}" in ran.err
    (row,) = csv.DictReader(cli.here(*period, "-O", "csv").out.splitlines())
    assert float(row["money_weighted"]) == pytest.approx(0.9 ** (365 / 30) - 1, abs=1e-6)


@pytest.mark.parametrize(
    ("module", "arguments", "is_counted"),
    [
        ("lots", ["lots"], True),
        ("gains", ["gains"], True),
        ("gains", ["income"], True),
        ("returns", ["returns"], True),
        ("returns", ["returns", "--by", "month"], True),
        ("sessions", ["sessions"], True),
        ("pnl", ["pnl", "--lots"], True),
        ("pnl", ["pnl", "--by", "month"], True),
        ("pnl", ["pnl"], False),  # reads no events
    ],
)
def test_what_reads_the_whole_log_says_how_far_it_is(
    desk: Cli, monkeypatch: pytest.MonkeyPatch, module: str, arguments: list[str], *, is_counted: bool
) -> None:
    seen: list[int] = []

    @contextmanager
    def on_a_terminal(what: str) -> Iterator[Callable[[int], None]]:
        yield seen.append

    monkeypatch.setattr("ledger.progress._AT_ONCE", 3)
    monkeypatch.setattr(import_module(f"cli.commands.{module}"), "progress", on_a_terminal)
    assert desk.here(*arguments).code == 0
    assert seen == ([3, 6] if is_counted else [])


def test_the_gain_of_a_withdrawal_is_of_no_session(desk: Cli) -> None:
    desk.append(
        {**FILL, "key": "b3", "side": "buy", "base_amount": "1", "quote_amount": "1", **at("03-01")},
        {
            "type": "withdrawal",
            "key": "w",
            "asset": "XRP",
            "amount": "2",
            "price": "9",
            "basis_delta": "-2",
            **at("03-02"),
        },
    )
    found = {each["session_id"]: each["realised"] for each in json_of(desk, "sessions")["sessions"]}
    assert found == {"s1": "0", "s2": "10", "": "0"}


def test_a_disposal_of_more_than_was_held_is_refused_where_shorts_are_forbidden(desk: Cli) -> None:
    assert json_of(desk, "lots", "--no-shorts")["unknown_costs"] == 0
    desk.append({**FILL, "key": "short", "side": "sell", "base_amount": "99", "quote_amount": "99", **at("03-01")})
    assert_refused(desk.here("lots", "--no-shorts"), 1, "short_lot", "version 10")
    assert_refused(desk.here("gains", "--no-shorts"), 1, "short_lot", "version 10")
    assert lots_of(desk)[-1][2] == 10
