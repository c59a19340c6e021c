"""The strategy's configuration: what is read digit by digit, and what is refused, with its line."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.paper.strategy_config import RETIRED, Strategy, parse_strategy, read_strategy
from ledger.amounts import amount_text
from ledger.errors import Refusal, Refused
from tests.support import ROOT

SMALLEST = "strategy:\n  base_size_rlusd: 15.0\n  max_rlusd_exposure: 120\n  anchor_max_divergence_bps: 10.0\n"
UNLIMITED = SMALLEST.replace("120", "99999999999999999999.9")


def parse(text: str | bytes) -> Strategy:
    """The strategy of a document named c.yaml."""
    return parse_strategy(text.encode() if isinstance(text, str) else text, name="c.yaml")


def with_setting(line: str) -> str:
    """The smallest document and one more line, which is line 5."""
    return f"{SMALLEST}  {line}\n"


@pytest.mark.parametrize("name", ["live_stage1.yaml", "paper.yaml"])
def test_the_examples_are_the_first_users_strategy(name: str) -> None:
    found = read_strategy(ROOT / "examples" / name)
    assert (found.base_size_rlusd, found.max_rlusd_exposure) == (Decimal(15), Decimal(120))
    assert found.anchor_max_divergence_bps == 10
    assert found.anchor_window == timedelta(seconds=300)


def test_three_settings_are_enough() -> None:
    found = parse(SMALLEST)
    assert found.model_fields_set == {"base_size_rlusd", "max_rlusd_exposure", "anchor_max_divergence_bps"}
    assert (found.half_spread_bps, found.maker_fee_bps) == (Decimal(5), Decimal(0))
    assert found.mark_interval == timedelta(hours=1)


@pytest.mark.parametrize(
    "text",
    [
        "0.1",
        "181.1375018324144",
        "0.100000000000000005",  # a binary float makes 0.1 of it
        "12345678901234567890.123456789012345678",  # Python's decimal context has 28 digits
        "1e-18",
        "1.50000000000000000000",
        '"15.0"',  # in quotes it is the same text
        "0123",  # eight times ten and three to a reader that takes it for octal
    ],
)
def test_a_number_keeps_its_digits(text: str) -> None:
    found = parse(UNLIMITED.replace("15.0", text)).base_size_rlusd
    assert amount_text(found) == amount_text(Decimal(text.strip('"')))


@given(st.decimals(min_value="1e-18", max_value="99999999999999999999", places=18, allow_nan=False))
def test_any_amount_survives_the_file(amount: Decimal) -> None:
    assert parse(UNLIMITED.replace("15.0", amount_text(amount))).base_size_rlusd == amount


@pytest.mark.parametrize(
    ("size", "fits"), [("120", True), ("120.0", True), ("120.000000000000000001", False), ("1e3", False)]
)
def test_a_size_above_the_limit_is_refused_with_its_line(size: str, fits: bool) -> None:
    """An empty book would break the limit with its first fill; a size that just fills it is one quote."""
    document = SMALLEST.replace("15.0", size)
    if fits:
        assert parse(document).base_size_rlusd == 120
        return
    with pytest.raises(Refused) as refused:
        parse(document)
    assert (refused.value.refusal, refused.value.where) == (Refusal.SIZE_EXCEEDS_LIMIT, "'c.yaml' line 2")
    assert "max_rlusd_exposure" in str(refused.value)
    assert "at most 120" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "refusal", "word"),
    [
        ("half_spread: 5", Refusal.FIELD_UNKNOWN, "did you mean half_spread_bps?"),
        ("max_rlusd_exposre: 120", Refusal.FIELD_UNKNOWN, "did you mean max_rlusd_exposure?"),
        ("<<: {half_spread_bps: 4}", Refusal.FIELD_UNKNOWN, "did you mean "),
        ("[a, b]: 5", Refusal.FIELD_UNKNOWN, "did you mean "),
        ("base_size_rlusd: 16", Refusal.FIELD_DUPLICATE, "base_size_rlusd is given twice"),
        (f"{RETIRED}: 50", Refusal.SETTING_RETIRED, "retired for good"),
        (f"half_spread_bps: {{{RETIRED}: 1}}", Refusal.SETTING_RETIRED, "retired for good"),
        (f"half_spread_bps: [1, {{a: {{{RETIRED}: 1}}}}]", Refusal.SETTING_RETIRED, "retired for good"),
        ("half_spread_bps: 1_000", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: 1:25", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: 0x1F", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: .5", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: +5", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: .inf", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: NaN", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: true", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps:", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: [5]", Refusal.AMOUNT_MALFORMED, "a list or a mapping"),
        ("half_spread_bps: {a: 5}", Refusal.AMOUNT_MALFORMED, "a list or a mapping"),
        ("half_spread_bps: ٥", Refusal.AMOUNT_MALFORMED, "half_spread_bps: "),
        ("half_spread_bps: 0.1234567890123456789012345678901234567", Refusal.AMOUNT_TOO_PRECISE, "half_spread_bps: "),
        ("half_spread_bps: -1", Refusal.AMOUNT_MUST_NOT_BE_NEGATIVE, "half_spread_bps: "),
        ("half_spread_bps: 10000", Refusal.AMOUNT_OUT_OF_RANGE, "half_spread_bps: "),
        ("maker_fee_bps: -10000", Refusal.AMOUNT_OUT_OF_RANGE, "maker_fee_bps: "),
        ("anchor_window_s: 0", Refusal.AMOUNT_MUST_BE_POSITIVE, "anchor_window_s: "),
        ("anchor_window_s: 0.5", Refusal.AMOUNT_TOO_PRECISE, "anchor_window_s: "),
        ("mark_interval_s: 1000000001", Refusal.AMOUNT_OUT_OF_RANGE, "mark_interval_s: "),
        ("log_interval_s: -5", Refusal.AMOUNT_MUST_BE_POSITIVE, "log_interval_s: "),
    ],
)
def test_a_setting_is_refused_with_its_line(line: str, refusal: Refusal, word: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(with_setting(line))
    assert (refused.value.refusal, refused.value.where) == (refusal, "'c.yaml' line 5")
    assert word in str(refused.value)


@pytest.mark.parametrize("line", ["maker_fee_bps: -9999.5", "half_spread_bps: 9999.9", "half_spread_bps: 0"])
def test_the_ends_of_a_range_are_in_it(line: str) -> None:
    name, _, value = line.partition(": ")
    assert getattr(parse(with_setting(line)), name) == Decimal(value)


@pytest.mark.parametrize("setting", ["base_size_rlusd", "max_rlusd_exposure", "anchor_max_divergence_bps"])
def test_what_must_be_given_is_missed(setting: str) -> None:
    lines = [line for line in SMALLEST.splitlines() if setting not in line]
    with pytest.raises(Refused) as refused:
        parse("\n".join(lines))
    assert refused.value.refusal is Refusal.FIELD_REQUIRED
    assert setting in str(refused.value)


@pytest.mark.parametrize(
    ("document", "refusal"),
    [
        ("", Refusal.NOT_AN_OBJECT),
        ("# nothing\n", Refusal.NOT_AN_OBJECT),
        ("- strategy\n", Refusal.NOT_AN_OBJECT),
        ("strategy\n", Refusal.NOT_AN_OBJECT),
        ("strategy:\n", Refusal.NOT_AN_OBJECT),
        ("strategy: [1]\n", Refusal.NOT_AN_OBJECT),
        ("{}\n", Refusal.FIELD_REQUIRED),
        (SMALLEST + "extra: 1\n", Refusal.FIELD_UNKNOWN),
        (SMALLEST + SMALLEST, Refusal.FIELD_DUPLICATE),
        (SMALLEST + f"{RETIRED}: 1\n", Refusal.SETTING_RETIRED),
        (f"{RETIRED}: 1\n" + SMALLEST, Refusal.SETTING_RETIRED),
        ("strategy:\n\tbase_size_rlusd: 15\n", Refusal.NOT_YAML),
        ("strategy: {a: 1\n", Refusal.NOT_YAML),
        (SMALLEST + "---\n" + SMALLEST, Refusal.NOT_YAML),
        ("strategy: *nowhere\n", Refusal.NOT_YAML),
        ("strategy: " + "[" * 600, Refusal.NOT_YAML),
        (b"\x1f\x8b\x08\x00\xff\xfe", Refusal.NOT_YAML),
        (b"strategy: \xff\n", Refusal.NOT_YAML),
        ("a: &a [*a]\n" + SMALLEST, Refusal.FIELD_UNKNOWN),  # contains itself
        ("strategy: &s {half_spread_bps: *s}\n", Refusal.FIELD_REQUIRED),
    ],
)
def test_a_document_is_refused(document: str | bytes, refusal: Refusal) -> None:
    with pytest.raises(Refused) as refused:
        parse(document)
    assert refused.value.refusal is refusal
    assert "c.yaml" in str(refused.value)


def test_a_setting_outside_its_section_is_told_where_it_belongs() -> None:
    with pytest.raises(Refused) as refused:
        parse("half_spread_bps: 5\n" + SMALLEST)
    assert "put it under strategy:" in str(refused.value)


def test_a_document_that_grows_when_it_is_expanded_is_no_work() -> None:
    """Ten levels of ten aliases each: ten thousand million nodes to a reader that walks them all."""
    levels = [f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 10)}]" for n in range(10)]
    with pytest.raises(Refused) as refused:
        parse("l0: &l0 [1]\n" + "\n".join(levels) + "\n" + SMALLEST)
    assert refused.value.refusal is Refusal.FIELD_UNKNOWN


def test_a_strategy_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(SMALLEST).half_spread_bps = Decimal(1)  # type: ignore[misc]


def test_the_retired_names_live_nowhere() -> None:
    """The one in its refusal, the other nowhere at all: not in code, configurations, documents or fixtures."""
    other = "_".join(("buy", "inventory", "guard", "blocked"))
    has_retired = []
    for path in _files_of_the_project():
        text = path.read_bytes()
        assert other.encode() not in text, path
        if RETIRED.encode() in text:
            has_retired.append(path.relative_to(ROOT))
    assert has_retired == [Path("engine/paper/strategy_config.py"), Path("tests/cli/errors/setting_retired.txt")]


def _files_of_the_project() -> list[Path]:
    folders = ("bench", "cli", "docs", "engine", "examples", "ledger", "migrations", "projections", "tests")
    found = [path for path in ROOT.iterdir() if path.is_file() and path.suffix not in (".db", ".sqlite")]
    for folder in folders:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return found
