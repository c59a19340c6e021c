"""20 digits before the point and 36 after it, exactly, through every command that takes or shows an amount."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli_support import Cli, assert_refused, ndjson
from tests.engines import ENGINES, forget, intruding, new_ledger

UNIT = 10**36
VALUE_UNIT = 10**18  # of 10^-36, what a value is rounded to
WIDEST = "9" * 20 + "." + "9" * 36
DUST = "0." + "0" * 35 + "1"
LONG = "12345678901234567890.123456789012345678901234567890123456"
PAID = "1." + "0" * 34 + "21"
OUT = "1." + "0" * 34 + "13"
# What the issuer of a token with 16 significant digits sends.
XRPL = ("0.0001234567890123456", "0.0000000123456789012345")


def units(text: str) -> int:
    """A decimal text as a whole number of 10^-36, by hand."""
    sign = -1 if text.startswith("-") else 1
    whole, _, decimals = text.lstrip("-").partition(".")
    return sign * int(whole + decimals.ljust(36, "0"))


def text_of(amount: int) -> str:
    """The canonical text of a number of 10^-36, by hand."""
    whole, decimals = divmod(abs(amount), UNIT)
    return f"{'-' if amount < 0 else ''}{whole}.{decimals:036d}".rstrip("0").rstrip(".")


def value(amount: str, price: str) -> int:
    """amount × price to 18 decimals, half to even, by hand."""
    whole, rest = divmod(units(amount) * units(price), UNIT * VALUE_UNIT)
    half = UNIT * VALUE_UNIT // 2
    return (whole + (rest > half or (rest == half and whole % 2 == 1))) * VALUE_UNIT


FUNDS, TOKEN_VALUE = units(WIDEST), value(WIDEST, DUST)
RLUSD = FUNDS - units(PAID) + units(DUST) - units(OUT)
TOKEN = units(WIDEST) - units(DUST)
BASIS = FUNDS + TOKEN_VALUE + units(DUST) - units(OUT)  # there is no profit, so all that goes out is principal


@pytest.fixture
def rich(cli: Cli) -> Cli:
    """A book of the widest amounts and of the finest, all given to commands."""
    for line in (
        ("append", "deposit", "--asset=RLUSD", f"--amount={WIDEST}"),
        ("append", "deposit", "--asset=TOKEN", f"--amount={WIDEST}", f"--price={DUST}"),
        ("append", "mark", "--asset=TOKEN", f"--price={DUST}"),
        ("append", "fill", "--side=buy", f"--base-amount={LONG}", f"--quote-amount={PAID}"),
        ("append", "mark", "--asset=XRP", "--price=0"),
        ("append", "adjustment", "--asset=TOKEN", f"--amount=-{DUST}", "--reason=network_fee"),
        ("inject", DUST),
        ("withdraw", OUT),
    ):
        ran = cli.here(*line)
        assert ran.code == 0, (line, ran.err)
    return cli


@pytest.fixture(params=ENGINES)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A ledger on either engine, to copy into."""
    made = new_ledger(request.param, tmp_path, "target.db")
    yield made
    forget(made)


def shown(cli: Cli, *line: str) -> Any:
    """The JSON that a command prints."""
    ran = cli.here(*line, "-O", "json")
    assert ran.code == 0, ran.err
    return ran.json


def require_exact(cli: Cli) -> None:
    """What the commands show of the rich book, digit for digit."""
    balances = {row["asset"]: row for row in shown(cli, "balance")["balances"]}
    assert {asset: row["total"] for asset, row in balances.items()} == {
        "RLUSD": text_of(RLUSD),
        "TOKEN": text_of(TOKEN),
        "XRP": LONG,
    }
    assert balances["TOKEN"]["capital"] == WIDEST
    assert balances["TOKEN"]["adjustments"] == f"-{DUST}"
    assert balances["RLUSD"]["fills"] == f"-{PAID}"
    pnl = shown(cli, "pnl")
    assert pnl["net_basis"] == pnl["net_deposits"] == pnl["starting_value"] == text_of(BASIS)
    assert pnl["total_value"] == text_of(RLUSD + value(text_of(TOKEN), DUST))
    assert pnl["total_pnl"] == f"-{PAID}"
    assert pnl["fees"] == [{"asset": "TOKEN", "amount": DUST}]
    assert [mark["price"] for mark in pnl["marks"]] == [DUST, "0"]
    rows = list(csv.DictReader(io.StringIO(cli.here("register", "-O", "csv").out)))
    assert [row["delta"] for row in rows] == [WIDEST, WIDEST, LONG, f"-{PAID}", f"-{DUST}", DUST, f"-{OUT}"]
    assert [row["balance"] for row in rows if row["asset"] == "RLUSD"][-1] == text_of(RLUSD)
    audit = shown(cli, "audit", "basis")
    assert (audit["net_basis"], [row["amount"] for row in audit["rows"]]) == (
        text_of(BASIS),
        [WIDEST, WIDEST, DUST, OUT],
    )
    out = audit["rows"][-1]
    assert (out["profit"], out["principal"], out["basis_delta"]) == ("0", OUT, f"-{OUT}")
    assert audit["rows"][1]["basis_delta"] == text_of(TOKEN_VALUE)
    (side,) = shown(cli, "summary")["volume"]
    assert (side["base_amount"], side["quote_amount"]) == (LONG, PAID)
    assert cli.here("check").code == 0


def test_every_command_keeps_every_digit(rich: Cli) -> None:
    require_exact(rich)
    assert shown(rich, "rebuild")["changed"] == []
    text = "\n".join(rich.here(*line).out for line in (("balance",), ("pnl",), ("register",), ("audit", "basis")))
    for figure in (WIDEST, LONG, DUST, PAID, OUT, text_of(RLUSD), text_of(TOKEN), text_of(BASIS)):
        assert figure in text, figure
    # Thrown away and folded anew, they are the same.
    before = rich.contents()
    with intruding(rich.location) as raw:
        for table in ("inventory", "basis", "engine_state", "marks", "fees"):
            raw.execute(f"DELETE FROM {table}")
    assert rich.here("rebuild").code == 0
    assert [row for row in rich.contents() if row[0] != "projection_rebuilds"] == [
        row for row in before if row[0] != "projection_rebuilds"
    ]


def test_a_copy_on_either_engine_has_every_digit(rich: Cli, target: str) -> None:
    assert rich.here("copy", "--to", target).code == 0
    rich.location = target
    require_exact(rich)


def test_the_dust_of_tokens_is_taken_and_given_again(cli: Cli) -> None:
    """By a file, and the sums are right."""
    lines = [{"type": "deposit", "key": f"d{n}", "asset": "RLUSD", "amount": amount} for n, amount in enumerate(XRPL)]
    for counts in ((2, 0), (0, 2)):
        path = str(cli.folder / cli.write("dust.ndjson", ndjson(lines)))
        done = shown(cli, "append", "--file", path)
        assert (done["appended"], done["existed"]) == counts
    (row,) = shown(cli, "balance")["balances"]
    assert row["total"] == text_of(sum(map(units, XRPL)))
    assert cli.here("check").code == 0


TOO_FINE = "0." + "0" * 36 + "1"
TAKERS: list[tuple[str, list[str]]] = [
    ("amount", ["append", "deposit", "--asset=RLUSD", "--amount={}"]),
    ("amount", ["append", "withdrawal", "--asset=RLUSD", "--amount={}", "--basis-delta=0"]),
    ("basis_delta", ["append", "withdrawal", "--asset=RLUSD", "--amount=1", "--basis-delta=-{}"]),
    ("price", ["append", "deposit", "--asset=XRP", "--amount=1", "--price={}"]),
    ("base_amount", ["append", "fill", "--side=buy", "--base-amount={}", "--quote-amount=1"]),
    ("quote_amount", ["append", "fill", "--side=buy", "--base-amount=1", "--quote-amount={}"]),
    (
        "fee_amount",
        ["append", "fill", "--side=buy", "--base-amount=1", "--quote-amount=1", "--fee-asset=XRP", "--fee-amount={}"],
    ),
    ("amount", ["append", "adjustment", "--asset=XRP", "--amount=-{}", "--reason=fee"]),
    ("price", ["append", "mark", "--asset=XRP", "--price={}"]),
    ("amount", ["inject", "{}"]),
    ("amount", ["inject", "--amount={}", "--dry-run"]),
    ("amount", ["withdraw", "{}"]),
    ("basis_delta", ["backfill-basis", "{}"]),
]


@pytest.mark.parametrize(
    ("amount", "code", "says"),
    [
        (TOO_FINE, "amount_too_precise", "at most 36 digits after the point"),
        ("1" + "0" * 20, "amount_out_of_range", "at most 20 digits before the point"),
    ],
)
def test_one_digit_more_is_refused_everywhere(cli: Cli, amount: str, code: str, says: str) -> None:
    """In words that name the field and show what was given; nothing is rounded."""
    before = cli.unchanged()
    for name, line in TAKERS:
        ran = cli.here(*(word.replace("{}", amount) for word in line))
        assert_refused(ran, 1, code, says, amount, f"{name}: ")
    assert cli.unchanged() == before


def test_digits_that_are_zero_do_not_count(cli: Cli) -> None:
    for given in (DUST + "0" * 20, "0" * 30 + DUST):
        assert cli.here("append", "deposit", "--asset=RLUSD", f"--amount={given}").code == 0, given
    (row,) = shown(cli, "balance")["balances"]
    assert row["total"] == text_of(2)
